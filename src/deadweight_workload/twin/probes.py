"""Make requests that no document shows and clients send all the same (``probes.toml``): ranges, large headers, broken bodies."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Literal

from deadweight.suite.checks import HttpRequest
from deadweight_workload.model import Step
from deadweight_workload.sources import LAST

if TYPE_CHECKING:
    from deadweight.engine.http import Answer

MOST_ASKED = 80
Speaks = Literal["1.1", "1.0", "expect"]


@dataclass(frozen=True)
class Probe(Step):
    """``speaks``: HTTP/1.1, HTTP/1.0, or with a body that waits for ``100 Continue``."""

    speaks: Speaks = "1.1"


def probes(steps: Iterable[Step], ask: Callable[[Step], Answer | None]) -> Iterator[Probe]:
    """The probes of a service. ``ask`` sends a step to one that nothing else needs any more; None: it does not answer."""
    aims = _aims(steps, ask)
    for row in tomllib.loads((files(__package__) / "probes.toml").read_text("utf-8"))["probe"]:
        for operation, step in {aims[place].operation: aims[place] for place in row["on"] if place in aims}.items():
            request = step.request.model_copy(update=_changed(row, step.request))
            name, as_is = f"{operation} (probe {row['name']})", "{}" not in row.get("path", "{}")
            yield Probe(name, operation, request, source="probe", as_is=as_is, speaks=row.get("speaks", "1.1"))


def _aims(steps: Iterable[Step], ask: Callable[[Step], Answer | None]) -> dict[str, Step]:
    """What probes are sent to, by its place in ``probes.toml``."""
    aims, largest = {"front": Step("GET /", "GET /", HttpRequest())}, 0
    asked = [step for step in steps if step.request.method in ("GET", "POST") and not LAST.search(step.operation)]
    for step in (aims["front"], *asked[:MOST_ASKED]):
        answer = ask(step)
        if answer is None or not 200 <= answer.status < 300 or answer.truncated:
            continue
        if step.request.method == "POST":
            if "post" not in aims or (_takes_json(step) and not _takes_json(aims["post"])):
                aims["post"] = step
            continue
        if answer.headers.get("accept-ranges") == "bytes":
            aims.setdefault("ranges", step)
        if "json" in answer.headers.get("content-type", ""):
            aims.setdefault("json", step)
        if len(answer.body) > largest:
            aims["largest"], largest = step, len(answer.body)
    return aims


def _takes_json(step: Step) -> bool:
    return step.request.json_body is not None or "json" in " ".join(step.request.headers.values())


def _changed(row: Mapping[str, Any], request: HttpRequest) -> dict[str, Any]:
    """The fields of the request that a probe changes. The connection stays open, as a client's does: who closes it is told."""
    more = {"X-Probe": "x" * row.get("bytes", 0), **row.get("headers", {})}
    more |= {f"X-Probe-{number}": "x" for number in range(row.get("fields", 0))}
    kept = {name: value for name, value in request.headers.items() if name.lower() not in {key.lower() for key in more}}
    path = row.get("path", "{}").replace("{}", request.path)
    changed = {
        "method": row.get("method", request.method),
        "path": f"/{'x' * row['path_bytes']}"
        if "path_bytes" in row
        else path.replace("?q", "&q")
        if "?" in request.path
        else path,
        "headers": {"Connection": "keep-alive", **kept, **more},
    }
    body = "[" * row["nested"] if "nested" in row else row.get("body")
    if body is not None:
        changed |= {"body": body, "json_body": None, "form": None, "body_file": None, "repeat": {}, "repeat_body": 1}
    return changed
