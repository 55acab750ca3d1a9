"""Fixtures that several test modules share: the engine, and small real images in it."""

import gc
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from deadweight import _run
from deadweight.engine.client import Engine
from deadweight.records.paths import user_cache
from tests.support import ROOT, TESTS, changed, guards, red_summary, small_images as images
from tests.support.tools_path import put_ours_on_path

SLOW = [hypothesis.HealthCheck.too_slow]  # how long an example takes is the machine's business
hypothesis.settings.register_profile("ours", deadline=None, suppress_health_check=SLOW)
hypothesis.settings.load_profile("ours")


def pytest_addoption(parser: pytest.Parser) -> None:
    text = "only what needs no engine, tool, root or network (nox -s unit); whoever needs one all the same fails"
    parser.addoption("--unit", action="store_true", help=text)
    text = "only the tests of the packages that differ from the main branch"
    parser.addoption("--changed", action="store_true", help=text)


def pytest_configure(config: pytest.Config) -> None:
    """Put the tools that set-up installed on PATH, keep no Maven between builds where no test asks for it, and heed Ctrl-C."""
    from deadweight.builders.jib.resident_maven import VARIABLE
    from deadweight.tasks import _progress

    if config.getoption("--unit"):
        # as in nox -s unit: no engine of this user's home, which would be asked, and rules that were compiled once
        os.environ.setdefault("DEADWEIGHT_CACHE_DIR", str(ROOT / ".nox" / ".cache" / "unit"))
    if config.getoption("--changed") and not hasattr(config, "workerinput"):
        config.args = [str(ROOT / name) for name in changed.selected(ROOT)]
    guards.install(unit=config.getoption("--unit"))
    config.pluginmanager.register(guards.Plugin())
    config.pluginmanager.register(red_summary)
    os.environ.setdefault(VARIABLE, "0")
    os.environ.setdefault("DEADWEIGHT_FEW_STARTS", "1")
    # under load a sign of life could come in between what a test compares
    os.environ.setdefault(_progress.VARIABLE, "0")
    if reporter := config.pluginmanager.getplugin("terminalreporter"):
        reporter._tw.fullwidth = reporter._tw.fullwidth  # pytest's own lines are as wide as before
    os.environ.setdefault("COLUMNS", "1000")  # what is folded for a terminal is compared whole
    # ignored in a script's background and below nohup: what tests start would inherit it
    for number, usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, usual)
    os.environ.pop("PYTHONUNBUFFERED", None)  # few people set it, and what waits in a buffer fails later
    put_ours_on_path()
    os.environ.setdefault("GOCACHE", str(user_cache() / "go" / "build"))  # set-up compiled the standard library there


LONGEST = (
    *("init/test_proved.py", "attacks/test_harden.py", "attacks/test_run.py", "builders/jib/test_builder.py"),
    *("attacks/test_containment.py", "attacks/test_forms.py", "attacks/test_seccomp.py"),
    *("sources/test_end_to_end.py", "project/pipelines/test_pipelines.py", "attacks/test_table.py"),
    *("images/inspect/test_hostile.py", "checks/test_runner.py", "tasks/test_run.py"),
    *("builders/apko/test_builder.py", "standins/test_apt_releases.py", "checks/test_java_image.py"),
    *("test_services.py", "attacks/test_http.py", "engines/test_engines.py", "images/secrets/test_scanner.py"),
    *("images/inspect/test_cost.py", "attacks/test_breach.py", "test_pytest_plugin.py", "checks/scan/test_scan.py"),
    *("report/test_browser.py", "checks/test_as_root.py", "faults/test_terminal.py", "tasks/test_errors.py"),
    *("test_plugins.py", "images/test_main.py", "builders/ko/test_builder.py", "standins/test_source.py"),
    *("test_house.py", "test_docs.py", "test_support.py"),
)
"""Files that go first where files are run side by side: the last one to begin should not be one that takes minutes."""


NOT_UNIT = ("engine", "tools", "browser", "system")
NEEDED = {
    "engine": {"endpoint", "engine"},
    "tools": {"local_registry", "local_source", "misbehaving_archive", "playground_archive", "registry", "scanner"},
}
"""Fixtures that need what a marker says."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The longest files first. Whoever asks for the engine or a tool through a fixture is marked; ``--unit`` leaves those out."""
    order = {TESTS / name: place for place, name in enumerate(LONGEST)}
    gone = [path.name for path in order if not path.is_file()]
    if gone:
        raise pytest.UsageError(f"tests/conftest.py: LONGEST names files that are not there: {', '.join(gone)}")
    items.sort(key=lambda item: order.get(item.path, len(order)))
    for item in items:
        asked = set(getattr(item, "fixturenames", ()))
        for marker in (name for name, fixtures in NEEDED.items() if asked & fixtures):
            item.add_marker(marker)
    if config.getoption("--unit"):
        marked = [item for item in items if any(map(item.get_closest_marker, NOT_UNIT))]
        config.hook.pytest_deselected(items=marked)
        items[:] = [item for item in items if item not in set(marked)]


def pytest_collection_finish() -> None:
    """Thousands of tests that stay to the end need not be looked through for garbage again and again."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def cancelling() -> Iterator[None]:
    """For who has all cancelled: it is so for this test alone."""
    yield
    _run.reset_cancel()


@pytest.fixture(scope="session")
def endpoint() -> object:
    """The engine's address: the one that runs here, else one of our own is started."""
    from deadweight.engine.daemon import find_or_start

    return find_or_start(print)


@pytest.fixture(scope="session")
def engine(endpoint) -> Iterator[Engine]:
    """The container engine; everything that tests start in it is removed at the end."""
    with Engine.connect(endpoint, project=f"deadweight-tests-{os.getpid()}") as connected:
        yield connected


@pytest.fixture(scope="session")
def playground_archive(tmp_path_factory) -> Path:
    """The demo service with this machine's awk, on nothing: no shell, user nobody."""
    folder, source = tmp_path_factory.mktemp("playground"), "src/vulnerable-awk-playground"
    return images.service_archive(folder, "playground", source, images.program("awk"), at="/app", user="65534:65534")


@pytest.fixture(scope="session")
def playground_image(engine, playground_archive) -> Iterator[str]:
    """The demo service's image in the engine."""
    with images.in_engine(engine, playground_archive, images.reference("playground")) as name:
        yield name


@pytest.fixture(scope="session")
def misbehaving_archive(tmp_path_factory) -> Path:
    """A service that misbehaves as its environment variable MODE says (tests/services/misbehave)."""
    folder, source = tmp_path_factory.mktemp("misbehave"), "tests/services/misbehave"
    return images.service_archive(folder, "misbehave", source, {"/etc/passwd": None}, "MODE=good", at="/app")


@pytest.fixture(scope="session")
def misbehaving_image(engine, misbehaving_archive) -> Iterator[str]:
    with images.in_engine(engine, misbehaving_archive, images.reference("misbehave")) as name:
        yield name


@pytest.fixture(scope="session")
def tools_image(engine, tmp_path_factory) -> Iterator[str]:
    """An image with a shell, a few of this machine's tools and an ``nc``."""
    folder, config = tmp_path_factory.mktemp("tools"), {"Cmd": ["/bin/sh"], "Env": ["PATH=/usr/bin:/bin"]}
    nc = images.go_program(TESTS / "services" / "misbehave", folder / "nc")
    files = {"/bin/nc": nc, "/etc/passwd": images.PASSWD, "/bin/sh": "/usr/bin/dash"}
    for name in ("dash", "cat", "ls", "id", "sleep", "head", "tr"):
        files |= images.program(name)
    archive = images.docker_archive(folder / "image.tar", images.reference("tools"), [files], config)
    with images.in_engine(engine, archive, images.reference("tools")) as name:
        yield name


@pytest.fixture(scope="session")
def local_source(tmp_path_factory) -> object:
    """The local source, with the user's cache: what an earlier test or run made is not made again."""
    from deadweight.records.paths import State
    from deadweight_standins.source import LocalSource

    return LocalSource(State(tmp_path_factory.mktemp("local-source")))


@pytest.fixture(scope="session")
def scanner() -> Path:
    """The pinned vulnerability scanner, got into the user's cache if it is not there."""
    from deadweight.project.install import survey
    from deadweight.toolchain.find import find, inspect_tool
    from tests.support.installing import install

    if inspect_tool("trivy").tool is None:
        install(survey(["trivy"]), print)
    return find("trivy").path


@pytest.fixture
def scanner_on_path(scanner, monkeypatch) -> None:
    """For tests with a user's cache of their own."""
    monkeypatch.setenv("PATH", f"{scanner.parent}{os.pathsep}{os.environ['PATH']}")


@pytest.fixture(scope="session")
def local_registry(tmp_path_factory) -> Iterator[str]:
    """A registry on loopback (crane's own) that forgets all at its end."""
    from tests.support.docker_registry import crane_registry

    with crane_registry(tmp_path_factory.mktemp("registry") / "log") as host:
        yield host
