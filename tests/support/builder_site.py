"""A small real project for tests of builders: a Go program, suites written in place, and builds without the scheduler."""

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import pytest

from deadweight._errors import CommandError, DeadweightError
from deadweight.builders import table
from deadweight.builders.protocol import BuiltImage, Job, Site, Step
from deadweight.builders.shared.diagnosis import causes
from deadweight.engine.client import Engine
from deadweight.plan.graph import Digests, Fingerprint, Plan, Task, make_plan
from deadweight.plan.scheduler import Outcome, run_plan
from deadweight.project.load_suite import load_suite
from deadweight.records.built_image import BUILT_FILE, Base
from deadweight.records.paths import State
from deadweight.records.store import load, save
from deadweight.sources.protocol import ApkFlavour, ApkRepositories, BuildEnvironment, Say, Source
from deadweight.suite.model import Variant
from deadweight_images.archive.archive import open_archive
from deadweight_images.archive.model import Image
from deadweight_images.inspect.extract import read_file
from tests.support import ROOT
from tests.support.trees import written

MAIN = 'package main\n\nfunc main() {\n\tprintln("hello")\n}\n'
GO_FILES = {"app/go.mod": "module example.invalid/app\n\ngo 1.21\n", "app/main.go": MAIN}
STATIC, DONOR = "gcr.io/distroless/static-debian12:nonroot", "busybox:1.36.1-musl"
BROKEN = "package main\n\nfunc main() {\n\tprintln(nope)\n}\n"
COMPILERS = "./main.go:4:10: undefined: nope"
"""What Go says of that."""
HINTS = {cause.id: cause.hint for cause in causes()}


class Silent:
    """Watches a plan, and says nothing."""

    def began(self, task: Task) -> None: ...

    def output(self, task: Task, line: str) -> None: ...

    def ended(self, outcome: Outcome) -> None: ...


def no_engine() -> Engine:
    raise AssertionError("this builder must not ask for an engine")


NAME = f"small-{os.getpid()}"
"""The suite's name, of this process alone: others at the same engine remove what is called theirs."""
IMAGES = f"deadweight/{NAME}/"


@dataclass
class GivenSource(Source):
    """Bases as given, everything else from another source. For bases that no public name stands for."""

    bases: Mapping[str, Base] = field(default_factory=dict)
    packages: Callable[[ApkFlavour], ApkRepositories] | None = None
    build_environment: BuildEnvironment = field(default_factory=BuildEnvironment)
    name: str = "given"

    def tools(self, references: Sequence[str], *, apk: bool) -> tuple[str, ...]:
        return ()

    def prepare(self, references: Sequence[str], *, apk: bool, say: Say) -> None:
        pass

    def base(self, reference: str) -> Base:
        return self.bases[reference]

    def apk(self, flavour: ApkFlavour = "wolfi") -> ApkRepositories:
        assert self.packages is not None
        return self.packages(flavour)

    def environment(self) -> BuildEnvironment:
        return self.build_environment

    def layout(self, reference: str) -> Path:
        raise AssertionError(reference)


@dataclass
class Project:
    """A folder with a suite. ``lines`` collects progress, ``took`` what steps told of caches."""

    root: Path
    source: Source
    engine: Callable[[], Engine] = no_engine
    lines: list[str] = field(default_factory=list)
    took: list[str] = field(default_factory=list)

    def write(self, files: Mapping[str, str]) -> Self:
        written(self.root, files)
        return self

    def suite(self, variants: str, name: str = NAME) -> Self:
        """``variants`` is what stands under ``variants:``, indented by two."""
        return self.write({"deadweight.yaml": f"name: {name}\nvariants:\n{variants}\n"})

    @property
    def site(self) -> Site:
        suite = load_suite(self.root / "deadweight.yaml")
        return Site(suite, State(suite.root), self.source, self.engine)

    def variant(self, name: str) -> Variant:
        return next(variant for variant in self.site.suite.variants if variant.name == name)

    def steps(self, name: str) -> tuple[Step, ...]:
        variant = self.variant(name)
        return table.builder(variant.builder).steps(variant, self.site)

    def inputs(self, name: str = "v", step: int = 0) -> Fingerprint:
        """What a step's result depends on, read now."""
        return Digests().of(self.steps(name)[step].inputs, self.root)

    def build(self, name: str, *, last_step_only: bool = False) -> BuiltImage:
        variant, site = self.variant(name), self.site
        builder = table.builder(variant.builder)
        builder.needs(variant, site.root)
        image = None
        for step in builder.steps(variant, site)[-1 if last_step_only else 0 :]:
            image = step.work(Job(site.state.log(name), self.lines.append, self.took.append))
        assert image is not None
        save(image, site.state.image(name) / BUILT_FILE)
        return image

    def run(self, *names: str, jobs: int = 1) -> tuple[Outcome, ...]:
        """These variants, built as a plan has it."""
        return tuple(run_plan(self.plan(*names), self.site.state, Silent(), jobs=jobs))

    def plan(self, *names: str) -> Plan:
        site = self.site
        variants = [variant for variant in site.suite.variants if variant.name in names]
        return make_plan(variants, site, lambda variant: table.builder(variant.builder))

    def archive(self, name: str, built: BuiltImage) -> Path:
        variant = self.variant(name)
        return table.builder(variant.builder).archive(variant, built, self.site)

    def image(self, built: BuiltImage) -> Image:
        """What the archive of a variant's image says."""
        with open_archive(self.archive(built.variant, built)) as opened:
            return opened.image

    def read(self, built: BuiltImage, path: str) -> tuple[bytes, int]:
        """A file of a variant's image, and its mode."""
        return read_file(self.archive(built.variant, built), path)

    def fails(self, kind: type[DeadweightError] = CommandError, key: str = "", code: int = 1, **fields: Any) -> str:
        """The message of a build of ``v`` that must fail. ``key``: its code in the catalogue, ``code`` that of the exit."""
        with pytest.raises(kind) as caught:
            self.build("v")
        assert (caught.value.exit_code, key or caught.value.code) == (code, caught.value.code), str(caught.value)
        error = caught.value
        assert fields == {name: error.fields.get(name, getattr(error, name, None)) for name in fields}
        return str(caught.value)

    def log(self, name: str) -> str:
        return self.site.state.log(name).read_text()

    def everything(self) -> bytes:
        """All bytes of all files of the state folder, for looking up what must not be there."""
        return b"\0".join(file.read_bytes() for file in self.site.state.folder.rglob("*") if file.is_file())

    def build_record(self, name: str) -> BuiltImage:
        """The saved result of the last build."""
        record = load(BuiltImage, self.site.state.image(name) / BUILT_FILE)
        assert record is not None
        return record


DEMO = ("build", "src/vulnerable-awk-playground", "src/vulnerable-awk-playground-java")


def demo(root: Path, name: str = "playground", folders: Sequence[str] = DEMO) -> Path:
    """A checkout of the demo with these folders, nothing built, and a suite of this name."""
    for folder in folders:
        shutil.copytree(ROOT / folder, root / folder, ignore=shutil.ignore_patterns("target"))
    for file in ("tasks.py", "ko.yaml", "melange.yaml", "apko.yaml", "apko-alpine.yaml"):
        shutil.copy(ROOT / file, root / file)
    suite = (ROOT / "deadweight.yaml").read_text()
    return written(root, {"deadweight.yaml": suite.replace("name: playground\n", f"name: {name}\n", 1)})


def on_tools(root: Path, engine: Engine, image: str) -> Project:
    """A project on an image of the engine, whose name in the suite is ``tools``."""
    return Project(root, GivenSource({"tools": Base("tools", image, None, stand_in=True)}), lambda: engine)
