"""List what a suite needs on this machine: its builders' tools, base images, an engine."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from deadweight._errors import DeadweightError, MissingError, wording
from deadweight._packages import attacks
from deadweight.builders.protocol import Needs
from deadweight.engine import daemon, sidecars
from deadweight.project.workspace import Workspace
from deadweight.sources.protocol import APK, NoBase
from deadweight.suite.model import Variant
from deadweight.toolchain import golang
from deadweight.toolchain.find import find

if TYPE_CHECKING:
    from deadweight.sources.protocol import ToMake

ENGINE = "engine"
"""A need that is no program: a container engine that answers, or that we can start."""

TEST_TOOLS = (
    "actionlint", "apparmor_parser", "buildah", "chromium", "crane", "docker-compose", "fish", "git", "ip", "java", "mvn",
    "openssl", "podman", "qemu-aarch64-static", "quadlet", "zsh",
)  # fmt: skip
"""What our own tests use beside the suite's needs."""

ENGINE_TOOLS = (ENGINE, "docker-cli")
"""Without these nothing is built with an engine."""

BENCH_TOOLS = ("buildctl", "buildkitd", "buildx", "git")
"""What the rivals in ``bench/`` use beside the suite's needs."""


def bases_to_have(workspace: Workspace, needs: Sequence[Needs]) -> tuple[str, ...]:
    """Without those that the source knows it cannot have: ``known_bases`` tells of them."""
    bases = bases_of(needs)
    lacking = workspace.source.missing_bases(bases) if bases else None
    gone = {about for about, _ in lacking.problems} if lacking is not None else set()
    return tuple(base for base in bases if base not in gone)


def tools_of(
    workspace: Workspace, variants: Sequence[Variant], *, tests: bool = False, bench: bool = False
) -> tuple[str, ...]:
    """Names of all the programs that setup must see to; ``engine`` among them where something runs."""
    needs = workspace.needs(variants)
    wanted = [tool for need in needs for tool in need.tools]
    wanted += workspace.source.tools(bases_to_have(workspace, needs), apk=any(need.apk for need in needs))
    if any(variant.checks.vulnerabilities for variant in variants) or tests or bench:
        wanted.append("trivy")
    if any(variant.runnable for variant in variants):
        own = (sidecars.SOURCE, attacks.HELPER_SOURCE)  # compiled when containers first need them
        machine = daemon.image_platform().removeprefix("linux/")
        there = all(golang.program_file(machine, source).exists() for source in own)
        wanted += (ENGINE, *(() if there else ("go",)))
    wanted += (*(TEST_TOOLS if tests else ()), *(BENCH_TOOLS if bench else ()))
    if any(need.engine for need in needs):
        with contextlib.suppress(DeadweightError):  # told where the engine itself is looked at
            if (running := daemon.find_running()) is not None and daemon.client_too_old(running):
                wanted.append("buildx")
    return tuple(dict.fromkeys(wanted))


def to_make(workspace: Workspace, variants: Sequence[Variant]) -> tuple[ToMake, ...]:
    """What the source would have to make for these variants before they can be built."""
    needs = workspace.needs(variants)
    return workspace.source.to_make(bases_to_have(workspace, needs), apk=any(need.apk for need in needs))


def without_engine(workspace: Workspace, variants: Sequence[Variant]) -> tuple[Variant, ...]:
    """Those that are built without an engine."""
    needs = workspace.needs(variants)
    return tuple(variant for variant, need in zip(variants, needs, strict=True) if not need.engine)


def preflight(workspace: Workspace, variants: Sequence[Variant]) -> dict[str, MissingError]:
    """Everything that can be known to be missing before the first build step: tools, engine, registry, CA, credentials.

    Returns the variants that cannot be built here, by name with the reason: there is no engine and none can be had, or a base is
    missing. The others can be. Raises MissingError (exit 3), ConfigError (exit 2) or DeadweightError, one message for all missing
    tools together, and where nothing is left to build for want of bases, one for all of those.
    """
    left: dict[str, MissingError] = {}
    building = {
        variant.name: need for variant, need in zip(variants, workspace.needs(variants), strict=True) if need.engine
    }
    try:
        if building:
            endpoint = workspace.endpoint
            if any("docker-cli" in need.tools for need in building.values()):
                find("docker-cli")
                daemon.docker_cli(endpoint)
    except MissingError as error:
        left = dict.fromkeys(building, error)
    split = known_bases(workspace, [variant for variant in variants if variant.name not in left])
    tools = {tool for need in workspace.needs(split.able) for tool in need.tools}
    missing = []
    for tool in sorted(tools):
        try:
            find(tool)
        except DeadweightError as error:
            missing.append(error.message)
    if missing:
        raise MissingError(wording("project.tools_missing", problems="; ".join(missing)))
    if workspace.pool is not None and "buildctl" in tools:
        workspace.pool.ready(daemon.image_platform())
    split = prepare_bases(workspace, split)
    if split.error is not None and not split.able and not left:
        raise split.error
    return {**left, **split.lacking}


# Bases that cannot be had stop the variants that stand on them, and no others. All of them are named at once.
@dataclass(frozen=True)
class Split:
    """The variants whose bases can be had, and why the others' cannot, by variant. ``error`` tells of all of them together."""

    able: tuple[Variant, ...]
    lacking: Mapping[str, MissingError] = field(default_factory=dict)
    error: NoBase | None = None

    def and_then(self, later: Split) -> Split:
        """With what was found of the able ones later."""
        errors = [error for error in (self.error, later.error) if error is not None]
        problems = dict.fromkeys(problem for error in errors for problem in error.problems)
        hints = dict.fromkeys(error.hint for error in errors if error.hint)
        both = NoBase(*problems, hint="; ".join(hints) or None) if errors else None
        return Split(later.able, {**self.lacking, **later.lacking}, both)


def bases_of(needs: Sequence[Needs]) -> tuple[str, ...]:
    """All base references, each once."""
    return tuple(dict.fromkeys(base for need in needs for base in need.bases))


def known_bases(workspace: Workspace, variants: Sequence[Variant]) -> Split:
    """As far as the source knows without asking anybody."""
    needs = workspace.needs(variants)
    bases = bases_of(needs)
    error = workspace.source.missing_bases(bases) if bases else None
    return split_by_base(variants, needs, error) if error is not None else Split(tuple(variants))


def prepare_bases(workspace: Workspace, split: Split) -> Split:
    """Prepare the bases and packages of the variants that are able (``known_bases``), as far as they can be had.

    Raises what the source raises that is about no base: a certificate, credentials, a full disk.
    """
    while split.able:
        needs = workspace.needs(split.able)
        try:
            workspace.source.prepare(bases_of(needs), apk=any(need.apk for need in needs), say=workspace.say)
            break
        except NoBase as error:
            later = split_by_base(split.able, needs, error)
            if len(later.able) == len(split.able):
                raise
            split = split.and_then(later)
    return split


def split_by_base(variants: Sequence[Variant], needs: Sequence[Needs], error: NoBase) -> Split:
    """Part those that the error is about from the others, and say where each names the base."""
    about = {reference for reference, _ in error.problems}
    lacking: dict[str, MissingError] = {}
    places: dict[str, dict[str, list[str]]] = {}
    for variant, need in zip(variants, needs, strict=True):
        wanted = {base: need.named.get(base, "its base") for base in need.bases if base in about}
        if need.apk and APK in about:
            wanted[APK] = "its packages"
        for base, place in wanted.items():
            places.setdefault(base, {}).setdefault(place, []).append(variant.name)
        if wanted:
            own = NoBase(*(problem for problem in error.problems if problem[0] in wanted), hint=error.hint)
            lacking[variant.name] = own.with_places(wanted)
    texts = {
        base: "; ".join(f"{', '.join(names)}: {place}" for place, names in by_place.items())
        for base, by_place in places.items()
    }
    able = tuple(variant for variant in variants if variant.name not in lacking)
    return Split(able, lacking, error.with_places(texts))
