"""The figures of an image itself (size, layers, user, entry point), from whatever on disk knows them."""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deadweight.records.built import ARCHIVE_FILE, BuiltImage
from deadweight.records.evidence import Evidence, Provenance
from deadweight.records.paths import State
from deadweight.report.model import AttestationRecord, ImageRecord, LayerRecord, RuntimeRecord

if TYPE_CHECKING:
    from deadweight_images.archive.model import Summary


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
    found = _figures(built, state, evidence, archive, lost)
    named = replace(found.image, index_digest=built.index_digest, engine_id=built.engine_id)
    return replace(found, image=replace(named, manifest_digest=named.manifest_digest or built.manifest_digest))


def _figures(
    built: BuiltImage, state: State, evidence: Mapping[str, Evidence], archive: Path | None, lost: str | None
) -> ImageFigures:
    path = archive or state.image(built.variant) / ARCHIVE_FILE
    if lost is None and path.exists():
        return _from_archive(built, path, state, evidence.get("layers"))
    if "budget" in evidence:
        return replace(_from_budget(built, evidence["budget"]), note=lost, runtime=_said_by_builder(built))
    note = lost or "no image archive yet, so its size is not measured"
    return ImageFigures(ImageRecord(built.config_digest), None, note, _said_by_builder(built))


def _said_by_builder(built: BuiltImage) -> RuntimeRecord | None:
    """Where no archive can be read, the Go that the builder says it compiled with."""
    return RuntimeRecord("Go", built.go_version.removeprefix("go")) if built.go_version else None


def _from_archive(built: BuiltImage, path: Path, state: State, layers: Evidence | None) -> ImageFigures:
    from deadweight._packages import images

    seen = images.summary(path, cache_dir=state.cache / "image")
    if built.config_digest != seen.config_digest:
        note = "the archive contains a different image than the last build, so its size is not measured"
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
    figures = evidence.data.get("figures")
    known: Mapping[str, Any] = figures if isinstance(figures, dict) else {}
    size, compressed = (_bytes(known.get(key)) for key in ("size_bytes", "compressed_bytes"))
    record = ImageRecord(built.config_digest, size_bytes=size, compressed_bytes=compressed)
    return ImageFigures(record, evidence.provenance if size is not None else None)


def _bytes(value: object) -> int | None:
    return value if isinstance(value, int) and value >= 0 else None
