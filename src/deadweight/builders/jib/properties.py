"""What Jib is told by properties (``-Djib.…``), and which of them are not the suite's to set."""

from __future__ import annotations

import re
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from deadweight.builders.jib import gradle
from deadweight.builders.jib.pom import read_poms
from deadweight.builders.jib.variant import JibVariant
from deadweight.builders.protocol import Site
from deadweight.builders.shared import common
from deadweight.records.built_image import Base

OURS = (
    *("jib.from.image", "jib.from.platforms", "jib.to.image", "jib.outputPaths."),
    *("jib.baseImageCache", "jib.applicationCache"),
)
_LINE_END = re.compile("[\n\r\x85\u2028\u2029]")  # of Java's patterns
SAID_BY = {
    "jib.from.image": "set base: to the base image",
    "jib.to.image": "the image is named after its variant; to publish it under another name, use invoke push --to",
}


def is_gradle(variant: JibVariant, source: Path) -> bool:
    return not variant.pom and not (source / "pom.xml").exists() and gradle.is_build(source)


def properties_of(variant: JibVariant, site: Site, base: Base, work: Path, name: str) -> dict[str, str]:
    """What Jib is told. A property goes before what a build file configures, so what the suite leaves open stays open here."""
    cache = site.state.cache / "jib"
    found = {
        "jib.from.image": common.pinned(base),
        "jib.from.platforms": f"linux/{common.architecture().oci}",
        "jib.to.image": name,
        "jib.outputPaths.tar": str(work / "image.tar"),
        "jib.outputPaths.digest": str(work / "digest"),
        "jib.outputPaths.imageId": str(work / "image-id"),
        "jib.outputPaths.imageJson": str(work / "image.json"),
        "jib.baseImageCache": str(cache / "bases"),
        "jib.applicationCache": str(cache / "layers"),
        "jib.console": "plain",
        "jib.disableUpdateChecks": "true",
    }
    if not _names_jib(variant, site.root):
        found["jib.container.user"] = "65532:65532"
        found |= {"jib.container.ports": str(variant.port)} if variant.port is not None else {}
    if variant.run.user:
        found["jib.container.user"] = variant.run.user
    if _on_loopback(base.resolved):
        found["jib.allowInsecureRegistries"] = "true"  # only there may Jib do without TLS
    if variant.main:
        found["jib.container.mainClass"] = variant.main
    if variant.env:
        found["jib.container.environment"] = _environment(variant, site)
    return {**found, **variant.args}


def _on_loopback(reference: str) -> bool:
    try:
        host = urlsplit(f"//{reference}").hostname or ""
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _names_jib(variant: JibVariant, root: Path) -> bool:
    source = root / variant.source
    if is_gradle(variant, source):
        return gradle.names_jib(source)
    return read_poms(variant, root).name_jib


def extra_files(variant: JibVariant, work: Path, executable: dict[str, str]) -> dict[str, str]:
    found = {"jib.extraDirectories.paths": _item(str(work / "extra"))} if variant.files else {}
    if executable:
        # a path is a pattern too, and cannot have the sign that ends it
        modes = (f"{_item(path.replace('=', '?'))}={mode}" for path, mode in executable.items())
        found["jib.extraDirectories.permissions"] = ",".join(modes)
    return found


def _item(text: str) -> str:
    r"""A part of one of Jib's lists: they are parted at commas, but not at ``\,``."""
    return text.replace(",", "\\,")


def _environment(variant: JibVariant, site: Site) -> str:
    """Raises ConfigError for what cannot be said in Jib's way."""
    for name, value in variant.env.items():
        if value.endswith("\\") or "," in name or "=" in name or _LINE_END.search(value):
            raise site.suite.error(
                variant,
                "env",
                f"{name}: Jib cannot pass a name with a comma or =, or a value with a line break or a backslash at its end",
                hint="set it at run time instead: run.env",
            )
    return ",".join(_item(f"{name}={value}") for name, value in sorted(variant.env.items()))
