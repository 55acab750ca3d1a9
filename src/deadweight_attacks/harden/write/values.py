"""Values and names as YAML, Compose and Kubernetes take them."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

from deadweight_attacks.harden.found import Found

PORT_SYSCTL = "net.ipv4.ip_unprivileged_port_start"

MAX_LABEL = 63
"""The longest label of RFC 1123, which names a pod, and the longest value of a Kubernetes label."""

FIRST_UNPRIVILEGED = 1024
"""The lowest port that a process without root or NET_BIND_SERVICE may listen on, where nothing else is said (ip-sysctl)."""

ENGINE_STOP_SECONDS, KUBERNETES_STOP_SECONDS = 10, 30
"""What the platforms give a container to end where nothing is said."""


@dataclass(frozen=True)
class Written:
    """What only the reader of the text knows. ``image`` is the reference from which the platform pulls it, ``profile`` the path of
    the seccomp profile as the text is to name it, ``files`` the project's folder in the same way; ``budget``: whether a
    PodDisruptionBudget is asked for."""

    image: str = ""
    profile: str = ""
    budget: bool = False
    files: str = "."


class Quoted(str):
    """Text that is not ours: written in quotes, because not all readers of YAML take 1e3, 0o17 or y for text."""


def given(text: str) -> Quoted:
    """A value of the suite's. Compose replaces ``$NAME`` in it, Kubernetes ``$(NAME)``; both take ``$$`` for one dollar sign."""
    return Quoted(text.replace("$", "$$"))


def label(name: str) -> str:
    """A suite's name as a label of RFC 1123, which knows no dots and underscores."""
    return re.sub("[^a-z0-9]", "-", name)[:MAX_LABEL].rstrip("-")


def short(size_bytes: int | None, unit: str = "m") -> str:
    """Bytes in ``unit`` of 2^20 where nothing is lost."""
    mebibytes, rest = divmod(size_bytes or 0, 2**20)
    return str(size_bytes) if rest else f"{mebibytes}{unit}"


def stop_seconds(found: Found, usual: int) -> int | None:
    """How long it may take to end, where that is longer than the platform's usual time."""
    seconds = math.ceil(found.variant.checks.runs.stops_within_seconds)
    return seconds if seconds > usual else None


def start_seconds(found: Found) -> int:
    """How long it may take to come up."""
    return math.ceil(found.variant.health.within_seconds)


def inside(folder: str, path: str) -> str:
    """A path below a folder, without the dot that means here."""
    return path if folder == "." else f"{folder}/{path}"


def key(name: str, value: Any) -> dict[str, Any]:
    """The key, where there is something to say."""
    return {name: value} if value else {}


def published(found: Found) -> list[str]:
    """Its ports, each published on loopback under its own number."""
    return [f"127.0.0.1:{port}:{port}" for port in all_ports(found)]


def all_ports(found: Found) -> tuple[int, ...]:
    """The port that is asked whether it is up, where it has one, then those on which it listens besides."""
    own = () if found.variant.port is None else (found.variant.port,)
    return tuple(dict.fromkeys((*own, *found.variant.run.ports)))


def low_port(found: Found) -> int | None:
    """The lowest of its ports, where that is one that a platform has to open. Docker opens all of a container's to anybody."""
    lowest = min(all_ports(found), default=FIRST_UNPRIVILEGED)
    return lowest if lowest < FIRST_UNPRIVILEGED else None


def container_name(found: Found) -> str:
    """An engine wants two characters at least (moby, ``RestrictedNamePattern``); nothing that it needs is called so."""
    name = found.suite if len(found.suite) > 1 else f"{found.suite}-service"
    needs = found.variant.run.needs
    while name in needs or name.removeprefix(f"{found.suite}-") in needs:
        name += "-service"
    return name


def yaml_text(document: dict[str, Any]) -> str:
    import yaml

    class Plain(yaml.SafeDumper):
        """Says everything where it stands: an alias for labels that are the same twice is right, and unreadable."""

        def ignore_aliases(self, _data: Any) -> bool:
            return True

    Plain.add_representer(
        Quoted, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"')
    )
    text: str = yaml.dump(document, Dumper=Plain, sort_keys=False, width=120)
    return text
