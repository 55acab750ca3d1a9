"""Our own copies of tools: where they lie, and how one is put there whole or not at all.

A copy is a folder ``<cache>/tools/<name>-<version>-<platform>-<pin>``. It is made under a hidden name and renamed when it is
complete; a lock per folder keeps two processes from making the same one twice.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from deadweight._errors import DeadweightError
from deadweight.records.store import write_atomically
from deadweight.toolchain.pins import Program, folder_name
from deadweight.toolchain.probe import tools_folder

SEAL = "seal.json"
LOCK_SECONDS = 1800.0


def folder(entry: Program) -> Path:
    """The folder of our copy, whether or not it is there."""
    return tools_folder() / folder_name(entry)


def program_path(entry: Program) -> Path:
    """The program in our copy, whether or not it is there."""
    return folder(entry) / entry.file


def make(entry: Program, fill: Callable[[Path], None], *, anew: bool = False) -> Path:
    """Have ``fill`` put the program into a folder, and give that folder its name once it is complete.

    Where another process made it meanwhile, nothing is done, unless ``anew`` (the copy is damaged). Returns the program's path.
    Raises what ``fill`` raises, and DeadweightError where the disk refuses.
    """
    final = folder(entry)
    with _locked(final):
        if program_path(entry).is_file() and not (anew and not sound(entry)):
            return program_path(entry)
        hidden = final.with_name(f".{final.name}.partial")
        try:
            _remove(hidden)  # what a process that was killed left behind
            hidden.mkdir(parents=True)
            fill(hidden)
            _seal(hidden, entry.file)
            if final.exists():
                _remove(final)
            hidden.rename(final)
        except OSError as error:
            raise DeadweightError(
                f"{error.filename or final}: cannot be written: {error.strerror}", hint="free or remount that disk"
            ) from error
        finally:
            _remove(hidden)
    return program_path(entry)


def sound(entry: Program) -> bool:
    """Whether our copy is byte for byte what was put there. Reads it whole (0.1 s for 100 MB)."""
    try:
        seal = json.loads((folder(entry) / SEAL).read_bytes())
        return bool(seal["sha256"] == _digest(program_path(entry)))
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _seal(where: Path, file: str) -> None:
    program = where / file
    program.chmod(program.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    write_atomically(where / SEAL, json.dumps({"program": file, "sha256": _digest(program)}))


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def _locked(final: Path) -> Iterator[None]:
    from filelock import FileLock, Timeout

    lock = final.with_name(f".{final.name}.lock")
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(lock, timeout=LOCK_SECONDS):
            yield
    except Timeout:
        raise DeadweightError(
            f"{lock}: another process has been installing this tool for {LOCK_SECONDS:g} s",
            hint="wait until it has finished, or stop it",
        ) from None
    except OSError as error:
        raise DeadweightError(
            f"{lock}: cannot be written: {error.strerror}", hint="free or remount that disk"
        ) from error


def _remove(path: Path) -> None:
    """Remove a folder, also one with read-only folders in it (Go's module cache makes such)."""
    if not path.exists():
        return
    for root, folders, _ in os.walk(path):
        for name in folders:
            with contextlib.suppress(OSError):
                (Path(root) / name).chmod(0o755)
    shutil.rmtree(path, ignore_errors=True)
