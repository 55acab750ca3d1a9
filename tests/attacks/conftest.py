"""The demo service in laboratories of attacks."""

import dataclasses
from pathlib import Path

import pytest

from deadweight_attacks import lab, run
from deadweight_attacks.load import suite_payloads
from tests.support.attack_grounds import castle, left, quiet_lab

WHOLE_RUNS = {"cells", "few", "searched", "service", "wall_by_wall", "with_tools"}
"""Fixtures of tests that make whole runs of attacks, or a whole search: those are slow."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent == Path(__file__).parent and WHOLE_RUNS.intersection(getattr(item, "fixturenames", ())):
            item.add_marker("slow")


@pytest.fixture
def nothing_left(engine):
    """Containers, networks and folders are gone, whatever came of an attack."""
    before = left(engine)
    yield
    assert [name for name in left(engine) if name not in before] == []


@pytest.fixture
def make(tmp_path, engine, playground_image, playground_archive):
    """A subject of the demo service: ``make("variant's YAML")``; further files of the project as ``files``."""
    return lambda yaml="", archive=playground_archive, **rest: castle(tmp_path, engine, archive, yaml, **rest)


@pytest.fixture
def service(tmp_path, engine, built):
    """The subject of the module's own service (``built``: its archive, and its name in the engine) with this YAML."""
    archive, image = built
    return lambda yaml="", **files: castle(tmp_path, engine, archive, yaml, reference=image, awk=False, **files)


@pytest.fixture
def no_shell(monkeypatch):
    """Laboratories without a shell to bind in, which is half of what one costs."""
    monkeypatch.setattr(lab, "static_shell", lambda _subject: ())


@pytest.fixture
def subject(make, no_shell):
    return make()


@pytest.fixture
def laboratory(subject):
    with lab.Lab(subject) as built:
        yield built


@pytest.fixture(scope="module")
def shared(engine, playground_image, playground_archive, tmp_path_factory):
    """One laboratory for all tests that leave it as it is."""
    with quiet_lab(castle(tmp_path_factory.mktemp("shared"), engine, playground_archive)) as built:
        yield built


@pytest.fixture
def few(monkeypatch):
    """Only these of our attacks (and all of the project's own), to keep a test short."""

    def choose(*names: str) -> None:
        def load(wanted, root):
            loaded = suite_payloads(wanted, root)
            chosen = tuple(attack for attack in loaded.payloads if attack.id in names or not loaded.packs[attack.id])
            return dataclasses.replace(loaded, payloads=chosen)

        monkeypatch.setattr(run, "suite_payloads", load)

    return choose
