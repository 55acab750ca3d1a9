"""Build the request that carries an attack, and check that it does not already contain the proof."""

from __future__ import annotations

import json
import re
import urllib.parse
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deadweight._errors import DeadweightError
from deadweight.suite.checks import HttpRequest
from deadweight_attacks import remote
from deadweight_attacks.awk import AwkRequest
from deadweight_attacks.lab import Lab
from deadweight_attacks.listeners import Word, random_name
from deadweight_attacks.machine import not_held
from deadweight_attacks.model import PLACES, Payload
from deadweight_attacks.routes import Aim
from deadweight_attacks.session import Order
from deadweight_workload.api import prepare
from deadweight_workload.model import Prepared


# An attack, ready to be sent: its word, and what stands for the places in its text.
@dataclass(frozen=True)
class Filled:
    """An attack, ready to be sent: its word, and what stands for the places in its text."""

    payload: Payload
    word: Word
    places: dict[str, str]


def fill(lab: Lab, payload: Payload, port: int) -> Filled:
    """Choose a word and a file name for one attack.

    Raises DeadweightError for an attack on resources where the engine would not hold it within bounds, or where the bound hides
    what it takes: it is never sent.
    """
    if payload.resource and payload.evidence.takes != "disk" and lab.unenforced:  # what is written has its own bounds
        raise DeadweightError(not_held(lab.unenforced))
    if payload.evidence.of == "memory" and lab.ground.too_much:
        raise DeadweightError(lab.ground.too_much)
    if payload.evidence.where == "metadata" and lab.metadata is None:
        raise DeadweightError(lab.notes["metadata"])
    if lab.far and (why := remote.why_unmeasurable(payload, lab.reach)):
        raise DeadweightError(why)
    word = Word(random_name(), random_name())
    places = {
        "a": word.a,
        "b": word.b,
        "host": lab.attacker.host,
        "port": str(port),
        "file": f"dw{random_name()}",
        "app": lab.app_folder,
        "hostfile": lab.host.file,
        "disk": str(lab.ground.disk_bytes),
        "memory": str(lab.ground.memory_bytes * 13 // 10 // 2**20),
    }
    return Filled(payload, word, places)


ANY_AWK = AwkRequest(path="/", args="args", input="input")
"""A request that leaves nothing of a payload out, to look at what is sent."""

PRELUDE = (
    'run() { t=$1; shift; if command -v "$t" > /dev/null 2>&1; then "$t" "$@"; '
    'else (exec -a "$t" /proc/self/exe "$@"); fi; }\n'
)
"""``run TOOL``: the image's own, else the shell itself under that name (busybox is all its tools in one file)."""

EXAMPLE = {**dict.fromkeys(PLACES, "x"), "a": "bcdfghjk", "b": "mnpqrstv"}
"""Something for every place."""


def ordered(
    payload: Payload, places: Mapping[str, str], root: Path, awk: AwkRequest | None, aim: Aim | None = None
) -> Prepared | Order:
    """What is sent: a request to the service, or an order to the program beside it. Raises UsageError as ``prepared`` does.

    ``aim`` is where a probe goes.
    """
    if aim is not None:
        return prepare(aim.at(put(payload.probe or "", places)), root)
    if payload.breach is not None:
        return Order(tuple(put(word, places) for word in payload.breach), payload.techniques)
    return prepared(payload, places, root, awk or ANY_AWK)


def prepared(payload: Payload, places: Mapping[str, str], root: Path, awk: AwkRequest = ANY_AWK) -> Prepared:
    """The request. ``root`` is the suite's folder. Raises UsageError for a body_file that cannot be read."""
    if payload.request is not None:
        quoted = {name: json.dumps(value)[1:-1] for name, value in places.items()}
        raw = json.loads(put(payload.request.model_dump_json(by_alias=True), quoted))
        return prepare(HttpRequest.model_validate(raw), root)
    script = payload.script or ""
    if payload.shell is not None:
        script = f'BEGIN {{ system("{awk_text(PRELUDE + payload.shell)}") }}'
    fields: dict[str, Any] = {awk.field: put(script, places)}
    if payload.args and awk.args is not None:
        fields[awk.args] = [put(word, places) for word in payload.args]
    if payload.input is not None and awk.input is not None:
        fields[awk.input] = put(payload.input, places)
    return _scripted(awk, fields)


def _scripted(awk: AwkRequest, fields: Mapping[str, Any]) -> Prepared:
    path = awk.path if awk.path.startswith("/") else f"/{awk.path}"
    if awk.encoding == "json":
        kind, body = "application/json", json.dumps(fields).encode()
    elif awk.encoding == "raw":
        kind, body = "text/plain; charset=utf-8", str(fields[awk.field]).encode()
    else:
        kind, body = "application/x-www-form-urlencoded", urllib.parse.urlencode(fields, doseq=True).encode()
    if awk.encoding == "query":
        joint = "&" if "?" in awk.path else "?"
        return Prepared(awk.method, f"{path}{joint}{body.decode()}", dict(awk.headers), None)
    return Prepared(awk.method, path, {"Content-Type": kind, **awk.headers}, body)


def unsendable(payload: Payload, awk: AwkRequest | None) -> str:
    """Which part of a script's surroundings this service takes nowhere, as far as the suite says; empty where all can be sent."""
    wanted = [("args", payload.args), ("input", payload.input)]
    lacking = [name for name, value in wanted if value and payload.way == "script" and awk and not getattr(awk, name)]
    return f"checks.attacks.awk names no field for {' and '.join(lacking)}" if lacking else ""


def examples(payload: Payload, root: Path) -> list[Prepared]:
    """All that it sends to the service, with the places of EXAMPLE: one request for each of its ``each``."""
    if payload.breach is not None or payload.flood is not None:
        return []
    if payload.probe is not None:
        payload = payload.model_copy(update={"probe": None, "request": HttpRequest(method="POST", body=payload.probe)})
    values = [put(value, EXAMPLE) for value in payload.each] or [""]
    return [prepared(payload, {**EXAMPLE, "each": value}, root) for value in values]


def holds(request: Prepared, texts: Iterable[str]) -> bool:
    """Whether one of these stands in it, quoted for a URL or not: a service that only repeats it would look beaten."""
    body = (request.body or b"").decode("utf-8", errors="replace")
    parts = [request.path, body, *request.headers.values()]
    parts += [urllib.parse.unquote_plus(part) for part in parts if "%" in part or "+" in part]
    return any(text in part for text in texts for part in parts)


def put(text: str, places: Mapping[str, str]) -> str:
    return re.sub(r"@([a-z]+)@", lambda match: places[match.group(1)], text)


def awk_text(shell: str) -> str:
    """Shell words as they stand between the quotes of an AWK string."""
    return shell.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
