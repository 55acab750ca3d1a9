"""Ask git which files changed: few calls, run in parallel while the suite is still being read."""

from __future__ import annotations

import os
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from deadweight._errors import CommandError, DeadweightError, UsageError, wording
from deadweight._run import run

GIT_SECONDS = 120.0
_DIFF = ("diff", "--name-only", "--no-renames", "-z")
_FRESH = ("ls-files", "--others", "--exclude-standard", "--full-name", "-z", ":/")
_HEAD = ("rev-parse", "--verify", "HEAD")


@dataclass(frozen=True)
class GitAnswers:
    """Answers that may not be there yet, by what was asked."""

    root: Path
    revision: str
    _answers: Mapping[str, Future[str]]

    def paths(self) -> tuple[Path, list[str]]:
        """The top of the work tree, and the files below it that changed since ``revision`` and HEAD parted, or are new.

        Raises UsageError where there is no git, no such revision, or no common commit.
        """
        try:
            top = Path(os.path.realpath(self._answers["top"].result().strip("\n")))
        except CommandError as error:
            raise UsageError(wording("project.not_in_git", folder=self.root), hint=_reason(error)) from error
        try:
            changed = self._answers["diff"].result()
        except CommandError:  # git before 2.30, or nothing in common: the other way tells which
            changed = git(self.root, *_DIFF, parted(self.root, self.revision), "--")
        whole = changed + self._answers["fresh"].result()
        names = dict.fromkeys(name.strip("\n") for name in whole.split("\0") if name.strip("\n"))
        return top, list(names)

    def head(self) -> str:
        """The commit that is checked out. Raises CommandError where there is none."""
        return self._answers["head"].result().strip()


def ask_git(root: Path, revision: str) -> GitAnswers:
    """Begin to ask git; what is done before ``paths`` is done meanwhile. Raises UsageError for what can be no revision."""
    if not revision.strip() or revision.startswith("-"):
        raise UsageError(wording("project.no_revision", revision=revision))
    since = (*_DIFF, "--merge-base", revision, "--")
    asked = {"top": ("rev-parse", "--show-toplevel"), "diff": since, "fresh": _FRESH, "head": _HEAD}
    threads = ThreadPoolExecutor(max_workers=4, thread_name_prefix="git")
    answers = {name: threads.submit(git, root, *words) for name, words in asked.items()}
    threads.shutdown(wait=False)
    return GitAnswers(root, revision, answers)


def head(root: Path) -> str | None:
    """The commit that is checked out; None outside of git."""
    try:
        return git(root, *_HEAD).strip()
    except DeadweightError:
        return None


def parted(root: Path, revision: str) -> str:
    """The commit where ``revision`` and HEAD parted. Raises UsageError where git finds none."""
    try:
        return git(root, "merge-base", revision, "HEAD").split()[0]
    except CommandError as error:
        message = wording("project.no_common_commit", revision=revision, problem=_reason(error) or "none in this clone")
        raise UsageError(message) from error


def git(root: Path, *words: str) -> str:
    """What git answers. Raises CommandError."""
    return run(["git", *words], cwd=root, timeout=GIT_SECONDS).output


def _reason(error: CommandError) -> str:
    return error.tail[-1] if error.tail else ""


# Which commit a project's folder is at, for the history. Git is asked; without it, or outside a repository, there is none.
@dataclass(frozen=True)
class Commit:
    """``name`` is the whole hash. ``dirty``: files that git knows differ from it."""

    name: str | None = None
    dirty: bool = False


def commit_of(root: Path) -> Commit:
    """The commit that is checked out."""
    name = head(root)
    return Commit(name, bool(name and git(root, "status", "--porcelain", "--untracked-files=no", "--", ".").strip()))
