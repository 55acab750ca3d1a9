"""Build an image with Jib: Maven or Gradle compiles, Jib puts dependencies, resources and classes in layers.

No Dockerfile, no engine. The project's build file is used as it is; if it does not name the Jib plugin, Jib is added on the
command line. The build runs in place (in ``target/``, as Maven users expect), so variants of one project build one after
another. Jib's defaults fix all timestamps, so the same inputs give the same digest.
"""

from __future__ import annotations

import itertools
import os
import re
import shutil
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from deadweight._errors import ArchiveError, CommandError, DeadweightError, wording
from deadweight._packages import images
from deadweight.builders.jib import projects, resident_maven
from deadweight.builders.jib.projects import Gradle, Maven, linked_sources, project_of
from deadweight.builders.protocol import BuiltImage, Inputs, Job, Needs, Site, Step, WrongKey
from deadweight.builders.shared import common, inputs
from deadweight.builders.shared.archive import image_step, keep, made_by_the_build, result, scratch
from deadweight.builders.variants import JibVariant
from deadweight.records.built_image import Base
from deadweight.records.paths import STATE_DIR
from deadweight.toolchain.find import find

_AGAIN = "--update-snapshots"
"""Maven's name for asking repositories again for anything that was not there, releases too."""


class JibBuilder:
    """``source`` is the project, ``pom`` its file where that is no pom.xml, ``base`` the base image, ``main`` the main class
    where it is ambiguous, ``files`` what else goes in, ``env`` the image's environment, ``tests`` whether the service's own
    tests run first, ``args`` more of Jib's (or Maven's) properties."""

    name = "jib"
    record = JibVariant
    archive = staticmethod(made_by_the_build)

    def needs(self, variant: JibVariant, root: Path) -> Needs:
        """Raises ConfigError for a missing base, source folder or file, for a pom.xml that does not parse, and for an
        argument that would make the record of the build a lie."""
        common.need_source(variant, root)
        project = project_of(variant, root)
        project.check()
        for name in variant.args:
            if name.startswith(OURS):
                base, own = wording("jib.base_argument"), wording("jib.name_argument")
                problem = {"jib.from.image": base, "jib.to.image": own}.get(name, wording("jib.reserved_argument"))
                raise WrongKey(variant, ("args", name), problem, root)
        if not variant.base:
            raise WrongKey(variant, "base", wording("jib.no_base"), root)
        check_files(variant, root)
        donated = {image: f"files.{target}" for target, image in variant.donors().items()}
        tools = ("java", *(("mvn",) if isinstance(project, Maven) else ()))
        return Needs(tools=tools, bases=(variant.base, *donated), named={**donated, variant.base: "base"})

    def steps(self, variant: JibVariant, site: Site) -> tuple[Step, ...]:
        assert variant.base is not None
        project = project_of(variant, site.root)
        base = site.source.base(variant.base)
        donated = {target: site.source.base(image) for target, image in variant.donors().items()}
        local = [site.root / given for target, given in variant.files.items() if target not in donated]
        linked = linked_sources((project.source / name for name in project.outputs), *local)
        # the user's ignore files are written for what is copied: Maven reads the folder where it lies, and a plug-in any file of it
        never = (*inputs.never(project.source, site), *project.outputs, *(() if variant.tests else ("src/test",)))
        values = {
            "jib": projects.JIB_VERSION,
            "tool": project.tool,
            "java": find("java").version,
            "architecture": common.architecture().oci,
            "main": variant.main or "",
            "port": str(variant.port or ""),
            "user": variant.run.user or "",
            "tests": str(variant.tests),
            "pom": variant.pom or "",
            **{f"file {target}": name for target, name in variant.files.items()},
            **{f"env {name}": value for name, value in variant.env.items()},
            **{f"argument {name}": value for name, value in variant.args.items()},
            **common.base_values({"base": base, **donated}),
        }
        alike = (other for other in site.suite.variants if (other.builder, other.source) == (self.name, variant.source))
        before = itertools.takewhile(lambda other: other.name != variant.name, alike)
        files = Inputs((project.source, *project.outside_source, *local, *linked), never, values)
        behind = tuple(f"image:{other.name}" for other in before)
        return (image_step(variant, site, files, partial(self._build, variant, site, base, donated), behind=behind),)

    def _build(self, variant: JibVariant, site: Site, base: Base, donated: dict[str, Base], job: Job) -> BuiltImage:
        project = project_of(variant, site.root)
        if isinstance(project, Maven):
            project.fetch(site)
        job.took("warm" if any((project.source / folder).exists() for folder in project.outputs) else "cold")
        with scratch(variant, site) as work:
            executable = lay_out(variant, site, donated, work / "extra")
            properties = properties_of(project, site, base, work, executable)
            sources = projects.Sources(project, site) if isinstance(project, Maven) else None
            if sources:
                sources.tidy()
            words = [*project.call(site, work), *(f"-D{key}={value}" for key, value in properties.items())]
            skipped = _run_tool(words, project, site, job)
            if not (work / "image.tar").is_file():
                raise DeadweightError(wording("jib.no_image", variant=variant.name, reason=skipped, log=job.log))
            digest, version = _checked(work / "image.tar", variant, base)
            keep(variant, site, work / "image.tar", None)
            if sources:
                sources.remember()
        tool = f"Maven {project.program.version}" if isinstance(project, Maven) else "Gradle"
        tool = f"jib {version} ({tool}, Java {find('java').version})"
        return result(variant, site, digest=digest, base=base, tool=tool)


def _checked(archive: Path, variant: JibVariant, base: Base) -> tuple[str, str]:
    """The config digest of an image for the engine that has its main class, and the version of Jib that made it.

    Raises DeadweightError.
    """
    expected = common.architecture().oci
    with images.open_archive(archive) as opened:
        config, digest = opened.image.config, opened.image.config_digest
    if config.architecture != expected:
        words = {"base": base.reference, "found": config.architecture or "no architecture", "expected": expected}
        raise DeadweightError(wording("jib.other_architecture", variant=variant.name, **words))
    absent = images.missing_main_class(archive)
    if absent is not None:
        raise DeadweightError(wording("jib.no_main_class", variant=variant.name, name=absent))
    # jib-maven-plugin:3.5.2; a build file may name its own version
    made_by = config.history[-1].instruction if config.history else ""
    return digest, made_by.rpartition(":")[2] or "of unknown version"


def _run_tool(call: list[str | Path], project: Maven | Gradle, site: Site, job: Job) -> str:
    """Gives what Jib said where it chose to make no image, as the end of a sentence.

    Where Maven only repeats that a download failed some time ago, which it does for a day, it is made to ask again.
    """
    from deadweight.builders.shared.diagnosis import JavaListener, run_tool

    variant, source, with_gradle = project.variant, project.source, isinstance(project, Gradle)
    listener = JavaListener(job.say, _announce, source, gradle=with_gradle)
    values = projects.maven_environment(site)
    try:
        argv = call if with_gradle else resident_maven.resident_call(call, source, values, variant.pom)
        run_tool(argv, variant.name, listener, cwd=source, environment=values, log=job.log, shown_argv=call)
    except CommandError:
        if not listener.repeats or _AGAIN in call:
            raise
        job.say("Maven remembers an earlier failed download: trying again")
        return _run_tool([call[0], _AGAIN, *call[1:]], project, site, job)
    return f": {listener.skipped}" if listener.skipped else ""


def _announce(line: str) -> str | None:
    from deadweight.builders.shared.diagnosis import clean

    text = clean(line)
    return text if text.startswith(("Compiling ", "Containerizing ", "Building ", "Using base ", "Running ")) else None


# What Jib is told by properties (``-Djib.…``), and which of them are not the suite's to set.
OURS = (
    *("jib.from.image", "jib.from.platforms", "jib.to.image", "jib.outputPaths."),
    *("jib.baseImageCache", "jib.applicationCache"),
)
_LINE_END = "[\n\r\x85\u2028\u2029]"  # of Java's patterns


def properties_of(project: Maven | Gradle, site: Site, base: Base, work: Path, executable: list[str]) -> dict[str, str]:
    """What Jib is told. A property goes before what a build file configures, so what the suite leaves open stays open here."""
    variant, cache = project.variant, site.state.cache / "jib"
    properties = {
        "jib.from.image": common.pinned(base),
        "jib.from.platforms": f"linux/{common.architecture().oci}",
        "jib.to.image": common.image_name(site.suite, variant),
        "jib.outputPaths.tar": str(work / "image.tar"),
        "jib.outputPaths.digest": str(work / "digest"),
        "jib.outputPaths.imageId": str(work / "image-id"),
        "jib.outputPaths.imageJson": str(work / "image.json"),
        "jib.baseImageCache": str(cache / "bases"),
        "jib.applicationCache": str(cache / "layers"),
        "jib.console": "plain",
        "jib.disableUpdateChecks": "true",
    }
    if not project.names_jib:
        properties["jib.container.user"] = "65532:65532"
        properties |= {"jib.container.ports": str(variant.port)} if variant.port is not None else {}
    if variant.run.user:
        properties["jib.container.user"] = variant.run.user
    from deadweight.engine.options import LOOPBACK

    if LOOPBACK.match(base.resolved):
        properties["jib.allowInsecureRegistries"] = "true"  # only there may Jib do without TLS
    if variant.main:
        properties["jib.container.mainClass"] = variant.main
    if variant.env:
        properties["jib.container.environment"] = _environment(variant, site)
    properties |= variant.args
    if variant.files:
        properties["jib.extraDirectories.paths"] = _item(str(work / "extra"))
    if executable:
        # a path is a pattern too, and cannot have the sign that ends it
        modes = (f"{_item(path.replace('=', '?'))}=755" for path in executable)
        properties["jib.extraDirectories.permissions"] = ",".join(modes)
    return properties


def _item(text: str) -> str:
    r"""A part of one of Jib's lists: they are parted at commas, but not at ``\,``."""
    return text.replace(",", "\\,")


def _environment(variant: JibVariant, site: Site) -> str:
    """Raises ConfigError for what cannot be said in Jib's way."""
    for name, value in variant.env.items():
        if value.endswith("\\") or "," in name or "=" in name or re.search(_LINE_END, value):
            raise site.suite.error(variant, "env", wording("jib.env_unsupported", name=name))
    return ",".join(_item(f"{name}={value}") for name, value in sorted(variant.env.items()))


# Files that go into a Jib image beside the service: of this project, or one file out of another image (``IMAGE#PATH``).
def check_files(variant: JibVariant, root: Path) -> None:
    """Raises ConfigError: a path in the image that is not absolute or has a comma, a file that is not there."""
    for target, given in variant.files.items():
        parts = target.split("/")
        if parts[0] or {"", ".", ".."} & set(parts[1:]) or "," in target or "=" in target:
            raise WrongKey(variant, ("files", target), wording("jib.wrong_target"), root)
        image, mark, path = given.partition("#")
        if mark and not (image and path.startswith("/")):
            raise WrongKey(variant, ("files", target), wording("jib.wrong_source", given=given), root)
        if not mark and not (root / given).exists():
            raise WrongKey(variant, ("files", target), wording("builders.no_such_file", root=root), root / given)
        below = next((other for other in variant.files if other.startswith(f"{target}/")), None)
        if below is not None and (mark or not (root / given).is_dir()):
            raise WrongKey(variant, ("files", below), wording("jib.below_a_file", target=target), root)


def lay_out(variant: JibVariant, site: Site, bases: Mapping[str, Base], folder: Path) -> list[str]:
    """Put the files below ``folder`` as they shall lie in the image. Gives those that are executable.

    Raises ConfigError where another image has no such file, or a folder cannot be copied.
    """
    for target, given in variant.files.items():
        source, place = site.root / given, folder.joinpath(*target.strip("/").split("/"))
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            if "#" in given:
                content, mode = _from_image(bases[target], site, given, variant, target)
                place.write_bytes(content)
                place.chmod(0o755 if mode & 0o111 else 0o644)
            elif source.is_dir():
                _refuse_ways_out(source, site.root, variant, target)
                # no build holds a state folder, and its keys, wherever the folder lies that it copies
                shutil.copytree(source, place, dirs_exist_ok=True, ignore=shutil.ignore_patterns(STATE_DIR))
            else:
                shutil.copy2(source, place)
        except (shutil.Error, OSError) as error:
            raise WrongKey(variant, ("files", target), wording("jib.not_copied", problem=error), source) from error
    files = (place for place in folder.rglob("*") if place.is_file() and os.access(place, os.X_OK))
    return sorted(f"/{place.relative_to(folder).as_posix()}" for place in files)


def _refuse_ways_out(source: Path, root: Path, variant: JibVariant, target: str) -> None:
    """What a link leads to is copied. Raises WrongKey for one that leads out of the project."""
    home = root.resolve()
    for path in source.rglob("*"):
        if path.is_symlink() and not path.resolve().is_relative_to(home):
            raise WrongKey(variant, ("files", target), wording("jib.leads_out", root=root), path)


def _from_image(base: Base, site: Site, given: str, variant: JibVariant, target: str) -> tuple[bytes, int]:
    from deadweight.toolchain.registry import Remote

    image, _, path = given.partition("#")
    platform = f"linux/{common.architecture().oci}"
    with Remote(common.pinned(base), env=common.program_environment(site)).pulled(platform) as layout:
        try:
            return images.read_file(layout, path, platform=platform)
        except ArchiveError as error:
            problem = error.message.replace(str(layout), image)
            raise site.suite.error(variant, ("files", target), problem) from error
