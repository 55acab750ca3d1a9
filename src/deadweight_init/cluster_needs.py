"""What Kubernetes manifests give a service beside it: a database or queue that its environment names by its Service."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from typing import Any

from deadweight.records.reference import split
from deadweight_init.manifests import config_maps, documents, env_of, mapping, mappings
from deadweight_init.needed import PORTS
from deadweight_init.records import Beside, Known
from deadweight_init.tree import Tree

_HOST = re.compile(r"(?:^|@|//|,)([a-z0-9][a-z0-9.-]{0,62})(?=[:/,]|$)(?!://|:[^/@,]*@)")


def cluster_needs(tree: Tree, folder: str, env: Mapping[str, Known[str]]) -> tuple[Known[Beside], ...]:
    """The databases and queues of the manifests in a folder whose Services the environment names, each under the name there."""
    hosts = dict.fromkeys(host for known in env.values() for host in _HOST.findall(known.value))
    if not hosts:
        return ()
    paths = [path for path in tree.below(folder, ".yaml", ".yml") if "apiVersion" in tree.text(path)]
    said = [(path, document) for path in paths for document in documents(tree.text(path))]
    maps = config_maps(tree, folder)
    found = []
    for host in hosts:
        selector = next((chosen for name, chosen in _services(said) if _is_called(host, name)), None)
        if selector is not None:
            found += [_need(host, path, each, maps) for path, each in _selected(said, selector)][:1]
    return tuple(found)


def _is_called(host: str, service: str) -> bool:
    """Whether a host is a Service: by its name alone, or with its namespace."""
    return host == service or re.fullmatch(rf"{re.escape(service)}\.[a-z0-9-]+(\.svc(\..+)?)?", host) is not None


def _services(said: list[tuple[str, dict[str, Any]]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The Services with what each selects."""
    for _, document in said:
        selector = mapping(mapping(document.get("spec")).get("selector"))
        if document.get("kind") == "Service" and selector:
            yield str(mapping(document.get("metadata")).get("name")), selector


def _selected(
    said: list[tuple[str, dict[str, Any]]], selector: Mapping[str, Any]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """The containers of well-known servers that a selector selects, each with its file."""
    for path, document in said:
        spec = mapping(document.get("spec"))
        template = mapping(spec.get("template")) or document
        labels = mapping(mapping(template.get("metadata")).get("labels"))
        if document.get("kind") != "Service" and selector.items() <= labels.items():
            for each in mappings(mapping(template.get("spec")).get("containers")):
                if _image(each) in PORTS:
                    yield path, each


def _need(host: str, path: str, container: Mapping[str, Any], maps: Mapping[str, Mapping[str, str]]) -> Known[Beside]:
    args = container.get("args")
    words = tuple(map(str, args)) if isinstance(args, list) else ()
    need = Beside(host, str(container["image"]), PORTS[_image(container)], dict(env_of(container, maps)), words)
    return Known(need, f"from {path}")


def _image(container: Mapping[str, Any]) -> str:
    return posixpath.basename(split(str(container.get("image") or ""))[0])
