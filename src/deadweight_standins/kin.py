"""The image nearest to one without a stand-in, as a reference that has one: to be named, and to be tried (``--rebase``)."""

from __future__ import annotations

import re

_ENTERPRISE = r"registry\.(?:access\.)?redhat\.(?:com|io)/(?:ubi\d+|rhel\d+)"
_BITNAMI = r"(?:docker\.io|public\.ecr\.aws)/bitnami(?:legacy|secure)?"
_GUARDED = "go|node|python|jre|jdk|static|glibc-dynamic|wolfi-base|nginx|rust|maven"
_FEDORAS = r"(?:amazonlinux|azurelinux/.*|fedora(?:-minimal)?|centos|rockylinux|almalinux|oraclelinux|photon|clearlinux|archlinux)"

_DEVELOPERS = r"mcr\.microsoft\.com/(?:vscode/)?devcontainers"
_LAMBDA = r"public\.ecr\.aws/lambda"

KIN: tuple[tuple[str, str, str], ...] = (
    (r".*/gradle", r".*?jdk-?(\d+).*", "eclipse-temurin:{0}"),
    (r".*/gradle", r".*", "eclipse-temurin:21"),
    (rf"{_ENTERPRISE}/openjdk-(\d+)-runtime", r".*", "eclipse-temurin:{0}-jre"),
    (rf"{_ENTERPRISE}/openjdk-(\d+)", r".*", "maven:3-eclipse-temurin-{0}"),
    (rf"{_ENTERPRISE}/nodejs-(\d+)(?:-minimal)?", r".*", "node:{0}"),
    (rf"{_ENTERPRISE}/python-(\d)(\d+)(?:-minimal)?", r".*", "python:{0}.{1}"),
    (rf"{_ENTERPRISE}/go-toolset", r"(1\.\d+).*", "golang:{0}"),
    (rf"{_ENTERPRISE}/go-toolset", r".*", "golang"),
    (rf"{_ENTERPRISE}/nginx-\d+", r".*", "nginx"),
    (rf"{_ENTERPRISE}/ubi-micro", r".*", "gcr.io/distroless/cc-debian12"),
    (rf"{_ENTERPRISE}(?:/ubi(?:-minimal|-init)?)?", r".*", "debian:12"),
    (rf".*/{_FEDORAS}", r".*", "debian:12"),
    (r"quay\.io/quarkus/(?:ubi\d+-)?quarkus-micro-image", r".*", "debian:12-slim"),
    (r"quay\.io/quarkus/quarkus-distroless-image", r".*", "gcr.io/distroless/cc-debian12"),
    (r".*/(?:graalvm-community|native-image(?:-community)?|jdk-community|jdk)", r".*?(\d+).*", "eclipse-temurin:{0}"),
    (r".*/(?:sbt|scala-sbt|clojure|scala-mill)", r".*?(?:temurin|openjdk|tem)-?(\d+).*", "eclipse-temurin:{0}"),
    (r".*/(?:tomcat|jetty|payara.*|wildfly|open-liberty)", r".*?(?:jdk|jre|java)-?(\d+).*", "eclipse-temurin:{0}"),
    (r".*/(?:liberica-runtime-container)", r"jre-(?:all-)?(\d+).*", "eclipse-temurin:{0}-jre-alpine"),
    (r".*/(?:liberica-runtime-container)", r"jdk-(?:all-)?(\d+).*", "eclipse-temurin:{0}-alpine"),
    (r".*/(?:uvicorn-gunicorn.*|meinheld-gunicorn.*|pypy|python)", r".*?(3\.\d+).*", "python:{0}"),
    (r".*/(?:miniconda3?|mambaforge|micromamba|anaconda3?)", r".*", "python:3"),
    (r".*/cargo-chef", r".*?rust-(1[\d.]*).*", "rust:{0}"),
    (r".*/(?:cargo-chef|muslrust|rust-musl-builder|rust-musl-cross)", r".*", "rust"),
    (rf"{_DEVELOPERS}/(?:javascript|typescript)-node", r"(?:.*-)?(\d+)(?:-.*)?", "node:{0}"),
    (rf"{_DEVELOPERS}/python", r"(?:.*-)?(3(?:\.\d+)?)(?:-.*)?", "python:{0}"),
    (rf"{_DEVELOPERS}/go", r"(?:.*-)?(1\.\d+)(?:-.*)?", "golang:{0}"),
    (rf"{_DEVELOPERS}/java", r"(?:.*-)?(\d+)(?:-.*)?", "eclipse-temurin:{0}"),
    (rf"{_DEVELOPERS}/(?:javascript-node|typescript-node)", r".*", "node"),
    (rf"{_DEVELOPERS}/(python|rust|ruby)", r".*", "{0}"),
    (rf"{_DEVELOPERS}/go", r".*", "golang"),
    (rf"{_DEVELOPERS}/java", r".*", "eclipse-temurin:21"),
    (rf"{_DEVELOPERS}/base", r"(?:.*-)?alpine.*", "alpine"),
    (rf"{_DEVELOPERS}/.*", r".*", "debian:12"),
    (rf"{_LAMBDA}/python", r"(3\.\d+).*", "python:{0}"),
    (rf"{_LAMBDA}/nodejs", r"(\d+).*", "node:{0}"),
    (rf"{_LAMBDA}/java", r"(\d+).*", "eclipse-temurin:{0}"),
    (rf"{_LAMBDA}/provided", r".*", "debian:12"),
    (r".*/python-nodejs", r"python(3\.\d+).*", "python:{0}"),
    (r".*/(?:nvidia/cuda|phusion/baseimage|heroku/heroku|cimg/base)", r".*", "ubuntu"),
    (r".*/(?:pytorch/pytorch|tensorflow/tensorflow|jupyter/.*)", r".*", "python:3"),
    (r".*/(?:cypress/.*|cimg/node|playwright)", r".*", "node"),
    (r".*/alpine-node|.*/nodejs", r"(\d+).*", "node:{0}"),
    (rf"{_BITNAMI}/postgresql", r".*", "postgres"),
    (rf"{_BITNAMI}/(node|golang|python|ruby)", r"(\d+(?:\.\d+)?).*", "{0}:{1}"),
    (rf"{_BITNAMI}/(redis|valkey|nginx|node|golang|python|ruby|rabbitmq|nats)", r".*", "{0}"),
    (rf"{_BITNAMI}/(?:java|minideb)", r".*", "debian:12"),
    (r".*/alpine-(?:glibc|java|extended)", r".*", "alpine"),
    (
        rf"cgr\.dev/[^/]+/({_GUARDED})(?:-fips)?",
        r".*",
        "cgr.dev/chainguard/{0}",
    ),
)
"""Patterns of HOST/REPOSITORY and tag, and the reference that takes their place, with what the patterns found filled in."""


def kin(name: str, tag: str) -> str | None:
    """``name`` is HOST/REPOSITORY. None where nothing is near."""
    for repository, tags, reference in KIN:
        named, tagged = re.fullmatch(repository, name), re.fullmatch(tags, tag)
        if named and tagged:
            return reference.format(*(group or "" for group in (*named.groups(), *tagged.groups())))
    return None
