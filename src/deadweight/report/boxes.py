"""What the page says of one variant in its own box: checks, facts of its image, and the commands that get all of it anew."""

from __future__ import annotations

from dataclasses import dataclass

from deadweight.report import figures
from deadweight.report.got import command
from deadweight.report.model import BaseRecord, BuildRecord, CheckRecord, ImageRecord, VariantRecord

TONES = {"pass": "good", "warn": "warn", "fail": "bad", "not_measured": "muted"}
REASON_LETTERS = 300
PLAIN_DECISIONS = 2
"""Of a build that went where it was sent: that it went there, and that it was built."""


@dataclass(frozen=True)
class CheckRow:
    """``tone`` is a class of the page; ``reason`` at most ``REASON_LETTERS`` long."""

    name: str
    tone: str
    outcome: str
    reason: str


@dataclass(frozen=True)
class Box:
    """``facts``: what they are called, and what they are."""

    checks: tuple[CheckRow, ...]
    facts: tuple[tuple[str, str], ...]
    commands: tuple[str, ...]


def box(name: str, record: VariantRecord) -> Box:
    """The box of one variant."""
    facts = {
        "Image": record.image and _image(record.image),
        "Attestations": record.image and ", ".join(each.predicate for each in record.image.attestations),
        "Entry point": record.image and short(" ".join(record.image.entrypoint or ())),
        "Base": record.base and _base(record.base),
        "Built on": record.build and record.build.built_on and _built_on(record.build),
        "Reference": record.reference and ": ".join(filter(None, (record.reference.source, record.reference.note))),
    }
    return Box(
        tuple(_row(check, found) for check, found in record.checks.items()),
        tuple((title, text) for title, text in facts.items() if text),
        tuple(command(task, name) for task in _tasks(record)),
    )


def short(text: str) -> str:
    """At most ``REASON_LETTERS``, with a sign of more."""
    return text if len(text) <= REASON_LETTERS else text[:REASON_LETTERS] + "\u2026"


def _row(name: str, found: CheckRecord) -> CheckRow:
    outcome = "measured" if found.only_measured else (found.why_not or found.status).replace("_", " ")
    if found.status == "fail" and found.expected:
        outcome += ", as expected"
    elif not found.expected and found.status != "not_measured":
        outcome += ", not expected"
    return CheckRow(name, TONES[found.status] if found.expected else "bad", outcome, short(found.reason))


def _image(image: ImageRecord) -> str:
    more = {"manifest": image.manifest_digest, "index": image.index_digest}
    return ", ".join([image.config_digest, *(f"{word} {digest}" for word, digest in more.items() if digest)])


def _base(base: BaseRecord) -> str:
    stand_in = f" ({figures.STAND_IN})" if base.stand_in else ""
    resolved = f"in fact {base.resolved}" if base.resolved and base.resolved != base.reference else ""
    return ", ".join(filter(None, (base.reference + stand_in, resolved, base.digest)))


def _built_on(build: BuildRecord) -> str:
    """The endpoint, with how it came to that one where another was tried before."""
    more = build.decisions if len(build.decisions) > PLAIN_DECISIONS else ()
    return short("; ".join([str(build.built_on), *more]))


def _tasks(record: VariantRecord) -> list[str]:
    return ["build", "verify", "layers", "scan", *(("attack", "harden") if record.attacks else ())]
