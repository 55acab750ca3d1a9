"""Read what is on disk for a suite and make the report of it. Nothing is built, run or loaded; no engine is needed."""

from __future__ import annotations

import contextlib
import importlib.metadata
from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deadweight.records.built_image import BUILT_FILE, FAILED_FILE, BuiltImage, FailedBuild
from deadweight.records.evidence import Evidence, Provenance, judged
from deadweight.records.scope import load_scope
from deadweight.records.store import load
from deadweight.report import sections
from deadweight.report.attacks import with_splits
from deadweight.report.image_figures import ImageFigures, image_figures
from deadweight.report.model import (
    SCHEMA,
    BaseRecord,
    BuildRecord,
    CheckRecord,
    PayloadRecord,
    ReferenceRecord,
    Report,
    VariantRecord,
)
from deadweight.suite.model import criteria_of

if TYPE_CHECKING:
    from deadweight.records.paths import State
    from deadweight.suite.model import Reference, Suite, Variant

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
            payloads |= sections.payloads(evidence["attacks"].data)
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
    folder = state.evidence(variant, "any").parent
    found: dict[str, Evidence] = {}
    for file in _files(folder):
        evidence = load(Evidence, file)
        if evidence is not None:
            found[evidence.check] = evidence
    return found


def _files(folder: Path) -> Iterator[Path]:
    with contextlib.suppress(OSError):
        yield from sorted(folder.glob("*.json"))


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
    changed = {name for name, item in evidence.items() if item.asked not in ("", criteria_of(variant, name))}
    check_notes = _check_notes(variant.name, all_evidence if built else {}, evidence, wanted, changed)
    measured = _measured(variant, evidence, set(wanted) - changed)
    absent = dict(_absent(variant.name, all_evidence, evidence, wanted, changed)) if built else {}
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
        checks=dict(sorted({**measured, **absent}.items())),
        vulnerabilities=sections.vulnerabilities(evidence.get("vulnerabilities")),
        attacks=sections.attacks(evidence.get("attacks")),
        attack_notes=sections.attack_notes(evidence["attacks"].data) if "attacks" in evidence else (),
        layers=sections.layers(evidence.get("layers")),
        go_version=f"go{runtime.version}" if runtime and runtime.name == "Go" and runtime.version else None,
        runtime=runtime,
        reference=_reference(variant.reference),
        provenance=_provenance(built, figures, startup_provenance, evidence),
        notes=(*check_notes, *_build_notes(variant.name, built, failed, figures)),
        other_stand_ins=built.other_stand_ins if built else (),
        failed=None if failed is None else str(failed),
        startup_samples=samples,
        startup_alone="runs" in evidence and bool(evidence["runs"].data.get("startup_alone")),
    )


def _measured(variant: Variant, evidence: Mapping[str, Evidence], wanted: Collection[str]) -> dict[str, CheckRecord]:
    return {
        name: _check(judged(item, expects_failure=variant.expect.get(name) == "fail"))
        for name, item in evidence.items()
        if name in wanted
    }


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


def _absent(
    variant: str,
    all_evidence: Collection[str],
    fresh: Collection[str],
    wanted: Collection[str],
    changed: Collection[str],
) -> Iterator[tuple[str, CheckRecord]]:
    """Checks that are asked for and have no result of this image, by what is asked now: they count, and not as passed."""
    verify = f"`invoke verify --variant {variant}`"
    for name in wanted:
        if name not in all_evidence:
            reason = f"not run on this image; {verify} runs it"
            yield name, CheckRecord("not_measured", True, reason, why_not="not_run")
        elif name not in fresh:
            reason = f"stale: measured on an earlier image; {verify} measures this one"
            yield name, CheckRecord("not_measured", True, reason, why_not="stale")
        elif name in changed:
            reason = f"stale: the suite has changed since; {verify} checks it again"
            yield name, CheckRecord("not_measured", True, reason, why_not="stale")


def _check_notes(
    variant: str,
    all_evidence: Collection[str],
    fresh: Collection[str],
    wanted: Collection[str],
    changed: Collection[str],
) -> Iterator[str]:
    """Which results are left out, and why. All but the first are names of checks."""
    for name in all_evidence:
        if name not in fresh:
            yield f"{name}: measured on an earlier image; `invoke verify --variant {variant}` measures this one"
    for name in fresh:
        if name not in wanted and name not in OWN_SECTIONS:
            yield f"{name}: the suite no longer has this check; its last result is not shown"
        if name in wanted and name in changed:
            yield f"{name}: the suite has changed since; `invoke verify --variant {variant}` checks it again"


def _build_notes(
    variant: str, built: BuiltImage | None, failed: FailedBuild | None, figures: ImageFigures | None
) -> Iterator[str]:
    """Why there is no image, or not the one that was asked for, or no figures of it."""
    if failed is not None:
        earlier = f"; image and figures are from the build before ({built.built_at})" if built else ""
        yield f"{failed}{earlier}"
    if built is None:
        yield f"not built; `invoke build --variant {variant}` builds it"
    if figures and figures.note:
        yield figures.note


def _fresh(evidence: Evidence, built: BuiltImage) -> bool:
    """Whether evidence is of the image that is there now. A check that could not run at all knows no digest; it counts."""
    return evidence.provenance.image_digest in {built.config_digest, ""}


def _base(built: BuiltImage | None) -> BaseRecord | None:
    if built is None or built.base is None:
        return None
    base = built.base
    return BaseRecord(reference=base.reference, digest=base.digest, stand_in=base.stand_in, resolved=base.resolved)


def _build(built: BuiltImage, failed: FailedBuild | None) -> BuildRecord:
    return BuildRecord(
        built.seconds,
        built.cached,
        built.built_at,
        built.tool,
        failed.at if failed else None,
        built.cache,
        built.fingerprint,
        built.built_on,
        built.decisions,
        built.alone,
    )


def _build_provenance(built: BuiltImage) -> Provenance:
    tool, _, version = built.tool.partition(" ")
    return Provenance(built.config_digest, tool or built.builder, version or "unknown", built.built_at)


def _startup(evidence: Mapping[str, Evidence]) -> tuple[float | None, tuple[float, ...], Provenance | None]:
    for name in ("runs", "budget"):
        if name in evidence:
            data = evidence[name].data
            value = data.get("startup_seconds", _figures(data).get("startup_seconds"))
            if isinstance(value, (int, float)) and value > 0:
                samples = data.get("startup_samples")
                known = (
                    [each for each in samples if isinstance(each, (int, float)) and each > 0]
                    if isinstance(samples, list)
                    else []
                )
                return float(value), tuple(map(float, known)), evidence[name].provenance
    return None, (), None


def _figures(data: Mapping[str, Any]) -> Mapping[str, Any]:
    figures = data.get("figures")
    return figures if isinstance(figures, dict) else {}


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
