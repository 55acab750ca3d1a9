"""Write hardened settings as ``docker run``, ``podman run``, Quadlet units (Podman 4.5 and later) or Compose.

Quadlet has a key for most ``podman run`` flags (``KEYS``); the rest go into ``PodmanArgs``. See podman-systemd.unit(5).
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import PurePath
from typing import Any

from deadweight_attacks.harden.write.model import (
    ENGINE_STOP_SECONDS,
    PORT_SYSCTL,
    TRIES,
    Model,
    Piece,
    Quoted,
    about_needs,
    about_network,
    compact,
    escaped,
    short,
    why_no_health,
    yaml_text,
)
from deadweight_attacks.walls import wording

Flag = tuple[str, str | None]
"""Its name and its value; None for those that take none."""

BRIDGE_RULE = (
    'if [ "$(id -u)" = 0 ] && grep -qs 1 /proc/sys/net/bridge/bridge-nf-call-iptables && '
    'bridge=$(podman network inspect --format "{{{{.NetworkInterface}}}}" {network}); then '
    'rule="FORWARD -i $bridge -o $bridge -j ACCEPT"; '
    "iptables -w 10 -C $rule 2>/dev/null || iptables -w 10 -I $rule; fi"
)
"""For Podman's internal networks, as root. A Docker engine on the same machine sets the firewall to drop what is forwarded. If the
kernel shows it bridged packets, that cuts containers of one network off from each other, unless a rule lets them pass: each engine
sets such rules for its own networks, but Podman (netavark) sets none for internal ones."""
LET_PASS = "# A Docker engine beside Podman may cut containers of this network off from each other: let them pass."  # noqa: S105


def flags(model: Model, piece: Piece, *, podman: bool, health: bool) -> list[Flag]:
    """Those of ``docker run``, or of ``podman run``; ``health``: with what asks inside whether it is up."""
    made: list[Flag] = []
    if piece.options is not None:
        made += _hardened(model, podman=podman)
    made.append(("memory", short(piece.memory_bytes)))
    made += [("tmpfs", folder) for folder in (piece.podman_tmpfs if podman else piece.tmpfs)]
    made += [("env", f"{name}={value}") for name, value in piece.env.items()]
    made += _health(piece) if health and piece.health else []
    made += [("volume", f"{path}:{target}:ro") for target, path in piece.files.items()]
    if piece.options is not None:
        made += [("no-healthcheck", None)] if model.result.refuses_own_check else []
        made += [("stop-timeout", str(stop))] if (stop := model.stop_seconds(ENGINE_STOP_SECONDS)) else []
        made += [("publish", port) for port in model.published] if model.result.outgoing else []
    made += [("network", model.network)] if model.network else []
    made += [("network-alias", piece.name)] if piece.options is None else []
    # one word for the entrypoint: the others go before the arguments
    return made + ([("entrypoint", piece.entrypoint[0])] if piece.entrypoint else [])


def _hardened(model: Model, *, podman: bool) -> Iterator[Flag]:
    options, memory = model.options, short(model.options.memory_bytes)
    yield "user", str(options.user)
    if options.read_only:
        yield "read-only", None
        if podman:  # mounts folders in memory then, unless it is told not to
            yield "read-only-tmpfs=false", None
    yield from (("cap-drop", name) for name in options.cap_drop)
    yield from (("cap-add", name) for name in options.cap_add)
    if options.no_new_privileges:
        yield "security-opt", "no-new-privileges"
    if model.profile:
        yield "security-opt", f"seccomp={model.profile}"
    if model.request.apparmor:
        yield "security-opt", f"apparmor={options.apparmor}"
    yield from (("memory-swap", memory), ("cpus", f"{options.cpus:g}"), ("pids-limit", str(options.pids)))
    yield from (("ulimit", f"{limit.name}={limit.soft}:{limit.hard}") for limit in options.ulimits)
    if podman and model.low_port:
        yield "sysctl", f"{PORT_SYSCTL}={model.low_port}"


def _health(piece: Piece) -> Iterator[Flag]:
    """Podman's takes a list, or one word behind CMD, without a shell; Docker's would need one, and there is none in the image."""
    words = json.dumps(list(piece.health)) if len(piece.health) > 1 else f"CMD {piece.health[0]}"
    yield from (("health-cmd", words), ("health-interval", "10s"), ("health-timeout", "5s"))
    yield from (("health-retries", "3"), ("health-start-period", f"{piece.up_seconds}s"))


def _inside(folder: str, path: str) -> str:
    """A path below a folder, without the dot that means here."""
    return path if folder == "." else f"{folder}/{path}"


def _to_load(model: Model) -> list[str]:
    """What has to be done before Podman finds the image."""
    result = model.result
    if model.request.image:
        return []
    engine, image = ("podman", result.in_podman[result.image]) if result.in_podman else ("docker", result.image)
    elsewhere = f"{engine} save {image} | podman load, or push it and name it with --image"
    return [f"# The image is only in the engine that built it. Elsewhere: {elsewhere}."]


# docker run, podman run


def docker_text(model: Model) -> str:
    return _shell_text(model, "docker")


def podman_text(model: Model) -> str:
    return "".join(f"{line}\n" for line in _to_load(model)) + _shell_text(model, "podman")


def _shell_text(model: Model, tool: str) -> str:
    result, network, work = model.result, model.network, list[str]()
    closed = [] if result.outgoing else ["--internal"]
    if tool == "docker" and closed:
        closed += [f"--opt {name}={value}" for name, value in result.cut_off.items()]
    if network:
        work = [" ".join([f"{tool} network create", *closed, network])]
    if closed and tool == "podman":
        work += [LET_PASS, BRIDGE_RULE.format(network=network)]
    for need in model.service.needs:
        command = _command(model, need, tool)
        work.append(_until(TRIES, command, f"{need.name} failed") if need.retried else command)
        if need.health:
            asked = shlex.join([tool, "exec", need.container, *need.health])
            failed = wording("write.not_up", name=need.name, logs=f"{tool} logs {need.container}")
            work.append(_until(need.up_seconds, asked, failed))
    work.append(_command(model, model.service, tool))
    if len(work) > 1:  # in a shell of its own, which the first failure ends: a pasted "exit" would end the user's
        work = ["(", "set -e", *work, ")"]
    publish = " ".join(f"--publish {port}" for port in model.published)
    notes = about_network(model, publish, f"{' '.join(closed)} where the network is created")
    return "\n".join([*notes, *about_needs(model), *work]) + "\n"


def _command(model: Model, piece: Piece, tool: str) -> str:
    """A flag a line, then the image and what follows it."""
    podman = tool == "podman"
    lines = [f"{tool} run" if piece.job else f"{tool} run --detach", f"--name {shlex.quote(piece.container)}"]
    lines += ["--rm" if piece.job else "--restart unless-stopped"]
    for name, value in flags(model, piece, podman=podman, health=podman and piece.options is not None):
        if name == "volume" and value:  # engines before Docker 23 take no relative path
            lines.append(f'--volume "$PWD"/{shlex.quote(_inside(model.request.files, value))}')
        else:
            lines.append(f"--{name}" if value is None else f"--{name} {shlex.quote(value)}")
    lines.append(shlex.join([piece.podman_image if podman else piece.image, *piece.command]))
    return " \\\n  ".join(lines)


def _until(tries: int, command: str, failed: str) -> str:
    """The command until it ends well, a second apart. After that many tries, it says what failed, and ends the shell."""
    gave_up = f"echo {shlex.quote(f'{failed}: tried {tries} times')} >&2; exit 1"
    last = f'if [ "$try" -eq {tries} ]; then {gave_up}; fi'
    return f"for try in $(seq {tries}); do\n  {command} && break\n  {last}\n  sleep 1\ndone"


# Quadlet

KEYS = {
    "tmpfs": "Tmpfs", "cap-drop": "DropCapability", "cap-add": "AddCapability", "volume": "Volume", "publish": "PublishPort",
    "network": "Network", "env": "Environment", "health-cmd": "HealthCmd", "health-interval": "HealthInterval",
    "health-timeout": "HealthTimeout", "health-retries": "HealthRetries", "health-start-period": "HealthStartPeriod",
}  # fmt: skip
"""What a unit calls a flag of ``podman run``. For limits it has no keys before Podman 5."""
PLAIN_WORD = re.compile(r"[\w.,:=/-]+")
EMPTY = "EMPTY_WORD"
PULL_SECONDS = 600
"""For an image to come; systemd's own limit of 90 seconds would end it (podman-systemd.unit(5))."""
FOLDER = "%E/containers/systemd"
"""Where units are: %E is /etc in a unit of root's, ~/.config in a user's (systemd.unit(5))."""


def quadlet_text(model: Model) -> str:
    """All files, each after a comment with its name."""
    where = "# ~/.config/containers/systemd/{} (of root: /etc/containers/systemd/)\n{}"
    return "\n".join(where.format(name, text) for name, text in units(model).items())


def units(model: Model) -> dict[str, str]:
    """What each file holds, by its name: the service's container first."""
    made = {f"{piece.container}.container": _unit(model, piece) for piece in (model.service, *model.service.needs)}
    if model.network:  # of what may be said of a network, Podman 4.5 knows no name
        made[f"{model.network}.network"] = ["[Network]"] if model.result.outgoing else _internal(model.network)
    return {name: "\n".join(lines) + "\n" for name, lines in made.items()}


def _unit(model: Model, piece: Piece) -> list[str]:
    own, suite = piece.options is not None, model.suite
    publish = " and ".join(f"PublishPort={port}" for port in model.published)
    lines = about_network(model, publish, f"Internal=true in {model.network}.network") if own else []
    lines += about_needs(model) if own else []
    lines += ["[Unit]", f"Description={_plain(suite if own else f'{piece.name}, which {suite} needs')}"]
    lines += [*_after(piece.needs), "", "[Container]", f"ContainerName={piece.container}"]
    lines += [*(_to_load(model) if own else []), f"Image={piece.podman_image}"]
    for name, value in flags(model, piece, podman=True, health=True):
        lines += _line(model, name, value)
    lines += [f"Exec={_words(piece.command)}"] if piece.command else []
    lines += [f"# No HealthCmd: {why_no_health(model)}."] if own and not piece.health else []
    stop = model.stop_seconds(ENGINE_STOP_SECONDS) if own else None
    lines += ["", "[Service]", *(["Type=oneshot", "RemainAfterExit=yes"] if piece.job else ["Restart=always"])]
    lines += [f"TimeoutStopSec={stop + 5}"] if stop else []
    lines += ["Restart=on-failure", "RestartSec=5"] if piece.retried else []
    lines += _up(piece) if piece.health and not own else []
    lines += [] if all(piece.command) else [f"Environment={EMPTY}="]
    return lines + (["", "[Install]", "WantedBy=default.target"] if own else [])


def _line(model: Model, name: str, value: str | None) -> list[str]:
    """A flag in the words of a unit."""
    if value is None:
        return [{"read-only": "ReadOnly=true", "no-healthcheck": "HealthCmd=none"}.get(name, f"PodmanArgs=--{name}")]
    if name == "user":
        user, _, group = value.partition(":")
        return [f"User={user}"] + ([f"Group={group}"] if group else [])
    if value.startswith("seccomp="):  # Podman is started in the root or in the user's home, and takes the path as it is
        return [
            f"# copy {model.profile} to where this file is",
            f"SeccompProfile={FOLDER}/{PurePath(model.profile).name}",
        ]
    if value == "no-new-privileges":
        return ["NoNewPrivileges=true"]
    if name == "volume":  # Quadlet takes a path that begins with a dot for one beside the unit
        path = value.rsplit(":", 2)[0]
        copy = f"# copy {_inside(model.request.files, path)} to {path} where this file is"
        return [copy, f"Volume={_in_command(f'./{value}')}"]
    if name not in KEYS:
        return [f"PodmanArgs=--{name} {value if PLAIN_WORD.fullmatch(value) else _word(value)}"]
    shown = {
        "cap-drop": value.lower(), "cap-add": f"CAP_{value}", "network": f"{value}.network", "env": _word(value),
    }.get(name, _in_command(value))  # fmt: skip
    return [f"{KEYS[name]}={shown}"]


def _internal(network: str) -> list[str]:
    """Its units' name for it begins with systemd-. Docker sets its firewall as it starts."""
    let_pass = _in_command(BRIDGE_RULE.format(network=f"systemd-{network}"))
    lines = ["[Unit]", "After=docker.service", "", "[Network]", "Internal=true", "", "[Service]", LET_PASS]
    return [*lines, f"ExecStartPost=/bin/sh -c '{let_pass}'"]


def _up(piece: Piece) -> list[str]:
    """systemd takes it for started, and starts who needs it, once its health check says yes."""
    asked = f"podman healthcheck run {piece.container} && exit; sleep 1"
    gave_up = f"echo {piece.container} is not up: tried {piece.up_seconds} times >&2; exit 1"
    return [
        f"ExecStartPost=/bin/sh -c 'for try in $$(seq {piece.up_seconds}); do {asked}; done; {gave_up}'",
        f"TimeoutStartSec={PULL_SECONDS + piece.up_seconds}",
    ]


def _after(needs: Sequence[Piece]) -> list[str]:
    """A job has to have ended well, but for one that is tried again: what requires it would be given up the first time."""
    lines: list[str] = []
    for need in needs:
        required = "Requires" if need.job and not need.retried else "Wants"
        lines += [f"{required}={need.container}.service", f"After={need.container}.service"]
    return lines


def _plain(text: str) -> str:
    """A percent sign begins a specifier (systemd.unit(5)), and stands for itself twice."""
    return text.replace("%", "%%")


def _in_command(text: str) -> str:
    """Of what Quadlet hands on to a command line, a dollar sign does so too (systemd.service(5)). No quotes around: Quadlet keeps
    what is within them."""
    return _plain(text).replace("$", "$$")


def _words(texts: Sequence[str]) -> str:
    """Quadlet ends at an empty word, and drops what follows; systemd makes one of a variable that holds nothing."""
    return " ".join(_word(text) if text else f"${{{EMPTY}}}" for text in texts)


def _word(text: str) -> str:
    """A word of a unit file's command line, in quotes, with escapes (systemd.service(5))."""
    text = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{_in_command(text)}"'


# Compose (the Compose Specification; docker-compose 1.27 and later, docker compose)


def compose_text(model: Model) -> str:
    closed = f"internal: true{' and driver_opts' if model.result.cut_off else ''} of the network"
    notes = about_network(model, f"ports: {json.dumps(model.published)}", closed)
    notes.append(
        "# dclint notes: no name (require-project-name-field): docker-compose 1 refuses one; the folder's is taken."
    )
    notes += [] if model.service.health else [f"# No healthcheck: {why_no_health(model)}."]
    return "".join(f"{line}\n" for line in [*notes, *about_needs(model)]) + yaml_text(compose(model))


def compose(model: Model) -> dict[str, Any]:
    pieces = {piece.name: piece for piece in (model.service, *model.service.needs)}
    services = {name: _compose_service(model, pieces[name]) for name in sorted(pieces)}
    network = {"internal": True} | compact(driver_opts=dict(model.result.cut_off))
    return {"services": services} | compact(networks={} if model.result.outgoing else {"internal": network})


def _compose_service(model: Model, piece: Piece) -> dict[str, Any]:
    """Keys in the order that dclint asks for."""
    own, outgoing, folder = piece.options is not None, model.result.outgoing, model.request.files
    # Compose takes a path that begins with no dot for a volume's name
    folder = folder if folder.startswith(".") else f"./{folder}"
    again = f"on-failure:{TRIES}" if piece.retried else Quoted("no")
    service: dict[str, Any] = {"image": piece.image} | compact(
        depends_on=_awaited(piece.needs),
        environment={Quoted(name): escaped(value) for name, value in piece.env.items()},
        volumes=[escaped(f"{folder}/{path}:{target}:ro") for target, path in piece.files.items()],
        ports=[Quoted(port) for port in model.published] if own and outgoing else [],
        networks=[] if outgoing else ["internal"],
        command=[escaped(word) for word in piece.args],
        entrypoint=[escaped(word) for word in piece.entrypoint],
        restart=again if piece.job else "unless-stopped",
        healthcheck=_healthcheck(piece) or compact(disable=own and model.result.refuses_own_check),
    )
    tmpfs = [escaped(folder) for folder in piece.tmpfs]
    if not own:
        return service | {"mem_limit": short(piece.memory_bytes)} | compact(tmpfs=tmpfs)
    options, memory, stop = model.options, short(piece.memory_bytes), model.stop_seconds(ENGINE_STOP_SECONDS)
    security = ["no-new-privileges:true"] if options.no_new_privileges else []
    security += [f"seccomp:{model.profile}"] if model.profile else []
    security += [f"apparmor:{options.apparmor}"] if model.request.apparmor else []
    service |= {"user": Quoted(str(options.user))} | compact(cap_add=list(options.cap_add))
    service |= {
        "cap_drop": list(options.cap_drop), "cpus": options.cpus, "mem_limit": memory, "memswap_limit": memory,
        "pids_limit": options.pids, "read_only": options.read_only,
    }  # fmt: skip
    service |= compact(security_opt=security, stop_grace_period=f"{stop}s" if stop else "", tmpfs=tmpfs)
    service["ulimits"] = {limit.name: {"soft": limit.soft, "hard": limit.hard} for limit in options.ulimits}
    return service


def _awaited(needs: Sequence[Piece]) -> list[str] | dict[str, Any]:
    """A job has to have ended well before who needs it is started; others have to be up, where something tells."""
    up = {
        need.name: "completed_successfully" if need.job else "healthy" if need.health else "started"
        for need in sorted(needs, key=lambda need: need.name)
    }
    if set(up.values()) <= {"started"}:
        return list(up)
    return {name: {"condition": f"service_{condition}"} for name, condition in up.items()}


def _healthcheck(piece: Piece) -> dict[str, Any]:
    """By the program of the image's that was seen to tell; nothing where it has none."""
    if not piece.health:
        return {}
    words, every = ["CMD", *map(escaped, piece.health)], 10 if piece.options is not None else 5
    start = f"{piece.up_seconds}s"
    return {"test": words, "interval": f"{every}s", "timeout": "5s", "retries": 3, "start_period": start}
