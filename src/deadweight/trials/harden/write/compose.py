"""The Compose document (the Compose Specification; docker-compose 1.27 and later, docker compose)."""

from __future__ import annotations

import json
import math
from typing import Any

from deadweight.suite.model import Need
from deadweight.trials.harden.found import Found
from deadweight.trials.harden.write.run import around
from deadweight.trials.harden.write.values import (
    ENGINE_STOP_SECONDS,
    Quoted,
    Written,
    given,
    key,
    published,
    short,
    stop_seconds,
    yaml_text,
)


def compose(found: Found, wanted: Written | None = None) -> dict[str, Any]:
    """Keys in the order that dclint asks for."""
    options, stop, wanted = found.options, stop_seconds(found, ENGINE_STOP_SECONDS), wanted or Written()
    security = ["no-new-privileges:true"] if options.no_new_privileges else []
    security += [f"seccomp:{wanted.profile}"] if found.profiled and wanted.profile else []
    service: dict[str, Any] = {"image": wanted.image or found.image}
    others = {name: _need(need, found) for name, need in found.variant.run.needs.items() if need.image}
    service |= key("depends_on", sorted(others))
    service |= key("environment", {Quoted(name): given(value) for name, value in options.env.items()})
    service |= key("volumes", [given(f"./{path}:{target}:ro") for target, path in options.files.items()])
    service |= key("ports", [Quoted(each) for each in published(found)] if found.outgoing else [])
    service |= key("networks", [] if found.outgoing else ["internal"])
    service |= key("command", [given(each) for each in options.args])
    service |= key("entrypoint", [given(each) for each in options.entrypoint or ()])
    service |= {"restart": "unless-stopped"} | key("healthcheck", healthcheck(found))
    service |= {"user": Quoted(str(options.user))}
    service |= key("cap_add", list(options.cap_add)) | {"cap_drop": list(options.cap_drop)}
    service |= {
        "cpus": options.cpus,
        "mem_limit": short(options.memory_bytes),
        "memswap_limit": short(options.memory_bytes),
        "pids_limit": options.pids,
        "read_only": options.read_only,
    }
    service |= key("security_opt", security) | key("stop_grace_period", f"{stop}s" if stop else "")
    service |= key("tmpfs", [given(f"{each.path}:{each.options()}") for each in options.tmpfs])
    service["ulimits"] = {each.name: {"soft": each.soft, "hard": each.hard} for each in options.ulimits}
    services = dict(sorted({found.suite: service, **others}.items()))
    if found.outgoing:
        return {"services": services}
    network = {"internal": True} | key("driver_opts", dict(found.cut_off))
    return {"services": services, "networks": {"internal": network}}


def _need(need: Need, found: Found) -> dict[str, Any]:
    """A container beside it, as the suite says it; it was not hardened."""
    service: dict[str, Any] = {"image": need.image}
    service |= key("volumes", [given(f"./{path}:{target}:ro") for target, path in need.files.items()])
    service |= key("environment", {Quoted(name): given(value) for name, value in need.env.items()})
    service |= key("networks", [] if found.outgoing else ["internal"])
    service |= key("command", [given(each) for each in need.args])
    return service | {"restart": "unless-stopped", "mem_limit": short(need.memory)}


def healthcheck(found: Found) -> dict[str, Any]:
    """By the program of the image's that was seen to tell; nothing where it has none."""
    if not found.asked_inside:
        return key("disable", found.refuses_own_check)
    return {
        "test": ["CMD", *(given(word) for word in found.asked_inside)],
        "interval": "10s",
        "timeout": "5s",
        "retries": 3,
        "start_period": f"{math.ceil(found.variant.health.within_seconds)}s",
    }


def text(found: Found, wanted: Written) -> str:
    notes = [] if found.outgoing else around(found, f"ports: {json.dumps(published(found))}", "networks")
    notes.append(
        "# dclint notes: no name (require-project-name-field): docker-compose 1 refuses one; the folder's is taken."
    )
    if not found.asked_inside:
        notes.append(f"# No healthcheck: {unasked(found)}.")
    return "".join(f"{line}\n" for line in notes) + yaml_text(compose(found, wanted))


def unasked(found: Found) -> str:
    """Why nothing inside the container tells whether it is well."""
    health = found.variant.health
    if found.asks:
        return (
            f"{found.asks[0]}, which could ask, needs system calls that the seccomp profile refuses "
            "(--no-seccomp: the engine's own profile, and a check)"
        )
    if health.kind == "exit":
        return "it is no server, and ends by itself"
    asked = {"http": f"GET {health.path}", "grpc": "grpc.health.v1", "tcp": f"port {found.variant.port}"}
    return f"the image brings no program that could ask {asked.get(health.kind, 'it')} from inside"
