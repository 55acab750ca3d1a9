"""The suite as text: short, every value with its origin, what was left out with its reason."""

from __future__ import annotations

import json
from collections.abc import Iterator

from deadweight.project.init.draft import Draft, Recorded
from deadweight.project.init.records import Known, Rung

COLUMN = 60

TASKS = (
    '"""The tasks of this project: `invoke --list`."""\n\nfrom deadweight.tasks import namespace as ns  # noqa: F401\n'
)
NOX = '"""The sessions of this project: `nox --list`."""\n\nfrom deadweight.nox_sessions import *  # noqa: F403\n'
IGNORED = (".deadweight/",)


def suite_text(draft: Draft) -> str:
    """``deadweight.yaml``."""
    how = (
        "Values marked 'seen' were seen in a run of it."
        if draft.proven
        else "Nothing was run: deadweight init proves it."
    )
    lines = [
        f"# Written by `deadweight init`, and yours from now on. {how}",
        "# Keys: docs/reference/suite.md. `deadweight init --check` says what has drifted since.",
        f"name: {json.dumps(draft.service.name) if draft.service.name[0].isdigit() else draft.service.name}",
        "",
        "defaults:",
        _said("  port: ", Known(str(draft.port.value), draft.port.origin)),
        _said("  health: ", draft.health),
        *_run(draft),
        "  checks:",
        "    runs: {stops_within_seconds: 10}",
        "    layers: {secrets: none}",
        *_api(draft.api),
        "",
        "variants:",
    ]
    for rung in draft.ladder.rungs:
        lines += _left_out(rung) if rung.refused else _variant(draft, rung)
    return "\n".join(lines) + "\n"


def _run(draft: Draft) -> list[str]:
    return ["  run:", *(_said(f"    {key}: ", value) for key, value in draft.run.items())] if draft.run else []


def _variant(draft: Draft, rung: Rung) -> Iterator[str]:
    yield f"  {rung.name}:"
    yield f"    builder: {rung.builder}"
    yield f"    description: {json.dumps(rung.description) if ': ' in rung.description else rung.description}"
    own = draft.own.get(rung.name, {})
    for key, value in rung.keys.items():
        if key not in own and not (key == "source" and value == "."):
            yield f"    {key}: {value}"
    if draft.not_runnable:
        yield f"    runnable: false  # {_line(draft.not_runnable)}"
    for key, known in own.items():
        yield _said(f"    {key}: ", known)
    yield ""


def _left_out(rung: Rung) -> Iterator[str]:
    yield f"  # {rung.name} ({rung.builder}) is left out: {_line(rung.refused)}"
    yield ""


def _api(recorded: tuple[Recorded, ...]) -> Iterator[str]:
    if not recorded:
        return
    yield "    # Recorded from the first variant's real answers: that the others answer alike, not that it is right."
    yield "    api:"
    for each in recorded:
        expect = [f"status: {each.status}"] if each.status != 200 else []
        if each.content_type:
            expect.append(f"headers: {{Content-Type: {each.content_type}}}")
        if each.json is not None:
            expect.append(f"json: {each.json}")
        if each.text is not None:
            expect.append(f"body_contains: {json.dumps(each.text, ensure_ascii=False)}")
        yield f"      - name: {json.dumps(f'GET {each.path}')}"
        yield f"        request: {{path: {json.dumps(each.path)}}}"
        yield f"        expect: {{{', '.join(expect)}}}"


def _said(head: str, known: Known[str]) -> str:
    """A key with its value; what has several lines begins below the key."""
    text, _, below = f"{head}{known.value}".partition("\n")
    first = f"{text.rstrip() if below else text:<{COLUMN}}  # {_line(known.origin)}"
    return f"{first}\n{below}" if below else first


def _line(text: str) -> str:
    """One line for a comment."""
    plain = " ".join(text.split())
    return plain if len(plain) <= 240 else f"{plain[:240]}…"
