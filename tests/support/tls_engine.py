"""An engine as if it were on another machine: the tests' own, behind TCP with TLS and certificates for both sides."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.support.certificates import authority
from tests.support.relay import listening, port_of, serving


@contextlib.contextmanager
def elsewhere(socket: str, folder: Path) -> Iterator[str]:
    """Gives ``tcp://127.0.0.1:PORT``; ``folder`` then holds ca.pem, cert.pem and key.pem, as Docker's client wants them."""
    authority(folder, {"server": ["127.0.0.1"], "client": ["127.0.0.1"]})
    (folder / "client.pem").rename(folder / "cert.pem")
    (folder / "client.key").rename(folder / "key.pem")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=folder / "ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(folder / "server.pem", folder / "server.key")
    with cuttable(socket, context) as (address, _):
        yield address


@contextlib.contextmanager
def cuttable(socket: str, tls: ssl.SSLContext | None = None) -> Iterator[tuple[str, Callable[[], None]]]:
    """Gives ``tcp://127.0.0.1:PORT``, and what makes the engine be gone there, with every connection to it."""
    with serving(lambda: listening(lambda: asyncio.open_unix_connection(socket), ssl=tls)) as (server, cut):
        yield f"tcp://127.0.0.1:{port_of(server)}", cut
