"""Files of Maven's central repository, fetched without Maven and verified by a digest that is told here.

Its address is nobody's to write down twice: the user's own settings tell a mirror, Maven's own program tells the rest.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
import zipfile
from pathlib import Path
from xml.etree import ElementTree

from deadweight._errors import MissingError
from deadweight.records import store
from deadweight_standins.download import download
from deadweight_standins.workshop import Workshop

PROGRAM, SUPER_POM = "libmaven3-core-java", "org/apache/maven/model/pom-4.0.0.xml"
"""The OS's package of Maven, and the model in it that every project inherits: it names the central repository."""


def fetch(shop: Workshop, path: str, sha256: str) -> Path:
    """The file at ``path`` in the repository, kept in the workshop. Raises MissingError: out of reach, or another digest."""
    target = shop.folder / "jars" / path.rpartition("/")[2]
    if target.is_file():
        return target
    raw = download(f"{central(shop)}/{path}", "Maven's repository")
    if hashlib.sha256(raw).hexdigest() != sha256:
        raise MissingError(
            f"{target.name} was changed on the way: its digest is not its publisher's",
            hint="run the command again; if it stays, look at the mirror or proxy on the way",
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    store.write_atomically(target, raw)
    return target


def central(shop: Workshop) -> str:
    """The address of the central repository, or of the user's mirror of it, without a slash at its end."""
    mirror = mirror_of_central(Path.home() / ".m2" / "settings.xml")
    return (mirror or shop.once("Maven's central repository", lambda: _programs_own(shop))).rstrip("/")


def mirror_of_central(settings: Path) -> str | None:
    """The mirror that a user's Maven settings name for the central repository. One that needs credentials answers with an error."""
    try:
        root = ElementTree.fromstring(settings.read_text(encoding="utf-8"))  # noqa: S314 - the user's own file
    except (OSError, ValueError, ElementTree.ParseError):
        return None
    for mirror in root.iterfind("{*}mirrors/{*}mirror"):
        names = {name.strip() for name in mirror.findtext("{*}mirrorOf", "").split(",")}
        if names & {"*", "central", "external:*"} and "!central" not in names:
            return mirror.findtext("{*}url", "").strip() or None
    return None


def _programs_own(shop: Workshop) -> str:
    """What Maven itself asks: this machine's, or the OS's package of it, of which nothing is run."""
    program = shutil.which("mvn")
    here = sorted((Path(program).resolve().parent.parent / "lib").glob("maven-model-builder-*.jar")) if program else []
    if here:
        return _told_by(here[0])
    candidates = next(iter(shop.packages.latest([PROGRAM]).values()), [])
    if not candidates:
        raise MissingError(f"apt has no package {PROGRAM}, whose files name Maven's central repository")
    shop.packages.download([PROGRAM])
    with tempfile.TemporaryDirectory(prefix="deadweight-maven-", dir=shop.folder) as work:
        shop.packages.extract(shop.packages.folder / candidates[0].file, Path(work))
        return _told_by(next(path for path in sorted(Path(work).rglob("maven3-model-builder*.jar")) if path.is_file()))


def _told_by(jar: Path) -> str:
    with zipfile.ZipFile(jar) as model:
        found = re.search(r"<url>(https://[^<]+)</url>", model.read(SUPER_POM).decode("utf-8"))
    if found is None:
        raise MissingError(
            "the OS's Maven package names no central repository",
            hint="name the repository in ~/.m2/settings.xml, or use another source: invoke setup --source registry",
        )
    return found[1]
