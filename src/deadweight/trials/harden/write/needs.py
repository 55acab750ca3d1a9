"""The containers beside it, as the suite says them: none was hardened."""

from __future__ import annotations

from deadweight.records.reference import DOCKER_HUB, parse
from deadweight.suite.model import Need
from deadweight.suite.values import parse_tmpfs
from deadweight.trials.harden.found import Found
from deadweight.trials.harden.write.values import Written


def beside(found: Found) -> dict[str, Need]:
    """By their names; another variant of the suite has no image that a platform could pull."""
    return {name: need for name, need in found.variant.run.needs.items() if need.image}


def before(name: str, found: Found) -> dict[str, Need]:
    """Those that are started before that one: the suite names them in their order."""
    others = beside(found)
    earlier = list(others)[: list(others).index(name)]
    return {each: others[each] for each in earlier}


def named(name: str, found: Found) -> str:
    """A name for it that is not somebody else's on the same engine; in the network it is known by its own."""
    return f"{found.suite}-{name}"


def is_job(need: Need) -> bool:
    """Whether it has to have ended before the service is started."""
    return need.health.kind == "exit"


def full_name(image: str) -> str:
    """Podman asks which registry is meant where a reference names none."""
    return str(parse(image))


def podman_image(found: Found, given: Written) -> str:
    """What Podman calls the image: one that it was given by a name without a registry is ``localhost``'s."""
    if given.image:
        return full_name(given.image)
    named = parse(found.image).host != DOCKER_HUB or found.image.startswith(f"{DOCKER_HUB}/")
    return found.image if named else f"localhost/{found.image}"


def to_load(found: Found, given: Written) -> list[str]:
    """What has to be done before Podman finds the image."""
    if given.image:
        return []
    elsewhere = f"docker save {found.image} | podman load, or push it and name it with --image"
    return [f"# The image is only in the engine that built it. Elsewhere: {elsewhere}."]


def folders_in_memory(need: Need) -> list[str]:
    """Its folders in memory, as ``--tmpfs`` takes them."""
    entries = (parse_tmpfs(each) for each in need.tmpfs)
    return [f"{path}:size={size}" if size else path for path, size in entries]


def network_name(found: Found) -> str:
    """A network of its own: without a way out where it needs none, else for those that find it by name; empty where nobody does."""
    if not found.outgoing:
        return f"{found.suite}-internal"
    return f"{found.suite}-network" if beside(found) else ""
