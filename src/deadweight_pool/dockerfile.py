"""Build a Dockerfile on an endpoint of the pool. What comes back is an image archive; no engine is needed, and none gets the image.

What variants share decides where they go: the first base, where the instructions that take long usually are, and the source's lock
files, which say what those instructions download.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from deadweight._errors import ArchiveError, CommandError
from deadweight.builders.dockerfile import secrets
from deadweight.builders.dockerfile.build_network import Reach
from deadweight.builders.dockerfile.copy import build_arguments, copied, given, last_base, reach_of
from deadweight.builders.dockerfile.errors import DockerListener
from deadweight.builders.dockerfile.text import Dockerfile
from deadweight.builders.dockerfile.variant import DockerfileVariant
from deadweight.builders.protocol import BuiltImage, Job, Site
from deadweight.builders.shared import archive as archives
from deadweight.builders.shared import common
from deadweight.records.built_image import BUILT_FILE, Base
from deadweight.records.store import load
from deadweight_pool import buildctl, cache
from deadweight_pool.build import Attempt, Made
from deadweight_pool.dispatch import Work
from deadweight_pool.pool import Pool

if TYPE_CHECKING:
    from deadweight_images.archive.model import Image

LOCKS = (
    "go.sum", "package-lock.json", "pnpm-lock.yaml", "yarn.lock", "bun.lock", "Cargo.lock", "poetry.lock", "uv.lock",
    "Pipfile.lock", "pdm.lock", "requirements.txt", "gradle.lockfile", "pom.xml",
    "Gemfile.lock", "composer.lock", "packages.lock.json", "mix.lock",
)  # fmt: skip
_VARIABLE = re.compile(r"\$\{?(\w+)")


def build(
    variant: DockerfileVariant, site: Site, pool: Pool, bases: dict[str, Base], job: Job, dockerfile: Dockerfile
) -> BuiltImage:
    """Build it somewhere. Raises CommandError for a build that fails, MissingError where no endpoint is left."""
    environment = dict(site.source.environment().variables)
    secrets.generate(variant, site.root)
    used = secrets.Used(variant, site)
    with archives.scratch(variant, site) as work:
        reach = reach_of(dockerfile, variant, site, environment)
        own = work / "dockerfile"
        own.mkdir()
        copy = copied(dockerfile, variant, bases, site, own, reach)
        request = buildctl.Request(
            words=build_arguments(dockerfile, variant, bases, site, copy.file, work, reach, anew=used.changed()),
            name=common.image_name(site.suite, variant),
            platform=platform(),
            epoch=common.EPOCH,
            contexts=layout_contexts(copy.file.read_text(encoding="utf-8"), bases, site),
            environment={**environment, **reach.environment()},
            redact=common.secret_values(environment),
            timeout=common.BUILD_TIMEOUT_SECONDS,
        )
        one = _One(variant, site, pool, job, dockerfile, copy.added, request, work)
        last = load(BuiltImage, site.state.image(variant.name) / BUILT_FILE)
        wanted = Work(
            variant.name, shared(variant, site, bases, dockerfile), request.platform, last.seconds if last else 0.0
        )
        try:
            made = pool.build(wanted, one.run)
        except CommandError as error:
            raise one.failure(error, bases, reach) from None
        image = _checked(made, request)
        archives.keep(variant, site, made.result, None)
    used.remember()
    one.finish(made)
    return _built(variant, site, image, made, last_base(dockerfile, variant, bases), bases)


def platform() -> str:
    """What is built: for this machine, which will run it."""
    return f"linux/{common.architecture().oci}"


def shared(variant: DockerfileVariant, site: Site, bases: Mapping[str, Base], dockerfile: Dockerfile) -> str:
    """What this variant shares with others that should be built where it is: the first stage's base, and lock files or source."""
    written = dockerfile.stages[0].base
    name = _VARIABLE.match(written)
    reference = given(variant).get(name[1], dockerfile.args.get(name[1]) or "") if name else written
    base = bases.get(reference)
    source = site.root / variant.source
    locks = [source / each for each in LOCKS if (source / each).is_file()]
    what = hashlib.sha256((base.digest or base.resolved if base else reference).encode())
    for lock in locks:
        what.update(lock.read_bytes())
    if not locks:
        what.update(variant.source.encode())
    return what.hexdigest()


@dataclass
class _One:
    """One variant's build, as each endpoint is asked for it."""

    variant: DockerfileVariant
    site: Site
    pool: Pool
    job: Job
    dockerfile: Dockerfile
    added: tuple[str, ...]
    request: buildctl.Request
    work: Path
    listeners: dict[int, DockerListener] = field(default_factory=dict)
    exported: dict[str, bool] = field(default_factory=dict)

    @property
    def notes(self) -> cache.Notes:
        """What is known of the variant's exported layers."""
        return cache.Notes(self.site.state.cache / "pool")

    def run(self, attempt: Attempt) -> Path:
        """Build on one endpoint; gives the archive."""
        endpoint, archive = attempt.endpoint, self.work / f"{attempt.number}.tar"
        self.job.say(f"on {endpoint.name}")
        file = self.variant.dockerfile or "Dockerfile"
        listener = DockerListener(self.job.say, file, self.dockerfile.lines())
        listener.added = self.added
        self.listeners[attempt.number] = listener
        export = cache.exports(self.pool.cache, self.notes.of(self.variant.name), endpoint.name)
        self.exported[endpoint.name] = export
        more = cache.words(self.pool.cache, variant=self.variant.name, service=self.variant.service, export=export)
        heard = cache.Listener(listener)
        try:
            buildctl.build(self.request, attempt, archive, more, log=self._log(attempt), on_line=heard)
        except CommandError as error:
            self.listeners[id(error)] = listener
            raise
        if heard.failed:
            self.exported[endpoint.name] = False
            what = f"{endpoint.name} could not write its layers to the cache: {heard.failed}"
            self.pool.journal.note(what, variant=self.variant.name, loud=True)
        return archive

    def _log(self, attempt: Attempt) -> Path:
        """A second attempt may run beside the first: it has a log of its own."""
        if attempt.number == 1:
            return self.job.log
        log = self.job.log.with_name(f"{self.job.log.stem}.{attempt.number}.log")
        log.unlink(missing_ok=True)
        return log

    def failure(self, error: CommandError, bases: Mapping[str, Base], reach: Reach) -> CommandError:
        """The failure in the words of the instruction that failed."""
        listener = self.listeners.get(id(error))
        if listener is None:
            return error
        return listener.failure(
            error,
            self.variant.name,
            stand_in=any(base.stand_in for base in bases.values()),
            full_disk=lambda: (
                "the disk of the endpoint, or of the build itself, is full: see .deadweight/logs/pool.log for where"
            ),
            advice=reach.advice,
        )

    def finish(self, made: Made[Path]) -> None:
        """Note what was taken from earlier builds."""
        number = int(made.result.stem)
        listener = self.listeners[number]
        warm = self.dockerfile.has_cache_mounts and listener.cache == "cold"
        self.job.took("warm" if warm else listener.cache)
        name = made.endpoint.name
        found = listener.cache != "cold"
        self.notes.built(self.variant.name, name, found=found, exported=self.exported.get(name, False))


def _checked(made: Made[Path], request: buildctl.Request) -> Image:
    """The image that came back, which is of the platform that was asked for. Raises ArchiveError for any other."""
    image = archives.image_in(made.result)
    got = f"{image.config.os}/{image.config.architecture}"
    if got != request.platform:
        raise ArchiveError(
            f"{made.endpoint.name} built an image for {got}, expected {request.platform}",
            hint="its base is of another platform: name one that has both, or an endpoint that is of it",
        )
    return image


def _built(
    variant: DockerfileVariant,
    site: Site,
    image: Image,
    made: Made[Path],
    last: Base | None,
    bases: Mapping[str, Base],
) -> BuiltImage:
    found = archives.result(variant, site, digest=image.config_digest, base=last, tool=f"buildkit {made.version}")
    return replace(
        found,
        manifest_digest=image.manifest_digest,
        other_stand_ins=tuple(each for each, base in bases.items() if base.stand_in and base != last),
        built_on=f"{made.endpoint.name} ({made.endpoint.address}, BuildKit {made.version})",
        decisions=made.decisions,
    )


# Images that only this machine can reach, for a build on another: they go along as OCI layouts, once to each endpoint.
_LOOPBACK = re.compile(r"(?:127\.\d+\.\d+\.\d+|localhost|\[::1\])(?::\d+)?/[\w./-]+@sha256:[0-9a-f]{64}")


def layout_contexts(dockerfile: str, bases: Mapping[str, Base], site: Site) -> dict[str, Path]:
    """The folder of each such image, by its reference: those that the Dockerfile names, and those of its build arguments."""
    named = _LOOPBACK.findall(" ".join([dockerfile, *(base.resolved for base in bases.values())]))
    return {reference: site.source.layout(reference) for reference in dict.fromkeys(named)}
