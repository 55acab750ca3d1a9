"""Our engine started and ended through sudo, for a user who is not root: the same code, in a process of its own that is.

No other code of ours runs so. Who may start it through sudo may start anything; the socket it makes is open to that user's group.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence

from deadweight._errors import DeadweightError
from deadweight.engine.own import engine as own
from deadweight.engine.own.layout import Layout, layout


def main(words: Sequence[str]) -> int:
    """The side that is root: an action, the user's cache, user and group number."""
    action, cache, uid, gid = words
    os.environ["DEADWEIGHT_CACHE_DIR"] = cache
    actions: dict[str, Callable[[own.Say, Layout], object]] = {
        "start": own.start,
        "stop": own.stop,
        "remove_data": own.remove_data,
    }
    try:
        actions[action](_tell, layout(int(uid), int(gid)))
    except DeadweightError as error:
        sys.stderr.write(f"{error.message}\n")
        return error.exit_code
    return 0


def _tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
