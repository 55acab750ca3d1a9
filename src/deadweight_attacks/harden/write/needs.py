"""The containers beside it, as the suite says them: none was hardened."""

from __future__ import annotations

import math
from collections.abc import Mapping

from deadweight.records.reference import DOCKER_HUB, parse
from deadweight.suite.model import Need
from deadweight.suite.values import parse_tmpfs
from deadweight_attacks.harden.found import Found
from deadweight_attacks.harden.write.values import Written

BRIDGE_RULE = (
    'if [ "$(id -u)" = 0 ] && grep -qs 1 /proc/sys/net/bridge/bridge-nf-call-iptables && '
    'bridge=$(podman network inspect --format "{{{{.NetworkInterface}}}}" {network}); then '
    'rule="FORWARD -i $bridge -o $bridge -j ACCEPT"; '
    "iptables -w 10 -C $rule 2>/dev/null || iptables -w 10 -I $rule; fi"
)
"""For Podman's internal networks, as root. A Docker engine on the same machine sets the firewall to drop what is forwarded. If the
kernel shows it bridged packets, that cuts containers of one network off from each other, unless a rule lets them pass: each engine
sets such rules for its own networks, but Podman (netavark) sets none for internal ones."""
TRIES = 10
"""How often a job is tried that may be too early."""


def beside(found: Found) -> dict[str, Need]:
    """By their names, in the order in which they are started."""
    return dict(found.variant.run.needs)


def image_of(name: str, found: Found) -> str:
    """A public reference, or that of another variant's image."""
    return found.variant.run.needs[name].image or found.need_images[name]


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


def untold(found: Found, needs: Mapping[str, Need]) -> list[str]:
    """Those of which nothing in their image tells whether they are up."""
    return [name for name, need in needs.items() if not is_job(need) and not found.need_asks.get(name)]


def too_early(name: str, found: Found) -> bool:
    """Whether it is a job that may be started before what it needs is up, and then fails."""
    return is_job(beside(found)[name]) and bool(untold(found, before(name, found)))


def up_seconds(need: Need) -> int:
    """How long it may take to come up."""
    return math.ceil(need.health.within_seconds)


def about(found: Found) -> list[str]:
    """What is to be said in comments: of those that are not waited for, of stand-ins, and of other variants."""
    asked = [name for name in found.need_stand_ins if found.need_asks.get(name)]
    told = {
        "Nothing in the image tells whether it is up, so that nothing waits for it: {}.": untold(found, beside(found)),
        "What tells whether it is up was tried in a local stand-in, and the public image may lack it: {}.": asked,
        "Only in the engine that built it: {}. Elsewhere: push it, and set its name here.": found.need_images.values(),
    }
    return [f"# {text.format(', '.join(names))}" for text, names in told.items() if names]


def podman_name(image: str, found: Found, *, built: bool) -> str:
    """What Podman calls an image. It asks which registry is meant where a reference names none; one that was built by another
    engine, and that it is given by such a name, is ``localhost``'s."""
    if not built:
        return str(parse(image))
    named = parse(image).host != DOCKER_HUB or image.startswith(f"{DOCKER_HUB}/")
    return found.in_podman.get(image) or (image if named else f"localhost/{image}")


def podman_image(found: Found, given: Written) -> str:
    """The same of the service's own image."""
    return podman_name(given.image or found.image, found, built=not given.image)


def podman_image_of(name: str, found: Found) -> str:
    """The same of one that it needs."""
    return podman_name(image_of(name, found), found, built=name in found.need_images)


def to_load(found: Found, given: Written) -> list[str]:
    """What has to be done before Podman finds the image."""
    if given.image:
        return []
    engine, image = ("podman", found.in_podman[found.image]) if found.in_podman else ("docker", found.image)
    elsewhere = f"{engine} save {image} | podman load, or push it and name it with --image"
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
