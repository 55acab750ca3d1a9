"""Find which vulnerabilities are in packages that the running service reaches.

The service runs hardened, as in every check, and gets all requests of the ``api`` check while every opened or executed file is
recorded. A package is reached if one of its files was opened. This is a lower bound: what no request triggers is not
seen, and nothing is known about functions inside a package. How low it may be is measured: the same is recorded without the
operations that are held out (``deadweight_workload``), and what these add is told.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from deadweight._errors import DeadweightError, Interrupted, UsageError, wording
from deadweight._packages import workload
from deadweight.checks.scan.model import Reach, ScanRow
from deadweight.checks.scan.trivy import folder
from deadweight.checks.service import with_last_lines
from deadweight.engine.sidecars import FILES, WATCH, argv, kernel_error, recording, roomier, running_on
from deadweight.records import store

if TYPE_CHECKING:
    from deadweight.checks.protocol import Subject
    from deadweight.engine.container import Container
    from deadweight.suite.checks import HttpRequest


class CannotWatch(Exception):
    """Files cannot be watched here; says why."""


# The service runs under our recorder, whose filter tells of the calls that open or execute a file before they go on
# (``engine/sidecars.py``). Another container of ours, among the service's processes, reads the name that is asked for and looks
# which file it leads to. So a file also counts that is there and that the service was then refused; what goes through io_uring does
# not, nor what a health check starts in the container. It works the same for root and for everybody else, on every engine.


def watched(subject: Subject, *parts: Sequence[workload.Step]) -> list[Seen]:
    """What was opened, and what of it was executed, by the end of each part of the requests.

    Raises CannotWatch where that is not told, DeadweightError where the service does not come up."""
    with watching(subject) as (container, heard):
        readiness = container.wait_healthy(subject.variant.health, subject.variant.port)
        if not readiness.healthy:
            heard()
            raise DeadweightError(readiness.reason)
        seen = []
        for steps in parts:
            for step in steps:
                _ask(subject, container, step.request)
            seen.append(heard())
        return seen


@contextlib.contextmanager
def watching(subject: Subject, setting: str = FILES) -> Iterator[tuple[Container, Callable[[], Seen]]]:
    """The service, started under the recorder, and what tells which files were touched so far; with LOOKS also those that it only
    asked for. Raises as ``watched`` does."""
    engine, image = subject.engine(), subject.engine_image()
    # a profile of the suite's may forbid the recorder's filter
    options = subject.service.options().but(seccomp="default")
    options, name = recording(roomier(options), argv(engine.images.need(image), options), setting)
    packed = engine.recorders.packed(image)
    with engine.start(packed, options, variant=subject.variant.name) as container:
        try:
            with engine.recorders.listening(container, name, WATCH) as heard:
                yield container, lambda: _seen(heard.line())
        except Interrupted:
            raise
        except DeadweightError as error:
            raise _better(error, container) from error


def _better(error: DeadweightError, container: Container) -> Exception:
    """What the recorder or the service said, where it has ended."""
    if running_on(container, error):
        return error
    state = container.state()
    if reason := kernel_error(state, container.logs(3)):
        return CannotWatch(wording("scan.kernel_tells_nothing", problem=reason))
    ended = wording("checks.service_ended", outcome=state.outcome())
    return DeadweightError(with_last_lines(ended, container))


class Seen(NamedTuple):
    """Paths of files that were opened, those of them that were executed, and names that led to no file."""

    opened: frozenset[str]
    executed: frozenset[str]
    missed: frozenset[str]


def _seen(line: bytes) -> Seen:
    record = json.loads(line)
    trouble = record["trouble"] or ("" if record["executed"] else wording("scan.no_program_seen"))
    if record["untold"]:
        raise CannotWatch(wording("scan.kernel_tells_nothing", problem=record["untold"]))
    if trouble:
        raise CannotWatch(wording("scan.files_not_seen", problem=trouble))
    return Seen(*(frozenset(record[name]) for name in Seen._fields))


_MERGED_USR = ("/bin/", "/sbin/", "/lib/", "/lib32/", "/lib64/", "/libx32/")


@dataclass(frozen=True)
class Observation:
    """What a service opened and executed, for one image and one set of requests (``key``). ``learned`` is what it opened or
    executed without the operations that are held out; empty if there are none."""

    key: str
    opened: tuple[str, ...]
    executed: tuple[str, ...]
    learned: tuple[str, ...] = ()


def observed(subject: Subject, *, may_run: bool) -> Observation | str:
    """What the service touches; kept for the same image and requests. A string says why it was not measured."""
    if not subject.variant.runnable or not subject.variant.checks.api:
        return wording("scan.no_requests")
    file = folder(subject) / "observation.json"
    asked = [*(item.model_dump_json() for item in subject.variant.checks.api), subject.variant.run.model_dump_json()]
    key = hashlib.sha256(f"2 {subject.built.config_digest} {''.join(asked)}".encode()).hexdigest()
    observation = store.load(Observation, file)
    if observation is not None and observation.key == key:
        return observation
    if not may_run:
        return wording("scan.not_run_yet", variant=subject.variant.name)
    try:
        work = workload.suite_workload(subject)
        first, *rest = watched(subject, work.learn, *([work.judge] if work.judge else []))
    except CannotWatch as reason:
        message: str = reason.args[0]
        return message
    except (Interrupted, UsageError):
        raise
    except DeadweightError as error:
        return wording("scan.service_not_run", problem=" ".join(error.message.split()))
    whole, learned = (rest[0], first.opened | first.executed) if rest else (first, frozenset[str]())
    observation = Observation(key, *(tuple(sorted(paths)) for paths in (whole.opened, whole.executed, learned)))
    store.save(observation, file)
    return observation


def _ask(subject: Subject, container: Container, asked: HttpRequest) -> None:
    """One request; what it answers is the ``api`` check's business."""
    request = workload.prepare(asked, subject.suite.root)
    try:
        workload.send(container, request)
    except (OSError, http.client.HTTPException):
        state, words = container.state(), {"method": request.method, "path": request.path}
        if not state.running:
            raise DeadweightError(wording("scan.ended_during_request", outcome=state.outcome(), **words)) from None


def reachable(
    findings: Sequence[ScanRow], owners: Mapping[str, Sequence[str]], observation: Observation
) -> tuple[bool | None, ...]:
    """For each finding whether its package was touched; None where files cannot tell (a library without files of its own)."""
    touched = {_plain(path) for path in (*observation.opened, *observation.executed)}
    packages = {name: any(_plain(path) in touched for path in files) for name, files in owners.items() if files}
    folders = {path.rpartition("/")[0] for path in touched}
    return tuple(_one(finding, packages, touched, folders) for finding in findings)


def _one(finding: ScanRow, packages: Mapping[str, bool], touched: set[str], folders: set[str]) -> bool | None:
    if finding.kind != "language":
        return packages.get(finding.package)
    path = _plain(f"/{finding.path}")
    if not finding.path or path in touched:
        return True if finding.path else None
    if finding.ecosystem in ("gobinary", "rustbinary", "jar"):
        return False
    if finding.ecosystem == "node-pkg":  # its path is the package.json in the folder of the package
        home = path.rpartition("/")[0]
        return any(folder == home or folder.startswith(f"{home}/") for folder in folders)
    return None


def _plain(path: str) -> str:
    """One spelling of a path: packages still say ``/lib/x`` where systems with a merged ``/usr`` have ``/usr/lib/x``."""
    return f"/usr{path}" if path.startswith(_MERGED_USR) else path


def reachability(
    flags: Sequence[bool | None],
    findings: Sequence[ScanRow],
    observation: Observation | str,
    ledger: workload.Ledger,
    learned: Sequence[bool | None] = (),
) -> Reach:
    """The counts, of distinct findings that count in the total (no kernel headers). ``learned`` are the flags without the
    operations that are held out.

    One of several copies that was touched is enough; it is not touched where none of them was."""
    if isinstance(observation, str):
        return Reach("not_measured", reason=observation)
    counted = _distinct(flags, findings)
    undecided, reachable = counted.count(None), counted.count(True)
    added = reachable - _distinct(learned, findings).count(True) if learned else None
    parts = [wording("scan.reached", files=len(observation.opened), ledger=ledger)]
    parts += [wording("scan.reached_by_held_out", judged=ledger.judged, added=added)] if added is not None else []
    parts += [wording("scan.reach_undecided", findings=undecided)] if undecided else []
    return Reach(
        "measured",
        reachable=reachable,
        dead_weight=counted.count(False),
        undecided=undecided,
        reason="; ".join(parts),
        files=len(observation.opened),
        operations=ledger.asked,
        held_out_added=added,
        executed=observation.executed,
        ledger=ledger.document(),
    )


def _distinct(flags: Sequence[bool | None], findings: Sequence[ScanRow]) -> list[bool | None]:
    """One flag for each distinct finding: reached, not reached, or undecided (None)."""
    copies: dict[tuple[str, str, str, str], list[bool | None]] = {}
    for flag, finding in zip(flags, findings, strict=True):
        if finding.kind != "kernel_headers":
            copies.setdefault(finding.identity, []).append(flag)
    return [True if True in group else None if None in group else False for group in copies.values()]
