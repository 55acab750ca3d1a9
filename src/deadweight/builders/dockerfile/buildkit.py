"""Run Dockerfile builds on the engine, with BuildKit or with Podman's own, query, tag and find the images they
produce, and explain why the failing instruction failed.
"""

from __future__ import annotations

import functools
import itertools
import os
import re
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from deadweight import _run
from deadweight._errors import CommandError, ConfigError, DeadweightError, MissingError, wording
from deadweight.builders.protocol import Site
from deadweight.builders.shared import diagnosis
from deadweight.builders.shared.archive import last_built
from deadweight.builders.variants import DockerfileVariant
from deadweight.engine import api
from deadweight.engine.options import LOOPBACK, ceilings
from deadweight.records.built_image import BuiltImage, Cache, kept_name, retire
from deadweight.records.reference import with_registry
from deadweight.sources.adapt_dockerfile import SINCE, Dockerfile, downgraded, instructions, lacking
from deadweight.toolchain.find import find, number

if TYPE_CHECKING:
    from deadweight.engine.images import Identity

_NAMING = ("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG", "DEADWEIGHT_CACHE_DIR", "HOME")
"""Variables that decide which engine is meant."""


def build(
    words: Sequence[str | Path], env: Mapping[str, str], on_line: Callable[[str], None], run: Callable[..., None]
) -> None:
    """Run a BuildKit build, or Podman's; ``words`` are the arguments after ``build``, and ``run`` runs the client.

    Raises CommandError, MissingError (no client, no BuildKit, or the engine falls silent).
    """
    from deadweight.engine.client import watch_engine
    from deadweight.engine.daemon import docker_cli, find_or_start

    watch: AbstractContextManager[_run.Stop | None]
    endpoint = find_or_start(on_line)
    if _info(endpoint).podman:
        argv, watch, on_line = podman_call(endpoint, words), nullcontext(None), translated(on_line)
    else:
        # without BuildKit, buildx would start one from a public registry, unasked
        if problem := api.buildkit_trouble(endpoint.host, endpoint.certificates):
            raise MissingError(wording("dockerfile.no_buildkit", host=endpoint.host, problem=problem))
        client, watch = docker_cli(endpoint), watch_engine(endpoint)
        # an attestation holds the time of the build, and makes an index of what was one image: only where the suite asks for it
        attests = any(str(word).startswith("--attest=type=provenance") for word in words)
        plain = ["--progress=plain", *(["--provenance=false"] if client.buildx and not attests else [])]
        argv, env = client.build(*plain, *map(str, words)), {**env, **client.env}
    with watch as stop:
        run(argv, on_line, env=env, stop=stop)


def version() -> str:
    """The engine's version, as an input: another engine is another tool. Starts no engine."""
    known = _known()
    return known.version if known else "none"


def running_podman() -> api.Endpoint | None:
    """The engine that runs, where that is Podman. Starts none, and tells no trouble: who looks for an engine does."""
    try:
        known = _known()
    except DeadweightError:
        return None
    return known.endpoint if known is not None and known.podman else None


def gives_variables() -> bool:
    """Whether the engine gives a build's secret as a variable (``--mount=type=secret,env=``; Dockerfile 1.10, Engine 27.3)."""
    known = _known()
    return known is not None and not known.podman and number(known.version)[:2] >= (27, 3)


def unknown_words() -> frozenset[str]:
    """What of Dockerfiles the engine that runs does not know yet, as far as it can be said otherwise."""
    known = _known()
    if known is None:
        return frozenset()
    return _unknown_to_podman(known.endpoint) if known.podman else lacking(number(known.version))


def keeps_no_attestations() -> str:
    """Why attestations of an image would be lost in the engine that runs; empty where they are kept, or where none runs."""
    known = _known()
    if known is None:
        return ""
    if known.podman:
        return wording("dockerfile.podman_attests_nothing")
    info = api.document(known.endpoint.host, "/info", known.endpoint.certificates)
    keeps = not info or api.parse_info({}, info).containerd_store
    return "" if keeps else wording("dockerfile.store_keeps_no_attestations")


def identity(site: Site, variant: DockerfileVariant, name: str, image_id: str) -> Identity:
    """What the image that was just built under ``name`` goes by. Its config may not be among it (``Identity.config``).

    ``image_id`` is the id that the client wrote down, which is the config's digest or the manifest's, as the client's version likes
    it. So it only shows whether ``name`` still means that image: another checkout of the suite may have taken it meanwhile.
    Raises DeadweightError where it has, and the engine does not find the image by that id.
    """
    images = site.engine().images
    identity = images.identity(name)
    if identity is None or not identity.goes_by(image_id):
        identity = images.identity(image_id) or identity
    if identity is None or (identity.config is not None and not identity.goes_by(image_id)):
        raise DeadweightError(wording("dockerfile.tag_moved", variant=variant.name, tag=name, image=image_id))
    return identity


def full_disk(site: Site) -> str:
    """What to do about the full disk of the engine, which may be another machine's."""
    engine = site.engine()
    return wording("dockerfile.engine_disk_full", folder=engine.info.root_dir, host=engine.host)


def keep(site: Site, variant: DockerfileVariant, name: str, engine_id: str, config_digest: str) -> str:
    """Give a new image the name that only it has, and take that of the variant's last image away; the new name.

    A container may run from the last one: then its name goes later (``built_image.retire``).
    """
    images, reference = site.engine().images, kept_name(name, config_digest)
    images.tag(engine_id, reference)
    last = last_built(variant, site.state)
    old = (last.reference,) if last is not None and last.in_engine and last.reference not in (name, reference) else ()
    retire(site.state, images.let_go, *old, current=reference)
    return reference


def has(built: BuiltImage) -> bool:
    """Whether the engine, if one runs, has this very image under its name. Starts no engine.

    By the id that the engine gave it: one that has changed its image store since has another image, or none.
    """
    known = _known()
    if known is None or built.engine_id is None:
        return False
    image = api.document(known.endpoint.host, f"/images/{built.reference}/json", known.endpoint.certificates)
    return str(image.get("Id", "")).removeprefix("sha256:") == built.engine_id.removeprefix("sha256:")


class _Known(NamedTuple):
    endpoint: api.Endpoint
    version: str
    podman: bool


_seen: dict[tuple[str | None, ...], _Known] = {}


def _known() -> _Known | None:
    """The engine that runs, looked for once: a plan asks for every variant, and loading Docker's SDK for it takes 0.2 s."""
    from deadweight.engine.daemon import find_running

    key = tuple(os.environ.get(name) for name in _NAMING)
    if key not in _seen:
        endpoint = find_running()
        if endpoint is None or not (info := _info(endpoint)).version:
            return None
        _seen[key] = _Known(endpoint, info.version, info.podman)
    return _seen[key]


def _info(endpoint: api.Endpoint) -> api.EngineInfo:
    """What an engine tells of its version."""
    return api.parse_info(api.document(endpoint.host, "/version", endpoint.certificates), {})


# Podman's socket offers no BuildKit, so ``podman build`` does it.
#
# The build works directly in the engine's store, not through its socket. Everything a client sends over the socket besides the
# context (secrets, a Dockerfile from elsewhere) becomes part of the context, and ``COPY . .`` would copy it into the image (tried
# with 4.3.1). Secrets from variables are not supported. So if the store is on another machine, nothing is built.
#
# Podman's output is translated to BuildKit's form, so that one listener understands both.
DRIVER = "--storage-driver="
ASK_SECONDS = 60.0
LEARNED = "1.33"
"""The Buildah in Podman that knows more instructions. What those before lack was tried with 1.28 (Podman 4.3.1)."""
_LACKING = (
    (re.compile(r"^(?:COPY|ADD)\s(?:--\S+\s+)*--(link|parents|exclude)\b"), "COPY --"),
    (re.compile(r"^ADD\s(?:--\S+\s+)*--(checksum|keep-git-dir)\b"), "ADD --"),
    (re.compile(r"^RUN\s(?:--\S+\s+)*--(network|security|device)\b"), "RUN --"),
)
_PODMAN_STEP = re.compile(r"^(?:\[\d+/\d+\] )?STEP (\d+/\d+): (.*)$")
_PODMAN_FAILED = re.compile(r"^(?:Error|error): (.*)$")


@dataclass(frozen=True)
class Store:
    """Where an engine keeps its images, and how it runs things, from its ``/libpod/info``. ``here``: on this machine, and ours."""

    root: str
    words: tuple[str, ...]
    buildah: str
    here: bool


def store_of(endpoint: api.Endpoint) -> Store:
    """Raises DeadweightError where the engine does not say."""
    info = api.podman_info(endpoint.host, endpoint.certificates)
    host, store = info.get("host"), info.get("store")
    if not isinstance(host, dict) or not isinstance(store, dict):
        why = api.trouble(endpoint.host, endpoint.certificates)
        raise DeadweightError(wording("dockerfile.podman_store_unknown", host=endpoint.host, why=why and f": {why}"))
    root = Path(str(store.get("graphRoot") or "/nowhere"))
    here = endpoint.host.startswith("unix://") and _ours(root)
    runtime = (host.get("ociRuntime") or {}).get("path")
    words = (
        f"--root={store.get('graphRoot')}",
        f"--runroot={store.get('runRoot')}",
        f"{DRIVER}{store.get('graphDriverName')}",
        f"--cgroup-manager={host.get('cgroupManager')}",
        *([f"--runtime={runtime}"] if runtime else []),
    )
    return Store(str(root), words, str(host.get("buildahVersion") or ""), here)


def _ours(root: Path) -> bool:
    """Whether what this process leaves there is still its owner's: files of root in another user's store end that user's Podman."""
    try:
        return root.stat().st_uid == os.geteuid() and os.access(root, os.W_OK)
    except OSError:
        return False


def refuse_what_it_cannot(dockerfile: Dockerfile, endpoint: api.Endpoint) -> None:
    """Raises ConfigError, with the line, for an instruction that this Podman does not know."""
    unknown = _unknown_to_podman(endpoint)
    text, _ = downgraded(dockerfile.text, unknown)
    for instruction in instructions(text) if unknown else ():
        matches = ((pattern.match(instruction.text), what) for pattern, what in _LACKING)
        features = [
            *(["heredocs"] if instruction.documents else []),
            *(what + match[1] for match, what in matches if match),
        ]
        if features:
            version = store_of(endpoint).buildah
            problem = wording("dockerfile.podman_too_old", version=version, feature=features[0])
            raise ConfigError(problem, file=dockerfile.file, line=instruction.line)


def _unknown_to_podman(endpoint: api.Endpoint) -> frozenset[str]:
    """What this Podman does not know and is said otherwise in the copy that is built."""
    return frozenset(SINCE if number(store_of(endpoint).buildah) < number(LEARNED) else ())


def ignore_file(dockerfile: Path) -> Path:
    """The ignore file that BuildKit takes for this Dockerfile."""
    return dockerfile.with_name(f"{dockerfile.name}.dockerignore")


def podman_call(endpoint: api.Endpoint, words: Sequence[str | Path]) -> list[str]:
    """The call of ``podman build``; ``words`` are what a BuildKit build is given. Raises CommandError, MissingError (no podman)."""
    store, program = store_of(endpoint), str(find("podman").path)
    file = Path(words[list(words).index("--file") + 1])
    plain = ["--tls-verify=false"] if _only_loopback(words, file) else []
    how = ["--format=docker", f"--ignorefile={ignore_file(file)}", *plain]
    # what 5 asks for is refused
    how += [f"--ulimit={name}={most}:{most}" for name, most in ceilings(endpoint.host).items()]
    # the image's name with the registry that Docker's API means, or Podman would take another
    texts = ["", *map(str, words)]
    named = [with_registry(word) if before == "--tag" else word for before, word in itertools.pairwise(texts)]
    return [program, *words_for(store, program), "build", *how, *named]


@functools.cache
def words_for(store: Store, program: str) -> tuple[str, ...]:
    """The words with which ``podman`` works in a store that its service uses.

    A store remembers whether its driver was named when it was made, and refuses whoever does otherwise ("database configuration
    mismatch"): the service that most machines have names none. Raises CommandError, with Podman's words, where none will do.
    """
    driver = tuple(word for word in store.words if not word.startswith(DRIVER))
    ask = ("info", "--format", "{{.Store.GraphRoot}}")
    for words in (driver, store.words, ()):
        asked = _run.run([program, *words, *ask], timeout=ASK_SECONDS, check=False)
        if asked.exit_code == 0 and asked.output.strip() == store.root:
            return words
    _run.run([program, *store.words, *ask], timeout=ASK_SECONDS)
    raise DeadweightError(wording("dockerfile.podman_other_store", folder=store.root))


def _only_loopback(words: Sequence[str | Path], dockerfile: Path) -> bool:
    """Whether every image that is named comes from a registry of this machine (which Docker too speaks to without TLS)."""
    texts = [str(word).partition("=")[2] for word in words]
    lines = dockerfile.read_text(encoding="utf-8").splitlines()
    texts += [line.split()[1] for line in lines if line.startswith("FROM ")]
    named = [text for text in texts if "@sha256:" in text]
    return bool(named) and all(LOOPBACK.match(text) for text in named)


def translated(tell: Callable[[str], None]) -> Callable[[str], None]:
    """Takes Podman's lines and gives BuildKit's: a number for each step, ``CACHED``, ``ERROR``."""
    number = 0

    def hear(line: str) -> None:
        nonlocal number
        step, failed = _PODMAN_STEP.match(line), _PODMAN_FAILED.match(line)
        if step:
            number += 1
            tell(f"#{number} [{step[1]}] {step[2]}")
        elif failed:
            reason = re.sub(r"exit status (\d+)", r"exit code: \1", failed[1])
            tell(f"#{number} ERROR: {reason}")
        elif line.startswith("--> Using cache"):
            tell(f"#{number} CACHED")
        elif not line.startswith(("--> ", "COMMIT")):
            tell(f"#{number} 0.0 {line}" if number else line)

    return hear


# BuildKit's output, taken apart into each instruction's own lines.
#
# Of a failed build only the failing instruction is shown: its place in the Dockerfile and its program's own words. Numbers, times,
# digests and progress stay in the log.
_BEGIN = re.compile(r"^#(\d+) \[(?P<place>[^\]]+)\] (?P<what>.*)$")
_OUTPUT = re.compile(r"^#(\d+) (?:\d+\.\d+ )(.*)$")
_CACHED = re.compile(r"^#(\d+) CACHED$")
_FAILED = re.compile(r"^#(\d+) ERROR: (.*)$")
_CONTEXT = re.compile(r"#\d+ transferring context: (?P<size>[\d.]+ ?[kMG]?B)")
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_PROGRESS = re.compile(
    r"^(?:sha256:[0-9a-f]{64}\b|(?:resolve|extracting|transferring|exporting|naming to|writing image|unpacking|resolving)\b"
    r"|(?:DONE|CACHED)\b|-{3,}$|> \[|load metadata for|\[internal\] )"
)
_STEP_PREFIX = re.compile(r"^(?:#\d+ (?:ERROR: )?)?(?:\d+\.\d+ )?")
_STAGE = re.compile(r"^(?:\S+ )?(?:\S+ )?\d+/\d+$")
_REPEATED = re.compile(
    r"^(?:ERROR: )?(?:failed to build: )?(?:failed to (?:solve|compute cache key)\b.*|executor failed running .*"
    r"|process \".*\" did not complete successfully: .*)$"
)
_CODE = re.compile(r"exit code: (\d+)")


@dataclass
class _Instruction:
    """``what`` as BuildKit shows it: variables filled in, one line; ``line`` is the Dockerfile's, as far as it is known."""

    place: str
    what: str
    line: int | None
    words: deque[str] = field(default_factory=lambda: deque(maxlen=diagnosis.HEARD_LINES))
    cached: bool = False

    @property
    def word(self) -> str:
        return self.what.split(None, 1)[0] if _STAGE.match(self.place) and self.what else ""

    @property
    def where(self) -> Sequence[diagnosis.Where]:
        if self.word in ("COPY", "ADD"):
            return ("copy_from",) if "--from" in self.what else ("copy", "run")
        return ("run",) if self.word == "RUN" else ("pull",)

    def shown(self, file: str) -> str:
        if not self.word:
            return f" ({self.what[:120]})"
        place = f"{file}:{self.line}" if self.line else file
        return f" ({place}: {self.what[:117]}{'…' if len(self.what) > 117 else ''})"


class DockerListener(diagnosis.Listener):
    """Remembers what each instruction says. ``lines`` gives an instruction's line in the Dockerfile, as far as it is known;
    ``added`` is what the copy that is built says more than the user's."""

    def __init__(
        self, say: Callable[[str], None], dockerfile: str, lines: dict[str, int], added: Sequence[str] = ()
    ) -> None:
        super().__init__(say, _announce)
        self._file, self._lines, self._added = dockerfile, lines, added
        self._steps: dict[str, _Instruction] = {}
        self._failed, self._reason = "", ""  # the failed instruction's number, and BuildKit's own words on it

    def __call__(self, line: str) -> None:
        super().__call__(line)
        line = _COLOUR.sub("", line)
        begun, output, failed = _BEGIN.match(line), _OUTPUT.match(line), _FAILED.match(line)
        if begun:
            what = begun["what"]
            for words in self._added:
                what = what.replace(words, "", 1)
            known = self._lines.get(" ".join(what.split()))
            self._steps.setdefault(begun[1], _Instruction(begun["place"], what, known))
        elif output and output[1] in self._steps:
            self._steps[output[1]].words.append(output[2])
        elif failed and (not self._failed or "context canceled" in self._reason):
            self._failed, self._reason = failed[1], failed[2]
        elif (cached := _CACHED.match(line)) and cached[1] in self._steps:
            self._steps[cached[1]].cached = True

    @property
    def cache(self) -> Cache:
        """What BuildKit took from earlier builds. A base that is there was only downloaded."""
        made = [step.cached for step in self._steps.values() if step.word not in ("", "FROM")]
        return "cached" if made and all(made) else "warm" if any(made) else "cold"

    def failure(
        self,
        error: CommandError,
        what: str,
        *,
        stand_in: bool = False,
        full_disk: Callable[[], str] = str,
        advice: Callable[[int | None], str] = lambda _line: "",
    ) -> CommandError:
        """The failure as itself: where, why, in whose words, and what helps; with the line of the instruction that failed.

        ``full_disk`` tells what to do about the engine's, ``advice`` what the instruction at a line needed to reach the network,
        and did not get.
        """
        step = self._steps.get(self._failed)
        words, line = self._words(step, error), step.line if step else None
        where = step.where if step else ("client", "pull")
        cause = diagnosis.diagnose(where, [*words, self._reason], stand_in=stand_in)
        if self.compiler and not (cause and cause.outweighs(self.compiler)):
            message = wording("builders.not_compiled", what=what)
            failure = error.told(message, self.compiler, None, diagnosis.Code.NOT_COMPILED)
        else:
            known = cause or diagnosis.Cause("", (), "", "")
            reason = (known.message or self._told(step, error)) + (step.shown(self._file) if step else "")
            full = full_disk() if known.code is diagnosis.Code.DISK_FULL else ""
            hint = (advice(line) if known.reach else "") or full or known.hint
            message = wording("builders.tool_failed", what=what, reason=reason)
            failure = error.told(message, diagnosis.with_cause(words, cause), hint or None, known.code)
        failure.line, failure.step = line, step.what if step else ""
        return failure

    def _words(self, step: _Instruction | None, error: CommandError) -> list[str]:
        """The failing instruction's own; else BuildKit's sentence on it; else what stands in no instruction at all."""
        own = [text for text in map(diagnosis.without_chatter, step.words if step else ()) if text.strip()]
        if own:
            return own
        if self._reason and not _REPEATED.match(self._reason):
            return [self._reason]
        apart = (line for line in self._heard if not _COLOUR.sub("", line).startswith("#"))
        rest = [text for text in map(cleaned, (*apart, *error.tail)) if text]
        return list(dict.fromkeys([text for text in rest if step is None or not _REPEATED.match(text)] or rest))

    def _told(self, step: _Instruction | None, error: CommandError) -> str:
        if step is None:
            return error.reason
        code = _CODE.search(self._reason)
        return f"{step.word or step.what.split(None, 1)[0]} failed" + (f" with exit code {code[1]}" if code else "")


def cleaned(line: str) -> str:
    """A line of BuildKit's without number and time; nothing where it only tells of progress."""
    text = _STEP_PREFIX.sub("", _COLOUR.sub("", line)).strip()
    return "" if _PROGRESS.match(text) else text


def _announce(line: str) -> str | None:
    begun, sent = _BEGIN.match(line), _CONTEXT.match(line)
    if begun and begun["place"] != "internal":
        return f"[{begun['place']}] {begun['what'][:100]}"
    if sent:
        return f"sending the context: {sent['size']}"
    return "exporting" if line.endswith("exporting layers") else None
