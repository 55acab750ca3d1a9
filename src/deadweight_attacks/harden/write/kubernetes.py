"""A namespace of the ``restricted`` Pod Security Standard, a Deployment, its Service and its NetworkPolicy."""

from __future__ import annotations

import math
import shlex
from typing import Any

from deadweight._errors import DeadweightError
from deadweight.engine.options import RunOptions, is_root
from deadweight.suite.model import Health
from deadweight_attacks.harden.found import Found
from deadweight_attacks.harden.write.policy import needed_ports, policy
from deadweight_attacks.harden.write.values import (
    KUBERNETES_STOP_SECONDS,
    PORT_SYSCTL,
    Quoted,
    Written,
    all_ports,
    given,
    key,
    label,
    low_port,
    short,
    stop_seconds,
    yaml_text,
)

RESTRICTED_CAPABILITIES = ("NET_BIND_SERVICE",)
"""All that ``restricted`` lets a container add (https://kubernetes.io/docs/concepts/security/pod-security-standards/)."""

LEAST_HOST_USER = 10000
"""Validators ask for ids above: those below may be somebody's on the node."""
KNOWN_REGISTRIES = ("gcr.io", "azurecr.io", "amazonaws.com")
"""Those that trivy trusts at its default settings."""
LOG_MEBIBYTES = 64
"""What a container writes on the node's disk: its log, of which a kubelet keeps five times 10 MiB."""
DISK_MEBIBYTES = 1024
"""The same where its root is writable: nothing was measured, so it is a bound and no finding."""


def kubernetes(found: Found, wanted: Written | None = None) -> list[dict[str, Any]]:
    """The documents. Raises DeadweightError where ``restricted`` refuses the service."""
    _refuse(found)
    wanted, name = wanted or Written(), label(found.suite)
    labels = {"app.kubernetes.io/name": name}
    documents = [
        _namespace(name, labels),
        _deployment(found, wanted, labels),
        *([_service(found, labels)] if all_ports(found) else []),
        policy(found, _metadata(labels)),
    ]
    if wanted.budget:
        documents.append(_budget(labels))
    return documents


def _refuse(found: Found) -> None:
    options = found.options
    beyond = [name for name in options.cap_add if name not in RESTRICTED_CAPABILITIES]
    root = is_root(str(options.user))
    if root or beyond or "ALL" not in options.cap_drop:
        needs = "root" if root else f"the capabilities {', '.join(beyond) or 'that every container gets'}"
        raise DeadweightError(
            f"{found.variant.name} needs {needs}: the restricted Pod Security Standard does not allow that",
            hint="invoke harden --format run shows what it needs",
        )


def _metadata(labels: dict[str, str]) -> dict[str, Any]:
    name = labels["app.kubernetes.io/name"]
    return {"name": name, "namespace": name, "labels": labels}


def _namespace(name: str, labels: dict[str, str]) -> dict[str, Any]:
    enforced = {"pod-security.kubernetes.io/enforce": "restricted"}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels | enforced}}


def _deployment(found: Found, wanted: Written, labels: dict[str, str]) -> dict[str, Any]:
    options, stop = found.options, stop_seconds(found, KUBERNETES_STOP_SECONDS)
    pod = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": _pod_security(found, wanted),
        "containers": [_container(found, options, wanted)],
    }
    pod |= key("volumes", _volumes(options)) | key("terminationGracePeriodSeconds", stop)
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _metadata(labels),
        "spec": {
            "replicas": 2 if wanted.budget else 1,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod | (_apart(labels) if wanted.budget else {})},
        },
    }


def _pod_security(found: Found, wanted: Written) -> dict[str, Any]:
    """An engine lets anybody listen on any port of a container; a cluster only where the pod asks for it. The sysctl is one of
    those that ``restricted`` takes for safe."""
    uid, _, gid = str(found.options.user).partition(":")
    context: dict[str, Any] = {"runAsNonRoot": True, "runAsUser": int(uid)}
    if lowest := low_port(found):
        context["sysctls"] = [{"name": PORT_SYSCTL, "value": str(lowest)}]
    context |= {"runAsGroup": int(gid)} if gid else {}
    return context | {"seccompProfile": _seccomp(found, wanted)}


def _seccomp(found: Found, wanted: Written) -> dict[str, Any]:
    if not found.profiled or not wanted.profile:
        return {"type": "RuntimeDefault"}
    return {"type": "Localhost", "localhostProfile": _on_node(found)}


def _on_node(found: Found) -> str:
    return f"profiles/{label(found.suite)}.json"


def _container(found: Found, options: RunOptions, wanted: Written) -> dict[str, Any]:
    health, port = found.variant.health, found.variant.port
    memory, disk = short(options.memory_bytes, "Mi"), LOG_MEBIBYTES if options.read_only else DISK_MEBIBYTES
    limits = {"memory": memory, "cpu": f"{round((options.cpus or 1) * 1000)}m", "ephemeral-storage": f"{disk}Mi"}
    requests = {"memory": memory, "cpu": "50m", "ephemeral-storage": f"{disk}Mi"}
    probe = _probe(health, port)
    mounts = [{"name": f"writable-{number}", "mountPath": each.path} for number, each in enumerate(options.tmpfs)]
    container: dict[str, Any] = {
        "name": label(found.suite),
        "image": wanted.image or found.image,
        "imagePullPolicy": "Always",
        **key("ports", [{"containerPort": each} for each in all_ports(found)]),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": options.read_only,
            "runAsNonRoot": True,
            "capabilities": {"drop": ["ALL"]} | key("add", list(options.cap_add)),
        },
        "resources": {"limits": limits, "requests": requests},
    }
    if probe:
        container["startupProbe"] = {**probe, "periodSeconds": 1, "failureThreshold": math.ceil(health.within_seconds)}
        container["readinessProbe"] = probe
    container |= key("livenessProbe", _alive(health, port))
    container |= key("volumeMounts", mounts)
    container |= key("env", [{"name": Quoted(name), "value": given(value)} for name, value in options.env.items()])
    container |= key("command", [given(each) for each in options.entrypoint or ()])
    return container | key("args", [given(each) for each in options.args])


def _probe(health: Health, port: int | None) -> dict[str, Any]:
    """Kubernetes' HTTP probe takes 200 to 399 only (Probe v1 core): for any other status the port alone is asked. Nothing of what
    has no port and no command."""
    if health.kind == "exec":
        return {"exec": {"command": [given(each) for each in health.command]}}
    if port is None:
        return {}
    if health.kind == "grpc":
        return {"grpc": {"port": port, **({"service": health.service} if health.service else {})}}
    if health.kind == "http" and all(str(status)[0] in "23" for status in health.status):
        return {"httpGet": {"path": health.path, "port": port, **({"scheme": "HTTPS"} if health.tls else {})}}
    return {"tcpSocket": {"port": port}}


def _alive(health: Health, port: int | None) -> dict[str, Any]:
    """A service that is not ready need not be restarted: whether it lives, its port tells. Nothing where that is all that is asked
    of it anyway."""
    if port is None or "tcpSocket" in _probe(health, port):
        return {}
    return {"tcpSocket": {"port": port}, "periodSeconds": 20, "failureThreshold": 3}


def _apart(labels: dict[str, str]) -> dict[str, Any]:
    term = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": labels}}
    preferred = [{"weight": 100, "podAffinityTerm": term}]
    return {"affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred}}}


def _volumes(options: RunOptions) -> list[dict[str, Any]]:
    return [
        {"name": f"writable-{number}", "emptyDir": {"medium": "Memory", "sizeLimit": short(each.size_bytes, "Mi")}}
        for number, each in enumerate(options.tmpfs)
    ]


def _service(found: Found, labels: dict[str, str]) -> dict[str, Any]:
    ports = all_ports(found)  # a Service tells several apart by their names
    named = [{"name": f"port-{port}"} if len(ports) > 1 else {} for port in ports]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _metadata(labels),
        "spec": {
            "selector": labels,
            "ports": [name | {"port": port, "targetPort": port} for name, port in zip(named, ports, strict=True)],
        },
    }


def _budget(labels: dict[str, str]) -> dict[str, Any]:
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": _metadata(labels),
        "spec": {"minAvailable": 1, "selector": {"matchLabels": labels}},
    }


def text(found: Found, wanted: Written) -> str:
    notes = "".join(f"# {line}\n" for line in _notes(found, wanted))
    return notes + "---\n".join(yaml_text(document) for document in kubernetes(found, wanted))


def _notes(found: Found, wanted: Written) -> list[str]:
    """What was not tried, what is lost, and what a validator may say."""
    options = found.options
    lost = [f"{options.pids} processes (the kubelet's podPidsLimit)"]
    lost += [f"{each.name}={each.soft}:{each.hard} (the container runtime's)" for each in options.ulimits]
    lost += ["noexec on an emptyDir"] if options.tmpfs else []
    untried = "probes and emptyDirs" if options.tmpfs else "probes"
    notes = [
        f"Tried in a container engine, not in a cluster; its {untried} were not tried. Push the image and set its name here.",
        f"A Deployment cannot express {', '.join(lost)}.",
    ]
    if found.variant.run.needs:
        notes.append(f"What it needs is not in here: {_elsewhere(found)}.")
    if found.profiled and wanted.profile:
        notes.append(
            f"Copy the seccomp profile to every node: {shlex.quote(wanted.profile)} to /var/lib/kubelet/seccomp/{_on_node(found)}"
        )
    return notes + _objections(found, wanted)


def _elsewhere(found: Found) -> str:
    """How what it needs is found and reached."""
    told = "give each a Service of that name in this namespace (type: ExternalName where it is elsewhere)"
    if found.outgoing:
        return told
    ports = ", ".join(map(str, needed_ports(found)))
    if ports:
        told += (
            f"; the NetworkPolicy lets it reach port {ports} in this cluster, and beyond it nothing (add an ipBlock)"
        )
    needs = found.variant.run.needs.items()
    if unreached := [name for name, need in needs if need.port is None and need.health.kind != "exit"]:
        told += f"; the NetworkPolicy does not let it reach {', '.join(unreached)}, whose port the suite does not say (run.needs)"
    return told


def _objections(found: Found, wanted: Written) -> list[str]:
    """What checkov, kube-score and trivy say of it at their default settings, and why it is so."""
    one, image = (
        "one replica (kube-score): --budget writes two, apart, and a PodDisruptionBudget",
        wanted.image or found.image,
    )
    said = [] if wanted.budget else [one]
    if found.profiled and wanted.profile:
        said.append(
            "a profile that is not the runtime's (checkov CKV_K8S_31): it allows fewer system calls than that one"
        )
    if "@sha256:" not in image:
        said.append(
            "no digest (checkov CKV_K8S_43): push the image, and name it: invoke harden --image REPOSITORY@sha256:…"
        )
    if not image.partition("/")[0].endswith(KNOWN_REGISTRIES):
        said.append("a registry that trivy does not list (KSV-0125): whose it is, only you know")
    if int(str(found.options.user).partition(":")[0]) < LEAST_HOST_USER:
        said.append(
            f"a user id below {LEAST_HOST_USER} (checkov CKV_K8S_40, kube-score, trivy KSV-0020, KSV-0021): the image's own"
        )
    if low_port(found):
        said.append(
            "a port below 1024 (trivy KSV-0117): the service's own; the pod's sysctl opens it, and no capability"
        )
    if not found.options.read_only:
        said.append(
            "a writable root (checkov CKV_K8S_22, kube-score, trivy KSV-0014): the checks fail with a read-only one"
        )
    if found.options.cap_add:
        needed = ", ".join(found.options.cap_add)
        said.append(f"a capability (checkov CKV_K8S_25, trivy KSV-0022): the checks fail without {needed}")
    if not _alive(found.variant.health, found.variant.port):
        said.append(
            "no liveness probe (checkov CKV_K8S_8): it would ask what readiness asks, and restart what is only not ready"
        )
    return [f"Validators note: {each}." for each in said]
