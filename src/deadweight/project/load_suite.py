"""Load a suite file and validate every builder's keys, those of installed plug-ins too."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from deadweight._errors import ConfigError, DeadweightError, MissingError, UsageError, wording
from deadweight._plugins import without_pydantic_plugins
from deadweight.builders import table
from deadweight.records.reference import parse
from deadweight.suite.checks import AttacksCheck
from deadweight.suite.explain import unknown, validated
from deadweight.suite.load import place_in, read_suite
from deadweight.suite.model import Suite, Variant
from deadweight.suite.yaml_nodes import Document, Key, Problems


def load_suite(file: Path) -> Suite:
    """Read and validate a suite file. Raises ConfigError (exit 2) with the places of all problems."""
    return read_suite(file, table)


# What a suite file names that only the floors above the suite know: builders, images, attacks, plug-ins, settings, files.
# Told when the project is opened, with file, line and key, and not by a check after a build. A module is imported only where the
# suite says something that it knows. Builders judge the files that their keys name when a plan is made.
@without_pydantic_plugins()
def check_suite(suite: Suite) -> None:
    """Raises ConfigError for all that is wrong."""
    problems = Problems()
    if suite.sources:
        from deadweight.sources.settings import of_suite

        with problems.collect():
            of_suite(suite)
    if suite.scan.database_repository is not None:
        try:
            parse(suite.scan.database_repository.removeprefix("oci://"))
        except UsageError as error:
            document, key = Document(suite.file, None, suite.places), ("scan", "database_repository")
            problems.errors.append(document.error(key, error.message, hint=error.hint))
    with problems.collect():
        _ports(suite)
    seen: list[AttacksCheck] = []
    for variant in suite.variants:
        _check_variant(suite, variant, seen, problems)
    problems.tell()


def _check_variant(suite: Suite, variant: Variant, seen: list[AttacksCheck], problems: Problems) -> None:
    if not table.is_known(variant.builder):
        problems.errors.append(no_builder(suite, variant))
    for key, reference in variant.images():  # what a source makes of them comes later
        try:
            parse(reference)
        except UsageError as error:
            problems.errors.append(suite.error(variant, key, error.message, hint=error.hint))
    absent = [(key, name) for key, name in _files(variant) if not (suite.root / name).is_file()]
    for key, name in absent:
        what, hint = wording("project.no_such_file", name=name), f"paths are relative to {suite.root}"
        problems.errors.append(suite.error(variant, key, what, hint=hint))
    for name in variant.checks.other:
        with problems.collect():
            _plug_in(suite, variant, name)
    asked = variant.checks.attacks
    if asked is not None and not absent and asked not in seen:
        from deadweight._packages import attacks

        seen.append(asked)  # variants share those of the defaults
        with problems.collect():
            attacks.check_gates(suite, variant, asked)


def _ports(suite: Suite) -> None:
    """What is run and asked whether it is up is asked at a port. One error for all, since defaults say it for all."""
    lacking = [
        variant for variant in suite.variants if variant.runnable and variant.port is None and _needs_port(variant)
    ]
    if lacking:
        message = wording("project.port_missing", variants=", ".join(variant.name for variant in lacking))
        raise suite.error(lacking[0], "port", message)


def _needs_port(variant: Variant) -> bool:
    """Unless a command tells whether it is up, and nothing else is asked; or it is no server."""
    kind = variant.health.kind
    asked = any(item.request.port is None for item in variant.checks.api)
    return kind not in ("exec", "exit") or (kind == "exec" and asked)


def no_builder(suite: Suite, variant: Variant) -> ConfigError:
    """For a builder that nobody registered."""
    names = table.names()
    what = unknown("builder", variant.builder, names)
    return suite.error(variant, "builder", what, hint=f"builders: {', '.join(names)}; plug-ins add others")


def _files(variant: Variant) -> Iterator[tuple[Key, str]]:
    """The files that checks read. A baseline may still be fetched between build and verify, so it is not among them."""
    checks = variant.checks
    for index, item in enumerate(checks.api):
        if item.request.body_file is not None:
            yield ("checks", "api", index, "request", "body_file"), item.request.body_file
    for index, name in enumerate(checks.attacks.payload_files if checks.attacks else ()):
        yield ("checks", "attacks", "payload_files", index), name
    for index, name in enumerate(checks.vulnerabilities.vex if checks.vulnerabilities else ()):
        yield ("checks", "vulnerabilities", "vex", index), name


def _plug_in(suite: Suite, variant: Variant, name: str) -> None:
    """A plug-in's check must be installed, importable, and content with what the suite says under its name."""
    from deadweight.checks.table import GROUP, check

    key: Key = ("checks", "other", name)
    try:
        record = getattr(check(name), "record", None)
    except MissingError:
        hint = f"install the package that has it (entry point group {GROUP})"
        raise suite.error(variant, key, wording("suite.unknown", kind="check", name=name), hint=hint) from None
    except DeadweightError as error:
        raise suite.error(variant, key, error.message, hint=error.hint) from error
    if record is not None:
        document = Document(suite.file, None, suite.places)
        place = place_in(document, variant.places)
        validated(document, record, variant.checks.other[name], lambda inner: place((*key, *inner)))
