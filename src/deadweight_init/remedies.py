"""Choose the next remedy for a variant that fails to build or start, or the advice to give; ``prove.run`` retries.

A remedy uses what the repository says (an example environment), or builds a recipe in another way. None invents what
a service should do: what is missing becomes advice (``advice``). The repository's own files stay unchanged.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from deadweight.builders.shared.diagnosis import Code
from deadweight_images.errors import Message
from deadweight_init.draft import Draft, run_of
from deadweight_init.prove.observe import Down, NotUp
from deadweight_init.records import SEEN, Known, Rung, Service, wording
from deadweight_init.tree import Tree


@dataclass(frozen=True)
class Case:
    """One failure: of the build, with the instruction that failed, or of the start, with the service's own lines."""

    draft: Draft
    rung: Rung
    code: Code | Down
    tree: Tree
    step: str = ""
    log: tuple[str, ...] = ()


@dataclass(frozen=True)
class Remedy:
    """``codes`` are the failures that it is for; ``is_for_recipes``: it changes files of ours alone. ``change`` gives the next
    draft, or None if it has nothing to add."""

    name: str
    codes: frozenset[Code | Down]
    change: Callable[[Case], Draft | None]
    is_for_recipes: bool = False

    def applies(self, case: Case) -> bool:
        """Whether it is for this failure."""
        return case.code in self.codes and (case.rung.is_made or not self.is_for_recipes)


def next_remedy(case: Case) -> tuple[str, Draft] | None:
    """The name of the first remedy that has something to add, and the draft with it."""
    tried = ((remedy.name, remedy.change(case)) for remedy in REMEDIES if remedy.applies(case))
    return next(((name, replace(draft, remedies=(*case.draft.remedies, name))) for name, draft in tried if draft), None)


def _with_service(draft: Draft, service: Service) -> Draft:
    run = {key: value for key, value in draft.run.items() if key != "env"}
    return replace(draft, service=service, run={**run, **run_of(service, draft.port)})


def _own_settings(case: Case) -> Draft | None:
    """Without variables by which a Compose file overrides what the image itself sets: that is often for developers. What leads to
    another container stays."""
    service = case.draft.service
    own = service.own.words.env if service.own else {}
    port = service.port_variable.value if service.port_variable else ""
    env, beside = service.around.env, {need.value.name for need in service.around.needs}
    kept = {
        name: known
        for name, known in env.items()
        if name == port or own.get(name, known.value) == known.value or any(need in known.value for need in beside)
    }
    fewer = len(kept) < len(env)
    return _with_service(case.draft, replace(service, around=replace(service.around, env=kept))) if fewer else None


def _shown_environment(case: Case) -> Draft | None:
    """With the next variables that an example file, a manifest or its code shows and nobody gives."""
    service = case.draft.service
    env = service.around.env
    for spare in service.spare:
        origin = f"{SEEN}: {wording('origin.not_without', place=spare.origin)}"
        if new := {name: Known(value, origin) for name, value in spare.value.items() if name not in env}:
            return _with_service(case.draft, replace(service, around=replace(service.around, env={**env, **new})))
    return None


_NOT_WRITABLE = re.compile(
    r"permission ?denied|EACCES|EROFS|read-?only (?:file ?system|database)|unable to open (?:the )?database file|Errno (?:13|30)\]"
    r"|AccessDenied|SQLITE_CANTOPEN",
    re.IGNORECASE,
)


def _with(field: str, applies: Callable[[Case], object]) -> Callable[[Case], Draft | None]:
    """The change that sets a field of a recipe's program, once."""

    def change(case: Case) -> Draft | None:
        project = case.draft.service.project
        if project is None or getattr(project, field) or not applies(case):
            return None
        changed: dict[str, Any] = {field: True}
        left_out = {name: why for name, why in case.draft.left_out.items() if name != case.rung.name}
        service = replace(case.draft.service, project=replace(project, **changed))
        return replace(case.draft, service=service, left_out=left_out)

    return change


_INSTALLS = re.compile(r"\b(?:pip|npm|yarn|pnpm) (?:install|ci|wheel)\b|npm_config_nodedir=")


_ENDS = frozenset((Down.ENDED, Down.ENDED_WITH_0, Down.MISSING_VARIABLE, Down.NOT_LISTENING))
_BUILDS = frozenset(
    (Code.UNKNOWN, Code.COMPILER, Code.HEADER, Code.NOT_COMPILED, Code.VERSION, Code.PACKAGE, Code.PEERS)
)

# Some packages compile what they cannot fetch; some services write among their files.
_compiler = _with("compiles", lambda case: _INSTALLS.search(case.step))
_own_files = _with("owned", lambda case: any(map(_NOT_WRITABLE.search, case.log)))

REMEDIES = (
    Remedy("compiler", _BUILDS, _compiler, is_for_recipes=True),
    Remedy("own_files", _ENDS, _own_files, is_for_recipes=True),
    Remedy("own_settings", _ENDS, _own_settings),
    Remedy("shown_environment", _ENDS | {Down.ONLY_LOOPBACK}, _shown_environment),
)


_LOOPBACK = re.compile(
    r"^(?=.*(?:listen|bind|serve|socket|addr|host|run\(|start\())"
    r".*?(?:[\"'`](?:127\.0\.0\.1|localhost)(?::[^\"'`\n]*)?[\"'`]|127, ?0, ?0, ?1\b|Ipv4Addr::LOCALHOST)",
    re.IGNORECASE | re.MULTILINE,
)


_RUN = re.compile(r"\b(?:docker|podman)(?: container)? run\b")


def advice(error: NotUp, draft: Draft, tree: Tree, program: str) -> Message:
    """What helps a service that does not come up, in one sentence. ``program`` runs the tasks."""
    folder = draft.service.project.folder if draft.service.project else draft.service.folder
    if error.down is Down.ONLY_LOOPBACK:
        place = tree.place_of(folder, _LOOPBACK)
        return wording("advice.loopback", place=place and f" ({place})", program=program)
    readmes = (path for path in tree.named[r"readme(?:\.\w+)?"] if tree.folders[path] in (".", folder))
    places = (known.origin for path in readmes for known in tree.values(path, _RUN, ""))
    shown = next((wording("advice.shown", place=place) for place in places), "")
    if error.down is Down.ENDED_WITH_0:
        return wording("advice.command", shown=shown, program=program)
    if error.variable:
        place = tree.place_of(folder, re.compile(rf"(?<!\w){re.escape(error.variable)}(?!\w)"))
        return wording("advice.variable", variable=error.variable, place=place and f" ({place})", program=program)
    return wording("advice.anything", shown=shown, program=program)
