"""Start the service under check in a hardened container, on first use and shared, and before it the containers that it needs."""

from __future__ import annotations

import contextlib
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deadweight import _log_excerpt
from deadweight._errors import DeadweightError, MissingError, joined, wording
from deadweight.engine.options import TMPFS_BYTES, Mount, RunOptions, Tmpfs, hardened_for
from deadweight.engine.seccomp import refused_calls
from deadweight.suite.values import parse_tmpfs

if TYPE_CHECKING:
    from deadweight.engine.client import Engine
    from deadweight.engine.container import Container, Readiness
    from deadweight.engine.http import Answer
    from deadweight.suite.model import Need, Variant


SHOWN_LINES = 5
HEARD_LINES = 2000
NEED, BRIDGE, NEED_PIDS = "need", "bridge", 512
"""The purpose (a label), the network and the limit on processes of containers that a service needs."""
MOURNING_SECONDS = 1.0

_stopwatches: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
"""By the engine's address: held during a start that is timed, so that variants checked side by side do not slow each other's."""


class ServiceDown(DeadweightError):
    """The service did not come up; says why, with its last lines."""


class Service:
    """Starts a variant's containers, what they need beside them first. ``get`` gives the shared one; whoever made this object calls
    ``close``. ``image_of`` gives the image of a need, ``root`` is the suite's folder."""

    def __init__(
        self,
        variant: Variant,
        engine: Callable[[], Engine],
        image: Callable[[], str],
        image_of: Callable[[str], str],
        root: Path,
    ) -> None:
        self.variant, self._engine, self._image, self._image_of, self._root = variant, engine, image, image_of, root
        self._shared: Container | None = None
        self._beside = contextlib.ExitStack()
        self._hosts: Mapping[str, str] | None = None
        self._refused: str | None = None

    def options(self) -> RunOptions:
        """The hardened options of this variant, knowing its image's own user and where what it needs is."""
        options = hardened_for(self.variant, self._engine().images.need(self._image()).user)
        if self._hosts is None:
            self._hosts = self._beside.enter_context(self.dependencies())
        options = options.but(hosts=self._hosts)
        refused_calls.check(self._engine(), options)
        return options

    def why_down(self, reason: str, container: Container) -> str:
        """A reason why a container did not come up, with its last lines; before them the call that a profile of the suite's
        refuses it. The container is removed."""
        message, options = with_last_lines(reason, container), container.options
        container.remove()
        return self.refused(message, options)

    def refused(self, problem: str, options: RunOptions) -> str:
        """The same of what went wrong, told already, with these options."""
        if refused_calls.is_file(options.seccomp) and self._refused is None:
            variant = self.variant
            asked = options.but(seccomp=variant.run.seccomp or options.seccomp)
            self._refused = refused_calls.explained(self._engine(), self._image(), asked, variant.health, variant.port)
        return joined(self._refused, problem) if self._refused else problem

    def dependencies(
        self, network: str = BRIDGE, up: Callable[[str, Container], None] = lambda _name, _container: None
    ) -> contextlib.AbstractContextManager[Mapping[str, str]]:
        """What this variant needs, started on a network, each told to ``up`` by its name; gives the names with their addresses.
        Raises MissingError."""
        needs, name = self.variant.run.needs, self.variant.name
        return started_dependencies(
            self._engine, needs, self._image_of, root=self._root, variant=name, network=network, up=up
        )

    def start_timed(self) -> tuple[Container, Readiness]:
        """Start a fresh container and wait until it is healthy or is not going to be, with nothing else being started."""
        image, options = self._image(), self.options()
        with _stopwatches[self._engine().host]:
            container = self._engine().start(image, options, variant=self.variant.name)
            try:
                return container, container.wait_healthy(self.variant.health, self.variant.port)
            except BaseException:
                container.remove()
                raise

    def share(self, container: Container) -> None:
        """Hand over a healthy container for all later checks."""
        if self._shared is not None:
            self._shared.remove()
        self._shared = container

    def get(self) -> Container:
        """The shared container, running and healthy; a new one where the last one ended. Raises ServiceDown."""
        container = self._shared
        if container is None or not container.state().running:
            container, readiness = self.start_timed()
            if not readiness.healthy:
                raise ServiceDown(self.why_down(readiness.reason, container))
            self.share(container)
        return container

    def obituary(self) -> str | None:
        """How the shared container ended, with its last lines; None where it lives on or where there is none.

        An engine tells of an end a little later than its connections do, so it is given a second.
        """
        if self._shared is None or (state := self._shared.wait_ended(MOURNING_SECONDS)).running:
            return None
        return with_last_lines(wording("checks.service_ended", outcome=state.outcome()), self._shared)

    def close(self) -> None:
        """Remove the shared container, and what was started beside it."""
        shared, self._shared = self._shared, None
        if shared is not None:
            shared.remove()
        self._hosts = None
        self._beside.close()


def with_last_lines(reason: str, container: Container) -> str:
    """A reason, and in the same line what the service said: the first exception where it stands above the last lines, and these."""
    lines = container.last_output(HEARD_LINES)
    last = _log_excerpt.last_lines(lines, SHOWN_LINES)
    above = [line for line in _log_excerpt.exceptions(lines) if not any(line in shown for shown in last)]
    first = wording("checks.first_exception", lines=" | ".join(above)) if above else ""
    return joined(reason, first, _output(lines), separator="")


def last_lines(container: Container, count: int) -> list[str]:
    """The first exception, where one stands above them, and the last lines, each cut to 300 characters."""
    return _log_excerpt.cut(container.last_output(HEARD_LINES), count)


def posture(options: RunOptions) -> dict[str, Any]:
    """The walls of a container, for the evidence. Bytes and numbers; None where there is no limit."""
    return {
        "read_only": options.read_only,
        "cap_drop": list(options.cap_drop),
        "cap_add": list(options.cap_add),
        "no_new_privileges": options.no_new_privileges,
        "seccomp": options.seccomp,
        "memory_bytes": options.memory_bytes,
        "cpus": options.cpus,
        "pids": options.pids,
        "tmpfs": [f"{tmpfs.path}:{tmpfs.options()}" for tmpfs in options.tmpfs],
        "network": options.network,
        "published_on": "127.0.0.1" if options.publish is not None else None,
    }


# A running variant, as a project's own tests see it.


class RunningService:
    """A variant in its hardened container, healthy. ``base_url`` has no slash at its end."""

    def __init__(self, container: Container, variant: Variant) -> None:
        self.container, self.variant = container, variant
        self.base_url = container.base_url

    def request(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> Answer:
        """One HTTP request; ``json`` is sent as a JSON body. Raises OSError or http.client.HTTPException."""
        sent = dict(headers or {})
        if json is not None:
            body = dumps(json).encode()
            sent.setdefault("Content-Type", "application/json")
        return self.container.http().request(method, path, headers=sent, body=body)

    def get(self, path: str) -> Answer:
        return self.request("GET", path)

    def logs(self) -> list[str]:
        """What it has printed so far."""
        return self.container.logs()


# Start the containers that a service needs (database, queue) in order, each up before the next; remove them after it.
#
# The service finds them by name through its ``/etc/hosts``, which works on every network, in every image and engine.


@contextlib.contextmanager
def started_dependencies(
    engine: Callable[[], Engine],
    needs: Mapping[str, Need],
    image_of: Callable[[str], str],
    *,
    root: Path,
    variant: str = "",
    network: str = BRIDGE,
    up: Callable[[str, Container], None] = lambda _name, _container: None,
) -> Iterator[Mapping[str, str]]:
    """Start what a service needs on a network, and give the names with their addresses, for ``RunOptions.hosts``.

    ``image_of`` gives the image of a need in the engine, ``root`` is the folder that its files are relative to. ``up`` is told of
    each container once it is up. Raises MissingError where one does not come up: then nothing can be said of the service.
    """
    with contextlib.ExitStack() as stack:
        hosts: dict[str, str] = {}
        for name, need in needs.items():
            options = _options(need, hosts, network, root)
            container = engine().start(image_of(name), options, purpose=NEED, variant=f"{variant}/{name}")
            stack.enter_context(container)
            readiness = container.wait_healthy(need.health, need.port)
            if not readiness.healthy:
                words = {"image": need.image or need.variant, "output": _output(container.last_output(200))}
                raise MissingError(wording("engine.dependency_down", name=name, reason=readiness.reason, **words))
            up(name, container)
            if need.health.kind != "exit":
                hosts[name] = container.address(network)
                if not hosts[name]:
                    raise MissingError(wording("engine.dependency_has_no_address", name=name))
        yield hosts


def _options(need: Need, hosts: Mapping[str, str], network: str, root: Path) -> RunOptions:
    """Its own image's user and rights: it is no part of what is checked."""
    return RunOptions(
        memory_bytes=need.memory,
        pids=NEED_PIDS,
        env=dict(need.env),
        args=need.args,
        tmpfs=tuple(Tmpfs(path, size or TMPFS_BYTES) for path, size in map(parse_tmpfs, need.tmpfs)),
        mounts=tuple(Mount(root / path, target) for target, path in need.files.items()),
        hosts=dict(hosts),
        network=network,
        publish=need.port if network == BRIDGE else None,
    )


def _output(lines: Sequence[str]) -> str:
    """The last lines of what a container printed."""
    last = _log_excerpt.last_lines(lines, SHOWN_LINES)
    return wording("engine.last_lines", lines=" | ".join(last)) if last else wording("engine.printed_nothing")
