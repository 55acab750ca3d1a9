"""Send small requests to the engine's API without the SDK, to learn its version or why it does not answer.

This is no second client: containers and images go through the SDK, which takes 0.1 s of processor time to import. This module
serves commands that run no container (``doctor``, an up-to-date build), engine start-up, and clean-up after a killed process.
If no engine answers, the SDK raises a dozen nested errors and leaves its socket open.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import os
import socket
import ssl
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeVar
from urllib.parse import urlsplit

from deadweight._errors import wording
from deadweight.engine import over_ssh

PING_SECONDS = 3.0
_NOT_THERE = (
    http.client.FORBIDDEN, http.client.NOT_FOUND, http.client.METHOD_NOT_ALLOWED, http.client.NOT_IMPLEMENTED
)  # fmt: skip


@dataclass(frozen=True)
class Endpoint:
    """Where an engine listens, or may listen: ``unix:///run/docker.sock``, ``tcp://…``, ``npipe://…``, ``ssh://…``.

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


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class _SshConnection(http.client.HTTPConnection):
    def __init__(self, host: str, timeout: float, errors: IO[bytes]) -> None:
        super().__init__("localhost", timeout=timeout)
        self._where, self._errors = host, errors

    def connect(self) -> None:
        self.sock = over_ssh.dialled(self._where, self.timeout, self._errors)


def trouble(host: str, certificates: str | None = None, *, timeout: float = PING_SECONDS) -> str:
    """Why no engine answers at ``host``; empty where one does. ``certificates`` is a folder as in DOCKER_CERT_PATH."""
    if host.startswith(over_ssh.SCHEME):
        timeout = max(timeout, over_ssh.PING_SECONDS)
    try:
        status, _ = _get(host, "/_ping", certificates, timeout)
    except PermissionError:
        return wording("engine.permission_denied")
    except FileNotFoundError:
        return wording("engine.no_ssh") if host.startswith(over_ssh.SCHEME) else wording("engine.no_socket")
    except TimeoutError:
        return wording("engine.silent", seconds=timeout)
    except (OSError, http.client.HTTPException, ValueError) as error:
        return getattr(error, "strerror", None) or str(error) or type(error).__name__
    return "" if status == http.client.OK else wording("engine.http_status", status=status)


def document(host: str, path: str, certificates: str | None = None, *, timeout: float = 15.0) -> dict[str, Any]:
    """A JSON document of the engine, ``/version`` or ``/info``; empty where it does not come."""
    content = _json(host, path, certificates, timeout)
    return content if isinstance(content, dict) else {}


def listing(host: str, path: str, certificates: str | None = None) -> list[dict[str, Any]]:
    """A list of JSON objects of an engine; empty where it does not come."""
    content = _json(host, path, certificates, 15.0)
    return [item for item in content if isinstance(item, dict)] if isinstance(content, list) else []


def _json(host: str, path: str, certificates: str | None, timeout: float) -> Any:
    with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
        status, body = _get(host, path, certificates, timeout)
        return json.loads(body) if status == http.client.OK else None
    return None


def delete(host: str, path: str, certificates: str | None = None) -> bool:
    """Have an engine delete something; whether it is gone. What it refuses stays."""
    with contextlib.suppress(OSError, http.client.HTTPException):
        return _get(host, path, certificates, 30.0, method="DELETE")[0] in (
            http.client.NO_CONTENT,
            http.client.NOT_FOUND,
        )
    return False


def buildkit_trouble(host: str, certificates: str | None = None) -> str:
    """Why BuildKit cannot be spoken to in an engine that answers; empty where it can, or where nothing is said of it."""
    headers = {"Connection": "Upgrade", "Upgrade": "h2c"}
    try:
        status, _ = _get(host, "/grpc", certificates, 15.0, "POST", headers)
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
) -> tuple[int, bytes]:
    # ssh itself knows why nothing comes
    with tempfile.TemporaryFile() if host.startswith(over_ssh.SCHEME) else io.BytesIO() as errors:
        connection = _connect(host, certificates, timeout, errors)
        try:
            connection.request(method, path, headers=dict(headers or {}))
            answer = connection.getresponse()
            return answer.status, b"" if answer.status == http.client.SWITCHING_PROTOCOLS else answer.read(1 << 22)
        except (ConnectionError, http.client.HTTPException) as error:
            if not isinstance(connection, _SshConnection):
                raise
            raise OSError(over_ssh.last_line(errors) or "ssh ended without a word") from error
        finally:
            connection.close()


def _connect(host: str, certificates: str | None, timeout: float, errors: IO[bytes]) -> http.client.HTTPConnection:
    parts = urlsplit(host)
    if parts.scheme == "unix":
        return _UnixConnection(parts.path, timeout)
    if parts.scheme == "ssh":
        return _SshConnection(host, timeout, errors)
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
    if os.environ.get("DOCKER_TLS_VERIFY") == "":
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


# What Podman tells of itself beyond what Docker's API asks for (``/libpod/info``). Asked once: it takes 0.3 s to answer.
INFO = "/v4.0.0/libpod/info"


_podmans: dict[tuple[object, ...], Mapping[str, Any]] = {}


def podman_info(host: str, certificates: str | None) -> Mapping[str, Any]:
    """The document of the Podman that listens at ``host``; empty where it does not come.

    A service that was started anew at the same place, maybe with other images, is another: so is its socket.
    """
    try:
        facts = Path(host.removeprefix("unix://")).stat()
        key = (host, certificates, facts.st_ino, facts.st_mtime_ns)
    except OSError:
        key = (host, certificates, 0, 0)
    if not _podmans.get(key):
        _podmans[key] = document(host, INFO, certificates)
    return _podmans[key]


# Parse the engine's version and isolation features into a record.
T = TypeVar("T")


@dataclass(frozen=True)
class EngineInfo:
    """An engine's own description. ``cgroup`` is "1" or "2"; ``memory_bytes`` is the machine's.

    ``containerd_store`` tells that image ids are manifest digests there (Docker's containerd image store), not config digests.
    ``root_dir`` is the engine's own folder, on its machine.
    ``user_namespaces`` tells that it maps the users of containers to others of the machine (``userns-remap``).
    ``desktop`` tells that containers run in a virtual machine: their addresses cannot be reached from here, published ports can.
    """

    name: str
    version: str
    api_version: str
    operating_system: str
    architecture: str
    kernel: str
    storage_driver: str
    containerd_store: bool
    cgroup: str
    rootless: bool
    seccomp: bool
    apparmor: bool
    selinux: bool
    desktop: bool
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
    options = {_option_name(option) for option in _typed(info, "SecurityOptions", list) if isinstance(option, str)}
    system = _typed(info, "OperatingSystem", str)
    return EngineInfo(
        name="Podman" if any("podman" in part.lower() for part in parts) else "Docker",
        version=_typed(version, "Version", str),
        api_version=_typed(version, "ApiVersion", str),
        operating_system=system,
        architecture=_typed(info, "Architecture", str),
        kernel=_typed(info, "KernelVersion", str),
        storage_driver=_typed(info, "Driver", str),
        containerd_store=any("io.containerd.snapshotter" in str(pair) for pair in _typed(info, "DriverStatus", list)),
        cgroup=_typed(info, "CgroupVersion", str) or "1",
        rootless="rootless" in options or bool(info.get("Rootless")),  # Podman's own word for it
        seccomp="seccomp" in options,
        apparmor="apparmor" in options,
        selinux="selinux" in options,
        desktop="Docker Desktop" in system,
        cpus=_typed(info, "NCPU", int),
        memory_bytes=_typed(info, "MemTotal", int),
        root_dir=_typed(info, "DockerRootDir", str),
        user_namespaces="userns" in options,
    )


def _typed(document: Mapping[str, Any], key: str, kind: type[T]) -> T:
    found = document.get(key)
    return found if isinstance(found, kind) else kind()


def _option_name(option: str) -> str:
    """``name=seccomp,profile=default`` → ``seccomp``; a bare ``seccomp`` (older engines) stays."""
    return option.split(",", 1)[0].removeprefix("name=")
