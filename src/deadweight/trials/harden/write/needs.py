"""The containers beside it, as the suite says them: none was hardened."""

from __future__ import annotations

from deadweight.records.reference import parse
from deadweight.suite.model import Need
from deadweight.suite.values import parse_tmpfs
from deadweight.trials.harden.found import Found


def beside(found: Found) -> dict[str, Need]:
    """By their names; another variant of the suite has no image that a platform could pull."""
    return {name: need for name, need in found.variant.run.needs.items() if need.image}


def named(name: str, found: Found) -> str:
    """A name for it that is not somebody else's on the same engine; in the network it is known by its own."""
    return f"{found.suite}-{name}"


def is_job(need: Need) -> bool:
    """Whether it has to have ended before the service is started."""
    return need.health.kind == "exit"


def full_name(need: Need) -> str:
    """Podman asks which registry is meant where a reference names none."""
    return str(parse(need.image or ""))


def folders_in_memory(need: Need) -> list[str]:
    """Its folders in memory, as ``--tmpfs`` takes them."""
    entries = (parse_tmpfs(each) for each in need.tmpfs)
    return [f"{path}:size={size}" if size else path for path, size in entries]


def network_name(found: Found) -> str:
    """A network of its own: without a way out where it needs none, else for those that find it by name; empty where nobody does."""
    if not found.outgoing:
        return f"{found.suite}-internal"
    return f"{found.suite}-network" if beside(found) else ""
