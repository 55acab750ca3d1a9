"""Name the likely causes of differences: what B looked for and A has, and in what their processes differ."""

from __future__ import annotations

import re
import time
import tomllib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.resources import files
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from deadweight._errors import DeadweightError, Interrupted, UsageError
from deadweight.checks.scan.reachability import CannotWatch, Seen, watching
from deadweight.engine.sidecars import LOOKS
from deadweight_workload.twin.compare import CONTENTS, Cause, Difference
from deadweight_workload.twin.process import stat_of
from deadweight_workload.twin.sides import NO_ANSWER, SIGNALS, answered

if TYPE_CHECKING:
    from deadweight.checks.protocol import Subject
    from deadweight_workload.model import Step

_LIBRARY = re.compile(r"(\S+\.so[\w.]*): (?:cannot open shared object|No such file)")
"""As glibc and musl say it (``dlerror``), also of a program that they cannot start."""
_LOADER = re.compile(r"/ld-(linux|musl|\d)[^/]*$")
_DENIED = re.compile(r"(?i)permission denied|access denied|EACCES|not permitted")


BEHIND = ("process", "image", CONTENTS)
"""What explains differences, and is told after them."""


@dataclass
class Looked:
    """What one side opened, which programs it ran for requests, and by request what it looked for in vain (``start``: before any).
    ``there`` are those of the paths asked about that its image has."""

    opened: frozenset[str] = frozenset()
    ran: frozenset[str] = frozenset()
    missed: dict[str, frozenset[str]] = field(default_factory=dict)
    there: frozenset[str] = frozenset()
    trouble: str = ""


def looked(subject: Subject, steps: Sequence[Step], ask: frozenset[str] = frozenset()) -> Looked:
    """Run one side under the recorder, one request at a time. ``ask`` are paths of which to tell whether its image has them."""
    subject, seen = replace(subject, service=None), Looked()  # type: ignore[arg-type]
    try:
        with watching(subject, LOOKS) as (container, heard):
            ready = container.wait_healthy(subject.variant.health, subject.variant.port)
            _note(seen, "start", first := heard())
            for step in steps if ready.healthy else ():
                try:
                    answered(subject, container, step)
                except NO_ANSWER:
                    time.sleep(0.1)
                _note(seen, step.name, last := heard())
                seen.ran = frozenset(path for path in last.executed - first.executed if not _LOADER.search(path))
            seen.there = frozenset(path for path in ask if stat_of(container, path) is not None)
    except CannotWatch as reason:
        seen.trouble = str(reason.args[0])
    except (Interrupted, UsageError):
        raise
    except DeadweightError as error:  # what ended during a request ends the recorder too: what it told before counts
        seen.trouble = " ".join(error.message.split())
    finally:
        subject.service.close()
    return seen


def _note(seen: Looked, name: str, heard: Seen) -> None:
    before = frozenset[str]().union(*seen.missed.values())
    seen.missed[name] = heard.missed - before
    seen.opened = heard.opened


def missing(a: Looked, b: Looked) -> dict[str, tuple[str, ...]]:
    """By request, the paths that B looked for in vain and A has: A opened it, or one of this name where B did not."""
    ours, theirs = ({PurePosixPath(path).name for path in side.opened} for side in (a, b))
    only_ours = ours - theirs

    def lacking(path: str) -> bool:
        return path in a.opened or path in a.there or PurePosixPath(path).name in only_ours

    def place(path: str) -> tuple[bool, str]:
        return path not in a.opened | a.there, path  # the very file tells more than where else it was looked for

    return {name: tuple(sorted(filter(lacking, paths), key=place)) for name, paths in b.missed.items()}


def explained(
    differences: Sequence[Difference], a: Looked, b: Looked, name: str, probes: Collection[str] = ()
) -> tuple[Difference, ...]:
    """The differences with their likely causes, those of one cause together. ``name`` is B's. Of ``probes`` (names of requests)
    nothing is guessed: a protocol is the program's own."""
    lacking, ran = missing(a, b), (min(a.ran - b.ran, default=""), min(b.ran - a.ran, default=""))
    other = Cause("other_program", {"a": ran[0], "b": ran[1], "side": name}) if all(ran) else None
    process = {one.field: one for one in differences if one.request in BEHIND}
    denied = any(one.request == "log" and _DENIED.search(one.field) for one in differences)
    guessed = [(one, {} if one.request in probes else process) for one in differences]
    told = [replace(one, cause=_cause(one, seen, lacking, name, other, denied=denied)) for one, seen in guessed]
    order: dict[str, int] = {}
    for one in sorted(told, key=lambda one: one.request in BEHIND):  # what a user of the service sees comes first
        order.setdefault(one.cause.code if one.cause else "", len(order))
    return tuple(sorted(told, key=lambda one: (order[one.cause.code if one.cause else ""], one.request in BEHIND)))


def _cause(
    one: Difference,
    process: Mapping[str, Difference],
    lacking: Mapping[str, Sequence[str]],
    b: str,
    other: Cause | None,
    *,
    denied: bool,
) -> Cause | None:
    if one.request in BEHIND:
        return _of_process(one)
    own = lacking.get(one.request) or ()
    whole = [path for paths in lacking.values() for path in paths]
    named = [path for path in whole if path in f"{one.b} {one.field}"]
    rights = denied or _DENIED.search(f"{one.b} {one.field}") is not None
    library = _LIBRARY.search(f"{one.b} {one.field}")
    signals = process.get("handles SIGTERM") if one.request == "SIGTERM" else None
    likely = sorted(_table()["process"], key=lambda name: name not in one.field)  # what a field names comes first
    fallback = next((process[name] for name in likely if name in process and _lacks(process[name])), None)
    outside = one.request in ("SIGTERM", "ports", *SIGNALS)
    ways: tuple[Callable[[], Cause | None], ...] = (
        lambda: _of_process(signals) if signals else None,
        lambda: Cause("library", {"path": library[1], "side": b}) if library else None,
        lambda: _of_file(named or own, b),
        lambda: (_of_process(process["user"]) if "user" in process else Cause("rights")) if rights else None,
        lambda: _of_file(() if outside else whole, b),
        lambda: _of_folder(one, process),
        lambda: Cause("compression") if one.field == "header content-encoding" and one.b is None else None,
        lambda: Cause("empty_body") if (one.field, one.b) == ("body", "empty") else None,
        lambda: None if outside or one.request == "start" else other,
        lambda: _of_process(fallback) if fallback and not outside else None,
    )
    return next(filter(None, (way() for way in ways)), None)


def _lacks(one: Difference) -> bool:
    """Whether B has less than A, or another: what it has more, a folder that more may write to, breaks nothing."""
    return one.a not in (None, "none") and (
        one.field != "temporary folder" or (one.b or "") < (one.a or "") or one.b == "none"
    )


@cache
def _table() -> dict[str, Any]:
    return tomllib.loads((files(__package__) / "causes.toml").read_text("utf-8"))


def _of_file(paths: Sequence[str], b: str) -> Cause | None:
    """The most telling of these paths: by the order of the table."""
    for row in _table()["path"] if paths else ():
        if path := next((path for path in paths if re.search(row["pattern"], path)), None):
            return Cause(row["code"], {"path": path, "side": b})
    return None


def _of_folder(one: Difference, process: Mapping[str, Difference]) -> Cause | None:
    """A folder or program that the image of B lacks and the answer of A names."""
    words = re.findall(r"[\w.-]+", one.a or "")
    name = next((name for name in process if name[0] == "/" and PurePosixPath(name).name in words), "")
    return Cause("folder", {"field": name, "a": str(process[name].a), "b": str(process[name].b)}) if name else None


def _of_process(one: Difference) -> Cause | None:
    code = _table()["process"].get(one.field)
    return Cause(code, {"field": one.field, "a": one.a or "none", "b": one.b or "none"}) if code else None
