"""The archive of an image that was built in the engine: saved once per build, with a note beside it of whose it is."""

from __future__ import annotations

from pathlib import Path

from deadweight.builders.protocol import Site


def is_of(archive: Path, config_digest: str) -> bool:
    """Whether the archive is there, whole, and of this very image."""
    note = _note_file(archive)
    return archive.is_file() and note.is_file() and note.read_text() == _note(archive, config_digest)


def save(reference: str, site: Site, archive: Path) -> None:
    """Have the engine write it; nobody's until ``note``."""
    _note_file(archive).unlink(missing_ok=True)
    site.engine().images.save(reference, archive)


def note(archive: Path, config_digest: str) -> None:
    """Keep whose archive this is."""
    _note_file(archive).write_text(_note(archive, config_digest))


def _note_file(archive: Path) -> Path:
    return archive.with_name(f"{archive.name}.of")


def _note(archive: Path, config_digest: str) -> str:
    """Tells a saved archive of this very image from an older one, and from one that was cut short since."""
    return f"{config_digest} {archive.stat().st_size}"
