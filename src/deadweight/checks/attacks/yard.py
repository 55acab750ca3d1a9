"""The containers of one posture: one at a time, used again while attacks leave no trace, made anew where one did."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deadweight.checks.attacks.lab import Lab, NoService
from deadweight.checks.attacks.walls import Posture
from deadweight.checks.service import with_last_lines

if TYPE_CHECKING:
    from deadweight.engine.container import Container
    from deadweight.engine.http import Route


class Yard:
    """``get`` gives a healthy container; ``spoil`` throws it away. ``started`` counts them."""

    def __init__(self, lab: Lab, posture: Posture) -> None:
        self.lab, self.posture = lab, posture
        self.options = lab.options(posture)
        self.started = 0
        self._container: Container | None = None
        self._route: Route | None = None

    def __enter__(self) -> Yard:
        return self

    def __exit__(self, *_: object) -> None:
        self.spoil()

    def get(self) -> Container:
        """Raises CannotStart for a posture that this machine does not allow, NoService where the service is not healthy."""
        if self._container is None:
            variant = self.lab.variant
            container = self.lab.start(self.options)
            self.started += 1
            readiness = container.wait_healthy(variant.health, variant.port)
            if not readiness.healthy:
                message = with_last_lines(readiness.reason, container)
                container.remove()
                raise NoService(f"{self.posture.name}: {message}")
            self._container = container
        return self._container

    def alive(self, wait: float = 0.0) -> bool:
        """Whether the container that took the last attack still runs, after ``wait`` seconds; one thrown away is no loss."""
        return self._container is None or self._container.wait_ended(wait).running

    @property
    def route(self) -> Route:
        """The way to the service; found once for each container."""
        if self._route is None:
            self._route = self.get().http(self.lab.variant.port)
        return self._route

    @property
    def address(self) -> str:
        """The container's address on the attack network; empty where it is on none."""
        networks = self.get().inspect()["NetworkSettings"]["Networks"]
        return str((networks.get(self.lab.network) or {}).get("IPAddress") or "")

    def spoil(self) -> None:
        """Throw the container away; the next attack gets a new one."""
        container, self._container, self._route = self._container, None, None
        if container is not None:
            container.remove()
