"""Look up a builder by name: ours in one plain table, others through the entry point group ``deadweight.builders``.

A builder is imported when it builds; its record of keys, when a suite names it. Entry points are read only if a suite names a
builder that the table lacks, so that start-up stays fast.
"""

from __future__ import annotations

import functools
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from deadweight import _plugins
from deadweight._errors import DeadweightError, wording
from deadweight._plugins import AUTHORS, Whose
from deadweight.builders.protocol import Builder, BuiltImage, Job, Needs, Site, Step
from deadweight.suite.model import Variant

TABLE = {
    "dockerfile": ("deadweight.builders.dockerfile.builder", "DockerfileBuilder", "DockerfileVariant"),
    "ko": ("deadweight.builders.ko", "KoBuilder", "KoVariant"),
    "apko": ("deadweight.builders.apko", "ApkoBuilder", "ApkoVariant"),
    "jib": ("deadweight.builders.jib.builder", "JibBuilder", "JibVariant"),
}
"""Each one's module, its class there, and its record in ``variants``."""


def names() -> tuple[str, ...]:
    """The names of our own builders."""
    return tuple(TABLE)


@functools.cache
def builder(name: str) -> Builder[Any]:
    """The builder of that name. Raises LookupError where nobody registered it, DeadweightError where it cannot be loaded."""
    if name in TABLE:
        module, kind, _ = TABLE[name]
        return cast("Builder[Any]", getattr(import_module(module), kind)())
    made, whose = _plugins.load("builder", name, METHODS, TABLE)
    return Guarded(made, name, whose)


@functools.cache
def record(name: str) -> type[Variant] | None:
    """The keys of that builder's variants; None where nobody registered it.

    Raises DeadweightError for another's builder that cannot be loaded, or whose record is wrong.
    """
    if name in TABLE:
        return cast("type[Variant]", getattr(import_module("deadweight.builders.variants"), TABLE[name][2]))
    try:
        return builder(name).record
    except LookupError:
        return None


def is_known(name: str) -> bool:
    """Whether it is ours or registered. Raises DeadweightError as ``record`` does."""
    return name in TABLE or record(name) is not None


# A wrapper for third-party builders: whatever they raise, or return wrongly, becomes one message that carries their name.
METHODS = ("needs", "steps", "archive")


class Guarded:
    """A builder that is not ours."""

    def __init__(self, inner: Builder[Any], name: str, whose: Whose) -> None:
        """Takes in the programs that it describes. Raises DeadweightError where its record or its programs are wrong."""
        from deadweight.toolchain import catalogue

        wrong = _wrong_record(getattr(inner, "record", None))
        if wrong:
            raise DeadweightError(wording("builders.wrong_plugin", plugin=whose, problem=wrong), hint=AUTHORS)
        catalogue.add(getattr(inner, "programs", ()), str(whose))
        self.inner, self.name, self._whose = inner, name, whose
        self.record: type[Variant] = inner.record

    def needs(self, variant: Variant, root: Path) -> Needs:
        with self._whose.at_work(variant.name):
            return self._whose.checked(variant.name, "needs()", self.inner.needs(variant, root), Needs)

    def steps(self, variant: Variant, site: Site) -> tuple[Step, ...]:
        with self._whose.at_work(variant.name):
            given = self._whose.checked(variant.name, "steps()", self.inner.steps(variant, site), tuple)
        steps = [self._whose.checked(variant.name, "steps()", step, Step) for step in given]
        last = f"image:{variant.name}"
        if [step.key for step in steps[-1:]] != [last]:
            actual = repr(steps[-1].key) if steps else "missing"
            raise self._whose.wrong(variant.name, wording("builders.wrong_last_key", expected=last, found=actual))
        return (*(self._guarded(step) for step in steps[:-1]), self._guarded(steps[-1], last=True))

    def archive(self, variant: Variant, built: BuiltImage, site: Site) -> Path:
        with self._whose.at_work(variant.name):
            path = self._whose.checked(variant.name, "archive()", self.inner.archive(variant, built, site), Path)
        if not path.exists():
            raise self._whose.wrong(variant.name, wording("builders.no_archive", path=path))
        return path

    def _guarded(self, step: Step, *, last: bool = False) -> Step:
        def work(job: Job) -> BuiltImage | None:
            with self._whose.at_work(step.variant):
                made = step.work(job)
            return self._whose.checked(step.variant, "work()", made, BuiltImage) if last else made

        def there() -> bool:
            with self._whose.at_work(step.variant):
                return step.there()

        return replace(step, work=work, there=there)


def _wrong_record(record: object) -> str:
    """What is wrong with a record of keys, as the end of a sentence; empty where nothing is."""
    if record is None:
        return wording("builders.no_record")
    if not (isinstance(record, type) and issubclass(record, Variant)):
        return wording("builders.wrong_record", record=record)
    own = [cls for cls in record.__mro__ if cls not in Variant.__mro__]  # its own classes, down to ours
    ours = [key for key in Variant.model_fields if any(key in vars(cls).get("__annotations__", {}) for cls in own)]
    if ours:
        return wording("builders.reserved_keys", keys=", ".join(ours))
    changed = [name for name in ("frozen", "extra") if record.model_config.get(name) != Variant.model_config.get(name)]
    if changed:
        return wording("builders.changed_config", keys=" and ".join(changed))
    return ""
