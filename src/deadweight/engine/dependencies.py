"""Start the containers that a service needs (database, queue) in order, each up before the next; remove them after it.

The service finds them by name through its ``/etc/hosts``, which works on every network, in every image and engine.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from deadweight import _log_excerpt
from deadweight._errors import MissingError, wording
from deadweight.engine.options import TMPFS_BYTES, Mount, RunOptions, Tmpfs
from deadweight.suite.values import parse_tmpfs

if TYPE_CHECKING:
    from deadweight.engine.client import Engine
    from deadweight.engine.container import Container
    from deadweight.suite.model import Need

PURPOSE = "need"
BRIDGE = "bridge"
PIDS = 512
SHOWN_LINES = 5


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
            container = engine().start(image_of(name), options, purpose=PURPOSE, variant=f"{variant}/{name}")
            stack.enter_context(container)
            _wait(container, name, need)
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
        pids=PIDS,
        env=dict(need.env),
        args=need.args,
        tmpfs=tuple(Tmpfs(path, size or TMPFS_BYTES) for path, size in map(parse_tmpfs, need.tmpfs)),
        mounts=tuple(Mount(root / path, target) for target, path in need.files.items()),
        hosts=dict(hosts),
        network=network,
        publish=need.port if network == BRIDGE else None,
    )


def _wait(container: Container, name: str, need: Need) -> None:
    found = container.wait_healthy(need.health, need.port)
    if found.healthy:
        return
    last = _log_excerpt.last_lines(container.last_output(200), SHOWN_LINES)
    said = wording("engine.last_lines", lines=" | ".join(last)) if last else wording("engine.printed_nothing")
    raise MissingError(
        wording("engine.dependency_down", name=name, image=need.image or need.variant, reason=found.reason, output=said)
    )
