"""Search the tightest container settings, from the suite's own: all walls at once, else one by one; the limits; the judge."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deadweight import _run
from deadweight._errors import CheckFailed, CommandError, DeadweightError, Interrupted, MissingError, UsageError
from deadweight.checks.protocol import Subject
from deadweight.checks.runner import in_worker
from deadweight.checks.runs import CLEAN_EXITS
from deadweight.engine.options import (
    DEFAULT_CAPABILITIES,
    NON_ROOT,
    TMPFS_BYTES,
    RunOptions,
    Tmpfs,
    hardened_for,
    is_root,
)
from deadweight.engine.seccomp import refused_calls
from deadweight.records import store
from deadweight.suite.model import criteria_of
from deadweight_attacks.harden import health_command
from deadweight_attacks.harden.judge import loosened, with_folders
from deadweight_attacks.harden.result import Hardened, Tightest
from deadweight_attacks.harden.trial import (
    KILLED,
    NOTHING,
    OUTGOING,
    PURPOSE,
    ROOT,
    Trial,
    WrittenFolders,
    attempt,
)
from deadweight_attacks.machine import MEMORY, PROCESSES, not_held, unenforced
from deadweight_attacks.network import trial_network
from deadweight_attacks.seccomp.find import Say, find
from deadweight_attacks.seccomp.recorder import Hindered
from deadweight_attacks.walls import wording
from deadweight_workload.asking import CROWD
from deadweight_workload.judge import Judge
from deadweight_workload.model import Step, StepCheck, asking

if TYPE_CHECKING:
    from deadweight.checks.protocol import Subject
    from deadweight.engine.client import Engine
    from deadweight_workload.model import Workload

# What a search found is kept: asked for in another format, or once more, it is written anew without one trial.
EDITION = 12
"""Raised when the search looks for something else: what an earlier one found is then searched for again."""

_OF_THE_ENGINE = (
    *("name", "version", "kernel", "architecture", "cgroup", "rootless"),
    *("seccomp", "apparmor", "selinux", "storage_driver"),
)
"""What of an engine decides how a container runs."""


@dataclass(frozen=True, kw_only=True)
class Posture(Tightest):
    """What was found, and under which circumstances (``key``). ``at`` is an ISO 8601 time in UTC."""

    key: str
    at: str


def find_posture(subject: Subject, say: Say, *, again: bool = False, seccomp: bool = False) -> Hardened:
    """The tightest posture of this image, with these settings, in this engine: as it was found before, else found now (with
    ``again`` in any case) and kept. The same of its ``seccomp`` profile, where that is asked for.

    Raises as ``tightest`` does, and CheckFailed where the checks waver under a profile."""
    result, work = _posture(subject, say, again=again)
    if seccomp and result.seccomp is None and not result.no_seccomp:
        try:
            result = find(subject, result, work or in_worker(lambda: Judge.begun(subject, say)).workload, say)
        except (CheckFailed, Interrupted):
            raise
        except DeadweightError as error:
            result = replace(result, no_seccomp=error.message)
            if isinstance(error, (MissingError, CommandError, Hindered)):
                return result  # it may be there, or work, the next time
        _keep(subject, result)
    broken = tuple(entry for entry in result.broken if seccomp or entry.wall != "seccomp")
    return result if seccomp else replace(result, seccomp=None, no_seccomp="", broken=broken)


def _posture(subject: Subject, say: Say, *, again: bool) -> tuple[Hardened, Workload | None]:
    known = None if again else store.load(Posture, place(subject))
    if known is not None and known.key == circumstances(subject):
        say(wording("harden.known", variant=subject.variant.name, at=known.at))
        return Hardened.of(known, subject), None
    result, work = in_worker(lambda: _tightest(subject, say))
    _keep(subject, result)
    return result, work


def _keep(subject: Subject, result: Hardened) -> None:
    at = datetime.now(UTC).isoformat(timespec="seconds")
    store.save(Posture(**result.fields(), key=circumstances(subject), at=at), place(subject))


def place(subject: Subject) -> Path:
    """Where a variant's posture is kept."""
    return subject.state.folder / "harden" / f"{subject.variant.name}.json"


def circumstances(subject: Subject) -> str:
    """A digest of all that a search depends on: the image, what the suite asks and grants, the engine."""
    engine, named = asdict(subject.engine().info), subject.variant.run.seccomp
    facts = [
        EDITION,
        subject.built.config_digest,
        *(criteria_of(subject.variant, check) for check in ("runs", "api", "budget", "requests", "holdout")),
        {name: engine[name] for name in _OF_THE_ENGINE},
        unenforced(subject.engine()),
        hashlib.sha256((subject.suite.root / named).read_bytes()).hexdigest() if named else "",
    ]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


# Trials of one search, and what is believed of them: a service may fail one start of many, or the machine does.
RUNS = 3
"""So many trials with the same settings agree before it is believed that a wall makes one fail."""
ENOUGH, AFTER_A_HITCH, BEFORE_LIMITS = 16, 22, 8
"""So many trials pass before anything is believed, and so many after a hitch: where a service fails 30 % of its starts, fewer than
2 % of searches find something (``tests/attacks/test_wavering.py`` counts). Most of these trials are made anyway, and some before
the limits are lowered: a request that fails there now and then fails by itself, not at a limit."""
AT_ONCE, SLOW_SECONDS, SLOW_AT_ONCE = 4, 2.0, 2
"""Trials side by side where only the service's steadiness is asked for; fewer of one that takes its time to come up."""
HASTY_SECONDS = 5.0
"""What failed sooner is tried once more. What takes longer has waited for a service that does not come up."""
AGAIN = ", again"
TOLD = 200


@dataclass
class Tries:
    """What was tried. ``exits`` are the exit codes that count as an end in good order; None takes any. ``hosts`` is where what
    the service needs is, on each network. ``wavered``: settings that failed worked when they were tried again. ``passed`` counts
    the trials that passed since then, ``failed`` the settings that failed last, ``worked`` all that passed, each with whether the
    trial was brief: with the requests ``brief`` alone. ``at_once``: the requests also sent at once. ``limited``: whether
    limits are being lowered. ``unsteady``: our own requests whose answers differ from trial to trial; they are sent no more."""

    subject: Subject
    say: Say
    tried: list[tuple[str, str]] = field(default_factory=list)
    last: Trial = field(default_factory=lambda: Trial("nothing was tried"))
    user: str = ""
    written: WrittenFolders = NOTHING
    exits: tuple[int, ...] | None = CLEAN_EXITS
    hosts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    seconds: float = 0.0
    wavered: bool = False
    passed: int = 0
    failed: tuple[RunOptions, bool] | None = None
    at_once: tuple[str, ...] = ()
    brief: tuple[str, ...] = ()
    limited: bool = False
    worked: list[tuple[RunOptions, bool]] = field(default_factory=list)
    unsteady: list[str] = field(default_factory=list)

    def passes(self, what: str, options: RunOptions, *, brief: bool = False) -> bool:
        started = time.monotonic()
        self.note(what, self._attempt(options, brief), options, brief=brief)
        while self.last.request in self.unsteady:
            self.note(f"{what}{AGAIN}", self._attempt(options, brief), options, brief=brief)
        self.seconds = time.monotonic() - started
        return not self.last.problem

    def _attempt(self, options: RunOptions, brief: bool) -> Trial:
        if _run.cancelled():  # of many at once, those that wait for their turn are not begun
            raise Interrupted(wording("attacker.interrupted"))
        options = options.but(hosts=self.hosts.get(options.network, {}))
        subject, at_once = self.subject, self.at_once
        if brief and self.brief:
            subject = asking(subject, [step for step in self._steps if step.name in self.brief])
            at_once = tuple(name for name in at_once if name in self.brief)
        return attempt(subject, options, self.exits, at_once=at_once)

    @property
    def _steps(self) -> list[Step]:
        return [item.step for item in self.subject.variant.checks.api if isinstance(item, StepCheck)]

    def note(self, what: str, trial: Trial, options: RunOptions | None = None, *, brief: bool = False) -> None:
        tried = None if options is None else (options, brief)
        hitch = not trial.problem and tried is not None and tried == self.failed
        if hitch and self._leave_out(self.last.request):
            hitch = False
        elif trial.problem and tried in self.worked:
            self._leave_out(trial.request)
        elif tried and not trial.problem:
            self.worked.append(tried)
        self.failed = tried if trial.problem else None
        self.wavered, self.passed = self.wavered or hitch, 0 if hitch else self.passed
        self.last = trial
        self.tried.append((what, trial.problem))
        self.say(f"{self.subject.variant.name}: {what}: {trial.problem[:TOLD] if trial.problem else 'works'}")
        if not trial.problem:
            self.user, self.written, self.passed = trial.user, trial.written, self.passed + 1

    def _leave_out(self, name: str) -> bool:
        """Stop sending a request of our own that failed with settings that also work. False if it is the suite's, if there is none,
        and while limits are lowered: there it may have failed for want of memory."""
        if self.limited or not any(step.name == name and step.source != "suite" for step in self._steps):
            return False
        self.unsteady.append(name)
        self.subject = asking(self.subject, [step for step in self._steps if step.name != name])
        self.at_once = tuple(other for other in self.at_once if other != name)
        self.say(f"{self.subject.variant.name}: {wording('harden.unsteady', request=name)}")
        return True

    def spares(self, what: str, options: RunOptions) -> bool:
        """Whether it works without something. One failure may be the machine's: tried a second time, two searches agree."""
        return self.passes(what, options) or self.passes(f"{what}{AGAIN}", options)

    def holds(self, what: str, options: RunOptions) -> bool:
        """The same, where the second trial does not take long."""
        return self.passes(what, options) or (self.seconds < HASTY_SECONDS and self.passes(f"{what}{AGAIN}", options))

    def steady(self, what: str, options: RunOptions, trials: int = RUNS - 1) -> None:
        """See settings that worked work whenever they are tried. Raises CheckFailed where they do not: no trial proves anything."""
        for number in range(1, trials + 1):
            if not self.passes(f"{what}{AGAIN}", options):
                raise self._wavers(number, number + 1)

    def believed(self, what: str, options: RunOptions, enough: int = ENOUGH) -> None:
        """As many more trials of what was found as are missing to those that have to pass: side by side, and where one fails there,
        each alone, for it may be the machine's limit; not so where there was a hitch before. Raises CheckFailed as ``steady``."""
        missing = (AFTER_A_HITCH if self.wavered else enough) - self.passed
        if missing <= 0:
            return
        at_once = SLOW_AT_ONCE if self.last.seconds > SLOW_SECONDS else AT_ONCE
        in_turn = replace(self, at_once=())  # several services, each sent many requests at once, would try the machine
        with ThreadPoolExecutor(min(missing, at_once)) as together:
            trials = list(together.map(lambda _number: in_turn._attempt(options, brief=True), range(missing)))
        if _run.cancelled():
            raise Interrupted(wording("attacker.interrupted"))
        wavered, failed = self.wavered, [trial for trial in trials if trial.problem]
        for trial in (*(trial for trial in trials if not trial.problem), *failed):
            self.note(f"{what}{AGAIN}", trial, options, brief=True)
        failed = [trial for trial in failed if trial.request not in self.unsteady]
        if failed and wavered:
            raise self._wavers(missing - len(failed), missing)
        if failed:
            self.steady(what, options, AFTER_A_HITCH)

    def _wavers(self, passed: int, trials: int) -> CheckFailed:
        facts = {"variant": self.subject.variant.name, "problem": self.last.problem}
        return CheckFailed(wording("harden.wavers", passed=passed, trials=trials, **facts))


HEADROOM = 2
COPIES = 4
"""A body of a request is held so often at once: as bytes, as text, as what it says, and in the answer."""
STRICTEST = "strictest settings"
LEAST_MEMORY_BYTES, LEAST_PIDS = 64 * 2**20, 16
"""No less is tried: any limit stops what wants all, and a request that nobody has asked yet may want more than those that were."""


def tightest(subject: Subject, say: Say = lambda _line: None) -> Hardened:
    """Find it. Raises CheckFailed where the checks fail even in a plain container, UsageError for what is no service,
    MissingError where nothing leads into a network that nothing leads out of (through the engine, that takes Go).
    KeyboardInterrupt once all has ended."""
    return in_worker(lambda: _tightest(subject, say))[0]


def _tightest(subject: Subject, say: Say) -> tuple[Hardened, Workload]:
    variant = subject.variant
    if not variant.runnable:
        raise UsageError(wording("harden.not_runnable", variant=variant.name))
    engine = subject.engine()
    unheld = unenforced(engine)
    if unheld:
        say(f"{variant.name}: {not_held(unheld)}: how little it needs of these is not tried")
    image = engine.images.need(subject.engine_image())
    needs = health_command.OfNeeds(variant.run.needs)
    with (
        trial_network(engine, PURPOSE) as network,
        subject.service.dependencies(network, needs.up) as inside,
        subject.service.dependencies(OUTGOING) as outside,
    ):
        usual = hardened_for(variant, image.user)
        judge = Judge.begun(subject, say, {network: inside, OUTGOING: outside})
        work = judge.workload
        search = Tries(
            asking(subject, work.learn),
            say,
            hosts=judge.hosts,
            at_once=judge.learn_at_once,
            brief=judge.brief,
            passed=judge.steady,
        )
        options = _walls(search, usual, image.user, network)
        if search.unsteady:  # which may have been in the way
            search.exits = CLEAN_EXITS
            options = _walls(search, usual, image.user, network)
        # By number, as it is printed: what starts as root may have become somebody else since.
        options = options if is_root(options.user or "") else options.but(user=search.user)
        options = engine.owned(subject.engine_image(), options)
        search.believed("the suite's limits", options, BEFORE_LIMITS)
        search.limited = True
        options, headroom = _limited(search, options, unheld, judge.largest_bytes)
        search.believed("all together", options)
        work = replace(work, steps=tuple(step for step in work.steps if step.name not in search.unsteady))
        judge = replace(judge, workload=work, at_once=tuple(it for it in judge.at_once if it not in search.unsteady))
        options, broken = loosened(judge, options, usual)
        again = options.but(hosts=search.hosts[options.network])
        asked = health_command.find_command(subject, again)
    known = Tightest(
        options, dict(engine.dialect.cut_off), headroom, tuple(search.tried), asks=asked, unheld=unheld,
        own_check=bool(image.healthcheck), need_asks=needs.asks, need_stand_ins=tuple(needs.stand_ins),
        at_once=judge.at_once, brief=tuple(name for name in judge.brief if name in judge.at_once), ledger=work.ledger(),
        broken=broken, requests=len(work.steps),
    )  # fmt: skip
    return Hardened.of(known, subject), work


def _plain(usual: RunOptions, user: str) -> RunOptions:
    """A container without a wall, but with the limits of memory, processor and processes, and the suite's folders in memory: one
    that is not root may have nowhere else to write to."""
    return RunOptions(
        user=user, tmpfs=usual.tmpfs, env=usual.env, args=usual.args, publish=usual.publish, ports=usual.ports, files=usual.files,
        memory_bytes=usual.memory_bytes, swap_bytes=0, cpus=usual.cpus, pids=usual.pids, ulimits=usual.ulimits,
        network=OUTGOING,
    )  # fmt: skip


def _walls(search: Tries, usual: RunOptions, image_user: str, network: str) -> RunOptions:
    """The suite's own posture with all walls at once, if that holds; else wall by wall."""
    settings = search.subject.variant.run
    user = next(user for user in (settings.user or "", image_user, NON_ROOT) if not is_root(user))
    tight = usual.but(user=user, read_only=True, network=network)
    tight, easy = _at_once(search, startable(search.subject.engine(), tight, search.note))
    return tight if easy else _wall_by_wall(search, usual, _plain(usual, settings.user or image_user or ROOT), tight)


def _at_once(search: Tries, tight: RunOptions) -> tuple[RunOptions, bool]:
    """Whether the service passes with all walls at once; without the suite's seccomp profile, where that alone is in the way."""
    if search.passes(STRICTEST, tight) or (search.last.request and search.passes(f"{STRICTEST}{AGAIN}", tight)):
        return tight, True
    without = tight.but(seccomp="default")
    if not refused_calls.is_file(tight.seccomp) or not search.passes(f"{STRICTEST}, seccomp=default", without):
        return tight, False
    blame_profile(search.subject, tight.but(hosts=search.hosts[tight.network]), search.note)
    return without, True


def _wall_by_wall(search: Tries, usual: RunOptions, plain: RunOptions, tight: RunOptions) -> RunOptions:
    """Put up one wall after another, each on top of those that held: on the suite's own posture if that works, else on a plain
    container. The folders that the suite says it writes are there in any case."""
    search.exits = None
    what, options = "the suite's own settings", usual
    if usual == tight or not search.passes(what, usual):
        what, options = "only memory, processor and process limits", plain
        if not any(
            search.holds(what, plain) for _ in range(2)
        ):  # one that fails three starts of ten wavers: it does not fail
            facts = {"variant": search.subject.variant.name, "problem": search.last.problem}
            if search.last.code == KILLED:
                raise CheckFailed(wording("harden.plain_killed", **facts))
            raise CheckFailed(wording("harden.plain_fails", **facts))
    search.steady(what, options)
    # A service that never ends in good order warns in `verify`, and is no reason to find nothing.
    search.exits = (*CLEAN_EXITS, search.last.exit_code)
    options = _first(search, options, {"no new privileges": {"no_new_privileges": True}})
    # Read-only comes before the user: folders in memory may be written by anybody, those of the image often not.
    options = _read_only(search, _capabilities(search, options), usual.tmpfs)
    walls: dict[str, dict[str, Any]] = {"not root": {"user": tight.user}}
    if refused_calls.is_file(tight.seccomp):
        walls[f"seccomp={tight.seccomp}"] = {"seccomp": tight.seccomp}
    if options.cap_add or not options.cap_drop:  # root may need them only to become somebody else
        walls["no capabilities for a service that is not root"] = {"cap_drop": tight.cap_drop, "cap_add": ()}
    return _first(search, options, {**walls, "no outgoing network": {"network": tight.network}}, every=True)


def _first(
    search: Tries, options: RunOptions, changes: Mapping[str, Mapping[str, Any]], *, every: bool = False
) -> RunOptions:
    """Try changes in order; keep the first that holds, or each one that does."""
    for what, change in changes.items():
        candidate = options.but(**change)
        if candidate == options or search.holds(what, candidate):
            options = candidate
            if not every:
                break
    return options


def _capabilities(search: Tries, options: RunOptions) -> RunOptions:
    """None if that holds; else one after another is taken away."""
    none = options.but(cap_drop=("ALL",), cap_add=())
    if none == options or search.holds("no capabilities", none):
        return none
    kept = list(options.cap_add or DEFAULT_CAPABILITIES)
    if not options.cap_add and not search.holds("only Docker's default capabilities", none.but(cap_add=tuple(kept))):
        return options
    for name in tuple(kept):
        fewer = [capability for capability in kept if capability != name]
        if search.spares(f"without {name}", none.but(cap_add=tuple(fewer))):
            kept = fewer
    return none.but(cap_add=tuple(kept))


def _read_only(search: Tries, options: RunOptions, named: tuple[Tmpfs, ...]) -> RunOptions:
    """Read-only with the folders that the suite names writable, else with those that it was seen to write too."""
    seen = (search.written.lasting, search.written.exact)
    choices = [named, *(with_folders(options.but(tmpfs=named), folders) for folders in seen)]
    return _first(search, options, {_writable(choice): {"read_only": True, "tmpfs": choice} for choice in choices})


def _writable(folders: tuple[Tmpfs, ...]) -> str:
    return f"read-only, writable: {', '.join(folder.path for folder in folders) or 'nothing'}"


def _limited(
    search: Tries, options: RunOptions, unheld: Sequence[str] = (), largest_bytes: int = 0
) -> tuple[RunOptions, int]:
    """Find the least memory, then the least processes, by halving; grant twice that, and what eight requests at once may want:
    eight times four copies of the largest body that the workload sends (in whole MiB), and eight processes. Never more than the
    suite. The factor too. Of what the engine does not hold (``unheld``) a service seems to need next to nothing: the suite's stay.

    What a service needs varies a little from run to run. A least that is found more finely would differ between two searches.
    """
    memory, pids = options.memory_bytes or TMPFS_BYTES * 4, options.pids or 64
    least_memory = _least(
        memory,
        memory if MEMORY in unheld else LEAST_MEMORY_BYTES,
        lambda size: search.passes(f"memory {size // 2**20} MiB", options.but(memory_bytes=size), brief=True),
    )
    least_pids = _least(
        pids,
        pids if PROCESSES in unheld else LEAST_PIDS,
        lambda count: search.passes(f"{count} processes", options.but(pids=count), brief=True),
    )
    margin = -(-CROWD * COPIES * largest_bytes // 2**20) * 2**20
    for factor in (HEADROOM, HEADROOM * 2, HEADROOM * 4):
        enough = {"memory_bytes": least_memory * factor + margin, "pids": least_pids * factor + CROWD}
        final = options.but(memory_bytes=min(memory, enough["memory_bytes"]), pids=min(pids, enough["pids"]))
        if search.spares(f"{(final.memory_bytes or 0) // 2**20} MiB and {final.pids} processes, all together", final):
            return final, factor
    raise CheckFailed(wording("harden.fail_together", variant=search.subject.variant.name, problem=search.last.problem))


def _least(enough: int, floor: int, passes: Callable[[int], bool]) -> int:
    """The least that passes: halved until it fails twice (once may be the machine's fault). ``enough`` is known to pass."""
    while enough // 2 >= floor and (passes(enough // 2) or passes(enough // 2)):
        enough //= 2
    return enough


# The seccomp profile that the suite names (``run.seccomp``) while settings are tried: where it stops the start, it is told with
# the call, and the search goes on under the engine's.
Note = Callable[[str, Trial], None]


def startable(engine: Engine, options: RunOptions, note: Note) -> RunOptions:
    """Without the profile, where the runtime starts nothing under it: an engine might wait for ever."""
    try:
        refused_calls.check(engine, options)
    except refused_calls.StoppedByProfile as stopped:
        note(f"seccomp={options.seccomp}", Trial(stopped.message))
        return options.but(seccomp="default")
    return options


def blame_profile(subject: Subject, options: RunOptions, note: Note) -> None:
    """Note why the checks fail under it, and not under the engine's: the call, where it is the start that it stops."""
    health, port = subject.variant.health, subject.variant.port
    why = refused_calls.explained(subject.engine(), subject.engine_image(), options, health, port)
    note(f"seccomp={options.seccomp}", Trial(why or "the checks fail under it, and not under the engine's"))
