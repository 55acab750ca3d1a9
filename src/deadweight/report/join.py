"""JUnit and SARIF files of several machines as one file each."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from deadweight._errors import ConfigError
from deadweight.report.sarif import SCHEMA

COUNTS = ("tests", "failures", "errors", "skipped")


def joined_junit(files: Sequence[Path]) -> str:
    """All test suites in one document, with their counts added up. Raises ConfigError for what is no JUnit XML."""
    root = Element("testsuites", {"name": "deadweight"})
    for file in files:
        root.extend(_suites(file))
    for name in COUNTS:
        root.set(name, str(sum(int(each.get(name) or 0) for each in root)))
    root.set("time", f"{sum(float(each.get('time') or 0) for each in root):.3f}")
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _suites(file: Path) -> list[Element]:
    content = _read(file)
    if b"<!DOCTYPE" in content or b"<!ENTITY" in content:  # entities are how XML grows; no JUnit file has any
        raise ConfigError("not a JUnit file: it declares a document type", file=file)
    try:
        root = ElementTree.fromstring(content)  # noqa: S314 - without entities it cannot grow
        found = [root] if root.tag == "testsuite" else list(root.iter("testsuite"))
        for each in found:
            [int(each.get(name) or 0) for name in COUNTS]
    except (ElementTree.ParseError, ValueError) as error:
        raise ConfigError(f"not a JUnit file: {error}", file=file) from error
    if root.tag not in ("testsuite", "testsuites"):
        raise ConfigError(f"not a JUnit file: its root element is {root.tag}", file=file)
    return found


def joined_sarif(files: Sequence[Path]) -> str:
    """All runs in one log. Of runs with the same category (``automationDetails.id``) the last stays. Raises ConfigError."""
    runs: dict[str, dict[str, Any]] = {}
    for file in files:
        try:
            log = json.loads(_read(file))
            found = list(log["runs"])
            if log["version"] != "2.1.0":
                raise ConfigError(f"not SARIF 2.1.0: version {log['version']!r}", file=file)
            for number, run in enumerate(found):
                runs[(run.get("automationDetails") or {}).get("id") or f"{file}#{number}"] = run
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ConfigError(f"not a SARIF log: {error}", file=file) from error
    return json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": list(runs.values())}, indent=2) + "\n"


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", file=file, hint="make it readable") from error
