"""Define ``completion``: complete tasks, options, and the suite's variants, checks and postures."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from pathlib import Path

from invoke.context import Context

from deadweight.tasks import lazy
from deadweight.tasks._options import one, one_of
from deadweight.tasks._task import task

SHELLS = ("bash", "zsh", "fish")
"""Their scripts ask us for the values of a flag, invoke itself (``--complete``) for tasks and flags, a project's own among them."""


@task(
    help={
        "shell": "print the script for bash, zsh or fish",
        "words": "print the values that may end this command line, one per line (used by the script)",
    },
    reads_only=True,
)
def completion(c: Context, shell: str | None = None, words: str | None = None) -> None:
    """Complete tasks, options, variants, checks and postures in bash, zsh and fish.

    Example: source <(invoke completion --shell bash)
    Example: source <(invoke completion --shell zsh)
    Example: invoke completion --shell fish | source
    """
    if words is not None:
        print("".join(f"{word}\n" for word in following(words)), end="")
        return
    print(script(one_of(one(shell, "--shell"), "--shell", SHELLS)), end="")


def script(shell: str) -> str:
    """What makes this shell ask."""
    return Path(__file__).with_name(f"completion.{shell}").read_text(encoding="utf-8")


def following(line: str) -> list[str]:
    """The values that may stand in the place of the last word of ``line``, or after it where a blank ends it.

    Empty where no value of ours is due. A word with commas keeps what stands before the last one. Nothing is said of a suite
    that cannot be read.
    """
    parts = line.split()
    last = "" if not parts or line[-1:].isspace() else parts.pop()
    if last.startswith("--") and "=" in last:
        flag, _, last = last.partition("=")
        parts.append(flag)
    if not parts or parts[-1] not in VALUES:
        return []
    head, comma, start = last.rpartition(",")
    with contextlib.suppress(Exception):  # a completion that explains itself would stand in the command line
        return [f"{head}{comma}{value}" for value in VALUES[parts[-1]]() if value.startswith(start)]
    return []


def _suite() -> lazy.Suite:
    return lazy.load_suite(lazy.find_suite_file())


def _checks() -> list[str]:
    found = list(lazy.check_names())
    with contextlib.suppress(Exception):  # our own are known without a suite
        found += dict.fromkeys(name for variant in _suite().variants for name in variant.checks.other)
    return found


VALUES: dict[str, Callable[[], Iterable[str]]] = {
    "--variant": lambda: lazy.variant_words(_suite()),  # names, services and tags: whatever it takes, patterns apart
    "--check": _checks,
    "--posture": lambda: [*lazy.attacks.posture_names(), "all"],
    "--format": lambda: lazy.attacks.HARDEN_FORMATS,
    "--provider": lambda: lazy.pipelines.PROVIDERS,
    "--shell": lambda: SHELLS,
    "--sbom": lambda: ["spdx", "cyclonedx", "both"],
    "--source": lambda: ["auto", "registry", "mirror", "local"],
    "--scan": lambda: ["deep", "plain", "hidden", "no"],
    "--post": lambda: ["github", "gitlab"],
}
"""What a flag's value may be, by the flag."""
