"""Load the pool settings: the user's (``pool.yaml`` or ``DEADWEIGHT_POOL``) override the suite's."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from deadweight._errors import ConfigError, UsageError
from deadweight.suite.explain import validated
from deadweight.suite.model import Endpoint as Asked, Pool, Suite
from deadweight.suite.yaml_nodes import read
from deadweight_pool.endpoint import Endpoint, wording

# buildctl's word for each certificate, by the pool's key for it and by buildx's.
_TLS = {
    "ca": "--tlscacert",
    "cacert": "--tlscacert",
    "cert": "--tlscert",
    "key": "--tlskey",
    "servername": "--tlsservername",
}


# Builders of buildx by name: where their nodes are, from what buildx keeps of them, so that buildx itself need not be here.
#
# Source: buildx, ``store/store.go`` (a JSON file for each builder) and ``driver/``: a node of the driver ``docker-container`` is
# the container ``buildx_buildkit_NODE`` of its engine, one of the driver ``remote`` is an address.
def folder() -> Path:
    """Where buildx keeps its builders."""
    docker = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")
    return Path(os.environ.get("BUILDX_CONFIG") or docker / "buildx") / "instances"


def nodes(name: str, builder: str, platforms: Sequence[str], places: int) -> Iterator[Endpoint]:
    """The endpoints of a builder; ``name`` is what the pool calls it.

    Raises UsageError for a builder that is not there, and for a driver that has no address.
    """
    file = folder() / builder.replace("/", "_")
    try:
        kept = json.loads(file.read_text(encoding="utf-8"))
        driver, nodes = str(kept["Driver"]), list(kept["Nodes"])
    except FileNotFoundError:
        known = ", ".join(sorted(path.name for path in folder().glob("*"))) or "none"
        raise UsageError(wording("buildx.no_builder", builder=builder, folder=folder(), known=known)) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(wording("buildx.not_a_builder", file=file, error=str(error))) from None
    for node in nodes:
        whole = name if len(nodes) == 1 else f"{name}.{node.get('Name', '')}"
        supported = tuple(
            "/".join(str(platform[key]) for key in ("os", "architecture")) for platform in node.get("Platforms") or ()
        )
        yield _node(whole, driver, node, tuple(platforms) or supported, places)


def _node(name: str, driver: str, node: Mapping[str, Any], platforms: tuple[str, ...], places: int) -> Endpoint:
    where, options = str(node.get("Endpoint") or ""), node.get("DriverOpts") or {}
    if driver == "remote":
        tls = [word for key, flag in _TLS.items() if options.get(key) for word in (flag, str(options[key]))]
        return Endpoint(name, where, tuple(tls), {}, platforms, places)
    if driver == "docker-container":
        engine = {"DOCKER_HOST": where} if "://" in where else {"DOCKER_CONTEXT": where} if where else {}
        return Endpoint(name, f"docker-container://buildx_buildkit_{node.get('Name')}", (), engine, platforms, places)
    raise UsageError(wording("buildx.driver", driver=driver))


VARIABLE = "DEADWEIGHT_POOL"
NONE = "none"


class Chosen(NamedTuple):
    """A pool, and the file that describes it, whose folder its paths are relative to."""

    pool: Pool
    file: Path


def user_file() -> Path:
    """The user's own pool for all projects."""
    from platformdirs import user_config_path

    return user_config_path("deadweight", appauthor=False) / "pool.yaml"


def chosen(suite: Suite) -> Chosen | None:
    """The pool to build with; None where there is none, or ``DEADWEIGHT_POOL=none`` says so.

    Raises ConfigError with file, line and key; UsageError where the variable names no file.
    """
    named = os.environ.get(VARIABLE, "")
    if named == NONE:
        return None
    if named:
        if not Path(named).is_file():
            raise UsageError(wording("pool.no_file", variable=VARIABLE, file=named, none=NONE))
        return _read(Path(named).absolute())
    own = user_file()
    if own.is_file():
        return _read(own)
    return Chosen(suite.pool, suite.file) if suite.pool is not None else None


def endpoints(chosen: Chosen) -> tuple[Endpoint, ...]:
    """All endpoints, each node of a buildx builder as one. Raises ConfigError for a file or builder that is not there."""
    return tuple(node for name, asked in chosen.pool.endpoints.items() for node in _resolved(chosen, name, asked))


class CheckEngine(NamedTuple):
    """An engine that runs checks. ``certificates`` is a folder with ca.pem, cert.pem and key.pem, or None."""

    name: str
    host: str
    certificates: str | None
    places: int


def engines(chosen: Chosen) -> tuple[CheckEngine, ...]:
    """All engines that run checks. Raises ConfigError for certificates that are not there."""
    engines = []
    for name, asked in chosen.pool.engines.items():
        folder = asked.certificates and str(chosen.file.parent / Path(asked.certificates).expanduser())
        for file in ("ca.pem", "cert.pem", "key.pem") if folder else ():
            _certificate(chosen, f"{folder}/{file}", f"engines.{name}.certificates")
        engines.append(CheckEngine(name, asked.host, folder, asked.places))
    return tuple(engines)


def _certificate(chosen: Chosen, given: str, key: str) -> str:
    """A certificate's file. Raises ConfigError, at the key that names it, where it is not there."""
    path = chosen.file.parent / Path(given).expanduser()
    if not path.is_file():
        missing = wording("pool.no_certificate", path=path, root=chosen.file.parent)
        raise ConfigError(missing, file=chosen.file, key=f"pool.{key}")
    return str(path)


def _resolved(chosen: Chosen, name: str, asked: Asked) -> Iterator[Endpoint]:
    if asked.builder is not None:
        try:
            yield from nodes(name, asked.builder, asked.platforms, asked.places)
        except UsageError as error:
            key = f"pool.endpoints.{name}.builder"
            raise ConfigError(error.message, file=chosen.file, key=key, hint=error.hint) from None
        return
    tls: list[str] = []
    for key, given in (("ca", asked.ca), ("cert", asked.cert), ("key", asked.key)):
        if given is not None:
            tls += [_TLS[key], _certificate(chosen, given, f"endpoints.{name}.{key}")]
    if asked.server_name is not None:
        tls += [_TLS["servername"], asked.server_name]
    assert asked.address is not None
    yield Endpoint(name, asked.address, tuple(tls), {}, asked.platforms, asked.places)


def _read(file: Path) -> Chosen:
    document = read(file)
    return Chosen(validated(document, Pool, document.value, lambda location: location), file)
