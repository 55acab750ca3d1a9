"""What Kubernetes manifests and charts tell of a service: ports, probes, environment, and where it keeps data.

Ports and probes are found in templates too; the rest only in files that are YAML as they are.
"""

from __future__ import annotations

import base64
import contextlib
import posixpath
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from deadweight.records.reference import split
from deadweight_init.needed import PORTS
from deadweight_init.records import Known, Surroundings
from deadweight_init.tree import Tree, line_of

_CONTAINER_PORT = re.compile(r"containerPort:\s*(\d{1,5})\b")
_PROBE_PATH = re.compile(
    r"httpGet:\s*(?:\{[^{}\n]*?\bpath:|\n(?:\s+[\w]+:[^\n]*\n){0,2}?\s+path:)\s*[\"']?(/[^\s\"',{}]*)"
)
_OTHER_PROBE = re.compile(r"Probe:\s*(?:\{\s*|\n\s+(?:\w+:[^\n]*\n\s+){0,5}?)(tcpSocket|grpc):")
_KINDS = {"tcpSocket": "tcp", "grpc": "grpc"}
_OTHERS = frozenset((2181, 3306, 5432, 5672, 6379, 9092, 11211, 27017))
"""Ports of databases and queues, which manifests of a service often bring along."""


@dataclass(frozen=True)
class _Container:
    """One container of a workload, with the file that it is in and the volumes of its pod."""

    file: str
    said: Mapping[str, Any]
    volumes: Mapping[str, Any]

    @property
    def names(self) -> frozenset[str]:
        """By which it may be known: its own name, and its image's."""
        return frozenset((str(self.said.get("name")), _image(self.said)))


def kubernetes(tree: Tree, folder: str, names: Collection[str], foreign: Collection[str] = ()) -> Surroundings:
    """What the manifests and charts in a folder say, and those elsewhere that name the service.

    ``names`` are the service's: its containers are told by them. ``foreign`` are those of the repository's other services.
    """
    ports: list[Known[int]] = []
    health: list[Known[str]] = []
    probes: list[Known[str]] = []
    files = [path for path in tree.below(folder, ".yaml", ".yml") if "containers:" in tree.text(path)]
    containers = [each for path in files for each in _containers(tree, path)]
    own = _mine([each for each in containers if each.names.isdisjoint(foreign)], names)
    others = {each.file for each in containers if own or each.names & set(foreign)} - {each.file for each in own}
    files = [path for path in files if path not in others]
    if not files and folder != ".":
        elsewhere = [path for path in tree.below(".", ".yaml", ".yml") if "containers:" in tree.text(path)]
        own = [each for path in elsewhere for each in _containers(tree, path) if each.names & set(names) - set(foreign)]
        files = [path for path in elsewhere if path in {each.file for each in own}]
    for path in files:
        text = tree.text(path)
        for found in _CONTAINER_PORT.finditer(text):
            if int(found[1]) not in _OTHERS:
                ports.append(Known(int(found[1]), f"from {path}:{line_of(text, found.start())}"))
        for found in _PROBE_PATH.finditer(text):
            health.append(Known(found[1], f"from {path}:{line_of(text, found.start(1))}"))
        for found in _OTHER_PROBE.finditer(text):
            probes.append(Known(_KINDS[found[1]], f"from {path}:{line_of(text, found.start(1))}"))
    env: dict[str, Known[str]] = {}
    volumes: list[Known[str]] = []
    for mine in own:
        maps = config_maps(tree, folder if mine.file in tree.below(folder, ".yaml", ".yml") else ".")
        env = {**{name: Known(value, f"from {mine.file}") for name, value in env_of(mine.said, maps)}, **env}
        volumes += [Known(path, f"from {mine.file}") for path in _data(mine)]
    return Surroundings(tuple(ports), tuple(health), env, volumes=tuple(volumes), probe=next(iter(probes), None))


def _image(container: Mapping[str, Any]) -> str:
    return posixpath.basename(split(str(container.get("image") or ""))[0])


def _mine(containers: list[_Container], names: Collection[str]) -> list[_Container]:
    """Those that are named as the service is; else the only one that is no database."""
    own = [each for each in containers if not each.names.isdisjoint(names)]
    others = [each for each in containers if _image(each.said) not in PORTS]
    return own or (others if len({_image(each.said) for each in others}) == 1 else [])


def _containers(tree: Tree, path: str) -> Iterator[_Container]:
    for document in documents(tree.text(path)):
        spec = mapping(document.get("spec"))
        spec = mapping(mapping(spec.get("jobTemplate")).get("spec")) or spec  # of a CronJob
        pod = mapping(mapping(spec.get("template")).get("spec")) or spec
        volumes = {str(each.get("name")): each for each in mappings(pod.get("volumes"))}
        for container in mappings(pod.get("containers")):
            yield _Container(path, container, volumes)


def config_maps(tree: Tree, folder: str) -> dict[str, dict[str, str]]:
    """What the config maps and secrets that lie in the repository hold, by ``KIND/NAME``."""
    found: dict[str, dict[str, str]] = {}
    for path in tree.below(folder, ".yaml", ".yml"):
        if "ConfigMap" in tree.text(path) or "Secret" in tree.text(path):
            for document in documents(tree.text(path)):
                if document.get("kind") in ("ConfigMap", "Secret"):
                    name = f"{document['kind']}/{mapping(document.get('metadata')).get('name')}"
                    found[name] = dict(_held(document))
    return found


def _held(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What a config map holds, or a secret: in ``data``, there in Base64, or in ``stringData``."""
    for key, value in mapping(document.get("data")).items():
        if document.get("kind") == "ConfigMap":
            yield str(key), str(value)
        else:
            with contextlib.suppress(ValueError):
                yield str(key), base64.b64decode(str(value), validate=True).decode()
    yield from ((str(key), str(value)) for key, value in mapping(document.get("stringData")).items())


def env_of(container: Mapping[str, Any], maps: Mapping[str, Mapping[str, str]]) -> Iterator[tuple[str, str]]:
    """Variables with the values that are written down; those that only a cluster knows are left out."""
    for each in mappings(container.get("envFrom")):
        for kind, key in (("ConfigMap", "configMapRef"), ("Secret", "secretRef")):
            yield from maps.get(f"{kind}/{mapping(each.get(key)).get('name')}", {}).items()
    for each in mappings(container.get("env")):
        value = each.get("value")
        for kind, key in (("ConfigMap", "configMapKeyRef"), ("Secret", "secretKeyRef")):
            if reference := mapping(mapping(each.get("valueFrom")).get(key)):
                value = maps.get(f"{kind}/{reference.get('name')}", {}).get(str(reference.get("key")))
        if value is not None and "$(" not in str(value):
            yield str(each.get("name")), str(value)


def _data(container: _Container) -> Iterator[str]:
    """Where volumes for data are mounted: empty ones, and claims."""
    for each in mappings(container.said.get("volumeMounts")):
        volume = container.volumes.get(str(each.get("name")), {})
        if ("emptyDir" in volume or "persistentVolumeClaim" in volume) and not each.get("readOnly"):
            yield posixpath.normpath(str(each.get("mountPath")))


def documents(text: str) -> list[dict[str, Any]]:
    """The mappings of a YAML file; none where it is a template."""
    try:
        found = list(yaml.load_all(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))  # the safe one
    except (yaml.YAMLError, ValueError, RecursionError):
        return []
    return [each for each in found if isinstance(each, dict)]


def mapping(value: Any) -> dict[str, Any]:
    """The value where it is a mapping; else an empty one."""
    return value if isinstance(value, dict) else {}


def mappings(value: Any) -> list[dict[str, Any]]:
    """The mappings in a list; none where it is none."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
