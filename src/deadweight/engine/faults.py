"""Translate the Docker SDK's exceptions into our own errors, with the engine's own words."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

from deadweight import _run
from deadweight._errors import DeadweightError, Interrupted, MissingError, wording

PORT_TAKEN = ("port is already allocated", "address already in use", "ports are not available")
"""Docker says the first for its own, the second for others' (moby, libnetwork)."""
_UNSPOKEN = re.compile(r"client version [\d.]+ is too (?:new|old)")


class PortInUse(DeadweightError):
    """The engine could not publish a port on this machine, because somebody else has it."""


class CannotStart(DeadweightError):
    """The engine refused to start a container (a posture that this machine does not allow, an entrypoint that is not there)."""


class Unreachable(MissingError):
    """No way leads to a container's port: nothing can be said of the service."""


class Ended(DeadweightError):
    """A container that was to be asked has ended."""


def stop_if_cancelled() -> None:
    """Raises Interrupted once the run is to end."""
    if _run.cancelled():
        raise Interrupted("interrupted")


@contextlib.contextmanager
def translated(what: str) -> Iterator[None]:
    """Run a piece of engine work; ``what`` says which, in the words of the error message.

    Raises MissingError where the engine does not answer or does not have the thing, DeadweightError for all else it refuses.
    """
    try:
        yield
    except DeadweightError:
        raise
    except Exception as error:
        raise _translate(what, error) from error


def _translate(what: str, error: Exception) -> Exception:
    import requests
    import urllib3
    from docker import errors

    if isinstance(error, errors.APIError):
        problem = explained(error)
        if _UNSPOKEN.search(problem):
            return MissingError(wording("engine.api_refused", action=what, problem=problem))
        kind = MissingError if isinstance(error, errors.NotFound) else DeadweightError
        return kind(wording("engine.refused", action=what, problem=problem))
    if isinstance(error, requests.exceptions.Timeout):
        return MissingError(wording("engine.no_answer_in_time", action=what))
    lost = (errors.DockerException, requests.exceptions.RequestException, urllib3.exceptions.HTTPError)
    if isinstance(error, lost):
        return MissingError(wording("engine.no_answer", action=what, problem=_innermost(error)))
    return error


def explained(error: Exception) -> str:
    """The engine's own sentence, without the client's wrapping."""
    text = getattr(error, "explanation", None) or str(error)
    if isinstance(text, bytes):
        text = text.decode(errors="replace")
    return str(text).strip().removeprefix("Error response from daemon: ")


def _innermost(error: BaseException) -> str:
    while error.__context__ is not None:
        error = error.__context__
    return str(error) or type(error).__name__


def refused_start(image: str, port: int | None, error: Exception) -> DeadweightError:
    """Why a container was not started: its port is taken (None: the engine chose it), or the engine refuses it."""
    problem = explained(error)
    if not any(words in problem for words in PORT_TAKEN):
        return CannotStart(wording("engine.cannot_start", image=image, problem=problem))
    if port:
        return PortInUse(wording("engine.port_in_use", port=port, problem=problem))
    return PortInUse(wording("engine.chosen_port_in_use", problem=problem))
