"""Engines as if they were on another machine: behind TCP with TLS, or with processes and a network of their own."""

import asyncio
import contextlib
import functools
import shutil
import ssl
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from deadweight.engine.own import machine
from tests.support.certificates import authority
from tests.support.processes import engine_at
from tests.support.relay import listening, port_of, serving


@contextlib.contextmanager
def elsewhere(socket: str, folder: Path, gather: float = 0.0) -> Iterator[str]:
    """Gives ``tcp://127.0.0.1:PORT``; ``folder`` then holds ca.pem, cert.pem and key.pem, as Docker's client wants them."""
    authority(folder, {"server": ["127.0.0.1"], "client": ["127.0.0.1"]})
    (folder / "client.pem").rename(folder / "cert.pem")
    (folder / "client.key").rename(folder / "key.pem")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=folder / "ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(folder / "server.pem", folder / "server.key")
    with cuttable(socket, context, gather) as (address, _):
        yield address


@contextlib.contextmanager
def cuttable(
    socket: str, tls: ssl.SSLContext | None = None, gather: float = 0.0
) -> Iterator[tuple[str, Callable[[], None]]]:
    """Gives ``tcp://127.0.0.1:PORT``, and what makes the engine be gone there, with every connection to it. What it sends within
    ``gather`` seconds comes in one piece."""
    behind = functools.partial(asyncio.open_unix_connection, socket)
    with serving(lambda: listening(behind, ssl=tls, gather=gather)) as (server, cut):
        yield f"tcp://127.0.0.1:{port_of(server)}", cut


START = """
set -e
mount --make-rprivate /
mount -t proc proc /proc
mount -t tmpfs tmpfs /run -o mode=755
mkdir -p "$1/socket" && ip link set lo up
exec dockerd --config-file "$1/none.json" --host "unix://$1/socket/docker.sock" --data-root "$1/data" --exec-root /run/docker \
  --pidfile /run/docker.pid --exec-opt native.cgroupdriver=cgroupfs --log-level warn
"""


@contextlib.contextmanager
def apart_engine(folder: Path) -> Iterator[str]:
    """Gives where it listens. It ends, with all that it started, when its first process does."""
    if sys.platform != "linux" or shutil.which("dockerd") is None:
        raise FileNotFoundError("dockerd")
    (folder / "none.json").write_text("{}")
    host = f"unix://{folder}/socket/docker.sock"
    argv = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "sh", "-c", START, "sh", str(folder)]
    try:
        with engine_at(host, argv, folder / "dockerd.log"):
            yield host
    finally:
        machine.unmount_below(folder)
        shutil.rmtree(folder / "data", ignore_errors=True)
