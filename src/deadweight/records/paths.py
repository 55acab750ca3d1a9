"""Define file paths: a project's state folder, and the user cache shared between projects."""

from __future__ import annotations

from dataclasses import dataclass
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


@dataclass(frozen=True)
class State:
    """The state folder of one project (``<root>/.deadweight``): ignored by git, safe to delete. Nothing is created here."""

    root: Path

    @property
    def folder(self) -> Path:
        return self.root / STATE_DIR

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

    @property
    def cache(self) -> Path:
        """Caches of this project: compile caches, apk caches, scan results."""
        return self.folder / "cache"

    @property
    def keys(self) -> Path:
        """Signing keys made for this project (mode 0700); never leave this folder."""
        return self.folder / "keys"

    @property
    def packages(self) -> Path:
        """APK packages that melange built."""
        return self.folder / "packages"

    @property
    def report(self) -> Path:
        return self.folder / "report"

    @property
    def history(self) -> Path:
        """A line for each report that said anything new."""
        return self.folder / "history.jsonl"

    @property
    def compared(self) -> Path:
        """The earlier report that the last one was compared with, if it was."""
        return self.folder / "compared.json"

    @property
    def lock(self) -> Path:
        return self.folder / "lock"

    @property
    def runs(self) -> Path:
        """Notes of processes that have something in an engine."""
        return self.folder / "runs"

    @property
    def settings(self) -> Path:
        """What ``invoke setup`` recorded: the source, its mirror."""
        return self.folder / "settings.json"
