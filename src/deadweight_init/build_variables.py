"""A Node build that ends for want of variables: it makes clients, or checks its settings, while it collects the pages.

It is tried with those of the example file, in the build's stage alone. Nothing is asked there, so addresses may lead nowhere.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace

from deadweight.builders.dockerfile.causes import WANTS_VARIABLES
from deadweight_init.databases import SERVERS, USER, libraries_of
from deadweight_init.draft import Draft
from deadweight_init.lacking import kind_by_name
from deadweight_init.languages.node_builds import VARIABLES
from deadweight_init.tree import Tree
from deadweight_init.values import MADE_UP
from deadweight_init.variables import read, shown

_OF_PLATFORMS = re.compile(
    r"CI|PATH|HOME|HOST|HOSTNAME|PORT|NODE_ENV|ANALYZE|(?:VERCEL|NETLIFY|NEXT_RUNTIME|GITHUB_ACTION|npm_)\w*"
)
"""What says where a build runs; without these it runs nowhere in particular."""

_ADDRESS = re.compile(r"(?:\w*_)?(?:URL|URI|ENDPOINT|ORIGIN|ISSUER|SITE)")
_IS_ADDRESS = re.compile(r"\w+://\S+")


def with_build_variables(draft: Draft, rung: str, tree: Tree) -> Draft | None:
    """The draft of a Node service whose build has the variables that it wants; None for another reason, where none are known, and
    for the same again."""
    project = draft.service.project
    if project is None or WANTS_VARIABLES not in draft.left_out.get(rung, "") or VARIABLES in project.details:
        return None
    found = _variables(draft, tree)
    if not found:
        return None
    rest = {name: reason for name, reason in draft.left_out.items() if name != rung}
    changed = replace(project, details={**project.details, VARIABLES: json.dumps(found)})
    return replace(draft, service=replace(draft.service, project=changed), left_out=rest)


def _variables(draft: Draft, tree: Tree) -> Mapping[str, str]:
    """Those of the example file and those that the code reads, with values: the shown ones, else ours."""
    service = draft.service
    examples, libraries = shown(tree, service), libraries_of(tree, service)
    wanted = {name: value for name, (value, _) in examples.items()}
    for name, _, instead in read(tree, service):
        if not instead:
            wanted.setdefault(name, "")
    return {name: _value(name, value, libraries) for name, value in wanted.items() if not _OF_PLATFORMS.fullmatch(name)}


def _value(name: str, example: str, libraries: list[str]) -> str:
    kind = kind_by_name(name, libraries or ["postgres"])
    if not _ADDRESS.fullmatch(name):
        return example or ("1" if name.endswith("PORT") else MADE_UP)
    if _IS_ADDRESS.fullmatch(example):
        return example
    if kind:
        server = SERVERS[kind]
        account = f"{USER}:{USER}@" if kind in ("postgres", "mysql") else ""
        return f"{server.scheme}{account}localhost:{server.port}/{USER}"
    return "http://localhost:3000"
