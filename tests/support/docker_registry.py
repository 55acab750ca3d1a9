"""Real registries: the docker-registry program, and crane's own, which forgets all at its end."""

import contextlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

from deadweight.toolchain.find import find
from tests.support.processes import killed, port_of
from tests.support.trees import written

USER, PASSWORD = "builder", "correct horse"


def started(
    program: Path, folder: Path, address: str = "127.0.0.1:0", *,
    data: Path | None = None, locked: bool = False, tls: Path | None = None,
) -> subprocess.Popen[bytes]:  # fmt: skip
    """Its log is ``folder``/log. ``locked`` asks for a password, ``tls`` has server.pem and server.key."""
    password = f"{USER}:$2y$05$abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2\n"
    certificate = {"certificate": f"{tls}/server.pem", "key": f"{tls}/server.key"}
    config = {
        "version": 0.1,
        "log": {"level": "error", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(data or folder / "data")}},
        "http": {"addr": address, **({"tls": certificate} if tls else {})},
        **({"auth": {"htpasswd": {"realm": "test", "path": str(folder / "htpasswd")}}} if locked else {}),
    }
    written(folder, {"htpasswd": password, "config.json": json.dumps(config)})
    environment = {"PATH": "/usr/bin:/bin", "OTEL_TRACES_EXPORTER": "none"}
    with (folder / "log").open("wb") as log:
        return subprocess.Popen([program, "serve", folder / "config.json"], stdout=log, stderr=log, env=environment)


@contextlib.contextmanager
def registry(program: Path, folder: Path, *, locked: bool = False, tls: Path | None = None) -> Iterator[str]:
    """One on loopback. Gives HOST:PORT."""
    process = started(program, folder, locked=locked, tls=tls)
    try:
        yield f"127.0.0.1:{port_of(process, folder / 'log')}"
    finally:
        process.terminate()
        process.wait(10)


@contextlib.contextmanager
def crane_registry(log: Path) -> Iterator[str]:
    """Gives HOST:PORT."""
    with killed(find("crane").path, "registry", "serve", "--address", "127.0.0.1:0", log=log) as process:
        yield f"127.0.0.1:{port_of(process, log)}"
