"""Whether an engine still answers while one of its clients waits for it: a paused one (SIGSTOP, a machine that sleeps) is silent,
and the client would wait on for as long as it is let."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from deadweight._errors import CommandError, MissingError
from deadweight._run import Stop
from deadweight.engine import api, over_ssh
from deadweight.engine.connect import ANSWER_SECONDS, PAUSED_SECONDS, HasHost
from deadweight.engine.faults import DOCTOR_HINT

EVERY_SECONDS = 20.0


@contextlib.contextmanager
def watch_engine(endpoint: HasHost) -> Iterator[Stop]:
    """Gives what the client is run with (``run(stop=…)``): it is ended where the engine falls silent. Raises MissingError then.

    Not over SSH, where each question is a connection of its own, and ssh itself notices.
    """
    stop, over = Stop(), threading.Event()
    silent: list[str] = []

    def watch() -> None:
        while not over.wait(EVERY_SECONDS):
            if _trouble(endpoint, ANSWER_SECONDS) and (problem := _trouble(endpoint, PAUSED_SECONDS)):
                silent.append(problem)
                stop.now()
                return

    if not endpoint.host.startswith(over_ssh.SCHEME):
        threading.Thread(target=watch, daemon=True, name="vigil").start()
    try:
        yield stop
    except CommandError as error:
        if not silent:
            raise
        raise MissingError(
            f"the container engine at {endpoint.host} fell silent meanwhile ({silent[0]})", hint=DOCTOR_HINT
        ) from error
    finally:
        over.set()


def _trouble(endpoint: HasHost, seconds: float) -> str:
    return api.trouble(endpoint.host, endpoint.certificates, timeout=seconds)
