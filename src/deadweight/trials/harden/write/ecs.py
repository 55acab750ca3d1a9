"""An ECS task definition (``aws ecs register-task-definition --cli-input-json``), for Fargate's container runtime or EC2's."""

from __future__ import annotations

import json
import math
from typing import Any

from deadweight._errors import DeadweightError
from deadweight.engine.options import RunOptions
from deadweight.trials.harden.found import Found
from deadweight.trials.harden.write.values import Written, all_ports, container_name, key, stop_seconds

ECS_STOP_SECONDS = 30
MOST_STOP_SECONDS = 120
FARGATE = ((256, 512), (512, 1024), (1024, 2048), (2048, 4096), (4096, 8192), (8192, 16384), (16384, 32768))
"""Processor units and the least mebibytes of memory that Fargate sells with them."""


def task(found: Found, given: Written | None = None) -> dict[str, Any]:
    """One container in a task of the smallest size that holds it.

    Raises DeadweightError where the service needs a capability that ECS cannot add.
    """
    options, given = found.options, given or Written()
    if options.cap_add:
        needs = ", ".join(options.cap_add)
        raise DeadweightError(
            f"{found.variant.name} needs the capabilities {needs}: Fargate adds none but SYS_PTRACE",
            hint="invoke harden --format run shows what it needs",
        )
    memory = _memory(options)
    sizes = [size for size in FARGATE if size[1] >= memory and size[0] >= (options.cpus or 0.25) * 1024]
    units, task_memory = (sizes or FARGATE[-1:])[0]
    return {
        "family": found.suite,
        "networkMode": "awsvpc",
        "requiresCompatibilities": ["FARGATE"],
        "cpu": str(units),
        "memory": str(task_memory),
        "runtimePlatform": {"operatingSystemFamily": "LINUX"} | key("cpuArchitecture", _architecture(found)),
        "volumes": [{"name": f"writable-{number}"} for number, _ in enumerate(options.tmpfs)],
        "containerDefinitions": [_container(found, given)],
    }


def _memory(options: RunOptions) -> int:
    """In whole mebibytes, as ECS counts."""
    return math.ceil((options.memory_bytes or 0) / 2**20)


def _container(found: Found, given: Written) -> dict[str, Any]:
    options = found.options
    container: dict[str, Any] = {
        "name": container_name(found),
        "image": given.image or found.image,
        "essential": True,
        "user": str(options.user),
        "readonlyRootFilesystem": options.read_only,
        "privileged": False,
        "memory": _memory(options),
        "portMappings": [{"containerPort": port, "protocol": "tcp"} for port in all_ports(found)],
        "linuxParameters": {"capabilities": {"drop": list(options.cap_drop)}, "initProcessEnabled": False},
        "ulimits": [{"name": each.name, "softLimit": each.soft, "hardLimit": each.hard} for each in options.ulimits],
    }
    if options.env:
        container["environment"] = [{"name": name, "value": value} for name, value in options.env.items()]
    if options.entrypoint:
        container["entryPoint"] = list(options.entrypoint)
    if options.args:
        container["command"] = list(options.args)
    if options.tmpfs:  # Fargate has no file system in memory: an empty volume of the task's own storage
        container["mountPoints"] = [
            {"sourceVolume": f"writable-{number}", "containerPath": each.path}
            for number, each in enumerate(options.tmpfs)
        ]
    if found.asks:
        container["healthCheck"] = {
            "command": ["CMD", *found.asks], "interval": 10, "timeout": 5, "retries": 3,
            "startPeriod": min(300, math.ceil(found.variant.health.within_seconds)),
        }  # fmt: skip
    stop = stop_seconds(found, ECS_STOP_SECONDS)
    if stop:
        container["stopTimeout"] = min(stop, MOST_STOP_SECONDS)
    return container


def _architecture(found: Found) -> str:
    """Where it is known: the platform's own default is X86_64."""
    return {"amd64": "X86_64", "arm64": "ARM64"}[found.seccomp.architecture] if found.seccomp else ""


def lost(found: Found) -> list[str]:
    """What a task has no word for."""
    lines = [f"{found.options.pids} processes", "no swap (Fargate has none)"]
    lines += ["files of your repository"] if found.options.files else []
    lines += ["no new privileges"] if found.options.no_new_privileges else []
    lines += ["the seccomp profile (Fargate's own stays)"] if found.profiled else []
    lines += ["a file system in memory, noexec (an empty volume stands for it)"] if found.options.tmpfs else []
    return lines


def text(found: Found, given: Written) -> str:
    return json.dumps(task(found, given), indent=2) + "\n"
