"""Which public images the local source can stand in for, and with which recipe. One plain table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from deadweight_standins import tags

TOOLS_REFERENCE = "deadweight/tools:latest"
"""The image of shell tools that ``invoke shell`` puts beside an image that has none."""


@dataclass(frozen=True)
class Row:
    """``repository`` and ``tag`` are patterns. ``made`` gives the parameter from what the tag's groups matched."""

    repository: str
    tag: str
    recipe: str
    shown: str
    made: Callable[[tuple[str, ...]], str] = lambda groups: next((group for group in groups if group), "")


_RELEASES = "bookworm|trixie|bullseye|buster|stretch|jessie"
_OS = rf"(?:-?((?:slim-)?(?:{_RELEASES})(?:-slim)?|slim|alpine[\d.]*))?"
_JVM = (
    r"docker\.io/(?:library/(?:eclipse-temurin|openjdk|java|adoptopenjdk|amazoncorretto|ibm-semeru-runtimes|sapmachine)"
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
        tags.golang,
    ),
    Row(r"docker\.io/library/(?:ubuntu|debian)", r"(.*)", "ubuntu", "ubuntu:*, debian:*", tags.release),
    Row(r"docker\.io/library/buildpack-deps", r"(.*)", "buildpack", "buildpack-deps:*", tags.release),
    Row(r"docker\.io/library/alpine", r".*", "alpine", "alpine:*"),
    Row(
        r"cgr\.dev/chainguard/wolfi-base|docker\.io/chainguard/wolfi-base",
        r".*",
        "wolfi",
        "cgr.dev/chainguard/wolfi-base",
    ),
    Row(
        r"cgr\.dev/chainguard/busybox|docker\.io/library/busybox|quay\.io/prometheus/busybox(?:-linux-\w+)?",
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
        lambda g: tags.kind("base-nossl", g),
    ),
    Row(
        r"gcr\.io/distroless/base(?:-debian1[0-9])?",
        _DISTROLESS,
        "distroless",
        "gcr.io/distroless/base-debian12, cc-debian12",
        lambda g: tags.kind("base", g),
    ),
    Row(  # for a Java that is put together with jlink
        r"gcr\.io/distroless/java-base(?:-debian1[0-9])?", _DISTROLESS, "distroless", "", lambda g: tags.kind("cc", g)
    ),
    Row(r"gcr\.io/distroless/cc(?:-debian1[0-9])?", _DISTROLESS, "distroless", "", lambda g: tags.kind("cc", g)),
    Row(
        r"(?:cgr\.dev|docker\.io)/chainguard/(?:glibc-dynamic|cc-dynamic)",
        r".*",
        "distroless",
        "cgr.dev/chainguard/glibc-dynamic",
        lambda _: "cc-nonroot",
    ),
    Row(
        r"gcr\.io/distroless/python3-debian13",
        _DISTROLESS,
        "python3",
        "gcr.io/distroless/python3-debian12, python3-debian13",
        lambda g: tags.kind("13", g),
    ),
    Row(r"gcr\.io/distroless/python3(?:-debian1[0-2])?", _DISTROLESS, "python3", ""),
    Row(
        r"(?:cgr\.dev|docker\.io)/chainguard/python",
        r"(?:latest|3[\d.]*)(?!.*-dev).*",
        "python3",
        "",
        lambda _: "newest-nonroot",  # as its -dev below, where modules are installed for it
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
        lambda _: "3-alpine",  # as there, with an apk
    ),
    Row(r"(?:cgr\.dev|docker\.io)/chainguard/node", r".*-dev", "node", "", lambda _: "-alpine"),
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
    Row(_JVM, r"(\d+)(?:[\w._]*)-jre(.*)", "jre", "eclipse-temurin:8|11|17|21|25[-jre][-alpine]", tags.java),
    Row(_JVM, r"(?:(\d+)[\w._+]*|latest)(?:-(?:jdk|ea|headful|headless))?(.*)", "jdk", "", tags.java),
    Row(r"docker\.io/library/maven", _MAVEN, "maven", "maven:3-eclipse-temurin-8|11|17|21|25", tags.java),
    Row(
        r"docker\.io/library/python",
        rf"(?:(3(?:\.\d+){{0,2}})|latest|(?=[a-z]))(?:[a-z]+\d+)?{_OS}",
        "python",
        "python:3.X[-slim|-alpine]",
        lambda g: tags.flavoured((tags.short(g[0]), *g[1:])),
    ),
    Row(
        r"docker\.io/library/node",
        rf"(?:(\d+(?:\.\d+){{0,2}})|latest|current|lts|(?=[a-z]))(?:-?(?:lts|current))?{_OS}",
        "node",
        "node:2X[-slim|-alpine]",
        tags.flavoured,
    ),
    Row(
        r"docker\.io/library/rust",
        r"(?:(1(?:\.\d+){0,2})-|latest-)?alpine[\d.]*",
        "rustalpine",
        "",
        lambda groups: f"{groups[0] or ''}-alpine",
    ),
    Row(
        r"docker\.io/library/rust",
        rf"(?:(1(?:\.\d+){{0,2}})|latest|(?=[a-z]))(?:rc\d+)?{_OS}",
        "rust",
        "rust:1.X[-slim|-alpine]",
        tags.flavoured,
    ),
    Row(
        r"ghcr\.io/astral-sh/uv",
        rf"(?!.*(?:python|debian|alpine|{_RELEASES})).*",
        "uv",
        "ghcr.io/astral-sh/uv[:python3.X[-slim|-alpine]]",
    ),
    Row(r"ghcr\.io/astral-sh/uv", r".*python(3\.\d+)(?:-(?:\w+-)?(slim|alpine).*)?.*", "uvpython", "", tags.flavoured),
    Row(  # an OS with uv alone, which installs a Python
        r"ghcr\.io/astral-sh/uv",
        rf"(?:[\d.]+-)?(?:debian|(alpine)[\d.]*|{_RELEASES})(?:-(slim))?",
        "uvpython",
        "",
        lambda g: tags.flavoured(("", *g)),
    ),
    Row(
        r"docker\.io/oven/bun",
        rf"(?:(\d+(?:\.\d+){{0,2}})|latest|canary|(?=[a-z]))(?:-?debian)?{_OS}",
        "bun",
        "oven/bun:1",
        tags.flavoured,
    ),
    Row(r"docker\.io/denoland/deno", r"bin(?:-\d[\d.]*)?", "deno", "", lambda _: "bin"),
    Row(
        r"docker\.io/denoland/deno",
        r"(?:debian|ubuntu|(alpine)|latest)?-?(\d[\d.]*)?",
        "deno",
        "denoland/deno:2",
        lambda g: tags.flavoured((g[1], g[0])),
    ),
    Row(
        r"docker\.io/library/ruby",
        r"(?:(\d+(?:\.\d+){0,2})|latest|(?=[a-z]))(?:-?(slim|bookworm|trixie|bullseye|slim-\w+))?",
        "ruby",
        "ruby:3.X[-slim]",
        tags.flavoured,
    ),
    Row(
        r"docker\.io/library/php",
        rf"(?:(\d+(?:\.\d+){{0,2}})|latest|(?=[a-z]))(?:rc\d+)?(?:-?(apache|fpm|cli|zts))?{_OS}",
        "php",
        "php:8.X[-apache|-fpm][-alpine]",
        lambda g: "-".join((tags.short(g[0]), g[1] if g[1] in ("apache", "fpm") else "cli", *tags.alpine(g[2]))),
    ),
    Row(
        r"docker\.io/library/httpd",
        r".*?(alpine.*)?",
        "httpd",
        "httpd:2.4[-alpine]",
        lambda g: "-alpine" if g[0] else "",
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
    Row(
        r"docker\.io/(?:library/(?:redis|valkey)|valkey/valkey|redis/redis-stack(?:-server)?|redislabs/redismod)",
        r".*",
        "redis",
        "redis:*",
    ),
    Row(r"docker\.io/library/(?:mysql|mariadb)|docker\.io/mysql/mysql-server", r".*", "mariadb", "mysql:*, mariadb:*"),
    Row(r"docker\.io/(?:library/mongo|mongodb/mongodb-community-server)", r".*", "mongo", "mongo:*"),
    Row(r"docker\.io/library/memcached", r".*", "memcached", "memcached:*"),
    Row(r"docker\.io/library/postgres", r".*", "postgres", "postgres:*"),
    Row(
        r"docker\.io/library/rabbitmq",
        r".*?(management)?(?:-alpine)?",
        "rabbitmq",
        "rabbitmq:*[-management]",
        lambda g: g[0] or "",
    ),
    Row(r"docker\.io/library/nats", r"(?!.*(?:windows|nanoserver)).*", "nats", "nats:*"),
    Row(r"docker\.io/docker/buildkit-syft-scanner", r".*", "scanner", "docker/buildkit-syft-scanner"),
    Row(r"docker\.io/deadweight/tools", r".*", "tools", TOOLS_REFERENCE),
)
