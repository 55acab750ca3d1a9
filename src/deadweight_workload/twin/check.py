"""Run the ``twin`` check: a variant behaves as another one, or as an image, does.

Evidence data: ``of``, ``differences`` (``request``, ``field``, ``a``, ``b``, ``cause``), ``masked``, ``accepted``, ``requests``,
``operations_compared``, ``operations_known``, ``never_asked``, ``unwatched``, ``notes``.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from deadweight._errors import DeadweightError, MissingError, wording as core
from deadweight._packages import images
from deadweight.checks.protocol import Check, Subject, by_engine, evidence
from deadweight.checks.runner import result_of, side_by_side
from deadweight.report.figures import plural
from deadweight_workload.model import Ledger, Step, wording
from deadweight_workload.twin import causes
from deadweight_workload.twin.answers import Facts
from deadweight_workload.twin.compare import (
    CONTENTS,
    LOADED,
    Cause,
    Comparison,
    Difference,
    content_differences,
    differing,
)
from deadweight_workload.twin.sides import SIGNALS, Run, requests_of, run, signalled

if TYPE_CHECKING:
    from deadweight.records.evidence import Evidence, Status

IMAGE = "image:"
SHOWN, SHOWN_OF_START, SHOWN_OF_FILES, MORE = 60, 500, 240, 3
ASIDE = frozenset({"start", "service", "process", "image", CONTENTS, "ports", "log", "files", "SIGTERM", *SIGNALS})
"""What is compared beside answers."""


def compare(
    a: Subject, b: Subject, names: tuple[str, str], allow: Sequence[str] = (), *, probing: bool = True
) -> Comparison:
    """Send B's requests to both, and compare. ``names`` are what the sides are called, ``probing``: also what only clients
    do, other signals, and what the images hold.

    Raises MissingError where nothing can be compared: no request is known, or A does not come up.
    """
    for side in (a, b):
        if not side.variant.runnable or side.variant.health.kind == "exit":
            raise MissingError(wording("twin.no_service", variant=side.variant.name))
    try:
        work = requests_of(a if b.variant.name == a.variant.name else b, probing=probing)
    except DeadweightError:  # B does not come up: what the suite itself asks is enough to tell so
        work = requests_of(a, probing=probing)
    if not work.steps:
        raise MissingError(wording("ledger.nothing"), hint=wording("ledger.add"))
    found, masked, seen = _asked(a, b, work.steps, names[0])
    found = [one for one in found if probing or one.request != CONTENTS]
    probes = frozenset(step.name for step in work.steps if step.source == "probe")
    plain = {(one.field, one.a, one.b) for one in found if one.request not in probes}
    found = [one for one in found if one.request not in probes or (one.field, one.a, one.b) not in plain]
    paths: dict[str, tuple[str, ...]] = {}
    if probing and not any(one.request == "start" for one in found):
        apart, paths = content_differences(
            *(images.listing(side.archive(), side.state.cache / "image") for side in (a, b))
        )
        found += [*_signalled(a, b), *apart]
    left = [one for one in found if not one.accepted(allow)]
    differences, unwatched = tuple(left), ""
    if any(one.request != CONTENTS for one in left):
        differences, unwatched = _explained(a, b, work.steps, left, names[1])
    own = replace(work, steps=tuple(step for step in work.steps if step.name not in probes))
    ledger = Ledger(len(own.operations), 0, own.ledger().unasked)
    accepted = len(found) - len(left)
    notes = (*work.notes, *([] if seen else [wording("twin.unseen")]))
    return Comparison(*names, differences, tuple(masked), ledger, len(work.steps), accepted, unwatched, notes, paths)


def _asked(a: Subject, b: Subject, steps: Sequence[Step], name: str) -> tuple[list[Difference], list[str], bool]:
    """Differences, what is masked, whether processes were seen. Raises MissingError where A, that is ``name``, does not come up."""
    ours, theirs = _runs((a, a, b), steps, 2)
    for one in ours:
        if (reason := one.facts["start", "healthy"]) != "yes":
            raise MissingError(wording("twin.not_up", side=name, reason=reason))
    if _compared(ours, theirs)[0]:  # what a busy machine, or the hour, brought about does not come again
        again = _runs((a, b), steps, 1)
        ours, theirs = [*ours, *again[0]], [*theirs, *again[1]]
    return (*_compared(ours, theirs), ("process", "umask") in ours[0].facts)


def _runs(sides: Sequence[Subject], steps: Sequence[Step], of_a: int) -> tuple[list[Run], list[Run]]:
    with side_by_side(partial(run, steps=steps), sides, jobs=len(sides)) as running:
        done = [result_of(work) for _, work in running]
    return done[:of_a], done[of_a:]


def _signalled(a: Subject, b: Subject) -> list[Difference]:
    """What differs, if anything does, twice."""
    seen = list[list[Facts]]()
    while len(seen) < 2 and (not seen or seen[0][0] != seen[0][1]):
        with side_by_side(signalled, (a, b), jobs=2) as running:
            seen.append([result_of(work) for _, work in running])
    return differing(*map(list, zip(*seen, strict=True)))[0]


def _compared(a: Sequence[Run], b: Sequence[Run]) -> tuple[list[Difference], list[str]]:
    """Of a service that does not come up, that alone is told."""
    down = [one.facts for one in b if one.facts["start", "healthy"] != "yes"]
    if len(down) == len(b):
        return [Difference("start", "healthy", "yes", down[0]["start", "healthy"])], []
    found, masked = differing([one.facts for one in a], [one.facts for one in b])
    # under load B may give what A gives alone: what others changed meanwhile, in any order, is no difference
    return [it for it in found if it.field != LOADED or all(it.b != run.alone.get(it.request) for run in a)], masked


def _explained(
    a: Subject, b: Subject, steps: Sequence[Step], found: Sequence[Difference], name: str
) -> tuple[tuple[Difference, ...], str]:
    """The differences with their causes, and why files could not be watched if they could not."""
    names = {one.request for one in found}
    steps = [step for step in steps if step.source != "probe" or step.name in names]
    theirs = causes.looked(b, steps)
    ours = causes.looked(a, steps, frozenset[str]().union(*theirs.missed.values()))
    probes = frozenset(step.name for step in steps if step.source == "probe")
    return causes.explained(found, ours, theirs, name, probes), theirs.trouble or ours.trouble


# What is printed.


def verdict(result: Comparison) -> str:
    """One line: whether the two are alike, and of how much that is said."""
    asked, known = result.ledger.learned, result.ledger.known
    words = {"asked": plural(asked, "operation"), "requests": plural(result.requests, "request")}
    counts = wording("twin.compared", **words, unasked=known - asked, known=known)
    count = plural(len(result.differences), "difference")
    answers = sum(one.request not in ASIDE for one in result.differences)
    names = {"a": result.a, "b": result.b, "count": count, "answers": answers, "counts": counts}
    return wording("twin.alike" if result.alike else "twin.different", **names)


def lines(result: Comparison) -> Iterator[str]:
    """The verdict, a line for each difference that has a cause of its own, and what was left out."""
    yield verdict(result)
    groups: dict[str, list[Difference]] = {}
    for one in result.differences:
        alike = f"{one.request if one.request in ASIDE else one.field} {one.a} {one.b}"
        groups.setdefault(one.cause.code if one.cause else alike, []).append(one)
    for group in groups.values():
        first = max(group, key=_telling)
        yield told(first, result)
        others: dict[str, list[str]] = {}
        for one in group:
            if one is not first:
                others.setdefault(one.request, []).append(one.field)
        for request, fields in others.items():
            yield f"  {wording('twin.same_cause', request=request, fields=_few(fields))}"
    if result.masked:
        fields = list(dict.fromkeys(name.partition(": ")[2] for name in result.masked))
        yield wording("twin.masked", a=result.a, fields=_few(fields))
    if result.accepted:
        yield wording("twin.accepted", count=plural(result.accepted, "difference"))
    if result.unwatched:
        yield wording("twin.unwatched", reason=result.unwatched)
    yield from result.notes


def _telling(one: Difference) -> int:
    """How well a difference shows its cause: it is in the values, or is a file."""
    fields = one.cause.fields if one.cause else {}
    names = [PurePosixPath(fields[name]).name for name in ("a", "b", "path") if name in fields]
    plain = one.field in ("status", "body")
    return sum(name in f"{one.a} {one.b}" for name in names) + ("path" in fields) + plain - (one.request in ASIDE)


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - MORE} more" if len(names) > MORE else ""
    return ", ".join(names[:MORE]) + more


def told(one: Difference, result: Comparison) -> str:
    """One difference: request, field, both values, the likely cause."""
    most = {"start": SHOWN_OF_START, CONTENTS: SHOWN_OF_FILES}.get(one.request, SHOWN)
    mine, other = _shown(one.a, one.b, most)
    what: str = wording(
        "twin.difference", request=one.request, field=one.field, a=result.a, b=result.b, mine=mine, other=other
    )
    if one.cause is None:
        return what
    return f"{what}: {_why(one.cause)}" if one.request != "process" else what


def _why(cause: Cause) -> str:
    if "path" in cause.fields:
        return wording("cause.missing_path", **cause.fields)
    if "field" in cause.fields:
        return wording("cause.missing_field", **cause.fields)
    sentences = {
        "other_program": wording("cause.other_program", **{"a": "", "b": "", "side": "", **cause.fields}),
        "rights": wording("cause.rights"),
        "compression": wording("cause.compression"),
        "empty_body": wording("cause.empty_body"),
    }
    return sentences[cause.code]


def _shown(a: str | None, b: str | None, most: int) -> tuple[str, str]:
    """Both values; of long ones the surroundings of where they part."""
    values = [wording("twin.absent") if value is None else value for value in (a, b)]
    if max(map(len, values)) > most:
        pairs = enumerate(zip(*values, strict=False))
        at = max(0, next((index for index, (one, other) in pairs if one != other), min(map(len, values))) - 15)
        values = [
            ("…" if at else "") + value[at : at + most] + ("…" if len(value) > at + most else "") for value in values
        ]
    first, second = (" ".join(value.split()) or '""' for value in values)
    return first, second


class Twin(Check):
    """The check. It is asked for where the variant has ``checks.twin``."""

    name = "twin"
    needs_engine = True

    def run(self, subject: Subject) -> Evidence:
        """Compare with what ``of`` names. What is missing (the other's build, the image) is not measured."""
        started, asked = time.monotonic(), subject.variant.checks.twin
        assert asked is not None
        result = compare(other_side(subject, asked.of), subject, (asked.of, subject.variant.name), asked.allow)
        reason = next(lines(result))
        if not result.alike:
            reason = f"{reason}; {told(result.differences[0], result)}"
        status: Status = "pass" if result.alike else "fail"
        data = {"of": asked.of, **replace(result, paths={}).document()}
        return evidence(subject, self.name, status, reason, provenance=by_engine(subject), started=started, data=data)


def other_side(subject: Subject, name: str) -> Subject:
    """A variant of the suite, or with this variant's settings an image: ``image:REF``. Raises MissingError."""
    if not name.startswith(IMAGE):
        if (other := subject.subject_of(name)) is None:
            raise MissingError(core("project.image_missing", variant=name))
        return other
    wanted = name.removeprefix(IMAGE)
    reference = wanted if subject.engine().images.get(wanted) else subject.public_image(wanted)
    built = replace(subject.built, reference=reference, config_digest=subject.engine().images.need(reference).id)
    archive = partial(subject.engine().images.save, reference, subject.state.cache / "twin.tar")
    return replace(subject, built=built, archive=archive, engine_image=lambda: reference, service=None)  # type: ignore[arg-type]


CHECK = Twin()
