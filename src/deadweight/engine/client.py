"""Wrap the Docker SDK in one engine object, for Docker 20.10 and later and Podman's compatible socket.

Everything it makes is labelled with its project and the process that made it, and is removed when the ``with`` block ends.
If this process is killed, the project's next process that starts a container removes it.
"""

from __future__ import annotations

import contextlib
import functools
import sys
import threading
import time
import uuid
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from deadweight import _run, _sudo
from deadweight._errors import DeadweightError, Interrupted, MissingError, wording
from deadweight.engine import container_options, http, labels
from deadweight.engine.connect import connected, look
from deadweight.engine.container import Container
from deadweight.engine.container_options import Handed, Owners
from deadweight.engine.dialect import Docker, dialect_of, socket_peer
from deadweight.engine.faults import PortInUse, explained, refused_start, translated
from deadweight.engine.images import Images
from deadweight.engine.info import Documents, EngineInfo, asked, parse_info
from deadweight.engine.labels import Leftover
from deadweight.engine.options import RunOptions
from deadweight.engine.recorders import Recorders
from deadweight.engine.tunnel_client import Tunnels, route_to
from deadweight.records import runs
from deadweight.records.paths import State

if TYPE_CHECKING:
    from docker.api.client import APIClient

    from deadweight.engine.api import Endpoint

START_ATTEMPTS = 5
_connected: weakref.WeakSet[Engine] = weakref.WeakSet()


def end_all() -> None:
    """Remove every container that this process made, in whatever engine: for Ctrl-C, while their owners are on their way out."""
    for engine in list(_connected):
        engine.end_all()


class Engine:
    """A container engine. ``project`` and its folder ``root`` stand in labels. Use it as a context manager, or call ``close``."""

    def __init__(
        self, api: APIClient, host: str, project: str, root: str = "", certificates: str | None = None
    ) -> None:
        self.api, self.host, self.project, self.root, self.certificates = api, host, project, root, certificates
        self.images = Images(api, lambda: self.dialect)
        self._mine: dict[str, Container] = {}
        self._networks: dict[str, tuple[bool, bool]] = {}  # whether nothing leads out, and whether it is cut off
        self._asked_for: set[str] = set()
        self._owners = Owners(self)
        self.tunnels = Tunnels(self)
        self.recorders = Recorders(self)
        self._profiles = Handed()
        self._guard = threading.Lock()
        self._swept = False
        self._note: Path | None = None
        _connected.add(self)

    @classmethod
    def connect(cls, endpoint: Endpoint | str, project: str = "-", root: str = "") -> Engine:
        """Connect and ask for the version. Raises MissingError where nothing answers."""
        host, certificates = (endpoint, None) if isinstance(endpoint, str) else (endpoint.host, endpoint.certificates)
        return cls(connected(host, certificates), host, project, root, certificates)

    def __enter__(self) -> Engine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Remove every container and network that this object made, then let go of the engine."""
        self.end_all()
        self.tunnels.close()
        self.recorders.close()
        self._profiles.close()
        labels.remove_when_there(self.api, self._asked_for)
        for network in list(self._networks):
            with contextlib.suppress(DeadweightError):
                self.remove_network(network)
        if self._note is not None and not self._networks:
            runs.end(self._note)
        self.api.close()

    def end_all(self) -> None:
        """Remove every container that this object made, at once; who waits for one of them waits no longer."""
        if mine := list(self._mine.values()):
            look(self.api)
            with ThreadPoolExecutor(len(mine)) as pool:
                list(pool.map(Container.remove, mine))

    @functools.cached_property
    def documents(self) -> Documents:
        """What it tells of itself; asked once."""
        return asked(self.api, self.host)

    @functools.cached_property
    def info(self) -> EngineInfo:
        """What engine this is."""
        return parse_info(*self.documents)

    def ask(self) -> None:
        """Raises MissingError where the engine does not answer."""
        with translated("ask the engine"):
            self.api.ping()

    @functools.cached_property
    def dialect(self) -> Docker:
        """Its words for what Docker's API and Podman's take differently."""
        return dialect_of(self.info, self.host, self.certificates)

    @property
    def user(self) -> int | None:
        """The number of the user that it runs as; None where it is not on this machine, or none of the processes that we see."""
        local = sys.platform == "linux" and self.host.startswith("unix://")
        pid, user = socket_peer(self.host) if local else (0, 0)
        return user if pid else None

    @property
    def is_remote(self) -> bool:
        """Whether this process cannot enter its containers' networks: it is not root, or not of the engine's machine."""
        if sys.platform != "linux" or not _sudo.is_root() or not self.host.startswith("unix://"):
            return True
        return self.info.desktop or self.info.rootless or self.user is None

    # images: the short names that most callers need

    def has(self, reference: str) -> bool:
        """Whether the engine has this image."""
        return self.images.get(reference) is not None

    def image_id(self, reference: str) -> str:
        """The image's id. Raises MissingError where the engine has none."""
        return self.images.need(reference).id

    def load(self, archive: Path, tag: str | None = None) -> str:
        """Load an image archive, tag it, and give its id."""
        return self.images.load(archive, tag)

    # containers

    def start(self, image: str, options: RunOptions, *, purpose: str = "check", variant: str = "") -> Container:
        """Create and start a container. ``purpose`` and ``variant`` become labels.

        A free port that somebody takes between the engine's choice and its use is tried again, a port that the caller chose is
        not. Raises PortInUse, CannotStart (the machine or the engine refuses these options) or another DeadweightError.
        """
        attempts = START_ATTEMPTS if options.host_port is None else 1
        for attempt in range(1, attempts + 1):
            container = self.create(image, options, purpose=purpose, variant=variant)
            try:
                self.begin(container)
            except PortInUse:
                container.remove()
                if attempt == attempts:
                    raise
                time.sleep(0.05 * attempt)
                continue
            except BaseException:
                container.remove()
                raise
            return container
        raise AssertionError("unreachable")

    def create(self, image: str, options: RunOptions, *, purpose: str = "check", variant: str = "") -> Container:
        """Create a container that does not run yet. Raises Interrupted once the run is to end, wherever that is asked for: whoever
        removes what there is would not meet what is made after it."""
        self._before_the_first()
        options = self.owned(image, container_options.mounted(self.root, options))
        if options.seccomp not in ("default", "unconfined"):
            file = self.profile(options.seccomp)
            others = self.info.podman and self.info.rootless and _sudo.is_root()
            options = options.but(seccomp=str(self._profiles.copy(file) if others else file))
        marks = {**self.marks(purpose, variant), **options.labels}
        body = self.dialect.create_body(image, options.but(labels=marks))
        name = f"deadweight-{purpose}-{uuid.uuid4().hex[:12]}"
        from docker.errors import APIError

        if _run.cancelled():
            raise Interrupted("interrupted")
        self._asked_for.add(
            name
        )  # who is interrupted in this call, or gets no answer in time, does not learn what came of it
        with translated(f"create a container of {image}"):
            try:
                made = self.api.create_container_from_config(body, name)["Id"]
            except APIError:
                self._asked_for.discard(name)
                raise
        container = Container(self, made, image, options)
        with self._guard:
            self._mine[made] = container
        self._asked_for.discard(name)
        return container

    def marks(self, purpose: str, variant: str = "") -> dict[str, str]:
        """The labels of what this process makes in the engine."""
        return {**labels.labels(self.project, purpose, variant), labels.ROOT: self.root}

    def profile(self, seccomp: str) -> Path:
        """The file of a seccomp profile; the suite's are relative to the project. Raises UsageError where there is none."""
        return container_options.profile(self.root, seccomp)

    def owned(self, image: str, options: RunOptions) -> RunOptions:
        """The same options with the owner of each folder in memory (``Owners``)."""
        return self._owners.given(image, options)

    def begin(self, container: Container) -> None:
        """Start a created container; its start-up time counts from here. Raises PortInUse, CannotStart."""
        from docker.errors import APIError

        container.started = time.monotonic()
        with translated(f"start a container of {container.image}"):
            try:
                self.api.start(container.id)
            except APIError as error:
                raise refused_start(container.image, container.options.host_port, explained(error)) from error

    def forget(self, container: Container) -> None:
        """Called by a container that removes itself."""
        with self._guard:
            self._mine.pop(container.id, None)
        self.tunnels.ended(container.id)
        self.recorders.ended(container.id)

    def route(self, container: Container, port: int | None = None) -> http.Route:
        """The way to a container's port, whichever leads there (``route_to``).

        Raises Ended where it does not run any more, Unreachable where no way leads there.
        """
        inside = port or container.options.publish
        if inside is None:
            raise DeadweightError(wording("engine.no_published_port"))
        closed, cut_off = self._networks.get(container.options.network, (False, False))
        return route_to(container, inside, self.host, self.info, self.tunnels, closed=closed, cut_off=cut_off)

    def listening(self, container: Container) -> str:
        """What the kernel lists of a container's network (proc(5), ``/proc/net/tcp``), seen from beside it."""
        return self.tunnels.listeners(container)

    # networks

    @contextlib.contextmanager
    def network(self, purpose: str, *, internal: bool = True, host_address: bool = False) -> Iterator[str]:
        """A bridge network of our own, removed at the end; gives its name.

        ``internal``: nothing leads out. Without ``host_address`` the bridge has no address of this machine either, so that not
        even services listening on all its addresses can be reached from inside (and containers only by their namespace).
        """
        name = f"deadweight-{purpose}-{uuid.uuid4().hex[:12]}"
        self._before_the_first()
        self._networks[name] = (internal, not host_address and (internal or self.dialect.cuts_off_open_networks))
        try:
            with translated(f"create network {name}"):
                marks = self.marks(purpose)
                self.dialect.create_network(self.api, name, marks, internal=internal, host_address=host_address)
            yield name
        finally:
            self.remove_network(name)

    def cut_off(self) -> dict[str, str]:
        """The options of a network whose bridge has no address of this machine."""
        return dict(self.dialect.cut_off)

    def remove_network(self, name: str) -> None:
        """Remove a network, and before it the containers of ours on it; where it cannot go yet, ``close`` tries again."""
        for container in list(self._mine.values()):
            if container.options.network == name:
                container.remove()
        with translated(f"remove network {name}"), contextlib.suppress(MissingError), translated(f"network {name}"):
            self.api.remove_network(name)
        self._networks.pop(name, None)

    # leftovers

    def leftovers(self) -> list[Leftover]:
        """Everything in the engine that carries our labels, of every project."""
        return labels.find_leftovers(self.api)

    def cleanup_stale(self) -> list[Leftover]:
        """Remove the containers, networks and images of dead processes (kill -9), of every project; gives what was removed."""
        return [leftover for leftover in self.leftovers() if leftover.stale and self.remove_leftover(leftover)]

    def remove_leftover(self, leftover: Leftover) -> bool:
        """Remove one; False where the engine refuses (it is told again at the next start)."""
        return labels.remove_leftover(self.api, leftover)

    def _before_the_first(self) -> None:
        """Leave a note for whoever comes after us, should we be killed; and remove what those left who were."""
        with self._guard:
            first, self._swept = not self._swept, True
            if first and self.root:
                marks = labels.labels(self.project, "run")
                self._note = runs.begin(State(Path(self.root)), marks, self.host, self.certificates)
        if first:
            for leftover in self.leftovers():
                if leftover.stale and leftover.ours_to_remove(self.root):
                    self.remove_leftover(leftover)
