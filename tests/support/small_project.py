"""A project on disk with images that are built already, for tests of what comes after building."""

import textwrap
from pathlib import Path

import pytest

from deadweight.checks.protocol import Subject
from deadweight.engine import labels
from deadweight.engine.client import Engine
from deadweight.engine.labels import Leftover
from deadweight.project.load_suite import load_suite
from deadweight.records.built_image import BuiltImage
from deadweight.records.paths import State
from deadweight.records.store import save
from deadweight.suite.model import Suite
from deadweight_images.inspect.summary import summary
from tests.support.trees import written


def own_leftovers(engine: Engine, pid: int | None = None) -> list[Leftover]:
    """What this very process (or that one) has in the engine; other test runs may be at work beside it.

    Images of this process are left out: that of the program that reaches containers stays until the process ends.
    """
    own, kept = (f"{pid}:", "") if pid else (labels.labels("", "")[labels.OWNER], "image")
    return [entry for entry in engine.leftovers() if entry.kind != kept and entry.labels[labels.OWNER].startswith(own)]


def write_suite(root: Path, text: str) -> Suite:
    """Write ``deadweight.yaml`` (dedented) and load it."""
    return load_suite(written(root, {"deadweight.yaml": textwrap.dedent(text)}) / "deadweight.yaml")


def put_built(suite: Suite, variant: str, archive: Path, reference: str) -> BuiltImage:
    """Make an archive the build result of a variant, as its builder would leave it."""
    folder = State(suite.root).image(variant)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "image.tar").unlink(missing_ok=True)
    (folder / "image.tar").symlink_to(archive)
    digest, at = summary(archive, compressed=False).config_digest, "2026-01-01T00:00:00+00:00"
    built = BuiltImage(variant, "ko", reference, digest, True, None, 1.0, False, "f", "test", at)
    save(built, folder / "built.json")
    return built


def subject_of(suite: Suite, name: str, built: BuiltImage, archive: Path, engine: Engine, **others: Subject) -> Subject:
    """What the checks look at; ``others`` are the subjects that ``smaller_than`` may name (underscores for dashes)."""
    return Subject(
        suite=suite,
        variant=next(variant for variant in suite.variants if variant.name == name),
        built=built,
        state=State(suite.root),
        archive=lambda: archive,
        engine=lambda: engine,
        engine_image=lambda: built.reference,
        subject_of=lambda other: others.get(other.replace("-", "_")),
        need_image=lambda need: pytest.fail(f"{need} is needed by nothing"),
    )


def built_subject(suite: Suite, name: str, archive: Path, reference: str, engine: Engine, **others: Subject) -> Subject:
    """``subject_of`` what ``put_built`` has made of an archive."""
    return subject_of(suite, name, put_built(suite, name, archive, reference), archive, engine, **others)
