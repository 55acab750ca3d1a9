"""A Quadlet unit (podman-systemd.unit(5), Podman 4.4 and later): systemd starts the container, and starts it anew."""

from __future__ import annotations

from pathlib import PurePath

from deadweight.engine.in_memory import anybodys
from deadweight.trials.harden.found import Found
from deadweight.trials.harden.write.compose import unasked
from deadweight.trials.harden.write.run import network_name
from deadweight.trials.harden.write.values import (
    ENGINE_STOP_SECONDS,
    Written,
    container_name,
    published,
    short,
    stop_seconds,
)

FOLDER = "%E/containers/systemd"
"""Where units are: %E is /etc in a unit of root's, ~/.config in a user's (systemd.unit(5))."""


def text(found: Found, given: Written) -> str:
    """Two files, each after a comment with its name."""
    options, name = found.options, container_name(found)
    lines = [f"# ~/.config/containers/systemd/{name}.container (of root: /etc/containers/systemd/)", "[Unit]"]
    lines += [
        f"Description={found.suite}",
        "",
        "[Container]",
        f"ContainerName={name}",
        f"Image={given.image or found.image}",
    ]
    user, _, group = str(options.user).partition(":")
    lines += [f"User={user}"] + ([f"Group={group}"] if group else [])
    lines += ["ReadOnly=true", "VolatileTmp=false"] if options.read_only else []
    lines += [f"Tmpfs={each.path}:{each.options()}" for each in anybodys(options).tmpfs]
    lines += [f"DropCapability={each.lower()}" for each in options.cap_drop]
    lines += [f"AddCapability=CAP_{each}" for each in options.cap_add]
    lines += ["NoNewPrivileges=true"] if options.no_new_privileges else []
    lines += _profile(given) if found.profiled and given.profile else []
    lines += [f"PodmanArgs={words}" for words in _limits(found)]
    lines += [f"Environment={_word(f'{key}={value}')}" for key, value in options.env.items()]
    lines += [f"Volume=./{path}:{target}:ro" for target, path in options.files.items()]
    publish = [f"PublishPort={each}" for each in published(found)]
    lines += publish if found.outgoing else [f"Network={network_name(found)}.network"]
    lines += [f"PodmanArgs=--entrypoint {_word(options.entrypoint[0])}"] if options.entrypoint else []
    command = (*(options.entrypoint or ())[1:], *options.args)
    lines += [f"Exec={' '.join(_word(each) for each in command)}"] if command else []
    asks = found.asked_inside
    lines += [f"HealthCmd={_word(_list(asks))}", "HealthInterval=10s"] if asks else _unchecked(found)
    stop = stop_seconds(found, ENGINE_STOP_SECONDS)
    lines += [f"PodmanArgs=--stop-timeout {stop}"] if stop else []
    lines += ["", "[Service]", "Restart=always"] + ([f"TimeoutStopSec={stop + 5}"] if stop else [])
    lines += ["", "[Install]", "WantedBy=default.target"]
    if not found.outgoing:
        lines += ["", f"# beside it: {network_name(found)}.network", "[Network]", f"NetworkName={network_name(found)}"]
        lines += ["Internal=true"]
    return "\n".join(lines) + "\n"


def _profile(given: Written) -> list[str]:
    """Podman is started in the root or in the user's home, and takes the path as it is."""
    return [f"# copy {given.profile} to where this file is", f"SeccompProfile={FOLDER}/{PurePath(given.profile).name}"]


def _unchecked(found: Found) -> list[str]:
    return [f"# No HealthCmd: {unasked(found)}.", *(["HealthCmd=none"] if found.refuses_own_check else [])]


def _limits(found: Found) -> list[str]:
    """The unit has no keys for these before Podman 5."""
    options = found.options
    memory = short(options.memory_bytes)
    limits = [f"--memory {memory} --memory-swap {memory} --cpus {options.cpus:g} --pids-limit {options.pids}"]
    limits += [f"--ulimit {each.name}={each.soft}:{each.hard}" for each in options.ulimits]
    return [*limits, "--read-only-tmpfs=false"] if options.read_only else limits


def _list(words: tuple[str, ...]) -> str:
    import json

    return json.dumps(list(words))


def _word(text: str) -> str:
    """A word of a unit file (systemd.service(5), systemd.unit(5)): in quotes, with escapes; a percent sign begins a specifier and a
    dollar sign a variable, each stands for itself twice."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("%", "%%").replace("$", "$$")
    return f'"{escaped}"'
