"""Build an image from a Dockerfile with BuildKit, through the engine.

* Bases are passed as build arguments (``bases:`` maps an ``ARG`` to a public reference), pinned by digest. Images that the
  Dockerfile names itself (``FROM ubuntu:23.10``) are resolved and pinned in the same way.
* So the build uses a copy of the Dockerfile. An ignore file next to it keeps non-inputs out of the context (``shared.inputs``).
* Proxies are passed as BuildKit's predefined arguments, which stay out of history and layers. The source's other variables
  (``GOPROXY``) and its CA bundle are offered as secrets (``id=GOPROXY``, ``id=ca_bundle``); RUN lines of the copy mount those
  that their programs understand (``build_network``).
* Java programs read neither. A trust store made from the bundle (``id=java_trust_store``) and Maven settings made from the
  proxies (``id=maven_settings``) are offered to a Dockerfile that mounts them.
* Nothing here needs more than engine 20.10, and nothing contacts a public registry unasked (no ``# syntax=``; the SBOM
  generator comes from the source, like a base).

Dockerfile variants of one source share their compile instructions verbatim: the suite's first one builds first, and the
others reuse its layers. If they run in parallel anyway, BuildKit merges equal steps in flight.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
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
from deadweight.builders.dockerfile import buildkit, secrets
from deadweight.builders.dockerfile.copy import (
    IGNORE_FILE,
    build_arguments,
    copied,
    given,
    ignore_rules,
    last_base,
    reach_of,
)
from deadweight.builders.dockerfile.errors import DockerListener
from deadweight.builders.dockerfile.podman import elsewhere, refuse_what_it_cannot
from deadweight.builders.dockerfile.text import Dockerfile, read_dockerfile
from deadweight.builders.protocol import BuiltImage, Inputs, Job, Needs, Site, Step, WrongKey
from deadweight.builders.shared import common
from deadweight.builders.shared.archive import (
    archive_path,
    holds,
    image_in,
    last_built,
    made_by_the_build,
    result,
    scratch,
    there,
)
from deadweight.builders.variants import DockerfileVariant
from deadweight.records.built_image import Base
from deadweight.suite.explain import did_you_mean

if TYPE_CHECKING:
    from deadweight.engine.images import Identity
    from deadweight_pool.pool import Pool

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
                known = ", ".join(dockerfile.args) or "none"
                raise WrongKey(
                    variant, ("bases", name), wording("dockerfile.no_such_arg", name=name, known=known), dockerfile.file
                )
        for key, path in secrets.missing(variant, root):
            raise WrongKey(variant, key, wording("builders.no_such_file", root=root), path)
        named = _references(dockerfile, variant)
        podman = buildkit.running_podman()
        if podman is not None:
            refuse_what_it_cannot(dockerfile.file, podman)
        tools = ["docker-cli" if podman is None else "podman"]
        check_attestations(variant, root)
        tools += ["buildx"] if variant.attest is not None else []
        pooled = Needs(("buildctl",), bases=tuple(named), named=named)
        return replace(pooled, tools=tuple(tools), engine=True, pooled=pooled)

    def steps(self, variant: DockerfileVariant, site: Site) -> tuple[Step, ...]:
        if site.pool is not None:
            check_attestations(variant, site.root, pooled=True)
        else:
            _refuse_podman_elsewhere(variant, site.root)
        text = _read(variant, site.root)
        bases = {reference: site.source.base(reference) for reference in _references(text, variant)}
        dockerfile = text.file
        ignore = ignore_rules(dockerfile, variant, site)
        values = {
            "engine": buildkit.version() if site.pool is None else POOLED,
            "target": variant.target or "",
            **({"attest": variant.attest.model_dump_json()} if variant.attest else {}),
            "ignore": "\n".join(ignore.written),
            **{f"argument {name}": value for name, value in variant.args.items()},
            **common.base_values(bases),
        }
        files = (dockerfile, site.root / variant.source, *secrets.inputs(variant, site.root))
        return (
            Step(
                key=f"image:{variant.name}",
                variant=variant.name,
                title=f"docker build {variant.name}",
                inputs=Inputs(files, ignore.all, values),
                there=lambda: _there(variant, site) if site.pool is None else there(variant, site),
                work=lambda job: (
                    self._build(variant, site, bases, job)
                    if site.pool is None
                    else _elsewhere(variant, site, site.pool, bases, job, text)
                ),
                # an endpoint joins equal steps in flight
                behind=_first_of_source(variant, site) if site.pool is None else (),
                pooled=site.pool is not None,
            ),
        )

    def archive(self, variant: DockerfileVariant, built: BuiltImage, site: Site) -> Path:
        """``docker image save``, once per build. Raises MissingError where the engine has another image or none."""
        if not built.in_engine:
            return made_by_the_build(variant, built, site)
        path = archive_path(variant, site)
        if holds(path, built.config_digest):
            return path
        if not buildkit.has(built):
            raise MissingError(wording("dockerfile.image_gone", image=built.reference, variant=variant.name))
        site.engine().images.save(built.reference, path)
        held = image_in(path)
        if held.config_digest != built.config_digest:
            path.unlink()
            raise ArchiveError(
                wording(
                    "dockerfile.other_image",
                    variant=variant.name,
                    found=held.config_digest,
                    expected=built.config_digest,
                )
            )
        return path

    def _build(self, variant: DockerfileVariant, site: Site, bases: dict[str, Base], job: Job) -> BuiltImage:
        dockerfile = _read(variant, site.root)
        check_attestations(variant, site.root)
        name = common.image_name(site.suite, variant)
        environment = dict(site.source.environment().variables)
        secrets.generate(variant, site.root)
        used = secrets.Used(variant, site)
        listener = DockerListener(job.say, variant.dockerfile or "Dockerfile", dockerfile.lines())
        with scratch(variant, site) as work:
            reach = reach_of(dockerfile, variant, site, environment)
            copy = copied(dockerfile, variant, bases, site, work, reach)
            listener.added = copy.added
            if copy.otherwise:
                job.say(
                    f"{variant.name}: this engine does not know {', '.join(copy.otherwise)}: said in older words for it"
                )
            flags: list[str | Path] = [
                *("--tag", name, "--iidfile", work / "id"),
                *attestation_flags(variant, bases),
                *build_arguments(dockerfile, variant, bases, site, copy.file, work, reach, anew=used.changed()),
            ]
            try:
                buildkit.build(
                    site, flags, env={**environment, **reach.environment()}, log=job.log, on_line=listener,
                    redact=common.secret_values(environment), ignore=work / IGNORE_FILE,
                )  # fmt: skip
            except CommandError as error:
                raise listener.failure(
                    error,
                    variant.name,
                    stand_in=any(base.stand_in for base in bases.values()),
                    full_disk=lambda: buildkit.full_disk(site),
                    advice=reach.advice,
                ) from None
            told = _image_id(work / "id", variant)
        job.took("warm" if dockerfile.has_cache_mounts and listener.cache == "cold" else listener.cache)
        found = self._identity(site, variant, name, told)
        used.remember()
        within = {each: base for each, base in bases.items() if each != sbom_generator(variant)}
        return self._built(site, variant, found, last_base(dockerfile, variant, bases), within)

    def _built(
        self, site: Site, variant: DockerfileVariant, found: Identity, last: Base | None, bases: dict[str, Base]
    ) -> BuiltImage:
        assert found.config is not None
        made = result(variant, site, digest=found.config, base=last, tool=buildkit.tool())
        return replace(
            made,
            reference=buildkit.keep(site, variant, made.reference, found.engine_id, found.config),
            manifest_digest=found.manifest,
            index_digest=found.index,
            engine_id=found.engine_id,
            in_engine=True,
            other_stand_ins=tuple(each for each, base in bases.items() if base.stand_in and base != last),
        )

    def _identity(self, site: Site, variant: DockerfileVariant, name: str, told: str) -> Identity:
        """All that the new image goes by. Where the engine does not tell its config, its archive does, made now, not later."""
        found = buildkit.identity(site, variant, name, told)
        if found.config is not None:
            return found
        path = archive_path(variant, site)
        site.engine().images.save(found.engine_id, path)
        held = image_in(path)
        manifest = found.manifest or held.manifest_digest
        # an engine before 28 does not say of which document its id is
        index = found.engine_id if manifest is not None and found.engine_id != manifest else None
        return replace(found, config=held.config_digest, manifest=manifest, index=found.index or index)


def _refuse_podman_elsewhere(variant: DockerfileVariant, root: Path) -> None:
    podman = buildkit.running_podman()
    if podman is not None and elsewhere(podman):
        raise WrongKey(variant, "builder", wording("dockerfile.podman_elsewhere", host=podman.host), root)


def _elsewhere(
    variant: DockerfileVariant, site: Site, pool: Pool, bases: dict[str, Base], job: Job, dockerfile: Dockerfile
) -> BuiltImage:
    from deadweight._packages import pool as pools

    return pools.build_dockerfile(variant, site, pool, bases, job, dockerfile)


def _read(variant: DockerfileVariant, root: Path) -> Dockerfile:
    if not variant.dockerfile:
        raise WrongKey(variant, "dockerfile", wording("dockerfile.no_dockerfile"), root)
    return read_dockerfile(common.need_file(variant, "dockerfile", root, variant.dockerfile))


def _there(variant: DockerfileVariant, site: Site) -> bool:
    built = last_built(variant, site.state)
    return built is not None and buildkit.has(built)


def _first_of_source(variant: DockerfileVariant, site: Site) -> tuple[str, ...]:
    """The variant to wait for: the first of its source. What ``init`` wrote takes nothing from what own Dockerfiles make, so it
    waits for the first of its own kind."""
    first = site.first_of_source.get((variant.builder, variant.source), variant.name)
    if variant.dockerfile in site.generated:
        alike = (
            each for each in site.suite.variants if (each.builder, each.source) == (variant.builder, variant.source)
        )
        first = next(variant.name for variant in alike if getattr(variant, "dockerfile", "") in site.generated)
    return () if first == variant.name else (f"image:{first}",)


def _references(dockerfile: Dockerfile, variant: DockerfileVariant) -> dict[str, str]:
    """All public images that this build takes, with where each is named: by ``bases`` or ``attest``, or by the Dockerfile itself.

    Raises ConfigError for what the Dockerfile names and is no reference.
    """
    from deadweight.records.reference import parse
    from deadweight.sources.adapt_dockerfile import places

    named = {reference: f"bases.{name}" for name, reference in variant.bases.items()}
    if sbom_generator(variant):
        named[sbom_generator(variant)] = "attest.sbom"
    for reference, line in places(dockerfile.file.read_text(encoding="utf-8-sig"), given(variant)).items():
        try:
            parse(reference)
        except UsageError as error:
            raise ConfigError(error.message, file=dockerfile.file, line=line, hint=error.hint) from None
        named.setdefault(reference, f"{variant.dockerfile}:{line}{_or_a_stage(reference, dockerfile)}")
    return named


def _or_a_stage(reference: str, dockerfile: Dockerfile) -> str:
    """A misspelt stage in ``COPY --from`` is an image to Docker, which then is nowhere."""
    stages = [stage.name for stage in dockerfile.stages if stage.name]
    meant = did_you_mean(reference, stages)
    return f", where no stage is called {reference!r}{meant}" if meant else ""


def _image_id(file: Path, variant: DockerfileVariant) -> str:
    try:
        digest = file.read_text().strip()
    except OSError as error:
        raise DeadweightError(wording("dockerfile.no_image_id", variant=variant.name)) from error
    return digest if digest.startswith("sha256:") else f"sha256:{digest}"


# What BuildKit is to attest of a build, and why an engine cannot keep it: containerd's image store alone does.
def check_attestations(variant: DockerfileVariant, root: Path, *, pooled: bool = False) -> None:
    """Raises WrongKey (ConfigError) if the engine that runs, or a pool, would drop what the suite asks for. Starts no engine."""
    if variant.attest is None:
        return
    problem = wording("dockerfile.pool_attests_nothing") if pooled else buildkit.keeps_no_attestations()
    if problem:
        raise WrongKey(variant, "attest", problem, root)


def sbom_generator(variant: DockerfileVariant) -> str:
    """The public reference of the image that makes the SBOM; empty where none is asked for."""
    return variant.attest.generator if variant.attest is not None else ""


def attestation_flags(variant: DockerfileVariant, bases: Mapping[str, Base]) -> list[str]:
    """The flags for a build; ``bases`` tells where the source has the generator."""
    if variant.attest is None:
        return []
    flags = [f"--attest=type=provenance,mode={variant.attest.provenance}"] if variant.attest.provenance else []
    makes = sbom_generator(variant)
    return [*flags, *([f"--attest=type=sbom,generator={common.pinned(bases[makes])}"] if makes else [])]
