"""The attacks on one variant in a process of root's, for a user who has sudo: firewall rules and other networks are root's alone.

That process takes its order from a file and leaves the evidence beside it, in a folder of the caller's; what it prints are lines of
progress. Signals of ours do not reach it, so it ends by itself, and removes what it started, once the order or the caller is gone.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from deadweight import _run
from deadweight._errors import DeadweightError
from deadweight.checks.attacks.shell import bound, static_shell
from deadweight.checks.protocol import Subject
from deadweight.engine.options import Mount
from deadweight.records import store
from deadweight.records.built import BuiltImage
from deadweight.records.evidence import Evidence
from deadweight.records.paths import State, user_cache
from deadweight.toolchain import sudo

Told = Callable[[str], None]
LIMIT_SECONDS = 3600.0
LOOK_SECONDS = 0.2
ORDER, EVIDENCE = "order.json", "evidence.json"


@dataclass(frozen=True)
class Order:
    """What to attack, and how. ``image`` is its reference in the engine at ``host``; ``caller`` is a process number.

    ``shell`` is the file of the static shell, empty where there is none; then ``no_shell`` says why.
    """

    suite: str
    variant: str
    built: BuiltImage
    image: str
    host: str
    project: str
    cache: str
    shell: str
    no_shell: str
    postures: tuple[str, ...]
    brief: bool
    caller: int


def possible(subject: Subject) -> bool:
    """Whether root's rights have to be borrowed, and can be without asking: the engine is on this machine, sudo says yes."""
    return sys.platform == "linux" and subject.engine().host.startswith("unix://") and sudo.silent()


def attack(subject: Subject, postures: Sequence[str], brief: bool, told: Told) -> Evidence:
    """As ``check.attack``. Raises Interrupted, CommandError where the process ended without evidence, with its last lines."""
    engine = subject.engine()
    shell, no_shell = _shell(subject)
    order = Order(
        suite=str(subject.suite.file),
        variant=subject.variant.name,
        built=subject.built,
        image=subject.engine_image(),
        host=engine.host,
        project=engine.project,
        cache=str(user_cache()),
        shell=shell,
        no_shell=no_shell,
        postures=tuple(postures),
        brief=brief,
        caller=os.getpid(),
    )
    with tempfile.TemporaryDirectory(prefix="deadweight-attack-") as folder:
        store.save(order, Path(folder, ORDER))
        # -I: nothing but the installed package is imported; -B: no file of root's is left among the user's.
        argv = [sys.executable, "-I", "-B", "-m", __name__, folder]
        with _withdrawn_on_cancel(Path(folder, ORDER)):
            sudo.run(argv, timeout=LIMIT_SECONDS, on_line=told)
        found = store.load(Evidence, Path(folder, EVIDENCE))
    if found is None:
        raise DeadweightError(f"{subject.variant.name}: the attacks, run through sudo, left no evidence")
    return found


def _shell(subject: Subject) -> tuple[str, str]:
    """Got here: what comes from a source is kept in the caller's folders, where nothing of root's should be."""
    try:
        return str(static_shell(subject)[0].source), ""
    except DeadweightError as error:
        return "", error.message


@contextlib.contextmanager
def _withdrawn_on_cancel(order: Path) -> Iterator[None]:
    over = threading.Event()

    def watch() -> None:
        while not over.wait(LOOK_SECONDS):
            if _run.cancelled():
                order.unlink(missing_ok=True)
                return

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        order.unlink(missing_ok=True)


def main(words: Sequence[str]) -> int:
    """The side that is root: the folder with the order."""
    folder = Path(words[0])
    order = store.load(Order, folder / ORDER)
    if order is None:
        return DeadweightError.exit_code
    os.environ["DEADWEIGHT_CACHE_DIR"] = order.cache
    threading.Thread(target=_end_with, args=(folder / ORDER, order.caller), daemon=True).start()
    try:
        store.save(_obey(order), folder / EVIDENCE)
    except DeadweightError as error:
        sys.stderr.write(f"{error.message}\n")
        return error.exit_code
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    return 0


def _obey(order: Order) -> Evidence:
    from deadweight.checks.attacks import check
    from deadweight.engine.client import Engine
    from deadweight.suite.load import load_suite

    suite = load_suite(Path(order.suite))
    variant = next(each for each in suite.variants if each.name == order.variant)
    with Engine.connect(order.host, project=order.project) as engine:
        subject = Subject(
            suite=suite,
            variant=variant,
            built=order.built,
            state=State(suite.root),
            archive=_no_archive,
            engine=lambda: engine,
            engine_image=lambda: order.image,
            subject_of=lambda _name: None,
        )
        return check.attack(
            subject,
            postures=order.postures,
            brief=order.brief,
            told=_tell,
            shell_from=lambda _subject: _given_shell(order),
        )


def _given_shell(order: Order) -> tuple[Mount, ...]:
    if not order.shell:
        raise DeadweightError(order.no_shell)
    return bound(Path(order.shell))


def _no_archive() -> Path:
    raise DeadweightError("the image was removed from the engine")


def _tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _end_with(order: Path, caller: int) -> None:
    tick = threading.Event()
    while order.exists() and Path(f"/proc/{caller}").exists():
        tick.wait(LOOK_SECONDS)
    os.kill(os.getpid(), signal.SIGINT)  # as Ctrl-C: containers and firewall rules are removed on the way out


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
