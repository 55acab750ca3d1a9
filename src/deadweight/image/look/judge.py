"""What a look at an image starts with and ends with: the probe for a mode, and the allow list put beside the findings."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING

from deadweight.image.findings import BASE, MINE, LayersReport, Scanned

if TYPE_CHECKING:
    from deadweight.image.secrets.allow import AllowEntry
    from deadweight.image.secrets.regions import Probe
    from deadweight.image.secrets.scanner import Scanner


_STEP = re.compile(r"history\[(\d{1,6})\]")


def probe_for(scan: Scanned, scanner: Scanner | None) -> Probe | None:
    """A probe for a mode of ``analyse``; None for ``no``."""
    if scan == "no":
        return None
    from deadweight.image.secrets.regions import Probe
    from deadweight.image.secrets.scanner import Scanner

    return Probe(scanner or Scanner.default(), decode=scan != "plain")


@dataclass(frozen=True, slots=True)
class BaseImage:
    """What is known of the image that another one is built on: its layers' diff-ids and how many steps its history has."""

    layers: frozenset[str] = frozenset()
    steps: int = 0


def with_base(report: LayersReport, base: BaseImage) -> LayersReport:
    """The same report; what lies in the base's own layers and history is the base's."""
    hidden = tuple(
        replace(file, owner=BASE) if _is_of(base, file.owner, file.layer) else file for file in report.hidden
    )
    secrets = tuple(
        replace(item, owner=BASE) if _is_of(base, item.owner, item.layer, item.where) else item
        for item in report.secrets
    )
    skipped = tuple(
        replace(item, owner=BASE) if _is_of(base, item.owner, item.layer) else item for item in report.skipped
    )
    return replace(report, hidden=hidden, secrets=secrets, skipped=skipped)


def _is_of(base: BaseImage, owner: str, layer: str | None, where: str = "") -> bool:
    step = _STEP.match(where)
    return owner == MINE and (layer in base.layers or (step is not None and int(step[1]) < base.steps))


def judged(report: LayersReport, allow: Iterable[AllowEntry], today: date | None = None) -> LayersReport:
    """The same report with the reason of the allow list beside each finding that is on it (and not expired)."""
    entries = tuple(allow)
    if not entries:
        return report
    day = today or date.today()  # noqa: DTZ011 - expiry dates are the user's own days
    reasons = {e.fingerprint.lower(): e.reason for e in entries if e.expires is None or e.expires >= day}
    hidden = tuple(
        replace(file, secrets=tuple(replace(mark, allowed=reasons.get(mark.fingerprint)) for mark in file.secrets))
        for file in report.hidden
    )
    secrets = tuple(replace(secret, allowed=reasons.get(secret.fingerprint)) for secret in report.secrets)
    return replace(report, hidden=hidden, secrets=secrets)
