"""Questions to a container: whether a script, or an order, arrives there and runs, and what its AWK has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from deadweight._errors import DeadweightError, Interrupted
from deadweight.checks.service import with_last_lines
from deadweight.engine.faults import CannotStart
from deadweight.engine.http import Answer
from deadweight_attacks.containers import NOTICE_SECONDS, Yard
from deadweight_attacks.deliver import BIND_PORT, send, told
from deadweight_attacks.lab import BREACH, Lab, NoService
from deadweight_attacks.model import Payload, Proof
from deadweight_attacks.request import fill, ordered
from deadweight_attacks.session import told as walls_told

DELIVERY = 'BEGIN { print "@a@" "@b@" }'
"""Harmless: an attack that is not proven was stopped only where such a script runs."""

DIED_OF_COMPANY = "the service died when the attacker's program was started beside it"

HELLO = ("hello", "@a@", "@b@")

SECONDS = 8.0


@dataclass(frozen=True)
class Told:
    """What an AWK said to a question: yes, no, or neither (None); ``said`` is the service's answer in one line."""

    has: bool | None
    said: str


def ask(lab: Lab, yard: Yard, script: str) -> Told:
    """Send a script that prints the word for yes, and its halves the other way round for no. Raises CannotStart, NoService.

    A container that gave neither may be at fault: a fresh one is asked once more.
    """
    first = _asked(lab, yard, script)
    if first.has is not None:
        return first
    yard.spoil()
    return _asked(lab, yard, script)


def _asked(lab: Lab, yard: Yard, script: str) -> Told:
    payload = Payload(id="probe", title="a probe", attack="T1059", script=script, evidence=Proof(kind="output"))
    filled = fill(lab, payload, BIND_PORT)
    yard.get()
    answer = send(yard, ordered(payload, filled.places, lab.subject.suite.root, lab.awk), SECONDS)
    text = answer.text() if isinstance(answer, Answer) else ""
    yes, no = filled.word.whole in text, filled.word.b + filled.word.a in text
    return Told(yes if yes != no else None, told(answer))


def undelivered(lab: Lab, yard: Yard) -> str:
    """Why scripts cannot be delivered in this posture; empty where they can."""
    answer = ask(lab, yard, DELIVERY)
    return "" if answer.has else f"this awk does not run: {answer.said}"


def unreached(lab: Lab, yard: Yard) -> str:
    """Why nothing can be started beside the service in this posture, with its walls; empty where that can be done."""
    if not lab.ground.helper:
        return lab.notes[BREACH]
    payload = Payload(id="probe", title="a probe", attack="T1059", breach=HELLO, evidence=Proof(kind="output"))
    filled = fill(lab, payload, BIND_PORT)
    container = yard.get()
    try:
        session = yard.session
        answer = send(yard, ordered(payload, filled.places, lab.subject.suite.root, None), SECONDS)
        differences = session.difference()
    except (Interrupted, CannotStart, NoService):
        raise
    except (DeadweightError, OSError) as error:
        if not yard.alive(NOTICE_SECONDS):
            died = with_last_lines(DIED_OF_COMPANY, container)
            yard.spoil()
            return died
        return f"the attacker's program cannot be started beside the service: {error}"
    if not isinstance(answer, Answer) or filled.word.whole not in answer.text():
        return f"the attacker's program does not run beside the service: {told(answer)}"
    return walls_told(differences)


def features(lab: Lab, yard: Yard, scripts: Mapping[str, str]) -> dict[str, Told]:
    """What this AWK has, asked of itself."""
    return {name: ask(lab, yard, script) for name, script in scripts.items()}


def dialect(yard: Yard) -> str:
    """What the service says of its awk, where it does; only told, never relied on."""
    try:
        document = yard.route.request("GET", "/version", timeout=5).json()
        return str(document["awk"]["dialect"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""
