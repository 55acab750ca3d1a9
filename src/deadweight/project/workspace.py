"""Open one project: its suite, state folder, source and engine, each found on first use."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, cast

from deadweight._errors import CommandError, DeadweightError, MissingError, UsageError, quoting, wording
from deadweight.builders.protocol import Builder, Needs, Site, WrongKey
from deadweight.engine.faults import CannotStart, Ended
from deadweight.plan.graph import load_built, load_failed
from deadweight.project.load_suite import check_suite, load_suite, no_builder
from deadweight.records.built_image import UNFINISHED, BuiltImage, FailedBuild, kept_name, retire
from deadweight.records.paths import State
from deadweight.records.runs import held_since, locked
from deadweight.records.store import load, save
from deadweight.suite.load import find_suite_file
from deadweight.suite.model import Suite, Variant
from deadweight.suite.yaml_nodes import Problems

if TYPE_CHECKING:
    from deadweight import _packages
    from deadweight.checks.protocol import Subject
    from deadweight.engine.api import Endpoint
    from deadweight.engine.client import Engine
    from deadweight.project.git import GitAnswers
    from deadweight.sources.protocol import Source


ENGINE_MAY_BE_WHY = (DeadweightError, CommandError, CannotStart, Ended)
"""Errors after which the engine is looked at; the others say themselves what they are about."""


class _Deferred:
    """Stands for an object that is made when something of it is first asked for."""

    def __init__(self, make: Callable[[], object]) -> None:
        self._make = make

    def __getattr__(self, name: str) -> Any:
        return getattr(self._make(), name)


@dataclass(frozen=True)
class Loaded:
    """Which image was loaded, and the id that the engine gave it."""

    config_digest: str
    engine_id: str


class OnEngine:
    """``engine`` finds it when first asked for. ``place`` is its name in the pool, empty for the engine that also builds."""

    def __init__(self, project: Workspace, engine: Callable[[], Engine], place: str = "") -> None:
        self._project, self.engine, self.place = project, engine, place
        self._need_images: dict[str, str] = {}
        self._needing = threading.Lock()

    def subject(self, variant: Variant) -> Subject:
        """What checks look at. Raises MissingError (exit 3) where the variant is not built."""
        from deadweight.checks.protocol import Subject

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
            public_image=self.public_image,
        )

    def _subject_of(self, name: str) -> Subject | None:
        variant = next((variant for variant in self._project.suite.variants if variant.name == name), None)
        return self.subject(variant) if variant is not None and self._project.built(name) is not None else None

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
        return self.public_image(need.image)

    def public_image(self, image: str) -> str:
        """Any public image in the engine, as the source has it. Raises NoBase."""
        with self._needing:  # variants are checked side by side, and the source makes a stand-in once
            if image not in self._need_images:
                project = self._project
                with locked(project.state, project.say):
                    project.source.prepare((image,), apk=False, say=project.say)
                self._need_images[image] = self.engine().images.pull(project.source.base(image).resolved)
        return self._need_images[image]


def refuse_no_profile(suite: Suite, variant: Variant) -> None:
    """Raises ConfigError where ``run.seccomp`` names no file, or one that is no profile."""
    if variant.run.seccomp is None:
        return
    from deadweight.engine.seccomp import profile

    try:
        profile.read_profile(suite.root / variant.run.seccomp)
    except UsageError as error:
        raise suite.error(variant, ("run", "seccomp"), error.message, hint=error.hint) from error


class Workspace:
    """Opens nothing by itself. ``say`` takes lines of progress (they go to stderr). ``close`` lets go of the engine."""

    def __init__(self, suite: Suite, say: Callable[[str], None]) -> None:
        self.suite, self.say = suite, say
        self.state = State(suite.root)
        self._told = set[str]()
        self.here = OnEngine(self, self.engine)
        self.subject, self.engine_image, self.need_image = self.here.subject, self.here.image, self.here.need_image
        self.asked: GitAnswers | None = None
        self._needed: dict[str, Needs] = {}

    @classmethod
    def open(cls, say: Callable[[str], None], file: Path | None = None, *, since: str | None = None) -> Workspace:
        """The project in this folder or above. Git looks for what changed ``since`` a revision while the suite is read.

        Raises ConfigError (exit 2).
        """
        file, asked = file or find_suite_file(), None
        if since is not None:
            from deadweight.project.git import ask_git

            asked = ask_git(file.absolute().parent, since)
        suite = load_suite(file)
        check_suite(suite)
        workspace = cls(suite, say)
        workspace.asked = asked
        return workspace

    @cached_property
    def source(self) -> Source:
        """The source that setup recorded, else what ``auto`` finds."""
        from deadweight.sources.remote import choose

        return choose(self.suite, self.state, self.say)

    @property
    def endpoint(self) -> Endpoint:
        """Where the engine listens; it is started where none runs. Raises MissingError (exit 3) where none can be had."""
        if isinstance(self._endpoint, MissingError):
            raise self._endpoint
        return self._endpoint

    @cached_property
    def _endpoint(self) -> Endpoint | MissingError:
        # a no is kept as well: every check that runs a container asks, and an engine that does not come up takes its time
        from deadweight.engine.daemon import find_or_start

        try:
            return find_or_start(self.say)
        except MissingError as error:
            return error
        except CommandError as error:
            return MissingError(wording("project.no_engine", problem=error.message))

    @cached_property
    def _engine(self) -> Engine:
        from deadweight.engine.client import Engine

        return Engine.connect(self.endpoint, project=self.suite.name, root=str(self.suite.root))

    def __enter__(self) -> Workspace:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let go of the engine. What failed on an engine that cannot run a container is told as that (MissingError)."""
        try:
            lost = self.lost_engine() if type(error) in ENGINE_MAY_BE_WHY and "_engine" in self.__dict__ else None
        finally:
            self.close()
        if lost is not None:
            raise lost from error

    def lost_engine(self) -> MissingError | None:
        """What is wrong with the engine where it cannot run a container."""
        from deadweight.engine.broken_engine import lost_engine

        return lost_engine(self.engine)

    def close(self) -> None:
        """Remove what was started in the engine, and let go of it, if it was ever asked for."""
        for name in ("engine_pool", "_engine"):
            if (used := self.__dict__.pop(name, None)) is not None:
                used.close()

    def engine(self) -> Engine:
        """The engine, found or started. Raises MissingError (exit 3) where there is none and none can be had."""
        return self._engine

    @cached_property
    def site(self) -> Site:
        # a source that is not decided yet asks the network, which reading archives and evidence must not
        source = cast("Source", _Deferred(lambda: self.source))
        return Site(self.suite, self.state, source, self.engine, pool=self.pool)

    @cached_property
    def pool(self) -> _packages.pool.Pool | None:
        """The pool of BuildKit endpoints, where there is one. Raises ConfigError for a pool file that is wrong."""
        from deadweight._packages import pool

        chosen = pool.chosen_pool(self.suite)
        if chosen is None or not chosen.pool.endpoints:
            return None
        return pool.Pool(chosen, self.state.log("pool"), self.say)

    @cached_property
    def engine_pool(self) -> _packages.pool.EnginePool | None:
        """The pool's engines that run checks, where it has some. Raises ConfigError for a pool file that is wrong."""
        from deadweight._packages import pool

        chosen = pool.chosen_pool(self.suite)
        return pool.EnginePool(self, pool.check_engines(chosen)) if chosen is not None and chosen.pool.engines else None

    def builder(self, variant: Variant) -> Builder[Any]:
        """Raises ConfigError, with its line, for a builder that nobody registered."""
        from deadweight.builders import table

        try:
            return table.builder(variant.builder)
        except LookupError:
            raise no_builder(self.suite, variant) from None

    def needs(self, variants: Sequence[Variant]) -> tuple[Needs, ...]:
        """What the builders of these variants need, each asked once. Raises ConfigError with all keys and files that are wrong."""
        problems = Problems()
        for variant in variants:
            if variant.name not in self._needed:
                with problems.collect():
                    self._needed[variant.name] = self._needs(variant)
        problems.tell()
        return tuple(self._needed[variant.name] for variant in variants)

    def _needs(self, variant: Variant) -> Needs:
        """Raises ConfigError: for a wrong file, at the suite's line that names it."""
        try:
            needs = self.builder(variant).needs(variant, self.suite.root)
            return needs.pooled if needs.pooled is not None and self.pool is not None else needs
        except WrongKey as error:
            root = self.suite.root
            whose = error.path.relative_to(root) if error.path.is_relative_to(root) else error.path
            what = error.what if error.path == root else quoting(error.what, f"{whose}: {error.what}")
            raise self.suite.error(variant, error.inner, what, hint=error.hint) from None

    def built(self, name: str) -> BuiltImage | None:
        return load_built(self.state, name)

    def failed(self, name: str) -> FailedBuild | None:
        """That the variant's last build came to nothing, where it did; ``built`` is then what was there before."""
        return load_failed(self.state, name)

    def building(self, failed: FailedBuild) -> bool:
        """Whether a build that has not ended goes on, in this process or another: whoever held the lock then holds it still."""
        return failed.how == UNFINISHED and failed.under > 0 and held_since(self.state) == failed.under

    def stand_in(self, name: str) -> bool | None:
        """Whether a variant rests on a local stand-in of its public base; None where it is not built."""
        built = self.built(name)
        return None if built is None else built.stand_in

    def archive(self, variant: Variant) -> Path:
        """The variant's image archive, created if it does not exist. Raises MissingError where the variant is not built."""
        return self.builder(variant).archive(variant, self.built_or_raise(variant), self.site)

    def started_needs(self, variant: Variant) -> AbstractContextManager[Mapping[str, str]]:
        """What the variant needs, started; gives the names with their addresses. Raises MissingError."""
        from deadweight.checks.service import started_dependencies

        needs, root = variant.run.needs, self.suite.root
        return started_dependencies(
            self.engine, needs, lambda name: self.need_image(variant, name), root=root, variant=variant.name
        )

    def built_or_raise(self, variant: Variant) -> BuiltImage:
        built = self.built(variant.name)
        if built is None:
            raise MissingError(wording("project.image_missing", variant=variant.name))
        if variant.name not in self._told:
            self._told.add(variant.name)
            if (failed := self.failed(variant.name)) is not None:
                self.say(wording("project.older_image", variant=variant.name, why=failed, when=built.built_at))
        return built
