"""Run Dockerfile builds on the engine, with BuildKit or with Podman's own; query, tag and find the images they produce."""

from __future__ import annotations

import functools
import itertools
import os
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from deadweight import _run
from deadweight._errors import ConfigError, DeadweightError, MissingError, wording
from deadweight.builders.protocol import Site
from deadweight.builders.shared.archive import last_built
from deadweight.builders.variants import DockerfileVariant
from deadweight.engine import api
from deadweight.records.built_image import BuiltImage, kept_name, retire
from deadweight.records.reference import with_registry
from deadweight.sources.adapt_dockerfile import SINCE, Dockerfile, downgraded, instructions, unknown_features
from deadweight.toolchain.find import find, number

if TYPE_CHECKING:
    from deadweight.engine.images import Identity


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
    if _version_and_podman(endpoint)[1]:
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
    """The engine's version, as an input: another engine is another tool. Starts no engine; ours is the same when it has stopped."""
    from deadweight.engine.daemon import stopped_version

    known = _known()
    return known.version if known else stopped_version() or "none"


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
    return _unknown_to_podman(known.endpoint) if known.podman else unknown_features(number(known.version))


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
    """Whether the engine has this very image under its name. Starts no engine: what ours held when it stopped is there still.

    By the id that the engine gave it: one that has changed its image store since has another image, or none.
    """
    from deadweight.engine.daemon import stopped_version

    known = _known()
    if known is None or built.engine_id is None:
        return built.engine_id is not None and stopped_version() is not None
    image = api.document(known.endpoint.host, f"/images/{built.reference}/json", known.endpoint.certificates)
    return str(image.get("Id", "")).removeprefix("sha256:") == built.engine_id.removeprefix("sha256:")


class _Known(NamedTuple):
    endpoint: api.Endpoint
    version: str
    podman: bool


_seen: dict[tuple[str | None, ...], _Known] = {}


def _known() -> _Known | None:
    """The engine that runs, looked for once: a plan asks for every variant, and loading Docker's SDK for it takes 0.2 s."""
    from deadweight.engine.daemon import NAMING, find_running

    key = tuple(map(os.environ.get, NAMING))
    if key not in _seen:
        endpoint = find_running()
        if endpoint is None or not (answer := _version_and_podman(endpoint))[0]:
            return None
        _seen[key] = _Known(endpoint, *answer)
    return _seen[key]


def _version_and_podman(endpoint: api.Endpoint) -> tuple[str, bool]:
    """An engine's version, and whether it is Podman: by the headers of its ping, or where a proxy drops those, by ``/version``."""
    server = api.greeting_once(endpoint.host, endpoint.certificates).get("Server", "")
    if match := re.match(r"(Docker|Libpod)/(\S+)", server):
        return match[2], match[1] == "Libpod"
    info = api.parse_info(api.document_once(endpoint.host, "/version", endpoint.certificates), {})
    return info.version, info.podman


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
    (r"^(?:COPY|ADD)\s(?:--\S+\s+)*--(link|parents|exclude)\b", "COPY --"),
    (r"^ADD\s(?:--\S+\s+)*--(checksum|keep-git-dir)\b", "ADD --"),
    (r"^RUN\s(?:--\S+\s+)*--(network|security|device)\b", "RUN --"),
)
_PODMAN_STEP = r"^(?:\[\d+/\d+\] )?STEP (\d+/\d+): (.*)$"
_PODMAN_FAILED = r"^(?:Error|error): (.*)$"


class Store(NamedTuple):
    """Where an engine keeps its images, and how it runs things, from its ``/libpod/info``. ``here``: on this machine, and ours."""

    root: str
    words: tuple[str, ...]
    buildah: str
    here: bool


def store_of(endpoint: api.Endpoint) -> Store:
    """Raises DeadweightError where the engine does not say."""
    info = api.document_once(endpoint.host, api.PODMAN_INFO, endpoint.certificates)
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
        matches = ((re.match(pattern, instruction.text), what) for pattern, what in _LACKING)
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
    from deadweight.engine.options import ceilings

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
    from deadweight.engine.options import LOOPBACK

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
        step, failed = re.match(_PODMAN_STEP, line), re.match(_PODMAN_FAILED, line)
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
