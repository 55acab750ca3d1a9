"""One build on one endpoint, by ``buildctl``: the same words as ``docker build`` takes, and an image archive that comes back.

Why buildctl, and not ``docker buildx``: it speaks to every kind of endpoint by itself, keeps nothing on disk, and needs no builder
to be made, named and removed. It is pinned, so all builds of a pool go through one version.

Times of files and of the image are fixed (``SOURCE_DATE_EPOCH``, ``rewrite-timestamp``), so that it does not matter which endpoint
built it: the same inputs give the same digest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from deadweight import _run
from deadweight.toolchain.find import find
from deadweight_pool.build import Attempt


@dataclass(frozen=True)
class Request:
    """What is built. ``words`` are those of ``docker build`` after the word ``build``, the context last.

    ``contexts`` maps an image's reference to an OCI layout folder that holds it: images that only this machine can reach.
    ``environment`` has the values of build arguments that are named alone, and of secrets.
    """

    words: Sequence[str | Path]
    name: str
    platform: str
    epoch: str
    contexts: Mapping[str, Path]
    environment: Mapping[str, str]
    redact: Sequence[str]
    timeout: float


def build(
    request: Request, attempt: Attempt, archive: Path, more: Sequence[str], *, log: Path, on_line: Callable[[str], None]
) -> None:
    """Build, and write the image to ``archive``. ``more`` are buildctl's own words (caches). Raises CommandError, MissingError."""
    output = f"type=docker,name={request.name},dest={archive},rewrite-timestamp=true"
    argv: list[str] = [
        str(find("buildctl").path),
        *attempt.endpoint.words,
        *("build", "--progress=plain", "--frontend=dockerfile.v0"),
        *("--opt", f"platform={request.platform}"),
        *("--opt", f"build-arg:SOURCE_DATE_EPOCH={request.epoch}"),
        *translated(request.words, request.environment),
        *_contexts(request.contexts),
        *more,
        *("--output", output),
    ]
    _run.run(
        argv,
        env={**request.environment, **attempt.endpoint.env},
        timeout=request.timeout,
        log=log,
        on_line=on_line,
        redact=request.redact,
        stop=attempt.stop,
    )


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
