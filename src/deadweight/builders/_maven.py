"""What the jib builder knows of Maven: the pom.xml, the environment, extra files of the image, and what its failures mean."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.parsers import expat

from deadweight._errors import ConfigError
from deadweight.builders import _common
from deadweight.builders.protocol import Site
from deadweight.records.built import Base
from deadweight.suite.model import Variant

MAX_POM_BYTES = 4 * 2**20
OFFLINE_VARIABLE = "DEADWEIGHT_MAVEN_OFFLINE"
"""Set it to build from the local repository alone (``mvn -o``)."""

_CAUSES = (
    (r"Could not (?:resolve|transfer|find) (?:dependencies|artifact) .*?([\w.-]+:[\w.-]+:[\w:.-]+)", ("Maven could not get {0}: check the "
     f"network and proxy; {OFFLINE_VARIABLE}=1 builds from the local repository alone")),
    (r"in offline mode and the artifact ([\w.-]+:[\w.-]+:[\w:.-]+) has not been downloaded", ("{0} is not in the local repository: "
     f"build once with the network, without {OFFLINE_VARIABLE}")),
    (r"Main class was not found", "name the main class: main: in the variant"),
    (r"Multiple valid main classes were found: ([\w., $]+)", "name one of them ({0}): main: in the variant"),
    (r"(?:release version|invalid target release:?) (\d+)", "the service wants Java {0}: invoke doctor shows which JDK is used"),
    (r"There are test failures|Failed to execute goal .*surefire", "the service's own tests fail; the log has them"),
    (r"Unauthorized for|HTTP 401|401 Unauthorized", "the registry wants credentials: log in with `docker login`"),
    (r"Unable to find .*platform|platform.*not found|does not match the requested platform", "the base has no image for this architecture"),
)  # fmt: skip


@dataclass(frozen=True)
class Pom:
    """What matters of a pom.xml: whether it names the Jib plugin itself."""

    names_jib: bool


def read_pom(file: Path) -> Pom:
    """Parse a pom.xml without following entities. Raises ConfigError with the line where it is not well-formed."""
    data = file.read_bytes()
    if len(data) > MAX_POM_BYTES:
        raise ConfigError("is larger than 4 MiB", file=file)
    names: list[str] = []
    path: list[str] = []
    parser = expat.ParserCreate()
    parser.StartElementHandler = lambda name, _: path.append(name)
    parser.EndElementHandler = lambda _: path.pop()
    parser.CharacterDataHandler = lambda text: names.append(text.strip()) if path[-1:] == ["artifactId"] else None

    def refuse(*_: object) -> None:
        raise ConfigError("declares entities, which a pom.xml does not need", file=file, line=parser.CurrentLineNumber)

    parser.EntityDeclHandler = refuse
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        raise ConfigError(
            f"is not well-formed XML: {expat.ErrorString(error.code)}", file=file, line=error.lineno
        ) from None
    return Pom("jib-maven-plugin" in names)


def donors(variant: Variant) -> dict[str, tuple[str, str]]:
    """Files of other images, by their path in this one: (image reference, path there)."""
    found = {}
    for target, given in variant.files.items():
        image, mark, path = given.partition("#")
        if mark:
            found[target] = (image, path)
    return found


def local_files(variant: Variant) -> dict[str, str]:
    return {target: given for target, given in variant.files.items() if "#" not in given}


def lay_out(variant: Variant, site: Site, bases: Mapping[str, Base], folder: Path) -> dict[str, str]:
    """Put the extra files below ``folder`` as they shall lie in the image; gives their modes for Jib (octal text)."""
    modes: dict[str, str] = {}
    for target, (_, path) in donors(variant).items():
        content, mode = _from_image(bases[target], path)
        modes[target] = _put(folder, target, mode)
        _place(folder, target).write_bytes(content)
    for target, name in local_files(variant).items():
        source = site.root / name
        if source.is_dir():
            shutil.copytree(source, _place(folder, target), symlinks=True)
        else:
            modes[target] = _put(folder, target, source.stat().st_mode)
            shutil.copyfile(source, _place(folder, target))
    return modes


def _from_image(base: Base, path: str) -> tuple[bytes, int]:
    from deadweight.image.readfile import read_file
    from deadweight.toolchain.crane import pulled

    with pulled(_common.pinned(base), platform=f"linux/{_common.architecture().oci}") as layout:
        return read_file(layout, path)


def _put(folder: Path, target: str, mode: int) -> str:
    _place(folder, target).parent.mkdir(parents=True, exist_ok=True)
    return "755" if mode & 0o111 else "644"


def _place(folder: Path, target: str) -> Path:
    parts = [part for part in target.split("/") if part not in ("", ".", "..")]
    return folder.joinpath(*parts)


def mapping(variant: Variant, key: str, values: Mapping[str, str]) -> str:
    """Jib's ``a=b,c=d``. Raises ConfigError for a comma, which it cannot carry."""
    for name, value in values.items():
        if "," in name or "," in value:
            raise ConfigError("Jib takes no comma here", file=f"variants.{variant.name}.{key}", key=name)
    return ",".join(f"{name}={value}" for name, value in values.items())


def on_loopback(reference: str) -> bool:
    """Whether a reference's registry is on this machine: only there may Jib do without TLS."""
    host = reference.partition("/")[0].rpartition(":")[0] or reference.partition("/")[0]
    return host == "localhost" or host.startswith("127.") or host == "[::1]"


def offline() -> list[str]:
    return ["-o"] if os.environ.get(OFFLINE_VARIABLE) else []


def environment(site: Site) -> dict[str, str]:
    """Maven's environment: the JDK that we found, and the source's proxies as Java's own properties."""
    from urllib.parse import urlsplit

    from deadweight.toolchain.find import find

    java = find("java").path.resolve()
    values = dict(site.source.environment().variables)
    options = [os.environ.get("MAVEN_OPTS", "")]
    for scheme in ("http", "https"):
        proxy = urlsplit(values.get(f"{scheme.upper()}_PROXY") or values.get(f"{scheme}_proxy") or "")
        if proxy.hostname:
            options.append(f"-D{scheme}.proxyHost={proxy.hostname} -D{scheme}.proxyPort={proxy.port or 80}")
    return {
        **values,
        "JAVA_HOME": str(java.parent.parent),
        "MAVEN_OPTS": " ".join(option for option in options if option),
    }


def likely_cause(log: Path) -> str | None:
    """The hint that fits Maven's last words, None where none does."""
    try:
        text = log.read_text(encoding="utf-8", errors="replace")[-40_000:]
    except OSError:
        return None
    text = text[text.rfind("\n$ ") :] if "\n$ " in text else text
    for pattern, hint in _CAUSES:
        match = re.search(pattern, text)
        if match:
            return hint.format(*match.groups())
    return None
