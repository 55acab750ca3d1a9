"""Wrap a third-party check, so that its exceptions and wrong return values become one message with its name."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import get_args

from deadweight._errors import DeadweightError, wording
from deadweight._plugins import AUTHORS, Whose
from deadweight.checks.protocol import Check, Subject
from deadweight.records.evidence import Evidence, Status
from deadweight.suite.model import Variant
from deadweight.suite.values import Record


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
            found = self._whose.checked(variant, "run()", self.inner.run(subject), Evidence)
        if found.status not in get_args(Status):
            allowed = ", ".join(get_args(Status))
            raise self._whose.wrong(variant, wording("checks.wrong_status", allowed=allowed, status=found.status))
        try:
            json.dumps(found.data)
        except (TypeError, ValueError) as error:
            raise self._whose.wrong(variant, wording("checks.data_not_json", problem=error)) from error
        return replace(found, check=self.name, variant=variant)
