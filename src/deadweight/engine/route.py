"""The way to a container's port, whatever engine it runs in."""

from __future__ import annotations

import sys

from deadweight._errors import DeadweightError
from deadweight.engine import http
from deadweight.engine.container import Container
from deadweight.engine.faults import Ended, Unreachable
from deadweight.engine.info import EngineInfo
from deadweight.engine.tunnel_client import Tunnels


def route_to(
    container: Container, inside: int, host: str, info: EngineInfo, tunnels: Tunnels, *, closed: bool, cut_off: bool
) -> http.Route:
    """In this order: published, network namespace (for root), address, through the engine. ``host`` is the engine's. ``closed``:
    nothing leads out of its network, nor in by a port that is published all the same (Podman says that one is, Docker does not).
    ``cut_off``: its network has no address of the engine's machine, so that none of its own is reached from there.

    Raises Ended where the container does not run any more, Unreachable where no way leads there.
    """
    document = container.settled()
    if not container.known_to_run and not (document := container.inspect())["State"].get("Running"):
        raise Ended(f"container {container.name} is not running")
    settings = document["NetworkSettings"]
    local = host.startswith(("unix://", "npipe://", "http+unix://"))
    bindings = (settings.get("Ports") or {}).get(f"{inside}/tcp") or ()
    if bindings and local and not closed:
        return http.direct("published", "127.0.0.1", int(bindings[0]["HostPort"]))
    pid = int(document["State"].get("Pid") or 0)
    if local and http.can_enter_namespace(pid, container.id):
        return http.through_namespace(pid, inside)
    address = settings.get("IPAddress") or next(
        (net.get("IPAddress") for net in (settings.get("Networks") or {}).values() if net.get("IPAddress")), ""
    )
    # Desktop's containers live in another machine, those of a rootless engine in a network namespace of its own.
    if address and not cut_off and local and sys.platform == "linux" and not (info.desktop or info.rootless):
        return http.direct("address", address, inside)
    try:
        tunnels.beside(container)
    except DeadweightError as error:
        if not container.state().running:
            raise Ended(f"container {container.name} is not running") from error
        raise Unreachable(
            f"port {inside} of container {container.name} cannot be reached: it is not published here, its network cannot be "
            f"entered from here, and nothing can be started beside it: {error.message}",
            hint=error.hint or "run this as root on the Linux machine where the engine runs",
        ) from error
    return tunnels.route(container, inside)
