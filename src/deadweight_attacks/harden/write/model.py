"""Resolve hardened settings into one model of the service and its needs, shared by all platform writers."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from deadweight.engine.options import RunOptions, Tmpfs
from deadweight.records.reference import DOCKER_HUB, parse
from deadweight.suite.model import Need, Variant
from deadweight.suite.values import parse_tmpfs
from deadweight_attacks.harden.result import Hardened

PORT_SYSCTL = "net.ipv4.ip_unprivileged_port_start"
FIRST_UNPRIVILEGED = 1024
"""The lowest port that a process without root or NET_BIND_SERVICE may listen on, where nothing else is said (ip-sysctl)."""
MAX_LABEL = 63
"""The longest label of RFC 1123, which names a pod, and the longest value of a Kubernetes label."""
ENGINE_STOP_SECONDS = 10
"""What engines give a container to end where nothing is said."""
TRIES = 10
"""How often a job is tried that may be too early."""


@dataclass(frozen=True)
class Request:
    """What only the reader of the text knows. ``image`` is the reference from which the platform pulls it, ``profile`` the path of
    the seccomp profile as the text is to name it, ``files`` the project's folder in the same way; ``budget``: whether a
    PodDisruptionBudget is asked for; ``audit``: the profile logs instead of refusing; ``apparmor``: one of AppArmor does, too."""

    image: str = ""
    profile: str = ""
    budget: bool = False
    files: str = "."
    audit: bool = False
    apparmor: bool = False


@dataclass(frozen=True)
class Piece:
    """One container: the service, with the ``options`` that were found, or one that it needs, as the suite says it, which has none.

    ``name`` is that by which others find it, ``container`` its own in the engine, ``podman_image`` what Podman calls its image.
    ``health`` is what tells inside whether it is up, within ``up_seconds``. A ``job`` has to have ended before others are started.
    ``needs`` are those that are started before it."""

    name: str
    container: str
    image: str
    podman_image: str
    memory_bytes: int | None
    env: Mapping[str, str]
    files: Mapping[str, str]
    args: tuple[str, ...]
    tmpfs: tuple[str, ...]
    podman_tmpfs: tuple[str, ...]
    health: tuple[str, ...]
    up_seconds: int
    needs: tuple[Piece, ...]
    entrypoint: tuple[str, ...] = ()
    job: bool = False
    options: RunOptions | None = None

    @property
    def unchecked_needs(self) -> list[str]:
        """Which of its needs nothing in their image tells of, so that nobody knows when they are up."""
        return [need.name for need in self.needs if not need.job and not need.health]

    @property
    def retried(self) -> bool:
        """Whether it is a job that may be started before what it needs is up, and then fails."""
        return self.job and bool(self.unchecked_needs)

    @property
    def command(self) -> tuple[str, ...]:
        """All words after the first of its entrypoint."""
        return (*self.entrypoint[1:], *self.args)


@dataclass(frozen=True)
class Model:
    """All that a text is made of. ``network`` is one of its own: without a way out where it needs none, else for those that find it
    by name; empty where nobody does. ``profile`` is the path of the seccomp profile that stands beside the text."""

    result: Hardened
    request: Request
    options: RunOptions
    service: Piece
    ports: tuple[int, ...]
    network: str
    profile: str

    @property
    def variant(self) -> Variant:
        return self.result.variant

    @property
    def suite(self) -> str:
        return self.result.suite

    @property
    def low_port(self) -> int | None:
        """The lowest of its ports, where that is one that a platform has to open. Docker opens all of a container's to anybody."""
        lowest = min(self.ports, default=FIRST_UNPRIVILEGED)
        return lowest if lowest < FIRST_UNPRIVILEGED else None

    @property
    def published(self) -> list[str]:
        """Its ports, each published on loopback under its own number."""
        return [f"127.0.0.1:{port}:{port}" for port in self.ports]

    def stop_seconds(self, usual: int) -> int | None:
        """How long it may take to end, where that is longer than the platform's usual time."""
        seconds = math.ceil(self.variant.checks.runs.stops_within_seconds)
        return seconds if seconds > usual else None


def resolve(result: Hardened, request: Request) -> Model:
    """The model of what was found."""
    options, needs = result.options, list[Piece]()
    if request.apparmor:
        options = options.but(read_only=False, apparmor=f"deadweight-{label(result.suite)}")
    for name, need in result.variant.run.needs.items():
        needs.append(_need(name, need, result, tuple(needs)))
    image = request.image or result.image
    service = Piece(
        name=(name := _container_name(result)), container=name, image=image,
        podman_image=_podman_name(image, result, built=not request.image), memory_bytes=options.memory_bytes,
        env=options.env, files=options.files, args=options.args, entrypoint=options.entrypoint or (),
        tmpfs=tuple(f"{folder.path}:{folder.options()}" for folder in options.tmpfs),
        podman_tmpfs=tuple(f"{folder.path}:{_podman_options(folder)}" for folder in options.tmpfs),
        health=result.health_command, up_seconds=math.ceil(result.variant.health.within_seconds), needs=tuple(needs),
        options=options,
    )  # fmt: skip
    own = () if result.variant.port is None else (result.variant.port,)
    network = f"{result.suite}-network" if needs else ""
    return Model(
        result, request, options, service, tuple(dict.fromkeys((*own, *result.variant.run.ports))),
        network if result.outgoing else f"{result.suite}-internal", request.profile if result.profiled else "",
    )  # fmt: skip


def _need(name: str, need: Need, result: Hardened, earlier: tuple[Piece, ...]) -> Piece:
    image = need.image or result.need_images[name]
    folders = [parse_tmpfs(entry) for entry in need.tmpfs]
    tmpfs = tuple(f"{path}:size={size}" if size else path for path, size in folders)
    return Piece(
        name=name, container=f"{result.suite}-{name}", image=image,
        podman_image=_podman_name(image, result, built=name in result.need_images), memory_bytes=need.memory,
        env=need.env, files=need.files, args=need.args, tmpfs=tmpfs, podman_tmpfs=tmpfs,
        health=result.need_asks.get(name, ()), up_seconds=math.ceil(need.health.within_seconds), needs=earlier,
        job=need.health.kind == "exit",
    )  # fmt: skip


def _container_name(result: Hardened) -> str:
    """An engine wants two characters at least (moby, ``RestrictedNamePattern``); nothing that it needs is called so."""
    name = result.suite if len(result.suite) > 1 else f"{result.suite}-service"
    while {name, name.removeprefix(f"{result.suite}-")} & set(result.variant.run.needs):
        name += "-service"
    return name


def _podman_name(image: str, result: Hardened, *, built: bool) -> str:
    """What Podman calls an image. It asks which registry is meant where a reference names none; one that was built by another
    engine, and that it is given by such a name, is ``localhost``'s."""
    if not built:
        return str(parse(image))
    named = parse(image).host != DOCKER_HUB or image.startswith(f"{DOCKER_HUB}/")
    return result.in_podman.get(image) or (image if named else f"localhost/{image}")


def _podman_options(folder: Tmpfs) -> str:
    """Podman takes no owner by number: with U, the folder is the container's user's."""
    return folder.options() if folder.uid is None else f"{replace(folder, uid=None).options()},U"


# What texts say of a model in comments.
def about_network(model: Model, publish: str, closed: str) -> list[str]:
    """What the internal network means; ``closed`` is what makes it one. Nothing where there is a way out."""
    if model.result.outgoing:
        return []
    if not model.ports:
        return ["# Nothing is reached on its network, and outgoing connections are blocked."]
    them, ports = "them" if len(model.ports) > 1 else "it", " and ".join(map(str, model.ports))
    return [
        f"# Others on its network reach port {ports}, and nothing else can; outgoing connections are blocked.",
        f"# To publish {them} here, which also allows outgoing connections: add {publish}, and take away {closed}.",
    ]


def about_needs(model: Model) -> list[str]:
    """Of those that are not waited for, of stand-ins, and of other variants."""
    result = model.result
    notes: dict[str, Sequence[str]] = {
        "Nothing in the image tells whether it is up, so that nothing waits for it: {}.": model.service.unchecked_needs,
        "What tells whether it is up was tried in a local stand-in, and the public image may lack it: {}.": [
            name for name in result.need_stand_ins if result.need_asks.get(name)
        ],
        "Only in the engine that built it: {}. Elsewhere: push it, and set its name here.": [
            *result.need_images.values()
        ],
    }
    return [f"# {note.format(', '.join(names))}" for note, names in notes.items() if names]


def why_no_health(model: Model) -> str:
    """Why nothing inside the container tells whether it is well."""
    health, result = model.variant.health, model.result
    if result.asks:
        return (
            f"{result.asks[0]}, which could ask, needs system calls that the seccomp profile refuses "
            "(--no-seccomp: the engine's own profile, and a check)"
        )
    if health.kind == "exit":
        return "it is no server, and ends by itself"
    asked = {"http": f"GET {health.path}", "grpc": "grpc.health.v1", "tcp": f"port {model.variant.port}"}
    return f"the image brings no program that could ask {asked.get(health.kind, 'it')} from inside"


# Values as YAML, Compose and Kubernetes take them.
class Quoted(str):
    """Text that is not ours: written in quotes, because not all readers of YAML take 1e3, 0o17 or y for text."""


def escaped(text: str) -> Quoted:
    """A value of the suite's. Compose replaces ``$NAME`` in it, Kubernetes ``$(NAME)``; both take ``$$`` for one dollar sign."""
    return Quoted(text.replace("$", "$$"))


def label(name: str) -> str:
    """A suite's name as a label of RFC 1123, which knows no dots and underscores."""
    return re.sub("[^a-z0-9]", "-", name)[:MAX_LABEL].rstrip("-")


def short(size_bytes: int | None, unit: str = "m") -> str:
    """Bytes in ``unit`` of 2^20 where nothing is lost."""
    mebibytes, rest = divmod(size_bytes or 0, 2**20)
    return str(size_bytes) if rest else f"{mebibytes}{unit}"


def compact(**values: Any) -> dict[str, Any]:
    """The keys that have something to say."""
    return {name: value for name, value in values.items() if value}


def yaml_text(document: dict[str, Any]) -> str:
    import yaml

    class Plain(yaml.SafeDumper):
        """Says everything where it stands: an alias for labels that are the same twice is right, and unreadable."""

        def ignore_aliases(self, _data: Any) -> bool:
            return True

    Plain.add_representer(
        Quoted, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"')
    )
    text: str = yaml.dump(document, Dumper=Plain, sort_keys=False, width=120)
    return text
