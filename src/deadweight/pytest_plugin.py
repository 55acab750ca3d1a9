"""The pytest plugin: a suite's checks as test items, and fixtures with a running container for a project's own tests.

    pytest deadweight.yaml                   the suite's checks; node ids deadweight.yaml::VARIANT::CHECK[::API-ITEM]
    pytest --deadweight                      the project's own tests and the suite's checks
    pytest deadweight.yaml --variant apko -k api

Collecting reads the suite file and nothing else; images, engine and containers are asked for when an item runs. Nothing of
Deadweight is imported until a suite is collected or a fixture is used.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from deadweight._errors import DeadweightError, MissingError
    from deadweight.checks.api import ItemResult
    from deadweight.checks.protocol import Subject
    from deadweight.checks.running import RunningService
    from deadweight.checks.service import ServiceDown
    from deadweight.project.workspace import Workspace
    from deadweight.records.evidence import Evidence
    from deadweight.suite.model import Suite, Variant
    from deadweight.suite.requests import ApiCheck

SUITE_FILES = ("deadweight.yaml", "deadweight.yml")
SUFFIXES = (".yaml", ".yml")
ADDED = pytest.StashKey[Path]()
"""The suite file that ``--deadweight`` adds."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--deadweight`` and ``--variant``."""
    group = parser.getgroup("deadweight", "container images and their checks")
    group.addoption(
        "--deadweight", action="store_true", help="collect the checks of deadweight.yaml beside the project's own tests"
    )
    group.addoption(
        "--variant",
        action="append",
        default=[],
        metavar="NAME",
        help="collect only this variant's checks; repeat it for more",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Add the suite file to what is collected, where asked for."""
    if config.getoption("--deadweight"):
        suite = next((config.rootpath / name for name in SUITE_FILES if (config.rootpath / name).is_file()), None)
        if suite is None:
            raise pytest.UsageError(f"--deadweight: there is no {SUITE_FILES[0]} in {config.rootpath}")
        config.args.append(str(suite))
        config.stash[ADDED] = suite


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Hold the lock of each suite's state folder for the whole run: its checks write evidence and archives.

    SIGTERM and a closed terminal end the run as Ctrl-C does. What a killed run left is told and removed.
    Before all others, since xdist starts its workers here: they are let in as the holder's own, and never wait for each other.
    """
    config = session.config
    files = [config.invocation_params.dir / argument.partition("::")[0] for argument in config.args]
    suites = {file.absolute().parent for file in files if file.suffix in SUFFIXES and file.is_file()}
    if not suites or config.option.collectonly:
        return
    from deadweight import _signals
    from deadweight._errors import DeadweightError
    from deadweight.project.killed import remove_what_was_left
    from deadweight.records.lock import locked
    from deadweight.records.paths import State

    held = contextlib.ExitStack()
    config.add_cleanup(held.close)
    held.enter_context(_signals.heeded())
    try:
        for root in sorted(suites):
            remove_what_was_left(State(root), _teller(config))
            held.enter_context(locked(State(root), _teller(config)))
    except DeadweightError as error:
        raise pytest.UsageError(str(error)) from error


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
        return SuiteFile.from_parent(parent, path=file_path)
    return None


class CheckFailure(Exception):
    """A check whose outcome is not the expected one; shown as its reason, without a traceback."""


class SuiteFile(pytest.File):
    """A suite file."""

    workspace: Workspace

    def collect(self) -> Iterable[pytest.Collector]:
        from deadweight._errors import DeadweightError
        from deadweight.project.workspace import Workspace
        from deadweight.suite.select import select

        try:
            self.workspace = Workspace.open(lambda _line: None, self.path)
            chosen = select(self.workspace.suite, list(self.config.getoption("--variant")))
        except DeadweightError as error:
            raise self.CollectError(str(error)) from error
        for variant in chosen:
            yield VariantNode.from_parent(self, name=variant.name, variant=variant)

    def teardown(self) -> None:
        """Let go of the engine, and remove what was started in it."""
        self.workspace.close()


class VariantNode(pytest.Collector):
    """One variant; its items share one container."""

    def __init__(self, *, variant: Variant, **named: Any) -> None:
        super().__init__(**named)
        self.variant = variant
        self._subject: Subject | None = None
        if self.config.pluginmanager.hasplugin("xdist"):
            self.add_marker(pytest.mark.xdist_group(variant.name))

    def collect(self) -> Iterable[pytest.Item | pytest.Collector]:
        from deadweight._errors import DeadweightError
        from deadweight.checks import table

        try:
            names = [check.name for check in table.asked(self.variant)]
        except DeadweightError as error:
            raise self.CollectError(str(error)) from error
        for name in names:
            # A check that is to fail is one item: it does not say which of its requests fails.
            if name == "api" and self.variant.expect.get("api") != "fail":
                yield ApiNode.from_parent(self, name=name)
            else:
                yield CheckItem.from_parent(self, name=name)

    @property
    def built(self) -> bool:
        suite_file = self.getparent(SuiteFile)
        assert suite_file is not None
        return suite_file.workspace.built(self.variant.name) is not None

    def subject(self) -> Subject:
        """What is checked; raises MissingError where the variant is not built."""
        if self._subject is None:
            suite_file = self.getparent(SuiteFile)
            assert suite_file is not None
            self._subject = suite_file.workspace.subject(self.variant)
        return self._subject

    def teardown(self) -> None:
        """Remove the shared container."""
        if self._subject is not None:
            self._subject.service.close()
            self._subject = None


class _Item(pytest.Item):
    def variant_node(self) -> VariantNode:
        node = self.getparent(VariantNode)
        assert node is not None
        return node

    def reportinfo(self) -> tuple[Path, int | None, str]:
        return self.path, None, self.nodeid.split("::", 1)[1]

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Our own errors as their message; everything else as pytest shows it."""
        from deadweight._errors import DeadweightError

        if isinstance(excinfo.value, (CheckFailure, DeadweightError)):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)


class CheckItem(_Item):
    """One check of one variant."""

    def runtest(self) -> None:
        from deadweight.checks import table
        from deadweight.checks.runner import run_check

        found = run_check(table.check(self.name), self.variant_node().subject())
        for figure in ("startup_seconds", "stop_seconds"):
            if figure in found.data:
                self.user_properties.append((figure, found.data[figure]))
        self.user_properties.append(("image_digest", found.provenance.image_digest))
        self.user_properties.append(("stand_in", str(self.variant_node().subject().built.stand_in).lower()))
        conclude(found)


def conclude(found: Evidence) -> None:
    """Evidence as a test's outcome: pass (also with a warning), xfail where failure was expected, failure for all else.

    What was not measured is a failure too: nobody knows whether it holds.
    """
    if found.status == "not_measured":
        hint = f" ({found.data['hint']})" if found.data.get("hint") else ""
        before = "" if found.ok else "was to fail, but was "
        raise CheckFailure(f"{before}not measured: {found.reason}{hint}")
    if found.status == "fail" and found.ok:
        pytest.xfail(found.reason)
    if not found.ok:
        raise CheckFailure(found.reason if found.status == "fail" else f"expected to fail, but did not: {found.reason}")


class ApiNode(pytest.Collector):
    """The ``api`` check: each request is an item. Evidence is kept once all have run, or the service does not come up."""

    def __init__(self, **named: Any) -> None:
        super().__init__(**named)
        self.results: list[ItemResult] = []
        self.down: ServiceDown | None = None
        self.missing: MissingError | None = None
        self.began = 0.0

    def collect(self) -> Iterable[pytest.Item]:
        variant_node = self.parent
        assert isinstance(variant_node, VariantNode)
        for item in variant_node.variant.checks.api:
            yield ApiItem.from_parent(self, name=item.name, check=item)

    def setup(self) -> None:
        self.results, self.down, self.missing, self.began = [], None, None, time.monotonic()

    def teardown(self) -> None:
        """Save the evidence; some items alone (``-k``) are no evidence of the whole check."""
        variant_node = self.parent
        assert isinstance(variant_node, VariantNode)
        whole = len(self.results) == len(variant_node.variant.checks.api)
        if not variant_node.built or not (whole or self.down or self.missing):
            return
        from deadweight.checks.api import came_down, summed_up
        from deadweight.checks.runner import keep, unmeasured

        subject, seconds = variant_node.subject(), time.monotonic() - self.began
        missing = self.missing and unmeasured(subject, self.name, self.missing)
        down = self.down and came_down(subject, self.down, seconds)
        keep(subject, missing or down or summed_up(subject, self.results, seconds))


class ApiItem(_Item):
    """One request of the ``api`` check."""

    def __init__(self, *, check: ApiCheck, **named: Any) -> None:
        super().__init__(**named)
        self.check = check

    def runtest(self) -> None:
        from deadweight._errors import DeadweightError, MissingError, UsageError
        from deadweight.checks.api import run_item
        from deadweight.checks.service import ServiceDown

        node = self.parent
        assert isinstance(node, ApiNode)
        earlier = node.missing or node.down
        if earlier is not None:
            raise _told(earlier)  # it would be waited for again, to the same end
        subject = self.variant_node().subject()
        try:
            result = run_item(subject, self.check)
        except UsageError:
            raise
        except MissingError as error:
            node.missing = error
            raise _told(error) from error
        except DeadweightError as error:
            self._blame(node, subject)
            node.down = error if isinstance(error, ServiceDown) else None
            raise
        if result.status == "fail":
            self._blame(node, subject)
        node.results.append(result)
        self.user_properties.append(("http_status", result.http_status))
        if result.status == "fail":
            raise CheckFailure(f"{result.request}: {result.reason}")

    def _blame(self, node: ApiNode, subject: Subject) -> None:
        """Raises CheckFailure where it is the engine that is lost: then nothing was measured, and the service is not to blame."""
        from deadweight.checks.runner import lost_engine

        node.missing = lost_engine(subject)
        if node.missing is not None:
            raise _told(node.missing)


def _told(error: DeadweightError) -> Exception:
    """What is missing is told as "not measured", as in ``conclude``; all else as it is."""
    from deadweight._errors import MissingError

    if isinstance(error, MissingError):
        return CheckFailure(f"not measured: {error.message}" + (f" ({error.hint})" if error.hint else ""))
    return error


# Fixtures for a project's own tests


@pytest.fixture(scope="session")
def deadweight_workspace(pytestconfig: pytest.Config) -> Iterator[Workspace]:
    """The project's suite, state and engine, each found when first asked for."""
    from deadweight import _signals
    from deadweight.project.killed import remove_what_was_left
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
    from deadweight.checks.running import RunningService
    from deadweight.records.lock import locked
    from deadweight.suite.select import select_one

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
