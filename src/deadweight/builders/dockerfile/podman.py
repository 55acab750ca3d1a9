"""Build a Dockerfile with ``podman build``, because Podman's socket offers no BuildKit.

The build works directly in the engine's store, not through its socket. Everything a client sends over the socket besides the
context (secrets, a Dockerfile from elsewhere) becomes part of the context, and ``COPY . .`` would copy it into the image (tried
with 4.3.1). Secrets from variables are not supported. So if the store is on another machine, nothing is built.

Podman's output is translated to BuildKit's form, so that one listener understands both.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deadweight import _run
from deadweight._errors import ConfigError, DeadweightError, wording
from deadweight.builders.shared import common
from deadweight.engine import api
from deadweight.engine.dialect import LOOPBACK, ceilings
from deadweight.records.reference import with_registry
from deadweight.sources import adapt_dockerfile
from deadweight.sources.adapt_dockerfile import downgraded, heredocs, instructions
from deadweight.toolchain.find import find, number

if TYPE_CHECKING:
    from deadweight.engine.api import Endpoint

DRIVER = "--storage-driver="
ASK_SECONDS = 60.0
LEARNED = "1.33"
"""The Buildah in Podman that knows more instructions. What those before lack was tried with 1.28 (Podman 4.3.1)."""
_LACKING = (
    (re.compile(r"^(?:COPY|ADD)\s(?:--\S+\s+)*--(link|parents|exclude)\b"), "COPY --{0}"),
    (re.compile(r"^ADD\s(?:--\S+\s+)*--(checksum|keep-git-dir)\b"), "ADD --{0}"),
    (re.compile(r"^RUN\s(?:--\S+\s+)*--(network|security|device)\b"), "RUN --{0}"),
)
SAID_OTHERWISE = frozenset(adapt_dockerfile.SINCE)
_STEP = re.compile(r"^(?:\[\d+/\d+\] )?STEP (\d+/\d+): (.*)$")
_FAILED = re.compile(r"^(?:Error|error): (.*)$")


@dataclass(frozen=True)
class Store:
    """Where an engine keeps its images, and how it runs things, from its ``/libpod/info``. ``here``: on this machine, and ours."""

    root: str
    words: tuple[str, ...]
    buildah: str
    here: bool


def store_of(endpoint: Endpoint) -> Store:
    """Raises DeadweightError where the engine does not say."""
    told = api.podman_info(endpoint.host, endpoint.certificates)
    host, store = told.get("host"), told.get("store")
    if not isinstance(host, dict) or not isinstance(store, dict):
        why = api.trouble(endpoint.host, endpoint.certificates)
        raise DeadweightError(wording("dockerfile.podman_store_unknown", host=endpoint.host, why=why and f": {why}"))
    root = Path(str(store.get("graphRoot") or "/nowhere"))
    here = endpoint.host.startswith("unix://") and _ours(root)
    return Store(str(root), tuple(_global_words(host, store)), str(host.get("buildahVersion") or ""), here)


def _ours(root: Path) -> bool:
    """Whether what this process leaves there is still its owner's: files of root in another user's store end that user's Podman."""
    try:
        return root.stat().st_uid == os.geteuid() and os.access(root, os.W_OK)
    except OSError:
        return False


def _global_words(host: Mapping[str, Any], store: Mapping[str, Any]) -> Iterator[str]:
    yield f"--root={store.get('graphRoot')}"
    yield f"--runroot={store.get('runRoot')}"
    yield f"{DRIVER}{store.get('graphDriverName')}"
    yield f"--cgroup-manager={host.get('cgroupManager')}"
    runtime = (host.get("ociRuntime") or {}).get("path")
    if runtime:
        yield f"--runtime={runtime}"


def elsewhere(endpoint: Endpoint) -> bool:
    """Whether its images are on another machine, or another user's. Raises DeadweightError where the engine does not say."""
    return not store_of(endpoint).here


def refuse_what_it_cannot(dockerfile: Path, endpoint: Endpoint) -> None:
    """Raises ConfigError, with the line, for an instruction that this Podman does not know."""
    buildah = store_of(endpoint).buildah
    if number(buildah) >= number(LEARNED):
        return
    text, _ = downgraded(dockerfile.read_text(encoding="utf-8-sig"), SAID_OTHERWISE)
    for instruction in instructions(text):
        lacking = _lacking(instruction.text)
        if lacking:
            raise ConfigError(
                wording("dockerfile.podman_too_old", version=buildah, feature=lacking),
                file=dockerfile,
                line=instruction.line,
            )


def unknown_words(endpoint: Endpoint) -> frozenset[str]:
    """What this Podman does not know and is said otherwise in the copy that is built."""
    return frozenset() if number(store_of(endpoint).buildah) >= number(LEARNED) else SAID_OTHERWISE


def _lacking(instruction: str) -> str:
    if heredocs(instruction):
        return "heredocs"
    found = ((pattern.match(instruction), what) for pattern, what in _LACKING)
    return next((what.format(*match.groups()) for match, what in found if match), "")


def build(
    endpoint: Endpoint,
    words: Sequence[str | Path],
    *,
    ignore: Path,
    cwd: Path,
    env: Mapping[str, str],
    log: Path,
    on_line: Callable[[str], None],
    redact: Sequence[str],
) -> None:
    """Run ``podman build``; ``words`` are what a BuildKit build is given. Raises CommandError, MissingError (no podman)."""
    store, program = store_of(endpoint), str(find("podman").path)
    how = ["--format=docker", f"--ignorefile={ignore}", *(["--tls-verify=false"] if _only_loopback(words) else [])]
    how += [
        f"--ulimit={name}={most}:{most}" for name, most in ceilings(endpoint.host).items()
    ]  # what 5 asks for is refused
    _run.run(
        [program, *words_for(store, program), "build", *how, *_named(words)],
        cwd=cwd,
        env=env,
        timeout=common.BUILD_TIMEOUT_SECONDS,
        log=log,
        on_line=Translated(on_line),
        redact=redact,
    )


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


def _named(words: Sequence[str | Path]) -> Iterator[str]:
    """The same words; the image's name with the registry that Docker's API means, or Podman would take another."""
    before = ""
    for word in map(str, words):
        yield with_registry(word) if before == "--tag" else word
        before = word


def _only_loopback(words: Sequence[str | Path]) -> bool:
    """Whether every image that is named comes from a registry of this machine (which Docker too speaks to without TLS)."""
    texts = [str(word).partition("=")[2] for word in words]
    file = Path(str(words[list(words).index("--file") + 1])) if "--file" in words else None
    if file is not None:
        texts += [text.split()[1] for text in file.read_text(encoding="utf-8").splitlines() if text.startswith("FROM ")]
    named = [text for text in texts if "@sha256:" in text]
    return bool(named) and all(LOOPBACK.match(text) for text in named)


class Translated:
    """Takes Podman's lines and gives BuildKit's: a number for each step, ``CACHED``, ``ERROR``."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell, self._number = tell, 0

    def __call__(self, line: str) -> None:
        for told in self._translate(line):
            self._tell(told)

    def _translate(self, line: str) -> Iterator[str]:
        step, failed = _STEP.match(line), _FAILED.match(line)
        if step:
            self._number += 1
            yield f"#{self._number} [{step[1]}] {step[2]}"
        elif failed:
            said = re.sub(r"exit status (\d+)", r"exit code: \1", failed[1])
            yield f"#{self._number} ERROR: {said}"
        elif line.startswith("--> Using cache"):
            yield f"#{self._number} CACHED"
        elif not line.startswith(("--> ", "COMMIT")):
            yield f"#{self._number} 0.0 {line}" if self._number else line
