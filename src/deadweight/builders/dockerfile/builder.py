"""Build an image from a Dockerfile with BuildKit, through the engine.

* Bases are passed as build arguments (``bases:`` maps an ``ARG`` to a public reference), pinned by digest. Images that the
  Dockerfile names itself (``FROM ubuntu:23.10``) are resolved and pinned in the same way.
* So the build uses a copy of the Dockerfile. An ignore file next to it keeps non-inputs out of the context (``shared.inputs``).
* Proxies are passed as BuildKit's predefined arguments, which stay out of history and layers. The source's other variables
  (``GOPROXY``) and its CA bundle are offered as secrets (``id=GOPROXY``, ``id=ca_bundle``); RUN lines of the copy mount those
  that their programs understand (``copy``).
* Java programs read neither. A trust store made from the bundle (``id=java_trust_store``) and Maven settings made from the
  proxies (``id=maven_settings``) are offered to a Dockerfile that mounts them.
* Nothing here needs more than engine 20.10, and nothing contacts a public registry unasked (no ``# syntax=``; the SBOM
  generator comes from the source, like a base).

Dockerfile variants of one source share their compile instructions verbatim: the suite's first one builds first, and the
others reuse its layers. If they run in parallel anyway, BuildKit merges equal steps in flight.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from deadweight._errors import (
    ArchiveError,
    CommandError,
    ConfigError,
    DeadweightError,
    MissingError,
    UsageError,
    wording,
)
from deadweight.builders.dockerfile import buildkit
from deadweight.builders.dockerfile.copy import Build, args_of, ignore_rules, missing_secrets, prepared, secret_inputs
from deadweight.builders.protocol import BuiltImage, Inputs, Job, Needs, Site, Step, WrongKey
from deadweight.builders.shared import archive as archives, common
from deadweight.builders.variants import DockerfileVariant
from deadweight.records.built_image import Base
from deadweight.records.paths import content
from deadweight.records.reference import parse
from deadweight.sources.adapt_dockerfile import Dockerfile, places, read_dockerfile
from deadweight.suite.explain import did_you_mean

if TYPE_CHECKING:
    from deadweight.engine.images import Identity

POOLED = "buildkit of a pool"
"""What a fingerprint calls a pool. No version is in it: which endpoint is free must not decide what is up to date."""


class DockerfileBuilder:
    """``dockerfile``, ``source`` (the context), ``target``, ``bases``, ``args``, ``secrets``, ``ssh``."""

    name = "dockerfile"
    record = DockerfileVariant

    def needs(self, variant: DockerfileVariant, root: Path) -> Needs:
        """Raises ConfigError: files missing, no Dockerfile in it, a base's ARG or the target that it does not have."""
        dockerfile = _read(variant, root)
        common.need_source(variant, root)
        try:
            dockerfile.chain(variant.target)
        except ConfigError as error:
            raise WrongKey(variant, "target", error.problem, dockerfile.file, hint=error.hint) from None
        for name in variant.bases:
            if name not in dockerfile.args:
                problem = wording("dockerfile.no_such_arg", name=name, known=", ".join(dockerfile.args) or "none")
                raise WrongKey(variant, ("bases", name), problem, dockerfile.file)
        for key, path in missing_secrets(variant, root):
            raise WrongKey(variant, key, wording("builders.no_such_file", root=root), path)
        named = _references(dockerfile, variant)
        podman = buildkit.running_podman()
        if podman is not None:
            buildkit.refuse_what_it_cannot(dockerfile, podman)
        check_attestations(variant, root)
        tools = ("docker-cli" if podman is None else "podman", *(("buildx",) if variant.attest is not None else ()))
        pooled = Needs(("buildctl",), bases=tuple(named), named=named)
        return replace(pooled, tools=tools, engine=True, pooled=pooled)

    def steps(self, variant: DockerfileVariant, site: Site) -> tuple[Step, ...]:
        pooled, podman = site.pool is not None, None if site.pool else buildkit.running_podman()
        if podman is not None and not buildkit.store_of(podman).here:
            problem = wording("dockerfile.podman_elsewhere", host=podman.host)
            raise WrongKey(variant, "builder", problem, site.root)
        if pooled:
            check_attestations(variant, site.root, pooled=True)
        dockerfile = _read(variant, site.root)
        bases = {reference: site.source.base(reference) for reference in _references(dockerfile, variant)}
        ignore = ignore_rules(dockerfile, variant, site)
        values = {
            "engine": f"{POOLED} for {common.architecture().oci}" if pooled else buildkit.version(),
            "target": variant.target or "",
            **({"attest": variant.attest.model_dump_json()} if variant.attest else {}),
            "ignore": "\n".join(ignore.written),
            **{f"argument {name}": value for name, value in variant.args.items()},
            **common.base_values(bases),
        }

        files = (dockerfile.file, site.root / variant.source, *secret_inputs(variant, site.root))
        return (
            Step(
                key=f"image:{variant.name}",
                variant=variant.name,
                title=f"docker build {variant.name}",
                inputs=Inputs(files, ignore.all, values),
                there=partial(_there, variant, site),
                work=partial(self._work, variant, site, bases, dockerfile),
                # an endpoint joins equal steps in flight
                behind=() if pooled else _first_of_source(variant, site),
                pooled=pooled,
            ),
        )

    def archive(self, variant: DockerfileVariant, built: BuiltImage, site: Site) -> Path:
        """``docker image save``, once per build. Raises MissingError where the engine has another image or none."""
        if not built.in_engine:
            return archives.made_by_the_build(variant, built, site)
        path = archives.archive_path(variant, site)
        if archives.holds(path, built.config_digest):
            return path
        if not buildkit.has(built):
            raise MissingError(wording("dockerfile.image_gone", image=built.reference, variant=variant.name))
        site.engine().images.save(built.reference, path)
        held = archives.image_in(path)
        if held.config_digest != built.config_digest:
            path.unlink()
            digests = {"found": held.config_digest, "expected": built.config_digest}
            raise ArchiveError(wording("dockerfile.other_image", variant=variant.name, **digests))
        return path

    def _work(
        self, variant: DockerfileVariant, site: Site, bases: dict[str, Base], dockerfile: Dockerfile, job: Job
    ) -> BuiltImage:
        from deadweight._packages import pool

        if site.pool is None:
            check_attestations(variant, site.root)
        with prepared(variant, site, bases, dockerfile, job) as build:
            return self._build(build) if site.pool is None else pool.build_dockerfile(build, site.pool)

    def _build(self, build: Build) -> BuiltImage:
        variant, site, listener = build.variant, build.site, build.listener()
        name, id_file = common.image_name(site.suite, variant), build.work / "id"
        flags: list[str | Path] = ["--tag", name, "--iidfile", id_file]
        if variant.attest is not None and variant.attest.provenance:
            flags.append(f"--attest=type=provenance,mode={variant.attest.provenance}")
        if variant.generator:
            flags.append(f"--attest=type=sbom,generator={common.pinned(build.bases[variant.generator])}")
        try:
            run = partial(build.run, cwd=site.root, log=build.job.log)
            buildkit.build([*flags, *build.words], build.environment, listener, run)
        except CommandError as error:
            raise build.failure(listener, error, lambda: buildkit.full_disk(site)) from None
        image_id = content(id_file).decode().strip()
        if not image_id:
            raise DeadweightError(wording("dockerfile.no_image_id", variant=variant.name))
        identity = self._identity(site, variant, name, f"sha256:{image_id.removeprefix('sha256:')}")
        assert identity.config is not None
        info = site.engine().info
        return build.result(
            listener,
            identity.config,
            f"{info.name.lower()} {info.version}",
            reference=buildkit.keep(site, variant, name, identity.engine_id, identity.config),
            manifest_digest=identity.manifest,
            index_digest=identity.index,
            engine_id=identity.engine_id,
            in_engine=True,
        )

    def _identity(self, site: Site, variant: DockerfileVariant, name: str, image_id: str) -> Identity:
        """All that the new image goes by. Where the engine does not tell its config, its archive does, made now, not later."""
        known = buildkit.identity(site, variant, name, image_id)
        if known.config is not None:
            return known
        path = archives.archive_path(variant, site)
        site.engine().images.save(known.engine_id, path)
        held = archives.image_in(path)
        manifest = known.manifest or held.manifest_digest
        # an engine before 28 does not say of which document its id is
        index = known.engine_id if manifest is not None and known.engine_id != manifest else None
        return replace(known, config=held.config_digest, manifest=manifest, index=known.index or index)


def _there(variant: DockerfileVariant, site: Site) -> bool:
    if site.pool is not None:
        return archives.there(variant, site)
    built = archives.last_built(variant, site.state)
    return built is not None and buildkit.has(built)


def _read(variant: DockerfileVariant, root: Path) -> Dockerfile:
    if not variant.dockerfile:
        raise WrongKey(variant, "dockerfile", wording("dockerfile.no_dockerfile"), root)
    return read_dockerfile(common.need_file(variant, "dockerfile", root, variant.dockerfile))


def _first_of_source(variant: DockerfileVariant, site: Site) -> tuple[str, ...]:
    """The variant to wait for: the first of its source. What ``init`` wrote takes nothing from what own Dockerfiles make, so it
    waits for the first of its own kind."""
    kind = variant.builder, variant.source
    first = site.first_of_source.get(kind, variant.name)
    if variant.dockerfile in site.generated:
        alike = (other for other in site.suite.variants if (other.builder, other.source) == kind)
        first = next(other.name for other in alike if getattr(other, "dockerfile", "") in site.generated)
    return () if first == variant.name else (f"image:{first}",)


def _references(dockerfile: Dockerfile, variant: DockerfileVariant) -> dict[str, str]:
    """All public images that this build takes, with where each is named: by ``bases`` or ``attest``, or by the Dockerfile itself.

    Raises ConfigError for what the Dockerfile names and is no reference.
    """
    named = {reference: f"bases.{name}" for name, reference in variant.bases.items()}
    stages = [stage.name for stage in dockerfile.stages if stage.name]
    if variant.generator:
        named[variant.generator] = "attest.sbom"
    for reference, line in places(dockerfile.text, args_of(variant)).items():
        try:
            parse(reference)
        except UsageError as error:
            raise ConfigError(error.message, file=dockerfile.file, line=line, hint=error.hint) from None
        meant = did_you_mean(
            reference, stages
        )  # a misspelt stage in ``COPY --from`` is an image to Docker, which then is nowhere
        instead = f", where no stage is called {reference!r}{meant}" if meant else ""
        named.setdefault(reference, f"{variant.dockerfile}:{line}{instead}")
    return named


# What BuildKit is to attest of a build, and why an engine cannot keep it: containerd's image store alone does.
def check_attestations(variant: DockerfileVariant, root: Path, *, pooled: bool = False) -> None:
    """Raises WrongKey (ConfigError) if the engine that runs, or a pool, would drop what the suite asks for. Starts no engine."""
    if variant.attest is None:
        return
    problem = wording("dockerfile.pool_attests_nothing") if pooled else buildkit.keeps_no_attestations()
    if problem:
        raise WrongKey(variant, "attest", problem, root)
