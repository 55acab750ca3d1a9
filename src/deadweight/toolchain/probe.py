"""Ask a program for its version, with a time limit; cache the answer by path, modification time and size."""

from __future__ import annotations

import json
import os
import re
import signal
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from deadweight._errors import CommandError, DeadweightError, MissingError, quoting, wording
from deadweight._run import run
from deadweight.records.paths import user_cache
from deadweight.records.store import write_atomically

PROBE_SECONDS = 20.0
"""How long a program may take to tell its version. A JVM on a busy machine needs several seconds."""

_guard = threading.Lock()


@dataclass(frozen=True)
class Answer:
    """What a probe gave: a version, or why there is none. ``ran``: the program ran to its end, and told none."""

    version: str | None
    problem: str = ""
    ran: bool = False


def tools_folder() -> Path:
    """Where our own copies of tools lie."""
    return user_cache() / "tools"


def ask(path: Path, arguments: tuple[str, ...], pattern: str, env: Mapping[str, str] | None = None) -> Answer:
    """The version that the program at ``path`` tells. A program that hangs, crashes or says nothing known is no error here."""
    try:
        state = path.stat()
    except OSError as error:
        return Answer(None, wording("toolchain.unreadable", path=path, problem=error.strerror))
    if not os.access(path, os.X_OK):
        return Answer(None, wording("toolchain.not_executable", path=path))
    key, stamp = f"{path} {' '.join(arguments)}", [state.st_mtime_ns, state.st_size]
    known = _remembered().get(key)
    if isinstance(known, list) and known[:2] == stamp and len(known) == 3:
        return Answer(str(known[2]))
    answer = _ask_now(path, arguments, pattern, env or {})
    if answer.version is not None:
        _remember(key, [*stamp, answer.version])
    return answer


def number(version: str) -> tuple[int, ...]:
    """A version as a tuple that compares: ``1.26.8`` is (1, 26, 8); what follows the numbers does not count."""
    found = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(int(part) for part in found.group().split(".")) if found else ()


def _ask_now(path: Path, arguments: tuple[str, ...], pattern: str, env: Mapping[str, str]) -> Answer:
    try:
        done = run([path, *arguments], timeout=_probe_seconds(), check=False, env={"GOTOOLCHAIN": "local", **env})
    except CommandError as error:
        return Answer(None, quoting(error.reason, f"{path} {error.reason}"))
    except MissingError:
        return Answer(None, wording("toolchain.not_startable", path=path))
    found = re.search(pattern, f"{done.output}\n{done.errors}")
    if found:
        return Answer(found.group(1))
    code = signal.Signals(-done.exit_code).name if done.exit_code < 0 else done.exit_code
    return Answer(None, wording("toolchain.no_version", path=path, code=code), ran=True)


def _probe_seconds() -> float:
    try:
        return float(os.environ["DEADWEIGHT_PROBE_SECONDS"])
    except (KeyError, ValueError):
        return PROBE_SECONDS


def _memory() -> Path:
    return tools_folder() / "versions.json"


def _remembered() -> dict[str, object]:
    try:
        content = json.loads(_memory().read_bytes())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _remember(key: str, entry: list[object]) -> None:
    """A cache that cannot be written only costs time."""
    with _guard:
        content = _remembered()
        content[key] = entry
        try:
            write_atomically(_memory(), json.dumps(content, indent=0))
        except DeadweightError:
            return
