"""Choose the JDK that builds and the Java that runs."""

from __future__ import annotations

import re

_VERSION = re.compile(
    r"<(?:java\.version|maven\.compiler\.(?:release|source|target)|release|jdk\.version)>\s*(?:1\.)?(\d+)\s*<"
    r"|JavaLanguageVersion\.of\((\d+)\)|sourceCompatibility\s*=\s*[\"']?(?:JavaVersion\.VERSION_)?(?:1[._])?(\d+)"
    r"|jvmToolchain\s*\(?\s*(\d+)|jvmTarget\s*=\s*[\"'](?:1\.)?(\d+)"
)
_BOOT = re.compile(
    r"<artifactId>spring-boot-(?:starter-parent|dependencies)</artifactId>\s*<version>\s*(\d+)\.(\d+)"
    r"|org\.springframework\.boot[\"')]+\s*version\s*[\"'(]+(\d+)\.(\d+)"
    r"|spring-?[bB]oot(?:Version|\.version)?[\"']?\s*[=>:]\s*[\"']?(\d+)\.(\d+)"
    r"|spring-boot-gradle-plugin:(\d+)\.(\d+)"
)
_GRADLE = re.compile(r"distributionUrl\s*=.*gradle-(\d+)\.(\d+)")
SUPPORTED = (17, 21, 25)
_GRADLES = (((5, 0), 8), ((7, 3), 11), ((8, 5), 17), ((9, 1), 21))
"""Gradles before this version run on this Java at most, of those that are kept up."""


def boot_of(text: str) -> tuple[int, int] | None:
    """The version of Spring Boot; None where the build files name none."""
    match = _BOOT.search(text)
    if match is None:
        return None
    major, minor = (int(group) for group in match.groups() if group)
    return major, minor


def asked(text: str) -> tuple[int, int | None]:
    """The version that build files ask for, and where in the text; where they say none 17, or 8 for an old Spring Boot."""
    match, boot = _VERSION.search(text), boot_of(text)
    usual = 8 if boot is not None and boot < (2, 5) else 17
    return (usual, None) if match is None else (int(next(group for group in match.groups() if group)), match.start())


def runs_on(version: int, text: str) -> int:
    """The Java that the service is run on: the next that is kept up; Spring Boot before 2.5 wants one of its own time."""
    boot = boot_of(text)
    if boot is not None and version <= 11 and boot < (2, 5):
        return 8 if boot < (2, 1) and version <= 8 else 11
    return next((each for each in SUPPORTED if each >= version), SUPPORTED[-1])


def built_with(runtime: int, wrapper: str) -> int:
    """The JDK that builds: the one that it runs on, or an older one where the wrapper's Gradle does not run on that.

    ``wrapper`` is the text of gradle-wrapper.properties.
    """
    match = _GRADLE.search(wrapper)
    if match is None:
        return runtime
    gradle = (int(match[1]), int(match[2]))
    most = next((java for before, java in _GRADLES if gradle < before), runtime)
    return min(runtime, most)


_QUARKUS = re.compile(r"quarkus[\w.-]*version\s*[>=]\s*(\d+)\.(\d+)", re.IGNORECASE)


def quarkus_package(settings: str) -> str:
    """The setting of Quarkus that says which package is made: it has another name from 3.9 on."""
    match = _QUARKUS.search(settings)
    old = match is not None and (int(match[1]), int(match[2])) < (3, 9)
    return "quarkus.package.type" if old else "quarkus.package.jar.type"
