"""Find a container engine, or start one of our own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from deadweight._errors import MissingError
from deadweight.engine import api as wire
from deadweight.engine import over_ssh
from deadweight.engine.docker_cli import DockerCli, client, too_old_for
from deadweight.engine.own import engine as own
from deadweight.engine.own.engine import cannot_start, remove_data
from deadweight.engine.own.layout import layout
from deadweight.engine.places import Place, places

Say = Callable[[str], None]
START_ANEW = "restart Deadweight's engine"


@dataclass(frozen=True)
class Endpoint:
    """An engine that answers. ``cli_env`` makes Docker's own client use the same one; ``ours`` if we started it.

    ``certificates`` is a folder with ca.pem, cert.pem and key.pem, or None.
    """

    host: str
    ours: bool
    cli_env: Mapping[str, str] = field(default_factory=dict)
    certificates: str | None = None


def find_or_start(say: Say) -> Endpoint:
    """An engine: DOCKER_HOST or the current context, the usual sockets, ours if it runs; else ours is started.

    Raises MissingError where DOCKER_HOST or DOCKER_CONTEXT names one that does not answer, or where none can be had;
    CommandError where ours does not come up.
    """
    found, passed_over = search()
    if found is not None:
        return found
    problem = own.cannot_start()
    if problem:
        seen = "".join(f"\n  {line}" for line in passed_over)
        raise MissingError(f"no container engine: {problem}{seen}", hint=own.advice())
    for line in passed_over:
        say(f"{line}; it is not used")
    return _ours(own.start(say))


def find_running() -> Endpoint | None:
    """The engine that ``find_or_start`` would give, without starting anything; None where none answers.

    Raises MissingError where DOCKER_HOST or DOCKER_CONTEXT names one that does not answer.
    """
    return search()[0]


def stop_own(say: Say = lambda _: None) -> bool:
    """End the engine that we started, if it runs; its images stay until ``remove_data``. Never touches another engine."""
    return own.stop(say)


def start_anew(say: Say) -> Endpoint:
    """End our engine and start it over its data: what it lost (its bridge, its rules, its folders) is made again.

    Raises MissingError where it cannot run a container even then, CommandError where it does not come up.
    """
    from deadweight.engine.lost import lost_at

    own.stop(say)
    endpoint = _ours(own.start(say))
    lost = lost_at(endpoint)
    if lost is not None:
        raise MissingError(lost.message, hint=f"see the engine's log: {layout().log}")
    return endpoint


def server_version(endpoint: Endpoint) -> str | None:
    """The engine's version, None where it does not tell."""
    version = wire.document(endpoint.host, "/version", endpoint.certificates).get("Version")
    return str(version) if version else None


def docker_cli(endpoint: Endpoint | None = None) -> DockerCli:
    """The client to build with, bound to an engine. Raises MissingError where none can build with BuildKit, or speak to it."""
    problem = client_too_old(endpoint) if endpoint else ""
    if problem:
        raise MissingError(
            f"the Docker client is too old for this engine: {problem}",
            hint="run invoke setup to get a newer buildx, install a newer docker, or set DOCKER_HOST to another engine",
        )
    return client(endpoint.cli_env if endpoint else {})


def client_too_old(endpoint: Endpoint) -> str:
    """Why the Docker client here cannot speak to an engine; empty where it can, as far as both tell."""
    oldest = wire.document(endpoint.host, "/version", endpoint.certificates).get("MinAPIVersion")
    return too_old_for(str(oldest or ""))


def search() -> tuple[Endpoint | None, list[str]]:
    """What ``find_running`` gives, and one line for each place where something is that does not answer."""
    passed_over: list[str] = []
    for place in places():
        problem = wire.trouble(place.host, place.certificates)
        if not problem:
            return Endpoint(
                place.host, False, _environment(place.host, place.certificates), place.certificates
            ), passed_over
        if place.asked:
            raise MissingError(
                f"the engine that {place.why} names ({place.host}) does not answer: {problem}",
                hint=_way_back(place),
            )
        passed_over.append(f"no engine at {place.host}: {problem}")
    host = own.running_host()
    return (_ours(host) if host else None), passed_over


def _way_back(place: Place) -> str:
    unset = f"unset {place.why.replace('Docker context', 'DOCKER_CONTEXT, now')}"
    return (
        f"{over_ssh.hint(place.host)}; or {unset}"
        if place.host.startswith(over_ssh.SCHEME)
        else f"start it, or {unset}"
    )


def _ours(host: str) -> Endpoint:
    return Endpoint(host, ours=True, cli_env=_environment(host, None))


def _environment(host: str, certificates: str | None) -> dict[str, str]:
    if certificates is None:
        return {"DOCKER_HOST": host}
    return {"DOCKER_HOST": host, "DOCKER_CERT_PATH": certificates, "DOCKER_TLS_VERIFY": "1"}


__all__ = [
    "DockerCli",
    "Endpoint",
    "cannot_start",
    "client_too_old",
    "docker_cli",
    "find_or_start",
    "find_running",
    "remove_data",
    "search",
    "server_version",
    "start_anew",
    "stop_own",
]
