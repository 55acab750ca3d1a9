"""Build an image with Jib: Maven or Gradle compiles, Jib puts dependencies, resources and classes in layers.

No Dockerfile, no engine. The project's build file is used as it is; if it does not name the Jib plugin, Jib is added on the
command line. The build runs in place (in ``target/``, as Maven users expect), so variants of one project build one after
another. Jib's defaults fix all timestamps, so the same inputs give the same digest.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from deadweight._errors import ArchiveError, CommandError, DeadweightError, wording
from deadweight.builders.jib import gradle, maven, resident_maven
from deadweight.builders.jib.pom import read_poms
from deadweight.builders.protocol import BuiltImage, Inputs, Job, Needs, Site, Step, WrongKey
from deadweight.builders.shared import common, inputs
from deadweight.builders.shared.archive import keep, made_by_the_build, result, scratch, there
from deadweight.builders.shared.tool_output import JavaListener, clean, run_tool
from deadweight.builders.variants import JibVariant
from deadweight.records.built_image import Base
from deadweight.records.paths import STATE_DIR

_AGAIN = "--update-snapshots"
"""Maven's name for asking repositories again for anything that was not there, releases too."""


class JibBuilder:
    """``source`` is the project, ``pom`` its file where that is no pom.xml, ``base`` the base image, ``main`` the main class
    where it is ambiguous, ``files`` what else goes in, ``env`` the image's environment, ``tests`` whether the service's own
    tests run first, ``args`` more of Jib's (or Maven's) properties."""

    name = "jib"
    record = JibVariant

    def needs(self, variant: JibVariant, root: Path) -> Needs:
        """Raises ConfigError for a missing base, source folder or file, for a pom.xml that does not parse, and for an
        argument that would make the record of the build a lie."""
        source = common.need_source(variant, root)
        with_gradle = is_gradle(variant, source)
        (gradle if with_gradle else maven).check(variant, root)
        for name in variant.args:
            if name.startswith(OURS):
                raise WrongKey(variant, ("args", name), _reserved(name), root)
        if not variant.base:
            raise WrongKey(variant, "base", wording("jib.no_base"), root)
        check_files(variant, root)
        donated = {image: f"files.{target}" for target, (image, _) in donors(variant).items()}
        tools = ("java", *(() if with_gradle else ("mvn",)), *(("crane",) if donated else ()))
        return Needs(tools=tools, bases=(variant.base, *donated), named={**donated, variant.base: "base"})

    def steps(self, variant: JibVariant, site: Site) -> tuple[Step, ...]:
        from deadweight.toolchain.find import find

        assert variant.base is not None
        source = site.root / variant.source
        base = site.source.base(variant.base)
        donated = {target: site.source.base(image) for target, (image, _) in donors(variant).items()}
        local = tuple(site.root / name for name in local_files(variant).values())
        beside = (gradle if is_gradle(variant, source) else maven).beside(variant, site.root)
        linked = common.behind_links(*maven.source_folders(source, _written(variant, site.root)), *local)
        values = {
            "jib": maven.JIB_VERSION,
            "tool": str(gradle.program(source)) if is_gradle(variant, source) else find("mvn").version,
            "java": find("java").version,
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
        same = [each for each in site.suite.variants if each.builder == self.name and each.source == variant.source]
        before = same[: [variant.name for variant in same].index(variant.name)]
        return (
            Step(
                key=f"image:{variant.name}",
                variant=variant.name,
                title=f"jib build {variant.name}",
                inputs=Inputs((source, *beside, *local, *linked), _ignore(variant, site), values),
                there=lambda: there(variant, site),
                work=lambda job: self._build(variant, site, base, donated, job),
                behind=tuple(f"image:{variant.name}" for variant in before),
            ),
        )

    def archive(self, variant: JibVariant, built: BuiltImage, site: Site) -> Path:
        return made_by_the_build(variant, built, site)

    def _build(self, variant: JibVariant, site: Site, base: Base, donated: dict[str, Base], job: Job) -> BuiltImage:
        source = site.root / variant.source
        name = common.image_name(site.suite, variant)
        with_gradle = is_gradle(variant, source)
        job.took("warm" if any((source / folder).exists() for folder in _written(variant, site.root)) else "cold")
        with scratch(variant, site) as work:
            executable = lay_out(variant, site, donated, work / "extra")
            properties = properties_of(variant, site, base, work, name) | extra_files(variant, work, executable)
            sources = (
                None
                if with_gradle
                else maven.Sources(variant, site, _written(variant, site.root), _made_with(variant, site))
            )
            if sources:
                sources.tidy()
            call = (gradle if with_gradle else maven).call(variant, site, work)
            words = [*call, *(f"-D{key}={value}" for key, value in properties.items())]
            said = _run_tool(words, variant, site, job, with_gradle=with_gradle)
            if not (work / "image.tar").is_file():
                raise DeadweightError(wording("jib.no_image", variant=variant.name, reason=said, log=job.log))
            digest, version = _checked(work / "image.tar", variant, base)
            keep(variant, site, work / "image.tar", None)
            if sources:
                sources.remember()
        return result(variant, site, digest=digest, base=base, tool=_tool(version, with_gradle=with_gradle))


def _tool(version: str, *, with_gradle: bool) -> str:
    from deadweight.toolchain.find import find

    tool = "Gradle" if with_gradle else f"Maven {find('mvn').version}"
    return f"jib {version} ({tool}, Java {find('java').version})"


def _made_with(variant: JibVariant, site: Site) -> dict[str, str]:
    """What decides how Maven compiles, beside the files of the project itself."""
    from deadweight.toolchain.find import find

    facts = {file: file.stat() for file in maven.beside(variant, site.root) if file.is_file()}
    return {
        **{name: value for name, value in variant.args.items() if not name.startswith("jib.")},
        **{str(file): f"{fact.st_mtime_ns} {fact.st_size}" for file, fact in facts.items()},
        **{name: find(name).version for name in ("java", "mvn")},
        "pom": variant.pom or "",
    }


def _ignore(variant: JibVariant, site: Site) -> tuple[str, ...]:
    """What no build reads: what builds write, and the tests where they do not run.

    The user's ignore files are written for what is copied. Maven reads the folder where it lies, and a plug-in any file of it.
    """
    never = inputs.never(site.root / variant.source, site)
    return (*never, *_written(variant, site.root), *(() if variant.tests else ("src/test",)))


def _written(variant: JibVariant, root: Path) -> tuple[str, ...]:
    """The folders that builds write, relative to the source."""
    source = root / variant.source
    if not is_gradle(variant, source):
        return maven.outputs(variant, root)
    return tuple(name for folder in (source, *gradle.beside(variant, root)) for name in gradle.outputs(folder))


def _checked(archive: Path, variant: JibVariant, base: Base) -> tuple[str, str]:
    """The config digest of an image for this machine that has its main class, and the version of Jib that made it.

    Raises DeadweightError.
    """
    from deadweight._packages import images

    wanted = common.architecture().oci
    with images.open_archive(archive) as opened:
        got = opened.image.config.architecture
        if got != wanted:
            raise DeadweightError(
                wording(
                    "jib.other_architecture",
                    variant=variant.name,
                    base=base.reference,
                    found=got or "no architecture",
                    expected=wanted,
                )
            )
        digest = opened.image.config_digest
        history = opened.image.config.history
        made_by = (
            history[-1].instruction if history else ""
        )  # jib-maven-plugin:3.5.2; a build file may name its own version
    absent = images.missing_main_class(archive)
    if absent is not None:
        raise DeadweightError(wording("jib.no_main_class", variant=variant.name, name=absent))
    return digest, made_by.rpartition(":")[2] or "of unknown version"


def _run_tool(call: list[str | Path], variant: JibVariant, site: Site, job: Job, *, with_gradle: bool) -> str:
    """Gives what Jib said where it chose to make no image, as the end of a sentence.

    Where Maven only repeats that a download failed some time ago, which it does for a day, it is made to ask again.
    """
    source = site.root / variant.source
    listener = JavaListener(job.say, _announce, source, gradle=with_gradle)
    environment = maven.environment(site)
    try:
        argv = call if with_gradle else resident_maven.through(call, source, environment, variant.pom)
        run_tool(argv, listener, cwd=source, environment=environment, log=job.log, told=call)
    except CommandError as error:
        if not listener.repeats or _AGAIN in call:
            raise listener.failure(error, variant.name) from None
        job.say("Maven remembers an earlier failed download: trying again")
        return _run_tool([call[0], _AGAIN, *call[1:]], variant, site, job, with_gradle=with_gradle)
    return f": {listener.skipped}" if listener.skipped else ""


def _announce(line: str) -> str | None:
    text = clean(line)
    return text if text.startswith(("Compiling ", "Containerizing ", "Building ", "Using base ", "Running ")) else None


# What Jib is told by properties (``-Djib.…``), and which of them are not the suite's to set.
OURS = (
    *("jib.from.image", "jib.from.platforms", "jib.to.image", "jib.outputPaths."),
    *("jib.baseImageCache", "jib.applicationCache"),
)
_LINE_END = re.compile("[\n\r\x85\u2028\u2029]")  # of Java's patterns


def _reserved(name: str) -> str:
    if name == "jib.from.image":
        return wording("jib.base_argument")
    return wording("jib.name_argument" if name == "jib.to.image" else "jib.reserved_argument")


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
            raise site.suite.error(variant, "env", wording("jib.env_unsupported", name=name))
    return ",".join(_item(f"{name}={value}") for name, value in sorted(variant.env.items()))


# Files that go into a Jib image beside the service: of this project, or one file out of another image (``IMAGE#PATH``).
def donors(variant: JibVariant) -> dict[str, tuple[str, str]]:
    """Files of other images, by their path in this one: (image reference, path there)."""
    parted = {target: given.partition("#") for target, given in variant.files.items()}
    return {target: (image, path) for target, (image, mark, path) in parted.items() if mark}


def local_files(variant: JibVariant) -> dict[str, str]:
    """Files and folders of this project, by their path in the image."""
    return {target: given for target, given in variant.files.items() if "#" not in given}


def check_files(variant: JibVariant, root: Path) -> None:
    """Raises ConfigError: a path in the image that is not absolute or has a comma, a file that is not there."""
    for target, given in variant.files.items():
        parts = target.split("/")
        if parts[0] or {"", ".", ".."} & set(parts[1:]) or "," in target or "=" in target:
            problem = wording("jib.wrong_target")
            raise WrongKey(variant, ("files", target), problem, root)
        image, mark, path = given.partition("#")
        if mark and not (image and path.startswith("/")):
            problem = wording("jib.wrong_source", given=given)
            raise WrongKey(variant, ("files", target), problem, root)
        if not mark and not (root / given).exists():
            raise WrongKey(variant, ("files", target), wording("builders.no_such_file", root=root), root / given)
        below = next((other for other in variant.files if other.startswith(f"{target}/")), None)
        if below is not None and (mark or not (root / given).is_dir()):
            raise WrongKey(variant, ("files", below), wording("jib.below_a_file", target=target), root)


def lay_out(variant: JibVariant, site: Site, bases: Mapping[str, Base], folder: Path) -> dict[str, str]:
    """Put the files below ``folder`` as they shall lie in the image. Gives those that are executable, with Jib's mode for them.

    Raises ConfigError where another image has no such file, or a folder cannot be copied.
    """
    executable: list[str] = []
    for target, (image, path) in donors(variant).items():
        content, mode = _from_image(bases[target], site, f"{image}#{path}", variant, target)
        place = _place_in_image(folder, target)
        place.write_bytes(content)
        executable += [target] if mode & 0o111 else []
    for target, name in local_files(variant).items():
        source, place = site.root / name, _place_in_image(folder, target)
        try:
            if source.is_dir():
                _refuse_ways_out(source, site.root, variant, target)
                shutil.copytree(source, place, dirs_exist_ok=True, ignore=_kept_out)
            else:
                shutil.copy2(source, place)
        except (shutil.Error, OSError) as error:
            raise WrongKey(variant, ("files", target), wording("jib.not_copied", problem=error), source) from error
        executable += [
            f"/{found.relative_to(folder).as_posix()}" for found in _files_below(place) if os.access(found, os.X_OK)
        ]
    return dict.fromkeys(sorted(executable), "755")


def _refuse_ways_out(source: Path, root: Path, variant: JibVariant, target: str) -> None:
    """What a link leads to is copied. Raises WrongKey for one that leads out of the project."""
    home = root.resolve()
    for path in source.rglob("*"):
        if path.is_symlink() and not path.resolve().is_relative_to(home):
            raise WrongKey(variant, ("files", target), wording("jib.leads_out", root=root), path)


def _kept_out(folder: str, names: list[str]) -> set[str]:
    """No build holds a state folder, and its keys, wherever the folder lies that it copies."""
    del folder
    return {STATE_DIR} & set(names)


def _from_image(base: Base, site: Site, given: str, variant: JibVariant, target: str) -> tuple[bytes, int]:
    from deadweight._packages import images
    from deadweight.toolchain.crane import pulled

    image, _, path = given.partition("#")
    platform = f"linux/{common.architecture().oci}"
    with pulled(common.pinned(base), platform=platform, env=common.program_environment(site)) as layout:
        try:
            return images.read_file(layout, path, platform=platform)
        except ArchiveError as error:
            problem = error.message.replace(str(layout), image)
            raise site.suite.error(variant, ("files", target), problem) from error


def _place_in_image(folder: Path, target: str) -> Path:
    place = folder.joinpath(*target.strip("/").split("/"))
    place.parent.mkdir(parents=True, exist_ok=True)
    return place


def _files_below(place: Path) -> list[Path]:
    return sorted(found for found in (place.rglob("*") if place.is_dir() else (place,)) if found.is_file())
