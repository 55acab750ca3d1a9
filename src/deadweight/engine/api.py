"""Send small requests to the engine's API without the SDK, to learn its version or why it does not answer.

This is no second client: containers and images go through the SDK, which takes 0.1 s of processor time to import. This module
serves commands that run no container (``doctor``, an up-to-date build), engine start-up, and clean-up after a killed process.
If no engine answers, the SDK raises a dozen nested errors and leaves its socket open.
"""

from __future__ import annotations

import atexit
import contextlib
import http.client
import json
import os
import shlex
import shutil
import socket
import ssl
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeVar
from urllib.parse import unquote, urlsplit

from deadweight._errors import wording
from deadweight.records.paths import user_cache

T = TypeVar("T")

PING_SECONDS = 3.0
_NOT_THERE = (
    http.client.FORBIDDEN, http.client.NOT_FOUND, http.client.METHOD_NOT_ALLOWED, http.client.NOT_IMPLEMENTED
)  # fmt: skip


@dataclass(frozen=True)
class Endpoint:
    """Where an engine listens, or may listen: ``unix:///run/docker.sock``, ``tcp://…``, ``ssh://…``.

    ``ours`` if we started it. ``certificates`` is the folder with ca.pem, cert.pem and key.pem of a TLS engine, or None. ``why`` it
    is tried; ``asked``: somebody named it in so many words (an environment variable), so that no other will do.
    """

    host: str
    ours: bool = False
    certificates: str | None = None
    why: str = ""
    asked: bool = False

    @property
    def cli_env(self) -> dict[str, str]:
        """Makes Docker's own client use the same one."""
        tls = {"DOCKER_CERT_PATH": self.certificates, "DOCKER_TLS_VERIFY": "1"} if self.certificates else {}
        return {"DOCKER_HOST": self.host, **tls}


# An engine over SSH, as Docker's client reaches it: one ``ssh HOST docker system dial-stdio`` for each connection.
#
# ssh's input and output are one end of a socket pair, so HTTP code gets a real socket at the other end and needs no thread in
# between. All connections share one login (ssh's ControlMaster). Keys and jump hosts come from the user's ssh settings; nothing is
# prompted for.
SSH = "ssh://"
CONNECT_SECONDS = 15
"""How long ssh may take to reach the other machine; then the other side's client gets its turn."""
SSH_PING_SECONDS = 2.0 * CONNECT_SECONDS
SHARED_SECONDS = 20
"""How long the login outlives the last connection; then it ends by itself, also where we were killed."""
LONGEST_FOLDER = 107 - len("/") - 40 - 17
"""A socket's name has 107 bytes at most (unix(7)); ssh's is a hash of 40, and 17 more until it is complete."""

_running: list[subprocess.Popen[bytes]] = []
"""Held until they have ended, so that their ends are fetched."""


@atexit.register
def _leave_the_rest() -> None:
    """They end with our sockets, a moment after us."""
    for process in _running:
        if process.poll() is None:
            process.returncode = 0


def ssh_hint(host: str) -> str:
    """What to try if nobody answers."""
    parts = urlsplit(host)
    port = f"-p {parts.port} " if parts.port else ""
    place = port + (f"{parts.username}@" if parts.username else "") + (parts.hostname or "")
    return wording("engine.try_ssh", command=f"ssh {place} docker version")


def ssh_command(host: str) -> list[str]:
    """The argv that leads to the engine at ``ssh://[USER@]HOST[:PORT][/path/of/the/engine.sock]``. Raises ValueError for another
    address, FileNotFoundError if this machine has no ssh."""
    parts = urlsplit(host)
    if not parts.hostname or parts.password is not None or parts.query or parts.fragment:
        raise ValueError(wording("engine.wrong_ssh_address", host=host))
    program = shutil.which("ssh")
    if program is None:
        raise FileNotFoundError(2, wording("engine.no_ssh"))
    argv = [program, "-T", "-o", "BatchMode=yes", "-o", f"ConnectTimeout={CONNECT_SECONDS}"]
    # Whoever can use the socket of a shared login is logged in, so nobody else may see its folder. If that lies so deep that no
    # socket can have its name, each connection logs in by itself.
    folder = user_cache() / "ssh"
    if len(os.fsencode(folder)) <= LONGEST_FOLDER:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        argv += ["-o", "ControlMaster=auto", "-o", f"ControlPath={folder}/%C", "-o", f"ControlPersist={SHARED_SECONDS}"]
    argv += ["-l", unquote(parts.username)] if parts.username else []
    argv += ["-p", str(parts.port)] if parts.port else []
    path = unquote(parts.path).rstrip("/")
    docker = ["docker", *(["--host", f"unix://{path}"] if path else []), "system", "dial-stdio"]
    return [*argv, "--", parts.hostname, shlex.join(docker)]


def dial_ssh(host: str, timeout: float | None, errors: IO[bytes] | None = None) -> socket.socket:
    """A socket that leads to the engine; what ssh says of it goes to ``errors``. ssh ends with it, also when we are killed."""
    argv = ssh_command(host)
    _running[:] = [process for process in _running if process.poll() is None]
    ours, theirs = socket.socketpair()
    with theirs:
        # A session of its own: Ctrl-C must not end the connection over which containers are removed.
        stderr: Any = errors or subprocess.DEVNULL
        _running.append(
            subprocess.Popen(argv, stdin=theirs.fileno(), stdout=theirs.fileno(), stderr=stderr, start_new_session=True)
        )
    ours.settimeout(timeout)
    return ours


class _Connection(http.client.HTTPConnection):
    """To an engine's socket on this machine, or over SSH."""

    def __init__(self, engine: str, timeout: float, errors: IO[bytes] | None) -> None:
        super().__init__("localhost", timeout=timeout)
        self._engine, self._errors = engine, errors

    def connect(self) -> None:
        if self._engine.startswith(SSH):
            self.sock = dial_ssh(self._engine, self.timeout, self._errors)
        else:
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.settimeout(self.timeout)
            self.sock.connect(urlsplit(self._engine).path)


def trouble(host: str, certificates: str | None = None, *, timeout: float = PING_SECONDS) -> str:
    """Why no engine answers at ``host``; empty where one does. ``certificates`` is a folder as in DOCKER_CERT_PATH."""
    if host.startswith(SSH):
        timeout = max(timeout, SSH_PING_SECONDS)
    try:
        status, *_ = _get(host, "/_ping", certificates, timeout)
    except PermissionError:
        return wording("engine.permission_denied")
    except FileNotFoundError:
        return wording("engine.no_ssh" if host.startswith(SSH) else "engine.no_socket")
    except TimeoutError:
        return wording("engine.silent", seconds=timeout)
    except (OSError, http.client.HTTPException, ValueError) as error:
        return getattr(error, "strerror", None) or str(error) or type(error).__name__
    return "" if status == http.client.OK else wording("engine.http_status", status=status)


def document(host: str, path: str, certificates: str | None = None, *, timeout: float = 15.0) -> dict[str, Any]:
    """A JSON document of the engine, ``/version`` or ``/info``; empty where it does not come."""
    return _json(host, path, certificates, timeout, dict)


def listing(host: str, path: str, certificates: str | None = None) -> list[dict[str, Any]]:
    """A list of JSON objects of an engine; empty where it does not come."""
    return [item for item in _json(host, path, certificates, 15.0, list) if isinstance(item, dict)]


def _json(host: str, path: str, certificates: str | None, timeout: float, kind: type[T]) -> T:
    with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
        status, body, _ = _get(host, path, certificates, timeout)
        content = json.loads(body) if status == http.client.OK else None
        return content if isinstance(content, kind) else kind()
    return kind()


def delete(host: str, path: str, certificates: str | None = None) -> bool:
    """Have an engine delete something; whether it is gone. What it refuses stays."""
    with contextlib.suppress(OSError, http.client.HTTPException):
        status, *_ = _get(host, path, certificates, 30.0, method="DELETE")
        return status in (http.client.NO_CONTENT, http.client.NOT_FOUND)
    return False


def buildkit_trouble(host: str, certificates: str | None = None) -> str:
    """Why BuildKit cannot be spoken to in an engine that answers; empty where it can, or where nothing is said of it."""
    headers = {"Connection": "Upgrade", "Upgrade": "h2c"}
    try:
        status, *_ = _get(host, "/grpc", certificates, 15.0, "POST", headers)
    except (OSError, http.client.HTTPException):
        return ""
    return wording("engine.no_grpc", status=status) if status in _NOT_THERE else ""


def _get(
    host: str,
    path: str,
    certificates: str | None,
    timeout: float,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
) -> tuple[int, bytes, Mapping[str, str]]:
    with tempfile.TemporaryFile() if host.startswith(SSH) else contextlib.nullcontext() as errors:
        connection = _connection(host, certificates, timeout, errors)
        try:
            connection.request(method, path, headers=dict(headers or {}))
            answer = connection.getresponse()
            return answer.status, answer.read(1 << 22), dict(answer.headers)
        except (ConnectionError, http.client.HTTPException) as error:
            if errors is None:
                raise
            errors.seek(0)  # ssh itself, or the other machine's shell, knows why nothing comes
            lines = errors.read(1 << 16).decode(errors="replace").strip().splitlines()
            raise OSError(lines[-1].strip() if lines else "ssh ended without a word") from error
        finally:
            connection.close()


def _connection(
    host: str, certificates: str | None, timeout: float, errors: IO[bytes] | None
) -> http.client.HTTPConnection:
    parts = urlsplit(host)
    if parts.scheme in ("unix", "ssh"):
        return _Connection(host, timeout, errors)
    if parts.scheme not in ("tcp", "http", "https"):
        raise ValueError(wording("engine.unsupported_address", scheme=parts.scheme or host))
    name, port = parts.hostname or "localhost", parts.port
    if certificates is None and parts.scheme != "https":
        return http.client.HTTPConnection(name, port or 2375, timeout=timeout)
    return http.client.HTTPSConnection(name, port or 2376, timeout=timeout, context=_tls(certificates))


def _tls(certificates: str | None) -> ssl.SSLContext:
    """Docker's own file names: ca.pem, cert.pem, key.pem."""
    folder = Path(certificates) if certificates else Path.home() / ".docker"
    authority = folder / "ca.pem"
    context = ssl.create_default_context(cafile=str(authority) if authority.is_file() else None)
    if (folder / "cert.pem").is_file():
        context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


_documents: dict[tuple[object, ...], Mapping[str, Any]] = {}
PODMAN_INFO = "/v4.0.0/libpod/info"
"""What a Podman tells of itself beyond what Docker's API asks for."""


def document_once(host: str, path: str, certificates: str | None) -> Mapping[str, Any]:
    """A document that an engine does not change while it runs; empty where it does not come. Podman's takes 0.3 s to answer.

    A service that was started anew at the same place, maybe with other images, is another: so is its socket.
    """
    return _cached(document, host, path, certificates)


def greeting_once(host: str, certificates: str | None) -> Mapping[str, str]:
    """The headers of an engine's ping: ``Server`` names it and its version, ``Api-Version`` the newest API that it speaks.

    A tenth of the time of ``/version``, for which Docker 20.10 starts several programs.
    """
    return _cached(_greeting, host, "/_ping", certificates)


def _greeting(host: str, path: str, certificates: str | None) -> Mapping[str, str]:
    with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
        status, _, headers = _get(host, path, certificates, 15.0)
        return headers if status == http.client.OK else {}
    return {}


def _cached(ask: Callable[..., Mapping[str, Any]], host: str, path: str, certificates: str | None) -> Mapping[str, Any]:
    facts = None
    with contextlib.suppress(OSError):
        facts = Path(host.removeprefix("unix://")).stat()
    key = (host, path, certificates, facts and (facts.st_ino, facts.st_mtime_ns))
    if not _documents.get(key):
        _documents[key] = ask(host, path, certificates)
    return _documents[key]


# Parse the engine's version and isolation features into a record.
@dataclass(frozen=True)
class EngineInfo:
    """An engine's own description. ``cgroup`` is "1" or "2"; ``memory_bytes`` is the machine's.

    ``containerd_store`` tells that image ids are manifest digests there (Docker's containerd image store), not config digests.
    ``root_dir`` is the engine's own folder, on its machine.
    ``user_namespaces`` tells that it maps the users of containers to others of the machine (``userns-remap``).
    """

    name: str
    version: str
    architecture: str
    kernel: str
    storage_driver: str
    containerd_store: bool
    cgroup: str
    rootless: bool
    seccomp: bool
    apparmor: bool
    selinux: bool
    cpus: int
    memory_bytes: int
    root_dir: str = ""
    user_namespaces: bool = False

    @property
    def podman(self) -> bool:
        return self.name == "Podman"


def parse_info(version: Mapping[str, Any], info: Mapping[str, Any]) -> EngineInfo:
    """Read the engine's ``/version`` and ``/info`` documents (Docker 20.10 and later, Podman's compatible socket).

    What is of another kind than those say counts as not said.
    """
    parts = {str(part.get("Name")) for part in _typed(version, "Components", list) if isinstance(part, Mapping)}
    # ``name=seccomp,profile=default``, or a bare ``seccomp`` (older engines)
    security = [option for option in _typed(info, "SecurityOptions", list) if isinstance(option, str)]
    options = {option.split(",", 1)[0].removeprefix("name=") for option in security}
    return EngineInfo(
        name="Podman" if any("podman" in part.lower() for part in parts) else "Docker",
        version=_typed(version, "Version", str),
        architecture=_typed(info, "Architecture", str),
        kernel=_typed(info, "KernelVersion", str),
        storage_driver=_typed(info, "Driver", str),
        containerd_store=any("io.containerd.snapshotter" in str(pair) for pair in _typed(info, "DriverStatus", list)),
        cgroup=_typed(info, "CgroupVersion", str) or "1",
        rootless="rootless" in options or bool(info.get("Rootless")),  # Podman's own word for it
        seccomp="seccomp" in options,
        apparmor="apparmor" in options,
        selinux="selinux" in options,
        cpus=_typed(info, "NCPU", int),
        memory_bytes=_typed(info, "MemTotal", int),
        root_dir=_typed(info, "DockerRootDir", str),
        user_namespaces="userns" in options,
    )


def _typed(document: Mapping[str, Any], key: str, kind: type[T]) -> T:
    value = document.get(key)
    return value if isinstance(value, kind) else kind()
