"""An engine as if it were on another machine: the tests' own, behind TCP with TLS and certificates for both sides."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.support.relay import copied, port_of, serving

DAYS = "2"


@contextlib.contextmanager
def elsewhere(socket: str, folder: Path) -> Iterator[str]:
    """Gives ``tcp://127.0.0.1:PORT``; ``folder`` then holds ca.pem, cert.pem and key.pem, as Docker's client wants them."""
    _certificates(folder)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=folder / "ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(folder / "server.pem", folder / "server.key")

    async def serve() -> asyncio.Server:
        return await asyncio.start_server(lambda r, w: _between(socket, r, w), "127.0.0.1", 0, ssl=context)

    with serving(serve) as (server, _):
        yield f"tcp://127.0.0.1:{port_of(server)}"


@contextlib.contextmanager
def cuttable(socket: str) -> Iterator[tuple[str, Callable[[], None]]]:
    """Gives ``tcp://127.0.0.1:PORT``, without TLS, and what makes the engine be gone there, with every connection to it."""

    async def serve() -> asyncio.Server:
        return await asyncio.start_server(lambda r, w: _between(socket, r, w), "127.0.0.1", 0)

    with serving(serve) as (server, cut):
        yield f"tcp://127.0.0.1:{port_of(server)}", cut


async def _between(socket: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    behind, to_behind = await asyncio.open_unix_connection(socket)
    try:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(copied(reader, to_behind), copied(behind, writer))
    finally:
        for each in (writer, to_behind):
            each.transport.abort()


def _certificates(folder: Path) -> None:
    """An authority, and one certificate for each side."""
    _openssl(folder, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", DAYS, "-subj", "/CN=tests",
             "-keyout", "ca.key", "-out", "ca.pem")  # fmt: skip
    for name, certificate, key in (("server", "server.pem", "server.key"), ("client", "cert.pem", "key.pem")):
        _openssl(
            folder,
            "req",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-subj",
            f"/CN={name}",
            "-keyout",
            key,
            "-out",
            f"{name}.csr",
        )
        (folder / "ext").write_text("subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n")
        _openssl(folder, "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
                 "-days", DAYS, "-extfile", "ext", "-out", certificate)  # fmt: skip


def _openssl(folder: Path, *words: str) -> None:
    subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)
