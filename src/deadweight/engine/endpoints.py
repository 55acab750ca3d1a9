"""Where an engine may listen on this machine, in the order in which Docker's own client and its users would look."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Place:
    """A host to try. ``asked`` says who asked for it in so many words (an environment variable), so that no other will do."""

    host: str
    why: str
    asked: bool = False
    certificates: str | None = None


def endpoints() -> Iterator[Place]:
    """DOCKER_HOST or the current Docker context, then the usual sockets: Docker, Docker Desktop, rootless, Podman."""
    given = os.environ.get("DOCKER_HOST")
    if given:
        certificates = os.environ.get("DOCKER_CERT_PATH") if os.environ.get("DOCKER_TLS_VERIFY") else None
        yield Place(given, "DOCKER_HOST", asked=True, certificates=certificates)
        return
    context = _context()
    if context is not None:
        yield context
        if context.asked:
            return
    for path in _sockets():
        if path.exists():
            yield Place(f"unix://{path}", str(path))


def _sockets() -> Iterator[Path]:
    home, runtime = Path.home(), os.environ.get("XDG_RUNTIME_DIR")
    yield Path("/var/run/docker.sock")
    yield home / ".docker/run/docker.sock"
    yield home / ".docker/desktop/docker.sock"
    if runtime:
        yield Path(runtime) / "docker.sock"
    yield home / ".colima/default/docker.sock"
    if runtime:
        yield Path(runtime) / "podman/podman.sock"
    yield Path("/run/podman/podman.sock")


def _context() -> Place | None:
    """The current Docker context, read from the client's files (their layout: docker/cli, ``cli/context/store``)."""
    folder = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")
    named = os.environ.get("DOCKER_CONTEXT")
    name = named or _json(folder / "config.json").get("currentContext")
    if not isinstance(name, str) or name in ("", "default"):
        return None
    key = hashlib.sha256(name.encode()).hexdigest()
    endpoint = _json(folder / "contexts" / "meta" / key / "meta.json").get("Endpoints", {})
    docker = endpoint.get("docker") if isinstance(endpoint, dict) else None
    host = docker.get("Host") if isinstance(docker, dict) else None
    if not isinstance(host, str) or not host:
        return None
    certificates = folder / "contexts" / "tls" / key / "docker"
    return Place(host, f"Docker context {name}", bool(named), str(certificates) if certificates.is_dir() else None)


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
