"""Run the ``layers`` check: find secrets, hidden bytes, shells, setuid files.

Evidence data is the layer reader's own document (the contract's ``variants.<name>.layers``) plus ``gates``: for each gate in
the suite, whether it held and why.
"""

from __future__ import annotations

import datetime
import json
import time
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from deadweight._errors import DeadweightError, joined, wording
from deadweight._packages import images
from deadweight.checks.protocol import Check, Gate, Subject, evidence
from deadweight.records.evidence import Evidence, Status
from deadweight.records.store import write_atomically
from deadweight.suite.checks import LayersCheck, SecretsGate, UnreadGate
from deadweight.suite.model import Variant
from deadweight.suite.values import format_bytes, parse_bytes

if TYPE_CHECKING:
    from deadweight_images.findings import LayersReport


class Layers(Check):
    """The check. It is asked for where the variant has ``checks.layers``; it reads the archive and needs no engine."""

    name = "layers"

    def run(self, subject: Subject) -> Evidence:
        """Look through every layer. Raises ConfigError for a wrong allow list, ArchiveError for a damaged archive."""
        started, asked = time.monotonic(), subject.variant.checks.layers or LayersCheck()
        allow = allow_list(subject.variant)
        report = images.analyse(subject.archive(), allow=allow, cache_dir=subject.state.cache / "image")
        if asked.secrets.base != asked.secrets.mine or asked.unread.base != asked.unread.mine:
            report = images.with_base(report, base_image(subject))
        gates = [*_gates(report, asked), *_allow_notes(report, allow)]
        data = {**report.json(), "gates": [{"name": g.name, "held": g.held, "reason": g.reason} for g in gates]}
        reason = _reason(report, gates)
        return evidence(subject, self.name, _status(gates), reason, started=started, data=data, gated=bool(gates))


def base_image(subject: Subject) -> images.BaseImage:
    """The layers of the variant's base, asked of the registry that it came from once for each digest and then kept.

    Nothing where there is no base or it cannot be asked: all findings are then the image's own, and a gate fails rather than
    lets one pass.
    """
    from deadweight.engine.daemon import image_platform
    from deadweight.toolchain.registry import Remote

    base = subject.built.base
    if base is None or base.digest is None:
        return images.BaseImage()
    kept = subject.state.cache / "bases" / f"{base.digest.partition(':')[2]}.json"
    try:
        document = json.loads(kept.read_bytes())
    except (OSError, ValueError):
        try:
            document = Remote(base.resolved, insecure=base.stand_in).config(image_platform())
            write_atomically(kept, json.dumps(document))
        except DeadweightError as error:
            subject.say(wording("checks.base_layers_unknown", variant=subject.variant.name, problem=error.message))
            return images.BaseImage()
    layers, steps = document.get("rootfs", {}).get("diff_ids", []), document.get("history") or []
    return images.BaseImage(frozenset(map(str, layers)), len(steps))


def allow_list(variant: Variant) -> tuple[images.AllowEntry, ...]:
    """The variant's allow list."""
    asked = variant.checks.layers
    return tuple(
        images.AllowEntry(entry.fingerprint, entry.reason, datetime.date.fromisoformat(entry.expires))
        for entry in (asked.allow if asked else ())
    )


def _gates(report: LayersReport, asked: LayersCheck) -> Iterator[Gate]:
    yield from _gate_by_owner("secrets", asked.secrets, report.counted)
    if report.unread:
        yield from _gate_by_owner("unread", asked.unread, report.unread)
    if asked.max_hidden_bytes is not None:
        limit, hidden = parse_bytes(asked.max_hidden_bytes), report.hidden_bytes
        shown, most = format_bytes(hidden), format_bytes(limit)
        if shown == most:  # rounded: the reader must see which is larger
            shown, most = f"{hidden} bytes", f"{limit} bytes"
        yield Gate("max_hidden_bytes", hidden <= limit, wording("checks.hidden_bytes", hidden=shown, allowed=most))
    for name, allowed, things in (
        ("setuid", asked.setuid, report.setuid),
        ("shell", asked.shell, report.shells),
        ("package_manager", asked.package_manager, report.package_managers),
    ):
        if not allowed:
            first = ", ".join(thing.described for thing in things[:3])
            why = next((f" ({thing.why})" for thing in things if thing.why), "")
            reason = wording("checks.found", count=len(things), first=first, why=why)
            yield Gate(name, not things, reason if things else wording("checks.none"))
    if asked.users:
        user = (report.user or "root").split(":")[0]
        yield Gate("users", user in asked.users, wording("checks.runs_as", user=user))


def _gate_by_owner(name: str, asked: SecretsGate | UnreadGate, counts: Counter[str]) -> Iterator[Gate]:
    """A gate that judges what is mine and what came with the base apart."""
    gated = [owner for owner, verdict in (("mine", asked.mine), ("base", asked.base)) if verdict == "none"]
    if not gated:
        return
    count, kind = sum(counts[owner] for owner in gated), "unscanned places" if name == "unread" else name
    others = sum(counts.values()) - count
    if len(gated) == 2:
        reason = wording("checks.findings", kind=kind, count=count)
    elif gated == ["mine"]:
        reason = wording("checks.findings_of_mine", kind=kind, count=count, others=others)
    else:
        reason = wording("checks.findings_of_base", kind=kind, count=count, others=others)
    yield Gate(name, not count, reason)


def _allow_notes(report: LayersReport, allow: tuple[images.AllowEntry, ...]) -> Iterator[Gate]:
    """Entries that have expired (their findings count again) and entries that match nothing, as far as all findings are listed."""
    present = {mark.fingerprint.lower() for file in report.hidden for mark in file.secrets}
    present |= {secret.fingerprint.lower() for secret in report.secrets}
    today = datetime.date.today()  # noqa: DTZ011 - expiry dates are the user's own days
    for entry in allow:
        short, expires = entry.fingerprint[:12], entry.expires
        if entry.fingerprint.lower() not in present:
            if not report.more_secrets:
                yield Gate("allow", False, wording("checks.allowance_unused", fingerprint=short), warning=True)
        elif expires is not None and expires < today:
            reason = wording("checks.allowance_expired", fingerprint=short, date=expires)
            yield Gate("allow", False, reason, warning=True)


def _status(gates: list[Gate]) -> Status:
    if any(not gate.held and not gate.warning for gate in gates):
        return "fail"
    return "warn" if any(not gate.held for gate in gates) else "pass"


def _reason(report: LayersReport, gates: list[Gate]) -> str:
    bad = [f"{gate.name}: {gate.reason}" for gate in gates if not gate.held]
    if bad:
        return "; ".join(bad)
    hidden = wording("checks.nothing_hidden")
    if report.hidden_files:
        hidden = wording("checks.hidden", size=format_bytes(report.hidden_bytes), files=report.hidden_files)
    parts = [wording("checks.layers", layers=len(report.layers), hidden=hidden)]
    if secrets := sum(report.counted.values()):
        parts.append(wording("checks.allowed_secrets", count=secrets))
    if unread := sum(report.unread.values()):
        parts.append(wording("checks.not_looked_at", count=unread))
    return joined(*parts)


CHECK = Layers()
