"""Sends one attack and looks for what proves it. A status code proves nothing here."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from deadweight import _run
from deadweight._errors import Interrupted
from deadweight.checks.attacks.lab import Filled, Lab, fill
from deadweight.checks.attacks.listeners import Listener, call
from deadweight.checks.attacks.model import Payload
from deadweight.checks.attacks.yard import DIED, NOTICE_SECONDS, Yard
from deadweight.checks.http_request import Prepared, prepare
from deadweight.engine.http import Answer
from deadweight.suite.requests import HttpRequest

AWK_PATH = "/api/v1/awk"
BIND_PORT = 31337
PAUSE_SECONDS = 0.02
GRACE_SECONDS = 0.3
"""What a listener may still read after the service has answered, where something connected to it."""

PRELUDE = (
    'run() { t=$1; shift; if command -v "$t" > /dev/null 2>&1; then "$t" "$@"; '
    'else (exec -a "$t" /proc/self/exe "$@"); fi; }\n'
)
"""``run TOOL``: the image's own, else the shell itself under that name (busybox is all its tools in one file)."""

Reply = Answer | OSError | http.client.HTTPException
Seen = Literal["succeeded", "failed", "crashed", "not_measured"]


@dataclass(frozen=True)
class Shot:
    """What came of one attack in one posture. ``detail`` is the evidence, ``said`` what the service answered, in one line."""

    seen: Seen
    said: str
    detail: dict[str, Any] = field(default_factory=dict)
    answered: bool = True

    def ended(self, complaint: str) -> Shot:
        """The same, where the service was found dead or dumb right after it. What was proven stays proven."""
        if self.seen == "succeeded":
            return replace(self, detail={**self.detail, "afterwards": complaint})
        return Shot("crashed", complaint, self.detail)


def fire(lab: Lab, yard: Yard, payload: Payload) -> Shot:
    """Send an attack and wait until it is proven or over: once, or once for each of its ``each``. Raises CannotStart, NoService."""
    if not payload.each:
        return _once(lab, yard, payload, "")
    said = []
    for value in payload.each:
        shot = _once(lab, yard, payload, value)
        if shot.seen != "failed":
            return shot
        said.append(f"{value}: {shot.said}")
        if not shot.answered:
            break  # it may still be at work; to be asked again, the service must be a fresh one
    told = "; ".join(said)
    return replace(shot, said=told, detail={**shot.detail, "said": told})


def _once(lab: Lab, yard: Yard, payload: Payload, each: str) -> Shot:
    if _run.cancelled():
        raise Interrupted("interrupted")
    yard.get()
    path = payload.evidence.path
    if path is not None and _telling_line(lab.image_file(path)) is None:
        return Shot("not_measured", f"the image has no {path}, or nothing in it")
    with _listener(lab, payload) as made:
        filled, listener = made
        filled = replace(filled, places={**filled.places, "each": put(each, filled.places)})
        request = prepared(filled, lab)
        started = time.monotonic()
        with ThreadPoolExecutor(1) as pool:
            sent = pool.submit(send, yard, request, payload.seconds)
            proof = _watch(lab, yard, filled, listener, sent)
        answer = sent.result()
    said = told(answer)
    detail: dict[str, Any] = {"said": said, "seconds": round(time.monotonic() - started, 3)}
    if proof is not None:
        return Shot("succeeded", said, {"proof": proof, **detail}, answered=isinstance(answer, Answer))
    # The engine notices a death a little later than the broken connection does.
    if not yard.alive(wait=0.0 if isinstance(answer, (Answer, TimeoutError)) else NOTICE_SECONDS):
        return Shot("crashed", DIED, detail)
    return Shot("failed", said, detail, answered=isinstance(answer, Answer))


def prepared(filled: Filled, lab: Lab) -> Prepared:
    """The request, with the places filled in."""
    payload = filled.payload
    if payload.request is not None:
        raw = json.loads(put(payload.request.model_dump_json(by_alias=True), filled.places))
        return prepare(HttpRequest.model_validate(raw), lab.subject.suite.root)
    script = payload.script or ""
    if payload.shell is not None:
        script = f'BEGIN {{ system("{awk_text(PRELUDE + payload.shell)}") }}'
    document: dict[str, Any] = {"script": put(script, filled.places)}
    if payload.args:
        document["args"] = [put(word, filled.places) for word in payload.args]
    if payload.input is not None:
        document["input"] = put(payload.input, filled.places)
    body = json.dumps(document).encode()
    return Prepared("POST", AWK_PATH, {"Content-Type": "application/json"}, body)


def put(text: str, places: dict[str, str]) -> str:
    return re.sub(r"@([a-z]+)@", lambda match: places[match.group(1)], text)


def awk_text(shell: str) -> str:
    """Shell words as they stand between the quotes of an AWK string."""
    return shell.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def send(yard: Yard, request: Prepared, seconds: float) -> Reply:
    """One request; what kept it from being answered is given back, not raised."""
    try:
        return yard.route.request(
            request.method, request.path, headers=request.headers, body=request.body, timeout=seconds
        )
    except (OSError, http.client.HTTPException) as error:
        return error


@contextlib.contextmanager
def _listener(lab: Lab, payload: Payload) -> Iterator[tuple[Filled, Listener | None]]:
    """The attack with its word, and the listener that waits for it, where it has one."""
    proof = payload.evidence
    if proof.kind != "listener":
        yield fill(lab, payload, BIND_PORT), None
        return
    filled = fill(lab, payload, 0)
    listener = lab.listen(filled.word, proof.does or "collect")
    try:
        yield Filled(payload, filled.word, {**filled.places, "port": str(listener.port)}), listener
    finally:
        listener.close()


def _watch(
    lab: Lab,
    yard: Yard,
    filled: Filled,
    listener: Listener | None,
    sent: Future[Reply],
) -> str | None:
    """Look for the proof until it is there, or the service has answered and a moment has passed."""
    deadline: float | None = None
    while True:
        if _run.cancelled():
            yard.spoil()
            raise Interrupted("interrupted")
        proof = _outside(lab, yard, filled, listener) or (_inside(lab, filled, sent.result()) if sent.done() else None)
        if proof is not None:
            if filled.payload.evidence.kind == "bound":
                yard.spoil()  # its shell would wait until the request's end
            return proof
        if sent.done():
            if listener is None or (deadline is not None and time.monotonic() > deadline):
                return None
            deadline = deadline or time.monotonic() + (GRACE_SECONDS if listener.connected else GRACE_SECONDS / 6)
        time.sleep(PAUSE_SECONDS)


def _outside(lab: Lab, yard: Yard, filled: Filled, listener: Listener | None) -> str | None:
    """Proof that does not come by the service's answer."""
    proof, word = filled.payload.evidence, filled.word
    if listener is not None and listener.found:
        return f"{word.whole} came to the listener" + (" as a shell's answer" if proof.does == "shell" else "")
    if proof.kind == "bound":
        address = yard.address
        if address and call(lab.attacker_pid, address, BIND_PORT, word):
            return f"a shell on port {BIND_PORT} answered {word.whole}"
    if proof.kind == "socket" and lab.host.engine.heard(word):
        return f"{word.whole} came to the engine's stand-in socket"
    if proof.kind == "host-file" and lab.host.holds(filled.places["file"], word):
        return f"{word.whole} lies in the host's folder"
    return None


def _inside(lab: Lab, filled: Filled, answer: Answer | Exception) -> str | None:
    """Proof in the service's answer."""
    if not isinstance(answer, Answer):
        return None
    proof, text = filled.payload.evidence, answer.text()
    if (proof.kind == "output" or proof.does == "serve") and filled.word.whole in text:
        return f"{filled.word.whole} came back"
    if proof.kind == "planted":
        secret = lab.secret if proof.where == "environment" else lab.host_secret
        return f"the planted secret came back (from the {proof.where})" if secret in text else None
    if proof.kind == "image-file" and proof.path is not None:
        line = _telling_line(lab.image_file(proof.path))
        return f"the content of {proof.path} came back" if line is not None and line in text else None
    return None


def _telling_line(content: bytes | None) -> str | None:
    """The first line that is long enough to be nothing else, and that JSON writes as it stands."""
    lines = (content or b"").decode("utf-8", errors="replace").splitlines()
    return next((line for line in lines if len(line) >= 10 and json.dumps(line) == f'"{line}"'), None)


def told(answer: Answer | Exception) -> str:
    """What the service said, in one line of at most 200 characters."""
    if not isinstance(answer, Answer):
        return f"no answer: {answer or type(answer).__name__}"[:200]
    text = answer.text()
    try:
        document = json.loads(text)
    except ValueError:
        document = None
    if isinstance(document, dict) and isinstance(document.get("error"), dict):
        text = f"{answer.status} {document['error'].get('code')}: {document['error'].get('message')}"
    elif isinstance(document, dict) and "exit_code" in document:
        words = str(document.get("stderr") or document.get("stdout") or "no output")
        text = f"exit code {document['exit_code']}: {words}"
    return " ".join(text.split())[:200]
