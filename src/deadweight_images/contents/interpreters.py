"""The language runtimes that an image may have, known by the names of their programs, and where each one's version stands."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from deadweight_images.contents.filesystem import File, Filesystem

_SMALL = 64 * 1024


@dataclass(frozen=True)
class Setting:
    """Where versions are looked for: the image's files and its environment."""

    files: Filesystem
    env: dict[str, str]

    def text(self, path: str) -> str:
        """A small file of the image as text; empty where there is none."""
        file = self.files.file(path)
        return "" if file is None else self.files.start(file, _SMALL).decode("utf-8", "replace")

    def package(self, pattern: str) -> str:
        """The upstream version of the first package of such a name that the image's package database lists."""
        for package in self.files.installed():
            if package.kind in ("deb", "apk") and re.fullmatch(pattern, package.name):
                return re.split(r"[-+~]", package.version.rpartition(":")[2])[0]
        return ""


def identified(called: str, file: File, setting: Setting) -> tuple[str, str] | None:
    """Name and version of the runtime that a program is (``Python``, ``3.11.2``), by the name that it has or was called by.

    The version is empty where nothing tells it. None for any other program.
    """
    for pattern, version in _KINDS:
        if pattern.fullmatch(file.name) or pattern.fullmatch(called):
            return version(file, setting)
    return None


def _folder(file: File) -> str:
    return file.path.rpartition(b"/")[0].decode("utf-8", "surrogateescape")


def _java(file: File, setting: Setting) -> tuple[str, str]:
    """``release`` stands in the home folder (JEP 223); a JDK is one with a compiler."""
    home = _folder(file).removesuffix("/bin")
    for place in (home, home.removesuffix("/jre")):
        told = re.search(r'^JAVA_VERSION="?([\w.+-]+)', setting.text(f"{place}/release"), re.MULTILINE)
        name = "JDK" if setting.files.file(f"{place}/bin/javac") is not None else "JRE"
        if told:
            return name, told[1]
    named = re.search(r"(?:java|jdk|jre|openjdk)-?(\d+(?:\.\d+)*)", home)
    return name, setting.env.get("JAVA_VERSION", "").removeprefix("jdk-") or (named[1] if named else "")


def _node(file: File, setting: Setting) -> tuple[str, str]:
    header = setting.text(f"{_folder(file).removesuffix('/bin')}/include/node/node_version.h")
    numbers = [re.search(rf"#define NODE_{part}_VERSION (\d+)", header) for part in ("MAJOR", "MINOR", "PATCH")]
    told = ".".join(match[1] for match in numbers if match)
    return "Node", told or setting.env.get("NODE_VERSION", "") or setting.package(r"nodejs(-\d+)?")


def _python(file: File, setting: Setting) -> tuple[str, str]:
    """The program's own name says the two numbers; the third is where its installer wrote it."""
    named = re.fullmatch(r"python(3\.\d+)", file.name)
    told = (setting.env.get("PYTHON_VERSION", ""), setting.package(r"(lib)?python-?3(\.\d+)?(-minimal)?"))
    fuller = [version for version in told if not named or f"{version}.".startswith(f"{named[1]}.")]
    return "Python", next(filter(None, fuller), named[1] if named else "")


def _by(name: str, variable: str, package: str, in_name: str = "") -> Callable[[File, Setting], tuple[str, str]]:
    """A runtime whose version its image's environment, its package or its program's name says."""

    def found(file: File, setting: Setting) -> tuple[str, str]:
        named = re.search(in_name, file.name) if in_name else None
        return name, setting.env.get(variable, "") or setting.package(package) or (named[1] if named else "")

    return found


def _dotnet(file: File, setting: Setting) -> tuple[str, str]:
    place = re.compile(rf"{re.escape(_folder(file))}/shared/Microsoft\.NETCore\.App/(\d[\w.-]*)")
    paths = (path.decode("utf-8", "replace") for path in setting.files.paths())
    versions = sorted(match[1] for path in paths if (match := place.fullmatch(path)))
    return ".NET", versions[-1] if versions else setting.env.get("DOTNET_VERSION", "")


_KINDS: tuple[tuple[re.Pattern[str], Callable[[File, Setting], tuple[str, str]]], ...] = tuple(
    (re.compile(pattern), version)
    for pattern, version in (
        (r"java", _java),
        (r"node|nodejs", _node),
        (r"python[23]?(\.\d+)?", _python),
        (r"ruby(\d[\d.]*)?", _by("Ruby", "RUBY_VERSION", r"ruby(-?\d[\d.]*)?", r"(\d[\d.]*)$")),
        (r"php(-fpm)?(\d[\d.]*)?", _by("PHP", "PHP_VERSION", r"php-?\d[\d.]*(-cli|-fpm|-common)?", r"(\d[\d.]*)$")),
        (r"perl(\d[\d.]*)?", _by("Perl", "PERL_VERSION", r"perl(-base)?", r"(\d[\d.]*)$")),
        (r"deno", _by("Deno", "DENO_VERSION", "deno")),
        (r"bun", _by("Bun", "BUN_VERSION", "bun")),
        (r"dotnet", _dotnet),
    )
)
