"""Run the checks a suite asks for, compare outcomes with expectations, and save the evidence."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait as done_in
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from typing import TypeVar

from deadweight import _run
from deadweight._errors import DeadweightError, Interrupted, MissingError, UsageError
from deadweight._log_excerpt import plain
from deadweight.checks import runs, table
from deadweight.checks.protocol import Check, Subject, evidence
from deadweight.engine.faults import stop_if_cancelled
from deadweight.records import store
from deadweight.records.evidence import Evidence, judged
from deadweight.suite.model import criteria_of

# Work on several variants side by side that ends as one: an error, or Ctrl-C, ends what has not begun and stops what has.

HEED_SECONDS = 0.2

T = TypeVar("T")
Item = TypeVar("Item")


def result_of(work: Future[T]) -> T:
    """What came of it. The main thread waits in short pieces: the kernel may hand a signal to any thread, Python runs its handler
    in the main one alone, and that would not wake up to do so before the work is over."""
    while not done_in([work], HEED_SECONDS).done:
        pass
    return work.result()


@contextmanager
def side_by_side(
    work: Callable[[Item], T], subjects: Sequence[Item], *, jobs: int | None = None
) -> Iterator[list[tuple[Item, Future[T]]]]:
    """Each item (a subject, a variant) with what will come of it, ``jobs`` at a time (default: cores, four at most), in order.

    On Ctrl-C what runs is told (``_run.cancelled``), wherever it waits, and containers are removed; the block ends once everything
    has.
    """
    with ThreadPoolExecutor(jobs or min(4, os.cpu_count() or 1), thread_name_prefix="variant") as pool:
        try:
            yield [(subject, pool.submit(work, subject)) for subject in subjects]
        except BaseException as error:
            pool.shutdown(wait=False, cancel_futures=True)
            if isinstance(error, KeyboardInterrupt):
                from deadweight.engine.client import end_all

                _run.cancel_soon()
                end_all()
                _run.cancel_all()
            raise


def in_worker(work: Callable[[], T]) -> T:
    """In a thread: an interrupt in the midst of a call to the engine would leave what that call makes. Raises what the work does;
    KeyboardInterrupt once all has ended."""
    with side_by_side(lambda _: work(), [None], jobs=1) as running:
        return result_of(running[0][1])


Emit = Callable[[Evidence], None]
TOGETHER = 16
"""So many variants of a ladder are started in turns, with what each of them needs beside it."""


def run_check(check: Check, subject: Subject) -> Evidence:
    """One check: measured, judged, saved. What keeps it from measuring becomes evidence too.

    Something missing (no engine, no scanner) gives ``not_measured`` with ``data.missing``; a damaged archive gives ``fail``.
    What a container did is believed only of an engine that can run one. Raises Interrupted and UsageError (a wrong suite) only.
    """
    try:
        result = check.run(subject)
    except (Interrupted, UsageError):
        raise
    except MissingError as error:
        result = unmeasured(subject, check.name, error)
    except DeadweightError as error:
        result = evidence(subject, check.name, "fail", error.message)
    stop_if_cancelled()  # what it says is of a service that was being removed
    if check.needs_engine and result.status in ("fail", "not_measured") and not result.data.get("missing"):
        from deadweight.engine.broken_engine import lost_engine

        lost = lost_engine(subject.engine)
        result = result if lost is None else unmeasured(subject, check.name, lost)
    return keep(subject, result)


def unmeasured(subject: Subject, check: str, error: MissingError) -> Evidence:
    """The evidence of a check that something missing kept from measuring."""
    data = {"missing": True, "hint": error.hint}
    return evidence(subject, check, "not_measured", error.message, data=data)


def keep(subject: Subject, result: Evidence) -> Evidence:
    """Judge a finding by the variant's ``expect``, and save it where the report looks for it."""
    expects_failure = subject.variant.expect.get(result.check) == "fail"
    reason = " ".join(plain(result.reason).split())  # one line, without colours
    noted = replace(result, reason=reason, asked=criteria_of(subject.variant, result.check))
    final = judged(noted, expects_failure=expects_failure)
    store.save(final, subject.state.evidence(final.variant, final.check))
    return final


def run_checks(
    subject: Subject,
    only: Sequence[str] = (),
    on_evidence: Emit | None = None,
    enough: Callable[[Evidence], bool] = lambda _: False,
    made: Sequence[Evidence] = (),
) -> list[Evidence]:
    """All checks that the suite asks for of one variant (of those the named ones), one after another, but for those ``made``.

    ``runs`` and ``api`` share a container, which is removed at the end, however that comes. After evidence that is ``enough``
    no further check is made.
    """
    done = list(made)
    try:
        for check in table.checks_of(subject.variant, only):
            if any(result.check == check.name for result in done):
                continue
            if any(map(enough, done)):
                break
            stop_if_cancelled()
            subject.say(f"{subject.variant.name}: {check.name}")
            done.append(run_check(check, subject))
            if on_evidence is not None:
                on_evidence(done[-1])
    finally:
        subject.service.close()
    return done


def verify(
    subjects: Sequence[Subject], only: Sequence[str] = (), *, jobs: int | None = None, on_evidence: Emit | None = None
) -> list[Evidence]:
    """The checks of several variants, ``jobs`` side by side (default: cores, four at most); evidence in the order given.

    Timed starts never overlap.

    Raises UsageError for a check that nobody knows, KeyboardInterrupt after everything was stopped.
    """
    table.refuse_unknown(only, [subject.variant for subject in subjects])
    started = _started(subjects, only, jobs, on_evidence)

    def work(subject: Subject) -> list[Evidence]:
        made = [started[subject.variant.name]] if subject.variant.name in started else []
        return run_checks(subject, only, on_evidence, made=made)

    with side_by_side(work, subjects, jobs=jobs) as running:
        return [result for _, done in running for result in result_of(done)]


def _started(
    subjects: Sequence[Subject], only: Sequence[str], jobs: int | None, on_evidence: Emit | None
) -> dict[str, Evidence]:
    """The evidence of ``runs``, by variant, of those that are started in turns with others of their ladder."""
    ladders: dict[str, list[Subject]] = {}
    for subject in subjects:
        variant = subject.variant
        if variant.health.kind != "exit" and any(check is runs.CHECK for check in table.checks_of(variant, only)):
            ladders.setdefault(variant.ladder, []).append(subject)
    groups = [
        ladder[first : first + TOGETHER] for ladder in ladders.values() for first in range(0, len(ladder), TOGETHER)
    ]
    groups = [group for group in groups if len(group) > 1]
    made: dict[str, Evidence] = {}
    for group in groups:
        with ExitStack() as stack:
            for subject in group:
                stack.callback(subject.service.close)
            with side_by_side(partial(run_check, runs.ONCE), group, jobs=jobs) as running:
                once = {subject.variant.name: result_of(done) for subject, done in running}
            group[0].say(f"start-up: {len(group)} variants, {runs.STARTS} times in turns")
            timed = runs.interleaved(group, once)
            if len(groups) == 1:  # of several, what each needs beside it is not left running for all of them
                stack.pop_all()
        for subject in group:
            made[subject.variant.name] = keep(subject, timed[subject.variant.name])
            if on_evidence is not None:
                on_evidence(made[subject.variant.name])
    return made
