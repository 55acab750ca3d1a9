"""Provide nox sessions. A project's ``noxfile.py`` imports them: ``from deadweight.nox_sessions import *``.

``verify`` and ``verify-<variant>`` run in the environment that runs nox (it has Deadweight and the project's plug-ins).
Plain ``nox`` means ``verify`` unless the noxfile says otherwise. ``verify-<variant>`` is generated, not parametrised: a
parametrised session could not be called ``verify``, and a CI matrix reads the names from ``nox --list --json``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nox
from nox.command import CommandFailed

from deadweight import _signals
from deadweight._errors import BuildFailed, DeadweightError, MissingError

ROOT = Path.cwd()

CLEANING_SECONDS = 60.0
"""Nox kills what has not ended half a second after Ctrl-C; removing containers may take longer."""

nox.options.sessions = ["verify"]
nox.needs_version = ">=2026.4.10"


def _variant_names() -> list[str]:
    """The names under ``variants:``; none where the suite cannot be read (``verify`` then says why)."""
    from deadweight.suite.load import names_in
    from deadweight.suite.yaml_nodes import read

    try:
        return names_in(read(ROOT / "deadweight.yaml").value)
    except DeadweightError:
        return []


def _run(session: nox.Session, *words: str) -> None:
    """Run a module with its arguments."""
    session.run(sys.executable, "-m", *words, external=True, terminate_timeout=CLEANING_SECONDS)


def _verify(session: nox.Session, *variants: str) -> None:
    """Check all that could be built, and only then fail for what could not: a CI job shows both.

    What a variant's weight is compared with is built too, but not checked.
    """
    chosen = [word for name in variants for word in ("--variant", name)]
    beside = [word for name in _compared_with(*variants) for word in ("--variant", name)]
    junit = ROOT / ".deadweight" / "report" / f"junit-{variants[0] if variants else 'verify'}.xml"
    checks = ("pytest", "deadweight.yaml", f"--junit-xml={junit}", "-p", "no:cacheprovider")
    missing = MissingError.exit_code
    prepared = _tried({missing}, lambda: _run(session, "invoke", "setup", "--yes", *chosen, *beside))
    built = _tried({missing, BuildFailed.exit_code}, lambda: _run(session, "invoke", "build", *chosen, *beside))
    checked = _tried({1}, lambda: _run(session, *checks, *chosen, *session.posargs))
    for failed in filter(None, (built, prepared, checked)):
        raise failed


def _compared_with(*variants: str) -> list[str]:
    """The other variants that these are to be ``smaller_than``; none where the suite cannot be read (``setup`` then says why)."""
    from deadweight.project.load_suite import load_suite

    try:
        chosen = [variant for variant in load_suite(ROOT / "deadweight.yaml").variants if variant.name in variants]
    except DeadweightError:
        return []
    others = [variant.checks.budget.smaller_than for variant in chosen if variant.checks.budget]
    return sorted({name for name in others if name and name not in variants})


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
    with _signals.heeded():
        _verify(session)


def _verify_one(name: str) -> Callable[[nox.Session], Any]:
    def run(session: nox.Session) -> None:
        with _signals.heeded():
            _verify(session, name)

    run.__doc__ = f"Build {name} if it is not up to date, then run its checks."
    return nox.session(python=False, name=f"verify-{name}", tags=["verify"], allow_parallel=True)(run)


for _name in _variant_names():
    globals()[f"verify_{_name}"] = _verify_one(_name)
