"""The allow list: known findings that do not count, each with a reason and, if its owner is wise, a day on which it ends."""

from __future__ import annotations

import datetime
from dataclasses import dataclass


@dataclass(frozen=True)
class AllowEntry:
    """One fingerprint that is accepted. It counts again the day after ``expires``; None is for ever."""

    fingerprint: str
    reason: str
    expires: datetime.date | None = None
