"""The key that signs this project's APK packages: made once, by melange, readable by its owner only."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from pathlib import Path

from deadweight import _run
from deadweight.records.paths import State

KEY = "deadweight-project.rsa"
"""apk finds the public key by the name that a signature carries, so the name belongs to the key."""

_guard = threading.Lock()


def private_key(state: State) -> Path:
    return state.keys / KEY


def public_key(state: State) -> Path:
    return state.keys / f"{KEY}.pub"


def there(state: State) -> bool:
    return private_key(state).is_file() and public_key(state).is_file()


def ensure(state: State, melange: Path, log: Path) -> None:
    """Make the pair if it is not there, whole or not at all. ``melange keygen`` alone leaves the private key 0644."""
    with _guard:
        if there(state):
            return
        state.keys.mkdir(parents=True, exist_ok=True, mode=0o700)
        state.keys.chmod(0o700)
        work = Path(tempfile.mkdtemp(dir=state.keys, prefix=".new-"))  # mode 0700, so that nobody looks in meanwhile
        try:
            _run.run([melange, "keygen", KEY], cwd=work, log=log)
            for name in (f"{KEY}.pub", KEY):  # the private key last: it being there means that both are
                os.chmod(work / name, 0o600 if name == KEY else 0o644)  # noqa: PTH101
                (work / name).replace(state.keys / name)
        finally:
            shutil.rmtree(work, ignore_errors=True)
