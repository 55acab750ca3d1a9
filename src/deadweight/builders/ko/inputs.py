"""What a Go build reads beside its own module's folder: it is all input, and a change of it must not pass for up to date.

* folders that ``go.mod`` puts in the place of modules (``replace example.com/lib => ../lib``; only the main module's count), and
  the workspace: ``go.work`` in the module's folder or above, and the folders that it uses ("Workspaces", Go Modules Reference)
* what links in ko's ``kodata`` folder lead to: ko puts that into the image, not the link
* variables that Go takes flags from
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

VARIABLES = ("GOFLAGS", "GOEXPERIMENT", "GOAMD64", "GOARM64", "GOFIPS140", "CGO_ENABLED")

_BLOCK = re.compile(r"(use|replace)\s*\($")


def outside(source: Path, environment: Mapping[str, str], main: str = ".") -> tuple[Path, ...]:
    """Files and folders that are there and do not lie in ``source``; what is missing is Go's to tell."""
    found = [source / name for name in _folders(source / "go.mod")]
    work = _workspace(source, environment)
    if work is not None:
        found += [work, work.with_suffix(".work.sum"), *(work.parent / name for name in _folders(work))]
    links = (path for path in (source / main / "kodata").rglob("*") if path.is_symlink())
    found += [path.resolve() for path in links]
    places = dict.fromkeys(Path(os.path.normpath(path)) for path in found)
    return tuple(path for path in places if path.exists() and not path.is_relative_to(source))


def flags(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that are set, as values of a fingerprint."""
    return {f"variable {name}": environment[name] for name in VARIABLES if environment.get(name)}


def _workspace(source: Path, environment: Mapping[str, str]) -> Path | None:
    given = environment.get("GOWORK", "")
    if given:
        return Path(given) if given != "off" else None
    return next((path for folder in (source, *source.parents) if (path := folder / "go.work").is_file()), None)


def _folders(file: Path) -> Iterator[str]:
    """What ``use`` and ``replace`` lines name by a path, which starts with a dot or a slash in both kinds of files."""
    try:
        text = file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return
    verb = ""
    for line in (line.partition("//")[0].strip() for line in text.splitlines()):
        block = _BLOCK.fullmatch(line)
        if block or line == ")":
            verb = block[1] if block else ""
            continue
        own, _, rest = (verb, "", line) if verb else line.partition(" ")
        name = rest.partition("=>")[2] if own == "replace" else rest if own == "use" else ""
        word = name.strip().strip('"`')
        if word.startswith((".", "/")):
            yield word
