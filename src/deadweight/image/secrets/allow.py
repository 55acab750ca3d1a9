"""The allow list: known findings that do not count, each with a reason and, if its owner is wise, a day on which it ends."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from dataclasses import dataclass

from deadweight.image.secrets.model import Match


@dataclass(frozen=True)
class AllowEntry:
    """One fingerprint that is accepted. It counts again the day after ``expires``; None is for ever."""

    fingerprint: str
    reason: str
    expires: datetime.date | None = None


@dataclass(frozen=True)
class Judged:
    """Findings after the allow list.

    ``counted`` count, those whose entry has expired (``expired``, beside their entry) among them. ``allowed`` do not count.
    ``unused`` are entries that match nothing: the secret is gone, so the entry can go.
    """

    counted: tuple[Match, ...]
    allowed: tuple[tuple[Match, AllowEntry], ...]
    expired: tuple[tuple[Match, AllowEntry], ...]
    unused: tuple[AllowEntry, ...]


def judge(matches: Iterable[Match], entries: Iterable[AllowEntry], *, today: datetime.date | None = None) -> Judged:
    """Hold findings against an allow list. Several entries for one fingerprint: the one that lasts longest holds."""
    day = today or datetime.datetime.now(datetime.UTC).date()
    given = tuple(entries)
    lasting: dict[str, AllowEntry] = {}
    for entry in sorted(given, key=lambda item: item.expires or datetime.date.max):
        lasting[entry.fingerprint.lower()] = entry
    counted: list[Match] = []
    allowed: list[tuple[Match, AllowEntry]] = []
    expired: list[tuple[Match, AllowEntry]] = []
    seen: set[str] = set()
    for match in matches:
        seen.add(match.fingerprint)
        found = lasting.get(match.fingerprint)
        if found is None:
            counted.append(match)
        elif found.expires is not None and found.expires < day:
            counted.append(match)
            expired.append((match, found))
        else:
            allowed.append((match, found))
    unused = tuple(entry for entry in given if entry.fingerprint.lower() not in seen)
    return Judged(tuple(counted), tuple(allowed), tuple(expired), unused)


def says(match: Match, entry: AllowEntry) -> str:
    """One line about an expired entry."""
    assert entry.expires is not None
    return f"{match.fingerprint} was allowed until {entry.expires.isoformat()} ({entry.reason}) and counts again"
