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
from deadweight_init.repository.targets import image_targets
from deadweight_init.services import find_services, plain_name, problems_of
from deadweight_init.tree import MOST_BYTES, NOT_PARSED, PARSERS, Tree, aside, read_tree
from deadweight_init.write.files import WrittenFiles, write_helpers
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
class Options:
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
    notes: tuple[str, ...] = ()
    program: str = "invoke"
    """What runs the tasks in this repository: ``deadweight`` where its tasks.py is another's."""
    left_out: Mapping[str, str] = field(default_factory=dict)


def init(root: Path, wanted: Options, ask: Ask, say: Callable[[str], None], tools: Tools | None) -> Outcome:
    """Bring in the repository in ``root``. ``tools`` None: nothing is run.

    Raises UsageError: nothing recognisable, several services and no answer, a file that would be overwritten. Where it raises,
    no file has changed.
    """
    tree = read_tree(root)
    services = find_services(tree, wanted.main)
    chosen = [_with_program(tree, service, ask, say) for service in choose(tree, services, wanted, ask, say)]
    drafts = _drafts(root, chosen, wanted, say)
    for problem in unreadable_files(tree):
        say(wording("progress.passed_over", what=problem))
    with WrittenFiles(root, may_replace=_forced(root, wanted.force)) as written:
        files = {name: text for draft in drafts for name, text in draft.ladder.files.items()}
        written.write({SUITE_FILE: suite_text(*drafts), **files})
        notes = write_helpers(root, written)
        left_out: dict[str, str] = {}
        if tools is not None:
            from deadweight_init.prove.proof import Proof

            proofs = [Proof(replace(draft, is_tried=True), written, tools) for draft in drafts]
            try:
                drafts = _proved(proofs, tools, left_out)
            except DeadweightError:  # what is known by now can be built, and tried again
                _write(written, files, [proof.draft for proof in proofs], {})
                written.keep()
                raise
        _write(written, files, drafts, left_out)
        notes += _replaced(tree, drafts, written.program)
        return Outcome(tuple(drafts), written.names, tuple(notes), written.program, left_out)


def _replaced(tree: Tree, drafts: Sequence[Draft], program: str) -> Iterator[str]:
    """What to type instead of the repository's own targets for images."""
    rungs = [(draft.full(rung.name), rung.keys.get("dockerfile")) for draft in drafts for rung in draft.rungs]
    for target in image_targets(tree) if rungs else ():
        variant = next((name for name, file in rungs if file == (target.dockerfile or "Dockerfile")), rungs[0][0])
        more = " --to REGISTRY/NAME" if target.task == "push" else ""
        facts = {"place": target.place, "typed": target.typed, "task": target.task, "variant": variant + more}
        yield wording("task.replaced", program=program, **facts)


def _write(written: WrittenFiles, before: Iterable[str], drafts: Sequence[Draft], left_out: Mapping[str, str]) -> None:
    kept = {name: text for draft in drafts for name, text in draft.files.items()}
    written.remove(name for name in before if name not in kept)
    written.write({SUITE_FILE: suite_text(*drafts, left_out=left_out), **kept})


def _drafts(root: Path, chosen: Sequence[Service], wanted: Options, say: Callable[[str], None]) -> tuple[Draft, ...]:
    """One for each service that is brought in: the one that is meant, or all of them."""
    for service in chosen:
        if service.project is not None and service.project.problem and service.dockerfiles:
            say(wording("progress.no_recipe", name=service.name, reason=service.project.problem))
    if len(chosen) == 1:
        draft = first_draft(chosen[0], PLACE, wanted.port, wanted.health)
        _refuse_nothing(draft)
        return (draft,)
    suite = plain_name(root.name)
    drafts = [replace(first_draft(service, f"{PLACE}/{service.name}"), suite=suite) for service in _renamed(chosen)]
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
        say(wording("progress.program", name=service.name, main=main, others=", ".join(project.others)))
    again = find_services(tree, answer) if answer not in (None, main) else ()
    return next((other for other in again if other.folder == service.folder), service)


def _renamed(services: Sequence[Service]) -> list[Service]:
    """With names that differ, and that sections of a suite can have."""
    by_name: dict[str, Service] = {}
    names = [service.name for service in services]
    for service, given in zip(services, names, strict=True):
        label = given if names.count(given) == 1 or service.folder == "." else service.folder.replace("/", "-")
        plain = plain_name(label).replace(".", "-")[:32].strip("-_") or "service"
        name = next(name for name in (plain, *(f"{plain}-{number}" for number in range(2, 99))) if name not in by_name)
        by_name[name] = replace(service, name=name)
    return list(by_name.values())


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
    reasons = [f"{rung.name}: {rung.refused}" for rung in draft.ladder.rungs]
    project = draft.service.project
    if project is not None and project.problem:
        reasons.append(f"{project.language} ({project.folder}): {project.problem}")
    raise UsageError(wording("command.nothing_builds", service=draft.service.name, reasons="\n".join(reasons)))


def choose(
    tree: Tree, services: tuple[Service, ...], wanted: Options, ask: Ask, say: Callable[[str], None]
) -> tuple[Service, ...]:
    """The service that is meant, or all of them. Raises UsageError where there is none, or where ``--service`` names none."""
    if wanted.main is not None and not any(service.project and service.project.programs for service in services):
        names = [name for service in find_services(tree) if service.project for name in service.project.programs]
        hint = f"programs: {_shortened(names)}" if names else wording("command.no_main")
        raise UsageError(unknown(wording("command.main"), wanted.main, tuple(names)), hint=hint)
    if not services:
        problems = "".join(f"\n{problem}" for problem in (*problems_of(tree), *why_no_service(tree)))
        raise UsageError(wording("command.no_service", root=tree.root, problems=problems))
    labels = {_label(service, services): service for service in services}
    if len(services) == 1 and wanted.service in (None, ALL):
        return services
    answer = wanted.service or ask(wording("command.which_service"), (*labels, ALL))
    if answer == ALL:
        return services
    by_folder = {service.folder: service for service in services}
    if wanted.service is not None and wanted.service not in {*labels, *by_folder}:
        message = unknown("service", wanted.service, tuple(labels))
        raise UsageError(message, hint=f"services: {', '.join(labels)}; or {ALL}")
    chosen = labels.get(answer or "") or by_folder.get(answer or "", services[0])
    others = [name for name, service in labels.items() if service is not chosen]
    if wanted.service is None:
        say(wording("progress.selected", name=_label(chosen, services), others=_shortened(others)))
    return (chosen,)


def _shortened(names: Sequence[str]) -> str:
    """The first of many names, and how many more there are."""
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return ", ".join(names[:MOST_NAMES]) + more


def _label(service: Service, services: Sequence[Service]) -> str:
    """A service's name; its folder where two have one name."""
    return service.name if sum(other.name == service.name for other in services) == 1 else service.folder


def _forced(root: Path, names: Iterable[str]) -> list[str]:
    """The names as they are relative to the root. Raises UsageError for one that is not there."""
    paths = {name: os.path.relpath(root / name, root) for name in names}
    if absent := next((name for name, path in paths.items() if not (root / path).is_file()), ""):
        raise UsageError(wording("command.no_such_file", file=absent, root=root))
    return list(paths.values())


MOST_BROKEN = 5
"""So many are told: some repositories keep parts of files under such names."""


def unreadable_files(tree: Tree) -> list[str]:
    """One line for each of the first files that would tell of a service, if they could be read."""
    problems: list[str] = []
    for path in (*dockerfiles(tree), *tree.named[f"{MANIFESTS}|{COMPOSE}"]):
        text = tree.texts[path]
        if aside(path) or len(text) >= MOST_BYTES:  # of a longer one only the start is read
            continue
        if not os.access(tree.root / path, os.R_OK):
            problems.append(wording("problem.no_permission", path=path))
        elif why := _broken(path, text):
            problems.append(wording("problem.file", path=path, reason=why))
    return problems[:MOST_BROKEN]


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
        return wording("problem.not_parsed", kind=kind, error=" ".join(str(error).split())[:120])
    return ""
