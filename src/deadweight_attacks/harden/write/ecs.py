"""An ECS task definition for Fargate (``aws ecs register-task-definition --cli-input-json``)."""

from __future__ import annotations

import json
import math
import re
from typing import Any

from deadweight._errors import DeadweightError
from deadweight.engine.options import RunOptions
from deadweight_attacks.harden.found import Found
from deadweight_attacks.harden.write.values import (
    PORT_SYSCTL,
    Written,
    all_ports,
    container_name,
    key,
    low_port,
    start_seconds,
    stop_seconds,
)

ECS_STOP_SECONDS = 30
MOST_STOP_SECONDS = 120
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


def task(found: Found, given: Written | None = None) -> dict[str, Any]:
    """One container in a task of the smallest size that holds it.

    Raises DeadweightError where the service needs a capability that ECS cannot add, or more than Fargate sells.
    """
    options, given = found.options, given or Written()
    if options.cap_add:
        needs = ", ".join(options.cap_add)
        raise DeadweightError(
            f"{found.variant.name} needs the capabilities {needs}: Fargate adds none but SYS_PTRACE",
            hint="invoke harden --format run shows what it needs",
        )
    units, memory = size(options.cpus or 0.25, _memory(options))
    return {
        "family": _name(found.suite),
        "networkMode": "awsvpc",
        "requiresCompatibilities": ["FARGATE"],
        "cpu": str(units),
        "memory": str(memory),
        "runtimePlatform": {"operatingSystemFamily": "LINUX"} | key("cpuArchitecture", _architecture(found)),
        "containerDefinitions": [_container(found, given)],
    }


def size(cpus: float, mebibytes: int) -> tuple[int, int]:
    """The smallest task that holds so much. Raises DeadweightError where none does."""
    if cpus <= 0.25 and mebibytes <= LEAST_SIZE[1]:
        return LEAST_SIZE
    for units, sold in FARGATE.items():
        enough = [each for each in sold if each >= mebibytes]
        if units >= cpus * 1024 and enough:
            return units, enough[0]
    raise DeadweightError(
        f"no task of Fargate's has {cpus:g} processors and {mebibytes} MiB of memory",
        hint="lower run.cpus and run.memory, or take --format kubernetes",
    )


def _name(text: str) -> str:
    """Letters, digits, hyphens and underscores are all that a family and a container may be called."""
    return re.sub("[^A-Za-z0-9_-]", "-", text)


def _memory(options: RunOptions) -> int:
    """In whole mebibytes, as ECS counts."""
    return math.ceil((options.memory_bytes or 0) / 2**20)


def _container(found: Found, given: Written) -> dict[str, Any]:
    options = found.options
    container: dict[str, Any] = {
        "name": _name(container_name(found)),
        "image": given.image or found.image,
        "essential": True,
        "user": str(options.user),
        "readonlyRootFilesystem": options.read_only,
        "memory": _memory(options),
        "portMappings": [{"containerPort": port, "protocol": "tcp"} for port in all_ports(found)],
        "linuxParameters": key("capabilities", key("drop", list(options.cap_drop))) | key("tmpfs", _in_memory(options)),
    }
    nofile = [each for each in options.ulimits if each.name == "nofile"]  # Fargate keeps its own of all others
    container |= key(
        "ulimits", [{"name": each.name, "softLimit": each.soft, "hardLimit": each.hard} for each in nofile]
    )
    if lowest := low_port(found):
        container["systemControls"] = [{"namespace": PORT_SYSCTL, "value": str(lowest)}]
    if options.env:
        container["environment"] = [{"name": name, "value": value} for name, value in options.env.items()]
    if options.entrypoint:
        container["entryPoint"] = list(options.entrypoint)
    if options.args:
        container["command"] = list(options.args)
    if found.asks:
        container["healthCheck"] = {
            "command": ["CMD", *found.asks], "interval": 10, "timeout": 5, "retries": 3,
            "startPeriod": min(MOST_START_SECONDS, start_seconds(found)),
        }  # fmt: skip
    stop = stop_seconds(found, ECS_STOP_SECONDS)
    if stop:
        container["stopTimeout"] = min(stop, MOST_STOP_SECONDS)
    return container


def _in_memory(options: RunOptions) -> list[dict[str, Any]]:
    """Fargate has them since January 2026. An empty volume in their place would be root's alone, and could run programs."""
    return [
        {
            "containerPath": each.path,
            "size": math.ceil(each.size_bytes / 2**20),
            "mountOptions": [
                "noexec" if each.noexec else "exec",
                "nosuid",
                "nodev",
                f"mode={each.mode:o}",
                *([] if each.uid is None else [f"uid={each.uid}"]),
            ],
        }
        for each in options.tmpfs
    ]


def _architecture(found: Found) -> str:
    """Where it is known: the platform's own default is X86_64."""
    return {"amd64": "X86_64", "arm64": "ARM64"}[found.seccomp.architecture] if found.seccomp else ""


def lost(found: Found) -> list[str]:
    """What a task has no word for."""
    options = found.options
    lines = [f"{options.pids} processes", "no swap (Fargate has none)"]
    lines += [f"the limit {each.name}" for each in options.ulimits if each.name != "nofile"]
    lines += ["files of your repository"] if options.files else []
    lines += [f"what it needs beside it ({', '.join(needs)})"] if (needs := found.variant.run.needs) else []
    lines += ["no new privileges"] if options.no_new_privileges else []
    lines += ["the seccomp profile (Fargate's own stays)"] if found.profiled else []
    lines += ["the network without a way out (a security group can)"] if not found.outgoing else []
    return lines


def missing(found: Found, given: Written) -> list[str]:
    """What only you can add."""
    lines = ["executionRoleArn and logConfiguration are yours to add: for an image in ECR, and to see what it says"]
    if "@sha256:" not in (given.image or found.image):
        lines.append("push the image, and name it: invoke harden --image REPOSITORY@sha256:…")
    return lines


def text(found: Found, given: Written) -> str:
    return json.dumps(task(found, given), indent=2) + "\n"
