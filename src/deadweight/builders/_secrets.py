"""Build secrets: files that a Dockerfile mounts. They are inputs by content, and their content is stored nowhere.

BuildKit leaves secrets out of its cache keys: a changed secret alone would give yesterday's layers. So the build that follows
a change runs with ``--no-cache``. What was used last is remembered as an HMAC under a key of this project, from which
nobody who finds it can guess a short secret.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import threading
from collections.abc import Mapping
from pathlib import Path

from deadweight.builders.protocol import Site
from deadweight.records.store import write_atomically
from deadweight.suite.model import Variant

_guard = threading.Lock()


def paths(variant: Variant, root: Path) -> dict[str, Path]:
    """The secret files by id, absolute; ``~`` is the user's home."""
    return {name: root / Path(given).expanduser() for name, given in variant.secrets.items()}


class Used:
    """Which secrets the last successful build of a variant was made with."""

    def __init__(self, variant: Variant, site: Site) -> None:
        self._file = site.state.image(variant.name) / "secrets.hmac"
        self._key_file = site.state.keys / "secrets.key"
        self._paths = paths(variant, site.root)

    def changed(self) -> bool:
        """Whether a build must not take layers from the cache. Never where a variant has no secrets."""
        if not self._paths:
            return False
        try:
            return not hmac.compare_digest(self._file.read_text(), self._mac())
        except OSError:
            return True

    def remember(self) -> None:
        if self._paths:
            write_atomically(self._file, self._mac(), mode=0o600)

    def _mac(self) -> str:
        return mac(self._key(), self._paths)

    def _key(self) -> bytes:
        with _guard:
            if not self._key_file.is_file():
                self._key_file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                write_atomically(self._key_file, os.urandom(32), mode=0o600)
            return self._key_file.read_bytes()


def mac(key: bytes, files: Mapping[str, Path]) -> str:
    """One keyed digest over all secrets, by id."""
    hasher = hmac.new(key, digestmod=hashlib.sha256)
    for name in sorted(files):
        for data in (name.encode(), files[name].read_bytes()):
            hasher.update(len(data).to_bytes(8, "big") + data)
    return hasher.hexdigest()
