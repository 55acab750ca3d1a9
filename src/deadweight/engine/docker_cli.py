"""The Docker client that can build with BuildKit. The user's own Docker configuration and credentials stay as they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from deadweight._errors import MissingError
from deadweight.records.paths import user_cache
from deadweight.toolchain.find import look
from deadweight.toolchain.pins import NUMBER
from deadweight.toolchain.probe import ask, number


@dataclass(frozen=True)
class DockerCli:
    """How to build and how to call Docker. ``env`` goes with every call. ``docker`` is None where there is only buildx."""

    docker: str | None
    building: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    buildx: bool = False
    version: str = ""

    def build(self, *arguments: str) -> list[str]:
        """A BuildKit build whose image ends up in the engine (``--load``)."""
        return [*self.building, *arguments]

    def command(self, *arguments: str) -> list[str]:
        """Any other command of the Docker client. Raises MissingError where there is only buildx."""
        if self.docker is None:
            raise MissingError("the docker client is missing, only buildx is installed", hint="invoke setup")
        return [self.docker, *arguments]


def too_old_for(oldest: str) -> str:
    """Why the client that is here cannot speak to an engine whose oldest API version is this; empty where it can.

    Asked of ``docker`` alone, where that builds: buildx tells no API version.
    """
    docker = look("docker-cli").tool
    if not oldest or docker is None or look("buildx").tool is not None:
        return ""
    newest = ask(docker.path, ("version", "--format", "{{.Client.DefaultAPIVersion}}"), NUMBER).version
    if newest is None or number(newest) >= number(oldest):
        return ""
    return f"{docker.path} {docker.version} supports the Engine API up to {newest}, but this engine requires {oldest}"


def client(env: Mapping[str, str]) -> DockerCli:
    """The client to build with: ``docker`` with the buildx plugin or older than 23 (it speaks BuildKit by itself), else
    ``buildx`` on its own. ``env`` names the engine (``Endpoint.cli_env``). Raises MissingError (exit 3).
    """
    docker, buildx = look("docker-cli").tool, look("buildx").tool
    if buildx is not None:
        # The builder "default" is the engine that DOCKER_HOST names, whatever builder the user has chosen for himself.
        more = {"BUILDX_BUILDER": "default", "BUILDX_CONFIG": str(user_cache() / "buildx"), **env}
        path = str(docker.path) if docker else None
        return DockerCli(path, (str(buildx.path), "build", "--load"), more, buildx=True, version=buildx.version)
    if docker is not None:
        return DockerCli(
            str(docker.path), (str(docker.path), "build"), {"DOCKER_BUILDKIT": "1", **env}, version=docker.version
        )
    raise MissingError(
        f"no Docker client here can build with BuildKit: {look('docker-cli').reason or 'docker is not there'}",
        hint="install one with invoke setup",
    )
