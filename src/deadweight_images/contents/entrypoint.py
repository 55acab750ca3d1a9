"""Resolve an image's entry point to the program that finally runs, and identify its runtime.

Commands take many forms: ``["/s"]``, ``["./s"]``, ``["s"]``, ``s --flag`` (run by a shell), behind an init (``tini -- s``), or in a
script that ends in ``exec s "$@"``. Nothing is executed. What the text does not say is not guessed.
"""

from __future__ import annotations

import io
import re
import shlex
import struct
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from operator import itemgetter
from pathlib import Path

from deadweight_images.archive import entries as columns
from deadweight_images.archive.archive import open_archive
from deadweight_images.archive.entries import Entries
from deadweight_images.archive.model import Compression, ImageConfig
from deadweight_images.contents.filesystem import File, Filesystem
from deadweight_images.errors import ArchiveError, wording
from deadweight_images.layers.index import members_pieces
from deadweight_images.layers.indexing import Indexer

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""Where an engine looks for a program if the image says nothing (moby, ``DefaultPathEnvUnix``)."""

SHELLS = frozenset(("sh", "ash", "bash", "dash", "ksh", "mksh", "zsh"))
WRAPPERS = {
    **dict.fromkeys(
        ("tini", "tini-static", "dumb-init", "catatonit", "docker-init", "env", "nice", "exec", "command"), 0
    ),
    **dict.fromkeys(("su-exec", "gosu", "uv", "poetry", "pipenv", "pdm", "setpriv", "ld.so"), 1),
}
"""Programs that only start another one, and how many words of their own (a user, ``run``) stand before it."""

_HOPS = 8
_SCRIPT_BYTES = 256 * 1024
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")
_VARIABLE = re.compile(r"\$(?:\{(\w+)(?::?[-=]([^}]*))?\}|(\w+))")
_BLOCK_ENDS = frozenset(("fi", "done", "esac", "}", ")", ";;", "else", "then", "do", "true", "wait"))


@dataclass(frozen=True)
class Started:
    """The program that runs in the end. ``called`` is the name that it was called by (``sh``, where a link leads to busybox)."""

    file: File
    called: str


@dataclass(frozen=True)
class _Call:
    """Words to run in a folder, with an environment."""

    words: tuple[str, ...]
    folder: str
    env: dict[str, str] = field(default_factory=dict)


def started(config: ImageConfig, files: Filesystem) -> Started | None:
    """The program that the image's entry point and command lead to; None where they name none, or none that is there."""
    env = dict(item.partition("=")[::2] for item in config.env)
    return _started(_Call((*config.entrypoint, *config.command), config.working_dir or "/", env), files, _HOPS)


def on_path(name: str, files: Filesystem, env: dict[str, str], folder: str = "/") -> File | None:
    """A program by the name that a process of the image would call it by."""
    if "/" in name:
        return files.file(name if name.startswith("/") else f"{folder}/{name}")
    for place in env.get("PATH", DEFAULT_PATH).split(":"):
        file = files.file(f"{place}/{name}")
        if file is not None and file.mode & 0o111:
            return file
    return None


def _started(call: _Call, files: Filesystem, hops: int) -> Started | None:
    if not call.words or hops <= 0:
        return None
    file = on_path(call.words[0], files, call.env, call.folder)
    if file is None:
        return None
    called = call.words[0].rpartition("/")[2]
    following = _after(called, call, file, files)
    if following is None:
        return Started(file, called)
    return _started(following, files, hops - 1) or Started(file, called)


def _after(called: str, call: _Call, file: File, files: Filesystem) -> _Call | None:
    """What a shell, a wrapper or a script starts in turn; None for a program that does the work itself."""
    rest = call.words[1:]
    if called in SHELLS:
        return _of_shell(call, files)
    if called in WRAPPERS:
        return replace(call, words=_without_options(rest, WRAPPERS[called]))
    head = files.start(file, 256)
    if head[:2] != b"#!":
        return None
    interpreter = head[2:].partition(b"\n")[0].decode("utf-8", "replace").split()
    if not interpreter:
        return None
    name = interpreter[0].rpartition("/")[2]
    name = interpreter[-1] if name == "env" else name
    if name in SHELLS:
        return _of_script(file, rest, call, files)
    return replace(call, words=tuple(interpreter))


def _of_shell(call: _Call, files: Filesystem) -> _Call | None:
    """``sh -c 'text'`` and ``sh script``."""
    rest = call.words[1:]
    for place, word in enumerate(rest):
        if word.startswith("-") and not word.startswith("--") and "c" in word:
            text = rest[place + 1 : place + 2]
            return _last_command(text[0], rest[place + 3 :], call) if text else None
        if not word.startswith("-"):
            script = on_path(word if "/" in word else f"./{word}", files, {}, call.folder)
            if script is None:
                return None
            return _of_script(script, rest[place + 1 :], call, files)
    return None


def _of_script(file: File, rest: Sequence[str], call: _Call, files: Filesystem) -> _Call | None:
    """A script runs the command that it was given, where that is one; else the one that it ends in."""
    if rest and on_path(rest[0], files, call.env, call.folder) is not None:
        return replace(call, words=tuple(rest))
    return _last_command(files.start(file, _SCRIPT_BYTES).decode("utf-8", "replace"), rest, call)


def _last_command(text: str, rest: Sequence[str], call: _Call) -> _Call | None:
    """The last simple command of a shell's text, in the folder that the text has changed to."""
    command: _Call | None = None
    folder = call.folder
    for words in _commands(text):
        if words[0] == "cd" and len(words) > 1:
            folder = words[1] if words[1].startswith("/") else f"{folder}/{words[1]}"
            continue
        given = [part for word in words for part in (rest if word in ("$@", "$*") else (_expand(word, call.env),))]
        given = given[1:] if given and given[0] in ("exec", "command") else given
        if given and given[0]:
            command = _Call(tuple(given), folder, call.env)
    return command


def _commands(text: str) -> list[list[str]]:
    commands: list[list[str]] = []
    for line in text.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=";&|<>()")
        lexer.whitespace_split = True
        try:
            tokens = list(lexer)
        except ValueError:  # a quote that goes on in the next line
            continue
        current: list[str] = []
        for token in [*tokens, ";"]:
            if token and set(token) <= set(";&|()"):
                command = _stripped(current)
                commands += [command] if command else []
                current = []
            else:
                current.append(token)
    return commands


def _stripped(words: list[str]) -> list[str]:
    """Without assignments before it; nothing where the words end or begin a block, and what they hold is no program."""
    while words and (_ASSIGNMENT.match(words[0]) or words[0] in ("then", "else", "do", "{", "!")):
        words = words[1:]
    return [] if not words or words[0] in _BLOCK_ENDS or words[0].endswith("()") else words


def _expand(word: str, env: dict[str, str]) -> str:
    return _VARIABLE.sub(lambda match: env.get(match[1] or match[3], match[2] or ""), word)


def _without_options(words: Sequence[str], own: int) -> tuple[str, ...]:
    """What a wrapper starts: after its options, assignments and its ``own`` words."""
    left = list(words)
    while left and left[0] != "--" and (left[0].startswith("-") or _ASSIGNMENT.match(left[0])):
        left.pop(0)
    left = left[1:] if left and left[0] == "--" else left[own:]
    return tuple(left[1:] if left and left[0] == "--" else left)


# The language runtimes that an image may have, known by the names of their programs, and where each one's version stands.

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
        match = re.search(r'^JAVA_VERSION="?([\w.+-]+)', setting.text(f"{place}/release"), re.MULTILINE)
        name = "JDK" if setting.files.file(f"{place}/bin/javac") is not None else "JRE"
        if match:
            return name, match[1]
    named = re.search(r"(?:java|jdk|jre|openjdk)-?(\d+(?:\.\d+)*)", home)
    return name, setting.env.get("JAVA_VERSION", "").removeprefix("jdk-") or (named[1] if named else "")


def _node(file: File, setting: Setting) -> tuple[str, str]:
    header = setting.text(f"{_folder(file).removesuffix('/bin')}/include/node/node_version.h")
    numbers = [re.search(rf"#define NODE_{part}_VERSION (\d+)", header) for part in ("MAJOR", "MINOR", "PATCH")]
    version = ".".join(match[1] for match in numbers if match)
    return "Node", version or setting.env.get("NODE_VERSION", "") or setting.package(r"nodejs(-\d+)?")


def _python(file: File, setting: Setting) -> tuple[str, str]:
    """The program's own name says the two numbers; the third is where its installer wrote it."""
    named = re.fullmatch(r"python(3\.\d+)", file.name)
    versions = (setting.env.get("PYTHON_VERSION", ""), setting.package(r"(lib)?python-?3(\.\d+)?(-minimal)?"))
    fuller = [version for version in versions if not named or f"{version}.".startswith(f"{named[1]}.")]
    return "Python", next(filter(None, fuller), named[1] if named else "")


def _by(name: str, variable: str, package: str, in_name: str = "") -> Callable[[File, Setting], tuple[str, str]]:
    """A runtime whose version its image's environment, its package or its program's name says."""

    def name_and_version(file: File, setting: Setting) -> tuple[str, str]:
        named = re.search(in_name, file.name) if in_name else None
        return name, setting.env.get(variable, "") or setting.package(package) or (named[1] if named else "")

    return name_and_version


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


# Whether an image that Jib made has the main class that it starts. Jib itself takes any name that is well-formed.

MAX_JAR_BYTES = 256 * 2**20
_MADE_BY_JIB = "jib-"  # history says jib-maven-plugin:VERSION, or jib-gradle-plugin
_CLASS_PATH = b"jib-classpath-file"
_LIBRARIES = (b"libs", b"lib")
_DAMAGED = (zipfile.BadZipFile, ValueError, NotImplementedError, OSError, EOFError, struct.error)


def missing_main_class(archive: Path) -> str | None:
    """The class that the image starts, where it is surely not there: neither as a file of its own on the class path that Jib
    wrote, nor in a jar in one of Jib's layers.

    None too where nobody can tell: the entry point is the project's own, the class path leads into the base, a jar has more
    than 256 MiB. Raises ArchiveError for a damaged layer or library.
    """
    with open_archive(archive) as opened, Indexer(verify=False) as indexer:
        words = opened.image.config.entrypoint
        if len(words) < 3 or words[-3] != "-cp":
            return None
        search = _Search(words[-1])
        # the class path comes after the classes, and these after the dependencies
        for layer in reversed(opened.image.layers):
            if (layer.instruction or "").startswith(_MADE_BY_JIB):
                view = opened.blob(layer)
                entries = indexer.blob(view, layer.compression, f"{archive}: layer {layer.index + 1}").entries
                if search.ends_in(view, layer.compression, entries):
                    return None
    return words[-1] if search.class_path else None


class _Search:
    """Goes through layers, last one first, until there is nothing more to look for."""

    def __init__(self, name: str) -> None:
        self.wanted = f"{name.replace('.', '/')}.class".encode()
        self.class_path: frozenset[bytes] = frozenset()
        self.alike: set[bytes] = set()  # class files with that name, in whatever folder

    def ends_in(self, view: memoryview, compression: Compression, entries: Entries) -> bool:
        """Whether the class is there, or may be."""
        paths = entries.paths
        self.alike.update(b"/" + path for path in paths if path.endswith(b"/" + self.wanted))
        files = [number for number in range(len(paths)) if _may_tell(entries, number)]
        if any(entries.sizes[number] > MAX_JAR_BYTES for number in files):
            return True
        for number, parts in groupby(members_pieces(view, compression, entries, files), key=itemgetter(0)):
            path, content = paths[number], b"".join(part for _, part in parts)
            if _name(path) == _CLASS_PATH:
                self.class_path = frozenset(content.strip().split(b":"))
                own = b"/" + path[: -len(_CLASS_PATH)]
                if not all(part.startswith(own) for part in self.class_path):
                    return True  # into the base
            elif self._in_jar(path, content):
                return True
        return any(part + b"/" + self.wanted in self.alike for part in self.class_path)

    def _in_jar(self, path: bytes, content: bytes) -> bool:
        try:
            with zipfile.ZipFile(io.BytesIO(content)) as jar:
                names = [name.encode("utf-8", "surrogateescape") for name in jar.namelist()]
        except _DAMAGED as error:
            if _name(path[: -len(_name(path)) - 1]) not in _LIBRARIES:
                return False  # a file of the service that only looks like one
            shown = path.decode("utf-8", "replace")
            raise ArchiveError(wording("archive.jar_damaged", what=shown, error=str(error))) from error
        versions, ending = b"META-INF/versions/", b"/" + self.wanted
        return any(name == self.wanted or (name.startswith(versions) and name.endswith(ending)) for name in names)


def _may_tell(entries: Entries, number: int) -> bool:
    path = entries.paths[number]
    return entries.kinds[number] == columns.FILE and (path.endswith((b".jar", b".war")) or _name(path) == _CLASS_PATH)


def _name(path: bytes) -> bytes:
    return path.rpartition(b"/")[2]
