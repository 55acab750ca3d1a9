"""Translate the Docker SDK's exceptions into our own errors, with the engine's own words."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

from deadweight._errors import DeadweightError, MissingError

DOCTOR_HINT = "run it again; if this repeats, check the engine with invoke doctor"
NO_ENGINE_HINT = "start one with invoke setup, or set DOCKER_HOST to a running engine"


_UNSPOKEN = re.compile(r"client version [\d.]+ is too (?:new|old)")


class PortInUse(DeadweightError):
    """The engine could not publish a port on this machine, because somebody else has it."""


class CannotStart(DeadweightError):
    """The engine refused to start a container (a posture that this machine does not allow, an entrypoint that is not there)."""


class Unreachable(MissingError):
    """No way leads to a container's port: nothing can be said of the service."""


class Ended(DeadweightError):
    """A container that was to be asked has ended."""


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
    from docker import errors

    if isinstance(error, errors.NotFound):
        return MissingError(f"engine: {what}: {explained(error)}", hint=DOCTOR_HINT)
    if isinstance(error, errors.APIError) and _UNSPOKEN.search(explained(error)):
        return MissingError(
            f"engine: {what}: the engine refuses the version of its API that it names itself: {explained(error)}",
            hint="something before the engine, such as a proxy of its socket, answers for another one: check DOCKER_HOST",
        )
    if isinstance(error, errors.APIError):
        return DeadweightError(f"engine: {what}: {explained(error)}", hint=DOCTOR_HINT)
    if isinstance(error, requests.exceptions.Timeout):
        return MissingError(f"engine: {what}: no answer in time", hint=DOCTOR_HINT)
    if isinstance(error, (errors.DockerException, requests.exceptions.RequestException)):
        return MissingError(
            f"engine: {what}: the container engine does not answer ({_innermost(error)})",
            hint=NO_ENGINE_HINT,
        )
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


def refused_start(image: str, port: int | None, said: str) -> DeadweightError:
    """Why a container was not started: its port is taken (None: the engine chose it), or the engine refuses it."""
    if _is_port_trouble(said):
        hint = "stop the program that uses it, or choose another port" if port else "run it again"
        return PortInUse(f"port {port or 'chosen by the engine'} on 127.0.0.1 is in use: {said}", hint=hint)
    return CannotStart(f"engine: a container of {image} cannot be started: {said}")


def _is_port_trouble(said: str) -> bool:
    """Docker says "port is already allocated" for its own, "address already in use" for others' (moby, libnetwork)."""
    return any(
        words in said for words in ("port is already allocated", "address already in use", "ports are not available")
    )
