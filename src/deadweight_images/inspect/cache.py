"""Cache the analysis of image layers on disk, make the secret probe, and apply the allow list to a report."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deadweight_images.parts import require

if TYPE_CHECKING:
    from datetime import date

    from deadweight_images.findings import LayersReport, Scanned
    from deadweight_images.layers.index import LayerIndex
    from deadweight_images.secrets.model import AllowEntry
    from deadweight_images.secrets.regions import Probe
    from deadweight_images.secrets.scanner import Scanner


# What a look at an image starts with and ends with: the probe for a mode, and the allow list put beside the findings.


def probe_for(scan: Scanned, scanner: Scanner | None) -> Probe | None:
    """A probe for a mode of ``analyse``; None for ``no``. Raises MissingError where what looks for secrets is not installed."""
    if scan == "no":
        return None
    require("images")
    from deadweight_images.secrets.regions import Probe
    from deadweight_images.secrets.scanner import Scanner

    return Probe(scanner or Scanner.default(), decode=scan != "plain")


def apply_allowlist(report: LayersReport, allow: Iterable[AllowEntry], today: date | None = None) -> LayersReport:
    """The same report with the reason of the allow list beside each finding that is on it (and not expired)."""
    entries = tuple(allow)
    if not entries:
        return report
    from dataclasses import replace
    from datetime import date

    day = today or date.today()  # noqa: DTZ011 - expiry dates are the user's own days
    reasons = {e.fingerprint.lower(): e.reason for e in entries if e.expires is None or e.expires >= day}
    hidden = tuple(
        replace(file, secrets=tuple(replace(mark, allowed=reasons.get(mark.fingerprint)) for mark in file.secrets))
        for file in report.hidden
    )
    secrets = tuple(replace(secret, allowed=reasons.get(secret.fingerprint)) for secret in report.secrets)
    return replace(report, hidden=hidden, secrets=secrets)


# Results kept from one look to the next: per layer digest and rule set, per archive that was already verified.

VERSION = 6
_MAX_ENTRIES = 200_000


class Cache:
    """Files below one folder; with ``folder`` None it keeps nothing. A damaged file counts as absent.

    Nor does it keep anything where the disk refuses (read-only, full): that costs time the next time, and no answer now.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self._refused = False

    def layer(self, diff_id: str, key: str, packed_bytes: int | None = None) -> LayerIndex | None:
        """What an earlier look at a layer found. The caller verifies that the layer is that layer.

        ``packed_bytes`` is the size of its stored form, where that is compressed: each form has an entry of its own, for an index
        holds digest and size of what was read.
        """
        from deadweight_images.layers.index import LayerIndex

        raw = self._read(_place(diff_id, key, packed_bytes))
        index = None if raw is None else LayerIndex.load(raw)
        return index if index is not None and index.diff_id == diff_id else None

    def any_layer(self, diff_id: str) -> LayerIndex | None:
        """A layer's structure and packages, from whichever earlier look is there; what it says of secrets may be in part."""
        from deadweight_images.layers.index import LayerIndex

        if self.folder is None:
            return None
        files = sorted((self.folder / "layers").glob(f"{_name(diff_id)}-*.json"))
        indices = (LayerIndex.load(raw) for file in files if (raw := self._read(f"layers/{file.name}")))
        return next((index for index in indices if index is not None and index.diff_id == diff_id), None)

    def note(self, key: str) -> dict[str, str] | None:
        """A few words that were kept under a key."""
        data = self._document(f"notes/{_hash(key)}.json")
        return {str(name): str(value) for name, value in data.items()} if isinstance(data, dict) else None

    def keep_note(self, key: str, note: dict[str, str]) -> None:
        self._write(f"notes/{_hash(key)}.json", json.dumps(note).encode())

    def keep_layer(self, index: LayerIndex, key: str) -> None:
        """Keep a verified layer's index (not one of hundreds of thousands of members: reading it again is as quick)."""
        if self.folder is not None and index.diff_id is not None and len(index.entries) <= _MAX_ENTRIES:
            packed = None if index.digest == index.diff_id else index.stored_bytes
            self._write(_place(index.diff_id, key, packed), index.dump())

    def report(self, identity: str, key: str) -> LayersReport | None:
        """The finished report on an archive that is still the very file it was."""
        data = self._document(f"reports/{_hash(identity + key)}.json")
        if data is None:
            return None
        from deadweight_images.findings import from_json

        try:
            return from_json(data)
        except (ValueError, KeyError, TypeError, AttributeError):
            return None

    def keep_report(self, report: LayersReport, identity: str, key: str) -> None:
        if self.folder is not None:
            self._write(f"reports/{_hash(identity + key)}.json", json.dumps(report.json()).encode())

    def verified(self, identity: str) -> frozenset[str]:
        """Diff-ids of the layers of this very file whose content was hashed and fits."""
        data = self._document(f"verified/{_hash(identity)}.json")
        return frozenset(item for item in data if isinstance(item, str)) if isinstance(data, list) else frozenset()

    def keep_verified(self, identity: str, diff_ids: frozenset[str]) -> None:
        self._write(f"verified/{_hash(identity)}.json", json.dumps(sorted(diff_ids)).encode())

    def _read(self, name: str) -> bytes | None:
        if self.folder is None:
            return None
        try:
            return (self.folder / name).read_bytes()
        except OSError:
            return None

    def _document(self, name: str) -> Any:
        """A file's JSON; None where it is absent or damaged."""
        try:
            return json.loads(self._read(name) or b"null")
        except ValueError:
            return None

    def _write(self, name: str, data: bytes) -> None:
        from deadweight_images.cache_files import write_atomically

        if self.folder is not None and not self._refused:
            try:
                write_atomically(self.folder / name, data, mode=0o600)
            except OSError:
                self._refused = True


def _place(diff_id: str, key: str, packed_bytes: int | None) -> str:
    return f"layers/{_name(diff_id)}-{_hash(f'{key} {packed_bytes}')}.json"


def identity(path: Path) -> str:
    """What tells one file from every other and from its own later versions: device, inode, size, both times (ns).

    The change time cannot be set by who may only write the file. For a layout folder: of all its files.
    """
    if not path.is_dir():
        return _stamp(path.resolve())
    parts: list[str] = []
    for folder, _folders, files in os.walk(path):
        parts.extend(_stamp(Path(folder, file)) for file in files)
    return "\n".join(sorted(parts))


def _stamp(path: Path) -> str:
    try:
        status = path.lstat()
    except OSError:
        return f"{path}: absent"
    return f"{status.st_dev}:{status.st_ino}:{status.st_size}:{status.st_mtime_ns}:{status.st_ctime_ns}"


def _name(digest: str) -> str:
    return digest.replace(":", "-")


def _hash(text: str) -> str:
    return hashlib.sha256(f"{VERSION} {text}".encode()).hexdigest()[:40]
