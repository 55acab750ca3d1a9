"""The sessions of this project: those that Deadweight brings, and its own."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import nox

from deadweight.nox_sessions import *  # noqa: F403

LOCKS = Path("requirements")
NIGHTLY = ("bases", "engines", "java", "pool", "services")
"""Markers of tests that only the session of that name runs."""

nox.options.sessions = ["lint", "types", "tests"]
nox.options.reuse_existing_virtualenvs = True


def _install(session: nox.Session, group: str) -> None:
    """Install the project with one dependency group, from its lock file with its hashes."""
    session.install("--require-hashes", "-r", str(LOCKS / f"{group}.lock"), silent=True)
    session.install("--no-deps", "-e", ".", silent=True)


def _invoke(session: nox.Session, *arguments: str) -> None:
    session.run(sys.executable, "-m", "invoke", *arguments, external=True)


def _set_up(session: nox.Session) -> None:
    """Install what the tests use, and the tests' Python packages meanwhile."""
    with subprocess.Popen([sys.executable, "-m", "invoke", "setup", "--yes", "--tests"]) as setting_up:
        _install(session, "tests")
        compiled = _compiled(session)
        if not Path(compiled["PYTHONPYCACHEPREFIX"]).exists():  # else each worker would compile all of it for itself
            session.run("pytest", "--collect-only", "-q", env=compiled, silent=True)
    if setting_up.returncode:
        session.error("invoke setup --yes --tests failed")


def _compiled(session: nox.Session) -> dict[str, str]:
    """Have Python keep what it compiles, whatever this machine says of it, but outside the tree, which may be another user's: tests
    start hundreds of commands, and to compile our modules was a quarter of each."""
    return {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(session.cache_dir.absolute() / "compiled")}


def _through_sudo(session: nox.Session, name: str) -> None:
    """Run a session as root, with our environment, but leave none of root's files among the user's."""
    kept = Path("/root/.cache/deadweight/nox")
    ours = {"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1", "PYTEST_ADDOPTS": "-p no:cacheprovider"}
    places = {key: str(kept / key) for key in ("HYPOTHESIS_STORAGE_DIRECTORY", "MYPY_CACHE_DIR", "RUFF_CACHE_DIR")}
    settings = [f"{key}={value}" for key, value in {**ours, **places}.items()]
    again = [sys.executable, "-m", "nox", "-s", name, "--envdir", str(kept), "--", *session.posargs]
    session.run("sudo", "-E", "-H", "env", "-u", "XDG_CACHE_HOME", *settings, *again, external=True)


@nox.session
def tests(session: nox.Session) -> None:
    """Set up what the tests use, and run all tests but the slow ones (``nox -s tests -- -k NAME`` for some).

    ``nox -s tests -- --changed`` runs those of the packages that differ from the main branch.
    """
    _side_by_side(session, "tests")


@nox.session
def slow(session: nox.Session) -> None:
    """The tests that take two seconds or more, which CI runs on each change too (``nox -s slow -- -k seccomp`` for some)."""
    _side_by_side(session, "slow", "-m", f"slow and not ({' or '.join(NIGHTLY)})")


def _side_by_side(session: nox.Session, name: str, *marked: str) -> None:
    """Each file in one worker. Many make networks, mounts and engines, which is root's: who has sudo runs the session through it,
    in root's own home."""
    if os.geteuid() != 0 and shutil.which("sudo"):
        _through_sudo(session, name)
        return
    _set_up(session)
    workers = str(2 * (os.cpu_count() or 1))  # half of the time is waiting for engines, builds and containers
    words = (
        "-n",
        workers,
        "--dist",
        "loadfile",
        "--no-loadscope-reorder",
        "--durations",
        "15",
        "--timeout",
        "600",
    )  # in tests/conftest.py's order; a test that hangs must not take a CI's whole time
    some = set(session.posargs) - {"--changed"}
    session.run("pytest", *(() if some else words), *marked, *session.posargs, env=_compiled(session))


ALONE = 'ip link set lo up && exec unshare --user --map-user=1000 --map-group=1000 -- "$@"'
"""A shell's command that runs another as an ordinary user; below a network namespace whose loopback alone is up."""


def _walls() -> list[str]:
    """The words before a command that keep it from network and root, where the kernel lets this user make namespaces."""
    words = ["unshare", "--user", "--map-root-user", "--net", "--", "sh", "-c", ALONE, "sh"]
    tried = (
        shutil.which("unshare") and subprocess.run([*words, "true"], capture_output=True, check=False).returncode == 0
    )
    return words if tried else []


@nox.session
def unit(session: nox.Session) -> None:
    """What needs no engine, no tool, no root and no network, in under a minute (``nox -s unit -- tests/plan`` for some)."""
    _install(session, "tests")
    walls = _walls()
    if not walls:
        session.warn("no namespaces can be made here: only the tests' own process is kept from network and engines")
    with tempfile.TemporaryDirectory(prefix="deadweight-unit-") as home:  # below no suite and no git repository
        places = {
            "HOME": home,
            "XDG_CACHE_HOME": home,
            "DEADWEIGHT_CACHE_DIR": str(session.cache_dir.absolute() / "unit"),  # rules that were compiled once stay
            "PYTEST_ADDOPTS": f"-p no:cacheprovider --basetemp={home}/pytest",
            **_compiled(session),
        }
        python = str(Path(session.bin) / "python")
        side_by_side = ("-n", "auto", "--timeout", "60")
        words = [*walls, python, "-m", "pytest", "--unit", *side_by_side, *session.posargs]
        session.run(*words, env=places, external=True)


@nox.session
def lint(session: nox.Session) -> None:
    """Style, formatting, and who may import whom."""
    _install(session, "lint")
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("lint-imports", "--no-cache")


@nox.session
def types(session: nox.Session) -> None:
    """Static types, strictly."""
    _install(session, "types")
    session.run("mypy")


@nox.session(python=False)
def bench(session: nox.Session) -> None:
    """Measure us against the named rivals, in turn; results go to bench/results/."""
    _invoke(session, "setup", "--yes", "--bench")
    session.run(sys.executable, "-m", "bench", *session.posargs, external=True)


@nox.session
def bases(session: nox.Session) -> None:
    """Build and check unchanged Dockerfiles on the local source's stand-ins, then the demo through public names and mirrors
    (``nox -s bases -- --variant java8``: that of the first alone)."""
    if os.geteuid() != 0 and shutil.which("sudo"):
        _through_sudo(session, "bases")
        return
    with session.chdir("bench/bases"):
        session.env["DEADWEIGHT_SOURCE"] = "local"
        _invoke(session, "setup", "--yes")
        for task in ("build", "verify"):
            _invoke(session, task, *session.posargs)
        del session.env["DEADWEIGHT_SOURCE"]
    if not session.posargs:
        _marked(session, "bases")


@nox.session
def engines(session: nox.Session) -> None:
    """Docker 29 with its two stores, built from source here, and Docker and Podman without root (``-- -k current`` for some)."""
    _marked(session, "engines", "tests.engines.from_source")


@nox.session
def pool(session: nox.Session) -> None:
    """Pools of real BuildKit daemons: the demo ladder, faults, S3, two engines (``nox -s pool -- -k ladder`` for some)."""
    _marked(session, "pool")


@nox.session
def java(session: nox.Session) -> None:
    """Maven projects of every kind, and a Maven that stays (``nox -s java -- -k encoding`` for some)."""
    _marked(session, "java")


def _marked(session: nox.Session, marker: str, *modules: str) -> None:
    """Set up what the tests use, run these modules of ours, which get more, and run the tests with this marker, one by one."""
    if os.geteuid() != 0 and shutil.which("sudo"):
        _through_sudo(session, marker)
        return
    _set_up(session)
    for module in modules:
        session.run("python", "-m", module)
    session.run("pytest", "-n0", "-m", marker, *session.posargs, env=_compiled(session))


@nox.session
def fuzz(session: nox.Session) -> None:
    """Scan and read damaged images and suites, many of each kind (``nox -s fuzz -- 50``: fifty)."""
    _install(session, "tests")
    count = session.posargs[0] if session.posargs else "25"
    session.run(
        "pytest",
        "-n0",
        "-q",
        "-m",
        "slow or not slow",
        "tests/images/inspect/test_cost.py",
        "tests/images/inspect/test_fuzz.py",
        "tests/suite/test_fuzz.py",
        "tests/suite/test_values.py",
        env={"DEADWEIGHT_FUZZ": count},
    )


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation as a site (docs/_build/index.html), and check its links, commands and examples."""
    _install(session, "docs")
    session.run("sphinx-build", "-q", "-W", "--keep-going", "-b", "html", "docs", "docs/_build")
    _install(session, "tests")
    session.run("pytest", "tests/test_docs.py", *session.posargs)


@nox.session
def fmt(session: nox.Session) -> None:
    """Sort imports and format, in place."""
    _install(session, "lint")
    session.run("ruff", "check", "--select", "I", "--fix")
    session.run("ruff", "format")


@nox.session
def services(session: nox.Session) -> None:
    """Bring in twelve services that the tests write, with every rung that each can have (``nox -s services -- -k gin``: some)."""
    _marked(session, "services")


@nox.session
def validators(session: nox.Session) -> None:
    """Ask checkov, kube-score and dclint what they say of harden's output (they take 600 MB, so no other session installs them)."""
    _install(session, "tests")
    tools = Path(session.create_tmp()).resolve()
    session.run(sys.executable, "-m", "venv", str(tools / "checkov"), external=True, silent=True)
    session.run(str(tools / "checkov/bin/pip"), "install", "-q", "checkov==3.3.30", external=True)
    session.run("npm", "install", "--silent", "--no-save", "--prefix", str(tools), "dclint@3.1.0", external=True)
    go = {"GOBIN": str(tools / "bin")}
    session.run("go", "install", "github.com/zegl/kube-score/cmd/kube-score@v1.20.0", external=True, env=go)
    folders = [tools / "bin", tools / "checkov/bin", tools / "node_modules/.bin"]
    path = os.pathsep.join([*map(str, folders), os.environ["PATH"]])
    session.run("pytest", "-n0", "tests/attacks/validators.py", *session.posargs, env={"PATH": path})
