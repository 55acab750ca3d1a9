"""The version of all that decides what is found. It is part of each cached result's key, so it must be quick to tell."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent  # importlib.resources takes longer to import than all of this
# What decides what is found and told, beside all modules here: those that hand the scanner its texts.
_DECIDING = ("layers/gaps.py",)


@cache
def rules_version() -> str:
    """The version of the rule set that is part of this package, and of the code that applies it."""
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in _deciding())).hexdigest()
    named = "+".join(f"{each['module'].split('/')[2]}-{each['version']}" for each in _upstream())
    return f"{named}+{digest[:12]}"


def _upstream() -> list[dict[str, str]]:
    """Where the rules come from. It stands first in ``rules.json``: the rest of that takes ten times as long to parse."""
    text = (FOLDER / "rules.json").read_text(encoding="utf-8")
    found: list[dict[str, str]]
    found, _end = json.JSONDecoder().raw_decode(text, text.index("[", text.index('"upstream"')))
    return found


def _deciding() -> list[Path]:
    """Files that are part of the version, so that no cached result outlives a change of any of them."""
    own = [file for file in FOLDER.iterdir() if file.name.endswith((".py", ".json"))]
    return [*sorted(own, key=lambda file: file.name), *(FOLDER.parent / name for name in _DECIDING)]
