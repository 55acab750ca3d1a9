"""What a vulnerability database that was made here says of itself: ``coverage.json`` beside it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from deadweight.records import store

COVERAGE = "coverage.json"
LICENCES = ("go-vulndb-LICENSE", "go-vulndb-NOTICES")
"""The licence of the Go vulnerability database and its sources, which CC-BY 4.0 asks to keep with what is made of it."""


@dataclass(frozen=True)
class Part:
    """One of the database's buckets: ``what`` it covers, from where, the day of its newest content (ISO 8601), its licence.

    ``lacks`` says in words what a scan by it cannot find; None where it is whole.
    """

    bucket: str
    what: str
    source: str
    date: str
    licence: str
    lacks: str | None = None


@dataclass(frozen=True)
class Contents:
    """What ``coverage.json`` says. ``made_at`` is when the database was made, ISO 8601 in UTC."""

    made_at: str
    parts: tuple[Part, ...]
    severities: str = "unknown for nearly all: neither source tells them"


def contents_of(folder: Path) -> Contents | None:
    """Of a database in this folder; None for one that was not made here."""
    return store.load(Contents, folder / COVERAGE)
