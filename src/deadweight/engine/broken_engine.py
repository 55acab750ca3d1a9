"""Test whether an engine can run containers: start and remove a tiny one from an image made here.

An engine that lost its bridge, firewall chains or disk still answers every API request. Its errors about a container then say
nothing about the image.
"""

from __future__ import annotations

import contextlib
import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from deadweight import _disk
from deadweight._errors import DeadweightError, MissingError, wording
from deadweight.engine.options import RunOptions
from deadweight.engine.own.engine import layout
from deadweight.engine.sidecars import load_program
from deadweight.toolchain.golang import ARCHITECTURES

if TYPE_CHECKING:
    from deadweight.engine.api import Endpoint
    from deadweight.engine.client import Engine

PROBE_SECONDS = 20.0
PURPOSE = "probe"
_PORT = 9
_OWN_NAMES = re.compile(r" deadweight-probe-\w+|/probe:\w+")
"""What differs from one probe to the next, and tells a reader nothing."""
_BASE = 0x400000
_MACHINES = {
    # architecture: ELF machine, code that ends with exit code 0
    "amd64": (62, bytes.fromhex("31ff b83c000000 0f05")),  # xor edi, edi; mov eax, 60; syscall
    "arm64": (183, bytes.fromhex("a80b80d2 000080d2 010000d4")),  # mov x8, 93; mov x0, 0; svc 0
}


def lost_engine(engine: Callable[[], Engine]) -> MissingError | None:
    """The error that says what is wrong with an engine that is not found or cannot run a container, and how to get it back; None
    if it can."""
    try:
        current = engine()
        # one that is only busy, or whose probe another command cleaned away, is not lost: what is would be started anew
        problem = trouble(current) and trouble(current)
    except MissingError as error:
        return error
    if not problem:
        return None
    return MissingError(wording("engine.cannot_run", host=current.host, problem=problem), hint=remedy(current, problem))


def broken_engine_at(endpoint: Endpoint) -> MissingError | None:
    """The same, of the engine that listens there."""
    from deadweight.engine.client import Engine

    with contextlib.ExitStack() as stack:
        return lost_engine(lambda: stack.enter_context(Engine.connect(endpoint)))


def trouble(engine: Engine) -> str:
    """Start a tiny container with a published port, as checks do. Empty where it ran to its end, else the engine's own words.

    Raises MissingError where the engine does not answer. Nothing is tried where its architecture is none of ours.
    """
    architecture = ARCHITECTURES.get(engine.info.architecture)
    if architecture is None:
        return ""
    try:
        name = load_program(engine, PURPOSE, elf(architecture), architecture)
        engine.images.need(name)
        try:
            with engine.start(name, RunOptions(publish=_PORT, cap_drop=("ALL",)), purpose=PURPOSE) as container:
                state = container.wait_ended(PROBE_SECONDS)
        finally:
            with contextlib.suppress(DeadweightError):
                engine.images.remove(name, force=True)
    except MissingError:
        engine.ask()  # told as what it is where it does not answer at all
        return wording("engine.images_not_kept")
    except DeadweightError as error:
        problem = str(error.fields.get("problem", error.message))  # the engine's own words
        return wording("engine.disk_full") if _disk.FULL.search(problem) else _OWN_NAMES.sub("", problem)
    if state.running:
        return wording("engine.probe_runs_on", seconds=PROBE_SECONDS)
    return "" if state.exit_code == 0 else wording("engine.probe_failed", outcome=state.outcome())


def remedy(engine: Engine, problem: str) -> str:
    """The command that gets this engine back."""
    code = getattr(problem, "code", "")
    if code == "engine.disk_full":
        return wording("engine.free_space")
    info, host = engine.info, engine.host
    if host == layout().host:
        return wording("engine.set_up_anew" if code == "engine.images_not_kept" else "engine.set_up_again")
    if engine.user is None:
        return wording("engine.restart_at", host=host)
    unit = engine.dialect.unit
    if info.rootless:
        return wording("engine.restart", command=f"systemctl --user restart {unit}")
    systemd = Path("/run/systemd/system").is_dir()
    return wording("engine.restart", command=f"systemctl restart {unit}" if systemd else f"service {unit} restart")


def elf(architecture: str) -> bytes:
    """The smallest static program, which does nothing but end: an ELF header, one segment that is read and run, and the code
    (System V gABI, chapter 4). ``architecture`` as Go calls it."""
    machine, code = _MACHINES[architecture]
    start = 64 + 56
    size = start + len(code)
    ident = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)
    header = struct.pack("<HHIQQQIHHHHHH", 2, machine, 1, _BASE + start, 64, 0, 0, 64, 56, 1, 64, 0, 0)
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, _BASE, _BASE, size, size, 0x10000)
    return ident + header + segment + code
