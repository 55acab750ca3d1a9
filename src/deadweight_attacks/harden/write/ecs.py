"""Write the hardened settings as an ECS task definition for Fargate (``aws ecs`` input JSON)."""

from __future__ import annotations

import json
import math
import re
from typing import Any

from deadweight._errors import DeadweightError
from deadweight_attacks.harden.write.model import PORT_SYSCTL, Model, compact
from deadweight_attacks.walls import wording

STOP_SECONDS, MOST_STOP_SECONDS = 30, 120
MOST_START_SECONDS = 300
FARGATE: dict[int, range] = {
    256: range(1024, 2049, 1024),
    512: range(1024, 4097, 1024),
    1024: range(2048, 8193, 1024),
    2048: range(4096, 16385, 1024),
    4096: range(8192, 30721, 1024),
    8192: range(16384, 61441, 4096),
    16384: range(32768, 122881, 8192),
}
"""Processor units, and the mebibytes of memory that Fargate sells with them (ECS developer guide, "Task size")."""
LEAST_SIZE = (256, 512)


def text(model: Model) -> str:
    return json.dumps(task(model), indent=2) + "\n"


def task(model: Model) -> dict[str, Any]:
    """One container in a task of the smallest size that holds it.

    Raises DeadweightError where the service needs a capability that ECS cannot add, or more than Fargate sells.
    """
    options, seccomp = model.options, model.result.seccomp
    if options.cap_add:
        needs = ", ".join(options.cap_add)
        raise DeadweightError(wording("write.fargate_capabilities", variant=model.variant.name, names=needs))
    units, memory = size(options.cpus or 0.25, _mebibytes(options.memory_bytes))
    # the platform's own default is X86_64
    architecture = {"amd64": "X86_64", "arm64": "ARM64"}[seccomp.architecture] if seccomp else ""
    return {
        "family": _name(model.suite),
        "networkMode": "awsvpc",
        "requiresCompatibilities": ["FARGATE"],
        "cpu": str(units),
        "memory": str(memory),
        "runtimePlatform": {"operatingSystemFamily": "LINUX"} | compact(cpuArchitecture=architecture),
        "containerDefinitions": [_container(model)],
    }


def size(cpus: float, mebibytes: int) -> tuple[int, int]:
    """The smallest task that holds so much. Raises DeadweightError where none does."""
    if cpus <= 0.25 and mebibytes <= LEAST_SIZE[1]:
        return LEAST_SIZE
    for units, sold in FARGATE.items():
        enough = [memory for memory in sold if memory >= mebibytes]
        if units >= cpus * 1024 and enough:
            return units, enough[0]
    raise DeadweightError(wording("write.fargate_size", cpus=cpus, mebibytes=mebibytes))


def _name(name: str) -> str:
    """Letters, digits, hyphens and underscores are all that a family and a container may be called."""
    return re.sub("[^A-Za-z0-9_-]", "-", name)


def _mebibytes(size_bytes: int | None) -> int:
    """As ECS counts."""
    return math.ceil((size_bytes or 0) / 2**20)


def _container(model: Model) -> dict[str, Any]:
    options, service, health = model.options, model.service, model.result.asks
    # Fargate has folders in memory since January 2026. An empty volume would be root's alone, and could hold programs.
    folders = [
        {
            "containerPath": folder.path,
            "size": _mebibytes(folder.size_bytes),
            "mountOptions": [
                "noexec" if folder.noexec else "exec", "nosuid", "nodev", f"mode={folder.mode:o}",
                *([] if folder.uid is None else [f"uid={folder.uid}"]),
            ],
        }
        for folder in options.tmpfs
    ]  # fmt: skip
    stop, start = model.stop_seconds(STOP_SECONDS), min(MOST_START_SECONDS, service.up_seconds)
    check = {"command": ["CMD", *health], "interval": 10, "timeout": 5, "retries": 3, "startPeriod": start}
    return {
        "name": _name(service.container),
        "image": service.image,
        "essential": True,
        "user": str(options.user),
        "readonlyRootFilesystem": options.read_only,
        "memory": _mebibytes(options.memory_bytes),
        "portMappings": [{"containerPort": port, "protocol": "tcp"} for port in model.ports],
        "linuxParameters": compact(capabilities=compact(drop=list(options.cap_drop)), tmpfs=folders),
    } | compact(
        ulimits=[  # Fargate keeps its own of all others
            {"name": limit.name, "softLimit": limit.soft, "hardLimit": limit.hard}
            for limit in options.ulimits
            if limit.name == "nofile"
        ],
        systemControls=[{"namespace": PORT_SYSCTL, "value": str(model.low_port)}] if model.low_port else [],
        environment=[{"name": name, "value": value} for name, value in service.env.items()],
        entryPoint=list(service.entrypoint),
        command=list(service.args),
        healthCheck=check if health else {},
        stopTimeout=min(stop, MOST_STOP_SECONDS) if stop else None,
    )


def unsupported(model: Model) -> list[str]:
    """What a task has no word for."""
    options, needs = model.options, model.variant.run.needs
    limits = {f"the limit {limit.name}": limit.name != "nofile" for limit in options.ulimits}
    words = {
        f"{options.pids} processes": True, "no swap (Fargate has none)": True, **limits,
        "files of your repository": options.files, f"what it needs beside it ({', '.join(needs)})": needs,
        "no new privileges": options.no_new_privileges,
        "the seccomp profile (Fargate's own stays)": model.result.profiled,
        "the network without a way out (a security group can)": not model.result.outgoing,
    }  # fmt: skip
    return [text for text, applies in words.items() if applies]


def missing(model: Model) -> list[str]:
    """What only you can add."""
    lines = ["executionRoleArn and logConfiguration are yours to add: for an image in ECR, and to see what it says"]
    if "@sha256:" not in model.service.image:
        lines.append("push the image, and name it: invoke harden --image REPOSITORY@sha256:…")
    return lines
