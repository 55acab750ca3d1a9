"""What the jib builder knows of Maven: the pom.xml, the call, its environment, and folders of a project."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from deadweight.builders._pom import CONTAINERIZE, read_poms
from deadweight.builders.protocol import Site
from deadweight.suite.model import Variant

JIB = "com.google.cloud.tools:jib-maven-plugin"
JIB_VERSION = "3.5.2"
OFFLINE_VARIABLE = "DEADWEIGHT_MAVEN_OFFLINE"
"""Set it to build from the local repository alone (``mvn --offline``)."""

SHORT_LIVED = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
"""A build is over before the JVM's second compiler pays: this halves a small one (2.8 s for 5.1 s). A user's MAVEN_OPTS win."""


def call(variant: Variant, site: Site, work: Path) -> list[str | Path]:
    """Maven's call up to the properties of Jib. Writes proxies, passwords included, to a file in ``work`` (mode 0700)."""
    from deadweight.sources.java import maven_settings, trust_store
    from deadweight.toolchain.find import find

    words: list[str | Path] = [find("mvn").path, "-B", "-ntp", "-Dstyle.color=never"]
    words += ["--offline"] if os.environ.get(OFFLINE_VARIABLE) else []
    words += ["-f", variant.pom] if variant.pom else []
    environment = site.source.environment()
    if environment.ca_bundle is not None:
        words.append(f"-Djavax.net.ssl.trustStore={trust_store(site.state, environment.ca_bundle)}")
    settings = maven_settings(environment.variables)
    if settings is not None:
        (work / "maven-settings.xml").write_text(settings, encoding="utf-8")
        words += ["-gs", work / "maven-settings.xml"]
    poms = read_poms(variant, site.root)
    # the short name is known where a pom.xml has the plugin; with modules, in each of them
    goal = "jib:buildTar" if poms.share_jib else f"{JIB}:{poms.jib_version or JIB_VERSION}:buildTar"
    module = variant.args.get(CONTAINERIZE)
    if module:
        # modules reach each other as jars only, so Jib's documentation asks for `package` here
        return [*words, "-pl", module, "-am", *([] if variant.tests else ["-Dmaven.test.skip=true"]), "package", goal]
    return [*words, "test" if variant.tests else "compile", goal]


def environment(site: Site) -> dict[str, str]:
    """Maven's environment: the source's variables, the JDK that we found, and a JVM set for a short life."""
    from deadweight.toolchain.find import find

    return {
        **site.source.environment().variables,
        "JAVA_HOME": str(find("java").path.resolve().parent.parent),
        "MAVEN_OPTS": os.environ.get("MAVEN_OPTS") or SHORT_LIVED,
    }


def modules(source: Path) -> tuple[str, ...]:
    """The folders with a pom.xml, relative to the source: each has its own ``target``."""
    found = []
    for folder, names, files in os.walk(source):
        names[:] = sorted(name for name in names if not name.startswith(".") and name not in ("target", "src"))
        if "pom.xml" in files:
            found.append(Path(folder).relative_to(source).as_posix())
    return tuple(found)


def outputs(source: Path) -> tuple[str, ...]:
    """Folders that builds write, relative to the source."""
    return tuple("target" if name == "." else f"{name}/target" for name in modules(source)) or ("target",)


class Sources:
    """Which files the last build compiled. Maven keeps classes of sources that are gone: then it must begin anew."""

    def __init__(self, variant: Variant, site: Site, ignore: tuple[str, ...]) -> None:
        self.source = site.root / variant.source
        self.note = site.state.image(variant.name) / "sources.txt"
        self.skip = {self.source / name for name in ignore}
        self.now = frozenset(self._walk())

    def tidy(self) -> None:
        """Remove compiled classes where a source is gone since, or where we do not know what they were made of."""
        try:
            before = frozenset(self.note.read_text(encoding="utf-8", errors="surrogateescape").split("\0"))
        except OSError:
            before = None
        if before is None or before - self.now:
            for name in outputs(self.source):
                shutil.rmtree(self.source / name / "classes", ignore_errors=True)
                shutil.rmtree(self.source / name / "maven-status", ignore_errors=True)

    def remember(self) -> None:
        self.note.write_text("\0".join(sorted(self.now)), encoding="utf-8", errors="surrogateescape")

    def _walk(self) -> list[str]:
        found = []
        for folder, names, files in os.walk(self.source):
            here = Path(folder)
            names[:] = [name for name in names if here / name not in self.skip and name != ".git"]
            found += [(here / name).relative_to(self.source).as_posix() for name in files]
        return found
