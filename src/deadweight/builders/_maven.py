"""What the jib builder knows of Maven: the pom.xml, the call, its environment, and folders of a project."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from deadweight._errors import ConfigError
from deadweight.builders import _common
from deadweight.builders._pom import CONTAINERIZE, Poms, output_folders, read_poms
from deadweight.builders.protocol import Site, WrongKey
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
    module, last = variant.args.get(CONTAINERIZE), phase(variant, poms)
    words += ["-pl", module, "-am"] if module else []
    words += ["-Dmaven.test.skip=true"] if last == "package" and not variant.tests else []
    return [*words, last, goal]


def phase(variant: Variant, poms: Poms) -> str:
    """How far Maven goes before Jib: modules reach each other as jars only, so Jib's documentation asks for `package` there."""
    if CONTAINERIZE in variant.args or poms.need_package(variant.args.get("jib.containerizingMode", "")):
        return "package"
    return "test" if variant.tests else "compile"


def check(variant: Variant, root: Path) -> None:
    """Raises ConfigError: no pom, one that does not parse, a module that is not named, a build that would push by itself."""
    source = root / variant.source
    if not variant.pom and not (source / "pom.xml").exists():
        raise WrongKey(variant, "source", "neither a pom.xml nor a Gradle build", source)
    file = _common.need_file(variant, "pom", source, variant.pom or "pom.xml", wide=True)
    poms = read_poms(variant, root)
    modules = poms.called[0].modules
    if modules and CONTAINERIZE not in variant.args:
        raise WrongKey(
            variant,
            ("args", CONTAINERIZE),
            f"several modules ({', '.join(modules)}): which one becomes the image?",
            file,
            hint=f'args: {{{CONTAINERIZE}: ":ARTIFACT-ID"}}',
        )
    last = phase(variant, poms)
    publishing = poms.publishing(last)
    if publishing is not None:
        place, bound = publishing
        raise ConfigError(
            f"{bound.goal} of jib-maven-plugin is bound to {bound.phase}: `mvn {last}`, which a build of {variant.name} calls,"
            f" would {'push' if bound.goal == 'build' else 'load'} an image",
            file=place,
            line=bound.line,
            hint="move this execution to a profile, or to a later phase, for example deploy",
        )


def environment(site: Site) -> dict[str, str]:
    """Maven's environment: the source's variables, the JDK that we found, and a JVM set for a short life."""
    from deadweight.toolchain.find import find

    return {
        **site.source.environment().variables,
        "JAVA_HOME": str(find("java").path.resolve().parent.parent),
        "MAVEN_OPTS": os.environ.get("MAVEN_OPTS") or SHORT_LIVED,
    }


def outputs(variant: Variant, root: Path) -> tuple[str, ...]:
    """Folders that builds write, relative to the source: those of the modules, and of what only a profile may make one."""
    source = root / variant.source
    found = [source / "target", *output_folders(variant, root)]
    for folder, names, files in os.walk(source):
        names[:] = sorted(name for name in names if not name.startswith(".") and name not in ("target", "src"))
        if "pom.xml" in files:
            found.append(Path(folder) / "target")
    return tuple(dict.fromkeys(place.relative_to(source).as_posix() for place in found))


class Sources:
    """Which files the last build compiled. Maven keeps classes of sources that are gone: then it must begin anew."""

    def __init__(self, variant: Variant, site: Site, ignore: tuple[str, ...], outputs: tuple[str, ...]) -> None:
        self.source = site.root / variant.source
        self.note = site.state.image(variant.name) / "sources.txt"
        self.skip = {self.source / name for name in ignore}
        self.outputs = tuple(self.source / name for name in outputs)
        self.now = frozenset(self._walk())

    def tidy(self) -> None:
        """Remove compiled classes where a source is gone since, or where we do not know what they were made of."""
        try:
            before = frozenset(self.note.read_text(encoding="utf-8", errors="surrogateescape").split("\0"))
        except OSError:
            before = None
        if before is None or before - self.now:
            for folder in self.outputs:
                web = [place.parent for place in folder.glob("*/WEB-INF")]  # what a war is made of holds classes too
                for place in (folder / "classes", folder / "maven-status", *web):
                    shutil.rmtree(place, ignore_errors=True)

    def remember(self) -> None:
        self.note.write_text("\0".join(sorted(self.now)), encoding="utf-8", errors="surrogateescape")

    def _walk(self) -> list[str]:
        found = []
        for folder, names, files in os.walk(self.source):
            here = Path(folder)
            names[:] = [name for name in names if here / name not in self.skip and name != ".git"]
            found += [(here / name).relative_to(self.source).as_posix() for name in files]
        return found
