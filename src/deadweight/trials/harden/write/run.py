"""``docker run`` and ``podman run``: the same flags, but for a few."""

from __future__ import annotations

import shlex
from dataclasses import replace

from deadweight.engine.in_memory import anybodys
from deadweight.trials.harden.found import Found
from deadweight.trials.harden.write.values import (
    ENGINE_STOP_SECONDS,
    Written,
    all_ports,
    container_name,
    published,
    short,
    stop_seconds,
)


def docker_text(found: Found, given: Written) -> str:
    return _text(found, run_words(found, given), "docker")


def podman_text(found: Found, given: Written) -> str:
    """Podman mounts folders in memory where the root is read-only, unless it is told not to."""
    words = run_words(replace(found, options=anybodys(found.options)), given)
    at = words.index("--read-only") + 1 if "--read-only" in words else None
    words = words if at is None else [*words[:at], "--read-only-tmpfs=false", *words[at:]]
    return _text(found, ["podman", *words[1:]], "podman")


def network_name(found: Found) -> str:
    return f"{found.suite}-internal"


def run_words(found: Found, given: Written | None = None) -> list[str]:
    """The words of ``docker run``."""
    options, given = found.options, given or Written()
    words = ["docker", "run", "--detach", "--name", container_name(found), "--restart", "unless-stopped"]
    words += ["--user", str(options.user)]
    words += ["--read-only"] if options.read_only else []
    words += [word for each in options.tmpfs for word in ("--tmpfs", f"{each.path}:{each.options()}")]
    words += [word for name in options.cap_drop for word in ("--cap-drop", name)]
    words += [word for name in options.cap_add for word in ("--cap-add", name)]
    words += ["--security-opt", "no-new-privileges"] if options.no_new_privileges else []
    words += ["--security-opt", f"seccomp={given.profile}"] if found.profiled and given.profile else []
    memory = short(options.memory_bytes)
    words += ["--memory", memory, "--memory-swap", memory]
    words += ["--cpus", f"{options.cpus:g}", "--pids-limit", str(options.pids)]
    words += [word for each in options.ulimits for word in ("--ulimit", f"{each.name}={each.soft}:{each.hard}")]
    words += [word for name, value in options.env.items() for word in ("--env", f"{name}={value}")]
    words += ["--no-healthcheck"] if found.refuses_own_check else []
    words += ["--stop-timeout", str(stop)] if (stop := stop_seconds(found, ENGINE_STOP_SECONDS)) else []
    words += [word for target, path in options.files.items() for word in ("--volume", f"./{path}:{target}:ro")]
    publish = [word for each in published(found) for word in ("--publish", each)]
    words += publish if found.outgoing else ["--network", network_name(found)]
    # docker run takes one word for the entrypoint: the others go before the arguments
    words += ["--entrypoint", options.entrypoint[0]] if options.entrypoint else []
    return [*words, given.image or found.image, *(options.entrypoint or ())[1:], *options.args]


def _text(found: Found, words: list[str], tool: str) -> str:
    lines = []
    if not found.outgoing:
        lines = around(found, " ".join(f"--publish {each}" for each in published(found)), "--network")
        options = "".join(f"--opt {name}={value} " for name, value in found.cut_off.items() if tool == "docker")
        lines.append(f"{tool} network create --internal {options}{network_name(found)}")
    last = len(words) - len((found.options.entrypoint or ())[1:]) - len(found.options.args) - 1
    text, line = [], f"{tool} run --detach"
    for index, word in enumerate(words[3:], 3):
        piece = shlex.quote(word)
        if (word.startswith("--") and index <= last) or index == last:
            text.append(line)
            line = f"  {piece}"
        else:
            line += f" {piece}"
    return "\n".join([*lines, " \\\n".join([*text, line])]) + "\n"


def around(found: Found, publish: str, network: str) -> list[str]:
    """What the internal network means, in comments."""
    ports = " and ".join(map(str, all_ports(found)))
    return [
        f"# Others on its network reach port {ports}, and nothing else can; outgoing connections are blocked.",
        f"# To publish the port here instead of {network}, which also allows outgoing connections: {publish}",
    ]
