"""Quadlet units (podman-systemd.unit(5), Podman 4.5 and later): systemd starts the container, and starts it anew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePath

from deadweight.suite.model import Need
from deadweight_attacks.harden.found import Found
from deadweight_attacks.harden.write.compose import unasked
from deadweight_attacks.harden.write.needs import (
    BRIDGE_RULE,
    about,
    before,
    beside,
    folders_in_memory,
    is_job,
    named,
    network_name,
    podman_image,
    podman_image_of,
    to_load,
    too_early,
    up_seconds,
)
from deadweight_attacks.harden.write.run import around, health_words, podman_tmpfs
from deadweight_attacks.harden.write.values import (
    ENGINE_STOP_SECONDS,
    PORT_SYSCTL,
    Written,
    container_name,
    inside,
    low_port,
    published,
    short,
    start_seconds,
    stop_seconds,
)

NOTHING = "EMPTY_WORD"
PULL_SECONDS = 600
"""For an image to come; systemd's own limit of 90 seconds would end it (podman-systemd.unit(5))."""
FOLDER = "%E/containers/systemd"
"""Where units are: %E is /etc in a unit of root's, ~/.config in a user's (systemd.unit(5))."""


def text(found: Found, given: Written) -> str:
    """All files, each after a comment with its name."""
    places = [
        f"# ~/.config/containers/systemd/{name} (of root: /etc/containers/systemd/)" for name in units(found, given)
    ]
    return "\n".join(f"{place}\n{unit}" for place, unit in zip(places, units(found, given).values(), strict=True))


def units(found: Found, given: Written) -> dict[str, str]:
    """What each file holds, by its name: the container's first."""
    made = {f"{container_name(found)}.container": _container(found, given)}
    made |= {f"{named(name, found)}.container": _need(name, need, found, given) for name, need in beside(found).items()}
    if network := network_name(found):  # of what may be said of a network, Podman 4.5 knows no name
        made[f"{network}.network"] = ["[Network]"] if found.outgoing else _internal(network)
    return {name: "\n".join(lines) + "\n" for name, lines in made.items()}


def _container(found: Found, given: Written) -> list[str]:
    options, name = found.options, container_name(found)
    publish = [f"PublishPort={each}" for each in published(found)]
    lines = (
        []
        if found.outgoing
        else around(found, " and ".join(publish), f"Internal=true in {network_name(found)}.network")
    )
    lines += about(found)
    lines += ["[Unit]", f"Description={_plain(found.suite)}"]
    lines += [*_after(beside(found), found), "", "[Container]", f"ContainerName={name}"]
    lines += [*to_load(found, given), f"Image={podman_image(found, given)}"]
    user, _, group = str(options.user).partition(":")
    lines += [f"User={user}"] + ([f"Group={group}"] if group else [])
    lines += ["ReadOnly=true"] if options.read_only else []
    lines += [f"Tmpfs={_in_command(each.path)}:{podman_tmpfs(each)}" for each in options.tmpfs]
    lines += [f"DropCapability={each.lower()}" for each in options.cap_drop]
    lines += [f"AddCapability=CAP_{each}" for each in options.cap_add]
    lines += ["NoNewPrivileges=true"] if options.no_new_privileges else []
    lines += _profile(given) if found.profiled and given.profile else []
    lines += [f"PodmanArgs={words}" for words in _limits(found)]
    lines += [f"PodmanArgs=--sysctl {PORT_SYSCTL}={lowest}"] if (lowest := low_port(found)) else []
    lines += [f"Environment={_word(f'{key}={value}')}" for key, value in options.env.items()]
    lines += [_volume(path, target, given) for target, path in options.files.items()]
    lines += publish if found.outgoing else []
    lines += [f"Network={network}.network"] if (network := network_name(found)) else []
    lines += [f"PodmanArgs=--entrypoint {_word(options.entrypoint[0])}"] if options.entrypoint else []
    command = (*(options.entrypoint or ())[1:], *options.args)
    lines += [f"Exec={_words(command)}"] if command else []
    lines += _checked(found)
    stop = stop_seconds(found, ENGINE_STOP_SECONDS)
    lines += [f"PodmanArgs=--stop-timeout {stop}"] if stop else []
    lines += ["", "[Service]", "Restart=always"] + ([f"TimeoutStopSec={stop + 5}"] if stop else [])
    return [*lines, *_empty(command), "", "[Install]", "WantedBy=default.target"]


def _internal(network: str) -> list[str]:
    """Its units' name for it begins with systemd-. Docker sets its firewall as it starts."""
    let_pass = _in_command(BRIDGE_RULE.format(network=f"systemd-{network}"))
    lines = ["[Unit]", "After=docker.service", "", "[Network]", "Internal=true", "", "[Service]"]
    lines.append(
        "# A Docker engine beside Podman may cut containers of this network off from each other: let them pass."
    )
    return [*lines, f"ExecStartPost=/bin/sh -c '{let_pass}'"]


def _need(name: str, need: Need, found: Found, given: Written) -> list[str]:
    """A container beside it, as the suite says it; it was not hardened. A job has ended before the service is started."""
    lines = ["[Unit]", f"Description={_plain(f'{name}, which {found.suite} needs')}"]
    lines += [*_after(before(name, found), found), "", "[Container]"]
    lines += [
        f"ContainerName={named(name, found)}",
        f"Image={podman_image_of(name, found)}",
        f"Network={network_name(found)}.network",
    ]
    lines += [f"PodmanArgs=--network-alias {name} --memory {short(need.memory)}"]
    lines += [f"Tmpfs={_in_command(path)}" for path in folders_in_memory(need)]
    lines += [f"Environment={_word(f'{key}={value}')}" for key, value in need.env.items()]
    lines += [_volume(path, target, given) for target, path in need.files.items()]
    lines += [f"Exec={_words(need.args)}"] if need.args else []
    asks, seconds = found.need_asks.get(name, ()), up_seconds(need)
    lines += _health(asks, seconds) if asks else []
    lines += ["", "[Service]"]
    lines += ["Type=oneshot", "RemainAfterExit=yes"] if is_job(need) else ["Restart=always"]
    lines += ["Restart=on-failure", "RestartSec=5"] if too_early(name, found) else []
    lines += _up(named(name, found), seconds) if asks else []
    return [*lines, *_empty(need.args)]


def _up(container: str, seconds: int) -> list[str]:
    """systemd takes it for started, and starts who needs it, once its health check says yes."""
    asked = f"podman healthcheck run {container} && exit; sleep 1"
    gave_up = f"echo {container} is not up: tried {seconds} times >&2; exit 1"
    return [
        f"ExecStartPost=/bin/sh -c 'for try in $$(seq {seconds}); do {asked}; done; {gave_up}'",
        f"TimeoutStartSec={PULL_SECONDS + seconds}",
    ]


def _after(needs: Mapping[str, Need], found: Found) -> list[str]:
    """A job has to have ended well, but for one that is tried again: what requires it would be given up the first time."""
    lines: list[str] = []
    for name, need in needs.items():
        service = f"{named(name, found)}.service"
        required = is_job(need) and not too_early(name, found)
        lines += [f"{'Requires' if required else 'Wants'}={service}", f"After={service}"]
    return lines


def _profile(given: Written) -> list[str]:
    """Podman is started in the root or in the user's home, and takes the path as it is."""
    return [f"# copy {given.profile} to where this file is", f"SeccompProfile={FOLDER}/{PurePath(given.profile).name}"]


def _volume(path: str, target: str, given: Written) -> str:
    """Quadlet takes a path that begins with a dot for one beside the unit."""
    mount = _in_command(f"./{path}:{target}:ro")
    return f"# copy {inside(given.files, path)} to {path} where this file is\nVolume={mount}"


def _checked(found: Found) -> list[str]:
    asks = found.asked_inside
    if not asks:
        return [f"# No HealthCmd: {unasked(found)}.", *(["HealthCmd=none"] if found.refuses_own_check else [])]
    return _health(asks, start_seconds(found))


def _health(asks: tuple[str, ...], within: int) -> list[str]:
    asked = _in_command(health_words(asks))  # no quotes around: Quadlet keeps what is within them
    times = ["HealthInterval=10s", "HealthTimeout=5s", "HealthRetries=3", f"HealthStartPeriod={within}s"]
    return [f"HealthCmd={asked}", *times]


def _limits(found: Found) -> list[str]:
    """The unit has no keys for these before Podman 5."""
    options = found.options
    memory = short(options.memory_bytes)
    limits = [f"--memory {memory} --memory-swap {memory} --cpus {options.cpus:g} --pids-limit {options.pids}"]
    limits += [f"--ulimit {each.name}={each.soft}:{each.hard}" for each in options.ulimits]
    return [*limits, "--read-only-tmpfs=false"] if options.read_only else limits


def _plain(text: str) -> str:
    """A percent sign begins a specifier (systemd.unit(5)), and stands for itself twice."""
    return text.replace("%", "%%")


def _in_command(text: str) -> str:
    """Of what Quadlet hands on to a command line, a dollar sign does so too (systemd.service(5))."""
    return _plain(text).replace("$", "$$")


def _words(texts: Sequence[str]) -> str:
    """Quadlet ends at an empty word, and drops what follows; systemd makes one of a variable that holds nothing."""
    return " ".join(_word(each) if each else f"${{{NOTHING}}}" for each in texts)


def _empty(texts: Sequence[str]) -> list[str]:
    return [] if all(texts) else [f"Environment={NOTHING}="]


def _word(text: str) -> str:
    """A word of a unit file's command line, in quotes, with escapes (systemd.service(5))."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{_in_command(escaped)}"'
