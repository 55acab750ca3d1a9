"""Run crane, the registry client: push an image archive or layout folder, read manifests and blobs.

crane handles credentials itself (``docker login``'s config file and its helpers): they are in no argument and no output.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import ssl
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import IO, Any, cast

from deadweight._errors import ArchiveError, CommandError, DeadweightError, wording
from deadweight._packages import images
from deadweight._run import Completed, piped, run
from deadweight.records.reference import DOCKER_HUB, NO_MANIFEST, in_registry

_PUSHED = re.compile(r"@(sha256:[0-9a-f]{64})\s*$")
_BLOB = re.compile(r"blobs/sha256/[0-9a-f]{64}")
_HUB = "registry-1.docker.io"
_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
_SILENT_SECONDS = 60.0
MAX_MANIFEST_BYTES = 4 * 1024 * 1024
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
        done = _crane(insecure, "push", *many, str(ready), reference)
    match = _PUSHED.search(done.output)
    if match is None:
        raise DeadweightError(wording("toolchain.no_digest", reference=reference, output=done.output.strip()[-200:]))
    return match.group(1)


def manifest(reference: str, *, insecure: bool = False, env: Mapping[str, str] | None = None) -> dict[str, Any]:
    """A manifest as JSON. Raises CommandError where the registry refuses or has none; DeadweightError for other answers.

    ``env`` as in ``pulled``.
    """
    text = _crane(insecure, "manifest", str(in_registry(reference)), timeout=120, env=env).output
    return _parsed(text, reference, "a manifest")


def config(reference: str, platform: str, *, insecure: bool = False) -> dict[str, Any]:
    """The config of an image, of several that for this platform, as JSON. Raises as ``manifest``."""
    text = _crane(insecure, "config", "--platform", platform, str(in_registry(reference)), timeout=60).output
    return _parsed(text, reference, "an image config")


def _parsed(text: str, reference: str, what: str) -> dict[str, Any]:
    """Raises DeadweightError for what is not a JSON object of a fitting size."""
    try:
        document = json.loads(text) if len(text) <= MAX_MANIFEST_BYTES else None
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise DeadweightError(wording("toolchain.other_answer", reference=reference, expected=what), hint=NO_MANIFEST)
    return document


def platforms(reference: str, *, insecure: bool = False, env: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """The platforms (``linux/arm64/v8``) of a multi-platform image, attestations left out; empty for an image of one platform."""
    names = []
    for item in manifest(reference, insecure=insecure, env=env).get("manifests") or ():
        platform = item.get("platform") if isinstance(item, dict) else None
        if isinstance(platform, dict):
            parts = [str(platform.get(key) or "") for key in ("os", "architecture", "variant")]
            names += ["/".join(filter(None, parts))] if "unknown" not in parts else []
    return tuple(names)


def described(reference: str, *, insecure: bool = False) -> dict[str, Any]:
    """Descriptor (media type, digest, size in bytes) of a manifest, as an artifact's subject needs it. Raises as ``manifest``."""
    text = _crane(insecure, "manifest", str(in_registry(reference)), timeout=120).output
    kind = _parsed(text, reference, "a manifest").get("mediaType") or "application/vnd.oci.image.manifest.v1+json"
    content = text.encode()
    return {"mediaType": str(kind), "digest": f"sha256:{hashlib.sha256(content).hexdigest()}", "size": len(content)}


def text_blob(reference: str, digest: str, *, insecure: bool = False) -> str:
    """A blob that is UTF-8 text, checked against its digest. Raises CommandError, DeadweightError."""
    address = _at(reference, digest)
    text = _crane(insecure, "blob", address, timeout=300).output
    if hashlib.sha256(text.encode()).hexdigest() != digest.removeprefix("sha256:"):
        raise DeadweightError(wording("toolchain.other_digest", blob=address))
    return text


def _at(reference: str, digest: str) -> str:
    """What has this digest in the reference's repository. Raises UsageError for what is no digest."""
    return str(in_registry(f"{in_registry(reference).name}@{digest}"))


class Remote:
    """One reference in a registry, read without a copy on disk: what ``image.look.registry`` asks for.

    ``env`` as in ``pulled``. Its methods raise CommandError, with what can be done about it, and MissingError without crane.
    """

    def __init__(self, reference: str, *, insecure: bool = False, env: Mapping[str, str] | None = None) -> None:
        self._reference = str(in_registry(reference))
        self._insecure, self._env = insecure, env

    def manifest(self, digest: str | None = None) -> bytes:
        """What the reference names, or the manifest of that digest in its repository."""
        address = _at(self._reference, digest) if digest else self._reference
        with self._read("manifest", address) as stream:
            return stream.read(MAX_MANIFEST_BYTES + 1)

    def blob(self, digest: str) -> AbstractContextManager[IO[bytes]]:
        """A blob of the repository, as it comes."""
        return self._read("blob", _at(self._reference, digest))

    @contextmanager
    def rest(self, digest: str, offset: int) -> Iterator[IO[bytes]]:
        """A blob from that offset on, whose transfer broke off there. Raises OSError where it cannot be had.

        crane reads a blob from its beginning only: this is one request for a range (RFC 9110, 14.2), with the token that crane
        gets. Credentials stay its own business: it tells a header for one repository, which is sent to that registry and to no host
        that it refers to.
        """
        from urllib.request import HTTPSHandler, ProxyHandler, Request, build_opener

        place = in_registry(self._reference)
        plain = self._insecure or place.host.rpartition(":")[0] in _LOOPBACK or place.host in _LOOPBACK
        host = _HUB if place.host == DOCKER_HUB else place.host
        request = Request(f"{'http' if plain else 'https'}://{host}/v2/{place.repository}/blobs/{digest}")  # noqa: S310 - http(s) only
        request.add_header("Range", f"bytes={offset}-")
        with suppress(CommandError):  # a registry that asks for no token
            header = _crane(self._insecure, "auth", "token", "-H", place.name, timeout=60, env=self._env).output.strip()
            if token := header.removeprefix("Authorization:").strip():
                request.add_unredirected_header("Authorization", token)
        around = {**os.environ, **(self._env or {})}
        proxies = {key: around.get(f"{key}_proxy") or around.get(f"{key.upper()}_PROXY") for key in ("http", "https")}
        trusted = ssl.create_default_context(cafile=around.get("SSL_CERT_FILE"))
        reached = ProxyHandler({key: url for key, url in proxies.items() if url})
        with build_opener(reached, HTTPSHandler(context=trusted)).open(request, timeout=_SILENT_SECONDS) as answer:
            if answer.status != 206 or not str(answer.headers.get("Content-Range", "")).startswith(f"bytes {offset}-"):
                raise OSError(f"{host} gives no part of a blob")
            yield cast(IO[bytes], answer)

    @contextmanager
    def _read(self, *words: str) -> Iterator[IO[bytes]]:
        try:
            with piped(_command(self._insecure, words), env=self._env) as stream:
                yield stream
        except CommandError as error:
            raise _with_hint(error) from None


@contextmanager
def pulled(
    reference: str, *, platform: str | None = None, insecure: bool = False, env: Mapping[str, str] | None = None
) -> Iterator[Path]:
    """An image from a registry as an OCI layout folder, gone afterwards; all its platforms or one. Raises CommandError.

    ``env`` is added to our environment: proxies, and SSL_CERT_FILE for a private CA.
    """
    in_registry(reference)
    only = ["--platform", platform] if platform else []
    with tempfile.TemporaryDirectory(prefix="deadweight-pull-") as folder:
        _crane(insecure, "pull", "--format", "oci", *only, reference, f"{folder}/layout", env=env)
        yield Path(folder) / "layout"


def _crane(insecure: bool, *words: str, timeout: float = 600.0, env: Mapping[str, str] | None = None) -> Completed:
    """Run crane; a failure comes with what can be done about it. Raises CommandError, MissingError."""
    try:
        return run(_command(insecure, words), timeout=timeout, env=env)
    except CommandError as error:
        raise _with_hint(error) from None


def _command(insecure: bool, words: Sequence[str]) -> list[str]:
    from deadweight.toolchain.find import find

    return [str(find("crane").path), *(["--insecure"] if insecure else []), *words]


def _with_hint(error: CommandError) -> CommandError:
    """The same failure with what can be done about it."""
    text = "\n".join(error.tail)
    hint = next((hint for pattern, hint in HINTS.items() if re.search(pattern, text)), None)
    return error.reworded(error.reason, error.tail, hint)


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
