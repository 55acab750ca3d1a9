"""Builders of buildx by name: where their nodes are, from what buildx keeps of them, so that buildx itself need not be here.

Source: buildx, ``store/store.go`` (a JSON file for each builder) and ``driver/``: a node of the driver ``docker-container`` is the
container ``buildx_buildkit_NODE`` of its engine, one of the driver ``remote`` is an address.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from deadweight._errors import UsageError
from deadweight_pool.endpoint import Endpoint

_TLS = (("cacert", "--tlscacert"), ("cert", "--tlscert"), ("key", "--tlskey"), ("servername", "--tlsservername"))


def folder() -> Path:
    """Where buildx keeps its builders."""
    given = os.environ.get("BUILDX_CONFIG")
    if given:
        return Path(given) / "instances"
    return Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker") / "buildx" / "instances"


def nodes(name: str, builder: str, platforms: Sequence[str], places: int) -> Iterator[Endpoint]:
    """The endpoints of a builder; ``name`` is what the pool calls it.

    Raises UsageError for a builder that is not there, and for a driver that has no address.
    """
    file = folder() / builder.replace("/", "_")
    try:
        kept = json.loads(file.read_text(encoding="utf-8"))
        driver, found = str(kept["Driver"]), list(kept["Nodes"])
    except FileNotFoundError:
        known = ", ".join(sorted(each.name for each in folder().glob("*"))) or "none"
        raise UsageError(f"buildx has no builder {builder!r}", hint=f"builders in {folder()}: {known}") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{file}: is not a builder of buildx ({error})") from None
    for node in found:
        whole = name if len(found) == 1 else f"{name}.{node.get('Name', '')}"
        told = tuple("/".join(str(each[key]) for key in ("os", "architecture")) for each in node.get("Platforms") or ())
        yield _node(whole, driver, node, tuple(platforms) or told, places)


def _node(name: str, driver: str, node: Mapping[str, Any], platforms: tuple[str, ...], places: int) -> Endpoint:
    where, options = str(node.get("Endpoint") or ""), node.get("DriverOpts") or {}
    if driver == "remote":
        tls = [word for key, flag in _TLS if options.get(key) for word in (flag, str(options[key]))]
        return Endpoint(name, where, tuple(tls), {}, platforms, places)
    if driver == "docker-container":
        engine = {"DOCKER_HOST": where} if "://" in where else {"DOCKER_CONTEXT": where} if where else {}
        return Endpoint(name, f"docker-container://buildx_buildkit_{node.get('Name')}", (), engine, platforms, places)
    raise UsageError(
        f"a builder with the driver {driver!r} has no address",
        hint="name a builder with the driver docker-container or remote, or its pods as kube-pod://NAME",
    )
