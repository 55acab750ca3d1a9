"""The nox sessions. A project's ``noxfile.py`` imports all of them: ``from deadweight.nox_sessions import *``.

``verify`` and ``verify-<variant>`` run in the environment that runs nox (there Deadweight and the project's plug-ins are);
the others make one of their own. ``verify-<variant>`` is generated, not parametrised: a parametrised session could not be
called ``verify``, and a CI matrix reads the names from ``nox --list --json``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nox
from nox.command import CommandFailed

from deadweight._errors import BuildFailed, MissingError

ROOT = Path.cwd()
LOCK = ROOT / "requirements"

nox.options.sessions = ["lint", "types", "tests"]
nox.options.reuse_existing_virtualenvs = True
nox.needs_version = ">=2026.4.10"


def _variant_names() -> list[str]:
    """The names under ``variants:``; none where the suite cannot be read (``verify`` then says why)."""
    from deadweight._errors import DeadweightError
    from deadweight.suite.yaml_nodes import read

    try:
        names = read(ROOT / "deadweight.yaml").value["variants"]
    except (DeadweightError, KeyError, TypeError):
        return []
    return list(names) if isinstance(names, dict) else []


def _install(session: nox.Session, group: str) -> None:
    """Install the project with one dependency group, from the lock file with its hashes where there is one."""
    lock = LOCK / f"{group}.lock"
    if lock.exists():
        session.install("--require-hashes", "-r", str(lock), silent=True)
        session.install("--no-deps", "-e", ".", silent=True)
    else:
        session.install("-e", ".", *nox.project.dependency_groups(nox.project.load_toml(), group), silent=True)


def _invoke(session: nox.Session, *arguments: str) -> None:
    session.run(sys.executable, "-m", "invoke", *arguments, external=True)


def _verify(session: nox.Session, *variants: str) -> None:
    """Check all that could be built, and only then fail for what could not: a CI job shows both."""
    chosen = [word for name in variants for word in ("--variant", name)]
    junit = ROOT / ".deadweight" / "report" / f"junit-{variants[0] if variants else 'verify'}.xml"
    checks = (sys.executable, "-m", "pytest", "deadweight.yaml", f"--junit-xml={junit}", "-p", "no:cacheprovider")
    missing = MissingError.exit_code
    prepared = _tried({missing}, lambda: _invoke(session, "setup", "--yes", *chosen))
    built = _tried({missing, BuildFailed.exit_code}, lambda: _invoke(session, "build", *chosen))
    checked = _tried({1}, lambda: session.run(*checks, *chosen, *session.posargs, external=True))
    for failed in filter(None, (built, prepared, checked)):
        raise failed


def _tried(survived: set[int], call: Callable[[], Any]) -> CommandFailed | None:
    """Run something. The failure, where its exit code is one after which the rest is still worth running."""
    try:
        call()
    except CommandFailed as error:
        if error.return_code in survived:
            return error
        raise
    return None


@nox.session(python=False)
def verify(session: nox.Session) -> None:
    """Build what is not up to date, then run the suite's checks on every variant."""
    _verify(session)


def _verify_one(name: str) -> Callable[[nox.Session], Any]:
    def run(session: nox.Session) -> None:
        _verify(session, name)

    run.__doc__ = f"Build {name} if it is not up to date, then run its checks."
    return nox.session(python=False, name=f"verify-{name}", tags=["verify"])(run)


for _name in _variant_names():
    globals()[f"verify_{_name}"] = _verify_one(_name)


@nox.session
def tests(session: nox.Session) -> None:
    """Set up what the tests use, and run all of them, side by side with pytest-xdist (``nox -s tests -- -k NAME`` for some)."""
    _invoke(session, "setup", "--yes", "--tests")
    _install(session, "tests")
    session.run("pytest", *(session.posargs or (*_side_by_side(), "--durations", "15")))


def _side_by_side() -> tuple[str, ...]:
    """pytest's words for a file on each core at a time, where the project's tests bring pytest-xdist."""
    wanted = nox.project.dependency_groups(nox.project.load_toml(), "tests")
    return ("-n", "auto", "--dist", "loadfile") if any(each.startswith("pytest-xdist") for each in wanted) else ()


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
def docs(session: nox.Session) -> None:
    """Check the documentation: links, commands that exist, examples that run."""
    _install(session, "tests")
    session.run("pytest", "tests/test_docs.py", *session.posargs)
