"""Manage the container that attacks run in: reuse it, and replace it after an attack that left traces."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from deadweight._errors import DeadweightError, Interrupted, MissingError
from deadweight.checks.service import with_last_lines
from deadweight.engine.faults import CannotStart
from deadweight.engine.health import NO_ANSWER, unanswered
from deadweight_attacks.guard import CONTAINER_SECONDS
from deadweight_attacks.lab import Lab, NoService
from deadweight_attacks.session import Session
from deadweight_attacks.walls import LANDLOCK, OPEN, Posture, wording

if TYPE_CHECKING:
    from deadweight.engine.container import Container
    from deadweight.engine.health import Question
    from deadweight.engine.http import Route
    from deadweight.suite.model import Health


ANSWER_SECONDS = 5.0
NOTICE_SECONDS = 1.5
"""The engine notices that a service died a little later than its clients do."""
EARLIER_SECONDS = 5.0
"""The guard counts from before a container is made, its owner from after its start."""
DIED = "the service died"


def answer_seconds(health: Health) -> float:
    """How long the service may take to say that it is healthy: the suite's own limit where it has one."""
    return health.within_seconds if "within_seconds" in health.model_fields_set else ANSWER_SECONDS


class Yard:
    """``get`` gives a healthy container; ``spoil`` throws it away. ``started`` counts them.

    ``lost``: one that was kept had died by itself when it was wanted again. Who reads it puts it back to False.
    """

    def __init__(self, lab: Lab, posture: Posture) -> None:
        self.lab, self.posture = lab, posture
        self.options = lab.options(posture)
        self.started = 0
        self.lost = False
        self._container: Container | None = None
        self._route: Route | None = None
        self._asks: Question | None = None
        self._session: Session | None = None
        self._at = ""

    def __enter__(self) -> Yard:
        return self

    def __exit__(self, *_: object) -> None:
        self.spoil()

    def get(self) -> Container:
        """Raises CannotStart for a posture that this machine does not allow, NoService where the service is not healthy.

        One that is old is thrown away before its time is over, so that the guard only meets those that something holds on to.
        """
        if self._container is not None and time.monotonic() - self._container.started > CONTAINER_SECONDS / 2:
            self.spoil()
        if not self.alive():
            self.lost = True
            self.spoil()
        if self._container is None:
            variant = self.lab.variant
            container = self._started()
            try:
                readiness = container.wait_healthy(variant.health, variant.port)
            except MissingError:
                self._by_guard(container)
                raise
            if not readiness.healthy:
                message = with_last_lines(readiness.reason, container)
                container.remove()
                self.lab.starts.raise_if_ended()
                raise NoService(wording("service.not_up", posture=self.posture.title, reason=message))
            networks = container.settled()["NetworkSettings"]["Networks"]
            self._at = str((networks.get(self.lab.network) or {}).get("IPAddress") or "")
            self._lead(container)
            self._container = container
        return self._container

    def _started(self) -> Container:
        """Raises DeadweightError where the neighbour has ended whose processes it is to share."""
        try:
            container = self.lab.starts.guarded(self.options)
        except CannotStart:
            self.lab.attacker.check()
            raise
        self.started += 1
        if self.lab.metadata is not None and self.options.network == self.lab.network:
            self.lab.metadata.accompany(container)
        return container

    def _lead(self, container: Container) -> None:
        """Show it the way to the stand-in for the cloud's metadata, as a cloud does, where it is on the attack network."""
        if self.lab.metadata is None or not self._at:
            return
        try:
            self.lab.metadata.lead(container, self._at)
        except Interrupted:
            raise
        except (OSError, DeadweightError) as error:
            if (
                self.started > 1 or self.posture is not OPEN
            ):  # elsewhere an attack would look as if a wall had stopped it
                container.remove()
                raise NoService(wording("service.no_metadata", posture=self.posture.title, error=str(error))) from error
            self.lab.drop_metadata(str(error))

    def alive(self, wait: float = 0.0) -> bool:
        """Whether the container that took the last attack still runs, after ``wait`` seconds; one thrown away is no loss."""
        if self._container is None:
            return True
        if (running := self._container.kernel_says_running(wait)) is not None:
            if running:
                return True
            wait = max(wait, NOTICE_SECONDS)
        try:
            running = self._container.wait_ended(wait).running
        except MissingError:
            self._by_guard(self._container)
            raise
        if not running:
            self._by_guard(self._container)
        return running

    def _by_guard(self, container: Container) -> None:
        """Raise where it was the guard that ended it: that is no outcome of an attack."""
        self.lab.starts.raise_if_ended()
        if time.monotonic() - container.started > CONTAINER_SECONDS - EARLIER_SECONDS:
            raise DeadweightError(wording("service.over_time", seconds=CONTAINER_SECONDS))

    @property
    def is_reused(self) -> bool:
        """Whether the next attack gets a container that has taken one already."""
        return self._container is not None

    def complaint(self) -> str:
        """What became of the service: empty where it answers as it should, or where its container was thrown away."""
        if self._container is None:
            return ""
        variant = self.lab.variant
        limit = answer_seconds(variant.health)
        try:
            self._asks = self._asks or self._container.question(variant.health, variant.port)
            return self._asks(limit)
        except NO_ANSWER as error:
            if not self.alive(NOTICE_SECONDS):
                return DIED
            return f"the service did not answer within {limit:g} s: {unanswered(variant.health, error)}"

    @property
    def route(self) -> Route:
        """The way to the service; found once for each container."""
        if self._route is None:
            self._route = self.get().http(self.lab.variant.port)
        return self._route

    @property
    def session(self) -> Session:
        """The attacker's program beside the service; started once for each container. Raises DeadweightError, OSError."""
        if self._session is None:
            landlocked = self.lab.ground.landlocked if LANDLOCK in self.posture.walls else ()
            self._session = Session(self.get(), landlocked)
        return self._session

    @property
    def address(self) -> str:
        """The container's address on the attack network; empty where it is on none."""
        self.get()
        return self._at

    @property
    def attacker_pids(self) -> tuple[int, ...]:
        """The attacker's program as a process of this machine, where it runs."""
        return () if self._session is None else (self._session.pid,)

    def hang_up(self) -> None:
        """End the attacker's program, and all that it started; the service stays."""
        session, self._session = self._session, None
        if session is not None:
            session.close()

    def spoil(self) -> None:
        """Throw the container away; the next attack gets a new one."""
        container, self._container, self._route, self._asks = self._container, None, None, None
        self.hang_up()
        if container is not None:
            container.remove()
