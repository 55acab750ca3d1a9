"""Build with Jib: Maven compiles, Jib puts dependencies, resources and classes in layers of their own. No Dockerfile, no engine.

A project's pom.xml is used as it is: where it does not name the Jib plugin, Jib is called by its coordinate from the command
line. Maven works in place (in ``target/``, as everybody who runs it expects), so variants of one project go one after another.
"""

from __future__ import annotations

from pathlib import Path

from deadweight import _run
from deadweight._errors import CommandError
from deadweight.builders import _archive, _common, _maven
from deadweight.builders._listen import Listener
from deadweight.builders.protocol import BuiltImage, Inputs, Job, Needs, Site, Step
from deadweight.records.built import Base
from deadweight.suite.model import Variant

JIB = "com.google.cloud.tools:jib-maven-plugin"
JIB_VERSION = "3.5.2"
IGNORE = (*_common.NEVER_INPUTS, "target", "**/target")


class JibBuilder:
    """``source`` is the Maven project, ``pom`` its file, ``base`` the base image, ``main`` the main class if it is ambiguous,
    ``files`` what else goes in, ``env`` the image's environment, ``tests`` whether the service's tests run first."""

    name = "jib"

    def needs(self, variant: Variant, root: Path) -> Needs:
        """Raises ConfigError for a missing base, source folder or file, and for a pom.xml that does not parse."""
        source = _common.need_source(variant, root)
        pom = _common.need_file(variant, "pom", source, variant.pom or "pom.xml")
        _maven.read_pom(pom)
        if not variant.base:
            raise _common.wrong(
                variant, "base", "jib needs a base", pom, hint="for example base: eclipse-temurin:17-jre"
            )
        donors = tuple(image for image, _ in _maven.donors(variant).values())
        for target, name in _maven.local_files(variant).items():
            if not (root / name).exists():
                raise _common.wrong(variant, f"files.{target}", "no such file", root / name)
        return Needs(tools=("java", "mvn", *(("crane",) if donors else ())), bases=(variant.base, *donors))

    def steps(self, variant: Variant, site: Site) -> tuple[Step, ...]:
        from deadweight.toolchain.find import find

        assert variant.base is not None
        base = site.source.base(variant.base)
        donors = {target: site.source.base(image) for target, (image, _) in _maven.donors(variant).items()}
        local = tuple(site.root / name for name in _maven.local_files(variant).values())
        values = {
            "jib": JIB_VERSION,
            "mvn": find("mvn").version,
            "java": find("java").version,
            "main": variant.main or "",
            "port": str(variant.port),
            "tests": str(variant.tests),
            **{f"file {target}": name for target, name in variant.files.items()},
            **{f"env {name}": value for name, value in variant.env.items()},
            **{f"argument {name}": value for name, value in variant.args.items()},
            **_common.base_values({"base": base, **donors}),
        }
        others = (
            each.name for each in site.suite.variants if each.builder == self.name and each.source == variant.source
        )
        before = [name for name in others if name < variant.name]
        return (
            Step(
                key=f"image:{variant.name}",
                variant=variant.name,
                title=f"jib build {variant.name}",
                inputs=Inputs((site.root / variant.source, *local), IGNORE, values),
                there=lambda: _archive.archive_path(variant, site).is_file(),
                work=lambda job: self._build(variant, site, base, donors, job),
                behind=tuple(f"image:{name}" for name in before),
            ),
        )

    def archive(self, variant: Variant, built: BuiltImage, site: Site) -> Path:
        return _archive.made_by_the_build(variant, built, site)

    def _build(self, variant: Variant, site: Site, base: Base, donors: dict[str, Base], job: Job) -> BuiltImage:
        from deadweight.toolchain.find import find

        name = _common.image_name(site.suite, variant)
        with _archive.scratch(variant, site) as work:
            modes = _maven.lay_out(variant, site, donors, work / "extra")
            argv = self._argv(variant, site, base, work, name, modes)
            _maven_run(argv, variant, site, job)
            digest = _archive.config_digest(work / "image.tar")
            _archive.keep(variant, site, work / "image.tar", None)
        return BuiltImage(
            variant=variant.name,
            builder=self.name,
            reference=name,
            config_digest=digest,
            in_engine=False,
            base=base,
            seconds=0.0,
            cached=False,
            fingerprint="",
            tool=f"jib {JIB_VERSION} (Maven {find('mvn').version}, Java {find('java').version})",
            built_at=_common.now(),
        )

    def _argv(
        self, variant: Variant, site: Site, base: Base, work: Path, name: str, modes: dict[str, str]
    ) -> list[str | Path]:
        from deadweight.toolchain.find import find

        source = site.root / variant.source
        goal = (
            "jib:buildTar"
            if _maven.read_pom(source / (variant.pom or "pom.xml")).names_jib
            else f"{JIB}:{JIB_VERSION}:buildTar"
        )
        cache = site.state.cache / "jib"
        properties = {
            "jib.from.image": _common.pinned(base),
            "jib.to.image": name,
            "jib.outputPaths.tar": str(work / "image.tar"),
            "jib.outputPaths.digest": str(work / "digest"),
            "jib.outputPaths.imageId": str(work / "image-id"),
            "jib.outputPaths.imageJson": str(work / "image.json"),
            "jib.container.ports": str(variant.port),
            "jib.container.user": variant.run.user or "65532:65532",
            "jib.baseImageCache": str(cache / "bases"),
            "jib.applicationCache": str(cache / "layers"),
            "jib.console": "plain",
            "jib.disableUpdateChecks": "true",
            "jib.from.platforms": f"linux/{_common.architecture().oci}",
        }
        if _maven.on_loopback(base.resolved):
            properties["jib.allowInsecureRegistries"] = "true"
        if variant.main:
            properties["jib.container.mainClass"] = variant.main
        if variant.env:
            properties["jib.container.environment"] = _maven.mapping(variant, "env", variant.env)
        if modes:
            properties["jib.extraDirectories.paths"] = str(work / "extra")
            properties["jib.extraDirectories.permissions"] = ",".join(f"{path}={mode}" for path, mode in modes.items())
        phase = ["test"] if variant.tests else ["compile"]
        file = ["-f", variant.pom] if variant.pom else []
        words = [f"-D{key}={value}" for key, value in {**properties, **variant.args}.items()]
        return [find("mvn").path, "-B", "-ntp", *_maven.offline(), *file, *phase, goal, *words]


def _maven_run(argv: list[str | Path], variant: Variant, site: Site, job: Job) -> None:
    listener = Listener(job.say, _announce)
    environment = _maven.environment(site)
    try:
        _run.run(
            argv,
            cwd=site.root / variant.source,
            env=environment,
            timeout=_common.BUILD_TIMEOUT_SECONDS,
            log=job.log,
            on_line=listener,
            redact=_common.secret_values(environment),
        )
    except CommandError as error:
        raise listener.explained(error, variant.name, clean=_clean, hint=_maven.likely_cause(job.log)) from None


def _announce(line: str) -> str | None:
    text = _clean(line)
    return text if text.startswith(("Compiling ", "Containerizing ", "Building ", "Using base ", "Running ")) else None


def _clean(line: str) -> str:
    """Maven's lines start with a level in brackets."""
    return line.partition("] ")[2].strip() if line.startswith("[") else line.strip()
