"""The NetworkPolicy of what was hardened."""

from __future__ import annotations

from typing import Any

from deadweight_attacks.harden.found import Found
from deadweight_attacks.harden.write.values import all_ports, key

NAMESPACE_LABEL, DNS_NAMESPACE = "kubernetes.io/metadata.name", "kube-system"
"""The label that every namespace has since Kubernetes 1.22, and where a cluster's DNS is."""


def policy(found: Found, metadata: dict[str, Any]) -> dict[str, Any]:
    """Who reaches the pods with these labels, and what they reach."""
    types = ["Ingress"] if found.outgoing else ["Ingress", "Egress"]
    ports = [{"port": port, "protocol": "TCP"} for port in all_ports(found)]
    ingress = [{"ports": ports}] if ports else []  # where a rule names none, it lets all in
    spec = {"podSelector": {"matchLabels": metadata["labels"]}, "policyTypes": types, "ingress": ingress}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata,
        "spec": spec | key("egress", [] if found.outgoing else _egress(found)),
    }


def _egress(found: Found) -> list[dict[str, Any]]:
    """What it needs, in whatever namespace that is, and the cluster's names, by which it finds it."""
    ports = needed_ports(found)
    if not ports:
        return []
    names = {NAMESPACE_LABEL: DNS_NAMESPACE}
    dns = [{"port": 53, "protocol": protocol} for protocol in ("UDP", "TCP")]
    return [
        {"to": [{"namespaceSelector": {"matchLabels": names}}], "ports": dns},
        {"to": [{"namespaceSelector": {}}], "ports": [{"port": port, "protocol": "TCP"} for port in ports]},
    ]


def needed_ports(found: Found) -> list[int]:
    """On which ports what it needs listens."""
    return sorted({need.port for need in found.variant.run.needs.values() if need.port is not None})
