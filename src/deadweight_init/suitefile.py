"""The suite as text: short, every value with its origin, what was left out with its reason."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterator, Mapping

from deadweight._said import plain
from deadweight_init.derive.changes import lines
from deadweight_init.draft import Draft, Recorded
from deadweight_init.languages.common import scalar
from deadweight_init.reconciled import LEAST_LETTERS
from deadweight_init.records import Known, Rung

COLUMN = 60

TASKS = (
    '"""The tasks of this project: `invoke --list`."""\n\nfrom deadweight.tasks import namespace as ns  # noqa: F401\n'
)
NOX = '"""The sessions of this project: `nox --list`."""\n\nfrom deadweight.nox_sessions import *  # noqa: F403\n'
IGNORED = (".deadweight/",)
_STAMP = re.compile(
    r"\bv?\d+\.\d+|\b\d{4}-\d\d-\d\d|\b(?=[a-f]*\d)(?=\d*[a-f])[0-9a-f]{7,40}\b|\b(?:dev|devel|unknown|snapshot)\b",
    re.IGNORECASE,
)
"""A version, a date, a commit, or what stands there without one."""


def suite_text(*drafts: Draft, left_out: Mapping[str, str] | None = None) -> str:
    """``deadweight.yaml`` of one service, or of several: then each has a section under ``services:``.

    ``left_out`` are services that are in none, with the reasons.
    """
    how = (
        "Values marked 'seen' were observed while it ran."
        if any(draft.is_tried for draft in drafts)
        else "Nothing was run; deadweight init without --no-prove tries it."
    )
    name = drafts[0].suite or drafts[0].service.name
    said = [
        f"# Written by `deadweight init`; edit it as you like. {how}",
        "# Keys: docs/reference/suite.md. `deadweight init --check` shows what has changed since.",
        f"name: {json.dumps(name) if name[0].isdigit() else name}",
        "",
    ]
    if not drafts[0].suite:
        return "\n".join([*said, *_section(drafts[0])]) + "\n"
    said.append("services:")
    for draft in drafts:
        said += [f"  {draft.service.name}:", textwrap.indent("\n".join(_section(draft)), "    ")]
    said += [f"  # {name} is left out: {_line(why)}" for name, why in (left_out or {}).items()]
    return "\n".join(said) + "\n"


def _section(draft: Draft) -> Iterator[str]:
    """What is common to a service's variants, then these."""
    yield "defaults:"
    if not draft.health.value.startswith("{kind: exit"):  # a job has none
        yield _said("  port: ", Known(str(draft.port.value), draft.port.origin))
    yield _said("  health: ", draft.health)
    yield from _run(draft)
    runs = "{stops_within_seconds: 10}"
    if prints := whatever_the_build(draft.prints):
        runs = f"{{prints: {json.dumps(prints, ensure_ascii=False)}}}"
    elif draft.stops is not None:
        runs = _said("", Known(f"{{stops_within_seconds: {draft.stops.value}}}", draft.stops.origin))
    yield from ("  checks:", f"    runs: {runs}", "    layers: {secrets: none}")
    yield from _attacks(draft)
    yield from _api(draft.api)
    yield from _unproven(draft)
    yield from ("", "variants:")
    written = {each.name: each for each in draft.variants}
    for rung in draft.ladder.rungs:
        yield from _variant(draft, written[rung.name]) if rung.name in written else _left_out(rung)


def _unproven(draft: Draft) -> Iterator[str]:
    """Why what was seen proves little, and what does not come up."""
    if draft.not_up:
        yield f"  # It was built and does not come up: {_line(draft.not_up)}"
    if draft.doubts:
        yield "  # Remove these when they are settled: until then verify ends with exit code 3."
        yield f"  unproven: [{', '.join(each.code for each in draft.doubts)}]"
        yield from (f"  # {each.code}: {_line(each.what)}" for each in draft.doubts)


def _attacks(draft: Draft) -> Iterator[str]:
    """The places that an OpenAPI document names are where HTTP services are attacked."""
    described = draft.service.described
    if described is None or draft.not_up or not draft.health.value.startswith("{path"):
        return
    if draft.unattacked:
        yield f"    # attacks on {described.value} are left out: {_line(draft.unattacked)}"
    else:
        yield _said("    attacks: ", Known(f"{{openapi: {scalar(described.value)}}}", described.origin))


def whatever_the_build(line: str) -> str:
    """A regular expression for a job's line in which words that a build stamps (a version, a commit) may be others; empty where
    too little else is left to tell it by."""
    words = [r"\S+" if _STAMP.search(word) else literally(word) for word in line.split(" ")]
    held = sum(map(str.isalpha, "".join(word for word in words if word != r"\S+")))
    return " ".join(words) if held >= LEAST_LETTERS or r"\S+" not in words else ""


def literally(text: str) -> str:
    """A regular expression that matches this text."""
    return re.sub(r"([.^$*+?{}\[\]\\|()])", r"\\\1", text)


def _run(draft: Draft) -> list[str]:
    return ["  run:", *(_said(f"    {key}: ", value) for key, value in draft.run.items())] if draft.run else []


_PATHS = ("source", "dockerfile", "config", "main", "workdir")
"""Keys with a path, which may look like a number (``02``) or hold spaces."""


def _variant(draft: Draft, rung: Rung) -> Iterator[str]:
    yield f"  {rung.name}:"
    yield f"    builder: {rung.builder}"
    yield f"    description: {json.dumps(rung.description) if ': ' in rung.description else rung.description}"
    own = draft.own.get(rung.name, {})
    for key, value in rung.keys.items():
        if key not in own and not (key == "source" and value == "."):
            yield f"    {key}: {scalar(value) if key in _PATHS else value}"
    why = draft.untried.get(rung.name) or draft.left_out.get(rung.name)
    if why or (draft.is_tried and rung.name not in draft.accepted):
        yield f"    tried: false  # {_line(why or draft.not_up or 'init ended before')}"
    for key, known in own.items():
        yield _said(f"    {key}: ", known)
    if rung.changes:
        yield f"    # What differs from {draft.service.own.path if draft.service.own else 'the own image'}:"
        yield from (f"    #   {_line(each)}" for each in lines(rung.changes))
    yield ""


def _left_out(rung: Rung) -> Iterator[str]:
    yield f"  # {rung.name} ({rung.builder}) is left out: {_line(rung.refused)}"
    yield ""


def _api(recorded: tuple[Recorded, ...]) -> Iterator[str]:
    if not recorded:
        return
    yield "    # Recorded from the first variant: they show that the others answer the same, not that the answer is right."
    yield "    api:"
    for each in recorded:
        expect = [f"status: {each.status}"] if each.status != 200 else []
        if each.content_type:
            expect.append(f"headers: {{Content-Type: {each.content_type}}}")
        if each.json is not None:
            expect.append(f"json: {each.json}")
        if each.text is not None:
            expect.append(f"body_contains: {json.dumps(each.text, ensure_ascii=False)}")
        at = f", port: {each.port}" if each.port else ""
        yield f"      - name: {json.dumps(f'GET {each.path}' + (f' at {each.port}' if each.port else ''))}"
        yield f"        request: {{path: {json.dumps(each.path)}{at}}}"
        differs = "  # the rest differs from build to build" if each.differs else ""
        yield f"        expect: {{{', '.join(expect)}}}{differs}"


def _said(head: str, known: Known[str]) -> str:
    """A key with its value; what has several lines begins below the key."""
    text, _, below = f"{head}{known.value}".partition("\n")
    first = f"{text.rstrip() if below else text:<{COLUMN}}  # {_line(known.origin)}"
    return f"{first}\n{below}" if below else first


def _line(text: str) -> str:
    """One line for a comment."""
    said = " ".join(plain(text).split())
    return said if len(said) <= 240 else f"{said[:240]}…"
