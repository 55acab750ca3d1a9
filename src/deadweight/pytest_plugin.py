"""Run a suite's checks in pytest, and give a project's own tests fixtures with a running container.

    pytest deadweight.yaml                   the suite's checks; node ids deadweight.yaml::VARIANT::CHECK[::API-ITEM]
    pytest --deadweight                      the project's own tests and the suite's checks
    pytest deadweight.yaml --variant apko -k api

Collecting reads only the suite file; images, engine and containers are requested when an item runs. Nothing of Deadweight is
imported until a suite is collected or a fixture is used.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from deadweight.checks.protocol import Subject
    from deadweight.checks.service import RunningService
    from deadweight.project.workspace import Workspace
    from deadweight.suite.model import Suite

SUITE_FILES = ("deadweight.yaml", "deadweight.yml")
SUFFIXES = (".yaml", ".yml")
ADDED = pytest.StashKey[Path]()
"""The suite file that ``--deadweight`` adds."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--deadweight`` and ``--variant``."""
    group = parser.getgroup("deadweight", "container images and their checks")
    text = "collect the checks of deadweight.yaml beside the project's own tests"
    group.addoption("--deadweight", action="store_true", help=text)
    text = "collect only this variant's checks (repeatable)"
    group.addoption("--variant", action="append", default=[], metavar="NAME", help=text)


def pytest_configure(config: pytest.Config) -> None:
    """Add the suite file to what is collected, where asked for."""
    if config.getoption("--deadweight"):
        suite = next((config.rootpath / name for name in SUITE_FILES if (config.rootpath / name).is_file()), None)
        if suite is None:
            from deadweight._errors import wording

            raise pytest.UsageError(wording("pytest.no_suite", file=SUITE_FILES[0], folder=config.rootpath))
        config.args.append(str(suite))
        config.stash[ADDED] = suite


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Hold the locks of the variants that are checked for the whole run: checks write evidence and archives.

    SIGTERM and a closed terminal end the run as Ctrl-C does. What a killed run left is told and removed.
    Before all others, since xdist starts its workers here: they are let in as the holder's own, and never wait for each other.
    """
    config = session.config
    files = [(config.invocation_params.dir / argument.partition("::")[0]).absolute() for argument in config.args]
    suites = {file.parent for file in files if file.suffix in SUFFIXES and file.is_file()}
    if not suites or config.option.collectonly:
        return
    from deadweight import _signals
    from deadweight._errors import DeadweightError
    from deadweight.project.clean import remove_what_was_left
    from deadweight.records.paths import State
    from deadweight.records.runs import locked

    held = contextlib.ExitStack()
    config.add_cleanup(held.close)
    held.enter_context(_signals.heeded())
    try:
        for root in sorted(suites):
            remove_what_was_left(State(root), _teller(config))
            named = _named(next(file for file in files if file.parent == root), config.getoption("--variant"))
            held.enter_context(locked(State(root), _teller(config), named, whole=not named))
    except DeadweightError as error:
        raise pytest.UsageError(str(error)) from error


def _named(file: Path, words: Sequence[str]) -> Sequence[str]:
    """The variants that these words may mean: themselves, where they are names, else all of the file; none of one that is wrong."""
    from deadweight._errors import DeadweightError
    from deadweight.suite.load import names_in
    from deadweight.suite.yaml_nodes import read

    with contextlib.suppress(DeadweightError):
        known = names_in(read(file).value)
        return words if words and set(words) <= set(known) else known
    return ()


def _teller(config: pytest.Config) -> Callable[[str], None]:
    """Tells lines on stderr at once, also while pytest captures a test's output."""
    capture = config.pluginmanager.getplugin("capturemanager")

    def tell(line: str) -> None:
        with capture.global_and_fixture_disabled() if capture else contextlib.nullcontext():
            sys.stderr.write(f"{line}\n")
            sys.stderr.flush()

    return tell


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """A suite file is collected where it is named on the command line (or by ``--deadweight``), never by walking folders."""
    # An argument inside a folder that is an argument too is folded into it, so the file that was added is known by itself.
    asked = parent.session.isinitpath(file_path) or file_path == parent.config.stash.get(ADDED, None)
    if asked and file_path.suffix in SUFFIXES:
        from deadweight.pytest_items import SuiteFile

        return SuiteFile.from_parent(parent, path=file_path)
    return None


# Fixtures for a project's own tests


@pytest.fixture(scope="session")
def deadweight_workspace(pytestconfig: pytest.Config) -> Iterator[Workspace]:
    """The project's suite, state and engine, each found when first asked for."""
    from deadweight import _signals
    from deadweight.project.clean import remove_what_was_left
    from deadweight.project.workspace import Workspace
    from deadweight.suite.load import find_suite_file

    with _signals.heeded(), Workspace.open(lambda _line: None, find_suite_file(pytestconfig.rootpath)) as workspace:
        remove_what_was_left(workspace.state, _teller(pytestconfig))
        yield workspace


@pytest.fixture(scope="session")
def deadweight_suite(deadweight_workspace: Workspace) -> Suite:
    """The project's suite: the nearest ``deadweight.yaml`` at or above pytest's root folder."""
    return deadweight_workspace.suite


@pytest.fixture(scope="session")
def deadweight_container(
    deadweight_workspace: Workspace, pytestconfig: pytest.Config
) -> Iterator[Callable[[str], RunningService]]:
    """``deadweight_container("apko")`` gives that variant running and healthy; the same one for the whole session."""
    from deadweight.checks.service import RunningService
    from deadweight.records.runs import locked
    from deadweight.suite.load import select_one

    subjects: dict[str, Subject] = {}
    tell = _teller(pytestconfig)

    def start(name: str) -> RunningService:
        variant = select_one(deadweight_workspace.suite, name)
        with locked(deadweight_workspace.state, tell):  # loading the image may make its archive
            if name not in subjects:
                subjects[name] = deadweight_workspace.subject(variant)
            return RunningService(subjects[name].service.get(), variant)

    yield start
    for subject in subjects.values():
        subject.service.close()
