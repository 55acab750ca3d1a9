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

from deadweight._errors import ArchiveError, CommandError
from deadweight.builders.dockerfile.copy import Build, args_of
from deadweight.builders.dockerfile.listener import DockerListener
from deadweight.builders.protocol import BuiltImage, Site
from deadweight.builders.shared import archive as archives, common
from deadweight.builders.variants import DockerfileVariant
from deadweight.engine.daemon import image_platform
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

    def built(self, variant: str, endpoint: str, *, cached: bool, exported: bool) -> None:
        """Note a build; ``cached``: steps were there already."""
        uses = self.of(variant)
        if endpoint not in uses.endpoints:
            if uses.endpoints and cached:
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

    def expand(text: str) -> str:
        return text.replace("{variant}", variant).replace("{service}", service or variant)

    options = [word for source in cache.read for word in ("--import-cache", expand(source))]
    if export and cache.export is not None:
        text = expand(cache.export)
        options += ["--export-cache", text if IGNORE in text else f"{text},{IGNORE}true"]
    return options


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


def build(build: Build, pool: Pool) -> BuiltImage:
    """Build it somewhere.

    Raises CommandError for a build that fails, MissingError where no endpoint is left,
    ArchiveError for an image of another platform.
    """
    variant, site = build.variant, build.site
    contexts = layout_contexts(build.copy[0].read_text(encoding="utf-8"), build.bases, site)
    one = _One(build, pool, contexts)
    last = load(BuiltImage, site.state.image(variant.name) / BUILT_FILE)
    key, seconds = shared(variant, site, build.bases, build.dockerfile), last.seconds if last else 0.0
    try:
        made = pool.build(Work(variant.name, key, image_platform(), seconds), one.run)
    except CommandError as error:
        listener = one.listeners.get(id(error))
        raise build.failure(listener, error, lambda: wording("build.disk_full")) if listener else error from None
    image = archives.image_in(made.archive)
    if (actual := f"{image.config.os}/{image.config.architecture}") != image_platform():
        fields = {"endpoint": made.endpoint.name, "actual": actual, "expected": image_platform()}
        raise ArchiveError(wording("build.platform", **fields))
    archives.keep(variant, site, made.archive, None)
    return one.finished(image, made)


def shared(variant: DockerfileVariant, site: Site, bases: Mapping[str, Base], dockerfile: Dockerfile) -> str:
    """What this variant shares with others that should be built where it is: the first stage's base, and lock files or source."""
    written = dockerfile.stages[0].base
    name = _VARIABLE.match(written)
    reference = args_of(variant).get(name[1], dockerfile.args.get(name[1]) or "") if name else written
    base = bases.get(reference)
    what = (base.digest or base.resolved if base else reference).encode()
    source = site.root / variant.source
    locks = b"".join((source / lock).read_bytes() for lock in LOCKS if (source / lock).is_file())
    return hashlib.sha256(what + (locks or variant.source.encode())).hexdigest()


@dataclass
class _One:
    """One variant's build, as each endpoint is asked for it. ``contexts`` maps an image's reference to an OCI layout folder that
    holds it: images that only this machine can reach.
    """

    build: Build
    pool: Pool
    contexts: Mapping[str, Path]
    listeners: dict[int, DockerListener] = field(default_factory=dict)
    exported: dict[str, bool] = field(default_factory=dict)

    def run(self, attempt: Attempt) -> Path:
        """Build on one endpoint; gives the archive."""
        build, variant = self.build, self.build.variant
        endpoint, archive = attempt.endpoint, build.work / f"{attempt.number}.tar"
        build.job.say(f"on {endpoint.name}")
        self.listeners[attempt.number] = listener = build.listener()
        export = exports(self.pool.cache, self._notes.of(variant.name), endpoint.name)
        self.exported[endpoint.name] = export
        more = words(self.pool.cache, variant=variant.name, service=variant.service, export=export)
        heard = Listener(listener)
        try:
            self._buildctl(attempt, archive, more, heard)
        except CommandError as error:
            self.listeners[id(error)] = listener
            raise
        if heard.failed:
            self.exported[endpoint.name] = False
            what = wording("journal.not_cached", endpoint=endpoint.name, reason=heard.failed)
            self.pool.journal.note(what, variant=variant.name, loud=True)
        return archive

    def _buildctl(self, attempt: Attempt, archive: Path, more: Sequence[str], on_line: Callable[[str], None]) -> None:
        """Build, and write the image to ``archive``. ``more`` are buildctl's own words (caches). Raises CommandError."""
        build = self.build
        name = common.image_name(build.site.suite, build.variant)
        argv: list[str] = [
            str(find("buildctl").path),
            *attempt.endpoint.words,
            *("build", "--progress=plain", "--frontend=dockerfile.v0", "--opt", f"platform={image_platform()}"),
            *("--opt", f"build-arg:SOURCE_DATE_EPOCH={common.EPOCH}"),
            *translated(build.words, build.environment),
            *_contexts(self.contexts),
            *more,
            *("--output", f"type=docker,name={name},dest={archive},rewrite-timestamp=true"),
        ]
        log = build.job.log
        if attempt.number > 1:  # it may run beside the first: it has a log of its own
            log = log.with_name(f"{log.stem}.{attempt.number}.log")
            log.unlink(missing_ok=True)
        build.run(argv, on_line, env={**build.environment, **attempt.endpoint.env}, log=log, stop=attempt.stop)

    @property
    def _notes(self) -> Notes:
        return Notes(self.build.site.state.cache / "pool")

    def finished(self, image: Image, made: Made) -> BuiltImage:
        """Note what was taken from earlier builds; gives the record of the image."""
        listener, name = self.listeners[int(made.archive.stem)], made.endpoint.name
        exported = self.exported.get(name, False)
        self._notes.built(self.build.variant.name, name, cached=listener.cache != "cold", exported=exported)
        return self.build.result(
            listener,
            image.config_digest,
            f"buildkit {made.version}",
            manifest_digest=image.manifest_digest,
            built_on=f"{name} ({made.endpoint.address}, BuildKit {made.version})",
            decisions=made.decisions,
        )


# Images that only this machine can reach, for a build on another: they go along as OCI layouts, once to each endpoint.
_LOOPBACK = re.compile(r"(?:127\.\d+\.\d+\.\d+|localhost|\[::1\])(?::\d+)?/[\w./-]+@sha256:[0-9a-f]{64}")


def layout_contexts(dockerfile: str, bases: Mapping[str, Base], site: Site) -> dict[str, Path]:
    """The folder of each such image, by its reference: those that the Dockerfile names, and those of its build arguments."""
    named = _LOOPBACK.findall(" ".join([dockerfile, *(base.resolved for base in bases.values())]))
    return {reference: site.source.layout(reference) for reference in dict.fromkeys(named)}
