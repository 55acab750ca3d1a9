"""Record how a derived variant differs from the repository's own image, as comment lines for the suite."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

MOST_SHOWN = 12


class Code(Enum):
    """What kind of difference it is; the value is how its line begins."""

    BASE = "another base"
    PROGRAMS = "not there"
    FILES = "left out"
    HEALTHCHECK = "no health check"
    STEP = "not done"
    FLAGS = "other build flags"
    SETTING = "not set"
    USER = "another user"
    WORKDIR = "another working folder"


@dataclass(frozen=True)
class Change:
    """One difference. ``what`` names it; ``line`` is that of the own Dockerfile, 0 where it has none."""

    code: Code
    what: str
    line: int = 0
    file: str = ""

    def __str__(self) -> str:
        place = f" ({self.file}:{self.line})" if self.line else ""
        return f"{self.code.value}: {self.what}{place}"


def of_settings(own: Mapping[str, Any], other: Mapping[str, Any]) -> Iterator[Change]:
    """What another image is started with otherwise. Both are configurations (OCI: ``User``, ``WorkingDir``)."""
    users = [
        re.sub(r"^(?:0|root)?(?::.*)?$", "root", config.get("User") or "").partition(":")[0] for config in (own, other)
    ]
    folders = [config.get("WorkingDir") or "/" for config in (own, other)]
    for code, (before, after) in ((Code.USER, users), (Code.WORKDIR, folders)):
        if before != after:
            yield Change(code, f"{before} -> {after}")


def lines(changes: Sequence[Change]) -> list[str]:
    """The changes as lines; of many only the first, and how many more there are."""
    shown = [str(each) for each in changes[:MOST_SHOWN]]
    left = len(changes) - len(shown)
    return [*shown, *([f"and {left} more"] if left else [])]
