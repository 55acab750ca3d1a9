"""Makes ``known.json``: ``python -m bench.known_files FOLDER``.

FOLDER holds a folder for each origin, named ``SOURCE NAME VERSION`` (``go linux-amd64 1.26.8``, ``debian gcc-12 12.2.0-14``), with
its files as they are installed. ``--fetch`` fills it first with what ``known_sources.json`` names, by the tools that are here (go,
apt-get, pip, npm) and from where they are set up to look. A file that has a secret in it, by any rule and with any confidence, or
that could not be looked into wholly, is left out and told.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path

from deadweight_images.secrets.regions import LEAST_BYTES, rules_digest
from deadweight_images.secrets.scanner import Scanner


def origin(folder: Path) -> dict[str, tuple[int, str]]:
    """The large files of an origin by digest, each with its size in bytes and its path; says what it leaves out."""
    files: dict[str, tuple[int, str]] = {}
    scanner = Scanner.default()
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not path.is_file() or path.stat().st_size < LEAST_BYTES:
            continue
        name, data = str(path.relative_to(folder)), path.read_bytes()
        scan = scanner.scan(data, path=name)
        if scan.matches or scan.skipped:
            why = [match.rule for match in scan.matches] or [skip.reason for skip in scan.skipped]
            say(f"left out: {folder.name}: {name}: {', '.join(sorted(set(why)))}")
        else:
            files[hashlib.sha256(data).hexdigest()] = (len(data), name)
    return files


def written(origins: dict[str, dict[str, tuple[int, str]]]) -> str:
    """The document, a line for each file, each file once."""
    lines, seen = [], set[str]()
    for name, entries in sorted(origins.items()):
        own = {digest: list(entry) for digest, entry in entries.items() if digest not in seen}
        seen |= own.keys()
        if own:
            rows = ",\n".join(f"   {json.dumps(digest)}: {json.dumps(entry)}" for digest, entry in own.items())
            lines.append(f"  {json.dumps(name)}: {{\n{rows}\n  }}")
    body = ",\n".join(lines)
    return f'{{\n "rules": "{rules_digest()}",\n "origins": {{\n{body}\n }}\n}}\n'


def fetch(folder: Path) -> None:
    """Fill the folder; what a source does not have is said and left out."""
    wanted = json.loads((files("deadweight_images") / "secrets" / "known_sources.json").read_bytes())
    for version in wanted["go"]:
        _fetched(_go, folder, version)
    for suite, package in itertools.product(wanted["debian"]["suites"], wanted["debian"]["packages"]):
        _fetched(_debian, folder, suite, package)
    for python, package in itertools.product(wanted["pypi"]["pythons"], wanted["pypi"]["packages"]):
        _fetched(_pypi, folder, python, package)
    for package in wanted["npm"]:
        _fetched(_npm, folder, package)


def _fetched(fetcher: Callable[..., None], folder: Path, *words: str) -> None:
    try:
        fetcher(folder, *words)
    except (subprocess.SubprocessError, OSError, ValueError) as error:
        lines = str(getattr(error, "stderr", "") or error).strip().splitlines() or ["no reason"]
        say(f"not had: {fetcher.__name__[1:]} {' '.join(words)}: {lines[-1]}")


def _go(folder: Path, version: str) -> None:
    root = _output("go", "env", "GOROOT", cwd=folder, env={"GOTOOLCHAIN": f"go{version}"})
    (folder / f"go linux-amd64 {version}").symlink_to(root.strip())


def _debian(folder: Path, suite: str, package: str) -> None:
    """From the same mirror as this machine's packages, in the other suite where that is asked for."""
    work = folder.parent / "debs"
    options = _apt(work, suite)
    before = set(work.glob("*.deb"))
    _output("apt-get", *options, "download", package, cwd=work)
    for archive in set(work.glob("*.deb")) - before:
        name, version = _output("dpkg-deb", "-f", str(archive), "Package", "Version").split("\n")[:2]
        words = (name.removeprefix("Package: "), version.removeprefix("Version: ").partition(":")[2] or version[9:])
        _output("dpkg-deb", "-x", str(archive), str(folder / f"debian {' '.join(words)}".strip()))


def _apt(work: Path, suite: str) -> tuple[str, ...]:
    lists = work / suite
    options = (
        "-o",
        f"Dir::Etc::sourcelist={lists}.list",
        "-o",
        "Dir::Etc::sourceparts=-",
        "-o",
        f"Dir::State::lists={lists}",
    )
    if not lists.is_dir():
        (lists / "partial").mkdir(parents=True)
        output = _output("apt-get", "indextargets", "--format", "$(SITE) $(RELEASE)", "Created-By: Packages")
        here = Path("/etc/os-release").read_text().partition("VERSION_CODENAME=")[2].split()[0]
        places = dict.fromkeys(line.replace(here, suite) for line in output.splitlines())
        (work / f"{suite}.list").write_text("".join(f"deb {place} main\n" for place in places))
        _output("apt-get", *options, "update")
    return options


def _pypi(folder: Path, python: str, package: str) -> None:
    work = folder.parent / "wheels" / python
    words = (
        "--no-deps",
        "--only-binary=:all:",
        "--python-version",
        python,
        "--platform",
        "manylinux_2_28_x86_64",
        "--platform",
    )
    _output(sys.executable, "-m", "pip", "download", "-q", *words, "manylinux2014_x86_64", "-d", str(work), package)
    for wheel in work.glob(f"{package.replace('-', '_')}-*.whl"):
        into = folder / f"pypi {package} {wheel.name.split('-')[1]} Python {python}"
        _output(sys.executable, "-m", "zipfile", "-e", str(wheel), str(into))


def _npm(folder: Path, package: str) -> None:
    work = folder.parent / "npm"
    work.mkdir(exist_ok=True)
    (pack,) = json.loads(_output("npm", "pack", "--json", package, cwd=work))
    into = folder / f"npm {package.replace('/', ' ')} {pack['version']}"
    into.mkdir(exist_ok=True)
    _output("tar", "-xf", str(work / pack["filename"].replace("@", "").replace("/", "-")), "-C", str(into))


def _output(*words: str, cwd: Path | None = None, env: dict[str, str] | None = None) -> str:
    if cwd is not None:
        cwd.mkdir(parents=True, exist_ok=True)
    whole = {**os.environ, **(env or {})}
    return subprocess.run(words, cwd=cwd, env=whole, check=True, capture_output=True, text=True, timeout=600).stdout


def folders(root: Path) -> Iterator[Path]:
    """An origin's folder each."""
    return (path for path in sorted(root.iterdir()) if path.is_dir())


def say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.known_files", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--fetch", action="store_true", help="fill the folder first")
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    if asked.fetch:
        fetch(asked.folder.absolute())
    text = written({folder.name: origin(folder) for folder in folders(asked.folder)})
    Path(str(files("deadweight_images") / "secrets" / "known.json")).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
