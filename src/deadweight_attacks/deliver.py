"""Send one attack and look for proof that it worked; a status code is no proof."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from deadweight import _run
from deadweight._errors import Interrupted
from deadweight.engine.http import Answer
from deadweight_attacks.containers import DIED, NOTICE_SECONDS, Yard
from deadweight_attacks.lab import Lab
from deadweight_attacks.listeners import Listener
from deadweight_attacks.load import Catalogue
from deadweight_attacks.model import Payload
from deadweight_attacks.request import Filled, examples, fill, holds, ordered, put
from deadweight_attacks.routes import Aim
from deadweight_attacks.session import SENT, UNTRIED, Order, Session, Try
from deadweight_attacks.walls import wording
from deadweight_workload.model import Prepared

BIND_PORT = 31337
PAUSE_SECONDS = 0.02
TOLD_OF_EACH = 100
"""Characters of what came of one technique that failed."""
TOLD = 8
"""So many answers of an attack that is sent often are told."""
UNREAD_SECONDS = 5.0
UNREACHABLE_SECONDS = 0.5
GRACE_SECONDS = 0.3
"""What a listener may still read after the service has answered, where something connected to it."""

NOT_LET_IN = (401, 403, 407)
"""Who asks is not known, or may not (RFC 9110, sections 15.5.2, 15.5.4 and 15.5.8)."""
OF_OTHERS = (502, 503, 504)
"""A service that cannot fetch what a value names, or what a route of its own needs, says so too: it has looked, where it answers
others otherwise."""
NOBODY_LET_IN = "the service answered 401 or 403 to all that was asked, so nothing was looked into"
NO_PLACE = (
    "no request under checks.api goes to the service's own port, and no document named by checks.attacks.openapi has a value (a "
    "parameter, or a text of a body) that an attack could replace"
)
UNEXPECTED = "none of the requests with a value added was answered as the suite expects of it without"

Reply = Answer | OSError | http.client.HTTPException
Seen = Literal["succeeded", "failed", "crashed", "not_measured"]


@dataclass(frozen=True)
class Shot:
    """What came of one attack in one posture. ``detail`` is the evidence, ``text`` what the service answered, in one line.

    ``status`` is that of its answer, 0 where there was none: it proves nothing, but tells whether the attack arrived. Of an attack
    that is sent to many places it is the worst, and ``there`` that of the place where it has worked before. ``called``: it
    connected to the attacker, so that it did.
    """

    seen: Seen
    text: str
    detail: dict[str, Any] = field(default_factory=dict)
    status: int = 0
    called: bool = False
    there: int | None = None

    def ended(self, complaint: str) -> Shot:
        """The same, where the service was found dead or dumb right after it. What was proven stays proven."""
        if self.seen == "succeeded":
            return replace(self, detail={**self.detail, "afterwards": complaint})
        return Shot("crashed", complaint, self.detail)


def fire(lab: Lab, yard: Yard, payload: Payload) -> Shot:
    """Send an attack and wait until it is proven or over: once, or once for each of its ``each``. Raises CannotStart, NoService."""
    places = lab.aims if payload.probe is not None else ()
    if payload.probe is not None and not places:
        return Shot("not_measured", _no_place(lab))
    if not payload.each and not places:
        return _deliver(lab, yard, payload, "")
    lines, statuses, first = list[str](), list[int](), None
    arrived = not places or not all(aim.expects for aim in places)
    known = lab.worked.get(payload.id)  # that first, where it has worked before
    for value, aim in sorted(_tries(lab, payload, places), key=lambda pair: pair != known):
        shot = _deliver(lab, yard, payload, value, aim)
        if shot.seen == "succeeded":
            lab.worked.setdefault(payload.id, (value, aim))
        if shot.seen != "failed":
            where = ": ".join(part for part in (str(aim or ""), value) if part)
            return replace(shot, detail={**shot.detail, "at": where}) if payload.breach is None else shot
        first = first or shot
        where = ", ".join(part for part in (str(aim or ""), value.replace("@app@", lab.app_folder)) if part)
        lines.append(f"{where}: {shot.text}")
        statuses.append(shot.status)
        arrived = arrived or (aim is not None and shot.status == aim.expects)
        if not shot.status:
            break  # it may still be at work; to be asked again, the service must be a fresh one
    text = "; ".join([*lines[:TOLD], *([f"and {len(lines) - TOLD} more"] if len(lines) > TOLD else [])])
    looked = [status for status in statuses if not ((places or payload.named) and status in OF_OTHERS)]
    shot = replace(
        shot, text=text, detail={**shot.detail, "said": text}, status=max(looked or statuses) if all(statuses) else 0
    )
    if shot.status and not arrived:
        return replace(shot, seen="not_measured", text=f"{UNEXPECTED}: {text}")
    if payload.search and not places and set(statuses) <= set(NOT_LET_IN):
        return replace(shot, seen="not_measured", text=f"{NOBODY_LET_IN}: {text}")
    return replace(shot, there=first.status) if known is not None and first is not None else shot


def _no_place(lab: Lab) -> str:
    """Why there is none to put an attack into."""
    notes = (lab.notes.get(key) for key in ("closed", "openapi", "nowhere"))
    return next(filter(None, notes), NO_PLACE)


def _tries(lab: Lab, payload: Payload, places: Sequence[Aim]) -> Iterator[tuple[str, Aim | None]]:
    """Each value of an attack in each place."""
    yield from itertools.product(payload.each or ("",), places or (None,))
    if payload.named:
        yield from (("", aim) for aim in lab.routes)


def _deliver(lab: Lab, yard: Yard, payload: Payload, value: str, aim: Aim | None = None) -> Shot:
    if _run.cancelled():
        raise Interrupted(wording("attacker.interrupted"))
    yard.get()
    path = payload.evidence.path
    if path is not None and lab.files.telling_line(path) is None:
        return Shot("not_measured", wording("cell.no_file", path=path))
    with _listener(lab, payload) as made:
        filled, listener = made
        filled = replace(filled, places={**filled.places, "each": put(value, filled.places)})
        request = ordered(payload, filled.places, lab.subject.suite.root, lab.awk, aim)
        session = _session_of(yard, request)
        started = time.monotonic()
        with ThreadPoolExecutor(1) as pool:
            sent = pool.submit(send, yard, request, _patience(yard, payload))
            proof = _watch(lab, yard, filled, listener, sent)
        answer = sent.result()
    text = answer_line(answer)
    detail: dict[str, Any] = {"said": text, "seconds": round(time.monotonic() - started, 3)}
    tries = session.tries if session is not None and payload.techniques else []
    if proof is not None:
        worked = {"technique": _worked(payload, tries, filled, lab)} if payload.techniques else {}
        return Shot("succeeded", text, {"proof": proof, **worked, **detail}, status=status_of(answer))
    if tries:
        detail["tried"] = {trial.technique: " ".join(trial.output.split())[:TOLD_OF_EACH] for trial in tries}
        detail |= {"untried": untried} if (untried := [one.technique for one in tries if one.code == UNTRIED]) else {}
    # The engine notices a death a little later than the broken connection does.
    if not yard.alive(wait=0.0 if isinstance(answer, (Answer, TimeoutError)) else NOTICE_SECONDS):
        return Shot("crashed", DIED, detail)
    if payload.evidence.kind in ("listener", "bound"):
        lab.attacker.check()
    return Shot("failed", text, detail, status_of(answer), called=listener is not None and listener.connected)


def _session_of(yard: Yard, request: Prepared | Order) -> Session | None:
    """The attacker's program that takes an order; None where that cannot be started, which the order is told then."""
    if not isinstance(request, Order):
        return None
    try:
        return yard.session
    except OSError:
        return None


def _worked(payload: Payload, tries: Sequence[Try], filled: Filled, lab: Lab) -> str:
    """The technique that proved the attack: whose own output does; else, as only the other side knows, the one that says so, or was
    the last to have sent something; else the one that was at work when the proof came."""
    for trial in tries:
        if _holds(lab, filled, trial.output) is not None:
            return trial.technique
    likely = [trial for trial in tries if trial.code == 0] or [trial for trial in tries if trial.code == SENT][-1:]
    return likely[0].technique if likely else payload.techniques[min(len(tries), len(payload.techniques) - 1)]


def _patience(yard: Yard, payload: Payload) -> float:
    """Seconds for an answer: few where nobody could call what it opens, as its container is on no network."""
    unreachable = payload.evidence.kind == "bound" and not yard.address
    return min(payload.seconds, UNREACHABLE_SECONDS) if unreachable else payload.seconds


def send(yard: Yard, request: Prepared | Order, seconds: float) -> Reply:
    """One request, or order; what kept it from being answered is given back, not raised."""
    try:
        if isinstance(request, Order):
            return yard.session.obey(request, seconds)
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


def _watch(lab: Lab, yard: Yard, filled: Filled, listener: Listener | None, sent: Future[Reply]) -> str | None:
    """Look for the proof until it is there, or the service has answered and a moment has passed."""
    deadline: float | None = None
    while True:
        if _run.cancelled():
            yard.spoil()
            raise Interrupted(wording("attacker.interrupted"))
        answered = sent.done()  # once: what comes after this look is looked at in the next
        proof = _outside(lab, yard, filled, listener) or (_inside(lab, filled, sent.result()) if answered else None)
        if proof is not None:
            if filled.payload.evidence.kind == "bound":  # its shell would wait until the request's end
                if filled.payload.breach is not None:
                    yard.hang_up()
                else:
                    yard.spoil()
            return proof
        if answered:
            if listener is None or (deadline is not None and _late(deadline, listener)):
                return None
            deadline = deadline or time.monotonic() + (GRACE_SECONDS if listener.connected else GRACE_SECONDS / 6)
            time.sleep(PAUSE_SECONDS)
        else:
            wait([sent], PAUSE_SECONDS)


def _late(deadline: float, listener: Listener) -> bool:
    """Whether nothing more is to come. What has come and is not read yet waits for this machine alone."""
    now = time.monotonic()
    return now > deadline and (not listener.pending or now > deadline + UNREAD_SECONDS)


def _outside(lab: Lab, yard: Yard, filled: Filled, listener: Listener | None) -> str | None:
    """Proof that does not come by the service's answer."""
    proof, word = filled.payload.evidence, filled.word
    if listener is not None and proof.does == "called" and listener.connected:
        return "it called the attacker's listener"
    if listener is not None and listener.word_received:
        return f"{word.whole} came to the listener" + (" as a shell's answer" if proof.does == "shell" else "")
    if proof.kind == "bound":
        address = yard.address
        if address and lab.attacker.calls(address, BIND_PORT, word):
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
    return _holds(lab, filled, "\n".join([*answer.headers.values(), answer.text()]))


def _holds(lab: Lab, filled: Filled, text: str) -> str | None:
    """Proof in what came back."""
    proof = filled.payload.evidence
    if (proof.kind == "output" or proof.does == "serve") and filled.word.whole in text:
        return f"{filled.word.whole} came back"
    if proof.kind == "planted":
        return f"the planted secret came back (from the {proof.where})" if lab.planted.at(proof.where) in text else None
    if proof.kind == "image-file" and proof.path is not None:
        line = lab.files.telling_line(proof.path)
        return f"the content of {proof.path} came back" if line is not None and line in text else None
    return None


def check_requests(lab: Lab, catalogue: Catalogue) -> None:
    """Refuse what holds the content that is to come back: a service that repeats it would look beaten. Raises ConfigError.

    The word is refused when the file is read; what the image's file says is known only here.
    """
    for payload in catalogue.payloads:
        path = payload.evidence.path
        line = lab.files.telling_line(path) if path is not None else None
        proofs = [lab.planted.environment, lab.planted.host, lab.planted.metadata, *([line] if line else [])]
        if any(holds(request, proofs) for request in examples(payload, lab.subject.suite.root)):
            raise catalogue.error(payload, wording("payload.contains_proof", place=path or "the service"))


def status_of(answer: Answer | Exception) -> int:
    return answer.status if isinstance(answer, Answer) else 0


def answer_line(answer: Answer | Exception) -> str:
    """What the service said, in one line of at most 200 characters."""
    if not isinstance(answer, Answer):
        return f"no answer: {answer or type(answer).__name__}"[:200]
    text = answer.text()
    try:
        document = answer.json()
    except ValueError:
        document = None
    if isinstance(document, dict) and isinstance(document.get("error"), dict):
        text = f"{answer.status} {document['error'].get('code')}: {document['error'].get('message')}"
    elif isinstance(document, dict) and "exit_code" in document:
        words = str(document.get("stderr") or document.get("stdout") or "no output")
        text = f"exit code {document['exit_code']}: {words}"
    return " ".join(text.split())[:200]
