"""A draft with what was seen of the service in a run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from deadweight_init import posture
from deadweight_init.described import SERVED
from deadweight_init.draft import Draft, port_hints
from deadweight_init.observe import Seen, kind_told
from deadweight_init.records import SEEN, Known, Service

if TYPE_CHECKING:
    from deadweight.records.evidence import Evidence

NO_ROUTE = ", its OpenAPI document; no health route was found"

_LONG_SECONDS = 4.0
GRACE_SECONDS = 30
"""``terminationGracePeriodSeconds`` where a manifest says nothing (kubernetes.io, "Pod Lifecycle")."""


def with_seen(draft: Draft, seen: Seen, told: Mapping[str, Known[Any]]) -> Draft:
    """The draft with what was seen."""
    health = posture.health_of(seen)
    more: dict[str, Any] = {"tls": True} if health.tls else {}
    more |= {} if health.within_seconds == 20.0 else {"within_seconds": health.within_seconds}
    if health.kind != "http":
        text = Known[Mapping[str, Any]]({"kind": health.kind, **more}, f"{SEEN}: {kind_told(seen.health)}")
    elif health.status == ("2xx",):
        why = f"answers {seen.health.status}" + (NO_ROUTE if health.path in SERVED else "")
        text = Known({"path": health.path, **more}, f"{SEEN}: {why}")
    else:
        text = Known({"path": health.path, "status": list(health.status), **more}, f"{SEEN}: no path answers 2xx")
    others = [port for port in seen.ports if port != seen.health.port]
    known = SEEN if seen.ports else draft.port.origin
    port = Known(seen.health.port, f"{SEEN}; also open: {', '.join(map(str, others))}" if others else known)
    named = {each.value for each in port_hints(draft.service)}  # the others may be any port that was free
    if also := [each for each in others if each in named]:
        told = {**told, "ports": Known(also, f"{SEEN}: it listens there too")}
    service = _owning(draft.service, told)
    return replace(draft, service=service, port=port, health=text, run={**draft.run, **told}, stops=_stops(seen))


def _stops(seen: Seen) -> Known[int] | None:
    """A service that needs a good part of ten seconds to end has those that Kubernetes gives."""
    if seen.stop_seconds is None or seen.stop_seconds < _LONG_SECONDS:
        return None
    return Known(GRACE_SECONDS, f"{SEEN}: it took {seen.stop_seconds:.1f} s")


def with_slower_end(draft: Draft, found: Iterable[Evidence]) -> Draft:
    """The draft whose suite waits for the slowest of its variants to end: one may take three seconds, and the next nine."""
    took = {each.variant: each.data.get("stop_seconds") for each in found if each.check == "runs" and each.ok}
    slow = {name: seconds for name, seconds in took.items() if isinstance(seconds, float) and seconds >= _LONG_SECONDS}
    if draft.stops is not None or not slow:
        return draft
    name = max(slow, key=lambda each: slow[each])
    return replace(draft, stops=Known(GRACE_SECONDS, f"{SEEN}: {name} took {slow[name]:.1f} s"))


def _owning(service: Service, told: Mapping[str, Known[Any]]) -> Service:
    """The service, whose files are its user's from now on where it comes up only if it may write among them."""
    project = service.project
    if project is None or told.get("read_only", Known(True)).value:
        return service
    return replace(service, project=replace(project, owned=True))
