"""Which public image the local source can stand in for, and with what. One plain table."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from deadweight.records.reference import parse
from deadweight.sources.local.nearest import nearest
from deadweight.sources.no_base import NoBase

TOOLS_REFERENCE = "deadweight/tools:latest"
"""The image of shell tools that ``invoke shell`` puts beside an image that has none."""


@dataclass(frozen=True)
class StandIn:
    """One stand-in: the recipe's name and its parameter (a version, a tag's flavour, or nothing)."""

    recipe: str
    parameter: str = ""

    @property
    def repository(self) -> str:
        """Its name in the local registry."""
        return f"stand-in/{self.recipe}"

    @property
    def tag(self) -> str:
        return self.parameter.lstrip("-") or "latest"  # no tag begins with a dash

    @property
    def like_alpine(self) -> bool:
        """Whether it has Alpine's layout, and a place for its ``apk``."""
        return self.recipe in ("alpine", "wolfi") or self.parameter.endswith("alpine")

    @property
    def has_apt(self) -> bool:
        """Whether it has the OS's ``apt-get``."""
        return self.recipe in WITH_APT and not self.like_alpine


WITH_APT = (
    *("ubuntu", "golang", "python", "uvpython", "node", "rust", "jre", "jdk", "maven", "bun", "deno", "ruby"),
    *("nginx", "redis", "postgres", "caddy"),
)


@dataclass(frozen=True)
class Row:
    """``repository`` and ``tag`` are patterns. ``made`` gives the parameter from what the tag's groups matched."""

    repository: str
    tag: str
    recipe: str
    shown: str
    made: Callable[[tuple[str, ...]], str] = lambda groups: next((group for group in groups if group), "")


def _flavoured(groups: tuple[str, ...]) -> str:
    """``VERSION``, ``VERSION-slim`` or ``VERSION-alpine``."""
    version, flavour = groups[0], next((group for group in groups[1:] if group), "")
    kind = "alpine" if flavour.startswith("alpine") else "slim" if "slim" in flavour else ""
    return "-".join(part for part in (version, kind) if part) if version or not kind else f"-{kind}"


def _release(groups: tuple[str, ...]) -> str:
    from deadweight.sources.local import suites
    from deadweight.sources.local.machine import codename

    own = codename()
    found = suites.of_tag(groups[0], own)
    return "" if found == own else found


def _golang(groups: tuple[str, ...]) -> str:
    return f"{groups[0]}-alpine" if (groups[1] or "").startswith("alpine") else groups[0]


def _java(groups: tuple[str, ...]) -> str:
    """``MAJOR``, ``MAJOR-alpine``, or nothing for the one meant."""
    alpine = "alpine" in (groups[-1] or "")
    major = groups[0] or ("17" if alpine else "")
    return f"{major}-alpine" if alpine else "" if major == "17" else major


_RELEASES = "bookworm|trixie|bullseye|buster|stretch|jessie"
_OS = rf"(?:-?((?:slim-)?(?:{_RELEASES})(?:-slim)?|slim|alpine[\d.]*))?"
_JVM = (
    r"docker\.io/(?:library/(?:eclipse-temurin|openjdk|amazoncorretto|ibm-semeru-runtimes|sapmachine)"
    r"|bellsoft/liberica-openj[dr][ke]-\w+|azul/zulu-openjdk(?:-\w+)?)"
    r"|public\.ecr\.aws/amazoncorretto/amazoncorretto|container-registry\.oracle\.com/java/openjdk"
    r"|mcr\.microsoft\.com/openjdk/jdk"
)
_MAVEN = r"(?:[\d.]+|latest)(?:-(?:eclipse-temurin|openjdk|amazoncorretto|ibmjava|sapmachine|jdk)-?(\d+))?(.*)"
_DISTROLESS = r"(?:(nonroot|debug|debug-nonroot)|latest)(?:-(?:amd64|arm64))?"

TABLE = (
    Row(
        r"docker\.io/library/golang",
        rf"(?:(1(?:\.\d+){{0,2}})|latest|(?=[a-z]))(?:rc\d+|beta\d+)?{_OS}",
        "golang",
        "golang:1.X[-alpine|-bookworm|-trixie]",
        _golang,
    ),
    Row(r"docker\.io/library/(?:ubuntu|debian|buildpack-deps)", r"(.*)", "ubuntu", "ubuntu:*, debian:*", _release),
    Row(r"docker\.io/library/alpine", r".*", "alpine", "alpine:*"),
    Row(
        r"cgr\.dev/chainguard/wolfi-base|docker\.io/chainguard/wolfi-base",
        r".*",
        "wolfi",
        "cgr.dev/chainguard/wolfi-base",
    ),
    Row(
        r"cgr\.dev/chainguard/busybox|docker\.io/library/busybox",
        r".*",
        "busybox",
        "cgr.dev/chainguard/busybox:*, busybox:*",
    ),
    Row(
        r"gcr\.io/distroless/(?:static|static-debian1[0-9])|(?:cgr\.dev|docker\.io)/chainguard/static",
        _DISTROLESS,
        "static",
        "gcr.io/distroless/static-debian12:latest|nonroot|debug, cgr.dev/chainguard/static:latest",
    ),
    Row(
        r"gcr\.io/distroless/base-nossl(?:-debian1[0-9])?",
        _DISTROLESS,
        "distroless",
        "",
        lambda g: _kind("base-nossl", g),
    ),
    Row(
        r"gcr\.io/distroless/base(?:-debian1[0-9])?",
        _DISTROLESS,
        "distroless",
        "gcr.io/distroless/base-debian12, cc-debian12",
        lambda g: _kind("base", g),
    ),
    Row(r"gcr\.io/distroless/cc(?:-debian1[0-9])?", _DISTROLESS, "distroless", "", lambda g: _kind("cc", g)),
    Row(
        r"(?:cgr\.dev|docker\.io)/chainguard/(?:glibc-dynamic|cc-dynamic)",
        r".*",
        "distroless",
        "cgr.dev/chainguard/glibc-dynamic",
        lambda _: "cc-nonroot",
    ),
    Row(r"gcr\.io/distroless/python3(?:-debian1[0-9])?", _DISTROLESS, "python3", "gcr.io/distroless/python3-debian12"),
    Row(
        r"(?:cgr\.dev|docker\.io)/chainguard/python",
        r"(?:latest|3[\d.]*)(?!.*-dev).*",
        "python3",
        "",
        lambda _: "nonroot",
    ),
    Row(
        r"gcr\.io/distroless/nodejs(\d+)?(?:-debian1[0-9])?",
        _DISTROLESS,
        "nodejs",
        "gcr.io/distroless/nodejsXX-debian12",
    ),
    Row(
        r"gcr\.io/distroless/java(\d+)?(?:-debian1[0-9])?",
        r"(nonroot)?(?:latest|debug|debug-nonroot)?",
        "java17",
        "gcr.io/distroless/java17-debian12, java21-debian12",
    ),
    Row(r"(?:cgr\.dev|docker\.io)/chainguard/jre", r".*", "java21", "cgr.dev/chainguard/jre", lambda _: "nonroot"),
    Row(r"(?:cgr\.dev|docker\.io)/chainguard/go", r".*", "golang", "cgr.dev/chainguard/go", lambda _: ""),
    Row(
        r"(?:cgr\.dev|docker\.io)/chainguard/python",
        r".*-dev",
        "python",
        "cgr.dev/chainguard/python",
        lambda _: "3-slim",
    ),
    Row(r"(?:cgr\.dev|docker\.io)/chainguard/node", r".*", "node", "cgr.dev/chainguard/node", lambda _: "-slim"),
    Row(r"(?:cgr\.dev|docker\.io)/chainguard/rust", r".*", "rust", "cgr.dev/chainguard/rust", lambda _: ""),
    Row(
        r"(?:cgr\.dev|docker\.io)/chainguard/maven",
        r".*",
        "maven",
        "cgr.dev/chainguard/jdk, maven",
        lambda _: "21",
    ),
    Row(r"(?:cgr\.dev|docker\.io)/chainguard/jdk", r".*", "jdk", "", lambda _: "21"),
    Row(r"(?:cgr\.dev|docker\.io)/chainguard/nginx", r".*", "nginx", "", lambda _: "unprivileged"),
    Row(_JVM, r"(\d+)(?:[\w._]*)-jre(.*)", "jre", "eclipse-temurin:8|11|17|21|25[-jre][-alpine]", _java),
    Row(_JVM, r"(?:(\d+)[\w._+]*|latest)(?:-(?:jdk|ea|headful|headless))?(.*)", "jdk", "", _java),
    Row(r"docker\.io/library/maven", _MAVEN, "maven", "maven:3-eclipse-temurin-8|11|17|21|25", _java),
    Row(
        r"docker\.io/library/python",
        rf"(?:(3(?:\.\d+){{0,2}})|latest|(?=[a-z]))(?:[a-z]+\d+)?{_OS}",
        "python",
        "python:3.X[-slim|-alpine]",
        lambda g: _flavoured((_short(g[0]), *g[1:])),
    ),
    Row(
        r"docker\.io/library/node",
        rf"(?:(\d+(?:\.\d+){{0,2}})|latest|current|lts|(?=[a-z]))(?:-?(?:lts|current))?{_OS}",
        "node",
        "node:2X[-slim|-alpine]",
        _flavoured,
    ),
    Row(
        r"docker\.io/library/rust",
        rf"(?:(1(?:\.\d+){{0,2}})|latest|(?=[a-z]))(?:rc\d+)?{_OS}",
        "rust",
        "rust:1.X[-slim]",
        _flavoured,
    ),
    Row(r"ghcr\.io/astral-sh/uv", r"(?!.*(?:python|debian|alpine|bookworm)).*", "uv", "ghcr.io/astral-sh/uv"),
    Row(r"ghcr\.io/astral-sh/uv", r".*python(3\.\d+)(?:-(?:\w+-)?(slim|alpine).*)?.*", "uvpython", "", _flavoured),
    Row(
        r"docker\.io/oven/bun",
        rf"(?:(\d+(?:\.\d+){{0,2}})|latest|canary|(?=[a-z]))(?:-?debian)?{_OS}",
        "bun",
        "oven/bun:1",
        _flavoured,
    ),
    Row(r"docker\.io/denoland/deno", r"bin(?:-\d[\d.]*)?", "deno", "", lambda _: "bin"),
    Row(
        r"docker\.io/denoland/deno",
        r"(?:debian|ubuntu|(alpine)|latest)?-?(\d[\d.]*)?",
        "deno",
        "denoland/deno:2",
        lambda g: _flavoured((g[1], g[0])),
    ),
    Row(
        r"docker\.io/library/ruby",
        r"(?:(\d+(?:\.\d+){0,2})|latest|(?=[a-z]))(?:-?(slim|bookworm|trixie|bullseye|slim-\w+))?",
        "ruby",
        "ruby:3.X[-slim]",
        _flavoured,
    ),
    Row(r"docker\.io/tonistiigi/xx", r".*", "xx", "tonistiigi/xx"),
    Row(r"docker\.io/library/caddy", r"(?!.*builder).*", "caddy", "caddy:2"),
    Row(
        r"docker\.io/nginxinc/nginx-unprivileged",
        r".*?(alpine.*)?",
        "nginx",
        "",
        lambda g: "unprivileged-alpine" if g[0] else "unprivileged",
    ),
    Row(r"docker\.io/library/nginx", r".*?(alpine.*)?", "nginx", "nginx:*", lambda g: "-alpine" if g[0] else ""),
    Row(r"docker\.io/library/(?:redis|valkey)", r".*", "redis", "redis:*"),
    Row(r"docker\.io/library/postgres", r".*", "postgres", "postgres:*"),
    Row(r"docker\.io/deadweight/tools", r".*", "tools", TOOLS_REFERENCE),
)


def _kind(kind: str, groups: tuple[str, ...]) -> str:
    flavour = next((group for group in groups if group), "")
    return f"{kind}-{flavour}" if flavour else kind


def _short(version: str | None) -> str:
    """``3.12`` of ``3.12.4``: patches of a language are not told apart."""
    return ".".join((version or "").split(".")[:2])


def stand_in(reference: str) -> StandIn:
    """The stand-in for a public reference; a digest beside a tag changes nothing.

    Raises NoBase that names the nearest and lists all there are, UsageError for no reference.
    """
    parsed = parse(reference)
    name = _hubs_own(f"{parsed.host}/{parsed.repository}")
    for row in TABLE:
        named = re.fullmatch(row.repository, name)
        match = re.fullmatch(row.tag, parsed.tag or "latest") if named else None
        if named and match:
            return _made(row, named, match)
    can = "; ".join(row.shown for row in TABLE if row.shown)
    near = nearest(name, {row.repository: row.shown for row in TABLE if row.shown})
    beside = f"the nearest is {near}" if near else "none is near"
    raise NoBase(
        (reference, f"the local source has no stand-in for {reference}; {beside}"),
        hint=f"the local source can stand in for {can}. Use one of these, or another source: invoke setup --source registry",
    )


def _hubs_own(name: str) -> str:
    """``docker.io/library/golang`` of ``mirror.gcr.io/library/golang``: a mirror of Docker Hub's serves the same images.

    Whoever mirrors the Hub keeps ``library/`` in front of the official ones.
    """
    official = re.search(r"/library/[\w.-]+$", name)
    return f"docker.io{official[0]}" if official else re.sub(r"^mirror\.gcr\.io/", "docker.io/", name)


def _made(row: Row, named: re.Match[str], match: re.Match[str]) -> StandIn:
    """Some distroless names hold the version, where others have it in the tag."""
    version = next((group for group in named.groups() if group), "")
    parameter = row.made(tuple(group or "" for group in match.groups()))
    if row.recipe == "nodejs":
        return StandIn("nodejs", "-".join((version, *filter(None, [parameter]))))
    if row.recipe == "java17":
        return StandIn("java21" if version in ("21", "25") else "java17", parameter)
    return StandIn(row.recipe, parameter)
