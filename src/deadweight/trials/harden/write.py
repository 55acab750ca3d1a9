"""Writes a posture as docker flags, a Compose service, or a Kubernetes Deployment of the ``restricted`` Pod Security Standard."""

from __future__ import annotations

import math
import re
import shlex
from typing import Any

from deadweight._errors import DeadweightError
from deadweight.engine.options import RunOptions, is_root
from deadweight.suite.model import Health, Need
from deadweight.trials.harden.search import Found

RESTRICTED_CAPABILITIES = ("NET_BIND_SERVICE",)
"""All that ``restricted`` lets a container add (https://kubernetes.io/docs/concepts/security/pod-security-standards/)."""

MAX_LABEL = 63
"""The longest label of RFC 1123, which names a pod, and the longest value of a Kubernetes label."""

FIRST_UNPRIVILEGED = 1024
"""The lowest port that a process without root or NET_BIND_SERVICE may listen on, where nothing else is said (ip-sysctl)."""

ENGINE_STOP_SECONDS, KUBERNETES_STOP_SECONDS = 10, 30
"""What the platforms give a container to end where nothing is said."""


def written(found: Found, format: str) -> str:  # noqa: A002 - the flag's name
    """The posture as text, its comments included. ``format``: run, compose or kubernetes.

    Raises DeadweightError where Kubernetes' ``restricted`` standard would refuse what the service needs.
    """
    makers = {"run": _run_text, "compose": _compose_text, "kubernetes": _kubernetes_text}
    return _heading(found) + makers[format](found)


def _heading(found: Found) -> str:
    variant, count = found.variant, len(found.variant.checks.api)
    requests = f"{count} request{'' if count == 1 else 's'}"
    asked = f"its start, its end and {requests}" if count else "its start and its stop, no requests"
    lines = [
        f"{variant.name}: the tightest posture under which {asked} still work, found by {len(found.tried)} trials.",
        f"Memory and processes: {found.headroom} times the least that worked, found by halving, up to what the suite allows.",
    ]
    if variant.run.needs:
        needs = ", ".join(f"{name} ({each.image or each.variant})" for name, each in variant.run.needs.items())
        lines.append(f"It needs these services, reachable by these names: {needs}.")
    if variant.checks.other:
        lines.append(f"Not tried: checks of plug-ins ({', '.join(variant.checks.other)}).")
    return "".join(f"# {line}\n" for line in lines)


# docker run


def network_name(found: Found) -> str:
    return f"{found.suite}-internal"


def run_words(found: Found) -> list[str]:
    """The words of ``docker run``."""
    options, name = found.options, found.suite
    # An engine wants two characters at least (moby, ``RestrictedNamePattern``).
    words = ["docker", "run", "--detach", "--name", name if len(name) > 1 else f"{name}-service"]
    words += ["--user", str(options.user)]
    words += ["--read-only"] if options.read_only else []
    words += [word for each in options.tmpfs for word in ("--tmpfs", f"{each.path}:{each.options()}")]
    words += [word for name in options.cap_drop for word in ("--cap-drop", name)]
    words += [word for name in options.cap_add for word in ("--cap-add", name)]
    words += ["--security-opt", "no-new-privileges"] if options.no_new_privileges else []
    memory = _short(options.memory_bytes)
    words += ["--memory", memory, "--memory-swap", memory]
    words += ["--cpus", f"{options.cpus:g}", "--pids-limit", str(options.pids)]
    words += [word for each in options.ulimits for word in ("--ulimit", f"{each.name}={each.soft}:{each.hard}")]
    words += [word for name, value in options.env.items() for word in ("--env", f"{name}={value}")]
    words += ["--stop-timeout", str(stop)] if (stop := _stop_seconds(found, ENGINE_STOP_SECONDS)) else []
    words += ["--publish", _published(found)] if found.outgoing else ["--network", network_name(found)]
    # docker run takes one word for the entrypoint: the others go before the arguments
    words += ["--entrypoint", options.entrypoint[0]] if options.entrypoint else []
    return [*words, found.image, *(options.entrypoint or ())[1:], *options.args]


def _run_text(found: Found) -> str:
    lines = []
    if not found.outgoing:
        lines = _around(found, f"--publish {_published(found)}", "--network")
        options = "".join(f"--opt {name}={value} " for name, value in found.cut_off.items())
        lines.append(f"docker network create --internal {options}{network_name(found)}")
    flags = run_words(found)
    text, line = [], "docker run --detach"
    for word in flags[3:]:
        piece = shlex.quote(word)
        if word.startswith("--") or word == found.image:
            text.append(line)
            line = f"  {piece}"
        else:
            line += f" {piece}"
    return "\n".join([*lines, " \\\n".join([*text, line])]) + "\n"


def _published(found: Found) -> str:
    return f"127.0.0.1:{found.variant.port}:{found.variant.port}"


# Compose


def compose(found: Found) -> dict[str, Any]:
    """The Compose document (the Compose Specification; docker-compose 1.27 and later, docker compose)."""
    options, stop = found.options, _stop_seconds(found, ENGINE_STOP_SECONDS)
    service: dict[str, Any] = {
        "image": found.image,
        "user": options.user,
        "read_only": options.read_only,
        "cap_drop": list(options.cap_drop),
        "mem_limit": _short(options.memory_bytes),
        "memswap_limit": _short(options.memory_bytes),
        "cpus": options.cpus,
        "pids_limit": options.pids,
        "ulimits": {each.name: {"soft": each.soft, "hard": each.hard} for each in options.ulimits},
    }
    service |= _set("tmpfs", [_given(f"{each.path}:{each.options()}") for each in options.tmpfs])
    service |= _set("cap_add", list(options.cap_add))
    service |= _set("security_opt", ["no-new-privileges:true"] if options.no_new_privileges else [])
    service |= _set("environment", {Quoted(name): _given(value) for name, value in options.env.items()})
    service |= _set("entrypoint", [_given(each) for each in options.entrypoint or ()])
    service |= _set("command", [_given(each) for each in options.args])
    service |= _set("stop_grace_period", f"{stop}s" if stop else "")
    others = {name: _compose_need(need) for name, need in found.variant.run.needs.items() if need.image}
    service |= _set("depends_on", list(others))
    if found.outgoing:
        return {"services": {found.suite: {**service, "ports": [_published(found)]}, **others}}
    network = {"internal": True} | _set("driver_opts", dict(found.cut_off))
    services = {found.suite: service, **others}
    return {
        "services": {name: {**each, "networks": ["internal"]} for name, each in services.items()},
        "networks": {"internal": network},
    }


def _compose_need(need: Need) -> dict[str, Any]:
    """A container beside it, as the suite says it; it was not hardened."""
    service: dict[str, Any] = {"image": need.image, "mem_limit": _short(need.memory)}
    service |= _set("environment", {Quoted(name): _given(value) for name, value in need.env.items()})
    service |= _set("command", [_given(each) for each in need.args])
    return service | _set("volumes", [_given(f"./{path}:{target}:ro") for target, path in need.files.items()])


def _compose_text(found: Found) -> str:
    note = [] if found.outgoing else _around(found, f'ports: ["{_published(found)}"]', "networks")
    return "".join(f"{line}\n" for line in note) + _yaml(compose(found))


def _around(found: Found, publish: str, network: str) -> list[str]:
    """What the internal network means, in comments."""
    return [
        f"# Others on its network reach port {found.variant.port}, and nothing else can; outgoing connections are blocked.",
        f"# To publish the port here instead of {network}, which also allows outgoing connections: {publish}",
    ]


# Kubernetes


def kubernetes(found: Found) -> list[dict[str, Any]]:
    """A Deployment, the Service by which others reach it, and the NetworkPolicy that is its network wall.

    Raises DeadweightError where ``restricted`` refuses it."""
    options = found.options
    beyond = [name for name in options.cap_add if name not in RESTRICTED_CAPABILITIES]
    root = is_root(str(options.user))
    if root or beyond or "ALL" not in options.cap_drop:
        needs = "root" if root else f"the capabilities {', '.join(beyond) or 'that every container gets'}"
        raise DeadweightError(
            f"{found.variant.name} needs {needs}: the restricted Pod Security Standard does not allow that",
            hint="invoke harden --format run shows what it needs",
        )
    name, stop = _label(found.suite), _stop_seconds(found, KUBERNETES_STOP_SECONDS)
    labels = {"app.kubernetes.io/name": name}
    pod = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": _pod_security(str(options.user), found.variant.port),
        "containers": [_container(found, options)],
    }
    pod |= _set("volumes", _volumes(options)) | _set("terminationGracePeriodSeconds", stop)
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }
    return [deployment, _service(found, labels), _policy(found, labels)]


def _pod_security(user: str, port: int) -> dict[str, Any]:
    """An engine lets anybody listen on any port of a container; a cluster only where the pod asks for it. The sysctl is one of
    those that ``restricted`` takes for safe."""
    uid, _, gid = user.partition(":")
    context: dict[str, Any] = {"runAsNonRoot": True, "runAsUser": int(uid)}
    if port < FIRST_UNPRIVILEGED:
        context["sysctls"] = [{"name": "net.ipv4.ip_unprivileged_port_start", "value": str(port)}]
    return context | ({"runAsGroup": int(gid)} if gid else {}) | {"seccompProfile": {"type": "RuntimeDefault"}}


def _container(found: Found, options: RunOptions) -> dict[str, Any]:
    capabilities = {"drop": ["ALL"]} | _set("add", list(options.cap_add))
    resources = {"memory": _short(options.memory_bytes, "Mi"), "cpu": f"{round((options.cpus or 1) * 1000)}m"}
    health, port = found.variant.health, found.variant.port
    probe = _probe(health, port)
    mounts = [{"name": f"writable-{number}", "mountPath": each.path} for number, each in enumerate(options.tmpfs)]
    return (
        {
            "name": _label(found.suite),
            "image": found.image,
            "ports": [{"containerPort": port}],
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": options.read_only,
                "capabilities": capabilities,
            },
            "resources": {"limits": resources, "requests": {"memory": resources["memory"], "cpu": "50m"}},
            "startupProbe": {**probe, "periodSeconds": 1, "failureThreshold": math.ceil(health.within_seconds)},
            "readinessProbe": probe,
            "livenessProbe": {**probe, "periodSeconds": 20, "failureThreshold": 3},
        }
        | _set("volumeMounts", mounts)
        | _set("env", [{"name": Quoted(name), "value": _given(value)} for name, value in options.env.items()])
        | _set("command", [_given(each) for each in options.entrypoint or ()])
        | _set("args", [_given(each) for each in options.args])
    )


def _probe(health: Health, port: int) -> dict[str, Any]:
    """Kubernetes' HTTP probe takes 200 to 399 only (Probe v1 core): for any other status the port alone is asked."""
    if health.kind == "exec":
        return {"exec": {"command": [_given(each) for each in health.command]}}
    if health.kind == "grpc":
        return {"grpc": {"port": port, **({"service": health.service} if health.service else {})}}
    if health.kind == "http" and all(str(status)[0] in "23" for status in health.status):
        return {"httpGet": {"path": health.path, "port": port}}
    return {"tcpSocket": {"port": port}}


def _volumes(options: RunOptions) -> list[dict[str, Any]]:
    return [
        {"name": f"writable-{number}", "emptyDir": {"medium": "Memory", "sizeLimit": _short(each.size_bytes, "Mi")}}
        for number, each in enumerate(options.tmpfs)
    ]


def _service(found: Found, labels: dict[str, str]) -> dict[str, Any]:
    port = found.variant.port
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": labels["app.kubernetes.io/name"], "labels": labels},
        "spec": {"selector": labels, "ports": [{"port": port, "targetPort": port}]},
    }


def _policy(found: Found, labels: dict[str, str]) -> dict[str, Any]:
    types = ["Ingress"] if found.outgoing else ["Ingress", "Egress"]
    ingress = [{"ports": [{"port": found.variant.port, "protocol": "TCP"}]}]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": labels["app.kubernetes.io/name"], "labels": labels},
        "spec": {"podSelector": {"matchLabels": labels}, "policyTypes": types, "ingress": ingress},
    }


def _kubernetes_text(found: Found) -> str:
    options = found.options
    lost = [f"{options.pids} processes (the kubelet's podPidsLimit)"]
    lost += [f"{each.name}={each.soft}:{each.hard} (the container runtime's)" for each in options.ulimits]
    lost += ["noexec on an emptyDir"] if options.tmpfs else []
    untried = "probes and emptyDirs" if options.tmpfs else "probes"
    note = (
        f"# Tried in a container engine, not in a cluster; its {untried} were not tried. Push the image and set its name here.\n"
        f"# A Deployment cannot express {', '.join(lost)}.\n"
    )
    return note + "---\n".join(_yaml(document) for document in kubernetes(found))


# values and names


class Quoted(str):
    """Text that is not ours: written in quotes, because not all readers of YAML take 1e3, 0o17 or y for text."""


def _given(text: str) -> Quoted:
    """A value of the suite's. Compose replaces ``$NAME`` in it, Kubernetes ``$(NAME)``; both take ``$$`` for one dollar sign."""
    return Quoted(text.replace("$", "$$"))


def _label(name: str) -> str:
    """A suite's name as a label of RFC 1123, which knows no dots and underscores."""
    return re.sub("[^a-z0-9]", "-", name)[:MAX_LABEL].rstrip("-")


def _short(size_bytes: int | None, unit: str = "m") -> str:
    """Bytes in ``unit`` of 2^20 where nothing is lost."""
    mebibytes, rest = divmod(size_bytes or 0, 2**20)
    return str(size_bytes) if rest else f"{mebibytes}{unit}"


def _stop_seconds(found: Found, usual: int) -> int | None:
    """How long it may take to end, where that is longer than the platform's usual time."""
    seconds = math.ceil(found.variant.checks.runs.stops_within_seconds)
    return seconds if seconds > usual else None


def _set(key: str, value: Any) -> dict[str, Any]:
    """The key, where there is something to say."""
    return {key: value} if value else {}


def _yaml(document: dict[str, Any]) -> str:
    import yaml

    class Plain(yaml.SafeDumper):
        """Says everything where it stands: an alias for labels that are the same twice is right, and unreadable."""

        def ignore_aliases(self, _data: Any) -> bool:
            return True

    Plain.add_representer(
        Quoted, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"')
    )
    text: str = yaml.dump(document, Dumper=Plain, sort_keys=False, width=120)
    return text
