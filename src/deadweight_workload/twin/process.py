"""Read what a container's first process sees: from ``/proc`` where it is of this machine, and from the engine, not by running
anything in it."""

from __future__ import annotations

import contextlib
import re
import tomllib
from base64 import b64decode
from importlib.resources import files
from json import loads
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deadweight._errors import DeadweightError
from deadweight.engine import netns
from deadweight.engine.container import read_file
from deadweight.engine.foreground import user_of

if TYPE_CHECKING:
    from deadweight.engine.container import Container

_TERM = 1 << 14
_LOCALE = ("LC_ALL", "LC_CTYPE", "LANG")
_NAMED = ("TZ", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR")


def seen_by(container: Container) -> dict[str, str]:
    """The fields of what the process sees. What cannot be read from here is left out, of every image alike."""
    env = dict(entry.partition("=")[::2] for entry in container.settled()["Config"].get("Env") or ())
    user = user_of(container)
    seen = {"user": user, "locale": next((env[name] for name in _LOCALE if env.get(name)), "C")}
    seen |= {name: env[name] for name in _NAMED if name in env}
    there = _there(container, "file")
    seen["libc"] = "musl" if there.pop("musl") else "glibc" if there["glibc"] else "none"
    del there["glibc"]
    seen |= {field: _as_told(stat) if stat else "none" for field, stat in there.items()}
    with contextlib.suppress(DeadweightError):
        names = re.findall(rf"(?m)^([^:]*):[^:]*:{user.partition(':')[0]}:", _text(container, "/etc/passwd"))
        seen["user name"] = names[0] if names else "none"
    with contextlib.suppress(DeadweightError):
        hosts = re.findall(r"(?m)^hosts:\s*(.*?)\s*$", _text(container, "/etc/nsswitch.conf"))
        seen["name resolution"] = hosts[0] if hosts else "no line for hosts"
    if (zone := stat_of(container, "/etc/localtime")) is not None:
        seen["local time"] = str(zone.get("linkTarget") or f"{zone.get('size')} bytes").removeprefix("..")
    return seen | _in_proc(container)


def held_by(container: Container) -> dict[str, str]:
    """What the image holds for whoever runs something in it: a shell and other programs, folders with their permissions, its
    config."""
    held = {field: "there" if stat else "none" for field, stat in _there(container, "held").items()}
    folders = {path: stat_of(container, path) for row in _table()["folders"] for path in row["paths"]}
    user = user_of(container).partition(":")[0]
    with contextlib.suppress(DeadweightError):
        homes = re.findall(rf"(?m)^[^:]*:[^:]*:{user}:[^:]*:[^:]*:([^:]+):", _text(container, "/etc/passwd"))
        folders["home folder"] = stat_of(container, homes[0]) if homes else None
    config = container.api.inspect_image(container.settled()["Image"])["Config"] or {}
    given = {field: config.get(key) or usual for field, (key, usual) in _table()["config"].items()}
    held |= {field: it if isinstance(it, str) else " ".join(it) for field, it in given.items()}
    changing = re.compile(_table()["labels"]["of_a_build"])
    labels = (config.get("Labels") or {}).items()
    held |= {f"label {name}": str(value) for name, value in labels if not changing.search(name)}
    return held | {path: _permissions(stat) if stat else "none" for path, stat in folders.items()}


def _table() -> dict[str, Any]:
    return tomllib.loads((files(__package__) / "process.toml").read_text("utf-8"))


def _there(container: Container, kind: str) -> dict[str, dict[str, Any] | None]:
    """By field, the first of its paths that is there."""
    rows = {row["field"]: (stat_of(container, path) for path in row["paths"]) for row in _table()[kind]}
    return {name: next((stat for stat in stats if stat is not None), None) for name, stats in rows.items()}


def _as_told(stat: dict[str, Any]) -> str:
    """That it is there; of a folder that is written to, its permissions."""
    return _permissions(stat) if str(stat.get("name")) == "tmp" else "there"


def _permissions(stat: dict[str, Any]) -> str:
    """As ``stat`` prints them; the engine has the sticky bit elsewhere (Go's ``fs.ModeSticky``)."""
    mode = int(stat["mode"])
    return f"{mode & 0o777 | (0o1000 if mode & 1 << 20 else 0):04o}"


def stat_of(container: Container, path: str) -> dict[str, Any] | None:
    """``name``, ``size``, ``mode`` and ``linkTarget`` of a path; None if there is none (Engine API, ``ContainerArchiveInfo``)."""
    url = f"{container.api.base_url}/v{container.api.api_version}/containers/{container.id}/archive"
    answer = container.api.head(url, params={"path": path})
    raw = answer.headers.get("X-Docker-Container-Path-Stat")
    stat: dict[str, Any] | None = loads(b64decode(raw)) if answer.ok and raw else None
    return stat


def _text(container: Container, path: str) -> str:
    return read_file(container.api, container.id, path, 2**20).decode(errors="replace")


def _in_proc(container: Container) -> dict[str, str]:
    """Groups, umask, limits, and whether SIGTERM reaches it: the kernel keeps signals without a handler from a first process."""
    seen: dict[str, str] = {}
    if not container.host.startswith("unix://") or not netns.is_process_of(container.pid, container.id):
        return seen
    with contextlib.suppress(OSError):
        folder = Path(f"/proc/{container.pid}")
        status = dict(line.split(":\t", 1) for line in (folder / "status").read_text().splitlines() if ":\t" in line)
        seen = {"groups": status["Groups"].strip(), "umask": status.get("Umask", "")}
        seen["handles SIGTERM"] = "yes" if int(status["SigCgt"], 16) & _TERM else "no"
        files = re.search(r"Max open files\s+(\d+)", (folder / "limits").read_text())
        seen["open files"] = files[1] if files else ""
    return seen
