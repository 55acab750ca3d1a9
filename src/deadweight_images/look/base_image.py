"""What of an image lies in the base that it is built on: told, and gated, apart from its own."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from deadweight_images.findings import BASE, MINE, LayersReport

_STEP = re.compile(r"history\[(\d{1,6})\]")


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
