"""Writes RunOptions as the Engine API's ``POST /containers/create`` document (API 1.41 and later)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deadweight._errors import UsageError
from deadweight.engine.info import EngineInfo
from deadweight.engine.options import RunOptions, Ulimit


def create_body(
    image: str, options: RunOptions, info: EngineInfo, most: Mapping[str, int] | None = None
) -> dict[str, Any]:
    """The document. ``most`` is how far limits may go that the engine cannot raise (``max_limits``).

    Raises UsageError for a seccomp profile that cannot be read.
    """
    body: dict[str, Any] = {
        "Image": image,
        "Env": [f"{name}={value}" for name, value in sorted(options.env.items())],
        "Labels": dict(options.labels),
        "HostConfig": _host_config(options, info, most or {}),
    }
    if options.user is not None:
        body["User"] = options.user
    if options.args:
        body["Cmd"] = list(options.args)
    if options.entrypoint is not None:
        body["Entrypoint"] = list(options.entrypoint)
    if options.publish is not None:
        body["ExposedPorts"] = {f"{port}/tcp": {} for port in (options.publish, *options.ports)}
    return body


def _host_config(options: RunOptions, info: EngineInfo, most: Mapping[str, int]) -> dict[str, Any]:
    config: dict[str, Any] = {
        "ReadonlyRootfs": options.read_only,
        # Podman copies what the image has there, Docker does not: what holds with one is to hold with the other
        "Tmpfs": {each.path: each.options() + (",notmpcopyup" if info.podman else "") for each in options.tmpfs},
        "CapDrop": list(options.cap_drop),
        "CapAdd": list(options.cap_add),
        "SecurityOpt": _security(options, info),
        "Privileged": options.privileged,
        "NetworkMode": options.network,
        "Ulimits": [{"Name": u.name, "Soft": u.soft, "Hard": u.hard} for u in _ulimits(options, info, most)],
        "Mounts": [
            {"Type": "bind", "Source": str(m.source), "Target": m.target, "ReadOnly": m.read_only}
            for m in options.mounts
        ],
        **_limits(options),
    }
    if not info.podman:  # Podman's log drivers have other names and options; it bounds nothing by default, as before
        size = {"max-size": str(options.log_bytes), "max-file": "1"}
        config["LogConfig"] = {"Type": "json-file", "Config": size}
    if not options.masked_paths:
        config["MaskedPaths"], config["ReadonlyPaths"] = [], []
    if options.device_rules:
        config["DeviceCgroupRules"] = list(options.device_rules)
    if options.hosts:
        config["ExtraHosts"] = [f"{name}:{address}" for name, address in options.hosts.items()]
    if options.dns:
        config["Dns"] = list(options.dns)
    modes = (("PidMode", options.pid_mode), ("IpcMode", options.ipc_mode), ("UsernsMode", options.userns_mode))
    config |= {key: mode for key, mode in modes if mode}
    if options.publish is not None:
        host_port = "" if options.host_port is None else str(options.host_port)
        more = {f"{port}/tcp": [{"HostIp": "127.0.0.1", "HostPort": ""}] for port in options.ports}
        config["PortBindings"] = {**more, f"{options.publish}/tcp": [{"HostIp": "127.0.0.1", "HostPort": host_port}]}
    return config


def _limits(options: RunOptions) -> dict[str, int]:
    limits: dict[str, int] = {}
    if options.memory_bytes is not None:
        limits["Memory"] = options.memory_bytes
        if options.swap_bytes is not None:
            limits["MemorySwap"] = options.memory_bytes + options.swap_bytes
    if options.cpus is not None:
        limits["NanoCpus"] = int(options.cpus * 1e9)
    if options.pids is not None:
        limits["PidsLimit"] = options.pids
    return limits


def _security(options: RunOptions, info: EngineInfo) -> list[str]:
    words = ["no-new-privileges"] if options.no_new_privileges else []  # with a colon, Docker's log complains each time
    if options.seccomp == "unconfined":
        words.append("seccomp=unconfined")
    elif options.seccomp != "default":
        document = _profile(Path(options.seccomp))
        words.append(f"seccomp={Path(options.seccomp).absolute() if info.podman else document}")
    if options.apparmor != "default":
        words.append(f"apparmor={options.apparmor}")
    if info.podman and not options.masked_paths:
        words.append("unmask=ALL")  # it does not look at the lists that Docker takes
    return words


def _profile(path: Path) -> str:
    """A seccomp profile's content: Docker's API takes the document, Podman's the name of a file on its machine."""
    try:
        return json.dumps(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{path}: is not a seccomp profile: {error}",
            hint="it must be a JSON file in the format of Docker's profiles",
        ) from error


def _ulimits(options: RunOptions, info: EngineInfo, most: Mapping[str, int]) -> tuple[Ulimit, ...]:
    """The given ones; for Podman also those it would otherwise raise, none beyond what its runtime may set."""
    if not info.podman:
        return options.ulimits
    named = {limit.name for limit in options.ulimits}
    extra = (Ulimit(name, bound, bound) for name, bound in most.items() if name not in named)
    return (*(_within(limit, most.get(limit.name, limit.hard)) for limit in options.ulimits), *extra)


def _within(limit: Ulimit, bound: int) -> Ulimit:
    return Ulimit(limit.name, min(limit.soft, bound), min(limit.hard, bound))
