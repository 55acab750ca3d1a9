"""Load a project's images into one engine, and make the subjects that checks run on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from deadweight._errors import UsageError
from deadweight.checks.protocol import Subject
from deadweight.records.built_image import kept_name, retire
from deadweight.records.lock import locked
from deadweight.records.store import load, save

if TYPE_CHECKING:
    from pathlib import Path

    from deadweight.engine.client import Engine
    from deadweight.records.built_image import BuiltImage
    from deadweight.records.paths import State
    from deadweight.sources.protocol import Source
    from deadweight.suite.model import Suite, Variant


class Project(Protocol):
    """What has the images: the project."""

    suite: Suite
    state: State
    say: Callable[[str], None]

    @property
    def source(self) -> Source: ...

    def built(self, name: str) -> BuiltImage | None: ...

    def built_or_raise(self, variant: Variant) -> BuiltImage: ...

    def archive(self, variant: Variant) -> Path: ...


@dataclass(frozen=True)
class Loaded:
    """Which image was loaded, and the id that the engine gave it."""

    config_digest: str
    engine_id: str


class OnEngine:
    """``engine`` finds it when first asked for. ``place`` is its name in the pool, empty for the engine that also builds."""

    def __init__(self, project: Project, engine: Callable[[], Engine], place: str = "") -> None:
        self._project, self.engine, self.place = project, engine, place
        self._need_images: dict[str, str] = {}
        self._needing = threading.Lock()

    def subject(self, variant: Variant) -> Subject:
        """What checks look at. Raises MissingError (exit 3) where the variant is not built."""
        project = self._project
        refuse_no_profile(project.suite, variant)
        return Subject(
            suite=project.suite,
            variant=variant,
            built=project.built_or_raise(variant),
            state=project.state,
            archive=lambda: project.archive(variant),
            engine=self.engine,
            engine_image=lambda: self.image(variant),
            subject_of=self._subject_of,
            need_image=lambda name: self.need_image(variant, name),
            place=self.place,
        )

    def _subject_of(self, name: str) -> Subject | None:
        project = self._project
        variant = next((variant for variant in project.suite.variants if variant.name == name), None)
        return self.subject(variant) if variant is not None and project.built(name) is not None else None

    def image(self, variant: Variant) -> str:
        """The image's reference in the engine; loads its archive where the engine does not have this very image.

        An engine with Docker's containerd store calls images by their manifest: what it called this one is in the build's record,
        or, where it loaded the archive, kept beside that.
        """
        project = self._project
        refuse_no_profile(project.suite, variant)
        built = project.built_or_raise(variant)
        images = self.engine().images
        name = kept_name(built.reference, built.config_digest)
        note = project.state.image(variant.name) / (f"loaded-{self.place}.json" if self.place else "loaded.json")
        there, last = images.get(name), load(Loaded, note)
        known = (built.config_digest, *(() if self.place else (built.engine_id,)))
        if there is not None and (there.id in known or last == Loaded(built.config_digest, there.id)):
            return name
        save(Loaded(built.config_digest, images.load(project.archive(variant), name)), note)
        if last is not None and last.config_digest != built.config_digest:
            retire(project.state, images.let_go, kept_name(built.reference, last.config_digest), current=name)
        return name

    def need_image(self, variant: Variant, name: str) -> str:
        """The image of one of the variant's ``run.needs`` in the engine: a public one as the source has it, or another variant's.

        Raises MissingError where that variant is not built, NoBase where the source has no such image.
        """
        project, need = self._project, variant.run.needs[name]
        if need.variant is not None:
            return self.image(next(variant for variant in project.suite.variants if variant.name == need.variant))
        assert need.image is not None
        with self._needing:  # variants are checked side by side, and the source makes a stand-in once
            if need.image not in self._need_images:
                with locked(project.state, project.say):
                    project.source.prepare((need.image,), apk=False, say=project.say)
                self._need_images[need.image] = self.engine().images.pull(project.source.base(need.image).resolved)
        return self._need_images[need.image]


def refuse_no_profile(suite: Suite, variant: Variant) -> None:
    """Raises ConfigError where ``run.seccomp`` names no file, or one that is no profile."""
    if variant.run.seccomp is None:
        return
    try:
        from deadweight.engine.seccomp import profile

        profile.read_profile(suite.root / variant.run.seccomp)
    except UsageError as error:
        raise suite.error(variant, ("run", "seccomp"), error.message, hint=error.hint) from error
