"""Write files into a user's project: atomically, never over existing ones, and undone if the run fails."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType

from deadweight._errors import DeadweightError, UsageError
from deadweight_images.cache_files import write_atomically
from deadweight_init.records import wording

TASKS = (
    '"""The tasks of this project: `invoke --list`."""\n\nfrom deadweight.tasks import namespace as ns  # noqa: F401\n'
)
NOX = '"""The sessions of this project: `nox --list`."""\n\nfrom deadweight.nox_sessions import *  # noqa: F403\n'
IGNORED = (".deadweight/",)


class WrittenFiles:
    """The files that a run writes. Leaving the ``with`` block by an error puts everything back as it was,
    unless ``keep`` was called."""

    def __init__(self, root: Path, *, may_replace: Iterable[str] = ()) -> None:
        self.root, self._may_replace = root, frozenset(may_replace)
        self._before: dict[str, str | None] = {}
        self._folders: list[Path] = []

    def keep(self) -> None:
        """Let all that was written stay, whatever comes."""
        self._before.clear()

    def __enter__(self) -> WrittenFiles:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self.remove(tuple(self._before))

    @property
    def names(self) -> tuple[str, ...]:
        """What is new or changed, in order."""
        return tuple(self._before)

    @property
    def program(self) -> str:
        """What runs the tasks: ``deadweight`` where the repository's tasks.py is another's."""
        there = (self.root / "tasks.py").read_text(encoding="utf-8", errors="replace")
        return "invoke" if "deadweight" in there else "deadweight"

    def write(self, files: Mapping[str, str]) -> None:
        """Write these. Raises UsageError, before anything is written, for files that are there and are not ours to replace."""
        replaced = [name for name in files if name not in self._before and os.path.lexists(self.root / name)]
        there = [name for name in replaced if name not in self._may_replace]
        if there:
            flags = " ".join(f"--force {name}" for name in replaced)
            raise UsageError(wording("files.already_there", root=self.root, files=", ".join(there), flags=flags))
        for name, text in files.items():
            self._one(name, text)

    def append(self, name: str, lines: Iterable[str], comment: str) -> None:
        """Add the lines that a file does not have yet."""
        path = self.root / name
        before = path.read_text(encoding="utf-8") if path.is_file() else ""
        new = [line for line in lines if line not in before.splitlines()]
        if new:
            gap = "" if not before else "\n" if before.endswith("\n") else "\n\n"
            self._one(name, f"{before}{gap}# {comment}\n" + "".join(f"{line}\n" for line in new))

    def remove(self, names: Iterable[str]) -> None:
        """Take back files of this run that are not wanted any more."""
        for name in names:
            if name in self._before:
                before = self._before.pop(name)
                with contextlib.suppress(OSError):
                    if before is None:
                        (self.root / name).unlink(missing_ok=True)
                    else:
                        (self.root / name).write_text(before, encoding="utf-8")
        for folder in sorted(self._folders, key=lambda path: -len(path.parts)):
            with contextlib.suppress(OSError):
                folder.rmdir()

    def _one(self, name: str, text: str) -> None:
        path = self.root / name
        if name not in self._before:
            self._before[name] = path.read_text(encoding="utf-8") if path.is_file() else None
        try:
            missing = [parent for parent in path.parents if not parent.exists()]
            self._folders += [parent for parent in missing if parent not in self._folders]
            write_atomically(path, text, mode=path.stat().st_mode & 0o777 if path.exists() else 0o644)
        except OSError as error:
            raise DeadweightError(wording("files.cannot_be_written", path=path, error=error.strerror)) from error


_TASK = re.compile(r"^@(?:invoke\.)?task\b[^\n]*\n(?:@[^\n]*\n|[ \t)][^\n]*\n)*def (\w+)", re.MULTILINE)


def write_helpers(root: Path, written: WrittenFiles) -> list[str]:
    """Write those that are missing. Gives what is to be told of those that are there."""
    notes = list[str]()
    for name, text in (("tasks.py", TASKS), ("noxfile.py", NOX)):
        path = root / name
        if not path.exists():
            written.write({name: text})
        elif "deadweight" not in (there := path.read_text(encoding="utf-8", errors="replace")):
            lines = " and ".join(f"`{line}`" for line in _to_add(name, there))
            notes.append(wording("files.to_add", file=name, lines=lines))
    if (root / ".git").exists() or (root / ".gitignore").exists():
        written.append(".gitignore", IGNORED, "Deadweight's state: images, logs, evidence, report")
    return notes


def _to_add(name: str, there: str) -> Iterator[str]:
    """The lines that bring Deadweight's tasks or sessions in. Beside a namespace invoke passes over the module's own tasks."""
    if name == "noxfile.py":
        yield "from deadweight.nox_sessions import *"
    elif own := re.search(r"^(ns|namespace)\s*=", there, re.MULTILINE):
        yield "import deadweight.tasks"
        yield f'{own[1]}.add_collection(deadweight.tasks.namespace, "deadweight")'
    else:
        yield "from deadweight.tasks import namespace as ns"
        yield from (f"ns.add_task({task})" for task in _TASK.findall(there))
