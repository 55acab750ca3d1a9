"""Choose a run's source, and resolve bases and APK repositories from public registries or a mirror: same code, other names.

All problems of reach, trust and credentials surface in ``prepare``, before the first build step, for all bases at once.
"""

from __future__ import annotations

import difflib
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deadweight._errors import ConfigError, DeadweightError, wording
from deadweight.engine.daemon import image_platform
from deadweight.records import store
from deadweight.records.built_image import Base
from deadweight.records.paths import State, user_cache
from deadweight.records.reference import DOCKER_HUB, parse
from deadweight.sources import network
from deadweight.sources.adapt import flavour_of
from deadweight.sources.protocol import APK, ApkFlavour, ApkRepositories, BuildEnvironment, NoBase, Say, Source
from deadweight.sources.settings import DECIDED, Mirror, Settings, SourceName, decided, load, mirror_at, source_name
from deadweight.suite.model import Suite
from deadweight.toolchain.golang import APK_NAMES

if TYPE_CHECKING:
    from deadweight.toolchain.registry import Remote

# The public registries and APK repositories, and the same through a mirror.
REPOSITORIES: Mapping[ApkFlavour, tuple[str, ...]] = {
    "wolfi": ("https://packages.wolfi.dev/os",),
    "alpine": ("https://dl-cdn.alpinelinux.org/alpine/v3.22/main",),
}
KEYS: Mapping[ApkFlavour, tuple[str, ...]] = {
    "wolfi": ("https://packages.wolfi.dev/os/wolfi-signing.rsa.pub",),
    "alpine": ("https://alpinelinux.org/keys/alpine-devel@lists.alpinelinux.org-6165ee59.rsa.pub",),
}


def mirrored(mirror: Mirror | None, reference: str) -> str:
    """What a public reference is called in the mirror, if any. A host without a rule keeps its name."""
    if mirror is None:
        return reference
    parsed = parse(reference)
    if parsed.host in mirror.registries:
        return parsed.at(mirror.registries[parsed.host])
    everything = mirror.registries.get("*")
    return parsed.at(f"{everything.rstrip('/')}/{parsed.host}") if everything else reference


def front_door(host: str) -> str:
    """The URL at which a registry answers. Docker Hub's name for people is not its name on the network."""
    return f"https://{'registry-1.docker.io' if host == DOCKER_HUB else host}/v2/"


CHECK_SECONDS = 30.0
TAGS_SECONDS = 10.0
PULL_SECONDS = 60.0
INDEX_SECONDS = 10.0


@dataclass(frozen=True)
class Seen:
    """The digests that the last ``prepare`` saw, by the name they were asked for."""

    digests: dict[str, str]


class RemoteSource(Source):
    """``registry``, under the public names, or ``mirror``."""

    def __init__(
        self, name: str, state: State, settings: Settings, flavours: Sequence[ApkFlavour] = ("wolfi",)
    ) -> None:
        """``flavours``: whose APK repositories ``prepare`` asks; ``apk`` knows the others too.

        Raises ConfigError for a mirror where none is configured."""
        self.name, self.state, self.settings, self._flavours = name, state, settings, tuple(flavours)
        self._mirror = settings.mirror if name == "mirror" else None
        if name == "mirror" and not (self._mirror and (self._mirror.registries or self._mirror.apk)):
            raise ConfigError(wording("sources.no_mirror"), file="sources", key="mirror")
        self._repositories = REPOSITORIES if self._mirror is None else self._mirror.apk
        self._keys = KEYS if self._mirror is None else dict.fromkeys(self._mirror.apk, self._mirror.apk_keys)
        self._insecure = self._mirror is not None and self._mirror.insecure
        self._bases: dict[str, Base] = {}

    def tools(self, references: Sequence[str], *, apk: bool) -> tuple[str, ...]:  # noqa: ARG002 - the protocol's
        """See the protocol: nothing is run."""
        return ()

    def prepare(self, references: Sequence[str], *, apk: bool, say: Say) -> None:
        """See the protocol. Raises NoBase that lists every problem, each with what to do about it.

        What was looked up already, by a call that raised, is not asked for again.
        """
        wanted = tuple(name for name in dict.fromkeys(references) if name not in self._bases)
        problems: list[NoBase] = []
        if wanted:
            say(f"looking up {len(wanted)} base image{'s' if len(wanted) > 1 else ''} ({self.name})")
        with ThreadPoolExecutor(max_workers=16) as pool:
            looked_up = {reference: pool.submit(self._look_up, reference) for reference in wanted}
            checks = pool.submit(self._check_apk) if apk else None
        for reference, future in looked_up.items():
            try:
                self._bases[reference] = future.result()
            except NoBase as error:
                problems.append(error)
            except DeadweightError as error:
                problems.append(NoBase((reference, error.message), hint=error.hint))
        problems += checks.result() if checks is not None else []
        if problems:
            lines = dict.fromkeys(line for problem in problems for line in problem.problems)
            hints = dict.fromkeys(problem.hint for problem in problems if problem.hint)
            raise NoBase(*lines, hint="; ".join(hints) or None)
        if references or apk:  # a suite that fetches nothing says nothing of what can be reached
            decided(self.state, self.settings, self.name)
        before = store.load(Seen, self._memory) or Seen({})
        now = {mirrored(self._mirror, base.reference): base.digest for base in self._bases.values() if base.digest}
        if not now.items() <= before.digests.items():
            store.save(Seen(before.digests | now), self._memory)

    def base(self, reference: str) -> Base:
        """See the protocol. Before ``prepare``: as the last run saw it, without asking anybody."""
        known = self._bases.get(reference)
        if known is not None:
            return known
        name, seen = mirrored(self._mirror, reference), store.load(Seen, self._memory) or Seen({})
        return self._as_base(reference, name, seen.digests.get(name))

    def apk(self, flavour: ApkFlavour = "wolfi") -> ApkRepositories:
        """See the protocol. Raises ConfigError where a mirror names no repository for this flavour."""
        repositories = self._repositories.get(flavour, ())
        if not repositories:
            message, key = wording("sources.no_apk_repository", flavour=flavour), f"mirror.apk.{flavour}"
            hint = "set it under sources: in deadweight.yaml or in your own sources.yaml"
            raise ConfigError(message, file="sources", key=key, hint=hint)
        keys = self._keys.get(flavour, ())
        return ApkRepositories(repositories, keys, stand_in=False, credentials=network.http_auth(repositories))

    def layout(self, reference: str) -> Path:
        """See the protocol."""
        return pulled_layout(self._remote(reference, PULL_SECONDS), reference.rpartition("@")[2])

    def environment(self) -> BuildEnvironment:
        """See the protocol."""
        return BuildEnvironment(self.settings.variables, network.bundle(self.state, self.settings.private_ca))

    @property
    def _memory(self) -> Path:
        return self.state.cache / f"bases-{self.name}.json"

    def _as_base(self, reference: str, name: str, digest: str | None) -> Base:
        return Base(reference, f"{parse(name).name}@{digest}" if digest else name, digest, stand_in=False)

    def _look_up(self, reference: str) -> Base:
        from deadweight.toolchain.registry import RegistryError

        name = mirrored(self._mirror, reference)
        shown = reference if reference == name else f"{reference} (as {name})"
        try:
            digest = self._remote(name, CHECK_SECONDS, shown).digest(image_platform())
        except RegistryError as error:
            text = error.message
            if error.absent and (near := self._near_tags(name)):
                text = wording("sources.nearest_tags", problem=text, tags=", ".join(near))
            raise NoBase((reference, text), hint=error.hint, absent=error.absent) from error
        return self._as_base(reference, name, digest)

    def _near_tags(self, name: str) -> tuple[str, ...]:
        """The tags of the same repository that are most like the one that is not there; none where it does not tell them."""
        try:
            tags = self._remote(name, TAGS_SECONDS).tags()
        except DeadweightError:
            return ()
        return tuple(difflib.get_close_matches(parse(name).tag or "", tags, 3, 0.4))

    def _remote(self, name: str, seconds: float, shown: str = "") -> Remote:
        from deadweight.toolchain.registry import Remote

        environment = self.environment()
        bundle = {"SSL_CERT_FILE": str(environment.ca_bundle)} if environment.ca_bundle else {}
        reach = {**environment.variables, **bundle}
        return Remote(str(parse(name)), insecure=self._insecure, env=reach, name=shown, seconds=seconds)

    def _check_apk(self) -> list[NoBase]:
        """Ask for every index and key that is a URL; whether a signature is right is the tools' to say.

        A flavour that is not configured is no problem until somebody asks for it (``apk``).
        """
        environment = self.environment()
        arch = image_platform().removeprefix("linux/")
        arch = APK_NAMES.get(arch, arch)
        flavours = [name for name in self._flavours if self._repositories.get(name)]
        places = [place for name in flavours for place in self._repositories[name]]
        urls = [f"{place.rstrip('/')}/{arch}/APKINDEX.tar.gz" for place in places]
        urls += [key for name in flavours for key in self._keys.get(name, ())]
        remote = [url for url in urls if "://" in url]
        answers = network.ask_all(
            remote, ca=environment.ca_bundle, variables=environment.variables, seconds=INDEX_SECONDS, method="HEAD"
        )
        problems = [_apk_problem(url, answers[url]) for url in remote if answers[url].status != 200]
        absent = [url for url in urls if "://" not in url and not Path(url).exists()]
        return [*problems, *(NoBase((APK, wording("sources.no_apk_file", path=path))) for path in absent)]


def layout_folder(digest: str) -> Path:
    """Where the OCI layout of an image is kept, for builds on other machines."""
    return user_cache() / "layouts" / digest.replace(":", "-")


def pulled_layout(remote: Remote, digest: str) -> Path:
    """The OCI layout of an image by its digest. Raises RegistryError."""
    folder = layout_folder(digest)
    if not (folder / "index.json").is_file():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as work:
            remote.lay_out(Path(work) / "layout")
            shutil.rmtree(folder, ignore_errors=True)
            (Path(work) / "layout").rename(folder)
    return folder


def _apk_problem(url: str, answer: network.Answer) -> NoBase:
    if answer.untrusted:
        untrusted = wording("sources.apk_untrusted", url=url, problem=answer.problem)
        return NoBase((APK, untrusted), hint="set your private CA: invoke setup --ca-bundle FILE")
    if answer.status in (401, 403):
        denied = wording("sources.apk_denied", url=url)
        return NoBase((APK, denied), hint="put them in ~/.netrc, or in the variable HTTP_AUTH")
    problem = answer.problem or f"HTTP status {answer.status}"
    return NoBase((APK, wording("sources.apk_answer", url=url, problem=problem)))


# Choose a run's source: the requested one, else the recorded one, else what ``auto`` finds in three seconds.
PROBE_SECONDS = 2.5


def choose(
    suite: Suite, state: State, say: Say, asked: Mapping[str, Any] | None = None, also: Sequence[str] = ()
) -> Source:
    """The source for this run; ``asked`` (of ``changes``) counts as recorded, this once. ``also``: images beside the suite's own
    that are wanted of it.

    Raises UsageError for an unknown name, ConfigError for a mirror that is not configured.
    What ``auto`` finds is recorded when the source is first prepared, so that later runs need not ask again.
    """
    settings = load(state, suite, asked)
    name = settings.source
    if name == "auto":
        known = source_name(settings.decided) if settings.decided in DECIDED else None
        wanted = (reference for variant in suite.variants for reference in variant.references(suite.root))
        name = known or _decide([*wanted, *also], suite, settings, say)
        settings = replace(settings, decided=name)
    return _source(name, suite, state, settings)


def changes(
    suite: Suite, state: State, source: str | None = None, mirror: str | None = None, ca_bundle: str | None = None
) -> dict[str, Any]:
    """What asking for these changes in what is recorded; ``mirror`` is HOST/PREFIX, ``ca_bundle`` a PEM file. Writes nothing.

    Raises UsageError for an unknown name, ConfigError for what cannot be used as it is configured. ``auto`` decides anew.
    """
    asked: dict[str, Any] = {"decided": None}
    if mirror is not None:
        asked |= {"source": "mirror", "mirror": mirror_at(mirror)}
    if source is not None:
        asked["source"] = source_name(source)
    if ca_bundle is not None:
        asked["ca_bundle"] = str(os.path.abspath(ca_bundle))  # noqa: PTH100 - links stay as they are written
        network.certificates(Path(asked["ca_bundle"]))
    if asked.get("source") == "mirror":
        _source("mirror", suite, state, load(state, suite, asked))
    return asked


def stop_local(say: Say) -> None:
    """End the local registry if it runs; what it holds stays."""
    from deadweight._packages import standins

    if standins.stop_local_registry():
        say("stopped the local registry")


def _source(name: str, suite: Suite, state: State, settings: Settings) -> Source:
    if name == "local":
        from deadweight._packages import standins

        return standins.LocalSource(state, settings)
    files = {suite.root / config for variant in suite.variants for config in variant.apk_files()}
    flavours = sorted({flavour_of(file, suite.root) for file in files})
    return RemoteSource(name, state, settings, flavours or ("wolfi",))


def _decide(references: Sequence[str], suite: Suite, settings: Settings, say: Say) -> SourceName:
    """A mirror where one is configured; the public registries where all that is needed answer; else the local one."""
    if settings.mirror is not None:
        say(wording("sources.mirror"))
        return "mirror"
    hosts = sorted({parse(reference).host for reference in references})
    urls = {front_door(host): host for host in hosts}
    if any(variant.apk_files() for variant in suite.variants):
        urls[KEYS["wolfi"][0]] = "packages.wolfi.dev"
    private = settings.private_ca
    if private is not None:
        network.certificates(private)  # a wrong one is told as such, not as a host that cannot be trusted
    answers = network.ask_all(list(urls), ca=private, variables=settings.variables, seconds=PROBE_SECONDS)
    silent = {urls[url]: answer for url, answer in answers.items() if not answer.ok}
    if not silent:
        if urls:
            say(wording("sources.registries", hosts=", ".join(urls.values())))
        return "registry"
    host, answer = next(iter(silent.items()))
    why = f"{host}: {answer.problem or f'HTTP status {answer.status}'}"
    if _local_is_possible():
        say(wording("sources.local", why=why))
        return "local"
    say(wording("sources.some_registries", why=why))
    return "registry"


def _local_is_possible() -> bool:
    from deadweight._packages import standins

    try:
        standins.this_machine()
    except DeadweightError:
        return False
    return True
