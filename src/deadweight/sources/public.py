"""The public registries and APK repositories, and the same through a mirror."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from deadweight._errors import ConfigError
from deadweight.records.paths import State
from deadweight.records.reference import DOCKER_HUB, parse
from deadweight.sources.protocol import ApkFlavour
from deadweight.sources.remote import Names, RemoteSource
from deadweight.sources.settings import Mirror, Settings

REPOSITORIES: Mapping[ApkFlavour, tuple[str, ...]] = {
    "wolfi": ("https://packages.wolfi.dev/os",),
    "alpine": ("https://dl-cdn.alpinelinux.org/alpine/v3.22/main",),
}
KEYS: Mapping[ApkFlavour, tuple[str, ...]] = {
    "wolfi": ("https://packages.wolfi.dev/os/wolfi-signing.rsa.pub",),
    "alpine": ("https://alpinelinux.org/keys/alpine-devel@lists.alpinelinux.org-6165ee59.rsa.pub",),
}


def registry(state: State, settings: Settings, flavours: Sequence[ApkFlavour]) -> RemoteSource:
    """The public registries, under their own names."""
    return RemoteSource("registry", Names(lambda reference: reference, REPOSITORIES, KEYS), state, settings, flavours)


def mirror(state: State, settings: Settings, flavours: Sequence[ApkFlavour]) -> RemoteSource:
    """The same through a mirror. Raises ConfigError where none is configured."""
    given = settings.mirror
    if given is None or not (given.registries or given.apk):
        raise ConfigError(
            "no mirror is configured",
            file="sources",
            key="mirror",
            hint="invoke setup --source mirror --mirror HOST/PREFIX, or sources: in deadweight.yaml",
        )
    keys = dict.fromkeys(given.apk, given.apk_keys)
    names = Names(lambda reference: mirrored(given, reference), given.apk, keys, given.insecure)
    return RemoteSource("mirror", names, state, settings, flavours)


def mirrored(mirror: Mirror, reference: str) -> str:
    """What a public reference is called in the mirror. A host without a rule keeps its name."""
    parsed = parse(reference)
    if parsed.host in mirror.registries:
        return parsed.at(mirror.registries[parsed.host])
    everything = mirror.registries.get("*")
    return parsed.at(f"{everything.rstrip('/')}/{parsed.host}") if everything else reference


def front_door(host: str) -> str:
    """The URL at which a registry answers. Docker Hub's name for people is not its name on the network."""
    return f"https://{'registry-1.docker.io' if host == DOCKER_HUB else host}/v2/"
