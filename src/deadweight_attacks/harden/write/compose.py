"""The Compose document (the Compose Specification; docker-compose 1.27 and later, docker compose)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from deadweight.suite.model import Need
from deadweight_attacks.harden.found import Found
from deadweight_attacks.harden.write.needs import (
    TRIES,
    about,
    before,
    beside,
    folders_in_memory,
    image_of,
    is_job,
    too_early,
    up_seconds,
)
from deadweight_attacks.harden.write.run import around
from deadweight_attacks.harden.write.values import (
    ENGINE_STOP_SECONDS,
    Quoted,
    Written,
    container_name,
    given,
    key,
    published,
    short,
    start_seconds,
    stop_seconds,
    yaml_text,
)


def compose(found: Found, wanted: Written | None = None) -> dict[str, Any]:
    """Keys in the order that dclint asks for."""
    options, stop, wanted = found.options, stop_seconds(found, ENGINE_STOP_SECONDS), wanted or Written()
    security = ["no-new-privileges:true"] if options.no_new_privileges else []
    security += [f"seccomp:{wanted.profile}"] if found.profiled and wanted.profile else []
    service: dict[str, Any] = {"image": wanted.image or found.image}
    others = {name: _need(name, need, found, wanted) for name, need in beside(found).items()}
    service |= key("depends_on", _awaited(beside(found), found))
    service |= key("environment", {Quoted(name): given(value) for name, value in options.env.items()})
    service |= key("volumes", _volumes(options.files, wanted))
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
    services = dict(sorted({container_name(found): service, **others}.items()))
    if found.outgoing:
        return {"services": services}
    network = {"internal": True} | key("driver_opts", dict(found.cut_off))
    return {"services": services, "networks": {"internal": network}}


def _awaited(needs: Mapping[str, Need], found: Found) -> list[str] | dict[str, Any]:
    """A job has to have ended well before who needs it is started; others have to be up, where something tells."""
    up = {name: "service_healthy" if found.need_asks.get(name) else "service_started" for name in sorted(needs)}
    up |= {name: "service_completed_successfully" for name in up if is_job(needs[name])}
    if set(up.values()) <= {"service_started"}:
        return list(up)
    return {name: {"condition": condition} for name, condition in up.items()}


def _volumes(files: Mapping[str, str], wanted: Written) -> list[Quoted]:
    """Compose takes a path that begins with no dot for a volume's name."""
    folder = wanted.files if wanted.files.startswith(".") else f"./{wanted.files}"
    return [given(f"{folder}/{path}:{target}:ro") for target, path in files.items()]


def _need(name: str, need: Need, found: Found, wanted: Written) -> dict[str, Any]:
    """A container beside it, as the suite says it; it was not hardened."""
    service: dict[str, Any] = {"image": image_of(name, found)} | key("depends_on", _awaited(before(name, found), found))
    service |= key("volumes", _volumes(need.files, wanted))
    service |= key("environment", {Quoted(name): given(value) for name, value in need.env.items()})
    service |= key("networks", [] if found.outgoing else ["internal"])
    service |= key("command", [given(each) for each in need.args])
    again = f"on-failure:{TRIES}" if too_early(name, found) else Quoted("no")
    service |= {"restart": again if is_job(need) else "unless-stopped"}
    service |= key("healthcheck", _asked(found.need_asks.get(name, ()), up_seconds(need), every=5))
    service |= {"mem_limit": short(need.memory)}
    return service | key("tmpfs", [given(each) for each in folders_in_memory(need)])


def healthcheck(found: Found) -> dict[str, Any]:
    """By the program of the image's that was seen to tell; nothing where it has none."""
    return _asked(found.asked_inside, start_seconds(found)) or key("disable", found.refuses_own_check)


def _asked(asks: tuple[str, ...], within: int, every: int = 10) -> dict[str, Any]:
    if not asks:
        return {}
    words = ["CMD", *(given(word) for word in asks)]
    return {"test": words, "interval": f"{every}s", "timeout": "5s", "retries": 3, "start_period": f"{within}s"}


def text(found: Found, wanted: Written) -> str:
    closed = f"internal: true{' and driver_opts' if found.cut_off else ''} of the network"
    notes = [] if found.outgoing else around(found, f"ports: {json.dumps(published(found))}", closed)
    notes.append(
        "# dclint notes: no name (require-project-name-field): docker-compose 1 refuses one; the folder's is taken."
    )
    if not found.asked_inside:
        notes.append(f"# No healthcheck: {unasked(found)}.")
    notes += about(found)
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
