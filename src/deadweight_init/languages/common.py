"""Write the Dockerfile lines and YAML values that all language recipes share."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from typing import Any

from deadweight.builders import protocol
from deadweight_init.records import Change, Code, ImageWords, Known, Ladder, Project, Rung, Service, wording
from deadweight_init.tree import TABLES

HEADER = protocol.DOCKERFILE
"""The first line of every Dockerfile that init writes, by which it knows them again."""

EVERYWHERE = "0.0.0.0"  # noqa: S104 - in a container
HOME = "/app"
EMPTY = "/empty"
"""A folder of the build stage, from which a folder that is the service's user's is made without a shell."""

_IGNORED = (
    *(".git", ".deadweight", ".venv", "venv", "deadweight.yaml", "**/Dockerfile*", ".env"),
    *("**/__pycache__", "**/node_modules"),
)
AS_ROOT = ("# Some bases for building start as another user; only this stage is root's.", "USER root")
CERTIFICATES = (
    "# For outgoing TLS; not every base has them.",
    "COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt",
)
EXEC_FORM = "# Exec form: the service itself is process 1 and gets SIGTERM."


def libraries(folder: str) -> Iterator[str]:
    """The instruction that copies the libraries of the OS which compiled files of a folder link into its ``lib``."""
    yield "# What was compiled links libraries of the OS, which not every base has."
    yield f"RUN mkdir -p {folder}/lib \\"
    yield f"    && find {folder} -type f \\( -name '*.so*' -o -path '*/bin/*' \\) -exec ldd {{}} + 2>/dev/null \\"
    yield "    | awk '/=> \\/(usr\\/)?lib/ && !/lib(c|m|dl|rt|pthread|util|python[0-9.]*|ruby[-.0-9a-z]*)\\.so/ {print $3}' \\"
    yield f"    | sort -u | xargs -r cp -Lt {folder}/lib"


def image_words(service: Service) -> ImageWords:
    """What the repository's own image says; nothing if there is none."""
    return service.own.words if service.own else ImageWords()


def of_base(words: ImageWords | None, pattern: str) -> Known[str] | None:
    """The version in the base of the own image, or of another stage, as exactly as it is there: the base is shared then."""
    matches = (re.match(rf"(?:.*/)?{pattern}", base) for base in (words.base, *words.bases)) if words else ()
    return next((Known(match[1], "from your Dockerfile's base") for match in matches if match), None)


Bases = Mapping[str, tuple[str, str]]
"""What a recipe is built on and what it runs on, by flavour."""


def bases_of(language: str, **values: str) -> Bases:
    """Those of the table, filled in."""
    table: Mapping[str, Sequence[str]] = TABLES["bases"][language]
    return {flavour: (build.format(**values), base.format(**values)) for flavour, (build, base) in table.items()}


def one_dockerfile(
    bases: Bases,
    what: str,
    place: str,
    source: str,
    lines: Iterable[str],
    ignored: Sequence[str] = (),
    more: Mapping[str, Any] | None = None,
    name: str = "Dockerfile",
) -> Ladder:
    """A Dockerfile that takes its bases as arguments, with one rung for each pair (built on, runs on). ``ignored`` is what its
    build does not read, ``more`` are keys that all rungs have."""
    file = f"{place}/{name}"
    ignore = [
        "# Not in the build context: what no build reads, and what would make every build a new one.",
        *(*_IGNORED, place, *ignored),
    ]
    files = {file: "\n".join((HEADER, *lines)) + "\n", f"{file}.dockerignore": "\n".join(ignore) + "\n"}
    rungs, (first_build, first) = [], next(iter(bases.values()))
    for flavour, (build, base) in bases.items():
        arguments = {**({"BUILD": build} if build else {}), "BASE": base}
        keys = {"dockerfile": file, "source": source, "bases": arguments, **(more or {})}
        difference = f"{first} -> {base}" + (wording("change.built_on", base=build) if build != first_build else "")
        changes = (Change(Code.BASE, difference),) if base != first else ()
        description = wording("rung.on", what=what, base=base)
        rungs.append(Rung(flavour, "dockerfile", description, keys, tuple(files), changes=changes))
    return Ladder(tuple(rungs), files)


def arguments(bases: Bases) -> list[str]:
    """The first lines of such a Dockerfile: its bases, as the first rung has them."""
    build, base = next(iter(bases.values()))
    return [*([f"ARG BUILD={build}"] if build else []), f"ARG BASE={base}", ""]


def run_stage(
    project: Project,
    port: int,
    entry: Sequence[str],
    copies: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    workdir: str = HOME,
    stop: str = "",
) -> Iterator[str]:
    """The last stage. ``copies`` are ``[--from=STAGE] SOURCE TARGET``; if the program writes
    into its own folder, that is its user's."""
    owner = "--chown=65532:65532 " if project.owned else ""
    yield "FROM ${BASE}"
    yield from (f"ENV {name}={_word(value)}" for name, value in (env or {}).items())
    if not project.owned:
        yield f"WORKDIR {workdir}"
    yield from (f"COPY {owner}{line}" for line in copies)
    if project.owned:
        yield "# It writes there, so that is its user's."
        yield f"WORKDIR {workdir}"
    yield "# By number: no base needs to know the user, and Kubernetes can see that it is not root."
    yield "USER 65532:65532"
    yield "# That user has no home of its own, and some programs look for one that they can write to."
    yield "ENV HOME=/tmp"
    yield f"EXPOSE {port}"
    if re.fullmatch(r"[A-Z0-9+]+", stop) and stop not in ("SIGTERM", "15"):
        yield f"STOPSIGNAL {stop}"
    yield EXEC_FORM
    yield f"ENTRYPOINT {json.dumps(list(entry), ensure_ascii=False)}"


def flow(value: Any) -> str:
    """Data in YAML's flow style."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{scalar(str(key))}: {flow(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(flow, value)) + "]"
    if isinstance(value, str):
        return scalar(value)
    if isinstance(value, float):
        return f"{value:g}"
    return str(value) if isinstance(value, date) else json.dumps(value)


def scalar(text: str) -> str:
    """A text as a YAML scalar, quoted where it would be taken for anything else."""
    plain = re.fullmatch(r"[A-Za-z_./][A-Za-z0-9_./-]*", text)
    words = ("true", "false", "yes", "no", "on", "off", "null", "y", "n", "~")
    return text if plain and text.lower() not in words else json.dumps(text, ensure_ascii=False)


def plain_env(words: ImageWords, dropped: str) -> dict[str, str]:
    """The own image's variables, without those that match ``dropped`` or name others."""
    return {name: value for name, value in words.env.items() if not re.fullmatch(dropped, name) and "$" not in value}


def _word(value: str) -> str:
    return json.dumps(value, ensure_ascii=False) if re.search(r"[\s\"'#\\]", value) or not value else value
