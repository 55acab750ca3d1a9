"""Run programs and our own modules as root through sudo, without a password or with one asked for on the terminal."""

from __future__ import annotations

import functools
import getpass
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from deadweight._errors import MissingError, wording
from deadweight._run import Completed, run as run_program


def is_root() -> bool:
    """Whether we have root's rights already."""
    return hasattr(os, "geteuid") and os.geteuid() == 0


def trouble() -> str:
    """What stands between us and root's rights; empty where we have them or can get them."""
    if is_root():
        return ""
    if shutil.which("sudo") is None:
        return wording("sudo.not_installed")
    asked = _ask()
    if asked.exit_code == 0 or _on_terminal():
        return ""
    *_, last = ["", *asked.errors.strip().splitlines()]
    return wording("sudo.no_terminal", said=last or f"exit code {asked.exit_code}")


def silent() -> bool:
    """Whether sudo would give us root's rights now without asking for anything."""
    if is_root() or shutil.which("sudo") is None:
        return False
    return _password.cache_info().currsize > 0 or _ask().exit_code == 0


def run(argv: Sequence[str | Path], *, timeout: float, keep: Sequence[str] = (), **options: Any) -> Completed:
    """Run a program as root. ``keep`` names variables of our environment that sudo is to hand through; ``options`` are those of
    ``_run.run``.

    Raises MissingError where root's rights cannot be had; CommandError if the program, or sudo, fails.
    """
    if is_root():
        return run_program(argv, timeout=timeout, **options)
    problem = trouble()
    if problem:
        raise MissingError(problem, hint="run it as root, or in a terminal")
    given = [f"--preserve-env={','.join(keep)}"] if keep else []
    if _ask().exit_code == 0:
        return run_program(["sudo", "-n", *given, *argv], timeout=timeout, **options)
    # Programs run in a session of their own, where sudo cannot open the terminal: it reads the password from its input.
    word = _password()
    argv = ["sudo", "-S", "-p", "", *given, *argv]
    return run_program(argv, stdin=f"{word}\n".encode(), timeout=timeout, redact=[word], **options)


def run_module(module: str, words: Sequence[str | Path], *, timeout: float, **options: Any) -> Completed:
    """Run a module of ours as root, in a process of its own. Raises what ``run`` raises."""
    # -I: nothing but the installed package is imported; -B: no file of root's is left among the user's.
    return run([sys.executable, "-I", "-B", "-m", module, *words], timeout=timeout, **options)


def _ask() -> Completed:
    return run_program(["sudo", "-n", "true"], env={"LC_ALL": "C"}, check=False, timeout=10)


@functools.cache
def _password() -> str:
    return getpass.getpass(f"[sudo] password for {getpass.getuser()} (for the steps shown above): ")


def _on_terminal() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()
