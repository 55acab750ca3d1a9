"""Run every attack with all protections off (positive control) to see which can work at all."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from deadweight._errors import DeadweightError, Interrupted
from deadweight.checks.service import with_last_lines
from deadweight.engine.faults import CannotStart
from deadweight.engine.http import Answer
from deadweight_attacks import walls as w
from deadweight_attacks.containers import NOTICE_SECONDS, Yard
from deadweight_attacks.deliver import BIND_PORT, Shot, answer_line, send
from deadweight_attacks.lab import BREACH, Lab, NoService
from deadweight_attacks.load import Catalogue
from deadweight_attacks.model import Payload, Proof
from deadweight_attacks.outcomes import Cell, Matrix, Plan
from deadweight_attacks.request import fill, ordered, unsendable
from deadweight_attacks.routes import GUESSED_HEADERS, GUESSED_PARAMETERS
from deadweight_attacks.sequence import fire_all
from deadweight_attacks.session import describe_differences as walls_told
from deadweight_attacks.targets import take_aim
from deadweight_attacks.walls import wording

# Questions to a container: whether a script, or an order, arrives there and runs, and what its AWK has.
DELIVERY = 'BEGIN { print "@a@" "@b@" }'
"""Harmless: an attack that is not proven was stopped only where such a script runs."""

HELLO = ("hello", "@a@", "@b@")

SECONDS = 8.0


@dataclass(frozen=True)
class AwkAnswer:
    """What an AWK said to a question: yes, no, or neither (None); ``line`` is the service's answer in one line."""

    has: bool | None
    line: str


def ask(lab: Lab, yard: Yard, script: str) -> AwkAnswer:
    """Send a script that prints the word for yes, and its halves the other way round for no. Raises CannotStart, NoService.

    A container that gave neither may be at fault: a fresh one is asked once more.
    """
    first = _ask_once(lab, yard, script)
    if first.has is not None:
        return first
    yard.spoil()
    return _ask_once(lab, yard, script)


def _ask_once(lab: Lab, yard: Yard, script: str) -> AwkAnswer:
    payload = Payload(id="probe", title="a probe", attack="T1059", script=script, evidence=Proof(kind="output"))
    filled = fill(lab, payload, BIND_PORT)
    yard.get()
    answer = send(yard, ordered(payload, filled.places, lab.subject.suite.root, lab.awk), SECONDS)
    text = answer.text() if isinstance(answer, Answer) else ""
    yes, no = filled.word.whole in text, filled.word.b + filled.word.a in text
    return AwkAnswer(yes if yes != no else None, answer_line(answer))


def undelivered(lab: Lab, yard: Yard) -> str:
    """Why scripts cannot be delivered in this posture; empty where they can."""
    answer = ask(lab, yard, DELIVERY)
    return "" if answer.has else wording("cell.no_awk", said=answer.line)


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
            died = with_last_lines(wording("cell.died"), container)
            yard.spoil()
            return died
        return wording("cell.no_program", error=str(error))
    if not isinstance(answer, Answer) or filled.word.whole not in answer.text():
        return wording("cell.silent_program", said=answer_line(answer))
    return walls_told(differences)


def awk_features(lab: Lab, yard: Yard, scripts: Mapping[str, str]) -> dict[str, AwkAnswer]:
    """What this AWK has, asked of itself."""
    return {name: ask(lab, yard, script) for name, script in scripts.items()}


def awk_dialect(yard: Yard) -> str:
    """What the service says of its awk, where it does; only told, never relied on."""
    try:
        document = yard.route.request("GET", "/version", timeout=5).json()
        return str(document["awk"]["dialect"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


TIMED_OUT = (0, 408, 504)
"""No answer, or one that says that the time was over."""
UNTRIED = (429, 502, 503)
"""Answers of a service that did not look at what it was sent."""
REFUSED = (404, 405, 429, 502, 503)
"""Not here, not now, not so often: what a service says where it did not even try (RFC 9110, RFC 6585)."""


UNTOUCHED = (404, 405, 429)
"""The same of a value in a request of the suite's: that a service cannot fetch what it was to fetch, it tells by 502 or 503."""


GUESSED = (
    "neither a request under checks.api nor a document named by checks.attacks.openapi has a value that an attack could replace: "
    "the pack http tried the last parts of the requests' paths, the parameters "
    f"{', '.join(GUESSED_PARAMETERS)}, and the headers {', '.join(GUESSED_HEADERS)}"
)


@contextlib.contextmanager
def opened(lab: Lab, posture: w.Posture, matrix: Matrix) -> Iterator[Yard]:
    """A yard whose containers are counted."""
    with Yard(lab, posture) as yard:
        try:
            yield yard
        finally:
            matrix.containers += yard.started


class Control:
    """Fires everything in ``open``. ``statuses`` are those of the answers where an attack works, 0 where there was none.

    ``fatal`` are attacks that only end the service there.
    """

    def __init__(self, lab: Lab, catalogue: Catalogue, matrix: Matrix, progress: Callable[[w.Posture], None]) -> None:
        self.lab, self.catalogue, self.matrix, self.progress = lab, catalogue, matrix, progress
        self.statuses: dict[str, int] = {}
        self.fatal: set[str] = set()
        self.unreached = ""
        self.guessed = False

    def run(self, plan: Plan) -> None:
        """Fill in ``matrix`` what came of ``open``, and where each attack works. Raises CannotStart, NoService, Interrupted."""
        shots: dict[str, Shot] = {}
        with opened(self.lab, w.OPEN, self.matrix) as yard:
            self.progress(w.OPEN)
            self._settle(yard)
            ways = {payload.way for payload in self.catalogue.payloads}
            features: dict[str, AwkAnswer] = {}
            if "script" in ways:
                self.matrix.dialect = awk_dialect(yard)
                features = awk_features(self.lab, yard, self.catalogue.features)
            if any(payload.way in ("probe", "flood") or payload.named for payload in self.catalogue.payloads):
                take_aim(self.lab, yard)
                self.guessed = bool(self.lab.aims) and all(aim.expects for aim in self.lab.aims)
                self.lab.notes |= {"places": GUESSED} if self.guessed else {}
            self.unreached = unreached(self.lab, yard) if "breach" in ways else ""
            unsent = {payload.id: self._unsent(payload, features, plan) for payload in self.catalogue.payloads}
            fired = [payload for payload in self.catalogue.payloads if unsent[payload.id] is None]
            fire_all(self.lab, yard, fired, shots)
        payloads = self.catalogue.payloads
        cells = {payload.id: unsent[payload.id] or self._in_open(payload, shots[payload.id]) for payload in payloads}
        self.matrix.cells[w.OPEN.name] = cells
        again = [payload for payload in fired if payload.id not in self.matrix.control.keys() | self.fatal]
        again = [payload for payload in again if not (payload.search and payload.evidence.kind == "resource")]
        needless = [payload for payload in again if payload.evidence.kind == "resource" and payload.shell is None]
        second = self._fired(w.OPEN, needless)  # no shell is in their way, but a busy machine may be
        cells |= {payload.id: self._in_open(payload, second[payload.id]) for payload in needless}
        if self.lab.ground.shell:
            self._retry_with_shell([payload for payload in again if payload not in needless], shots)

    def _settle(self, yard: Yard) -> None:
        """Have the service come up, with processes of its own alone where it wants that: some only run as the first."""
        try:
            yard.get()
        except NoService as error:
            if not self.lab.ground.neighbour:
                raise
            self.lab.unshare(error.message)
            yard.options = self.lab.options(w.OPEN)
            yard.get()

    def _unsent(self, payload: Payload, features: Mapping[str, AwkAnswer], plan: Plan) -> Cell | None:
        """What is said of an attack that is not sent (its AWK lacks what it needs, or does not say so); None where it is sent."""
        if payload.way == "breach" and self.unreached:
            return Cell("not_measured", self.unreached)
        if missing := unsendable(payload, self.lab.awk):
            return Cell("not_measured", missing)
        if self.lab.takes_nothing and (payload.probe is not None or payload.flood == "large"):
            return Cell("not_applicable", wording("cell.nothing_taken"))
        awk = f"this awk ({self.matrix.dialect})" if self.matrix.dialect else "this awk"
        lacking = [name for name in payload.needs if features[name].has is False]
        if lacking:
            return Cell("not_applicable", wording("cell.awk_lacks", awk=awk, features=", ".join(lacking)))
        for name in payload.needs:
            if features[name].has is None:
                silent = wording("cell.awk_silent", awk=awk, feature=name, said=features[name].line)
                return Cell("not_measured", silent)
        return Cell("not_measured", wording("cell.not_tried")) if payload.id in plan.skipped else None

    def _in_open(self, payload: Payload, shot: Shot) -> Cell:
        if _works(payload, shot):
            self._keep(payload, w.OPEN, shot)
        elif shot.seen == "crashed":
            self.fatal.add(payload.id)
        if shot.seen in ("succeeded", "crashed"):
            return Cell(shot.seen, "" if shot.seen == "succeeded" else shot.text, shot.detail)
        return _unproven(payload, shot, guessed=self.guessed)

    def _keep(self, payload: Payload, posture: w.Posture, shot: Shot) -> None:
        self.matrix.control[payload.id], self.statuses[payload.id] = posture, shot.status

    def _retry_with_shell(self, again: Sequence[Payload], first: Mapping[str, Shot]) -> None:
        """What failed: does it work with a shell bound in? Then the image is the wall, if it fails once more without.

        What called the attacker's listener has shown that it ran, and only waits again, up to the service's own limit.
        """
        posture, shelled = w.OPEN.with_shell(), self._fired(w.OPEN.with_shell(), again)
        working = [payload for payload in again if _works(payload, shelled[payload.id])]
        plain = {**first, **self._fired(w.OPEN, [payload for payload in working if not first[payload.id].called])}
        cells = self.matrix.cells[w.OPEN.name]
        for payload in again:
            shot, cell = shelled[payload.id], cells[payload.id]
            if payload not in working:
                cells[payload.id] = _unproven(payload, shot, guessed=self.guessed, shelled=True)
            elif plain[payload.id].seen != "failed":
                cells[payload.id] = self._in_open(payload, plain[payload.id])
            else:
                self._keep(payload, posture, shot)
                evidence = {**cell.evidence, "control": shot.detail}
                reason = wording("cell.no_shell", said=evidence.get("said", ""))
                cells[payload.id] = Cell("blocked", reason, evidence)

    def _fired(self, posture: w.Posture, payloads: Sequence[Payload]) -> dict[str, Shot]:
        """Once more, in a container of their own."""
        shots: dict[str, Shot] = {}
        if payloads:
            with opened(self.lab, posture, self.matrix) as yard:
                self.progress(posture)
                fire_all(self.lab, yard, payloads, shots)
        return shots

    def astray(self, payload: Payload, shot: Shot) -> bool:
        """Whether nothing shows that an attack that failed elsewhere arrived there: no answer, or a refusal, that the control did
        not get. What is made to wait (for an attacker, or for the end of a resource) arrives and is not answered."""
        if shot.seen != "failed" or shot.called or payload.id not in self.statuses:
            return False
        control, kind = self.statuses[payload.id], payload.evidence.kind
        status = shot.status if shot.there is None else shot.there
        if status in TIMED_OUT:
            waits = kind == "resource" or (kind == "bound" and payload.request is None)
            return not waits and control not in TIMED_OUT
        # A script's own failure is no error of the service that runs it; of other requests only the service knows.
        refused = {"request": status in REFUSED, "probe": status in UNTOUCHED, "flood": False}
        return refused.get(payload.way, status >= 400) and status != control


def _unproven(payload: Payload, shot: Shot, *, guessed: bool, shelled: bool = False) -> Cell:
    """A hole that a service need not have is none where all that looks for it is answered. ``guessed``: the places were."""
    if payload.search and shot.seen == "failed" and shot.status not in (*TIMED_OUT, *UNTRIED):
        unknown = guessed and payload.probe is not None
        why = wording("cell.resisted_guesses" if unknown else "cell.resisted", said=shot.text)
        return Cell("not_applicable", why, shot.detail)
    reason = wording("cell.fails_with_shell" if shelled else "cell.fails_in_open", said=shot.text)
    return Cell("not_measured", shot.text if shot.seen == "not_measured" else reason, shot.detail)


def _works(payload: Payload, shot: Shot) -> bool:
    """Whether this is a positive control. To end the service is that for attacks on resources only."""
    return shot.seen == "succeeded" or (shot.seen == "crashed" and payload.evidence.kind == "resource")
