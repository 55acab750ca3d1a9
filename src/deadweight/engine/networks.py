"""Bridge networks of our own: what their bridges are called, and how one is cut off from this machine."""

from __future__ import annotations

from deadweight.engine.info import EngineInfo

BRIDGE_NAME = "com.docker.network.bridge.name"
"""Left to itself, Docker calls a network's bridge by the network's id, and Podman by a number."""


def bridge_of(network: str) -> str:
    """The name of the bridge of a network of ours on the engine's machine; 15 characters, as many as Linux allows."""
    return f"dw-{network.rpartition('-')[2]}"


def cut_off(info: EngineInfo) -> dict[str, str]:
    """The options of a network whose bridge has no address of this machine; Podman knows none."""
    return {} if info.podman else {"com.docker.network.bridge.inhibit_ipv4": "true"}
