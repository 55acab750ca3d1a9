"""Writes a posture as docker flags, a Compose service, or a Kubernetes Deployment of the ``restricted`` Pod Security Standard."""

from __future__ import annotations

import shlex
from typing import Any

from deadweight._errors import DeadweightError
from deadweight.checks.harden.search import HEADROOM, Found
from deadweight.engine.options import RunOptions, is_root

RESTRICTED_CAPABILITIES = ("NET_BIND_SERVICE",)
"""All that ``restricted`` lets a container add (https://kubernetes.io/docs/concepts/security/pod-security-standards/)."""


def written(found: Found, format: str) -> str:  # noqa: A002 - the flag's name
    """The posture as text, its comments included. ``format``: run, compose or kubernetes.

    Raises DeadweightError where Kubernetes' ``restricted`` standard would refuse what the service needs.
    """
    makers = {"run": _run_text, "compose": _compose_text, "kubernetes": _kubernetes_text}
    return _heading(found) + makers[format](found)


def _heading(found: Found) -> str:
    asked = (
        f"its start, its end and {found.requests} requests" if found.requests else "its start and its end, no request"
    )
    return (
        f"# {found.variant}: the tightest posture under which {asked} still work, found by {len(found.tried)} trials.\n"
        f"# Memory and processes: {HEADROOM} times the least that worked, found to a quarter, at most what the suite grants.\n"
    )


def network_name(found: Found) -> str:
    return f"{found.variant}-internal"


def run_words(found: Found) -> list[str]:
    """The words of ``docker run``."""
    options = found.options
    words = ["docker", "run", "--detach", "--name", found.variant, "--user", found.user]
    words += ["--read-only"] if options.read_only else []
    words += [word for each in options.tmpfs for word in ("--tmpfs", f"{each.path}:{each.options()}")]
    words += [word for name in options.cap_drop for word in ("--cap-drop", name)]
    words += [word for name in options.cap_add for word in ("--cap-add", name)]
    words += ["--security-opt", "no-new-privileges"] if options.no_new_privileges else []
    words += ["--memory", str(options.memory_bytes), "--memory-swap", str(options.memory_bytes)]
    words += ["--cpus", f"{options.cpus:g}", "--pids-limit", str(options.pids)]
    words += [word for each in options.ulimits for word in ("--ulimit", f"{each.name}={each.soft}:{each.hard}")]
    words += [word for name, value in options.env.items() for word in ("--env", f"{name}={value}")]
    words += (
        ["--publish", f"127.0.0.1:{found.port}:{found.port}"] if found.outgoing else ["--network", network_name(found)]
    )
    return [*words, found.image, *options.args]


def _run_text(found: Found) -> str:
    lines = []
    if not found.outgoing:
        lines += [
            f"# It needs no network but its own port {found.port}: others reach it on this one, nothing leads out.",
            f"# To publish the port on this machine instead: --publish 127.0.0.1:{found.port}:{found.port}",
            f"docker network create --internal {network_name(found)}",
        ]
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


def compose(found: Found) -> dict[str, Any]:
    """The Compose document (the Compose Specification; docker-compose 1.27 and later, docker compose)."""
    options = found.options
    service: dict[str, Any] = {
        "image": found.image,
        "user": found.user,
        "read_only": options.read_only,
        "cap_drop": list(options.cap_drop),
        "mem_limit": options.memory_bytes,
        "memswap_limit": options.memory_bytes,
        "cpus": options.cpus,
        "pids_limit": options.pids,
        "ulimits": {each.name: {"soft": each.soft, "hard": each.hard} for each in options.ulimits},
        "restart": "unless-stopped",
    }
    service |= _set("tmpfs", [f"{each.path}:{each.options()}" for each in options.tmpfs])
    service |= _set("cap_add", list(options.cap_add))
    service |= _set("security_opt", ["no-new-privileges:true"] if options.no_new_privileges else [])
    service |= _set("environment", dict(options.env)) | _set("command", list(options.args))
    if found.outgoing:
        return {"services": {found.variant: {**service, "ports": [f"127.0.0.1:{found.port}:{found.port}"]}}}
    service["networks"] = ["internal"]
    return {"services": {found.variant: service}, "networks": {"internal": {"internal": True}}}


def _compose_text(found: Found) -> str:
    note = "" if found.outgoing else f"# Other services on this network reach port {found.port}; nothing leads out.\n"
    return note + _yaml(compose(found))


def kubernetes(found: Found) -> list[dict[str, Any]]:
    """A Deployment, and the NetworkPolicy that is its network wall. Raises DeadweightError where ``restricted`` refuses it."""
    options = found.options
    beyond = [name for name in options.cap_add if name not in RESTRICTED_CAPABILITIES]
    if is_root(found.user) or beyond or "ALL" not in options.cap_drop:
        needs = (
            "root" if is_root(found.user) else f"the capabilities {', '.join(beyond) or 'that every container gets'}"
        )
        raise DeadweightError(
            f"{found.variant} needs {needs}: the restricted Pod Security Standard does not allow that",
            hint="invoke harden --format run shows what it needs",
        )
    labels = {"app.kubernetes.io/name": found.variant}
    pod = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": _pod_security(found.user),
        "containers": [_container(found, options)],
    } | _set("volumes", _volumes(options))
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": found.variant, "labels": labels},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }
    return [deployment, _policy(found, labels)]


def _pod_security(user: str) -> dict[str, Any]:
    uid, _, gid = user.partition(":")
    context: dict[str, Any] = {"runAsNonRoot": True, "runAsUser": int(uid)}
    return context | ({"runAsGroup": int(gid)} if gid else {}) | {"seccompProfile": {"type": "RuntimeDefault"}}


def _container(found: Found, options: RunOptions) -> dict[str, Any]:
    capabilities = {"drop": ["ALL"]} | _set("add", list(options.cap_add))
    resources = {"memory": str(options.memory_bytes), "cpu": f"{int((options.cpus or 1) * 1000)}m"}
    probe = {"httpGet": {"path": found.health, "port": found.port}}
    mounts = [{"name": f"writable-{number}", "mountPath": each.path} for number, each in enumerate(options.tmpfs)]
    return (
        {
            "name": "service",
            "image": found.image,
            "ports": [{"containerPort": found.port}],
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": options.read_only,
                "capabilities": capabilities,
            },
            "resources": {"limits": resources, "requests": {"memory": resources["memory"], "cpu": "50m"}},
            "readinessProbe": probe,
            "livenessProbe": {**probe, "periodSeconds": 20, "failureThreshold": 3},
        }
        | _set("volumeMounts", mounts)
        | _set("env", [{"name": name, "value": value} for name, value in options.env.items()])
        | _set("args", list(options.args))
    )


def _volumes(options: RunOptions) -> list[dict[str, Any]]:
    return [
        {"name": f"writable-{number}", "emptyDir": {"medium": "Memory", "sizeLimit": str(each.size_bytes)}}
        for number, each in enumerate(options.tmpfs)
    ]


def _policy(found: Found, labels: dict[str, str]) -> dict[str, Any]:
    types = ["Ingress"] if found.outgoing else ["Ingress", "Egress"]
    ingress = [{"ports": [{"port": found.port, "protocol": "TCP"}]}]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": found.variant, "labels": labels},
        "spec": {"podSelector": {"matchLabels": labels}, "policyTypes": types, "ingress": ingress},
    }


def _kubernetes_text(found: Found) -> str:
    note = (
        f"# Push the image and name it here. The limit of {found.options.pids} processes is the kubelet's to set (podPidsLimit);\n"
        "# an emptyDir cannot be mounted noexec.\n"
    )
    return note + "---\n".join(_yaml(document) for document in kubernetes(found))


def _set(key: str, value: Any) -> dict[str, Any]:
    """The key, where there is something to say."""
    return {key: value} if value else {}


def _yaml(document: dict[str, Any]) -> str:
    import yaml

    class Plain(yaml.SafeDumper):
        """Says everything where it stands: an alias for labels that are the same twice is right, and unreadable."""

        def ignore_aliases(self, _data: Any) -> bool:
            return True

    text: str = yaml.dump(document, Dumper=Plain, sort_keys=False, width=120)
    return text
