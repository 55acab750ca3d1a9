"""Recognise files that ``init`` wrote, by one of their first lines, to keep them out of build contexts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from deadweight.suite.model import Variant

DOCKERFILE = "# The service on any base: the bases are the suite's (bases: in deadweight.yaml), pinned by digest when it is built."
MELANGE = "# melange: the service as an APK package. Repositories and keyrings are given when it is built."
APKO = "# apko: the image is a list of packages. Repositories, keyrings and architecture are given when it is built."
_MARKS = (DOCKERFILE, MELANGE, APKO)
_HEAD_BYTES = 2048


def is_generated(text: str) -> bool:
    """Whether ``init`` wrote a file: by its first line, or by the first behind a Dockerfile's directives."""
    return any(line in _MARKS for line in text[:_HEAD_BYTES].splitlines())


def generated_files(root: Path, variants: Iterable[Variant]) -> Iterator[str]:
    """The files of these variants that ``init`` wrote, and the ignore files beside them, relative to ``root``."""
    named = dict.fromkeys(name for variant in variants for name in _files(variant))
    for name in named:
        try:
            with (root / name).open("rb") as handle:
                if is_generated(handle.read(_HEAD_BYTES).decode("utf-8", "replace")):
                    yield from (name, f"{name}.dockerignore")
        except OSError:
            continue


def _files(variant: Variant) -> Iterator[str]:
    for key in ("dockerfile", "config"):
        if isinstance(name := getattr(variant, key, None), str):
            yield name
    yield from variant.run.files.values()
    packages = getattr(variant, "packages", ())
    yield from (str(each) for each in (packages if isinstance(packages, tuple) else ()) if str(each).endswith(".yaml"))
