"""Check a ko.yaml for what ko itself accepts without a word: keys that it does not know.

Keys from ko's configuration reference and its ``pkg/build/config.go`` (v0.19).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from deadweight.suite.yaml_nodes import Document, Key, read

TOP = (
    "defaultBaseImage", "baseImageOverrides", "builds", "defaultPlatforms", "defaultEnv", "defaultFlags",
    "defaultLdflags", "verification",
)  # fmt: skip
BUILD = (
    "id", "dir", "main", "env", "flags", "ldflags", "linux_capabilities",
    # ko takes no notice of these; goreleaser's files, which it can share, have them
    "asmflags", "gcflags", "mod_timestamp", "gobinary", "goos", "goarch", "goarm", "gomips", "targets", "binary", "lang",
)  # fmt: skip


def check_ko_config(file: Path) -> None:
    """Raises ConfigError with file, line and key: not YAML, not a mapping, a list that is none, a misspelt key."""
    document = read(file)
    top = _mapping(document, (), document.value)
    _known(document, (), top, TOP)
    if top.get("baseImageOverrides"):
        raise document.error(
            ("baseImageOverrides",),
            "bases come from the suite, so that they are resolved, pinned and reported",
            hint="set base: in the variant instead",
        )
    builds = top.get("builds") or []
    if not isinstance(builds, list):
        raise document.error(("builds",), "expected a list of builds")
    for number, build in enumerate(builds):
        fields = _mapping(document, ("builds", number), build)
        _known(document, ("builds", number), fields, BUILD)
        for key in ("env", "flags", "ldflags"):
            if not isinstance(fields.get(key, []), list | str):
                raise document.error(("builds", number, key), "expected a list")


def _mapping(document: Document, key: Key, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise document.error(key, "expected a mapping (key: value)")
    return value


def _known(document: Document, where: Key, fields: dict[str, Any], known: Iterable[str]) -> None:
    # viper, which reads the file for ko, does not care about upper and lower case
    choices = {name.lower(): name for name in known}
    for key in fields:
        if key.lower() in choices:
            continue
        near = difflib.get_close_matches(key.lower(), choices, 1, 0.75)
        if near:  # a key that is not like any other may be a newer ko's
            raise document.error(
                (*where, key), f"unknown key, did you mean {choices[near[0]]}?", hint="ko ignores keys it does not know"
            )
