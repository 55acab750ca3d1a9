"""Collect a suite's results from disk into a report. Nothing is built, run or loaded; no engine is needed."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from deadweight._errors import wording
from deadweight._packages import images
from deadweight.records import store
from deadweight.records.built_image import ARCHIVE_FILE, BUILT_FILE, FAILED_FILE, BuiltImage, FailedBuild
from deadweight.records.evidence import Evidence, Provenance, judged
from deadweight.records.paths import State
from deadweight.records.runs import load_scope
from deadweight.report import model
from deadweight.report.attacks import with_splits
from deadweight.suite.model import Suite, Variant, criteria_of

T = TypeVar("T")


def _copied(kind: type[T], source: object, **other: object) -> T:
    """A record of this kind with what ``source`` holds under the same names, and these ``other`` fields."""
    names = {field.name for field in dataclasses.fields(kind) if hasattr(source, field.name)}  # type: ignore[arg-type]
    return kind(**{name: getattr(source, name) for name in names} | other)


# Checks' own data, parsed into the report's records. What does not fit its shape is "not measured", with the reason.


def vulnerabilities(evidence: Evidence | None) -> model.VulnerabilitiesRecord:
    """The scan of one image. Counts are dropped unless it says ``scanned``: an unknown OS has no zero vulnerabilities."""
    if evidence is None:
        return model.VulnerabilitiesRecord(reason="not scanned; `invoke scan` scans it")
    record = _parse(model.VulnerabilitiesRecord, evidence.data) or model.VulnerabilitiesRecord()
    if record.status != "scanned":
        record = replace(record, total=None, by_severity={}, fixable=None, findings=())
    return replace(record, reason=record.reason or evidence.reason)


def attacks(evidence: Evidence | None) -> dict[str, dict[str, model.AttackRecord]]:
    """Outcomes by posture and payload."""
    unreadable = model.AttackRecord("not_measured", reason="unreadable evidence")
    return {
        str(posture): {
            str(payload): _parse(model.AttackRecord, outcome) or unreadable
            for payload, outcome in _mapping(outcomes).items()
        }
        for posture, outcomes in _mapping(evidence and evidence.data.get("postures")).items()
    }


ONLY_AFTER_A_BREACH = (
    "nothing was tried through the service itself: write checks: {attacks: {packs: [breach, http]}} to look for the holes of "
    "HTTP services (docs/how-to/attacks.md)"
)


def attack_notes(data: Mapping[str, Any]) -> tuple[str, ...]:
    """What a reader of an attack run must know: what could not be started or built, which of both ways in
    was not tried, and which postures came to nothing, why."""
    notes = [*_mapping(data.get("walls_not_there")).values(), *_mapping(data.get("notes")).values()]
    ways = {_mapping(payload).get("delivery") for payload in _mapping(data.get("payloads")).values()}
    notes += [ONLY_AFTER_A_BREACH] if ways == {"breach"} else []
    for posture, outcomes in _mapping(data.get("postures")).items():
        cells = [_mapping(cell) for cell in _mapping(outcomes).values()]
        reasons = Counter(str(cell.get("reason")) for cell in cells if cell.get("outcome") == "not_measured")
        if reasons and all(cell.get("outcome") in ("not_measured", "not_applicable") for cell in cells):
            reason = reasons.most_common(1)[0][0]
            notes.append(wording("report.nothing_in_posture", posture=posture, reason=reason))
    return tuple(dict.fromkeys(map(str, notes)))


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _parse(kind: type[T], value: object) -> T | None:
    from pydantic import ValidationError

    try:
        record: T = store.adapter(kind).validate_python(value)
        return record
    except ValidationError:
        return None


# The figures of an image itself (size, layers, user, entry point), from whatever on disk knows them.

_PLAIN_WORD = re.compile(r"/[a-z0-9./-]{1,40}")


@dataclass(frozen=True)
class ImageFigures:
    """The image's figures and how they were got; ``provenance`` is None where nothing is known but the digest."""

    image: model.ImageRecord
    provenance: Provenance | None = None
    note: str | None = None
    runtime: model.RuntimeRecord | None = None


def image_figures(
    built: BuiltImage, state: State, evidence: Mapping[str, Evidence], archive: Path | None, lost: str | None
) -> ImageFigures:
    """Figures from the archive where there is one, else from a check that read it before, else only the digest.

    ``lost`` tells why it cannot be had, though it was built; what may lie in its place is not read then.
    """
    path = archive or state.image(built.variant) / ARCHIVE_FILE
    if lost is None and path.exists():
        figures = _from_archive(built, path, state, evidence.get("layers"))
    else:
        figures = _from_budget(built, evidence.get("budget"), lost)
    digest = figures.image.manifest_digest or built.manifest_digest
    image = replace(figures.image, manifest_digest=digest, index_digest=built.index_digest, engine_id=built.engine_id)
    return replace(figures, image=image)


def _from_archive(built: BuiltImage, path: Path, state: State, layers: Evidence | None) -> ImageFigures:
    summary = images.summary(path, cache_dir=state.cache / "image")
    if built.config_digest != summary.config_digest:
        return ImageFigures(model.ImageRecord(built.config_digest), note=wording("report.archive_of_other_image"))
    pairs = zip(summary.layers, _instructions(summary, layers), strict=True)
    known = tuple(_copied(model.LayerRecord, layer, instruction=instruction) for layer, instruction in pairs)
    statements = tuple(_copied(model.AttestationRecord, statement) for statement in summary.attestations)
    entrypoint = _arguments(summary.entrypoint)
    image = _copied(model.ImageRecord, summary, layers=known, entrypoint=entrypoint, attestations=statements)
    at = datetime.fromtimestamp(path.stat().st_mtime, UTC).isoformat(timespec="seconds")
    version = importlib.metadata.version("deadweight")
    provenance = Provenance(built.config_digest, "deadweight image reader", version, at)
    program = images.runtime(path, state.cache / "image")
    runtime = model.RuntimeRecord(program.name, program.version or None, program.path or None)
    return ImageFigures(image, provenance, runtime=runtime)


def _instructions(summary: images.Summary, layers: Evidence | None) -> list[str | None]:
    """The layers' instructions as they may be published: without the secrets in them, looked for now if no check did before."""
    known = layers.data.get("layers") if layers else None
    diff_ids = [layer.diff_id for layer in summary.layers]
    if isinstance(known, list) and [layer.get("diff_id") for layer in known] == diff_ids:
        return [layer.get("instruction") for layer in known]
    scanner = images.Scanner.default()
    return [layer.instruction and images.shown_instruction(layer.instruction, scanner) for layer in summary.layers]


def _arguments(arguments: tuple[str, ...]) -> tuple[str, ...]:
    """An entry point as it may be published. One of plain words, as most are, needs no scanner (which takes its time to load)."""
    if all(map(_PLAIN_WORD.fullmatch, arguments)):
        return arguments
    return images.shown_arguments(arguments, images.Scanner.default())


def _from_budget(built: BuiltImage, evidence: Evidence | None, lost: str | None) -> ImageFigures:
    """Without an archive: the sizes that the budget check read from it, and the Go that the builder says it compiled with."""
    runtime = model.RuntimeRecord("Go", built.go_version.removeprefix("go")) if built.go_version else None
    if evidence is None:
        return ImageFigures(model.ImageRecord(built.config_digest), None, lost or wording("report.no_archive"), runtime)
    known = _mapping(evidence.data.get("figures"))
    size, compressed = (_bytes(known.get(key)) for key in ("size_bytes", "compressed_bytes"))
    record = model.ImageRecord(built.config_digest, size_bytes=size, compressed_bytes=compressed)
    return ImageFigures(record, evidence.provenance if size is not None else None, lost, runtime)


def _bytes(value: object) -> int | None:
    return value if isinstance(value, int) and value >= 0 else None


OWN_SECTIONS = {"layers", "attacks", "vulnerabilities"}
"""Checks whose data has a place of its own in the report, and is not repeated under ``checks``.

``attack`` and ``scan`` make it where the suite asks for no such check, too."""


def collect(
    suite: Suite,
    state: State,
    archives: Mapping[str, Path] | None = None,
    lost: Mapping[str, str] | None = None,
    asked: Mapping[str, Collection[str]] | None = None,
) -> model.Report:
    """The report of what lies in the state folder now. A variant that was never built is in it, with nothing measured.

    ``archives`` tells where a variant's image archive is (what its builder's ``archive`` gave); without it, the archive in the
    variant's state folder is read if there is one. ``lost`` tells why a variant's archive cannot be had, though it was built: that
    becomes a note. ``asked`` names the checks that the suite asks for of each variant: what others said before is no result any
    more, though what they measured is still true; without it, all count. Raises ArchiveError for an archive that is damaged.
    """
    variants: dict[str, model.VariantRecord] = {}
    payloads: dict[str, model.PayloadRecord] = {}
    for variant in suite.variants:
        files = sorted(state.evidence(variant.name, "any").parent.glob("*.json"))
        evidence = {item.check: item for file in files if (item := store.load(Evidence, file)) is not None}
        wanted = evidence if asked is None else {*asked.get(variant.name, ()), *variant.expect}
        archive, gone = (archives or {}).get(variant.name), (lost or {}).get(variant.name)
        variants[variant.name] = _variant(variant, state, evidence, archive, gone, wanted)
        catalogue = evidence["attacks"].data.get("payloads") if "attacks" in evidence else None
        payloads |= _parse(dict[str, model.PayloadRecord], catalogue) or {}
    return model.Report(
        schema=model.SCHEMA,
        suite=suite.name,
        generated_at=datetime.now(UTC).isoformat(timespec="seconds"),
        tool_version=importlib.metadata.version("deadweight"),
        variants=with_splits(variants),
        payloads=payloads,
        scope=load_scope(state),
    )


def _variant(
    variant: Variant,
    state: State,
    all_evidence: Mapping[str, Evidence],
    archive: Path | None,
    lost: str | None,
    wanted: Collection[str],
) -> model.VariantRecord:
    built = store.load(BuiltImage, state.image(variant.name) / BUILT_FILE)
    failed = store.load(FailedBuild, state.image(variant.name) / FAILED_FILE)
    now = {built.config_digest, ""} if built else set()  # a check that could not run at all knows no digest; it counts
    evidence = {name: item for name, item in all_evidence.items() if item.provenance.image_digest in now}
    every = all_evidence if built else {}
    figures = image_figures(built, state, evidence, archive, lost) if built else None
    startup, samples, startup_provenance = _startup(evidence)
    runtime, note = (figures.runtime, figures.note) if figures else (None, None)
    return model.VariantRecord(
        builder=variant.builder,
        ladder=variant.ladder,
        description=variant.description,
        base=_copied(model.BaseRecord, built.base) if built and built.base else None,
        image=figures.image if figures else None,
        build=_copied(model.BuildRecord, built, at=built.built_at, failed_at=failed and failed.at) if built else None,
        startup_seconds=startup,
        checks=_checks(variant, every, evidence, wanted) if built else {},
        vulnerabilities=vulnerabilities(evidence.get("vulnerabilities")),
        attacks=attacks(evidence.get("attacks")),
        attack_notes=attack_notes(evidence["attacks"].data) if "attacks" in evidence else (),
        layers=_parse(images.LayersReport, evidence["layers"].data) if "layers" in evidence else None,
        go_version=f"go{runtime.version}" if runtime and runtime.name == "Go" and runtime.version else None,
        runtime=runtime,
        reference=_copied(model.ReferenceRecord, variant.reference) if variant.reference else None,
        provenance=_provenance(built, figures, startup_provenance, evidence),
        notes=(*_notes(every, evidence, wanted), *_build_notes(variant.name, built, failed, note)),
        other_stand_ins=built.other_stand_ins if built else (),
        failed=None if failed is None else str(failed),
        startup_samples=samples,
        startup_alone="runs" in evidence and bool(evidence["runs"].data.get("startup_alone")),
        unproven=variant.unproven,
    )


def _provenance(
    built: BuiltImage | None, figures: ImageFigures | None, startup: Provenance | None, evidence: Mapping[str, Evidence]
) -> dict[str, Provenance]:
    """How each figure was got, as far as there is one."""
    known: dict[str, Provenance | None] = {}
    if built:
        tool, _, version = built.tool.partition(" ")
        known["build"] = Provenance(built.config_digest, tool or built.builder, version or "unknown", built.built_at)
    known |= {"image": figures.provenance if figures else None, "startup_seconds": startup}
    known |= {name: evidence[name].provenance for name in sorted(OWN_SECTIONS & evidence.keys())}
    return {name: item for name, item in known.items() if item is not None}


def _checks(
    variant: Variant, every: Mapping[str, Evidence], fresh: Mapping[str, Evidence], wanted: Collection[str]
) -> dict[str, model.CheckRecord]:
    """The outcome of each check that the suite asks for (``wanted``), of all that have evidence and of those whose evidence is of
    this image (``fresh``). Those without a result for this image, or for what the suite asks now, count as not passed."""
    checks = {}
    verify = f"`invoke verify --variant {variant.name}`"
    for name in sorted(wanted):
        if name not in every:
            reason = f"not run on this image; {verify} runs it"
            checks[name] = model.CheckRecord("not_measured", True, reason, why_not="not_run")
        elif name in fresh and fresh[name].asked in ("", criteria_of(variant, name)):
            item = judged(fresh[name], expects_failure=variant.expect.get(name) == "fail")
            evidence = {} if name in OWN_SECTIONS else item.data
            checks[name] = _copied(model.CheckRecord, item, evidence=evidence)
        else:
            earlier = f"measured on an earlier image; {verify} measures this one"
            why = wording("report.suite_changed", command=verify) if name in fresh else earlier
            checks[name] = model.CheckRecord("not_measured", True, f"stale: {why}", why_not="stale")
    return checks


def _notes(every: Mapping[str, Evidence], fresh: Mapping[str, Evidence], wanted: Collection[str]) -> Iterator[str]:
    """Which results are left out, and why; of the checks that the suite asks for, their own records tell."""
    for name in every:
        if name not in wanted and name not in fresh:
            yield wording("report.check_of_earlier_image", check=name)
        elif name not in wanted and name not in OWN_SECTIONS:
            yield wording("report.check_not_in_suite", check=name)


def _build_notes(name: str, built: BuiltImage | None, failed: FailedBuild | None, note: str | None) -> Iterator[str]:
    """Why there is no image, or not the one that was asked for, or no figures of it."""
    if failed is not None and built is not None:
        yield wording("report.figures_of_earlier_build", failure=failed, built_at=built.built_at)
    elif failed is not None:
        yield str(failed)
    if built is None:
        yield wording("report.not_built", variant=name)
    if note:
        yield note


def _startup(evidence: Mapping[str, Evidence]) -> tuple[float | None, tuple[float, ...], Provenance | None]:
    for name in ("runs", "budget"):
        data = evidence[name].data if name in evidence else {}
        value = data.get("startup_seconds", _mapping(data.get("figures")).get("startup_seconds"))
        if isinstance(value, (int, float)) and value > 0:
            samples = data.get("startup_samples") or ()
            starts = tuple(float(start) for start in samples if isinstance(start, (int, float)) and start > 0)
            return float(value), starts, evidence[name].provenance
    return None, (), None
