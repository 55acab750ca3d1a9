"""Parse Kubernetes manifests and Helm charts for a service's ports, probes, environment, data folders and needs.

Ports and probes are also found in templates; the rest only in files that are plain YAML.
"""

from __future__ import annotations

import base64
import contextlib
import posixpath
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from deadweight_init.records import Dependency, Deployment, Known
from deadweight_init.repository.compose import SERVERS, image_name
from deadweight_init.tree import TREES, Tree, as_list, as_mapping, as_mappings

_CONTAINER_PORT = re.compile(r"containerPort:\s*(\d{1,5})\b")
_PROBE_PATH = re.compile(
    r"httpGet:\s*(?:\{[^{}\n]*?\bpath:|\n(?:\s+[\w]+:[^\n]*\n){0,2}?\s+path:)\s*[\"']?(/[^\s\"',{}]*)"
)
_OTHERS = frozenset((2181, 3306, 5432, 5672, 6379, 9092, 11211, 27017))
"""Ports of databases and queues, which manifests of a service often bring along."""
_HOST = re.compile(r"(?:^|@|//|,)([a-z0-9][a-z0-9.-]{0,62})(?=[:/,]|$)(?!://|:[^/@,]*@)")


@dataclass(frozen=True)
class _Container:
    """One container of a workload, with the file that it is in, its pod's volumes and labels."""

    file: str
    name: str
    reference: str
    env: list[dict[str, Any]]
    env_from: list[dict[str, Any]]
    mounts: list[dict[str, Any]]
    args: tuple[str, ...]
    volumes: Mapping[str, Any]
    labels: Mapping[str, Any]

    @classmethod
    def of(
        cls, file: str, spec: Mapping[str, Any], volumes: Mapping[str, Any], labels: Mapping[str, Any]
    ) -> _Container:
        """One as a manifest has it."""
        env, env_from, mounts = (as_mappings(spec.get(key)) for key in ("env", "envFrom", "volumeMounts"))
        args, reference = tuple(map(str, as_list(spec.get("args")))), str(spec.get("image") or "")
        return cls(file, str(spec.get("name")), reference, env, env_from, mounts, args, volumes, labels)

    @property
    def image(self) -> str:
        """The last part of its image's name."""
        return image_name(self.reference)

    @property
    def names(self) -> frozenset[str]:
        """By which it may be known: its own name, and its image's."""
        return frozenset((self.name, self.image))

    def data(self) -> Iterator[str]:
        """Where volumes for data are mounted: empty ones, and claims."""
        for mount in self.mounts:
            volume = self.volumes.get(str(mount.get("name")), {})
            if ("emptyDir" in volume or "persistentVolumeClaim" in volume) and not mount.get("readOnly"):
                yield posixpath.normpath(str(mount.get("mountPath")))


@dataclass(frozen=True)
class _Cluster:
    """What the manifests of a repository hold: files with containers, these, config maps by ``KIND/NAME``, Services' selectors."""

    files: tuple[str, ...]
    containers: tuple[_Container, ...]
    maps: Mapping[str, Mapping[str, str]]
    services: Mapping[str, Mapping[str, Any]]

    def env_of(self, container: _Container) -> Iterator[tuple[str, str]]:
        """Variables with the values that are written down; those that only a cluster knows are left out."""
        for entry in container.env_from:
            for kind, key in (("ConfigMap", "configMapRef"), ("Secret", "secretRef")):
                yield from self.maps.get(f"{kind}/{as_mapping(entry.get(key)).get('name')}", {}).items()
        for entry in container.env:
            value = entry.get("value")
            for kind, key in (("ConfigMap", "configMapKeyRef"), ("Secret", "secretKeyRef")):
                if reference := as_mapping(as_mapping(entry.get("valueFrom")).get(key)):
                    value = self.maps.get(f"{kind}/{reference.get('name')}", {}).get(str(reference.get("key")))
            if value is not None and "$(" not in str(value):
                yield str(entry.get("name")), str(value)


@lru_cache(TREES)
def _cluster(tree: Tree) -> _Cluster:
    files, containers = list[str](), list[_Container]()
    maps, services = dict[str, dict[str, str]](), dict[str, dict[str, Any]]()
    for path in (path for path in tree.files if path.endswith((".yaml", ".yml"))):
        text = tree.texts[path]
        if "containers:" in text:
            files.append(path)
        for document in tree.documents[path] if "containers:" in text or "apiVersion" in text else ():
            name, spec = as_mapping(document.get("metadata")).get("name"), as_mapping(document.get("spec"))
            kind = document.get("kind")
            if kind in ("ConfigMap", "Secret"):
                maps[f"{kind}/{name}"] = dict(_entries(document))
            elif kind == "Service" and spec.get("selector"):
                services[str(name)] = as_mapping(spec.get("selector"))
            spec = as_mapping(as_mapping(spec.get("jobTemplate")).get("spec")) or spec  # of a CronJob
            template = as_mapping(spec.get("template")) or document
            pod = as_mapping(template.get("spec")) or spec
            labels = as_mapping(as_mapping(template.get("metadata")).get("labels"))
            volumes = {str(volume.get("name")): volume for volume in as_mappings(pod.get("volumes"))}
            containers += [_Container.of(path, spec, volumes, labels) for spec in as_mappings(pod.get("containers"))]
    return _Cluster(tuple(files), tuple(containers), maps, services)


def _entries(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What a config map holds, or a secret: in ``data``, there in Base64, or in ``stringData``."""
    for key, value in as_mapping(document.get("data")).items():
        if document.get("kind") == "ConfigMap":
            yield str(key), str(value)
        else:
            with contextlib.suppress(ValueError):
                yield str(key), base64.b64decode(str(value), validate=True).decode()
    yield from ((str(key), str(value)) for key, value in as_mapping(document.get("stringData")).items())


def kubernetes(tree: Tree, folder: str, names: Collection[str], foreign: Collection[str] = ()) -> Deployment:
    """What the manifests and charts in a folder say, and those elsewhere that name the service.
    ``names`` are the service's: its containers are told by them. ``foreign`` are those of the repository's other services.
    """
    cluster = _cluster(tree)
    inside = set(tree.inside[folder])
    containers = [container for container in cluster.containers if container.file in inside]
    own = _mine([container for container in containers if container.names.isdisjoint(foreign)], names)
    others = {other.file for other in containers if own or other.names & set(foreign)} - {mine.file for mine in own}
    files = [path for path in cluster.files if path in inside and path not in others]
    if not files and folder != ".":
        own = [container for container in cluster.containers if container.names & set(names) - set(foreign)]
        files = list(dict.fromkeys(container.file for container in own))
    env: dict[str, Known[str]] = {}
    for mine in own:
        env = {**{name: Known(value, f"from {mine.file}") for name, value in cluster.env_of(mine)}, **env}
    volumes = tuple(Known(path, f"from {mine.file}") for mine in own for path in mine.data())
    needs = tuple(_needs(cluster, env))
    ports: list[Known[int]] = []
    health: list[Known[str]] = []
    for path in files:
        numbers = (Known(int(known.value), known.origin) for known in tree.values(path, _CONTAINER_PORT))
        ports += [known for known in numbers if known.value not in _OTHERS]
        health += tree.values(path, _PROBE_PATH)
    return Deployment(tuple(ports), tuple(health), env, needs, volumes)


def _mine(containers: list[_Container], names: Collection[str]) -> list[_Container]:
    """Those that are named as the service is; else the only one that is no database."""
    own = [container for container in containers if not container.names.isdisjoint(names)]
    others = [container for container in containers if container.image not in SERVERS]
    return own or (others if len({other.image for other in others}) == 1 else [])


def _needs(cluster: _Cluster, env: Mapping[str, Known[str]]) -> Iterator[Known[Dependency]]:
    """The databases and queues of the manifests whose Services the environment names, each under the name there."""
    for host in dict.fromkeys(host for known in env.values() for host in _HOST.findall(known.value)):
        # a Service goes by its name alone, or with its namespace
        selector = next((labels for name, labels in cluster.services.items() if host.partition(".")[0] == name), None)
        servers = (server for server in cluster.containers if selector and selector.items() <= server.labels.items())
        server = next((server for server in servers if server.image in SERVERS), None)
        if server is not None:
            port, given = SERVERS[server.image].port, dict(cluster.env_of(server))
            yield Known(Dependency(host, server.reference, port, given, server.args), f"from {server.file}")
