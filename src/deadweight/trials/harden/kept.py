"""What a search found is kept: asked for in another format, or once more, it is written anew without one trial."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from deadweight.checks.protocol import Subject
from deadweight.engine.options import RunOptions
from deadweight.records import store
from deadweight.suite.criteria import asked_of
from deadweight.trials.harden.search import Found
from deadweight.trials.harden.tightest import tightest

EDITION = 1
"""Raised when the search looks for something else: what an earlier one found is then searched for again."""

_OF_THE_ENGINE = (
    *("name", "version", "kernel", "architecture", "cgroup", "rootless"),
    *("seccomp", "apparmor", "selinux", "storage_driver", "desktop"),
)
"""What of an engine decides how a container runs."""


@dataclass(frozen=True)
class Posture:
    """What was found, and under which circumstances (``key``). ``at`` is an ISO 8601 time in UTC."""

    key: str
    at: str
    options: RunOptions
    cut_off: Mapping[str, str]
    headroom: int
    tried: tuple[tuple[str, str], ...]


def kept_or_found(subject: Subject, told: Callable[[str], None], *, again: bool = False) -> Found:
    """The tightest posture of this image, with these settings, in this engine: as it was found before, else found now (with
    ``again`` in any case) and kept. Raises as ``tightest`` does."""
    file, key = place(subject), circumstances(subject)
    known = None if again else store.load(Posture, file)
    if known is not None and known.key == key:
        told(f"{subject.variant.name}: as found on {known.at}; invoke harden --force searches again")
        return _found(subject, known)
    found = tightest(subject, told)
    at = datetime.now(UTC).isoformat(timespec="seconds")
    store.save(Posture(key, at, found.options, found.cut_off, found.headroom, found.tried), file)
    return found


def place(subject: Subject) -> Path:
    """Where a variant's posture is kept."""
    return subject.state.folder / "harden" / f"{subject.variant.name}.json"


def circumstances(subject: Subject) -> str:
    """A digest of all that a search depends on: the image, what the suite asks and grants, the engine."""
    engine = asdict(subject.engine().info)
    said = [
        EDITION,
        subject.built.config_digest,
        *(asked_of(subject.variant, check) for check in ("runs", "api", "budget")),
        {name: engine[name] for name in _OF_THE_ENGINE},
    ]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _found(subject: Subject, known: Posture) -> Found:
    variant, suite = subject.variant, subject.suite.name
    return Found(variant, suite, subject.engine_image(), known.options, known.cut_off, known.headroom, known.tried)
