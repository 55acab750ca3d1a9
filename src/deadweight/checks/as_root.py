"""Run a check's privileged steps (firewall rules, network namespaces) as root through sudo.

If we are already root, the work runs in this process. Otherwise sudo starts a root process that reads its order from a file
and writes its result next to it, in a folder of the caller's; it prints lines of progress. Our signals do not reach that process,
so it ends by itself and removes what it started once the order or the caller is gone.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from deadweight import _run, _sudo as sudo
from deadweight._errors import CheckFailed, CommandError, DeadweightError, MissingError, UsageError, wording
from deadweight.checks.protocol import Subject
from deadweight.checks.runner import in_worker
from deadweight.engine import labels
from deadweight.records import store
from deadweight.records.built_image import BuiltImage
from deadweight.records.paths import State, user_cache

if TYPE_CHECKING:
    from deadweight.engine.client import Engine

Order = TypeVar("Order")
Reply = TypeVar("Reply")
Say = Callable[[str], None]

LIMIT_SECONDS = 3600.0
LOOK_SECONDS = 0.2
PLACE, ORDER, FOUND, FAULT = "place.json", "order.json", "found.json", "fault.json"
_KINDS = (UsageError, MissingError, CheckFailed, DeadweightError)
"""What an error of the other side is here, by the first of these that it is."""


@dataclass(frozen=True)
class Place:
    """The variant to work on. ``image`` is its reference in the engine at ``host``, ``needs`` those of what it needs;
    ``caller`` are the marks of this process, ``pooled`` is the engine's name in a pool."""

    suite: str
    variant: str
    built: BuiltImage
    image: str
    host: str
    project: str
    cache: str
    caller: Mapping[str, str]
    needs: Mapping[str, str] = field(default_factory=dict)
    pooled: str = ""


@dataclass(frozen=True)
class Fault:
    """Why the other side found nothing, in its own words."""

    kind: str
    message: str
    hint: str | None


@dataclass(frozen=True)
class Work(Generic[Order, Reply]):
    """Work that a process of root's can do, which finds this as ``NAME`` of the module: from an order to a reply, both records."""

    module: str
    order: type[Order]
    reply: type[Reply]
    obey: Callable[[Order, Subject, Say], Reply]


NAME = "AS_ROOT"


def possible(subject: Subject) -> bool:
    """Whether root's rights have to be borrowed, and can be without asking: the engine is on this machine, sudo says yes. In an
    engine without root they open nothing."""
    engine = subject.engine()
    return engine.user is not None and not engine.info.rootless and sudo.silent()


def call(work: Work[Order, Reply], order: Order, subject: Subject, on_line: Say) -> Reply:
    """Have a process of root's obey an order. Gives what came back.

    Raises the error that it met there; Interrupted; CommandError where it ended without a word, with its last lines.
    """
    engine = subject.engine()
    place = Place(
        suite=str(subject.suite.file),
        variant=subject.variant.name,
        built=subject.built,
        image=subject.engine_image(),
        host=engine.host,
        project=engine.project,
        cache=str(user_cache()),
        caller=labels.labels(engine.project, "sudo"),
        needs={name: subject.need_image(name) for name in subject.variant.run.needs},
        pooled=subject.place,
    )
    with tempfile.TemporaryDirectory(prefix="deadweight-sudo-") as name:
        folder = Path(name)
        store.save(place, folder / PLACE)
        store.save(order, folder / ORDER)
        try:
            # In a thread: who is interrupted in the midst of a program waits for its end, and no signal of ours ends this one.
            with ThreadPoolExecutor(1) as worker, _withdrawn(folder / ORDER, LIMIT_SECONDS):
                words = (work.module, folder)
                worker.submit(sudo.run_module, __name__, words, timeout=LIMIT_SECONDS, on_line=on_line).result()
        except CommandError:
            fault = store.load(Fault, folder / FAULT)
            if fault is None:
                raise
            kind = next(kind for kind in _KINDS if kind.__name__ == fault.kind)
            raise kind(fault.message, hint=fault.hint) from None
        reply = store.load(work.reply, folder / FOUND)
    if reply is None:
        raise DeadweightError(wording("checks.helper_without_result", variant=subject.variant.name))
    return reply


@contextlib.contextmanager
def _withdrawn(order: Path, seconds: float) -> Iterator[None]:
    """Take the order away at the end, on Ctrl-C, and when its time is over: no signal of ours ends a process of root's."""
    over, deadline = threading.Event(), time.monotonic() + seconds

    def watch() -> None:
        while not over.wait(LOOK_SECONDS):
            if _run.cancelled() or time.monotonic() > deadline:
                order.unlink(missing_ok=True)
                return

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        order.unlink(missing_ok=True)


# the side that is root


def serve(work: Work[Order, Reply], folder: Path) -> int:
    """Obey the order in this folder, and leave there what was found, or why there is nothing."""
    from deadweight.engine.client import Engine

    place, order = store.load(Place, folder / PLACE), store.load(work.order, folder / ORDER)
    if place is None or order is None:
        return DeadweightError.exit_code
    os.environ["DEADWEIGHT_CACHE_DIR"] = place.cache
    # SIGINT too: it is ignored where we come from a script's background
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    threading.Thread(target=_end_with, args=(folder / ORDER, place.caller), daemon=True).start()
    try:
        with Engine.connect(place.host, project=place.project, root=str(Path(place.suite).parent)) as engine:
            subject = _subject(place, engine)
            store.save(in_worker(lambda: work.obey(order, subject, _tell)), folder / FOUND)
    except DeadweightError as error:
        name = next(kind.__name__ for kind in _KINDS if isinstance(error, kind))
        store.save(Fault(name, error.message, error.hint), folder / FAULT)
        return error.exit_code
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    finally:
        if labels.is_stale(place.caller):
            shutil.rmtree(folder, ignore_errors=True)  # nobody else will
    return 0


def _subject(place: Place, engine: Engine) -> Subject:
    from deadweight.suite.load import read_suite

    suite = read_suite(Path(place.suite), None)  # judged before, and no check reads a builder's keys
    return Subject(
        suite=suite,
        variant=next(variant for variant in suite.variants if variant.name == place.variant),
        built=place.built,
        state=State(suite.root),
        archive=_no_archive,
        engine=lambda: engine,
        engine_image=lambda: place.image,
        subject_of=lambda _name: None,
        need_image=lambda name: place.needs[name],
        place=place.pooled,
    )


def _no_archive() -> Path:
    raise DeadweightError(wording("checks.image_removed"))


def _tell(line: str) -> None:
    with contextlib.suppress(BrokenPipeError):  # who listened was killed: `_end_with` sees to the rest
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()


def _end_with(order: Path, caller: Mapping[str, str]) -> None:
    tick = threading.Event()
    while order.exists() and not labels.is_stale(caller):
        tick.wait(LOOK_SECONDS)
    os.kill(os.getpid(), signal.SIGINT)  # as Ctrl-C: containers and firewall rules are removed on the way out


if __name__ == "__main__":
    sys.exit(serve(getattr(importlib.import_module(sys.argv[1]), NAME), Path(sys.argv[2])))
