"""What runs beside a service on a developer's machine: its settings say ``localhost:5432``, and a Compose file publishes that port.

In a container nothing is at that address. There the settings name what the Compose file starts, which is needed then.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from deadweight_init.around import own_image
from deadweight_init.compose_files import compose_files
from deadweight_init.environment import dotenv, example_file, examples, filled_in
from deadweight_init.needed import needed
from deadweight_init.records import Beside, Known, Service, Surroundings
from deadweight_init.tree import Tree, folder_of, line_of, with_above

_HERE = re.compile(r"(?<![\w.-])(?:localhost|127\.0\.0\.1)(?::(\d{2,5}))?(?![\w.])")


def outside(tree: Tree, service: Service, around: Surroundings) -> Surroundings:
    """The surroundings with every address of this machine replaced by the container that a Compose file starts there."""
    published = {port: (need, origin) for need, origin, port in published_near(tree, service)}
    if not published:
        return around
    env = dict(around.env) or _examples(tree, service)
    changed, used = _renamed(env, published)
    if not used:
        return around
    there = {each.value.name for each in around.needs}
    more = [Known(need, origin) for need, origin in used.values() if need.name not in there]
    return replace(around, env=changed, needs=(*around.needs, *more))


def published_near(tree: Tree, service: Service) -> Iterator[tuple[Beside, str, int]]:
    """Containers of Compose files near the service with the port of this machine at which they are reached; none is the service."""
    is_own = own_image(tree)
    for path, services in compose_files(tree):
        folder = folder_of(path)
        if folder not in (*with_above(service.folder), service.project.folder if service.project else "."):
            continue
        for name, each in services.items():
            need = needed(tree, folder, str(name), each)
            if need is None or is_own(path, each):
                continue
            at = re.search(rf"^[ \t]+[\"']?{re.escape(str(name))}[\"']?:", tree.text(path), re.MULTILINE)
            origin = f"from {path}:{line_of(tree.text(path), at.start()) if at else 1}"
            for outer, inner in _ports(each, examples(tree, folder)):
                if inner == need.port:
                    yield need, origin, outer


def _ports(service: Mapping[str, Any], values: Mapping[str, str]) -> Iterator[tuple[int, int]]:
    for each in service.get("ports") or ():
        if isinstance(each, dict):
            words = [str(each.get("published")), str(each.get("target"))]
        else:
            words = (filled_in(str(each), values) or "").partition("/")[0].split(":")[-2:]
        if len(words) == 2 and all(word.isdigit() for word in words):
            yield int(words[0]), int(words[1])


def _examples(tree: Tree, service: Service) -> dict[str, Known[str]]:
    """The variables that the repository shows for a service of which no Compose file knows."""
    file = next((found for each in (service.folder, ".") if (found := example_file(tree, each))), None)
    return {} if file is None else {name: Known(text, f"from {file}") for name, text in dotenv(tree.text(file)).items()}


def _renamed(
    env: Mapping[str, Known[str]], published: Mapping[int, tuple[Beside, str]]
) -> tuple[dict[str, Known[str]], dict[str, tuple[Beside, str]]]:
    """The variables with containers in place of this machine's ports, and what is used of these. HOST and PORT may be apart."""
    changed, used = dict(env), dict[str, tuple[Beside, str]]()
    for name, known in env.items():
        beside = next((each for each in _HERE.finditer(known.value)), None)
        if beside is None:
            continue
        sibling = re.sub(r"HOST(NAME)?|SERVER|ADDR(ESS)?", "PORT", name)
        apart = env[sibling].value if sibling != name and sibling in env else ""
        port = beside[1] or apart
        if not port.isdigit() or int(port) not in published:
            continue
        need, origin = published[int(port)]
        used[need.name] = (need, origin)
        address = f"{need.name}:{need.port}" if beside[1] else need.name
        changed[name] = replace(known, value=known.value.replace(beside[0], address))
        if not beside[1]:
            changed[sibling] = replace(env[sibling], value=str(need.port))
    return changed, used
