"""JUnit XML from plain records, in the form that CI systems read. A pure function; nothing is read or written."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from xml.etree.ElementTree import Element, SubElement, indent, tostring

# What XML 1.0 cannot hold, not even escaped (section 2.2).
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class JunitCase:
    """One case: passed unless one of ``failure`` (found something), ``error`` (could not tell) or ``skipped`` has a reason.

    ``seconds`` is how long it took. ``detail`` is the text below the reason.
    """

    name: str
    classname: str
    seconds: float = 0.0
    failure: str | None = None
    error: str | None = None
    skipped: str | None = None
    detail: str = ""


@dataclass(frozen=True)
class JunitSuite:
    """Cases that belong together (a variant, a scan). ``timestamp`` is ISO 8601, left out where None."""

    name: str
    cases: tuple[JunitCase, ...]
    timestamp: str | None = None
    properties: Mapping[str, str] = field(default_factory=dict)


def junit(suites: Iterable[JunitSuite], *, name: str = "deadweight") -> str:
    """The document as text. The same records give the same bytes."""
    given = tuple(suites)
    root = Element("testsuites", {"name": _clean(name), **_counts([case for suite in given for case in suite.cases])})
    for suite in given:
        root.append(_suite(suite))
    indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + tostring(root, encoding="unicode") + "\n"


def _suite(suite: JunitSuite) -> Element:
    attributes = {"name": _clean(suite.name), **_counts(suite.cases)}
    if suite.timestamp is not None:
        attributes["timestamp"] = suite.timestamp
    element = Element("testsuite", attributes)
    if suite.properties:
        properties = SubElement(element, "properties")
        for key, value in sorted(suite.properties.items()):
            SubElement(properties, "property", {"name": _clean(key), "value": _clean(value)})
    for case in suite.cases:
        element.append(_case(case))
    return element


def _case(case: JunitCase) -> Element:
    head = {"name": _clean(case.name), "classname": _clean(case.classname), "time": f"{case.seconds:.3f}"}
    element = Element("testcase", head)
    for kind, reason in (("failure", case.failure), ("error", case.error), ("skipped", case.skipped)):
        if reason is not None:
            outcome = SubElement(element, kind, {"message": _clean(reason)})
            outcome.text = _clean(case.detail) or None
            break
    return element


def _counts(cases: Iterable[JunitCase]) -> dict[str, str]:
    given = tuple(cases)
    failed = sum(case.failure is not None for case in given)
    errors = sum(case.failure is None and case.error is not None for case in given)
    skipped = sum(case.failure is None and case.error is None and case.skipped is not None for case in given)
    return {
        "tests": str(len(given)),
        "failures": str(failed),
        "errors": str(errors),
        "skipped": str(skipped),
        "time": f"{sum(case.seconds for case in given):.3f}",
    }


def _clean(text: str) -> str:
    """Text as XML can hold it: other characters are shown as their escapes."""
    return _FORBIDDEN.sub(lambda match: f"\\x{ord(match[0]):02x}", text)
