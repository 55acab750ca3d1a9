"""For a language that has no ladder here: the own Dockerfile as it is, on the other flavours of its last stage's base."""

from __future__ import annotations

import re
from collections.abc import Iterator

from deadweight.records.reference import split
from deadweight_init.languages.common import HEADER, flow
from deadweight_init.records import Ladder, OwnDockerfile, Rung, Service

_LANGUAGES = (
    r"(?:docker\.io/)?(?:library/)?(?P<name>python|node|golang|ruby|rust|php|perl|elixir|erlang|julia|swift|haskell)"
)
_FLAVOURED = (
    (re.compile(rf"{_LANGUAGES}"), ("slim", "alpine")),
    (re.compile(r"(?:docker\.io/)?(?:library/)?(?:eclipse-temurin|amazoncorretto)"), ("jre", "jre-alpine")),
    (re.compile(r"mcr\.microsoft\.com/dotnet/(?:aspnet|runtime|runtime-deps)"), ("alpine", "noble-chiseled")),
    (re.compile(r"(?:docker\.io/)?(?:library/)?debian"), ("slim",)),
)
_DISTROLESS = ("distroless", "gcr.io/distroless/static-debian12:latest")
_DISTROLESS_CC = ("distroless", "gcr.io/distroless/cc-debian12:latest")
_STATIC = ("chainguard", "cgr.dev/chainguard/static:latest")
_GLIBC = ("chainguard", "cgr.dev/chainguard/glibc-dynamic:latest")
_ALPINE = ("alpine", "alpine:3")
_DEBIAN = ("debian", "debian:12-slim")
_HUB = r"(?:docker\.io/)?(?:library/)?"
_RELATED = (
    (re.compile(rf"{_HUB}alpine"), (("chainguard", "cgr.dev/chainguard/wolfi-base:latest"),)),
    (re.compile(rf"{_HUB}ubuntu"), (("debian", "debian:12-slim"),)),
    (re.compile(rf"{_HUB}debian"), (("ubuntu", "ubuntu:24.04"),)),
    (re.compile(rf"{_HUB}busybox"), (("chainguard", "cgr.dev/chainguard/busybox:latest"), ("alpine", "alpine:3"))),
    (re.compile(r"scratch"), (_DISTROLESS, _STATIC, _ALPINE, _DEBIAN)),
    (re.compile(r"gcr\.io/distroless/static(?:-debian\d+)?"), (_STATIC, _ALPINE, _DEBIAN)),
    (re.compile(r"(?:cgr\.dev|docker\.io)/chainguard/static"), (_DISTROLESS, _ALPINE, _DEBIAN)),
    (re.compile(r"gcr\.io/distroless/(?:base|cc)(?:-debian\d+)?"), (_GLIBC, _DEBIAN)),
    (re.compile(r"(?:cgr\.dev|docker\.io)/chainguard/(?:glibc|cc)-dynamic"), (_DISTROLESS_CC, _DEBIAN)),
)
"""Bases of others with the same package manager, or with the same programs. What runs on nothing, or on files without one
program, runs on every base that has as much."""

_ONLY_ALPINE = frozenset(("golang", "php", "elixir", "erlang"))
"""Of these there is no slim flavour: what has no name for it is small already."""

_OF_DEBIAN = re.compile(r"\bapt(?:-get)?\s+(?:-\S+\s+)*(?:install|update)\b")
"""What only works on Debian and its kin."""

_TAG = re.compile(
    r"(?P<version>\d[\w.]*|lts|latest|current|stable|bookworm|trixie|bullseye)(?P<kind>-(?:fpm|cli|apache|zts))?(?:-[\w.]+)*"
)
_FROM = re.compile(
    r"^(?P<head>[ \t]*FROM[ \t]+(?:--\S+[ \t]+)*)(?P<base>\S+)(?P<rest>[^\n]*)$", re.MULTILINE | re.IGNORECASE
)


def beside(service: Service, place: str) -> Ladder:
    """The same beside a ladder of which nothing passed: in a file of their own, under names of their own."""
    return ladder(service, place, "flavours.Dockerfile", "today-on-")


def ladder(service: Service, place: str, name: str = "Dockerfile", prefix: str = "") -> Ladder:
    """One Dockerfile with the base as an argument, and a rung for each flavour; nothing where its base has none."""
    own = service.own
    if own is None or own.refused:
        return Ladder(())
    flavours = dict(_flavours(own.words.base))
    if _OF_DEBIAN.search(own.text) and own.target is None:
        flavours = {name: base for name, base in flavours.items() if "alpine" not in base}
    text = _text(own) if flavours else None
    if text is None:
        return Ladder(())
    file = f"{place}/{name}"
    return Ladder(tuple(_rungs(own, file, flavours, prefix)), {file: text})


def _rungs(own: OwnDockerfile, file: str, flavours: dict[str, str], prefix: str) -> Iterator[Rung]:
    for name, base in flavours.items():
        keys = {"dockerfile": file, "bases": flow({"BASE": base})}
        if own.context != ".":
            keys["source"] = own.context
        yield Rung(f"{prefix}{name}", "dockerfile", f"{own.path} on {base}", keys, (file,))


def _flavours(base: str) -> Iterator[tuple[str, str]]:
    """The names of the other flavours of an image, with their references."""
    repository, tag = split(base)[:2]
    yield from (other for pattern, others in _RELATED if pattern.fullmatch(repository) for other in others)
    told = _TAG.fullmatch(tag or "latest")
    for pattern, kinds in _FLAVOURED:
        found = pattern.fullmatch(repository)
        if found is None or told is None:
            continue
        version = "" if told["version"] in ("latest", "stable") else told["version"]
        stem = f"{version}{told['kind'] or ''}".strip("-")
        for kind in kinds:
            if kind == "slim" and found.groupdict().get("name") in _ONLY_ALPINE:
                continue
            if kind == "alpine" and told["kind"] == "-apache":
                continue
            if "chiseled" in kind and int(re.match(r"\d*", version)[0] or 8) < 8:  # type: ignore[index]
                continue
            other = "-".join(each for each in (stem, kind) if each)
            if other != tag and not tag.endswith(f"-{kind}"):
                yield kind, f"{repository}:{other}"


def _text(own: OwnDockerfile) -> str | None:
    """The own Dockerfile with an argument in the place of its last stage's base; None where the base is no plain word of it."""
    lines = [each for each in _FROM.finditer(own.text) if each["base"] == own.words.base]
    if not lines or own.target is not None:
        return None
    line = lines[-1]
    changed = f"{own.text[: line.start()]}{line['head']}${{BASE}}{line['rest']}{own.text[line.end() :]}"
    head = f"{HEADER}\n# It is {own.path}, with another base below its last stage.\nARG BASE={own.words.base}"
    return f"{head}\n\n{changed.strip()}\n"
