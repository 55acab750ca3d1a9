"""Run crane to push an image archive or layout folder (``registry`` reads).

crane handles credentials itself (``docker login``'s config file and its helpers): they are in no argument and no output.
"""

from __future__ import annotations

import json
import re
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deadweight._errors import ArchiveError, CommandError, DeadweightError, wording
from deadweight._packages import images
from deadweight._run import run
from deadweight.records.reference import in_registry
from deadweight.toolchain.find import find

_PUSHED = re.compile(r"@(sha256:[0-9a-f]{64})\s*$")
_BLOB = re.compile(r"blobs/sha256/[0-9a-f]{64}")
HINTS = {
    r"x509: ": "its certificate is not trusted: set SSL_CERT_FILE to a bundle with its CA",
    r"gave HTTP response to HTTPS client": "it has no TLS: push with --insecure, or set insecure: true in the mirror's settings",
    r"UNAUTHORIZED|DENIED|status code 40[13]": "log in with `docker login` or `crane auth login`",
    r"_UNKNOWN|status code 404": "check the reference; some registries also answer this if you are not logged in",
    r"refused|no such host|no route|timeout": "check that the registry is running, and its name, its port and the proxies",
}
"""By what crane says last: what can be done about it. The first that is found counts."""


def push(path: Path, reference: str, *, insecure: bool = False) -> str:
    """Push a docker-save archive, an OCI archive or an OCI layout folder; returns the manifest's digest in the registry.

    Raises UsageError for a bad reference, ArchiveError for what is no archive, MissingError without crane, CommandError.
    """
    in_registry(reference)
    with _pushable(path) as ready:
        many = ["--index"] if ready.is_dir() and _manifest_count(ready) > 1 else []
        argv: list[str | Path] = [
            find("crane").path,
            *(["--insecure"] if insecure else []),
            "push",
            *many,
            ready,
            reference,
        ]
        try:
            done = run(argv, timeout=600.0)
        except CommandError as error:
            text = "\n".join(error.tail)
            hint = next((hint for pattern, hint in HINTS.items() if re.search(pattern, text)), None)
            raise error.reworded(error.reason, error.tail, hint) from None
    match = _PUSHED.search(done.output)
    if match is None:
        raise DeadweightError(wording("toolchain.no_digest", reference=reference, output=done.output.strip()[-200:]))
    return match.group(1)


@contextmanager
def _pushable(path: Path) -> Iterator[Path]:
    """What crane can push: it reads docker-save archives and layout folders, so an OCI archive is laid out first.

    So is one that is both (engines from 25 on) if its layers are packed: then what arrives has the very digest that was looked at.
    Of plain layers crane makes packed ones, and a manifest over these.
    """
    if path.is_dir():
        yield path
        return
    try:
        with tarfile.open(path, "r:*") as archive:
            names = {member.name.removeprefix("./") for member in archive}
        as_saved = "index.json" not in names
        if "manifest.json" in names and not as_saved:
            with images.open_archive(path) as opened:
                as_saved = any(layer.compression == "none" for layer in opened.image.layers)
        if as_saved:
            yield path
            return
        with tempfile.TemporaryDirectory(prefix="deadweight-push-") as folder:
            _lay_out(path, Path(folder))
            yield Path(folder)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise ArchiveError(wording("toolchain.no_archive", path=path, problem=error)) from error


def _lay_out(path: Path, folder: Path) -> None:
    """Copy the members that an OCI layout has, by their exact names; nothing else of the archive is written."""
    (folder / "blobs" / "sha256").mkdir(parents=True)
    with tarfile.open(path, "r:*") as archive:
        for member in archive:
            name = member.name.removeprefix("./")
            source = archive.extractfile(member) if member.isreg() else None
            if source is not None and (name in {"oci-layout", "index.json"} or _BLOB.fullmatch(name)):
                with (folder / name).open("wb") as target:
                    shutil.copyfileobj(source, target, 1 << 20)


def _manifest_count(folder: Path) -> int:
    try:
        return len(json.loads((folder / "index.json").read_bytes())["manifests"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArchiveError(wording("toolchain.no_layout", path=folder, problem=error)) from error
