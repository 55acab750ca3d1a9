"""The suite's gates: which attacks must be blocked in which posture."""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import TYPE_CHECKING

from deadweight._errors import UsageError
from deadweight_attacks import walls
from deadweight_attacks.load import PACKS, Catalogue, pack_ids
from deadweight_attacks.model import ALL

if TYPE_CHECKING:
    from deadweight.suite.checks import AttackGate
    from deadweight.suite.model import Suite, Variant
    from deadweight_attacks.outcomes import Cell, Matrix


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
                raise suite.error(
                    variant, (*place, "blocked", index), f"no attack {name!r}", hint=_instead(name, known)
                )


def _instead(name: str, known: Set[str]) -> str:
    """What to do about a name that is of a pack which the suite does not ask for, or of none."""
    pack = next((each for each in PACKS if name in pack_ids(each)), None)
    if pack == "awk":
        also = f"; after a breach it is {f'breach-{name}'!r}" if f"breach-{name}" in known else ""
        return f"it is of the pack awk: say how a script reaches the service (checks.attacks.awk: {{path: …}}){also}"
    if pack is not None:
        return f"it is of the pack {pack}: add that to checks.attacks.packs"
    return f"attacks: {', '.join(sorted(known))}"


def breaches(gates: Sequence[AttackGate], found: Matrix) -> list[str]:
    """Attacks that got through. ``not_applicable`` holds: the AWK itself says that it lacks what they need."""
    told = [
        f"{name} {cell.outcome} in {gate.posture}"
        for gate in gates
        for name, cell in _named(gate, found)
        if cell.outcome in ("succeeded", "crashed")
    ]
    return list(dict.fromkeys(told))


def unmeasured(gates: Sequence[AttackGate], found: Matrix) -> list[str]:
    """Gates of which nobody can say that they hold: their posture was not tried, nothing of what they ask for could be measured,
    or an attack that works elsewhere could not be measured there.
    """
    told = []
    for gate in gates:
        cells = _named(gate, found)
        if not cells:
            told.append(f"a gate could not be judged, because the posture {gate.posture} was not tried")
        elif gate.posture not in found.nothing and all(cell.outcome == "not_measured" for _, cell in cells):
            named = ", ".join(name for name, _ in cells)
            told.append(f"no attack of the gate on {gate.posture} was measured ({named}): {cells[0][1].reason}")
        else:
            told += [
                f"{name} could not be measured in {gate.posture}: {cell.reason}"
                for name, cell in cells
                if cell.outcome == "not_measured" and name in found.control and gate.posture not in found.nothing
            ]
    return list(dict.fromkeys(told))


def untold(gates: Sequence[AttackGate], found: Matrix) -> list[str]:
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
