"""Build with Jib: Maven or Gradle compiles, Jib puts dependencies, resources and classes in layers of their own.

No Dockerfile, no engine. A project's build file is used as it is: where it does not name the Jib plugin, Jib is added from the
command line. It is built in place (in ``target/``, as everybody who runs Maven expects), so variants of one project go one
after another. Jib's own defaults fix all times, so that the same inputs give the same digest.
"""

from __future__ import annotations

from pathlib import Path

from deadweight._errors import CommandError, DeadweightError
from deadweight.builders.jib import files, gradle, maven, resident
from deadweight.builders.jib.properties import OURS, SAID_BY, extra_files, is_gradle, properties_of
from deadweight.builders.jib.variant import JibVariant
from deadweight.builders.protocol import BuiltImage, Inputs, Job, Needs, Site, Step, WrongKey
from deadweight.builders.shared import common, inputs
from deadweight.builders.shared.archive import keep, made_by_the_build, result, scratch, there
from deadweight.builders.shared.java_errors import JavaListener, clean
from deadweight.builders.shared.program import listened
from deadweight.records.built import Base

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
                raise WrongKey(variant, ("args", name), "is set by Deadweight; remove it", root, hint=SAID_BY.get(name))
        if not variant.base:
            hint = "for example base: eclipse-temurin:17-jre"
            raise WrongKey(variant, "base", "the builder jib needs a base image", root, hint=hint)
        files.check(variant, root)
        donors = {image: f"files.{target}" for target, (image, _) in files.donors(variant).items()}
        tools = ("java", *(() if with_gradle else ("mvn",)), *(("crane",) if donors else ()))
        return Needs(tools=tools, bases=(variant.base, *donors), named={**donors, variant.base: "base"})

    def steps(self, variant: JibVariant, site: Site) -> tuple[Step, ...]:
        from deadweight.toolchain.find import find

        assert variant.base is not None
        source = site.root / variant.source
        base = site.source.base(variant.base)
        donors = {target: site.source.base(image) for target, (image, _) in files.donors(variant).items()}
        local = tuple(site.root / name for name in files.local_files(variant).values())
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
            **common.base_values({"base": base, **donors}),
        }
        same = [each for each in site.suite.variants if each.builder == self.name and each.source == variant.source]
        before = same[: [each.name for each in same].index(variant.name)]
        return (
            Step(
                key=f"image:{variant.name}",
                variant=variant.name,
                title=f"jib build {variant.name}",
                inputs=Inputs((source, *beside, *local, *linked), _ignore(variant, site), values),
                there=lambda: there(variant, site),
                work=lambda job: self._build(variant, site, base, donors, job),
                behind=tuple(f"image:{each.name}" for each in before),
            ),
        )

    def archive(self, variant: JibVariant, built: BuiltImage, site: Site) -> Path:
        return made_by_the_build(variant, built, site)

    def _build(self, variant: JibVariant, site: Site, base: Base, donors: dict[str, Base], job: Job) -> BuiltImage:
        source = site.root / variant.source
        name = common.image_name(site.suite, variant)
        with_gradle = is_gradle(variant, source)
        job.took("warm" if any((source / folder).exists() for folder in _written(variant, site.root)) else "cold")
        with scratch(variant, site) as work:
            executable = files.lay_out(variant, site, donors, work / "extra")
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
                raise DeadweightError(
                    f"{variant.name}: Jib made no image{said}\n  log: {job.log}",
                    hint="remove what skips Jib from the build file or from args, or name the module that becomes the image",
                )
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
                f"{variant.name}: the base {base.reference} is for {got or 'no architecture'}, this machine is {wanted}",
                hint="choose a base image for this architecture",
            )
        digest = opened.image.config_digest
        history = opened.image.config.history
        made_by = (
            history[-1].instruction if history else ""
        )  # jib-maven-plugin:3.5.2; a build file may name its own version
    absent = images.missing_main_class(archive)
    if absent is not None:
        raise DeadweightError(
            f"{variant.name}: the main class {absent} is neither among the service's classes nor in its dependencies",
            hint="set main: (or mainClass in the build file) to a class with its package, for example com.example.Main",
        )
    return digest, made_by.rpartition(":")[2] or "of unknown version"


def _run_tool(call: list[str | Path], variant: JibVariant, site: Site, job: Job, *, with_gradle: bool) -> str:
    """Gives what Jib said where it chose to make no image, as the end of a sentence.

    Where Maven only repeats that a download failed some time ago, which it does for a day, it is made to ask again.
    """
    source = site.root / variant.source
    listener = JavaListener(job.say, _announce, source, gradle=with_gradle)
    environment = maven.environment(site)
    try:
        argv = call if with_gradle else resident.through(call, source, environment, variant.pom)
        listened(argv, listener, cwd=source, environment=environment, log=job.log, told=call)
    except CommandError as error:
        if not listener.repeats or _AGAIN in call:
            raise listener.failure(error, variant.name) from None
        job.say("Maven remembers an earlier failed download: trying again")
        return _run_tool([call[0], _AGAIN, *call[1:]], variant, site, job, with_gradle=with_gradle)
    return f": {listener.skipped}" if listener.skipped else ""


def _announce(line: str) -> str | None:
    text = clean(line)
    return text if text.startswith(("Compiling ", "Containerizing ", "Building ", "Using base ", "Running ")) else None
