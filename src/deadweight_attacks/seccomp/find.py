"""Find a service's seccomp profile, here or as root through sudo; then attack to see what it stops."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from pydantic import TypeAdapter

from deadweight.checks import as_root
from deadweight.checks.protocol import Subject
from deadweight.checks.runner import in_worker
from deadweight.engine.seccomp import profile
from deadweight.engine.seccomp.refused_calls import runtime_of
from deadweight.engine.sidecars import RECORDER
from deadweight.records import store
from deadweight.toolchain import golang
from deadweight_attacks import helper, walls
from deadweight_attacks.check import attack
from deadweight_attacks.harden.judge import Broken
from deadweight_attacks.harden.result import Hardened, Tightest
from deadweight_attacks.profile import ToAttack
from deadweight_attacks.seccomp import search
from deadweight_attacks.seccomp.floor import Floor, keep_floor, kept_floor
from deadweight_attacks.seccomp.model import Seccomp, Stopped
from deadweight_workload.judge import Judge
from deadweight_workload.model import Step, Workload

Say = Callable[[str], None]

_STEPS = TypeAdapter(tuple[Step, ...])
TIGHT, ENGINES = walls.TIGHT, walls.HARDENED.name
POSTURES = (ENGINES, TIGHT, walls.only("seccomp").name, walls.only(walls.TIGHT).name)


def find(subject: Subject, result: Hardened, work: Workload, say: Say) -> Hardened:
    """Search, here or as root, leave the profile in the state folder, and attack the image under it and under the engine's own.
    ``work`` is what the posture was learned from and judged on.

    Raises as ``search.search``; attacks that cannot be measured are told in what comes back."""
    runtime = runtime_of(subject.engine())
    options = result.options.but(seccomp="default")  # not under one that the suite names
    for source in (helper.SOURCE, RECORDER):  # built here: nothing of root's should lie in the caller's folders
        golang.built(runtime.architecture, source)
    known = kept_floor(runtime)
    steps = tuple(_STEPS.dump_python(work.steps, mode="json", by_alias=True, exclude_defaults=True))
    order = Order(Tightest(**{**result.fields(), "options": options}), known, steps, tuple(sorted(work.judged)))
    if as_root.possible(subject):
        reply = as_root.call(AS_ROOT, order, subject, say)
    else:
        reply = in_worker(lambda: _obey(order, subject, say))
    if known is None:
        keep_floor(runtime, reply.floor)
    leave(subject, reply.seccomp)
    seccomp = replace(reply.seccomp, stopped=_stopped(subject, say))
    return replace(result, seccomp=seccomp, broken=(*result.broken, *reply.broken))


@dataclass(frozen=True)
class Order:
    """Under which posture to search, what the runtime needs, where that is known, and the requests."""

    posture: Tightest
    floor: Floor | None
    steps: tuple[dict[str, Any], ...] = ()
    held_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reply:
    seccomp: Seccomp
    floor: Floor
    broken: tuple[Broken, ...] = ()


def _obey(order: Order, subject: Subject, say: Say) -> Reply:
    work = Workload(_STEPS.validate_python(order.steps), held_out=order.held_out)
    judge = Judge(subject, work, order.posture.at_once, say=say)
    return Reply(*search.search(judge, Hardened.of(order.posture, subject), say, order.floor))


AS_ROOT = as_root.Work(__name__, Order, Reply, _obey)


def leave(subject: Subject, seccomp: Seccomp) -> None:
    """The profile in a file of its own, and the one that attacks are measured under."""
    profile.write(subject.state.seccomp(subject.variant.name), seccomp.profile())
    where = f"{seccomp.runtime} on Linux {seccomp.kernel}"
    to_attack = ToAttack(subject.built.config_digest, seccomp.profile_to_attack(), where)
    store.save(to_attack, subject.state.seccomp_to_attack(subject.variant.name))


def _stopped(subject: Subject, say: Say) -> Stopped:
    """Attacked for real: in all walls with either profile, and with either profile as the only wall."""
    run = subject.variant.run.model_copy(update={"seccomp": None})  # the engine's, not one that the suite names
    engines = replace(subject, variant=subject.variant.model_copy(update={"run": run}))
    evidence = in_worker(lambda: attack(engines, postures=POSTURES, brief=True, say=say))
    postures = evidence.data.get("postures") or {}
    measured = {
        posture: {name: cell["outcome"] for name, cell in postures.get(posture, {}).items()
                  if cell["outcome"] in ("blocked", "succeeded", "crashed") and not cell["handed_in"]}
        for posture in POSTURES
    }  # fmt: skip
    in_all = (
        set[str]().union(*measured.values()).intersection(*measured.values()) if all(measured.values()) else set[str]()
    )
    if not in_all:
        return Stopped(unmeasured=evidence.reason)
    blocked = {
        posture: tuple(sorted(name for name in in_all if cells[name] == "blocked"))
        for posture, cells in measured.items()
    }
    return Stopped(len(in_all), blocked)
