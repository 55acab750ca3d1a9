"""Define the paths in a project's state folder. The user cache is defined in ``deadweight_images.cache_files``."""

from __future__ import annotations

from pathlib import Path

from deadweight._packages import images

STATE_DIR = ".deadweight"
user_cache = images.user_cache


def content(file: Path) -> bytes:
    """What a file of a project holds; nothing if it cannot be read, or is a device or a pipe, which may have no end."""
    try:
        return file.read_bytes() if file.is_file() else b""
    except OSError:
        return b""


class State:
    """The state folder of one project (``<root>/.deadweight``): ignored by git, safe to delete. Nothing is created here."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = folder = root / STATE_DIR
        self.cache = folder / "cache"
        """Caches of this project: compile caches, apk caches, scan results."""
        self.keys = folder / "keys"
        """Signing keys made for this project (mode 0700); never leave this folder."""
        self.packages = folder / "packages"
        """APK packages that melange built."""
        self.report = folder / "report"
        self.history = folder / "history.jsonl"
        """A line for each report that said anything new."""
        self.compared = folder / "compared.json"
        """The earlier report that the last one was compared with, if it was."""
        self.lock = folder / "lock"
        self.runs = folder / "runs"
        """Notes of processes that have something in an engine."""
        self.settings = folder / "settings.json"
        """What ``invoke setup`` recorded: the source, its mirror."""

    def image(self, variant: str) -> Path:
        """Folder of a variant's build result: ``built.json`` and, once needed, ``image.tar``."""
        return self.folder / "images" / variant

    def log(self, name: str) -> Path:
        """Log file of a variant's build, or of a named job."""
        return self.folder / "logs" / f"{name}.log"

    def evidence(self, variant: str, check: str) -> Path:
        return self.folder / "evidence" / variant / f"{check}.json"

    def seccomp(self, variant: str) -> Path:
        """The seccomp profile that ``invoke harden`` found for a variant."""
        return self.folder / "harden" / f"{variant}.seccomp.json"

    def seccomp_to_attack(self, variant: str) -> Path:
        """The same with what the attacker's own program needs to run at all, and of which image it is."""
        return self.folder / "harden" / f"{variant}.attacked.json"
