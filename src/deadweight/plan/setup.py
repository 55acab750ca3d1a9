"""What a project needs on this machine, from its suite: the tools of its builders, its source, its checks."""

from __future__ import annotations

from collections.abc import Sequence

from deadweight._errors import DeadweightError, MissingError
from deadweight.builders.protocol import Needs
from deadweight.plan.workspace import Workspace
from deadweight.suite.model import Variant

TEST_TOOLS = ("chromium", "docker-compose", "git", "java", "mvn", "openssl", "ip")
"""What our own tests use beside the suite's needs."""

BENCH_TOOLS = ("buildx", "git")
"""What the rivals in ``bench/`` use beside the suite's needs."""


def needs_of(workspace: Workspace, variants: Sequence[Variant]) -> tuple[Needs, ...]:
    """What the builders of these variants need. Raises ConfigError for wrong files."""
    return tuple(workspace.builder(variant).needs(variant, workspace.suite.root) for variant in variants)


def bases_of(needs: Sequence[Needs]) -> tuple[str, ...]:
    """All base references, each once."""
    return tuple(dict.fromkeys(base for need in needs for base in need.bases))


def tools_of(
    workspace: Workspace, variants: Sequence[Variant], *, tests: bool = False, bench: bool = False
) -> tuple[str, ...]:
    """Names of all the programs that setup must see to; ``engine`` among them where something runs."""
    needs = needs_of(workspace, variants)
    bases, apk = bases_of(needs), any(need.apk for need in needs)
    wanted = [tool for need in needs for tool in need.tools]
    wanted += workspace.source.tools(bases, apk=apk)
    wanted.append("crane")  # push, publish and layers speak to registries through it
    if any(variant.checks.vulnerabilities for variant in variants) or tests or bench:
        wanted.append("trivy")
    if any(variant.runnable for variant in variants):
        wanted.append("engine")
    if tests:
        wanted += TEST_TOOLS
    if bench:
        wanted += BENCH_TOOLS
    return tuple(dict.fromkeys(wanted))


def preflight(workspace: Workspace, variants: Sequence[Variant]) -> None:
    """Everything that can be known to be missing before the first build step: tools, engine, registry, CA, credentials.

    Raises MissingError (exit 3), ConfigError (exit 2) or DeadweightError, one message for all missing tools together.
    """
    from deadweight.toolchain.find import find

    needs = needs_of(workspace, variants)
    missing = []
    for tool in sorted({tool for need in needs for tool in need.tools}):
        try:
            find(tool)
        except DeadweightError as error:
            missing.append(error.message)
    if missing:
        raise MissingError("; ".join(missing), hint="invoke setup")
    if any(need.engine for need in needs):
        _ = workspace.endpoint
    workspace.source.prepare(bases_of(needs), apk=any(need.apk for need in needs), say=workspace.say)
