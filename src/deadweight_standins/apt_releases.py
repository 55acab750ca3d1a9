"""Choose the Debian or Ubuntu release that a stand-in is made from, and write apt sources, or a local apt repository, for it.

A machine on Debian 12 reaches Debian 13's packages at the same addresses: only the name changes. So a base that asks for a newer
release, or a language that only a newer one has, is made of that one. The machine's own apt state is never touched.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from deadweight import _run
from deadweight_standins.machine import Machine

SID = "sid"
DEBIAN = {"11": "bullseye", "12": "bookworm", "13": "trixie", "14": "forky"}
_MADE_OF = ("bookworm", "trixie", SID)
"""Releases that stand-ins are made of, beside the machine's own."""

ETC = Path("/etc/apt")


def of_tag(tag: str, own: str) -> str:
    """The release that an image's tag asks for (``13-slim``, ``trixie``), or the machine's ``own`` where there is no such one."""
    word = tag.partition("-")[0].partition(".")[0]
    named = DEBIAN.get(word, word)
    return named if named in _MADE_OF and own in _MADE_OF else own


def sources(own: str, suite: str) -> str:
    """The machine's package sources of the OS itself for ``suite``, in deb822 form; others' repositories are left out."""
    return "\n".join(_format_stanza(stanza) for stanza in entries(own, suite))


def entries(own: str, suite: str) -> list[dict[str, str]]:
    """The same as fields: ``uris``, ``suites``, ``components``, and ``signed-by`` where it says one.

    Credentials in an address are left out: builds see what this gives.
    """
    files, stanzas = [ETC / "sources.list", *sorted((ETC / "sources.list.d").glob("*"))], []
    for stanza in (stanza for file in files for stanza in _stanzas(file)):
        named = stanza["suites"].split()
        if not any(name == own or name.startswith(f"{own}-") for name in named):
            continue
        renamed = [re.sub(rf"^{own}", suite, name) for name in named]
        if suite == SID:  # it has neither updates nor a security archive
            renamed = [name for name in renamed if name == SID]
        if renamed:
            uris = re.sub(r"://[^/@\s]+@", "://", stanza["uris"])
            stanzas.append({**stanza, "uris": uris, "suites": " ".join(renamed)})
    return stanzas


def settings() -> str:
    """What the machine's apt does not check, which a suite that it does not use itself needs as well."""
    lines = _run.run(["apt-config", "dump"]).output.splitlines()
    return "".join(f"{line}\n" for line in lines if re.match(r"Acquire::Check-(?:Valid-Until|Date) ", line))


def _stanzas(file: Path) -> list[dict[str, str]]:
    """A file's entries, in either form. Source: sources.list(5)."""
    if not file.is_file() or file.suffix not in (".list", ".sources"):
        return []
    stanzas, text = [], file.read_text(encoding="utf-8", errors="replace")
    if file.suffix == ".sources":
        return _deb822(text)
    for line in text.splitlines():
        match = re.match(r"deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)\s+([^#]+)", line.strip())
        if match:
            signed = re.search(r"signed-by=(\S+)", match[1] or "")
            stanza = {"uris": match[2], "suites": match[3], "components": match[4].strip()}
            stanzas.append({**stanza, **({"signed-by": signed[1]} if signed else {})})
    return stanzas


def _deb822(text: str) -> list[dict[str, str]]:
    stanzas = []
    for block in re.split(r"\n\s*\n", text):
        pairs = (line.partition(":") for line in block.splitlines() if not line.startswith("#"))
        fields = {key.strip().lower(): value.strip() for key, _, value in pairs if value}
        if "deb" in fields.get("types", "").split() and {"uris", "suites", "components"} <= fields.keys():
            stanzas.append(fields)
    return stanzas


def _format_stanza(stanza: dict[str, str]) -> str:
    signed = stanza.get("signed-by", "")
    lines = ["Types: deb", *(f"{key}: {stanza[key.lower()]}" for key in ("URIs", "Suites", "Components"))]
    lines += [f"Signed-By: {signed}"] if signed.startswith("/usr/share/keyrings/") else []
    return "\n".join([*lines, ""])


# A flat apt repository over some packages, which mmdebstrap makes a root file system from.
def repository_of(packages: Iterable[Path], machine: Machine, suite: str, target: Path) -> Path:
    """A flat apt repository of links to the packages, with a Release file: mmdebstrap takes the essential ones of that suite."""
    target.mkdir(parents=True)
    target.parent.chmod(0o755)
    stanzas = []
    for package in sorted(packages):
        link = target / package.name.replace("%3a", "_")
        try:
            os.link(package, link)
        except OSError:
            shutil.copy(package, link)
        control = _run.run(["dpkg-deb", "--field", package]).output.rstrip("\n")
        with package.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        stanzas.append(f"{control}\nFilename: ./{link.name}\nSize: {package.stat().st_size}\nSHA256: {digest}\n")
    index = "\n".join(stanzas).encode()
    (target / "Packages").write_bytes(index)
    (target / "Release").write_text(
        f"Suite: stable\nCodename: {suite}\nArchitectures: {machine.deb}\n"
        f"Date: Thu, 01 Jan 1970 00:00:00 UTC\nSHA256:\n {hashlib.sha256(index).hexdigest()} {len(index)} Packages\n"
    )
    return target
