"""Bridge networks of our own: what their bridges are called, how one is cut off from this machine, and where Podman has them."""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from deadweight._errors import DeadweightError
from deadweight.engine.info import EngineInfo

if TYPE_CHECKING:
    from docker.api.client import APIClient

BRIDGE_NAME = "com.docker.network.bridge.name"
"""Left to itself, Docker calls a network's bridge by the network's id, and Podman by a number."""

OF_PODMAN = "/v4.0.0/libpod/networks/create"


def bridge_of(network: str) -> str:
    """The name of the bridge of a network of ours on the engine's machine; 15 characters, as many as Linux allows."""
    return f"dw-{network.rpartition('-')[2]}"


def cut_off(info: EngineInfo) -> dict[str, str]:
    """The options of a network whose bridge has no address of this machine; Podman's has none by ``_without_gateway``."""
    return {} if info.podman else {"com.docker.network.bridge.inhibit_ipv4": "true"}


def create_network(
    api: APIClient, name: str, info: EngineInfo, labels: dict[str, str], *, internal: bool, host_address: bool
) -> None:
    """Create a bridge network. ``internal``: nothing leads out. Without ``host_address`` its bridge has no address of this machine,
    which Podman can do for an internal one alone. Raises DeadweightError, or the SDK's errors."""
    if info.podman and internal and not host_address:
        _without_gateway(api, name, labels)
        return
    options = {BRIDGE_NAME: bridge_of(name), **({} if host_address else cut_off(info))}
    api.create_network(name, driver="bridge", internal=internal, options=options, labels=labels)


def _without_gateway(api: APIClient, name: str, labels: Mapping[str, str]) -> None:
    """Create a network in Podman whose bridge has no address of its machine: Podman gives it none where nothing leads out and
    it answers for no names there, which only its own API can ask for. Raises DeadweightError."""
    asked = {
        "name": name,
        "driver": "bridge",
        "network_interface": bridge_of(name),
        "internal": True,
        "dns_enabled": False,
        "labels": dict(labels),
    }
    answer = api.post(f"{api.base_url}{OF_PODMAN}", json=asked)
    if not answer.ok:
        raise DeadweightError(f"engine: create network {name}: {answer.text.strip()}")


def namespaces(info: EngineInfo, described: Mapping[str, Any]) -> tuple[str, ...]:
    """In which network, by ``RunOptions.network``, the bridges of an engine may be: its machine's, but where Podman runs without
    root. That makes a namespace for all bridges of its user. Its place follows from where that Podman keeps things
    (``described``, from its ``/libpod/info``): in one way since Podman 5, in another before."""
    if not (info.podman and info.rootless):
        return ("host",)
    store = described.get("store") or {}
    root, run = str(store.get("graphRoot") or ""), str(store.get("runRoot") or "")
    old = f"rootless-netns-{hashlib.sha256(f'{root}/libpod'.encode()).hexdigest()[:20]}"
    before = [posixpath.join(folder, "netns", old) for folder in _runtime_folders(described, run)]
    since = posixpath.join(run, "networks", "rootless-netns", "rootless-netns")
    places = [*before, since] if info.version.startswith("4.") else [since, *before]
    return tuple(f"ns:{place}" for place in dict.fromkeys(places))


def _runtime_folders(described: Mapping[str, Any], run: str) -> list[str]:
    """Where XDG_RUNTIME_DIR may be: around Podman's own folder there, and where Podman looks for it by the user's number."""
    mappings = ((described.get("host") or {}).get("idMappings") or {}).get("uidmap") or ()
    users = [each.get("host_id") for each in mappings if each.get("container_id") == 0]
    return [posixpath.dirname(run), *(f"/run/user/{user}" for user in users)]
