"""Call Maven for the jib builder: check the pom.xml, build the command and environment, find folders."""

from __future__ import annotations

import codecs
import contextlib
import hashlib
import json
import locale
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from deadweight._errors import ConfigError, wording
from deadweight.builders.jib.pom import CONTAINERIZE, Poms, modules_outside, output_folders, read_poms
from deadweight.builders.jib.resident_maven import multi_module
from deadweight.builders.protocol import Site, WrongKey
from deadweight.builders.shared import common
from deadweight.builders.shared.common import OFFLINE_VARIABLE
from deadweight.builders.variants import JibVariant
from deadweight.records import store
from deadweight.records.paths import STATE_DIR

JIB = "com.google.cloud.tools:jib-maven-plugin"
JIB_VERSION = "3.5.2"

_COMPILED = ("classes", "test-classes", "generated-sources", "generated-test-sources", "maven-status")
MAX_READ_BYTES = 2**20
_BESIDE = "(beside)"

SHORT_LIVED = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
"""A build is over before the JVM's second compiler pays: this halves a small one (2.8 s for 5.1 s). A user's MAVEN_OPTS win."""

_OPENED = (
    *(f"java.base/java.{name}" for name in ("io", "lang", "lang.reflect", "net", "text", "time", "util")),
    "java.desktop/java.awt.font",
    *(
        f"jdk.compiler/com.sun.tools.javac.{name}"
        for name in ("api", "code", "comp", "file", "jvm", "main", "model", "parser", "processing", "tree", "util")
    ),
)
OPENED = " ".join(f"--add-opens={each}=ALL-UNNAMED" for each in _OPENED)
"""What plug-ins and annotation processors of before Java 16 reach into (maven-war-plugin 2, Lombok before 1.18.20): Maven runs on
this machine's Java, whatever the project's own is."""


def call(variant: JibVariant, site: Site, work: Path) -> list[str | Path]:
    """Maven's call up to the properties of Jib. Writes proxies, passwords included, to a file in ``work`` (mode 0700)."""
    from deadweight.sources.network import maven_settings, trust_store
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


def phase(variant: JibVariant, poms: Poms) -> str:
    """How far Maven goes before Jib: modules reach each other as jars only, so Jib's documentation asks for `package` there."""
    if CONTAINERIZE in variant.args or poms.need_package(variant.args.get("jib.containerizingMode", "")):
        return "package"
    return "test" if variant.tests else "compile"


def check(variant: JibVariant, root: Path) -> None:
    """Raises ConfigError: no pom, one that does not parse, a module that is not named, a build that would push by itself."""
    source = root / variant.source
    if not variant.pom and not (source / "pom.xml").exists():
        raise WrongKey(variant, "source", wording("jib.no_build_file"), source)
    file = common.need_file(variant, "pom", source, variant.pom or "pom.xml", wide=True)
    poms = read_poms(variant, root)
    modules = poms.called[0].modules
    if modules and CONTAINERIZE not in variant.args:
        raise WrongKey(
            variant,
            ("args", CONTAINERIZE),
            wording("jib.several_modules", modules=", ".join(modules)),
            file,
            hint=f'args: {{{CONTAINERIZE}: ":ARTIFACT-ID"}}',
        )
    last = phase(variant, poms)
    publishing = poms.publishing(last)
    if publishing is not None:
        place, bound = publishing
        raise ConfigError(
            wording(
                "jib.bound_goal",
                goal=bound.goal,
                phase=bound.phase,
                last=last,
                variant=variant.name,
                verb="push" if bound.goal == "build" else "load",
            ),
            file=place,
            line=bound.line,
        )


def environment(site: Site) -> dict[str, str]:
    """Maven's environment: the source's variables, the JDK that we found, a JVM set for a short life, and a locale with letters.

    In the locale C, Java takes its arguments and names of files for ASCII: an image's variables would lose other letters.
    """
    from deadweight.toolchain.find import find

    return {
        **({"LC_ALL": "C.UTF-8"} if codecs.lookup(locale.getencoding()).name == "ascii" else {}),
        **site.source.environment().variables,
        "JAVA_HOME": str(find("java").path.resolve().parent.parent),
        "MAVEN_OPTS": f"{os.environ.get('MAVEN_OPTS') or SHORT_LIVED} {OPENED}",
    }


def outputs(variant: JibVariant, root: Path) -> tuple[str, ...]:
    """Folders that builds write, relative to the source: those of the modules, and of what only a profile may make one."""
    source = root / variant.source
    found = [source / "target", *(place for place in output_folders(variant, root) if place.is_relative_to(source))]
    for folder, names, files in os.walk(source):
        names[:] = sorted(name for name in names if not name.startswith(".") and name not in ("target", "src"))
        if "pom.xml" in files:
            found.append(Path(folder) / "target")
    return tuple(dict.fromkeys(place.relative_to(source).as_posix() for place in found))


def beside(variant: JibVariant, root: Path) -> tuple[Path, ...]:
    """What Maven reads of the project that is not below its source: parents, modules, and ``.mvn`` of a folder above."""
    source = root / variant.source
    poms = read_poms(variant, root)
    top = multi_module(poms.called[0].file.parent)
    configured = (
        sorted((top / ".mvn").rglob("*")) if not top.is_relative_to(source) and top.is_relative_to(root) else []
    )
    files = (file for file in configured if file.is_file())
    return (*poms.outside(source), *files, *modules_outside(variant, root))


def source_folders(source: Path, outputs: Sequence[str]) -> tuple[Path, ...]:
    """Where sources lie by custom: beside what builds write."""
    return tuple(dict.fromkeys((source / name).parent / "src" for name in outputs))


class Sources:
    """What the compiled classes of a project were made of. Maven compares times of files: it keeps a class whose source is gone,
    or gave way to an older file, and one that another pom.xml or another argument would make another one."""

    def __init__(self, variant: JibVariant, site: Site, outputs: tuple[str, ...], beside: Mapping[str, str]) -> None:
        """``beside`` is what else decides how classes come out, by name."""
        self.source = site.root / variant.source
        # of the project, not of a variant: variants of one project share its classes
        place = hashlib.sha256(os.fsencode(self.source)).hexdigest()[:16]
        self.note = site.state.cache / "jib" / f"made-of-{place}.json"
        self.places = (self.source, *modules_outside(variant, site.root))
        self.outputs = tuple(
            dict.fromkeys((*(self.source / name for name in outputs), *output_folders(variant, site.root)))
        )
        self.skip = {self.source / ".git", self.source / STATE_DIR, *self.outputs}
        self.now = self._states() | {_BESIDE: repr(sorted(beside.items()))}

    def tidy(self) -> None:
        """Before a build: remove what builds compiled, where Maven would keep what a clean build would not make."""
        seen = self._maven_sees()
        self.note.unlink(missing_ok=True)  # a build that fails leaves some classes new and others old
        for folder in () if seen else self.outputs:
            web = [place.parent for place in folder.glob("*/WEB-INF")]  # what a war is made of holds classes too
            for place in (*(folder / name for name in _COMPILED), *web):
                shutil.rmtree(place, ignore_errors=True)

    def remember(self) -> None:
        """After a build that went well."""
        store.write_atomically(self.note, json.dumps(self.now))

    def _maven_sees(self) -> bool:
        """Whether all that changed since the last build is that sources were written after it."""
        try:
            before, built_ns = json.loads(self.note.read_bytes()), self.note.stat().st_mtime_ns
        except (OSError, ValueError):
            return False
        if not isinstance(before, dict) or before.keys() - self.now.keys():
            return False
        changed = [name for name, state in self.now.items() if before.get(name) != state]
        return all(_is_source(name) and int(self.now[name].split()[0]) > built_ns for name in changed)

    def _states(self) -> dict[str, str]:
        found = {}
        linked = common.behind_links(*source_folders(self.source, [str(path) for path in self.outputs]))
        for folder, names, files in (step for place in (*self.places, *linked) for step in os.walk(place)):
            here = Path(folder)
            names[:] = [name for name in names if here / name not in self.skip and not _hidden(name)]
            for path in (here / name for name in files if not _hidden(name)):
                with contextlib.suppress(OSError):  # a link to nothing
                    name = os.path.relpath(path, self.source)
                    found[name] = _state(path, by_time=_is_source(name))
        return found


def _is_source(name: str) -> bool:
    """Whether Maven notices by itself when that file is written."""
    *folders, last = name.split("/")
    return "src" in folders and last != "pom.xml"


def _hidden(name: str) -> bool:
    """Notes of version control, editors and plug-ins; they come and go, and nothing is compiled of them."""
    return name.startswith(".") and name != ".mvn"


def _state(file: Path, *, by_time: bool) -> str:
    """Of what plug-ins write anew in every build the content counts: a shaded pom, a list of versions."""
    facts = file.stat()
    if by_time or facts.st_size > MAX_READ_BYTES:
        return f"{facts.st_mtime_ns} {facts.st_size}"
    return hashlib.sha256(file.read_bytes()).hexdigest()
