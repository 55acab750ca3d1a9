"""Which public image the local source can stand in for, and with what. One plain table."""

from __future__ import annotations

import re
from dataclasses import dataclass

from deadweight.sources import reference as references
from deadweight.sources.local.nearest import nearest

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
        return self.parameter or "latest"


@dataclass(frozen=True)
class Row:
    """``repository`` and ``tag`` are patterns; the tag's first group, if any, is the recipe's parameter."""

    repository: str
    tag: str
    recipe: str
    shown: str


TABLE = (
    Row(
        r"docker\.io/library/golang",
        r"(1\.(?:2[1-9]|[3-9]\d)\.\d+)(?:-bookworm)?",
        "golang",
        "golang:1.X.Y-bookworm (1.21.0 on)",
    ),
    Row(r"docker\.io/library/(?:ubuntu|debian)", r".*", "ubuntu", "ubuntu:*, debian:*"),
    Row(r"docker\.io/library/alpine", r".*", "alpine", "alpine:*"),
    Row(
        r"cgr\.dev/chainguard/busybox|docker\.io/library/busybox",
        r".*",
        "busybox",
        "cgr.dev/chainguard/busybox:*, busybox:*",
    ),
    Row(
        r"gcr\.io/distroless/(?:static|static-debian1[0-9])|cgr\.dev/chainguard/static",
        r"(?:(nonroot|debug|debug-nonroot)|latest)(?:-(?:amd64|arm64))?",
        "static",
        "gcr.io/distroless/static-debian12:latest|nonroot|debug, cgr.dev/chainguard/static:latest",
    ),
    Row(r"docker\.io/library/eclipse-temurin", r"17-jre.*", "jre", "eclipse-temurin:17-jre"),
    Row(
        r"gcr\.io/distroless/java17(?:-debian1[0-9])?",
        r"(nonroot)?(?:latest)?",
        "java17",
        "gcr.io/distroless/java17-debian12",
    ),
    Row(r"docker\.io/library/maven", r"3.*-eclipse-temurin-17.*", "maven", "maven:3-eclipse-temurin-17"),
    Row(r"docker\.io/library/eclipse-temurin", r"17(?:-jdk.*)?", "maven", "eclipse-temurin:17-jdk"),
    Row(r"docker\.io/deadweight/tools", r".*", "tools", TOOLS_REFERENCE),
)


def stand_in(reference: str) -> StandIn:
    """The stand-in for a public reference. Raises NoBase that lists all there are, UsageError for no reference."""
    parsed = references.parse(reference)
    for row in TABLE:
        if re.fullmatch(row.repository, f"{parsed.host}/{parsed.repository}"):
            match = re.fullmatch(row.tag, parsed.tag or "latest")
            if match:
                return StandIn(row.recipe, next((group for group in match.groups() if group), ""))
    near = nearest(f"{parsed.host}/{parsed.repository}", {row.repository: row.shown for row in TABLE})
    can = "; ".join(row.shown for row in TABLE)
    raise references.NoBase(
        (
            reference,
            f"the local source has no stand-in for {reference}; {f'the nearest is {near}' if near else 'none is near'}",
        ),
        hint=f"it can stand in for {can}. Use one of these, or another source: invoke setup --source registry",
    )
