"""Run ``init`` in one call: find services, write ``deadweight.yaml`` and test it."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from deadweight._errors import DeadweightError, Interrupted, UsageError
from deadweight.builders.protocol import is_generated
from deadweight.suite.explain import unknown
from deadweight.suite.load import SUITE_FILE
from deadweight_init.draft import Draft, first_draft
from deadweight_init.languages.table import MANIFESTS
from deadweight_init.records import Service, wording
from deadweight_init.repository.compose import COMPOSE
from deadweight_init.repository.dockerfiles import dockerfiles
from deadweight_init.services import find_services, plain_name, problems_of
from deadweight_init.tree import MOST_BYTES, NOT_PARSED, PARSERS, Tree, aside, read_tree
from deadweight_init.write.files import Written, write_helpers
from deadweight_init.write.suite import suite_text

if TYPE_CHECKING:
    from deadweight_init.prove.proof import Proof, Tools

Ask = Callable[[str, Sequence[str]], str | None]
"""Asks a question with its choices; gives the answer, None where nobody can be asked."""

ALL = "all"
"""The word for all services of a repository: they become sections of one suite."""

MOST_NAMES = 12

PLACE = "deadweight-build"
"""The folder for the generated files: no tool, ignore file or import knows one of this name."""


@dataclass(frozen=True)
class Wanted:
    """What the user says. ``force`` names files that may be replaced."""

    service: str | None = None
    main: str | None = None
    port: int | None = None
    health: str | None = None
    force: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """What was written, and what is left to say. ``left_out`` are services that are not in it, with the reasons."""

    drafts: tuple[Draft, ...]
    written: tuple[str, ...]
    told: tuple[str, ...] = ()
    program: str = "invoke"
    """What runs the tasks in this repository: ``deadweight`` where its tasks.py is another's."""
    left_out: Mapping[str, str] = field(default_factory=dict)


def init(root: Path, wanted: Wanted, ask: Ask, say: Callable[[str], None], tools: Tools | None) -> Outcome:
    """Bring in the repository in ``root``. ``tools`` None: nothing is run.

    Raises UsageError: nothing recognisable, several services and no answer, a file that would be overwritten. Where it raises,
    no file has changed.
    """
    tree = read_tree(root)
    services = find_services(tree, wanted.main)
    chosen = [_with_program(tree, each, ask, say) for each in choose(tree, services, wanted, ask, say)]
    drafts = _drafts(root, chosen, wanted, say)
    for each in unreadable_files(tree):
        say(wording("progress.passed_over", what=each))
    with Written(root, may_replace=_forced(root, wanted.force)) as written:
        files = {name: text for draft in drafts for name, text in draft.ladder.files.items()}
        written.write({SUITE_FILE: suite_text(*drafts), **files})
        told = write_helpers(root, written)
        left_out: dict[str, str] = {}
        if tools is not None:
            from deadweight_init.prove.proof import Proof

            proofs = [Proof(replace(draft, is_tried=True), written, tools) for draft in drafts]
            try:
                drafts = _proved(proofs, tools, left_out)
            except DeadweightError:  # what is known by now can be built, and tried again
                _write(written, files, [each.draft for each in proofs], {})
                written.keep()
                raise
        _write(written, files, drafts, left_out)
        return Outcome(tuple(drafts), written.names, tuple(told), written.program, left_out)


def _write(written: Written, before: Iterable[str], drafts: Sequence[Draft], left_out: Mapping[str, str]) -> None:
    kept = {name: text for draft in drafts for name, text in draft.files.items()}
    written.remove(name for name in before if name not in kept)
    written.write({SUITE_FILE: suite_text(*drafts, left_out=left_out), **kept})


def _drafts(root: Path, chosen: Sequence[Service], wanted: Wanted, say: Callable[[str], None]) -> tuple[Draft, ...]:
    """One for each service that is brought in: the one that is meant, or all of them."""
    for each in chosen:
        if each.project is not None and each.project.problem and each.dockerfiles:
            say(wording("progress.no_recipe", name=each.name, reason=each.project.problem))
    if len(chosen) == 1:
        draft = first_draft(chosen[0], PLACE, wanted.port, wanted.health)
        _refuse_nothing(draft)
        return (draft,)
    suite = plain_name(root.name)
    drafts = [replace(first_draft(each, f"{PLACE}/{each.name}"), suite=suite) for each in _with_distinct_names(chosen)]
    usable = tuple(draft for draft in drafts if draft.rungs)
    for draft in (draft for draft in drafts if not draft.rungs):
        say(wording("progress.skipped", name=draft.service.name))
    if not usable:
        _refuse_nothing(drafts[0])
    return usable


def _with_program(tree: Tree, service: Service, ask: Ask, say: Callable[[str], None]) -> Service:
    """Ask which of several programs of a service is meant; who asks nobody is told which one it is, and how to name another."""
    project = service.project
    if project is None or not project.others:
        return service
    main = project.chosen
    answer = ask(wording("command.which_program", service=service.name), (main, *project.others))
    if answer is None:
        others = ", ".join(project.others)
        say(wording("progress.program", name=service.name, main=main, others=others))
    again = find_services(tree, answer) if answer not in (None, main) else ()
    return next((each for each in again if each.folder == service.folder), service)


def _with_distinct_names(services: Sequence[Service]) -> list[Service]:
    """With names that differ, and that sections of a suite can have."""
    found: dict[str, Service] = {}
    names = [each.name for each in services]
    for each in services:
        told = each.name if names.count(each.name) == 1 or each.folder == "." else each.folder.replace("/", "-")
        plain = plain_name(told).replace(".", "-")[:32].strip("-_") or "service"
        name = next(name for name in (plain, *(f"{plain}-{number}" for number in range(2, 99))) if name not in found)
        found[name] = replace(each, name=name)
    return list(found.values())


def _proved(proofs: Sequence[Proof], tools: Tools, left_out: dict[str, str]) -> tuple[Draft, ...]:
    """The drafts as they were proved. Of several, one that cannot be is left out; of one, that is an error."""
    from deadweight_init.prove.proof import first_line
    from deadweight_init.prove.run import prove

    done = []
    for proof in proofs:
        try:
            done.append(prove(proof))
        except DeadweightError as error:
            if isinstance(error, Interrupted) or len(proofs) == 1:
                raise
            name = proof.draft.service.name
            left_out[name] = first_line(error.message)
            tools.say(wording("progress.left_out", name=name, reason=left_out[name]))
    if not done:
        raise DeadweightError(wording("command.none_proved", program=proofs[0].written.program))
    return tuple(done)


def _refuse_nothing(draft: Draft) -> None:
    """Raises UsageError with all reasons where not one rung can be tried."""
    if draft.rungs:
        return
    reasons = [f"{each.name}: {each.refused}" for each in draft.ladder.rungs]
    project = draft.service.project
    if project is not None and project.problem:
        reasons.append(f"{project.language} ({project.folder}): {project.problem}")
    raise UsageError(wording("command.nothing_builds", service=draft.service.name, reasons="\n".join(reasons)))


def choose(
    tree: Tree, services: tuple[Service, ...], wanted: Wanted, ask: Ask, say: Callable[[str], None]
) -> tuple[Service, ...]:
    """The service that is meant, or all of them. Raises UsageError where there is none, or where ``--service`` names none."""
    if wanted.main is not None and not any(each.project and each.project.programs for each in services):
        names = [name for each in find_services(tree) if each.project for name in each.project.programs]
        hint = f"programs: {_shortened(names)}" if names else wording("command.no_main")
        raise UsageError(unknown(wording("command.main"), wanted.main, tuple(names)), hint=hint)
    if not services:
        problems = "".join(f"\n{each}" for each in (*problems_of(tree), *why_no_service(tree)))
        raise UsageError(wording("command.no_service", root=tree.root, problems=problems))
    labels = {_label(each, services): each for each in services}
    if len(services) == 1 and wanted.service in (None, ALL):
        return services
    answer = wanted.service or ask(wording("command.which_service"), (*labels, ALL))
    if answer == ALL:
        return services
    by_folder = {each.folder: each for each in services}
    if wanted.service is not None and wanted.service not in {*labels, *by_folder}:
        message = unknown("service", wanted.service, tuple(labels))
        raise UsageError(message, hint=f"services: {', '.join(labels)}; or {ALL}")
    chosen = labels.get(answer or "") or by_folder.get(answer or "", services[0])
    others = [name for name, each in labels.items() if each is not chosen]
    if wanted.service is None:
        say(wording("progress.selected", name=_label(chosen, services), others=_shortened(others)))
    return (chosen,)


def _shortened(names: Sequence[str]) -> str:
    """The first of many names, and how many more there are."""
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return ", ".join(names[:MOST_NAMES]) + more


def _label(service: Service, services: Sequence[Service]) -> str:
    """A service's name; its folder where two have one name."""
    alike = [each for each in services if each.name == service.name]
    return service.name if len(alike) == 1 else service.folder


def _forced(root: Path, names: Iterable[str]) -> list[str]:
    """The names as they are relative to the root. Raises UsageError for one that is not there."""
    found = {name: os.path.relpath(root / name, root) for name in names}
    if absent := next((name for name, path in found.items() if not (root / path).is_file()), ""):
        raise UsageError(wording("command.no_such_file", file=absent, root=root))
    return list(found.values())


MOST_BROKEN = 5
"""So many are told: some repositories keep parts of files under such names."""


def unreadable_files(tree: Tree) -> list[str]:
    """One line for each of the first files that would tell of a service, if they could be read."""
    found: list[str] = []
    for path in (*dockerfiles(tree), *tree.named[f"{MANIFESTS}|{COMPOSE}"]):
        text = tree.texts[path]
        if aside(path) or len(text) >= MOST_BYTES:  # of a longer one only the start is read
            continue
        if not os.access(tree.root / path, os.R_OK):
            found.append(wording("problem.no_permission", path=path))
        elif why := _broken(path, text):
            found.append(wording("problem.file", path=path, reason=why))
    return found[:MOST_BROKEN]


def why_no_service(tree: Tree) -> Iterator[str]:
    """One line for each reason why no service was found that can be told."""
    yield from unreadable_files(tree)
    for path in tree.named[r"\.?melange\.ya?ml"]:
        yield wording("problem.package_alone", path=path)
    for path in tree.named[COMPOSE]:
        if not _broken(path, tree.texts[path]):
            yield wording("problem.starts_images", path=path)


def _broken(path: str, text: str) -> str:
    kind, read = PARSERS.get(posixpath.splitext(path)[1], ("", None))
    if read is None:
        of_image = not re.fullmatch(MANIFESTS, posixpath.basename(path), re.IGNORECASE)
        has_from = is_generated(text) or re.search(r"^\s*FROM\s", text, re.MULTILINE | re.IGNORECASE)
        return wording("problem.no_from") if of_image and not has_from else ""
    try:
        read(text)
    except NOT_PARSED as error:
        told = " ".join(str(error).split())
        return wording("problem.not_parsed", kind=kind, error=told[:120])
    return ""
