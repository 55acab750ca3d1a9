"""Run BuildKit builds on the engine, and query, tag and find the images they produce."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from deadweight import _run
from deadweight._errors import DeadweightError, MissingError, wording
from deadweight.builders.dockerfile import podman
from deadweight.builders.protocol import Site
from deadweight.builders.shared import common
from deadweight.builders.shared.archive import last_built
from deadweight.builders.variants import DockerfileVariant
from deadweight.records.built_image import BuiltImage, kept_name, retire
from deadweight.toolchain.find import number

if TYPE_CHECKING:
    from deadweight.engine.api import Endpoint, EngineInfo
    from deadweight.engine.images import Identity

_NAMING = ("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG", "DEADWEIGHT_CACHE_DIR", "HOME")
"""Variables that decide which engine is meant."""


def build(
    site: Site,
    words: Sequence[str | Path],
    *,
    env: Mapping[str, str],
    log: Path,
    on_line: Callable[[str], None],
    redact: Sequence[str],
    ignore: Path,
) -> None:
    """Run a BuildKit build, or Podman's; ``words`` are the arguments after ``build``, ``ignore`` is the ignore file.

    Raises CommandError, MissingError (no client, no BuildKit, or the engine falls silent).
    """
    from deadweight.engine import connect
    from deadweight.engine.daemon import docker_cli, find_or_start

    endpoint = find_or_start(on_line)
    if _info(endpoint).podman:
        podman.build(endpoint, words, ignore=ignore, cwd=site.root, env=env, log=log, on_line=on_line, redact=redact)
        return
    _refuse_without(endpoint)
    client = docker_cli(endpoint)
    # an attestation holds the time of the build, and makes an index of what was one image: only where the suite asks for it
    attests = any(str(word).startswith("--attest=type=provenance") for word in words)
    plain = ["--progress=plain", *(["--provenance=false"] if client.buildx and not attests else [])]
    with connect.watch_engine(endpoint) as stop:
        _run.run(
            client.build(*plain, *(str(word) for word in words)),
            cwd=site.root,
            env={**env, **client.env},
            timeout=common.BUILD_TIMEOUT_SECONDS,
            log=log,
            on_line=on_line,
            redact=redact,
            stop=stop,
        )


def _refuse_without(endpoint: Endpoint) -> None:
    """Raises MissingError for an engine without BuildKit: buildx would start one from a public registry, unasked."""
    from deadweight.engine import api

    if problem := api.buildkit_trouble(endpoint.host, endpoint.certificates):
        raise MissingError(wording("dockerfile.no_buildkit", host=endpoint.host, problem=problem))


def version() -> str:
    """The engine's version, as an input: another engine is another tool. Starts no engine."""
    known = _known()
    return known.version if known else "none"


def running_podman() -> Endpoint | None:
    """The engine that runs, where that is Podman. Starts none, and tells no trouble: who looks for an engine does."""
    try:
        known = _known()
    except DeadweightError:
        return None
    return known.endpoint if known is not None and known.podman else None


def gives_variables() -> bool:
    """Whether the engine gives a build's secret as a variable (``--mount=type=secret,env=``; Dockerfile 1.10, Engine 27.3)."""
    known = _known()
    return known is not None and not known.podman and number(known.version)[:2] >= (27, 3)


def unknown_words() -> frozenset[str]:
    """What of Dockerfiles the engine that runs does not know yet, as far as it can be said otherwise."""
    from deadweight.sources.adapt_dockerfile import lacking

    known = _known()
    if known is None:
        return frozenset()
    return podman.unknown_words(known.endpoint) if known.podman else lacking(number(known.version))


def keeps_no_attestations() -> str:
    """Why attestations of an image would be lost in the engine that runs; empty where they are kept, or where none runs."""
    from deadweight.engine import api
    from deadweight.engine.api import parse_info

    known = _known()
    if known is None:
        return ""
    if known.podman:
        return wording("dockerfile.podman_attests_nothing")
    info = api.document(known.endpoint.host, "/info", known.endpoint.certificates)
    kept = not info or parse_info({}, info).containerd_store
    return "" if kept else wording("dockerfile.store_keeps_no_attestations")


def tool() -> str:
    """What the images of the engine that runs are built with, by its name and version."""
    known = _known()
    return f"{'podman' if known and known.podman else 'docker'} {known.version if known else 'none'}"


def identity(site: Site, variant: DockerfileVariant, name: str, told: str) -> Identity:
    """What the image that was just built under ``name`` goes by. Its config may not be among it (``Identity.config``).

    ``told`` is the id that the client wrote down, which is the config's digest or the manifest's, as the client's version likes
    it. So it only shows whether ``name`` still means that image: another checkout of the suite may have taken it meanwhile.
    Raises DeadweightError where it has, and the engine does not find the image by what was told.
    """
    images = site.engine().images
    found = images.identity(name)
    if found is None or not found.goes_by(told):
        found = images.identity(told) or found
    if found is None or (found.config is not None and not found.goes_by(told)):
        raise DeadweightError(wording("dockerfile.tag_moved", variant=variant.name, tag=name, image=told))
    return found


def full_disk(site: Site) -> str:
    """What to do about the full disk of the engine, which may be another machine's."""
    engine = site.engine()
    return wording("dockerfile.engine_disk_full", folder=engine.info.root_dir, host=engine.host)


def keep(site: Site, variant: DockerfileVariant, name: str, engine_id: str, config_digest: str) -> str:
    """Give a new image the name that only it has, and take that of the variant's last image away; the new name.

    A container may run from the last one: then its name goes later (``built_image.retire``).
    """
    images, reference = site.engine().images, kept_name(name, config_digest)
    images.tag(engine_id, reference)
    last = last_built(variant, site.state)
    old = (last.reference,) if last is not None and last.in_engine and last.reference not in (name, reference) else ()
    retire(site.state, images.let_go, *old, current=reference)
    return reference


def has(built: BuiltImage) -> bool:
    """Whether the engine, if one runs, has this very image under its name. Starts no engine.

    By the id that the engine gave it: one that has changed its image store since has another image, or none.
    """
    known = _known()
    if known is None or built.engine_id is None:
        return False
    from deadweight.engine import api as wire

    endpoint = known.endpoint
    found = wire.document(endpoint.host, f"/images/{built.reference}/json", endpoint.certificates).get("Id")
    return found is not None and str(found).removeprefix("sha256:") == built.engine_id.removeprefix("sha256:")


@dataclass(frozen=True)
class _Known:
    endpoint: Endpoint
    version: str
    podman: bool


_seen: dict[tuple[str | None, ...], _Known] = {}


def _known() -> _Known | None:
    """The engine that runs, looked for once: a plan asks for every variant, and loading Docker's SDK for it takes 0.2 s."""
    from deadweight.engine.daemon import find_running

    key = tuple(os.environ.get(name) for name in _NAMING)
    if key not in _seen:
        endpoint = find_running()
        if endpoint is None or not (info := _info(endpoint)).version:
            return None
        _seen[key] = _Known(endpoint, info.version, info.podman)
    return _seen[key]


def _info(endpoint: Endpoint) -> EngineInfo:
    """What an engine tells of its version."""
    from deadweight.engine import api
    from deadweight.engine.api import parse_info

    return parse_info(api.document(endpoint.host, "/version", endpoint.certificates), {})
