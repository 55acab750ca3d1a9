"""What a project needs on this machine, from its suite: the tools of its builders, its source, its checks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from deadweight._errors import DeadweightError, MissingError
from deadweight.builders.protocol import Needs
from deadweight.engine import daemon
from deadweight.engine.own import choice
from deadweight.project.survey import ENGINE, Finding
from deadweight.project.workspace import Workspace
from deadweight.sources.reference import NoBase
from deadweight.suite.model import Variant
from deadweight.toolchain.find import find

if TYPE_CHECKING:
    from deadweight.sources.protocol import ToMake

TEST_TOOLS = ("chromium", "docker-compose", "git", "java", "mvn", "openssl", "ip")
"""What our own tests use beside the suite's needs."""

ENGINE_TOOLS = (ENGINE, "docker-cli")
"""Without these nothing is built with an engine."""

BENCH_TOOLS = ("buildx", "git")
"""What the rivals in ``bench/`` use beside the suite's needs."""


def needs_of(workspace: Workspace, variants: Sequence[Variant]) -> tuple[Needs, ...]:
    """What the builders of these variants need. Raises ConfigError for wrong files."""
    return tuple(workspace.needs(variant) for variant in variants)


def bases_of(needs: Sequence[Needs]) -> tuple[str, ...]:
    """All base references, each once."""
    return tuple(dict.fromkeys(base for need in needs for base in need.bases))


@contextmanager
def naming_bases(variants: Sequence[Variant], needs: Sequence[Needs]) -> Iterator[None]:
    """What a source says of a base is told with the variants that stand on it, and where they name it."""
    try:
        yield
    except NoBase as error:
        found: dict[str, dict[str, list[str]]] = {}
        for variant, need in zip(variants, needs, strict=True):
            for base in need.bases:
                found.setdefault(base, {}).setdefault(need.named.get(base, "its base"), []).append(variant.name)
        told = {
            base: "; ".join(f"{', '.join(names)}: {place}" for place, names in places.items())
            for base, places in found.items()
        }
        raise error.placed(told) from None


def tools_of(
    workspace: Workspace, variants: Sequence[Variant], *, tests: bool = False, bench: bool = False
) -> tuple[str, ...]:
    """Names of all the programs that setup must see to; ``engine`` among them where something runs."""
    needs = needs_of(workspace, variants)
    bases, apk = bases_of(needs), any(need.apk for need in needs)
    wanted = [tool for need in needs for tool in need.tools]
    with naming_bases(variants, needs):
        wanted += workspace.source.tools(bases, apk=apk)
    wanted.append("crane")  # push, publish and layers speak to registries through it
    if any(variant.checks.vulnerabilities for variant in variants) or tests or bench:
        wanted.append("trivy")
    if any(variant.runnable for variant in variants):
        wanted.append(ENGINE)
    if tests:
        wanted += TEST_TOOLS
    if (tests or choice.chosen() != "os") and not choice.built():
        wanted += (*choice.BUILDING, *choice.PROGRAMS)
    if bench:
        wanted += BENCH_TOOLS
    if any(need.engine for need in needs) and _client_too_old():
        wanted.append("buildx")
    return tuple(dict.fromkeys(wanted))


def _client_too_old() -> bool:
    """Whether an engine runs that the Docker client here is too old for."""
    try:
        running = daemon.find_running()
    except DeadweightError:
        return False  # told where the engine itself is looked at
    return running is not None and daemon.client_too_old(running) != ""


def to_make(workspace: Workspace, variants: Sequence[Variant]) -> tuple[ToMake, ...]:
    """What the source would have to make for these variants before they can be built."""
    needs = needs_of(workspace, variants)
    with naming_bases(variants, needs):
        return workspace.source.to_make(bases_of(needs), apk=any(need.apk for need in needs))


def no_engine(found: Iterable[Finding]) -> str:
    """Why nothing is built with an engine here whatever setup does, or run in one; empty where it can be."""
    engine = (each for each in found if each.name in ENGINE_TOOLS)
    return "; ".join(f"{each.name}: {each.reason or each.status}" for each in hopeless(engine))


def hopeless(found: Iterable[Finding]) -> tuple[Finding, ...]:
    """What setup cannot get: each says in ``how`` what you can do."""
    return tuple(each for each in found if not each.present and not each.gettable)


def without_engine(workspace: Workspace, variants: Sequence[Variant]) -> tuple[Variant, ...]:
    """Those that are built without an engine."""
    needs = needs_of(workspace, variants)
    return tuple(variant for variant, need in zip(variants, needs, strict=True) if not need.engine)


def preflight(workspace: Workspace, variants: Sequence[Variant]) -> MissingError | None:
    """Everything that can be known to be missing before the first build step: tools, engine, registry, CA, credentials.

    Returns why there is no engine, where one is needed and none can be had: variants ``without_engine`` can be built all the
    same. Raises MissingError (exit 3), ConfigError (exit 2) or DeadweightError, one message for all missing tools together.
    """
    needs = needs_of(workspace, variants)
    engineless = _engineless(workspace) if any(need.engine for need in needs) else None
    if engineless is not None:
        variants = [variant for variant, need in zip(variants, needs, strict=True) if not need.engine]
        needs = tuple(need for need in needs if not need.engine)
    missing = []
    for tool in sorted({tool for need in needs for tool in need.tools}):
        try:
            find(tool)
        except DeadweightError as error:
            missing.append(error.message)
    if missing:
        raise MissingError("; ".join(missing), hint="invoke setup")
    if needs:
        with naming_bases(variants, needs):
            workspace.source.prepare(bases_of(needs), apk=any(need.apk for need in needs), say=workspace.say)
    return engineless


def _engineless(workspace: Workspace) -> MissingError | None:
    try:
        endpoint = workspace.endpoint
        find("docker-cli")
        daemon.docker_cli(endpoint)
    except MissingError as error:
        return error
    return None
