"""A wrapper for third-party builders: whatever they raise carries their name, and becomes one message for the user."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deadweight._errors import DeadweightError
from deadweight.builders.protocol import Builder, BuiltImage, Job, Needs, Site, Step
from deadweight.suite.model import Variant

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint


HINT = "docs/how-to/plugins.md shows what a builder is"
METHODS = ("needs", "steps", "archive")


def guarded(point: EntryPoint, whose: str) -> Builder[Any]:
    """The builder behind an entry point. ``whose`` names it in errors. Raises DeadweightError for what is no builder."""
    try:
        made = point.load()()
    except Exception as error:
        raise DeadweightError(
            f"{whose} cannot be loaded: {type(error).__name__}: {error}", hint="fix or uninstall its package"
        ) from error
    missing = [method for method in METHODS if not callable(getattr(made, method, None))]
    if missing:
        raise DeadweightError(f"{whose} is not a builder: it has no {' and no '.join(missing)}", hint=HINT)
    wrong = _wrong_record(getattr(made, "record", None))
    if wrong:
        raise DeadweightError(f"{whose}: {wrong}", hint=HINT)
    return Guarded(made, point.name, whose)


def _wrong_record(record: object) -> str:
    """What is wrong with a record of keys, as the end of a sentence; empty where nothing is."""
    if record is None:
        return "it has no record of its keys"
    if not (isinstance(record, type) and issubclass(record, Variant)):
        return f"its record must be a subclass of Variant, but is {record!r:.60}"
    ours = [
        key
        for key in Variant.model_fields
        if any(key in vars(each).get("__annotations__", {}) for each in _own(record))
    ]
    if ours:
        return f"its record declares {', '.join(ours)}, which every variant has already"
    changed = [name for name in ("frozen", "extra") if record.model_config.get(name) != Variant.model_config.get(name)]
    if changed:
        return (
            f"its record changes {' and '.join(changed)} in model_config: records are frozen and take no unknown keys"
        )
    return ""


def _own(record: type[Variant]) -> list[type]:
    """The record's own classes, down to ours."""
    return [each for each in record.__mro__ if each not in Variant.__mro__]


class Guarded:
    """A builder that is not ours. Errors of our own tree pass as they are."""

    def __init__(self, inner: Builder[Any], name: str, whose: str) -> None:
        self.inner, self.name, self._whose = inner, name, whose
        self.record: type[Variant] = inner.record

    def needs(self, variant: Variant, root: Path) -> Needs:
        with self._named(variant):
            return self.inner.needs(variant, root)

    def steps(self, variant: Variant, site: Site) -> tuple[Step, ...]:
        with self._named(variant):
            return tuple(
                replace(step, work=self._work(variant, step.work), there=self._there(variant, step.there))
                for step in self.inner.steps(variant, site)
            )

    def archive(self, variant: Variant, built: BuiltImage, site: Site) -> Path:
        with self._named(variant):
            return self.inner.archive(variant, built, site)

    def _work(self, variant: Variant, work: Callable[[Job], BuiltImage | None]) -> Callable[[Job], BuiltImage | None]:
        def guarded(job: Job) -> BuiltImage | None:
            with self._named(variant):
                return work(job)

        return guarded

    def _there(self, variant: Variant, there: Callable[[], bool]) -> Callable[[], bool]:
        def guarded() -> bool:
            with self._named(variant):
                return there()

        return guarded

    @contextmanager
    def _named(self, variant: Variant) -> Iterator[None]:
        try:
            yield
        except DeadweightError:
            raise
        except Exception as error:
            raise DeadweightError(f"{self._whose} failed on {variant.name}: {type(error).__name__}: {error}") from error
