"""Find a container engine, or start our own.

Docker contexts are read here, not by docker-py (7.2): its ``docker.context`` takes 130 ms to import, raises TypeError, KeyError or
a bare Exception for a damaged ``meta.json``, ignores a CA without a client certificate, and if ``DOCKER_CONFIG`` names a folder
without ``config.json``, reads the contexts of ``~/.docker`` instead.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import platform
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from deadweight._errors import DeadweightError, MissingError, wording
from deadweight.engine import api as wire
from deadweight.engine.api import Endpoint
from deadweight.engine.own import engine as own
from deadweight.engine.own.engine import Say, layout
from deadweight.records.paths import user_cache
from deadweight.toolchain.catalogue import NUMBER
from deadweight.toolchain.find import ask, inspect_tool, number
from deadweight.toolchain.golang import ARCHITECTURES

cannot_start, remove_data, stop_own = own.cannot_start, own.remove_data, own.stop


# Where an engine may listen on this machine, in the order in which Docker's own client and its users would look.
def endpoints() -> Iterator[Endpoint]:
    """DOCKER_HOST or the current Docker context, then the usual sockets: Docker, Docker Desktop, rootless, Podman."""
    given = os.environ.get("DOCKER_HOST")
    if given:
        certificates = os.environ.get("DOCKER_CERT_PATH") if os.environ.get("DOCKER_TLS_VERIFY") else None
        yield Endpoint(given, certificates=certificates, why="DOCKER_HOST", asked=True)
        return
    context = _context()
    if context is not None:
        yield context
        if context.asked:
            return
    home, runtime = Path.home(), Path(os.environ.get("XDG_RUNTIME_DIR") or "/nowhere")
    docker = (Path("/var/run"), home / ".docker/run", home / ".docker/desktop", runtime, home / ".colima/default")
    podman = (runtime / "podman/podman.sock", Path("/run/podman/podman.sock"))
    sockets = (*(folder / "docker.sock" for folder in docker), *podman)
    yield from (Endpoint(f"unix://{path}", why=str(path)) for path in sockets if path.exists())


def _context() -> Endpoint | None:
    """The current Docker context, read from the client's files (their layout: docker/cli, ``cli/context/store``)."""
    folder = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")
    named = os.environ.get("DOCKER_CONTEXT")
    try:
        name = named or json.loads((folder / "config.json").read_bytes())["currentContext"]
        key = hashlib.sha256(name.encode()).hexdigest()
        host = json.loads((folder / "contexts/meta" / key / "meta.json").read_bytes())["Endpoints"]["docker"]["Host"]
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None  # none is chosen (the client keeps nothing of the one called default), or the files are damaged
    if not isinstance(host, str) or not host:
        return None
    tls = folder / "contexts/tls" / key / "docker"
    certificates = str(tls) if tls.is_dir() else None
    return Endpoint(host, certificates=certificates, why=wording("engine.by_context", name=name), asked=bool(named))


# The Docker client that can build with BuildKit. The user's own Docker configuration and credentials stay as they are.
@dataclass(frozen=True)
class DockerCli:
    """How to build and how to call Docker. ``env`` goes with every call. ``docker`` is None where there is only buildx."""

    docker: str | None
    building: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    buildx: bool = False

    def build(self, *arguments: str) -> list[str]:
        """A BuildKit build whose image ends up in the engine (``--load``)."""
        return [*self.building, *arguments]

    def command(self, *arguments: str) -> list[str]:
        """Any other command of the Docker client. Raises MissingError where there is only buildx."""
        if self.docker is None:
            raise MissingError(wording("engine.only_buildx"))
        return [self.docker, *arguments]


START_ANEW = "restart Deadweight's engine"


def find_or_start(say: Say) -> Endpoint:
    """An engine: DOCKER_HOST or the current context, the usual sockets, ours if it runs; else ours is started.

    Raises MissingError where DOCKER_HOST or DOCKER_CONTEXT names one that does not answer, or where none can be had;
    CommandError where ours does not come up.
    """
    endpoint, passed_over = search()
    if endpoint is not None:
        return endpoint
    problem = cannot_start()
    if problem:
        others = "".join(f"\n  {line}" for line in passed_over)
        raise MissingError(wording("engine.none_to_start", problem=problem, others=others), hint=own.advice())
    for line in passed_over:
        say(f"{line}; it is not used")
    return Endpoint(own.start(say), ours=True)


def find_running() -> Endpoint | None:
    """The engine that ``find_or_start`` would give, without starting anything; None where none answers.

    Raises MissingError where DOCKER_HOST or DOCKER_CONTEXT names one that does not answer.
    """
    return search()[0]


def start_anew(say: Say) -> Endpoint:
    """End our engine and start it over its data: what it lost (its bridge, its rules, its folders) is made again.

    Raises MissingError where it cannot run a container even then, CommandError where it does not come up.
    """
    from deadweight.engine.broken_engine import broken_engine_at

    own.stop(say)
    endpoint = Endpoint(own.start(say), ours=True)
    lost = broken_engine_at(endpoint)
    if lost is not None:
        raise MissingError(lost.message, hint=f"see the engine's log: {layout().log}")
    return endpoint


def stopped_version() -> str | None:
    """The version of our engine if it has only stopped: with its data, it is the same again once it is needed."""
    program = own.dockerd() if not cannot_start() and layout().data.exists() else None
    return ask(Path(program), ("-v",), r"version ([^,\s]+)").version if program else None


def server_version(endpoint: Endpoint) -> str | None:
    """The engine's version, None where it does not tell."""
    version = wire.document_once(endpoint.host, "/version", endpoint.certificates).get("Version")
    return str(version) if version else None


def docker_cli(endpoint: Endpoint | None = None) -> DockerCli:
    """The client to build with, bound to an engine: ``docker`` with the buildx plugin or older than 23 (it speaks BuildKit by
    itself), else ``buildx`` on its own. Raises MissingError (exit 3) where none can build with BuildKit, or speak to the engine."""
    if endpoint and (problem := client_too_old(endpoint)):
        raise MissingError(wording("engine.client_too_old", problem=problem))
    env = endpoint.cli_env if endpoint else {}
    docker, buildx = inspect_tool("docker-cli").tool, inspect_tool("buildx").tool
    if buildx is not None:
        # The builder "default" is the engine that DOCKER_HOST names, whatever builder the user has chosen for himself.
        more = {"BUILDX_BUILDER": "default", "BUILDX_CONFIG": str(user_cache() / "buildx"), **env}
        path = str(docker.path) if docker else None
        return DockerCli(path, (str(buildx.path), "build", "--load"), more, buildx=True)
    if docker is None:
        problem = inspect_tool("docker-cli").reason or "docker is not there"
        raise MissingError(wording("engine.no_buildkit_client", problem=problem))
    return DockerCli(str(docker.path), (str(docker.path), "build"), {"DOCKER_BUILDKIT": "1", **env})


def client_too_old(endpoint: Endpoint) -> str:
    """Why the Docker client here cannot speak to an engine; empty where it can, as far as both tell.

    Asked of ``docker`` alone, where that builds: buildx tells no API version.
    """
    docker = inspect_tool("docker-cli").tool
    if docker is None or inspect_tool("buildx").tool is not None:
        return ""
    newest = ask(docker.path, ("version", "--format", "{{.Client.DefaultAPIVersion}}"), NUMBER).version
    latest = wire.greeting_once(endpoint.host, endpoint.certificates).get("Api-Version")
    if newest is None or (latest and number(newest) >= number(latest)):
        return ""
    oldest = str(wire.document_once(endpoint.host, "/version", endpoint.certificates).get("MinAPIVersion") or "")
    if number(newest) >= number(oldest):
        return ""
    return wording("engine.api_too_new", program=docker.path, version=docker.version, newest=newest, oldest=oldest)


def search() -> tuple[Endpoint | None, list[str]]:
    """What ``find_running`` gives, and one line for each place where something is that does not answer."""
    passed_over: list[str] = []
    for place in endpoints():
        problem = wire.trouble(place.host, place.certificates)
        if not problem:
            return place, passed_over
        if place.asked:
            raise MissingError(
                wording("engine.named_engine_silent", origin=place.why, host=place.host, problem=problem),
                hint=_way_back(place),
            )
        passed_over.append(wording("engine.none_at", host=place.host, problem=problem))
    host = own.running_host()
    return (Endpoint(host, ours=True) if host else None), passed_over


NAMING = ("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG", "DEADWEIGHT_CACHE_DIR", "HOME")
"""Variables that decide which engine is meant."""


def image_platform() -> str:
    """The platform that images are built for (``linux/arm64``): the running engine's, else this machine's. Starts no engine, and
    raises nothing if none can be reached."""
    name = _architecture(*map(os.environ.get, NAMING)) or platform.machine().lower()
    return f"linux/{ARCHITECTURES.get(name, name)}"


@functools.cache
def _architecture(*_: str | None) -> str:
    """The running engine's; empty if none says. Asked once: builders need it at every step."""
    with contextlib.suppress(DeadweightError):
        if endpoint := find_running():
            return str(wire.document_once(endpoint.host, "/version", endpoint.certificates).get("Arch") or "").lower()
    return ""


def _way_back(place: Endpoint) -> str:
    variable = "DOCKER_HOST" if os.environ.get("DOCKER_HOST") else "DOCKER_CONTEXT"
    if place.host.startswith(wire.SSH):
        return wording("engine.connect_by_ssh", advice=wire.ssh_hint(place.host), variable=variable)
    return wording("engine.start_it", variable=variable)
