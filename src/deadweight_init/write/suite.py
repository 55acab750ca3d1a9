"""Render the suite as YAML, with every value's origin and the reason for everything left out."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from deadweight._log_excerpt import plain
from deadweight_init.draft import Draft, Recorded
from deadweight_init.languages.common import flow, scalar
from deadweight_init.records import Known, Rung, wording

COLUMN = 60
MOST_CHANGES = 12
MOST_FLOW = 100
"""A mapping or list that is longer has a line for each entry."""


class Block(dict[Any, Any]):
    """A mapping that is written one key a line. A ``Note`` as a key is a comment; a ``Known`` has its origin as one."""


class Note(str):
    """A comment of its own; an empty one is an empty line. Each is a key for itself, whatever it says."""

    __slots__ = ()
    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        return self is other


def suite_text(*drafts: Draft, left_out: Mapping[str, str] | None = None) -> str:
    """``deadweight.yaml`` of one service, or of several: then each has a section under ``services:``.
    ``left_out`` are services that are in none, with the reasons.
    """
    how = wording("suite.observed" if any(draft.is_tried for draft in drafts) else "suite.not_run")
    name = drafts[0].suite or drafts[0].service.name
    lead = Note(wording("suite.written", how=how))
    suite = Block({lead: None, Note(wording("suite.keys")): None, "name": name, Note(): None})
    if drafts[0].suite:
        services = Block({draft.service.name: _section(draft) for draft in drafts})
        services.update({_left_out(name, why): None for name, why in (left_out or {}).items()})
        suite["services"] = services
    else:
        suite.update(_section(drafts[0]))
    return "\n".join(_rendered(suite, "")) + "\n"


def _left_out(name: str, why: str) -> Note:
    return Note(wording("suite.left_out", name=name, reason=why))


def _section(draft: Draft) -> Block:
    """What is common to a service's variants, then these."""
    is_job = draft.health.value.get("kind") == "exit"
    checks = Block(runs=_runs(draft), layers={"secrets": "none"})
    checks.update(_attacks(draft))
    if draft.api:
        checks[Note(wording("suite.recorded"))] = None
        checks["api"] = [_recorded(reply) for reply in draft.api]
    defaults = Block({} if is_job else {"port": draft.port})
    defaults["health"] = draft.health
    if draft.run:
        defaults["run"] = Block(draft.run)
    defaults["checks"] = checks
    if draft.doubts:
        defaults[Note(wording("suite.unproven"))] = None
        defaults["unproven"] = [doubt.code for doubt in draft.doubts]
        defaults.update({Note(f"{doubt.code}: {doubt.what}"): None for doubt in draft.doubts})
    written = {rung.name: rung for rung in draft.variants}
    variants = Block()
    for rung in draft.ladder.rungs:
        if rung.name in written:
            variants[rung.name] = _variant(draft, written[rung.name])
        else:
            variants[_left_out(f"{rung.name} ({rung.builder})", rung.refused)] = None
        variants[Note()] = None
    return Block({"defaults": defaults, Note(): None, "variants": variants})


def _runs(draft: Draft) -> Any:
    if draft.prints:
        return {
            "prints": re.sub(r"([.^$*+?{}\[\]\\|()])", r"\\\1", draft.prints)
        }  # a regular expression that matches it
    stops = draft.stops or Known(10, "")
    return Known({"stops_within_seconds": stops.value}, stops.origin)


def _attacks(draft: Draft) -> Mapping[Any, Any]:
    """The places that an OpenAPI document names are where HTTP services are attacked."""
    described = draft.service.described
    if described is None or (draft.down and not draft.accepted) or "path" not in draft.health.value:
        return {}
    if draft.unattacked:
        return {Note(wording("suite.unattacked", document=described.value, reason=draft.unattacked)): None}
    return {"attacks": Known({"openapi": described.value}, described.origin)}


def _recorded(reply: Recorded) -> Block:
    request = {"path": reply.path, **({"port": reply.port} if reply.port else {})}
    expect: dict[str, Any] = {"status": reply.status} if reply.status != 200 else {}
    if reply.content_type:
        expect["headers"] = {"Content-Type": reply.content_type}
    if reply.json is not None:
        expect["json"] = json.loads(reply.json)
    if reply.text is not None:
        expect["body_contains"] = reply.text
    return Block(name=f"GET {reply.path}" + (f" at {reply.port}" if reply.port else ""), request=request, expect=expect)


def _variant(draft: Draft, rung: Rung) -> Block:
    own = draft.own.get(rung.name, {})
    block = Block(builder=rung.builder, description=rung.description)
    for key, value in rung.keys.items():
        if key not in own and not (key == "source" and value == "."):
            block[key] = value
    why = {**draft.untried, **draft.left_out, **draft.down}.get(rung.name, "")
    if why or (draft.is_tried and rung.name not in draft.accepted):
        block["tried"] = Known(False, why or wording("suite.ended_before"))
    block.update(own)
    if rung.changes:
        first = draft.service.own.path if draft.service.own else wording("suite.first_variant")
        block[Note(wording("suite.differs", own=first))] = None
        block.update({Note(f"  {change}"): None for change in rung.changes[:MOST_CHANGES]})
        if (left := len(rung.changes) - MOST_CHANGES) > 0:
            block[Note(f"  {wording('suite.more', number=left)}")] = None
    return block


_SENTENCE = re.compile(r"[A-Za-z][\w.,;/()'+-]*(?: [\w.,;/()'+-]+)+")


def _rendered(block: Block, indent: str) -> Iterator[str]:
    """A block as lines of YAML."""
    for key, value in block.items():
        if isinstance(key, Note):
            yield f"{indent}# {_line(key)}" if key else ""
            continue
        head, origin = f"{indent}{scalar(str(key))}:", ""
        if isinstance(value, Known):
            value, origin = value.value, value.origin
        comment = f"  # {_line(origin)}" if origin else ""
        nested = isinstance(value, list) and any(isinstance(entry, Block) for entry in value)
        long = not nested and not isinstance(value, Block | str) and len(flow(value)) > MOST_FLOW
        if nested or long or isinstance(value, Block) or (key == "needs" and isinstance(value, dict)):
            yield f"{head:<{COLUMN}}{comment}" if comment else head
            if isinstance(value, list):
                yield from _items(value, indent)
            else:
                yield from _rendered(Block(value), f"{indent}  ")
        else:
            text = f"{head} {value if isinstance(value, str) and _SENTENCE.fullmatch(value) else flow(value)}"
            yield f"{text:<{COLUMN}}{comment}" if comment else text


def _items(values: list[Any], indent: str) -> Iterator[str]:
    for value in values:
        first, *rest = _rendered(value, f"{indent}    ") if isinstance(value, Block) else (flow(value),)
        yield f"{indent}  - {first.strip()}"
        yield from rest


def _line(text: str) -> str:
    """One line for a comment."""
    lead = text[: len(text) - len(text.lstrip())]
    line = lead + " ".join(plain(text).split())
    return line if len(line) <= 240 else f"{line[:240]}…"
