"""Write Kubernetes YAML: a ``restricted`` namespace, a Deployment, its Service and NetworkPolicy."""

from __future__ import annotations

import math
import shlex
from typing import Any

from deadweight._errors import DeadweightError
from deadweight.engine.options import is_root
from deadweight_attacks.harden.write.model import PORT_SYSCTL, Model, Quoted, compact, escaped, label, short, yaml_text
from deadweight_attacks.walls import wording

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
STOP_SECONDS = 30
"""What a kubelet gives a container to end where nothing is said."""
NAMESPACE_LABEL, DNS_NAMESPACE = "kubernetes.io/metadata.name", "kube-system"
"""The label that every namespace has since Kubernetes 1.22, and where a cluster's DNS is."""


def text(model: Model) -> str:
    notes = [*_notes(model), *(f"Validators note: {objection}." for objection in _objections(model))]
    documents = "---\n".join(yaml_text(document) for document in kubernetes(model))
    return "".join(f"# {note}\n" for note in notes) + documents


def kubernetes(model: Model) -> list[dict[str, Any]]:
    """The documents. Raises DeadweightError where ``restricted`` refuses the service."""
    _refuse(model)
    name = label(model.suite)
    labels = {"app.kubernetes.io/name": name}
    metadata = {"name": name, "namespace": name, "labels": labels}
    enforced = {"name": name, "labels": labels | {"pod-security.kubernetes.io/enforce": "restricted"}}
    documents: list[dict[str, Any]] = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": enforced},
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": _deployment(model, labels)},
    ]
    if model.ports:  # a Service tells several apart by their names
        ports = [
            ({"name": f"port-{port}"} if len(model.ports) > 1 else {}) | {"port": port, "targetPort": port}
            for port in model.ports
        ]
        spec = {"selector": labels, "ports": ports}
        documents.append({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec})
    policy = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": metadata}
    documents.append({**policy, "spec": _policy(model, labels)})
    if model.request.budget:
        lasting = {"minAvailable": 1, "selector": {"matchLabels": labels}}
        budget = {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": metadata}
        documents.append({**budget, "spec": lasting})
    return documents


def _refuse(model: Model) -> None:
    options = model.options
    beyond = [name for name in options.cap_add if name not in RESTRICTED_CAPABILITIES]
    root = is_root(str(options.user))
    if root or beyond or "ALL" not in options.cap_drop:
        needs = "root" if root else ", ".join(beyond) or "default capabilities"
        raise DeadweightError(wording("write.pod_security", variant=model.variant.name, needs=needs))


def _deployment(model: Model, labels: dict[str, str]) -> dict[str, Any]:
    folders, budget = model.options.tmpfs, model.request.budget
    pod: dict[str, Any] = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": _pod_security(model),
        "containers": [_container(model)],
    } | compact(
        volumes=[
            {"name": f"writable-{number}", "emptyDir": {"medium": "Memory", "sizeLimit": short(tmpfs.size_bytes, "Mi")}}
            for number, tmpfs in enumerate(folders)
        ],
        terminationGracePeriodSeconds=model.stop_seconds(STOP_SECONDS),
    )
    if budget:
        term = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": labels}}
        preferred = [{"weight": 100, "podAffinityTerm": term}]
        pod["affinity"] = {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred}}
    template = {"metadata": {"labels": labels}, "spec": pod}
    return {"replicas": 2 if budget else 1, "selector": {"matchLabels": labels}, "template": template}


def _pod_security(model: Model) -> dict[str, Any]:
    """An engine lets anybody listen on any port of a container; a cluster only where the pod asks for it. The sysctl is one of
    those that ``restricted`` takes for safe."""
    uid, _, gid = str(model.options.user).partition(":")
    profile = (
        {"type": "Localhost", "localhostProfile": _on_node(model)} if model.profile else {"type": "RuntimeDefault"}
    )
    sysctls = [{"name": PORT_SYSCTL, "value": str(model.low_port)}] if model.low_port else []
    return {
        "runAsNonRoot": True, "runAsUser": int(uid), **compact(sysctls=sysctls),
        **({"runAsGroup": int(gid)} if gid else {}), "seccompProfile": profile,
    }  # fmt: skip


def _on_node(model: Model) -> str:
    return f"profiles/{label(model.suite)}.json"


def _container(model: Model) -> dict[str, Any]:
    options, service = model.options, model.service
    memory, disk = short(options.memory_bytes, "Mi"), LOG_MEBIBYTES if options.read_only else DISK_MEBIBYTES
    bounds = {"memory": memory, "cpu": "50m", "ephemeral-storage": f"{disk}Mi"}
    probe, local = _probe(model), {"type": "Localhost", "localhostProfile": options.apparmor}
    starts = {**probe, "periodSeconds": 1, "failureThreshold": math.ceil(model.variant.health.within_seconds)}
    return {"name": label(model.suite), "image": service.image, "imagePullPolicy": "Always"} | compact(
        ports=[{"containerPort": port} for port in model.ports],
        securityContext={
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": options.read_only,
            "runAsNonRoot": True,
            "capabilities": {"drop": ["ALL"]} | compact(add=list(options.cap_add)),
            **compact(appArmorProfile=local if model.request.apparmor else {}),
        },
        resources={"limits": {**bounds, "cpu": f"{round((options.cpus or 1) * 1000)}m"}, "requests": bounds},
        startupProbe=starts if probe else {},
        readinessProbe=probe,
        livenessProbe=_alive(model),
        volumeMounts=[
            {"name": f"writable-{number}", "mountPath": folder.path} for number, folder in enumerate(options.tmpfs)
        ],
        env=[{"name": Quoted(name), "value": escaped(value)} for name, value in service.env.items()],
        command=[escaped(word) for word in service.entrypoint],
        args=[escaped(word) for word in service.args],
    )


def _probe(model: Model) -> dict[str, Any]:
    """Kubernetes' HTTP probe takes 200 to 399 only (Probe v1 core): for any other status the port alone is asked. Nothing of what
    has no port and no command."""
    health, port = model.variant.health, model.variant.port
    if health.kind == "exec":
        return {"exec": {"command": [escaped(word) for word in health.command]}}
    if port is None:
        return {}
    if health.kind == "grpc":
        return {"grpc": {"port": port} | compact(service=health.service)}
    if health.kind == "http" and all(str(status)[0] in "23" for status in health.status):
        return {"httpGet": {"path": health.path, "port": port} | compact(scheme="HTTPS" if health.tls else "")}
    return {"tcpSocket": {"port": port}}


def _alive(model: Model) -> dict[str, Any]:
    """A service that is not ready need not be restarted: whether it lives, its port tells. Nothing where that is all that is asked
    of it anyway."""
    port = model.variant.port
    if port is None or "tcpSocket" in _probe(model):
        return {}
    return {"tcpSocket": {"port": port}, "periodSeconds": 20, "failureThreshold": 3}


def _policy(model: Model, labels: dict[str, str]) -> dict[str, Any]:
    """Who reaches the pods with these labels, and what they reach: what it needs, in whatever namespace that is, and the cluster's
    names, by which it finds it."""
    outgoing, needed = model.result.outgoing, _needed_ports(model)
    ports = [{"port": port, "protocol": "TCP"} for port in model.ports]
    ingress = [{"ports": ports}] if ports else []  # where a rule names none, it lets all in
    names = {"namespaceSelector": {"matchLabels": {NAMESPACE_LABEL: DNS_NAMESPACE}}}
    dns = {"to": [names], "ports": [{"port": 53, "protocol": protocol} for protocol in ("UDP", "TCP")]}
    beside = {"to": [{"namespaceSelector": {}}], "ports": [{"port": port, "protocol": "TCP"} for port in needed]}
    return {
        "podSelector": {"matchLabels": labels},
        "policyTypes": ["Ingress"] if outgoing else ["Ingress", "Egress"],
        "ingress": ingress,
    } | compact(egress=[dns, beside] if needed and not outgoing else [])


def _needed_ports(model: Model) -> list[int]:
    """On which ports what it needs listens."""
    return sorted({need.port for need in model.variant.run.needs.values() if need.port is not None})


def _notes(model: Model) -> list[str]:
    """What was not tried, and what is lost."""
    options = model.options
    lost = [f"{options.pids} processes (the kubelet's podPidsLimit)"]
    lost += [f"{limit.name}={limit.soft}:{limit.hard} (the container runtime's)" for limit in options.ulimits]
    lost += ["noexec on an emptyDir"] if options.tmpfs else []
    untried = "probes and emptyDirs" if options.tmpfs else "probes"
    notes = [
        f"Tried in a container engine, not in a cluster; its {untried} were not tried. Push the image and set its name here.",
        f"A Deployment cannot express {', '.join(lost)}.",
    ]
    if model.variant.run.needs:
        notes.append(f"What it needs is not in here: {_how_to_reach(model)}.")
    if model.profile:
        there = f"/var/lib/kubelet/seccomp/{_on_node(model)}"
        notes.append(f"Copy the seccomp profile to every node: {shlex.quote(model.profile)} to {there}")
    return notes


def _how_to_reach(model: Model) -> str:
    """How what it needs is found and reached."""
    how = "give each a Service of that name in this namespace (type: ExternalName where it is elsewhere)"
    if model.result.outgoing:
        return how
    if ports := ", ".join(map(str, _needed_ports(model))):
        how += f"; the NetworkPolicy lets it reach port {ports} in this cluster, and beyond it nothing (add an ipBlock)"
    needs = model.variant.run.needs.items()
    if unreached := [name for name, need in needs if need.port is None and need.health.kind != "exit"]:
        names = ", ".join(unreached)
        how += f"; the NetworkPolicy does not let it reach {names}, whose port the suite does not say (run.needs)"
    return how


def _objections(model: Model) -> list[str]:
    """What checkov, kube-score and trivy say of it at their default settings, and why it is so."""
    options, image = model.options, model.service.image
    uid = int(str(options.user).partition(":")[0])
    objections = {
        "one replica (kube-score): --budget writes two, apart, and a PodDisruptionBudget": not model.request.budget,
        "a profile that is not the runtime's (checkov CKV_K8S_31): it allows fewer system calls than that one": model.profile,
        "no digest (checkov CKV_K8S_43): push the image, and name it: invoke harden --image REPOSITORY@sha256:…": (
            "@sha256:" not in image
        ),
        "a registry that trivy does not list (KSV-0125): whose it is, only you know": (
            not image.partition("/")[0].endswith(KNOWN_REGISTRIES)
        ),
        f"a user id below {LEAST_HOST_USER} (checkov CKV_K8S_40, kube-score, trivy KSV-0020, KSV-0021): the image's own": (
            uid < LEAST_HOST_USER
        ),
        "a port below 1024 (trivy KSV-0117): the service's own; the pod's sysctl opens it, and no capability": model.low_port,
        "a writable root (checkov CKV_K8S_22, kube-score, trivy KSV-0014): the checks fail with a read-only one": (
            not options.read_only
        ),
        f"a capability (checkov CKV_K8S_25, trivy KSV-0022): the checks fail without {', '.join(options.cap_add)}": (
            options.cap_add
        ),
        "no liveness probe (checkov CKV_K8S_8): it would ask what readiness asks, and restart what is only not ready": (
            not _alive(model)
        ),
    }
    return [text for text, applies in objections.items() if applies]
