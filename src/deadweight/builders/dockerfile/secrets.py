"""Resolve build secrets: files that a Dockerfile mounts. Their content counts as input and is stored nowhere.

BuildKit leaves secrets out of its cache keys, so a changed secret alone would reuse the old layers. Therefore the next
build after a change runs with ``--no-cache``. The last used secrets are remembered as an HMAC under a key of this project, so
that nobody who finds it can guess a short secret.

``generated:NAME`` is a secret made on this machine when first needed and kept in the state folder. It is for trial builds and
demonstrations that need no real secret.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
import threading
from collections.abc import Iterator
from pathlib import Path

from deadweight import _run
from deadweight.builders.protocol import Site
from deadweight.builders.variants import DockerfileVariant
from deadweight.records.paths import State, content
from deadweight.records.store import write_atomically
from deadweight.suite.yaml_nodes import Key

GENERATED = "generated:"
_guard = threading.Lock()


def paths(variant: DockerfileVariant, root: Path) -> dict[str, Path]:
    """The secret files by id, absolute; ``~`` is the user's home."""
    return {name: _path(given, root) for name, given in variant.secrets.items()}


def ssh_paths(variant: DockerfileVariant, root: Path) -> dict[str, Path]:
    """SSH keys or agent sockets by id; ``$NAME`` in a path is the environment's."""
    return {name: _path(os.path.expandvars(given), root) for name, given in variant.ssh.items()}


def _files(variant: DockerfileVariant, root: Path) -> Iterator[tuple[Key, Path, bool]]:
    """The key, the file, and whether that is of our own making, of all secrets and SSH keys."""
    for name, path in paths(variant, root).items():
        yield ("secrets", name), path, variant.secrets[name].startswith(GENERATED)
    for name, path in ssh_paths(variant, root).items():
        yield ("ssh", name), path, variant.ssh[name].startswith(GENERATED)


def missing(variant: DockerfileVariant, root: Path) -> Iterator[tuple[Key, Path]]:
    """(key, path) of each named file that is not there, generated ones left out."""
    return ((key, path) for key, path, ours in _files(variant, root) if not ours and not path.exists())


def inputs(variant: DockerfileVariant, root: Path) -> tuple[Path, ...]:
    """The secret files that a fingerprint reads: those that are not of our own making."""
    return tuple(path for key, path, ours in _files(variant, root) if key[0] == "secrets" and not ours)


def generate(variant: DockerfileVariant, root: Path) -> None:
    """Make the generated secrets and SSH keys of a variant that are not there yet, readable by this user alone."""
    for key, path, ours in _files(variant, root):
        if not ours or path.exists():
            continue
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if key[0] == "secrets":
            write_atomically(path, f"{secrets.token_urlsafe(30)}\n", mode=0o600)
        else:
            _run.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", path], timeout=30)
            path.chmod(0o600)


def _path(given: str, root: Path) -> Path:
    if given.startswith(GENERATED):
        name = re.sub(r"[^A-Za-z0-9._-]", "-", given.removeprefix(GENERATED)).strip(".") or "secret"
        return State(root).keys / f"generated-{name}"
    return root / os.path.expanduser(given)  # noqa: PTH111 - leaves a user that does not exist as it is, and raises nothing


def seal(variant: DockerfileVariant, site: Site) -> str:
    """One keyed digest over all secrets, by id; empty where a variant has none."""
    named, key_file = paths(variant, site.root), site.state.keys / "secrets.key"
    if not named:
        return ""
    with _guard:
        if not key_file.is_file():
            key_file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_atomically(key_file, os.urandom(32), mode=0o600)
    hasher = hmac.new(key_file.read_bytes(), digestmod=hashlib.sha256)
    for name, path in sorted(named.items()):
        for data in (name.encode(), content(path)):
            hasher.update(len(data).to_bytes(8, "big") + data)
    return hasher.hexdigest()
