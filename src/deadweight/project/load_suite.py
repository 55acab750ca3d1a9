"""Load a suite file and validate every builder's keys, those of installed plug-ins too."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from deadweight._errors import ConfigError, DeadweightError, MissingError, UsageError, wording
from deadweight.builders import table
from deadweight.suite.checks import AttacksCheck
from deadweight.suite.load import read_suite
from deadweight.suite.model import Suite, Variant
from deadweight.suite.values import Record
from deadweight.suite.yaml_nodes import Document, Key, Problems, dotted


def load_suite(file: Path) -> Suite:
    """Read and validate a suite file. Raises ConfigError (exit 2) with the places of all problems."""
    return read_suite(file, table)


# What a suite file names that only the floors above the suite know: builders, images, attacks, plug-ins, settings, files.
# Told when the project is opened, with file, line and key, and not by a check after a build. A module is imported only where the
# suite says something that it knows. Builders judge the files that their keys name when a plan is made.
def check_suite(suite: Suite) -> None:
    """Raises ConfigError for all that is wrong."""
    problems = Problems()
    if suite.sources:
        from deadweight.sources.settings import of_suite

        with problems.kept():
            of_suite(suite)
    if suite.scan.database_repository is not None:
        with problems.kept():
            _database(suite, suite.scan.database_repository)
    with problems.kept():
        _ports(suite)
    seen: list[AttacksCheck] = []
    for variant in suite.variants:
        _check_variant(suite, variant, seen, problems)
    problems.tell()


def _check_variant(suite: Suite, variant: Variant, seen: list[AttacksCheck], problems: Problems) -> None:
    with problems.kept():
        _registered(suite, variant)
    with problems.kept():
        _images(suite, variant)
    absent = False
    for key, name in _files(variant):
        if not (suite.root / name).is_file():
            absent = True
            with problems.kept():
                hint = f"paths are relative to {suite.root}"
                raise suite.error(variant, key, wording("project.no_such_file", name=name), hint=hint)
    for name in variant.checks.other:
        with problems.kept():
            _plug_in(suite, variant, name)
    attacks = variant.checks.attacks
    if attacks is not None and not absent and attacks not in seen:
        seen.append(attacks)  # variants share those of the defaults
        with problems.kept():
            _attacks(suite, variant, attacks)


def _ports(suite: Suite) -> None:
    """What is run and asked whether it is up is asked at a port. One error for all, since defaults say it for all."""
    lacking = [
        variant for variant in suite.variants if variant.runnable and variant.port is None and _asked_at_one(variant)
    ]
    if lacking:
        message = wording("project.port_missing", variants=", ".join(variant.name for variant in lacking))
        raise suite.error(lacking[0], "port", message)


def _asked_at_one(variant: Variant) -> bool:
    """Unless a command tells whether it is up, and nothing else is asked; or it is no server."""
    kind = variant.health.kind
    return kind not in ("exec", "exit") or (
        kind == "exec" and any(item.request.port is None for item in variant.checks.api)
    )


def _database(suite: Suite, repository: str) -> None:
    from deadweight.records.reference import parse

    try:
        parse(repository.removeprefix("oci://"))
    except UsageError as error:
        place: Key = ("scan", "database_repository")
        line, key = suite.places.get(place), dotted(place)
        raise ConfigError(error.message, file=suite.file, line=line, key=key, hint=error.hint) from None


def _registered(suite: Suite, variant: Variant) -> None:
    from deadweight.builders.table import is_known

    if not is_known(variant.builder):
        raise no_builder(suite, variant)


def no_builder(suite: Suite, variant: Variant) -> ConfigError:
    """For a builder that nobody registered."""
    from deadweight.builders.table import names
    from deadweight.suite.explain import unknown

    what = unknown("builder", variant.builder, names())
    return suite.error(variant, "builder", what, hint=f"builders: {', '.join(names())}; plug-ins add others")


def _images(suite: Suite, variant: Variant) -> None:
    """References of bases. What a source makes of them comes later."""
    from deadweight.records.reference import parse

    for key, reference in variant.images():
        try:
            parse(reference)
        except UsageError as error:
            raise suite.error(variant, key, error.message, hint=error.hint) from None


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
        _options(suite, variant, name, record)


def _options(suite: Suite, variant: Variant, name: str, record: type[Record]) -> None:
    from deadweight.suite.explain import validated
    from deadweight.suite.sections import place_in

    document = Document(suite.file, None, suite.places)
    place = place_in(document, variant.places)
    validated(document, record, variant.checks.other[name], lambda inner: place(("checks", "other", name, *inner)))


def _attacks(suite: Suite, variant: Variant, asked: AttacksCheck) -> None:
    from deadweight._packages import attacks

    attacks.check_gates(suite, variant, asked)
