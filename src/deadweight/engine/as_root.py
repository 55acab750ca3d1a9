"""Our engine started and ended through sudo, for a user who is not root: the same code, in a process of its own that is.

No other code of ours runs so. Who may start it through sudo may start anything; the socket it makes is open to that user's group.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from deadweight._errors import DeadweightError
from deadweight.records.paths import user_cache
from deadweight.toolchain import sudo

SECONDS = 240.0
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")
"""What the engine reaches registries through; sudo takes all variables away but those it is told to keep."""


def call(action: str, say: Callable[[str], None]) -> None:
    """Do ``start``, ``stop`` or ``remove_data`` of the calling user's engine as root.

    Raises MissingError where sudo is not there or wants a password that nobody can type; CommandError with the engine's own words.
    """
    # -I: nothing but the installed package is imported; -B: no file of root's is left among the user's.
    argv: list[str | Path] = [sys.executable, "-I", "-B", "-m", "deadweight.engine.as_root", action]
    argv += [user_cache(), str(os.getuid()), str(os.getgid())]
    done = sudo.run(argv, timeout=SECONDS, keep=[name for name in _PROXIES if name in os.environ])
    for line in done.output.splitlines():
        say(line)


def main(words: Sequence[str]) -> int:
    """The side that is root: an action, the user's cache, user and group number."""
    from deadweight.engine import own

    action, cache, uid, gid = words
    os.environ["DEADWEIGHT_CACHE_DIR"] = cache
    actions: dict[str, Callable[[own.Say, own.Layout], object]] = {
        "start": own.start,
        "stop": own.stop,
        "remove_data": own.remove_data,
    }
    try:
        actions[action](_tell, own.layout(int(uid), int(gid)))
    except DeadweightError as error:
        sys.stderr.write(f"{error.message}\n")
        return error.exit_code
    return 0


def _tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
