"""Check an apko.yaml for what apko itself accepts without a word.

apko refuses unknown keys and wrong types with file and line; those are left to it. It takes any text for ``run-as``, and an
unknown name then stops the container from starting ("no matching entries in passwd file").
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

from deadweight.suite.yaml_nodes import Document, Key, read

_APK_NAMES = {"amd64": "x86_64", "arm64": "aarch64", "arm64/v8": "aarch64"}
"""OCI's names of the architectures that we build for, as apk calls them."""


def check_apko_config(file: Path, arch: str) -> None:
    """Raises ConfigError with file, line and key: not YAML, no packages, an unknown ``run-as``, not for this machine.

    ``arch`` is apk's word for the machine's architecture.
    """
    document = read(file)
    top = document.value
    if not isinstance(top, dict):
        raise document.error((), "expected a mapping (contents:, accounts:, entrypoint: …)")
    check_architectures(document, ("archs",), top.get("archs"), arch)
    if "include" in top:
        return  # accounts and packages may be in the other file; apko reads it
    contents = top.get("contents")
    if not isinstance(contents, dict) or not contents.get("packages"):
        raise document.error(
            ("contents",), "names no packages", hint="contents: {packages: [...]} says what is in the image"
        )
    _check_run_as(document, top.get("accounts") or {})


def check_architectures(document: Document, key: Key, given: Any, arch: str) -> None:
    """What is built is for this machine, whatever a file says: one that is for others only would give another image than it says.

    Raises ConfigError. apko's ``archs`` and melange's ``target-architecture`` take OCI's names too, and ``all``.
    """
    if not given:
        return
    named = [str(each) for each in (given if isinstance(given, list) else [given])]
    if not {"all", "host", arch} & {_APK_NAMES.get(name.lower(), name.lower()) for name in named}:
        raise document.error(
            key,
            f"names {', '.join(named)}, but this machine is {arch}",
            hint=f"images are built for the machine that builds them: add {arch}, or remove the key",
        )


def _check_run_as(document: Document, accounts: Any) -> None:
    if not isinstance(accounts, dict) or accounts.get("run-as") is None:
        return
    user, _, group = str(accounts["run-as"]).partition(":")
    for word, kind, name_key, id_key in ((user, "users", "username", "uid"), (group, "groups", "groupname", "gid")):
        known = [entry for entry in accounts.get(kind) or [] if isinstance(entry, dict)]
        names = [str(entry.get(name_key)) for entry in known]
        if not word or word.isdigit() or word == "root" or word in names:
            continue
        near = difflib.get_close_matches(word, names, 1, 0.6)
        guess = f", did you mean {near[0]!r}?" if near else ""
        raise document.error(
            ("accounts", "run-as"),
            f"no {kind[:-1]} {word!r} under accounts.{kind}{guess}",
            hint=f"add it there, or write its {id_key} as a number",
        )
