"""The Compose files of a repository, each as the services in it: merged, and with secrets as the files that they are."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from deadweight_init.tree import Tree, aside, folder_of

COMPOSE = r"(docker-)?compose([.-][\w.-]+)?\.ya?ml"
_FOLDER = re.compile(r"(?:^|/)(?:docker-)?compose$")
"""Folders of Compose files, whatever their names."""


def compose_files(tree: Tree) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each Compose file with its services, the plain names first; ``*.override.*`` is merged into the file that it adds to."""
    named = (*tree.named(COMPOSE), *(path for path in tree.named(r".+\.ya?ml") if _FOLDER.search(folder_of(path))))
    of_users = (path for path in named if ".devcontainer" not in path.split("/"))
    paths = sorted(of_users, key=lambda path: (aside(path), path.count("/"), path.count("."), len(path), path))
    services = {path: _services(tree.text(path)) for path in paths}
    for path in paths:
        if ".override." in posixpath.basename(path):
            plain = re.sub(r"\.override(?=\.[^.]+$)", "", path)
            base = next((each for each in paths if each.rpartition(".")[0] == plain.rpartition(".")[0]), None)
            if base is not None:
                services[base] = _merged(services[base], services.pop(path))
    yield from services.items()


def _services(text: str) -> dict[str, Any]:
    document = _load(text)
    found = document.get("services", document) if isinstance(document, dict) else {}
    secrets = document.get("secrets") if isinstance(document, dict) else None
    if not isinstance(found, dict):
        return {}
    return {name: _with_secrets(each, secrets) if isinstance(secrets, dict) else each for name, each in found.items()}


def _with_secrets(service: Any, secrets: Mapping[str, Any]) -> Any:
    """A service with the secrets that are files as what they are: files at ``/run/secrets``."""
    mounted = []
    for each in as_list(service.get("secrets") if isinstance(service, dict) else None):
        name = str(each.get("source") if isinstance(each, dict) else each)
        file = secrets[name].get("file") if isinstance(secrets.get(name), dict) else None
        if file:
            mounted.append(f"./{file}:/run/secrets/{name}")
    return {**service, "volumes": [*as_list(service.get("volumes")), *mounted]} if mounted else service


def _merged(base: Any, more: Any) -> Any:
    """As Compose puts two files together: mappings key by key, lists one after the other, of all else the second."""
    if isinstance(base, dict) and isinstance(more, dict):
        return {**base, **{key: _merged(base[key], value) if key in base else value for key, value in more.items()}}
    return [*base, *more] if isinstance(base, list) and isinstance(more, list) else more


def _load(text: str) -> Any:
    try:
        return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - the safe one
    except (yaml.YAMLError, ValueError, RecursionError):
        return None


def as_list(value: Any) -> list[Any]:
    """A list as it is; nothing for what is none."""
    return value if isinstance(value, list) else []
