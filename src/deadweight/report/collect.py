"""Collect a suite's results from disk into a report. Nothing is built, run or loaded; no engine is needed."""

from __future__ import annotations

import functools
import importlib.metadata
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from deadweight._errors import wording
from deadweight._packages import images
from deadweight.records import store
from deadweight.records.built_image import ARCHIVE_FILE, BUILT_FILE, FAILED_FILE, BuiltImage, FailedBuild
from deadweight.records.evidence import Evidence, Provenance, judged
from deadweight.records.paths import State
from deadweight.records.runs import load_scope
from deadweight.records.store import load
from deadweight.report.attacks import with_splits
from deadweight.report.model import (
    SCHEMA,
    AttackRecord,
    AttestationRecord,
    BaseRecord,
    BuildRecord,
    CheckRecord,
    ImageRecord,
    LayerRecord,
    PayloadRecord,
    ReferenceRecord,
    Report,
    RuntimeRecord,
    VariantRecord,
    VulnerabilitiesRecord,
)
from deadweight.suite.model import criteria_of

if TYPE_CHECKING:
    from deadweight.records.paths import State
    from deadweight.suite.model import Reference, Suite, Variant
    from deadweight_images.archive.model import Summary


# Checks' own data, parsed into the report's records. What does not fit its shape is "not measured", with the reason.

T = TypeVar("T")


def vulnerabilities(evidence: Evidence | None) -> VulnerabilitiesRecord:
    """The scan of one image. Counts are dropped unless it says ``scanned``: an unknown OS has no zero vulnerabilities."""
    if evidence is None:
        return VulnerabilitiesRecord(reason="not scanned; `invoke scan` scans it")
    record = _parse(VulnerabilitiesRecord, evidence.data)
    if record is None:
        return VulnerabilitiesRecord(reason=evidence.reason)
    if record.status != "scanned":
        record = replace(record, total=None, by_severity={}, fixable=None, findings=())
    return replace(record, reason=record.reason or evidence.reason)


def attacks(evidence: Evidence | None) -> dict[str, dict[str, AttackRecord]]:
    """Outcomes by posture and payload."""
    if evidence is None:
        return {}
    return {
        str(posture): {
            str(payload): _parse(AttackRecord, outcome) or AttackRecord("not_measured", reason="unreadable evidence")
            for payload, outcome in _mapping(outcomes).items()
        }
        for posture, outcomes in _mapping(evidence.data.get("postures")).items()
    }


ONLY_AFTER_A_BREACH = (
    "nothing was tried through the service itself: write checks: {attacks: {packs: [breach, http]}} to look for the holes of "
    "HTTP services (docs/how-to/attacks.md)"
)


def attack_notes(data: Mapping[str, Any]) -> tuple[str, ...]:
    """What a reader of an attack run must know: what could not be started or built, which of both ways in
    was not tried, and which postures came to nothing, why."""
    told = [*_mapping(data.get("walls_not_there")).values(), *_mapping(data.get("notes")).values()]
    ways = {_mapping(each).get("delivery") for each in _mapping(data.get("payloads")).values()}
    told += [ONLY_AFTER_A_BREACH] if ways == {"breach"} else []
    for posture, cells in _mapping(data.get("postures")).items():
        found = [_mapping(cell) for cell in _mapping(cells).values()]
        reasons = Counter(str(cell.get("reason")) for cell in found if cell.get("outcome") == "not_measured")
        if reasons and all(cell.get("outcome") in ("not_measured", "not_applicable") for cell in found):
            told.append(f"{posture}: nothing could be measured: {reasons.most_common(1)[0][0]}")
    return tuple(dict.fromkeys(str(note) for note in told))


def read_payloads(data: Mapping[str, Any]) -> dict[str, PayloadRecord]:
    """The catalogue of payloads that an attack run carries with it."""
    parsed = {str(name): _parse(PayloadRecord, value) for name, value in _mapping(data.get("payloads")).items()}
    return {name: record for name, record in parsed.items() if record is not None}


def layers(evidence: Evidence | None) -> images.LayersReport | None:
    """What the layer reader saw, or None."""
    return _parse(images.LayersReport, evidence.data) if evidence is not None else None


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _parse(kind: type[T], value: object) -> T | None:
    from pydantic import ValidationError

    try:
        found: T = store.adapter(kind).validate_python(value)
        return found
    except ValidationError:
        return None


# The figures of an image itself (size, layers, user, entry point), from whatever on disk knows them.

_PLAIN_WORD = re.compile(r"/[a-z0-9./-]{1,40}")


@dataclass(frozen=True)
class ImageFigures:
    """The image's figures and how they were got; ``provenance`` is None where nothing is known but the digest."""

    image: ImageRecord
    provenance: Provenance | None
    note: str | None = None
    runtime: RuntimeRecord | None = None


def image_figures(
    built: BuiltImage,
    state: State,
    evidence: Mapping[str, Evidence],
    archive: Path | None = None,
    lost: str | None = None,
) -> ImageFigures:
    """Figures from the archive where there is one, else from a check that read it before, else only the digest.

    ``lost`` tells why it cannot be had, though it was built; what may lie in its place is not read then.
    """
    found = _read_figures(built, state, evidence, archive, lost)
    named = replace(found.image, index_digest=built.index_digest, engine_id=built.engine_id)
    return replace(found, image=replace(named, manifest_digest=named.manifest_digest or built.manifest_digest))


def _read_figures(
    built: BuiltImage, state: State, evidence: Mapping[str, Evidence], archive: Path | None, lost: str | None
) -> ImageFigures:
    path = archive or state.image(built.variant) / ARCHIVE_FILE
    if lost is None and path.exists():
        return _from_archive(built, path, state, evidence.get("layers"))
    if "budget" in evidence:
        return replace(_from_budget(built, evidence["budget"]), note=lost, runtime=_said_by_builder(built))
    note = lost or wording("report.no_archive")
    return ImageFigures(ImageRecord(built.config_digest), None, note, _said_by_builder(built))


def _said_by_builder(built: BuiltImage) -> RuntimeRecord | None:
    """Where no archive can be read, the Go that the builder says it compiled with."""
    return RuntimeRecord("Go", built.go_version.removeprefix("go")) if built.go_version else None


def _from_archive(built: BuiltImage, path: Path, state: State, layers: Evidence | None) -> ImageFigures:
    from deadweight._packages import images

    seen = images.summary(path, cache_dir=state.cache / "image")
    if built.config_digest != seen.config_digest:
        note = wording("report.archive_of_other_image")
        return ImageFigures(ImageRecord(built.config_digest), None, note)
    at = datetime.fromtimestamp(path.stat().st_mtime, UTC).isoformat(timespec="seconds")
    version = importlib.metadata.version("deadweight")
    return ImageFigures(
        _record(seen, _instructions(seen, layers), _arguments(seen.entrypoint)),
        Provenance(built.config_digest, "deadweight image reader", version, at),
        runtime=_runtime(path, state),
    )


def _runtime(archive: Path, state: State) -> RuntimeRecord:
    from deadweight._packages import images

    found = images.runtime(archive, state.cache / "image")
    return RuntimeRecord(found.name, found.version or None, found.path or None)


def _instructions(seen: Summary, layers: Evidence | None) -> list[str | None]:
    """The layers' instructions as they may be published: without the secrets in them, looked for now if no check did before."""
    known = layers.data.get("layers") if layers else None
    if isinstance(known, list) and [each.get("diff_id") for each in known] == [each.diff_id for each in seen.layers]:
        return [each.get("instruction") for each in known]
    from deadweight._packages import images

    scanner = images.Scanner.default()
    return [each.instruction and images.shown_instruction(each.instruction, scanner) for each in seen.layers]


def _arguments(arguments: tuple[str, ...]) -> tuple[str, ...]:
    """An entry point as it may be published. One of plain words, as most are, needs no scanner (which takes its time to load)."""
    if not any(_PLAIN_WORD.fullmatch(each) is None for each in arguments):
        return arguments
    from deadweight._packages import images

    return images.shown_arguments(arguments, images.Scanner.default())


def _record(seen: Summary, instructions: list[str | None], entrypoint: tuple[str, ...]) -> ImageRecord:
    return ImageRecord(
        config_digest=seen.config_digest,
        manifest_digest=seen.manifest_digest,
        size_bytes=seen.size_bytes,
        compressed_bytes=seen.compressed_bytes,
        compressed_how=seen.compressed_how,
        layers=tuple(
            LayerRecord(layer.size_bytes, layer.digest, layer.diff_id, layer.compressed_bytes, instruction)
            for layer, instruction in zip(seen.layers, instructions, strict=True)
        ),
        user=seen.user or "",
        entrypoint=entrypoint,
        attestations=tuple(
            AttestationRecord(each.predicate, each.digest, each.size_bytes) for each in seen.attestations
        ),
    )


def _from_budget(built: BuiltImage, evidence: Evidence) -> ImageFigures:
    known = _mapping(evidence.data.get("figures"))
    size, compressed = (_bytes(known.get(key)) for key in ("size_bytes", "compressed_bytes"))
    record = ImageRecord(built.config_digest, size_bytes=size, compressed_bytes=compressed)
    return ImageFigures(record, evidence.provenance if size is not None else None)


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
) -> Report:
    """The report of what lies in the state folder now. A variant that was never built is in it, with nothing measured.

    ``archives`` tells where a variant's image archive is (what its builder's ``archive`` gave); without it, the archive in the
    variant's state folder is read if there is one. ``lost`` tells why a variant's archive cannot be had, though it was built: that
    becomes a note. ``asked`` names the checks that the suite asks for of each variant: what others said before is no result any
    more, though what they measured is still true; without it, all count. Raises ArchiveError for an archive that is damaged.
    """
    variants: dict[str, VariantRecord] = {}
    payloads: dict[str, PayloadRecord] = {}
    for variant in suite.variants:
        evidence = _read_evidence(state, variant.name)
        archive, gone = (archives or {}).get(variant.name), (lost or {}).get(variant.name)
        wanted = evidence if asked is None else {*asked.get(variant.name, ()), *variant.expect}
        variants[variant.name] = _variant(variant, state, evidence, archive, gone, wanted)
        if "attacks" in evidence:
            payloads |= read_payloads(evidence["attacks"].data)
    return Report(
        schema=SCHEMA,
        suite=suite.name,
        generated_at=datetime.now(UTC).isoformat(timespec="seconds"),
        tool_version=importlib.metadata.version("deadweight"),
        variants=with_splits(variants),
        payloads=payloads,
        scope=load_scope(state),
    )


def _read_evidence(state: State, variant: str) -> dict[str, Evidence]:
    files = sorted(state.evidence(variant, "any").parent.glob("*.json"))
    return {found.check: found for file in files if (found := load(Evidence, file)) is not None}


def _variant(
    variant: Variant,
    state: State,
    all_evidence: Mapping[str, Evidence],
    archive: Path | None,
    lost: str | None,
    wanted: Collection[str],
) -> VariantRecord:
    built = load(BuiltImage, state.image(variant.name) / BUILT_FILE)
    failed = load(FailedBuild, state.image(variant.name) / FAILED_FILE)
    evidence = {name: item for name, item in all_evidence.items() if built and _fresh(item, built)}
    results = _Results(variant, all_evidence if built else {}, evidence, wanted)
    figures = image_figures(built, state, evidence, archive, lost) if built else None
    startup, samples, startup_provenance = _startup(evidence)
    runtime = figures.runtime if figures else None
    return VariantRecord(
        builder=variant.builder,
        ladder=variant.ladder,
        description=variant.description,
        base=_base(built),
        image=figures.image if figures else None,
        build=_build(built, failed) if built else None,
        startup_seconds=startup,
        checks=results.checks() if built else {},
        vulnerabilities=vulnerabilities(evidence.get("vulnerabilities")),
        attacks=attacks(evidence.get("attacks")),
        attack_notes=attack_notes(evidence["attacks"].data) if "attacks" in evidence else (),
        layers=layers(evidence.get("layers")),
        go_version=f"go{runtime.version}" if runtime and runtime.name == "Go" and runtime.version else None,
        runtime=runtime,
        reference=_reference(variant.reference),
        provenance=_provenance(built, figures, startup_provenance, evidence),
        notes=(*results.notes(), *_build_notes(variant.name, built, failed, figures)),
        other_stand_ins=built.other_stand_ins if built else (),
        failed=None if failed is None else str(failed),
        startup_samples=samples,
        startup_alone="runs" in evidence and bool(evidence["runs"].data.get("startup_alone")),
    )


def _provenance(
    built: BuiltImage | None,
    figures: ImageFigures | None,
    startup: Provenance | None,
    evidence: Mapping[str, Evidence],
) -> dict[str, Provenance]:
    """How each figure was got, as far as there is one."""
    known: dict[str, Provenance | None] = {
        "build": _build_provenance(built) if built else None,
        "image": figures.provenance if figures else None,
        "startup_seconds": startup,
    }
    known |= {name: evidence[name].provenance for name in sorted(OWN_SECTIONS & evidence.keys())}
    return {name: item for name, item in known.items() if item is not None}


@dataclass(frozen=True)
class _Results:
    """The checks of a variant: all that have evidence, those whose evidence is of this image (``fresh``), and those that the suite
    asks for (``wanted``)."""

    variant: Variant
    every: Mapping[str, Evidence]
    fresh: Mapping[str, Evidence]
    wanted: Collection[str]

    @functools.cached_property
    def changed(self) -> set[str]:
        """Those of which the suite asks something else now."""
        return {name for name, item in self.fresh.items() if item.asked not in ("", criteria_of(self.variant, name))}

    def checks(self) -> dict[str, CheckRecord]:
        """The outcome of each check that the suite asks for, including those without a result."""
        expect = self.variant.expect
        measured = {
            name: _check(judged(item, expects_failure=expect.get(name) == "fail"))
            for name, item in self.fresh.items()
            if name in self.wanted and name not in self.changed
        }
        return dict(sorted({**measured, **dict(self.absent())}.items()))

    def absent(self) -> Iterator[tuple[str, CheckRecord]]:
        """Checks that the suite asks for and that have no result for this image. They count as not passed."""
        verify = f"`invoke verify --variant {self.variant.name}`"
        for name in self.wanted:
            if name not in self.every:
                reason = f"not run on this image; {verify} runs it"
                yield name, CheckRecord("not_measured", True, reason, why_not="not_run")
            elif name not in self.fresh or name in self.changed:
                earlier = f"measured on an earlier image; {verify} measures this one"
                why = earlier if name not in self.fresh else f"the suite has changed since; {verify} checks it again"
                yield name, CheckRecord("not_measured", True, f"stale: {why}", why_not="stale")

    def notes(self) -> Iterator[str]:
        """Which results are left out, and why."""
        for name in self.every:
            if name not in self.fresh:
                yield wording("report.check_of_earlier_image", check=name, variant=self.variant.name)
        for name in self.fresh:
            if name not in self.wanted and name not in OWN_SECTIONS:
                yield wording("report.check_not_in_suite", check=name)
            if name in self.wanted and name in self.changed:
                yield wording("report.suite_changed", check=name, variant=self.variant.name)


def _build_notes(
    variant: str, built: BuiltImage | None, failed: FailedBuild | None, figures: ImageFigures | None
) -> Iterator[str]:
    """Why there is no image, or not the one that was asked for, or no figures of it."""
    if failed is not None and built is not None:
        yield wording("report.figures_of_earlier_build", failure=failed, built_at=built.built_at)
    elif failed is not None:
        yield str(failed)
    if built is None:
        yield wording("report.not_built", variant=variant)
    if figures and figures.note:
        yield figures.note


def _fresh(evidence: Evidence, built: BuiltImage) -> bool:
    """Whether evidence is of the image that is there now. A check that could not run at all knows no digest; it counts."""
    return evidence.provenance.image_digest in {built.config_digest, ""}


def _base(built: BuiltImage | None) -> BaseRecord | None:
    if built is None or built.base is None:
        return None
    return BaseRecord(built.base.reference, built.base.digest, built.base.stand_in, built.base.resolved)


def _build(built: BuiltImage, failed: FailedBuild | None) -> BuildRecord:
    same = ("seconds", "cached", "tool", "cache", "fingerprint", "built_on", "decisions", "alone")
    copied = {name: getattr(built, name) for name in same}
    return BuildRecord(at=built.built_at, failed_at=failed.at if failed else None, **copied)


def _build_provenance(built: BuiltImage) -> Provenance:
    tool, _, version = built.tool.partition(" ")
    return Provenance(built.config_digest, tool or built.builder, version or "unknown", built.built_at)


def _startup(evidence: Mapping[str, Evidence]) -> tuple[float | None, tuple[float, ...], Provenance | None]:
    for name in ("runs", "budget"):
        if name in evidence:
            data = evidence[name].data
            value = data.get("startup_seconds", _mapping(data.get("figures")).get("startup_seconds"))
            if isinstance(value, (int, float)) and value > 0:
                samples = data.get("startup_samples") or ()
                known = tuple(float(each) for each in samples if isinstance(each, (int, float)) and each > 0)
                return float(value), known, evidence[name].provenance
    return None, (), None


def _check(evidence: Evidence) -> CheckRecord:
    return CheckRecord(
        status=evidence.status,
        expected=evidence.expected,
        reason=evidence.reason,
        provenance=evidence.provenance,
        seconds=evidence.seconds,
        evidence={} if evidence.check in OWN_SECTIONS else evidence.data,
        gated=evidence.gated,
    )


def _reference(given: Reference | None) -> ReferenceRecord | None:
    if given is None:
        return None
    return ReferenceRecord(given.source, given.size_bytes, given.vulnerabilities, given.note)
