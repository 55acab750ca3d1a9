"""Say which optional parts of Deadweight are installed: the extras that ``pip install 'deadweight[images]'`` names."""

from __future__ import annotations

from functools import cache
from importlib.metadata import PackageNotFoundError, requires, version

from deadweight_images.errors import MissingError, wording

DISTRIBUTION = "deadweight"


@cache
def lacking(part: str) -> tuple[str, ...]:
    """The packages of a part that this Python does not have, as the distribution's own metadata names them."""
    from packaging.requirements import Requirement

    def wanted(need: Requirement, extra: str) -> bool:
        return need.marker is None or need.marker.evaluate({"extra": extra})

    needs = [need for need in map(Requirement, _requires()) if wanted(need, part) and not wanted(need, "")]
    return tuple(need.name for need in needs if not _is_installed(need.name))


def require(part: str) -> None:
    """Raises MissingError (exit 3), with the command that installs the part, unless all of it is there."""
    if names := lacking(part):
        raise MissingError(wording("parts.missing", part=part, names=", ".join(names)))


def _requires() -> list[str]:
    try:
        return requires(DISTRIBUTION) or []
    except PackageNotFoundError:  # this package stands alone
        return []


def _is_installed(name: str) -> bool:
    try:
        return bool(version(name))
    except PackageNotFoundError:
        return False
