"""``docker run`` and ``podman run``: the same flags, but for a few."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping
from dataclasses import replace

from deadweight.engine.options import Tmpfs
from deadweight.suite.model import Need
from deadweight_attacks.harden.found import Found
from deadweight_attacks.harden.write.needs import (
    BRIDGE_RULE,
    TRIES,
    about,
    beside,
    folders_in_memory,
    image_of,
    is_job,
    named,
    network_name,
    podman_image,
    podman_image_of,
    to_load,
    too_early,
    up_seconds,
)
from deadweight_attacks.harden.write.values import (
    ENGINE_STOP_SECONDS,
    PORT_SYSCTL,
    Written,
    all_ports,
    container_name,
    inside,
    low_port,
    published,
    short,
    start_seconds,
    stop_seconds,
)


class Below(str):
    """A path below the folder in which a shell stands: engines before Docker 23 take no relative one."""


def docker_text(found: Found, given: Written) -> str:
    return _text(found, run_words(found, given), given, "docker")


def podman_text(found: Found, given: Written) -> str:
    """Podman mounts folders in memory where the root is read-only, unless it is told not to. Its health check needs no shell."""
    words = run_words(found, given, podman_tmpfs)
    more = ["--read-only-tmpfs=false"] if "--read-only" in words else []
    more += ["--sysctl", f"{PORT_SYSCTL}={lowest}"] if (lowest := low_port(found)) else []
    asks = found.asked_inside
    more += ["--health-cmd", health_words(asks), "--health-interval", "10s", "--health-timeout", "5s"] if asks else []
    more += ["--health-retries", "3", "--health-start-period", f"{start_seconds(found)}s"] if asks else []
    at = words.index("--user")
    words = ["podman", *words[1:at], *more, *words[at:]]
    words[_image_at(found, words)] = podman_image(found, given)
    return "".join(f"{line}\n" for line in to_load(found, given)) + _text(found, words, given, "podman")


def health_words(asks: tuple[str, ...]) -> str:
    """A program and its words as Podman's ``--health-cmd`` takes them without a shell: a list, or one word behind CMD."""
    return json.dumps(list(asks)) if len(asks) > 1 else f"CMD {asks[0]}"


def podman_tmpfs(folder: Tmpfs) -> str:
    """Podman takes no owner by number: with U, the folder is the container's user's."""
    return folder.options() if folder.uid is None else f"{replace(folder, uid=None).options()},U"


def run_words(
    found: Found, given: Written | None = None, in_memory: Callable[[Tmpfs], str] = Tmpfs.options
) -> list[str]:
    """The words of ``docker run``; ``in_memory`` gives the options of a folder in memory."""
    options, given = found.options, given or Written()
    words = ["docker", "run", "--detach", "--name", container_name(found), "--restart", "unless-stopped"]
    words += ["--user", str(options.user)]
    words += ["--read-only"] if options.read_only else []
    words += [word for each in options.tmpfs for word in ("--tmpfs", f"{each.path}:{in_memory(each)}")]
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
    words += _volumes(options.files, given)
    words += [word for each in published(found) for word in ("--publish", each)] if found.outgoing else []
    words += ["--network", network] if (network := network_name(found)) else []
    # docker run takes one word for the entrypoint: the others go before the arguments
    words += ["--entrypoint", options.entrypoint[0]] if options.entrypoint else []
    return [*words, given.image or found.image, *(options.entrypoint or ())[1:], *options.args]


def _volumes(files: Mapping[str, str], given: Written) -> list[str]:
    paths = [Below(f"{inside(given.files, path)}:{target}:ro") for target, path in files.items()]
    return [word for each in paths for word in ("--volume", each)]


def _need_words(name: str, need: Need, found: Found, given: Written, tool: str) -> list[str]:
    words = [tool, "run", *([] if is_job(need) else ["--detach"]), "--name", named(name, found)]
    words += ["--rm"] if is_job(need) else ["--restart", "unless-stopped"]
    words += ["--network", network_name(found), "--network-alias", name, "--memory", short(need.memory)]
    words += [word for path in folders_in_memory(need) for word in ("--tmpfs", path)]
    words += [word for key, value in need.env.items() for word in ("--env", f"{key}={value}")]
    words += _volumes(need.files, given)
    image = podman_image_of(name, found) if tool == "podman" else image_of(name, found)
    return [*words, image, *need.args]


def _text(found: Found, words: list[str], given: Written, tool: str) -> str:
    lines, closed, network = [], [], network_name(found)
    if not found.outgoing:
        closed = ["--internal"]
        closed += [f"--opt {name}={value}" for name, value in found.cut_off.items() if tool == "docker"]
        publish = " ".join(f"--publish {each}" for each in published(found))
        lines = around(found, publish, f"{' '.join(closed)} where the network is created")
    work = [" ".join([f"{tool} network create", *closed, network])] if network else []
    if closed and tool == "podman":
        work += [
            "# A Docker engine beside Podman may cut containers of this network off from each other: let them pass."
        ]
        work += [BRIDGE_RULE.format(network=network)]
    lines += about(found)
    for name, need in beside(found).items():
        words_of_need = _need_words(name, need, found, given, tool)
        command = _lines(words_of_need, len(words_of_need) - len(need.args) - 1)
        work.append(_until(TRIES, command, f"{name} failed") if too_early(name, found) else command)
        if asks := found.need_asks.get(name):
            asked = shlex.join([tool, "exec", named(name, found), *asks])
            work.append(_until(up_seconds(need), asked, f"{name} is not up (see {tool} logs {named(name, found)})"))
    work.append(_lines(words, _image_at(found, words)))
    if len(work) > 1:  # in a shell of its own, which the first failure ends: a pasted "exit" would end the user's
        work = ["(", "set -e", *work, ")"]
    return "\n".join([*lines, *work]) + "\n"


def _until(tries: int, command: str, failed: str) -> str:
    """The command until it ends well, a second apart. After that many tries, it says what failed, and ends the shell."""
    gave_up = f"echo {shlex.quote(f'{failed}: tried {tries} times')} >&2; exit 1"
    last = f'if [ "$try" -eq {tries} ]; then {gave_up}; fi'
    return f"for try in $(seq {tries}); do\n  {command} && break\n  {last}\n  sleep 1\ndone"


def _image_at(found: Found, words: list[str]) -> int:
    """Where the image stands, which the service's own words follow."""
    return len(words) - len((found.options.entrypoint or ())[1:]) - len(found.options.args) - 1


def _lines(words: list[str], last: int) -> str:
    """A command with a flag a line; ``last`` is where the image stands."""
    text, line = [], " ".join(words[:2])
    for index, word in enumerate(words[2:], 2):
        piece = _quoted(word)
        if (word.startswith("--") and word != "--detach" and index <= last) or index == last:
            text.append(line)
            line = f"  {piece}"
        else:
            line += f" {piece}"
    return " \\\n".join([*text, line])


def _quoted(word: str) -> str:
    return f'"$PWD"/{shlex.quote(word)}' if isinstance(word, Below) else shlex.quote(word)


def around(found: Found, publish: str, closed: str) -> list[str]:
    """What the internal network means, in comments; ``closed`` is what makes it one."""
    ports = " and ".join(map(str, all_ports(found)))
    if not ports:
        return ["# Nothing is reached on its network, and outgoing connections are blocked."]
    them = "them" if len(all_ports(found)) > 1 else "it"
    return [
        f"# Others on its network reach port {ports}, and nothing else can; outgoing connections are blocked.",
        f"# To publish {them} here, which also allows outgoing connections: add {publish}, and take away {closed}.",
    ]
