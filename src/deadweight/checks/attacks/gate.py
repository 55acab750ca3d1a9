"""The suite's gates: which attacks must be blocked in which posture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from deadweight._errors import ConfigError, UsageError
from deadweight.checks.attacks import walls
from deadweight.checks.attacks.load import Catalogue

if TYPE_CHECKING:
    from deadweight.checks.attacks.matrix import Matrix
    from deadweight.suite.model import AttackGate, Suite, Variant

ALL = "all"


def check_gates(suite: Suite, variant: Variant, gates: Sequence[AttackGate], catalogue: Catalogue) -> None:
    """Refuse, before anything is started, a gate that names no posture or no attack of ours. Raises ConfigError."""
    known = {payload.id for payload in catalogue.payloads}
    for gate in gates:
        try:
            walls.posture(gate.posture)
        except UsageError as error:
            raise _wrong(suite, variant, f"gates: {error.message}", error.hint) from error
        for name in gate.blocked:
            if name != ALL and name not in known:
                raise _wrong(suite, variant, f"gates: no attack {name!r}", f"attacks: {', '.join(sorted(known))}")


def breaches(gates: Sequence[AttackGate], found: Matrix) -> list[str]:
    """Each attack that a gate wants blocked and that got through. What was not measured breaches nothing; it is told apart."""
    told = []
    for gate in gates:
        cells = found.cells.get(gate.posture, {})
        for name in cells if ALL in gate.blocked else gate.blocked:
            cell = cells.get(name)
            if cell is not None and cell.outcome in ("succeeded", "crashed"):
                told.append(f"{name} {cell.outcome} in {gate.posture}")
    return told


def unmeasured(gates: Sequence[AttackGate], found: Matrix) -> list[str]:
    """The attacks that a gate wants blocked and of which this machine could not tell."""
    named = [(gate.posture, name) for gate in gates for name in gate.blocked if name != ALL]
    cells = found.cells
    return [
        name
        for posture, name in named
        if name in cells.get(posture, {}) and cells[posture][name].outcome == "not_measured"
    ]


def _wrong(suite: Suite, variant: Variant, message: str, hint: str | None) -> ConfigError:
    return suite.error(variant, "checks", f"attacks: {message}", hint=hint)
