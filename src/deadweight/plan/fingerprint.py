"""Hash a step's inputs (files, tool, base digest, arguments) into a fingerprint, to tell if it is up to date.

A fingerprint is a SHA-256 over all inputs by name. Its parts are saved too, so that a rebuild can say what changed.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from deadweight._errors import DeadweightError, wording
from deadweight.builders.protocol import Inputs
from deadweight.records.ignore import Ignore, walk

FileState = tuple[int, ...]
"""Device, inode, size and times of a file."""

RULES = "1"  # raise it when the way fingerprints are made changes


def _described(name: str) -> str:
    """An input as people call it; values stand in brackets, files do not."""
    inner = name.removeprefix("(").removesuffix(")") if name.startswith("(") else ""
    if inner == "ignore":
        return wording("plan.ignored_files")
    if inner == "base base":
        return wording("plan.base")
    if inner.startswith("base "):
        return wording("plan.named_base", name=inner.removeprefix("base "))
    return wording("plan.earlier_step") if inner.startswith("step before") else inner or name


@dataclass(frozen=True)
class Fingerprint:
    """``digest`` is 64 hex digits; ``parts`` maps an input's name to its own digest or value."""

    digest: str
    parts: dict[str, str]

    def difference(self, earlier: Fingerprint | None) -> str:
        """Why this is not the earlier one, in a few words."""
        if earlier is None:
            return wording("plan.not_built")
        names = sorted(
            (name for name in {*self.parts, *earlier.parts} if self.parts.get(name) != earlier.parts.get(name)),
            key=lambda name: (name.startswith("("), name),  # a file says more than what follows from it
        )
        if not names:
            return wording("plan.rules_changed")
        # a rule that was added takes files away: those are still there, and it is the rule that says why they do not count
        first = "(ignore)" if "(ignore)" in names else names[0]
        how = "is new" if first not in earlier.parts else "is gone" if first not in self.parts else "changed"
        if len(names) == 1:
            return wording("plan.input_differs", input=_described(first), how=how)
        return wording("plan.inputs_differ", input=_described(first), how=how, others=len(names) - 1)


SETTLED_NS = 2 * 10**9
"""A file that was written this long before it was read has other times when it is written again, whatever the clock's step."""


class Digests:
    """Digests of files by content, each file read once per state (device, inode, size, times) in one run."""

    def __init__(self, *, known: Mapping[FileState, str] | None = None) -> None:
        """``known`` is what an earlier look gave (``settled``)."""
        self._known: dict[FileState, str] = dict(known or {})
        self._settled: dict[FileState, str] = dict(known or {})
        self._trees: dict[tuple[Path, tuple[str, ...]], dict[str, str]] = {}

    def of(self, inputs: Inputs, root: Path, upstream: Iterable[Fingerprint] = ()) -> Fingerprint:
        """The fingerprint of these inputs; paths are named relative to ``root`` so that a moved checkout stays up to date.

        Raises DeadweightError where an input cannot be read.
        """
        parts: dict[str, str] = {}
        for path in inputs.files:
            parts.update(self._tree(path, inputs.ignore, root))
        parts.update({f"({name})": value for name, value in inputs.values.items()})
        for number, above in enumerate(upstream):
            parts[f"(step before {number + 1})"] = above.digest
        hasher = hashlib.sha256(RULES.encode())
        for name in sorted(parts):
            for word in (name, parts[name]):
                data = word.encode("utf-8", "surrogateescape")
                hasher.update(len(data).to_bytes(8, "big") + data)
        return Fingerprint(hasher.hexdigest(), parts)

    def settled(self) -> Mapping[FileState, str]:
        """Digests of files that are sure to be the same as long as their times are: for a look at the same files later on."""
        return self._settled

    def _tree(self, path: Path, ignore: tuple[str, ...], root: Path) -> dict[str, str]:
        if (path, ignore) not in self._trees:
            entries = self._entries(path, Ignore(ignore))
            self._trees[path, ignore] = {
                str(entry.relative_to(root) if entry.is_relative_to(root) else entry): digest
                for entry, digest in entries
            }
        return self._trees[path, ignore]

    def _entries(self, path: Path, ignore: Ignore) -> Iterator[tuple[Path, str]]:
        try:
            if path.is_dir():
                for entry in walk(path, ignore):
                    with contextlib.suppress(FileNotFoundError):  # it went away since the folder was read
                        yield entry, self._digest(entry)
            else:
                yield path, self._digest(path.resolve())  # who is told of a link reads what it leads to
        except OSError as error:
            message = wording("plan.unreadable", path=error.filename or path, problem=error.strerror)
            raise DeadweightError(message) from error

    def _digest(self, path: Path) -> str:
        facts = os.lstat(path)
        mode = f"{stat.S_IMODE(facts.st_mode) & 0o111:o}"  # builders keep the executable bits, not the rest
        if stat.S_ISLNK(facts.st_mode):
            return f"link:{os.readlink(path)}"  # noqa: PTH115 - surrogates survive
        if not stat.S_ISREG(facts.st_mode):
            return f"other:{stat.S_IFMT(facts.st_mode):o}"
        key = (facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns)
        if key not in self._known:
            before = time.time_ns()
            with path.open("rb") as file:
                self._known[key] = hashlib.file_digest(file, "sha256").hexdigest()
            if max(facts.st_mtime_ns, facts.st_ctime_ns) < before - SETTLED_NS:
                self._settled[key] = self._known[key]
        return f"{mode}:{self._known[key]}"
