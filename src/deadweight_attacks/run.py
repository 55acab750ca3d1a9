"""Attack one variant, judge the result by its gates, and return evidence (data: ``matrix_data``).

``verify`` tries ``open``, ``default``, ``hardened`` and the postures that gates name; resource attacks only if a gate names them.
Results of an earlier, larger ``invoke attack`` (single walls, other postures) are kept with their time if nothing that affects an
outcome has changed.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from deadweight._errors import Interrupted, quoting
from deadweight.checks.protocol import Subject, by_engine, evidence, own_version
from deadweight.engine.faults import CannotStart
from deadweight.records import store
from deadweight.records.evidence import Evidence, Status
from deadweight.suite.checks import AttacksCheck
from deadweight.toolchain import golang
from deadweight_attacks import outcomes, walls
from deadweight_attacks.awk import awk_of
from deadweight_attacks.helper import SOURCE, Helper, Shell
from deadweight_attacks.lab import Lab, NoService
from deadweight_attacks.load import PACKS, Catalogue, check_gates, suite_payloads
from deadweight_attacks.matrix import Runner
from deadweight_attacks.outcomes import DELIVERED, Matrix, Plan
from deadweight_attacks.profile import digest_of
from deadweight_attacks.walls import ALL, wording
from deadweight_workload import openapi

if TYPE_CHECKING:
    from deadweight.suite.checks import AttackGate
    from deadweight_attacks.outcomes import Cell


# The suite's gates: which attacks must be blocked in which posture.
def breaches(gates: Sequence[AttackGate], matrix: Matrix) -> list[str]:
    """Attacks that got through. ``not_applicable`` holds: the AWK itself says that it lacks what they need."""
    problems = [
        f"{name} {cell.outcome} in {gate.posture}"
        for gate in gates
        for name, cell in _named(gate, matrix)
        if cell.outcome in ("succeeded", "crashed")
    ]
    return list(dict.fromkeys(problems))


def unmeasured(gates: Sequence[AttackGate], matrix: Matrix) -> list[str]:
    """Gates of which nobody can say that they hold: their posture was not tried, nothing of what they ask for could be measured,
    or an attack that works elsewhere could not be measured there.
    """
    problems = []
    for gate in gates:
        cells = _named(gate, matrix)
        if not cells:
            problems.append(wording("gate.not_tried", posture=gate.posture))
        elif gate.posture not in matrix.nothing and all(cell.outcome == "not_measured" for _, cell in cells):
            fields = {"attacks": ", ".join(name for name, _ in cells), "reason": cells[0][1].reason}
            problems.append(wording("gate.not_measured", posture=gate.posture, **fields))
        else:
            problems += [
                wording("gate.attack_not_measured", name=name, posture=gate.posture, reason=cell.reason)
                for name, cell in cells
                if cell.outcome == "not_measured" and name in matrix.control and gate.posture not in matrix.nothing
            ]
    return list(dict.fromkeys(problems))


def unmeasurable(gates: Sequence[AttackGate], matrix: Matrix) -> list[str]:
    """The attacks that a gate wants blocked and that this machine cannot measure: they do not work with all walls down either."""
    return [
        name
        for gate in gates
        for name, cell in _named(gate, matrix)
        if cell.outcome == "not_measured" and name not in matrix.control
    ]


def _named(gate: AttackGate, matrix: Matrix) -> list[tuple[str, Cell]]:
    cells = matrix.cells.get(gate.posture, {})
    return [(name, cells[name]) for name in (cells if ALL in gate.blocked else gate.blocked) if name in cells]


Say = Callable[[str], None]
NO_GATE = "no gate (checks.attacks.gates) says what must be stopped, so nothing can fail"


def attack(
    subject: Subject,
    *,
    postures: Sequence[str] = (),
    brief: bool = False,
    say: Say = lambda _line: None,
    shell_from: Shell | None = None,
    helper_from: Helper | None = None,
) -> Evidence:
    """Attack one variant. ``postures`` empty: the three main ones and each wall alone (not so if ``brief``); ``all``: all there is.

    Raises UsageError for a posture that does not exist, ConfigError for a payload file or gate that is not sound, Interrupted.
    """
    started = time.monotonic()
    wanted = subject.variant.checks.attacks or AttacksCheck()
    catalogue, plan = check_request(subject, postures)
    if brief:
        plan = replace(plan, alone=False, skipped=_ungated(wanted, catalogue))
    name = subject.variant.name
    try:
        with Lab(subject, shell_from, helper_from) as lab, lab.starts.believed():
            matrix = Runner(lab, catalogue, lambda line: say(f"{name}: {line}")).run(plan)
            data = outcomes.data(matrix, catalogue, lab.image_user, subject.engine().info)
    except Interrupted:
        raise
    except (CannotStart, NoService) as fault:
        return _evidence(subject, "not_measured", wording("gate.nothing_at_all", reason=fault.message), started, {})
    data["seccomp_profile"] = digest_of(subject)
    data["measured_with"] = _measured_with(subject, wanted)
    data = {**_completed(subject, data), "breaches": breaches(wanted.gates, matrix)}
    status, reason = _judged(wanted, matrix, data["breaches"], _summary(matrix, catalogue, subject))
    return _evidence(subject, status, reason, started, data)


def _judged(wanted: AttacksCheck, matrix: Matrix, broken: Sequence[str], summary: str) -> tuple[Status, str]:
    """What the gates say: broken, not measured, or held."""
    if broken:
        return "fail", f"{'; '.join(broken)}. {summary}"
    if reasons := [*matrix.nothing_in(), *unmeasured(wanted.gates, matrix)]:
        return "not_measured", quoting(reasons[0], f"{'; '.join(reasons)}. {summary}")
    names = dict.fromkeys(unmeasurable(wanted.gates, matrix))
    also = f"; gates could not be judged for {', '.join(names)}" if names else ""
    return "pass", summary + (also if wanted.gates else f"; {NO_GATE}")


def check_request(subject: Subject, postures: Sequence[str]) -> tuple[Catalogue, Plan]:
    """The attacks there are and what to try of them. Raises UsageError and ConfigError as ``attack`` does."""
    wanted = subject.variant.checks.attacks or AttacksCheck()
    catalogue = suite_payloads(wanted, subject.suite.root)
    if wanted.openapi and not wanted.openapi.startswith("/"):
        _check_document(subject, wanted.openapi)
    check_gates(subject.suite, subject.variant, wanted)
    return catalogue, plan_for(postures, [gate.posture for gate in wanted.gates])


def _check_document(subject: Subject, name: str) -> None:
    if openapi.paths(openapi.read(subject.suite.root / name)):
        return
    key, problem = ("checks", "attacks", "openapi"), wording("gate.no_openapi", file=name)
    raise subject.suite.error(subject.variant, key, problem)


def plan_for(postures: Sequence[str], gated: Sequence[str]) -> Plan:
    """What to try: what is asked for, and what the gates name beside it. Raises UsageError for a posture that does not exist."""
    everything = ALL in postures
    named = [name for name in postures if name != ALL]
    asked = [*walls.MAIN, walls.PRIVILEGED.name, *named] if everything else named or walls.MAIN
    chosen = tuple(walls.posture(name) for name in dict.fromkeys([*asked, *gated]))
    return Plan(chosen, alone=everything or not postures, without=everything, resource_walls=everything)


def _ungated(wanted: AttacksCheck, catalogue: Catalogue) -> frozenset[str]:
    """Attacks on resources that no gate names: they take long, one after another."""
    named = {name for gate in wanted.gates for name in gate.blocked}
    return frozenset(payload.id for payload in catalogue.payloads if payload.resource and not named & {payload.id, ALL})


def _completed(subject: Subject, data: dict[str, Any]) -> dict[str, Any]:
    kept = store.load(Evidence, subject.state.evidence(subject.variant.name, "attacks"))
    if kept is None or kept.data.get("measured_with") != data["measured_with"]:
        return data
    return outcomes.completed(data, kept.data, kept.provenance.at)


def _measured_with(subject: Subject, wanted: AttacksCheck) -> str:
    """A digest of all that decides an outcome: image, how it is run, the attacks, engine and machine, and our version."""
    variant, info = subject.variant, subject.engine().info
    profile = [variant.run.seccomp] if variant.run.seccomp else []
    read_from = [
        *profile,
        *wanted.payload_files,
        *([wanted.openapi] if wanted.openapi and wanted.openapi[0] != "/" else []),
    ]
    files = [hashlib.sha256((subject.suite.root / file).read_bytes()).hexdigest() for file in read_from]
    asked = [
        wanted.chosen_packs,
        awk.model_dump(mode="json") if (awk := awk_of(wanted)) else None,
        golang.source_digest(SOURCE),
        wanted.openapi,
        [item.model_dump(mode="json") for item in variant.checks.api if "http" in wanted.chosen_packs],
    ]
    ours = [hashlib.sha256(PACKS[name].read_bytes()).hexdigest() for name in wanted.chosen_packs]
    decides = [
        subject.built.config_digest, variant.run.model_dump(mode="json"), variant.port, variant.health.model_dump(mode="json"),
        asked, ours, files, own_version(), info.name, info.version, info.architecture, info.kernel, info.storage_driver,
        info.cgroup, info.rootless, info.seccomp, info.apparmor, info.selinux, info.user_namespaces,
        info.cpus, info.memory_bytes // 2**30,
    ]  # fmt: skip
    return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()


def _summary(matrix: Matrix, catalogue: Catalogue, subject: Subject) -> str:
    """Outcomes by posture; as in the report, attacks on what is only there if it is handed in are not counted."""
    parts, skip = [], {payload.id for payload in catalogue.payloads if payload.handed_in}
    ways = [way for way in DELIVERED if way in matrix.deliveries.values()]
    for posture, way in itertools.product(matrix.cells, ways):
        cells = matrix.cells[posture]
        outcomes = [cell.outcome for name, cell in cells.items() if matrix.deliveries[name] == way and name not in skip]
        words = ("blocked", "succeeded", "crashed", "not_applicable", "not_measured")
        counts = ", ".join(f"{outcomes.count(word)} {word.replace('_', ' ')}" for word in words if word in outcomes)
        parts.append(f"{posture}{'' if way == 'service' else f' {DELIVERED[way]}'}: {counts}")
    missing = walls.absent(subject.engine().info)
    return "; ".join([*parts, *missing.values()])


def _evidence(subject: Subject, status: Any, reason: str, started: float, data: dict[str, Any]) -> Evidence:
    gated = subject.variant.checks.attacks is not None and bool(subject.variant.checks.attacks.gates)
    where = by_engine(subject)
    return evidence(subject, "attacks", status, reason, provenance=where, started=started, data=data, gated=gated)
