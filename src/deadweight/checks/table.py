"""List our checks in run order, and look up plug-in checks in the entry point group ``deadweight.checks``.

A module is imported when its check is requested; entry points are read only if a suite names a check that is not in the table.
"""

from __future__ import annotations

import functools
import importlib
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, cast, get_args

from deadweight import _packages, _plugins
from deadweight._errors import DeadweightError, MissingError, UsageError, wording
from deadweight._plugins import AUTHORS, Whose
from deadweight.records.evidence import Evidence, Status
from deadweight.suite.values import Record

if TYPE_CHECKING:
    from deadweight.checks.protocol import Check, Subject
    from deadweight.suite.model import Variant

GROUP = _plugins.GROUPS["check"]

# ``runs`` comes first: it leaves its last container to ``api`` and its start-up time to ``budget``.
_OURS: dict[str, str] = {
    "runs": "deadweight.checks.runs",
    "api": f"{_packages.TABLE['workload']}.api",
    "twin": f"{_packages.TABLE['workload']}.twin.check",
    "budget": "deadweight.checks.budget",
    "layers": "deadweight.checks.layers",
    "vulnerabilities": "deadweight.checks.vulnerabilities",
    "attacks": f"{_packages.TABLE['attacks']}.check",
}


def names() -> tuple[str, ...]:
    """The names of our own checks."""
    return tuple(_OURS)


@functools.cache
def check(name: str) -> Check:
    """The check of this name: ours, else a plug-in's. Raises MissingError if there is none, and as ``_plugins.load`` does."""
    if name in _OURS:
        return cast("Check", importlib.import_module(_OURS[name]).CHECK)
    try:
        made, whose = _plugins.load("check", name, ("run",), _OURS)
    except LookupError:
        known = ", ".join(_OURS)
        raise MissingError(wording("checks.unknown_check", name=name, known=known, group=GROUP)) from None
    return Guarded(made, name, whose)


def checks_of(variant: Variant, only: Sequence[str] = ()) -> list[Check]:
    """The checks that the suite asks for of this variant, in order; of those only the named ones, where any is named.

    Raises MissingError where the suite names a check that nobody brings.
    """
    ours = [check(name) for name in _OURS if not only or name in only]
    others = [check(name) for name in variant.checks.other if not only or name in only]
    return [own for own in ours if own.applies(variant)] + others


def refuse_unknown(wanted: Sequence[str], variants: Sequence[Variant]) -> None:
    """Raise UsageError for a check name that is neither ours nor in these variants' ``checks.other``."""
    known = [*_OURS, *dict.fromkeys(name for variant in variants for name in variant.checks.other)]
    for name in wanted:
        if name not in known:
            raise UsageError(wording("checks.no_such_check", name=name, known=", ".join(known)))


def refuse_unasked(wanted: Sequence[str], variants: Sequence[Variant]) -> None:
    """Raise UsageError for a check that the suite asks for of none of these variants: nothing would be done, and look fine."""
    refuse_unknown(wanted, variants)
    for name in wanted:
        if not any(checks_of(variant, (name,)) for variant in variants):
            asked_for = dict.fromkeys(check.name for variant in variants for check in checks_of(variant))
            whom = "any variant" if len(variants) > 1 else variants[0].name
            hint = f"checks in the suite: {', '.join(asked_for) or 'none'}"
            raise UsageError(wording("checks.not_asked_for", name=name, variants=whom), hint=hint)


# A third-party check is wrapped, so that its exceptions and wrong return values become one message with its name.
class Guarded:
    """A check that is not ours. Its evidence is kept under the name that the suite uses.

    ``record`` is what may stand under its name in the suite; None where the check judges that itself.
    """

    def __init__(self, inner: Check, name: str, whose: Whose) -> None:
        """Raises DeadweightError where the plug-in's record is not one."""
        self.inner, self.name, self._whose = inner, name, whose
        self.needs_engine = bool(getattr(inner, "needs_engine", False))
        self.record: type[Record] | None = getattr(inner, "record", None)
        if self.record is not None and not (isinstance(self.record, type) and issubclass(self.record, Record)):
            raise DeadweightError(wording("checks.wrong_record", plugin=whose, record=self.record), hint=AUTHORS)

    def applies(self, variant: Variant) -> bool:
        """A plug-in's check runs where the suite names it."""
        return self.name in variant.checks.other

    def run(self, subject: Subject) -> Evidence:
        variant = subject.variant.name
        with self._whose.at_work(variant):
            evidence = self._whose.checked(variant, "run()", self.inner.run(subject), Evidence)
        if evidence.status not in get_args(Status):
            allowed = ", ".join(get_args(Status))
            raise self._whose.wrong(variant, wording("checks.wrong_status", allowed=allowed, status=evidence.status))
        try:
            json.dumps(evidence.data)
        except (TypeError, ValueError) as error:
            raise self._whose.wrong(variant, wording("checks.data_not_json", problem=error)) from error
        return replace(evidence, check=self.name, variant=variant)
