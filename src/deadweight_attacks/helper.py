"""Build the attacker's program with Go, and bind it, or a static busybox, into containers."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from deadweight.engine.container import read_file
from deadweight.engine.options import Mount, RunOptions
from deadweight.records.store import write_atomically
from deadweight.toolchain import golang
from deadweight_attacks.host import PURPOSE

if TYPE_CHECKING:
    from deadweight.checks.protocol import Subject
    from deadweight.engine.client import Engine

# A static shell to bind into images that have none, to see what having none is worth.
IMAGE = "busybox:1.36.1-musl"
INSIDE = "/bin/busybox"
SHELL_TARGET = "/bin/sh"
MOST_BYTES = 16 * 2**20

Shell = Callable[["Subject"], tuple[Mount, ...]]

_one_at_a_time = threading.Lock()


def static_shell(subject: Subject) -> tuple[Mount, ...]:
    """The bind mount that brings it, read-only. Raises DeadweightError where no static busybox can be had."""
    from deadweight.sources.remote import choose

    with _one_at_a_time:
        source = choose(subject.suite, subject.state, subject.say, also=(IMAGE,))
        source.prepare((IMAGE,), apk=False, say=subject.say)
        base = source.base(IMAGE)
        name = (base.digest or base.resolved).replace(":", "-").replace("/", "-")[-64:]
        file = subject.state.cache / "attacks" / f"shell-{name}"
        if not file.exists():
            write_atomically(file, _extracted(subject.engine(), base.resolved), mode=0o755)
    return shell_mount(file.absolute())


def shell_mount(file: Path) -> tuple[Mount, ...]:
    """The mount that shows a static busybox as the shell."""
    return (Mount(file, SHELL_TARGET, read_only=True),)


def _extracted(engine: Engine, reference: str) -> bytes:
    """One file of an image, by a container that is never started."""
    engine.images.pull(reference)
    options = RunOptions(entrypoint=("none",), network="none")
    with engine.create(reference, options, purpose=PURPOSE) as container:
        return read_file(engine.api, container.id, INSIDE, MOST_BYTES)


SOURCE = Path(__file__).with_name("helper")
TARGET = "/.deadweight-helper"

Helper = Callable[["Subject"], tuple[Mount, ...]]


def own_helper(subject: Subject) -> tuple[Mount, ...]:
    """The bind mount that brings it, read-only. Raises DeadweightError (MissingError without Go) where it cannot be made."""
    return mounts_of(golang.built(golang.go_architecture(subject.engine().info.architecture), SOURCE))


def mounts_of(file: Path) -> tuple[Mount, ...]:
    """The mount that shows it to a container."""
    return (Mount(file, TARGET, read_only=True),)
