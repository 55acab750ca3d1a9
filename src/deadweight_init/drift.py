"""Report how a suite has drifted from its repository: new or missing Dockerfiles, changed versions, ports and bases."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from deadweight.builders.protocol import is_generated
from deadweight.project.load_suite import load_suite
from deadweight.suite.load import SUITE_FILE
from deadweight.suite.model import Suite, Variant
from deadweight_init.derive.dockerfile import instruction_lines, on_another_base, parse, with_stages
from deadweight_init.draft import Draft, first_draft, port_hints
from deadweight_init.records import Project, Rung, Service, wording
from deadweight_init.tree import Tree


def service_of(suite: Suite, services: tuple[Service, ...]) -> Service | None:
    """The service that a suite was written for: the one whose files most of its variants name."""

    def shared(service: Service) -> int:
        names = {rung.keys.get("dockerfile") for rung in first_draft(service, "").ladder.rungs}
        folder = service.project.folder if service.project else service.folder
        return sum((getattr(entry, "dockerfile", None) in names) + (entry.source == folder) for entry in suite.variants)

    return max(services, key=shared, default=None)


def drift(tree: Tree, services: tuple[Service, ...]) -> Iterator[str]:
    """One sentence for each thing that is not any more as the suite says. Raises ConfigError for a suite that does not load."""
    file = tree.root / SUITE_FILE
    whole, text = load_suite(file), file.read_text(encoding="utf-8")
    for name in dict.fromkeys(variant.service for variant in whole.variants):
        own = (variant for variant in whole.variants if variant.service == name)
        short = tuple(variant.model_copy(update={"name": variant.name.removeprefix(f"{name}.")}) for variant in own)
        for line in _of_service(tree, services, whole.model_copy(update={"variants": short}), text):
            yield wording("drift.of", service=name, what=line) if name else line


def _of_service(tree: Tree, services: tuple[Service, ...], suite: Suite, text: str) -> Iterator[str]:
    service = service_of(suite, services)
    if service is None:
        yield wording("drift.no_service")
        return
    files = {variant.name: getattr(variant, "dockerfile", None) or "" for variant in suite.variants}
    made = {name: path for name, path in files.items() if is_generated(tree.texts[path])}
    draft = first_draft(service, next((path.rpartition("/")[0] for path in made.values()), ""))
    gone = {name: path for name, path in files.items() if not (tree.root / path).exists()}
    yield from (wording("drift.file_gone", name=name, file=path) for name, path in gone.items())
    yield from _variants(suite, draft, text)
    yield from _derived(made, draft, tree)
    yield from _needs(suite, draft, text)
    ports = [port for port in port_hints(service) if port.place]
    for variant in suite.variants[:1]:
        if ports and variant.port not in [port.value for port in ports]:
            yield wording("drift.port", suite=variant.port, place=ports[0].place, port=ports[0].value)


def _variants(suite: Suite, draft: Draft, text: str) -> Iterator[str]:
    by_name = {variant.name: variant for variant in suite.variants}
    for rung in draft.ladder.rungs:
        if rung.name in by_name:
            yield from _changed(by_name[rung.name], rung, draft.service.project)
        elif not rung.refused and f" {rung.name} ({rung.builder})" not in text:  # a comment says why it is left out
            yield wording("drift.new_way", name=rung.name, what=rung.description)


def _derived(made: Mapping[str, str], draft: Draft, tree: Tree) -> Iterator[str]:
    """Derived files that begin with the text of a Dockerfile that is another one by now."""
    own = draft.derived_from
    parsed = parse(own) if own is not None else None
    if own is None or parsed is None:
        return
    begins = {
        "Dockerfile": instruction_lines(on_another_base(parsed, {})),
        "minimal.Dockerfile": instruction_lines(with_stages(parsed, [])),
    }
    for name, path in made.items():
        begin = begins.get(path.rpartition("/")[2], [])
        if instruction_lines(tree.texts[path])[: len(begin)] != begin:
            yield wording("drift.older", name=name, file=path, own=own.path)


def _changed(variant: Variant, rung: Rung, project: Project | None) -> Iterator[str]:
    for key in ("dockerfile", "source", "bases", "base", "main"):
        now = rung.keys.get(key)
        then = getattr(variant, key, None)
        if key == "bases" and rung.is_made and project is not None and not _other_version(project, then, now):
            continue
        if now and now != then and not (key == "dockerfile" and not getattr(variant, "bases", None)):
            yield wording("drift.key", name=variant.name, key=key, suite=_shown(then), now=_shown(now))


def _other_version(project: Project, then: object, now: object) -> bool:
    """Whether the repository names a version of its language that the bases of a generated variant do not have.

    Otherwise trials have told which bases these are: an older version where none is named, or a complete one to compile on.
    """
    named = re.compile(rf"(?<![\d.]){re.escape(project.version.value)}(?![\d])")
    return bool(project.version.place and named.search(_shown(now)) and not named.search(_shown(then)))


def _needs(suite: Suite, draft: Draft, text: str) -> Iterator[str]:
    """What a Compose file starts beside the service. What the suite's text names may have been left out for a reason."""
    there = suite.variants[0].run.needs if suite.variants else {}
    for known in draft.service.around.needs:
        need, place = known.value, known.place
        mine = there.get(need.name)
        if mine is None and not re.search(rf"\b{re.escape(need.name)}\b", text):
            yield wording("drift.new_need", place=place, name=need.name, image=need.image)
        elif mine is not None and mine.image and mine.image != need.image:
            yield wording("drift.need", name=need.name, suite=mine.image, place=place, image=need.image)


def _shown(value: object) -> str:
    return ", ".join(f"{name} {entry}" for name, entry in value.items()) if isinstance(value, dict) else str(value)
