"""A wrapper for third-party builders: whatever they raise carries their name, and becomes one message for the user."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from deadweight._errors import DeadweightError
from deadweight.builders.protocol import Builder, BuiltImage, Job, Needs, Site, Step
from deadweight.suite.model import Variant


class Guarded:
    """A builder that is not ours. Errors of our own tree pass as they are."""

    def __init__(self, inner: Builder, name: str, whose: str) -> None:
        self.inner, self.name, self._whose = inner, name, whose

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
