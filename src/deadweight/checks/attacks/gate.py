"""The suite's gates: which attacks must be blocked in which posture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from deadweight._errors import UsageError
from deadweight.checks.attacks import walls
from deadweight.checks.attacks.load import Catalogue
from deadweight.checks.attacks.model import ALL

if TYPE_CHECKING:
    from deadweight.checks.attacks.outcomes import Cell, Matrix
    from deadweight.suite.model import AttackGate, Suite, Variant


def check_gates(suite: Suite, variant: Variant, gates: Sequence[AttackGate], catalogue: Catalogue) -> None:
    """Refuse, before anything is started, a gate that names no posture or no attack of ours. Raises ConfigError."""
    known = {payload.id for payload in catalogue.payloads}
    for number, gate in enumerate(gates):
        place = ("checks", "attacks", "gates", number)
        try:
            walls.posture(gate.posture)
        except UsageError as error:
            hint = f"postures: {', '.join(walls.names())}"
            raise suite.error(variant, (*place, "posture"), error.message, hint=hint) from error
        for index, name in enumerate(gate.blocked):
            if name != ALL and name not in known:
                hint = f"attacks: {', '.join(sorted(known))}"
                raise suite.error(variant, (*place, "blocked", index), f"no attack {name!r}", hint=hint)


def breaches(gates: Sequence[AttackGate], found: Matrix) -> list[str]:
    """What no gate lets pass: attacks that got through, attacks that work elsewhere and could not be measured here, and a posture
    in which nothing could be measured, or that nobody tried.

    ``not_applicable`` holds: the AWK itself says that it lacks what the attack needs.
    """
    told = []
    for gate in gates:
        if gate.posture in found.unmeasured:
            told.append(f"the posture {gate.posture} could not be measured: {found.unmeasured[gate.posture]}")
            continue
        if gate.posture not in found.cells:
            told.append(f"the posture {gate.posture} was not tried")
        for name, cell in _named(gate, found):
            if cell.outcome in ("succeeded", "crashed"):
                told.append(f"{name} {cell.outcome} in {gate.posture}")
            elif cell.outcome == "not_measured" and name in found.control:
                told.append(f"{name} could not be measured in {gate.posture}: {cell.reason}")
    return list(dict.fromkeys(told))


def unmeasured(gates: Sequence[AttackGate], found: Matrix) -> list[str]:
    """The attacks that a gate wants blocked and that this machine cannot measure: they do not work with all walls down either."""
    return [
        name
        for gate in gates
        for name, cell in _named(gate, found)
        if cell.outcome == "not_measured" and name not in found.control
    ]


def _named(gate: AttackGate, found: Matrix) -> list[tuple[str, Cell]]:
    cells = found.cells.get(gate.posture, {})
    return [(name, cells[name]) for name in (cells if ALL in gate.blocked else gate.blocked) if name in cells]
