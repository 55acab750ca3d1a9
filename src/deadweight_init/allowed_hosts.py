"""Services that answer only who asks for them by a name that they know, as Django does: others get 400, at every path.

A container is asked for by its address. Where the names come from the environment, all are let in there.
"""

from __future__ import annotations

import re
from dataclasses import replace

from deadweight_init.draft import Draft, run_of
from deadweight_init.records import SEEN, Known
from deadweight_init.tree import Tree
from deadweight_init.variables import read, shown

REFUSES = 400
_NAMES = re.compile(r"(?:[A-Z0-9]+_)*ALLOWED_HOSTS?")
_ALL = "*"


def with_all_hosts(draft: Draft, tree: Tree) -> Draft | None:
    """The draft that lets in who asks by any name; None where no variable of its own says that, or it is said already."""
    service = draft.service
    env = service.around.env
    known = (*env, *(name for name, *_ in read(tree, service)), *shown(tree, service))
    names = [name for name in dict.fromkeys(known) if _NAMES.fullmatch(name)]
    new = {
        name: Known(_ALL, f"{SEEN}: it answers {REFUSES} to who asks by address")
        for name in names
        if name not in env or env[name].value != _ALL
    }
    if not new:
        return None
    kept = {name: known for name, known in env.items() if name not in new}
    changed = replace(service, around=replace(service.around, env={**new, **kept}))
    return replace(draft, service=changed, run={**draft.run, **run_of(changed, draft.port)})
