"""Build a Dockerfile on a pool endpoint and return an image archive; no local engine is needed.

What variants share decides where they build: the first base, where slow instructions usually are, and the source's lock files,
which say what those instructions download.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from deadweight import _run
from deadweight._errors import ArchiveError, CommandError
from deadweight.builders.dockerfile import secrets
from deadweight.builders.dockerfile.copy import Reach, build_arguments, copied, given, last_base, reach_of
from deadweight.builders.dockerfile.errors import DockerListener
from deadweight.builders.protocol import BuiltImage, Job, Site
from deadweight.builders.shared import archive as archives
from deadweight.builders.shared import common
from deadweight.builders.variants import DockerfileVariant
from deadweight.records.built_image import BUILT_FILE, Base
from deadweight.records.store import load, save
from deadweight.sources.adapt_dockerfile import Dockerfile
from deadweight.suite.model import PoolCache
from deadweight.toolchain.find import find
from deadweight_pool.dispatch import Work
from deadweight_pool.endpoint import wording
from deadweight_pool.pool import Attempt, Made, Pool

if TYPE_CHECKING:
    from deadweight_images.archive.model import Image


# One build on one endpoint, by ``buildctl``: the same words as ``docker build`` takes, and an image archive that
# comes back.
#
# Why buildctl, and not ``docker buildx``: it speaks to every kind of endpoint by itself, keeps nothing on disk, and needs no
# builder to be made, named and removed. It is pinned, so all builds of a pool go through one version.
#
# Times of files and of the image are fixed (``SOURCE_DATE_EPOCH``, ``rewrite-timestamp``), so that it does not matter which
# endpoint built it: the same inputs give the same digest.
def translated(words: Sequence[str | Path], environment: Mapping[str, str]) -> Iterator[str]:
    """From the words of ``docker build`` to those of buildctl.

    A proxy with a password is left out: arguments can be seen by everybody on this machine, and buildctl takes no others.
    """
    left = [str(word) for word in words]
    while len(left) > 1:
        word = left.pop(0)
        if word == "--no-cache":
            yield word
            continue
        value = left.pop(0)
        if word == "--file":
            yield from ("--local", f"dockerfile={Path(value).parent}", "--opt", f"filename={Path(value).name}")
        elif word == "--target":
            yield from ("--opt", f"target={value}")
        elif word == "--build-arg":
            whole = value if "=" in value else f"{value}={environment.get(value, '')}"
            if "=" in value or "@" not in whole:
                yield from ("--opt", f"build-arg:{whole}")
        elif word in ("--secret", "--ssh"):
            yield from (word, value)
        else:
            raise AssertionError(f"no word of buildctl for {word}")
    yield from ("--local", f"context={left[0]}")


def _contexts(contexts: Mapping[str, Path]) -> Iterator[str]:
    for index, (reference, folder) in enumerate(contexts.items()):
        digest = reference.rpartition("@")[2]
        yield from ("--oci-layout", f"base{index}={folder}")
        yield from ("--opt", f"context:{reference}=oci-layout://base{index}@{digest}")


# Layers that endpoints share through a cache: read always, written where what was written is used.
#
# Whether it is used is measured: of a build on an endpoint that never built the variant before, steps that were there already
# came out of the cache. Three exports in a row that nothing used end the exporting, until an endpoint that is new to the variant
# builds it. A cache that cannot be written costs no build.
UNUSED = 3
IGNORE = "ignore-error="
_STEP = re.compile(r"^#(\d+) (.*)$")


@dataclass(frozen=True)
class Uses:
    """Of one variant: the endpoints that built it, the exports since one was last used, and how many were used in all."""

    endpoints: tuple[str, ...] = ()
    unused: int = 0
    used: int = 0


@dataclass(frozen=True)
class Notes:
    """What is kept of the variant's exports, in a file of the project's cache."""

    folder: Path

    def of(self, variant: str) -> Uses:
        return load(Uses, self.folder / f"{variant}.json") or Uses()

    def built(self, variant: str, endpoint: str, *, found: bool, exported: bool) -> None:
        """Note a build; ``found``: steps were there already."""
        uses = self.of(variant)
        if endpoint not in uses.endpoints:
            if uses.endpoints and found:
                uses = replace(uses, unused=0, used=uses.used + 1)
            uses = replace(uses, endpoints=(*uses.endpoints, endpoint))
        save(replace(uses, unused=uses.unused + exported), self.folder / f"{variant}.json")


def exports(cache: PoolCache, uses: Uses, endpoint: str) -> bool:
    """Whether this build is to write its layers to the cache."""
    if cache.export is None or cache.when == "never":
        return False
    return cache.when == "always" or uses.unused < UNUSED or endpoint not in uses.endpoints


def words(cache: PoolCache, *, variant: str, service: str, export: bool) -> list[str]:
    """buildctl's words for it."""

    def filled(text: str) -> str:
        return text.replace("{variant}", variant).replace("{service}", service or variant)

    found = [word for source in cache.read for word in ("--import-cache", filled(source))]
    if export and cache.export is not None:
        text = filled(cache.export)
        found += ["--export-cache", text if IGNORE in text else f"{text},{IGNORE}true"]
    return found


class Listener:
    """Hears what BuildKit says of writing the cache, and hands every line on. ``failed`` is why it was not written."""

    def __init__(self, on_line: Callable[[str], None]) -> None:
        self._on_line, self._writing, self.failed = on_line, "", ""

    def __call__(self, line: str) -> None:
        self._on_line(line)
        step = _STEP.match(line)
        if step is None:
            return
        if step[2].startswith("exporting cache to "):
            self._writing = step[1]
        elif step[1] == self._writing and step[2].startswith("ERROR: "):
            self.failed = step[2].removeprefix("ERROR: ")


LOCKS = (
    "go.sum", "package-lock.json", "pnpm-lock.yaml", "yarn.lock", "bun.lock", "Cargo.lock", "poetry.lock", "uv.lock",
    "Pipfile.lock", "pdm.lock", "requirements.txt", "gradle.lockfile", "pom.xml",
    "Gemfile.lock", "composer.lock", "packages.lock.json", "mix.lock",
)  # fmt: skip
_VARIABLE = re.compile(r"\$\{?(\w+)")


def build(
    variant: DockerfileVariant, site: Site, pool: Pool, bases: dict[str, Base], job: Job, dockerfile: Dockerfile
) -> BuiltImage:
    """Build it somewhere.

    Raises CommandError for a build that fails, MissingError where no endpoint is left,
    ArchiveError for an image of another platform.
    """
    environment = dict(site.source.environment().variables)
    secrets.generate(variant, site.root)
    used = secrets.Used(variant, site)
    with archives.scratch(variant, site) as work:
        reach = reach_of(dockerfile, variant, site, environment)
        own = work / "dockerfile"
        own.mkdir()
        copy = copied(dockerfile, variant, bases, site, own, reach)
        words = build_arguments(dockerfile, variant, bases, site, copy.file, work, reach, anew=used.changed())
        contexts = layout_contexts(copy.file.read_text(encoding="utf-8"), bases, site)
        one = _One(variant, site, pool, bases, job, dockerfile, copy.added, words, contexts, reach, environment, work)
        last = load(BuiltImage, site.state.image(variant.name) / BUILT_FILE)
        key, seconds = shared(variant, site, bases, dockerfile), last.seconds if last else 0.0
        try:
            made = pool.build(Work(variant.name, key, platform(), seconds), one.run)
        except CommandError as error:
            raise one.failure(error) from None
        image = archives.image_in(made.archive)
        if (actual := f"{image.config.os}/{image.config.architecture}") != platform():
            fields = {"endpoint": made.endpoint.name, "actual": actual, "expected": platform()}
            raise ArchiveError(wording("build.platform", **fields))
        archives.keep(variant, site, made.archive, None)
    used.remember()
    return one.finished(image, made)


def platform() -> str:
    """What is built: for this machine, which will run it."""
    return f"linux/{common.architecture().oci}"


def shared(variant: DockerfileVariant, site: Site, bases: Mapping[str, Base], dockerfile: Dockerfile) -> str:
    """What this variant shares with others that should be built where it is: the first stage's base, and lock files or source."""
    written = dockerfile.stages[0].base
    name = _VARIABLE.match(written)
    reference = given(variant).get(name[1], dockerfile.args.get(name[1]) or "") if name else written
    base = bases.get(reference)
    what = (base.digest or base.resolved if base else reference).encode()
    source = site.root / variant.source
    locks = b"".join((source / each).read_bytes() for each in LOCKS if (source / each).is_file())
    return hashlib.sha256(what + (locks or variant.source.encode())).hexdigest()


@dataclass
class _One:
    """One variant's build, as each endpoint is asked for it.

    ``words`` are those of ``docker build`` after the word ``build``, the context last. ``contexts`` maps an image's reference to an
    OCI layout folder that holds it: images that only this machine can reach.
    """

    variant: DockerfileVariant
    site: Site
    pool: Pool
    bases: dict[str, Base]
    job: Job
    dockerfile: Dockerfile
    added: tuple[str, ...]
    words: Sequence[str | Path]
    contexts: Mapping[str, Path]
    reach: Reach
    environment: Mapping[str, str]
    work: Path
    listeners: dict[int, DockerListener] = field(default_factory=dict)
    exported: dict[str, bool] = field(default_factory=dict)

    def run(self, attempt: Attempt) -> Path:
        """Build on one endpoint; gives the archive."""
        endpoint, archive = attempt.endpoint, self.work / f"{attempt.number}.tar"
        self.job.say(f"on {endpoint.name}")
        file = self.variant.dockerfile or "Dockerfile"
        listener = DockerListener(self.job.say, file, self.dockerfile.lines())
        listener.added = self.added
        self.listeners[attempt.number] = listener
        uses = Notes(self.site.state.cache / "pool").of(self.variant.name)
        export = exports(self.pool.cache, uses, endpoint.name)
        self.exported[endpoint.name] = export
        more = words(self.pool.cache, variant=self.variant.name, service=self.variant.service, export=export)
        heard = Listener(listener)
        try:
            self._buildctl(attempt, archive, more, heard)
        except CommandError as error:
            self.listeners[id(error)] = listener
            raise
        if heard.failed:
            self.exported[endpoint.name] = False
            what = f"{endpoint.name} could not write its layers to the cache: {heard.failed}"
            self.pool.journal.note(what, variant=self.variant.name, loud=True)
        return archive

    def _buildctl(self, attempt: Attempt, archive: Path, more: Sequence[str], on_line: Callable[[str], None]) -> None:
        """Build, and write the image to ``archive``. ``more`` are buildctl's own words (caches). Raises CommandError."""
        environment = {**self.environment, **self.reach.environment()}
        name = common.image_name(self.site.suite, self.variant)
        argv: list[str] = [
            str(find("buildctl").path),
            *attempt.endpoint.words,
            *("build", "--progress=plain", "--frontend=dockerfile.v0", "--opt", f"platform={platform()}"),
            *("--opt", f"build-arg:SOURCE_DATE_EPOCH={common.EPOCH}"),
            *translated(self.words, environment),
            *_contexts(self.contexts),
            *more,
            *("--output", f"type=docker,name={name},dest={archive},rewrite-timestamp=true"),
        ]
        log = self.job.log
        if attempt.number > 1:  # it may run beside the first: it has a log of its own
            log = log.with_name(f"{log.stem}.{attempt.number}.log")
            log.unlink(missing_ok=True)
        env, redact = {**environment, **attempt.endpoint.env}, common.secret_values(self.environment)
        seconds = common.BUILD_TIMEOUT_SECONDS
        _run.run(argv, env=env, timeout=seconds, log=log, on_line=on_line, redact=redact, stop=attempt.stop)

    def failure(self, error: CommandError) -> CommandError:
        """The failure in the words of the instruction that failed."""
        listener = self.listeners.get(id(error))
        if listener is None:
            return error
        return listener.failure(
            error,
            self.variant.name,
            stand_in=any(base.stand_in for base in self.bases.values()),
            full_disk=lambda: wording("build.disk_full"),
            advice=self.reach.advice,
        )

    def finished(self, image: Image, made: Made) -> BuiltImage:
        """Note what was taken from earlier builds; gives the record of the image."""
        cache, name = self.listeners[int(made.archive.stem)].cache, made.endpoint.name
        self.job.took("warm" if self.dockerfile.has_cache_mounts and cache == "cold" else cache)
        notes, exported = Notes(self.site.state.cache / "pool"), self.exported.get(name, False)
        notes.built(self.variant.name, name, found=cache != "cold", exported=exported)
        digest, tool = image.config_digest, f"buildkit {made.version}"
        last = last_base(self.dockerfile, self.variant, self.bases)
        return replace(
            archives.result(self.variant, self.site, digest=digest, base=last, tool=tool),
            manifest_digest=image.manifest_digest,
            other_stand_ins=tuple(each for each, base in self.bases.items() if base.stand_in and base != last),
            built_on=f"{name} ({made.endpoint.address}, BuildKit {made.version})",
            decisions=made.decisions,
        )


# Images that only this machine can reach, for a build on another: they go along as OCI layouts, once to each endpoint.
_LOOPBACK = re.compile(r"(?:127\.\d+\.\d+\.\d+|localhost|\[::1\])(?::\d+)?/[\w./-]+@sha256:[0-9a-f]{64}")


def layout_contexts(dockerfile: str, bases: Mapping[str, Base], site: Site) -> dict[str, Path]:
    """The folder of each such image, by its reference: those that the Dockerfile names, and those of its build arguments."""
    named = _LOOPBACK.findall(" ".join([dockerfile, *(base.resolved for base in bases.values())]))
    return {reference: site.source.layout(reference) for reference in dict.fromkeys(named)}
