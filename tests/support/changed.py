"""``pytest --changed``: the tests of what a change touches, against the main branch and with the work tree."""

import subprocess
from collections.abc import Iterable
from pathlib import Path

PACKAGES = ("attacks", "images", "init", "pool", "standins", "workload")
ALWAYS = ("tests/test_house.py", "tests/test_wording.py")  # who imports whom, and what people read
DOCS = "tests/test_docs.py"
MAIN = ("origin/main", "main")


def selected(root: Path) -> list[str]:
    """What to run in this checkout; all where no main branch is known."""
    paths = changed_paths(root)
    return ["tests"] if paths is None else targets(paths)


def targets(paths: Iterable[str]) -> list[str]:
    """The test folders and files for these paths (relative to the root). The core is used by everybody: then it is ``tests``."""
    names = set(ALWAYS)
    for path in paths:
        own = (name for name in PACKAGES if path.startswith((f"src/deadweight_{name}/", f"tests/{name}/")))
        if package := next(own, ""):
            names.add(f"tests/{package}")
        elif path.startswith("docs/") or ("/" not in path and path.endswith(".md")):
            names.add(DOCS)
        else:
            return ["tests"]
    return sorted(names)


def changed_paths(root: Path) -> list[str] | None:
    """What differs from where this branch left the main one, committed or not; None where no main branch is known."""
    for main in MAIN:
        if base := _git(root, "merge-base", "HEAD", main):
            tracked = _git(root, "diff", "--name-only", "--no-renames", "-z", base.strip()) or ""
            new = _git(root, "ls-files", "--others", "--exclude-standard", "-z") or ""
            return sorted(filter(None, (tracked + new).split("\0")))
    return None


def _git(root: Path, *words: str) -> str | None:
    done = subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=False)
    return done.stdout if done.returncode == 0 else None
