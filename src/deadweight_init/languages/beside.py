"""Files of the repository that a compiled program reads when it runs: templates, static pages, its configuration.

They are told by string literals in calls that read files, where such a path is in the repository. What is compiled in is left out.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection, Iterator

from deadweight_init.tree import Tree, aside, folder_of, joined

_READS = {
    ".go": re.compile(
        r"\b(?:LoadHTMLGlob|LoadHTMLFiles|ParseGlob|ParseFiles|Static|StaticFile|StaticFS|http\.Dir|os\.DirFS|ReadFile|ReadDir|os\.Open"
        r"|ServeFile|SendFile|SetConfigFile|AddConfigPath|filepath\.Glob|Load|String|StringP|StringVar|Default)\(([^()\n]*)"
    ),
    ".rs": re.compile(
        r"\b(?:ServeDir::new|ServeFile::new|Tera::new|File::open|read_to_string|NamedFile::open|Files::new)\(([^()\n]*)"
    ),
}
_NAMED = re.compile(
    r"[\"`](?:\./)?((?:[\w-]+/){0,3}[\w-][\w.-]*\.(?:ya?ml|toml|ini|conf|cfg|ron|crt|pem|key)|(?:[\w-]+/){1,3}[\w-][\w.-]*)[\"`]"
)
"""A file of settings, by whatever it is read: ``folder.join("config.toml")``; viper is told its name without the ending."""
_ENDINGS = (".yaml", ".yml", ".toml", ".json")
_EMBED = re.compile(r"^[ \t]*//go:embed +(.+)$", re.MULTILINE)
_LITERAL = re.compile(r"\"([^\"\n]*)\"|`([^`\n]*)`")
_DATA = re.compile(
    r"\.(ya?ml|json|toml|ini|conf|cfg|env|html?|tmpl|gohtml|tpl|css|js|svg|png|ico|sql|txt|md|csv|xml|pem|crt|key|mmdb|db)$"
)
MOST = 8


def read_at_run_time(tree: Tree, folder: str, ending: str) -> list[str]:
    """Files and folders, relative to ``folder``, in which the program is started; none below another, at most eight."""
    opened, named = dict[str, None](), dict[str, None]()
    embedded = set(_embedded(tree, folder)) if ending == ".go" else set()
    for path in tree.below(folder, ending):
        if path.endswith("_test.go") or aside(path):
            continue
        text = tree.text(path)
        for call in _READS[ending].finditer(text):
            opened |= dict.fromkeys(_plain(each[1] or each[2] or "") for each in _LITERAL.finditer(call[1]))
        for found in (f"{each[1]}{end}" for each in _NAMED.finditer(text) for end in ("", *_ENDINGS)):
            if tree.has(joined(folder, found)) and not aside(found):
                named[_plain(found)] = None
    data = [
        each
        for each in dict.fromkeys((*opened, *named))
        if each
        and not any(each == other or each.startswith(f"{other}/") for other in embedded)
        and _is_data(tree, joined(folder, each), ending)
    ]
    tops = [each for each in data if not any(each.startswith(f"{other}/") for other in data)]
    return sorted(tops[:MOST])


_EXAMPLE = re.compile(
    r"(?P<stem>[\w.-]+?)(?:\.(?:example|sample|dist|default))(?P<ending>\.(?:ya?ml|json|toml|ini|conf|cfg))?"
)


PLACES = (
    "example",
    "examples",
    "sample",
    "samples",
    "conf",
    "config",
    "configs",
    "etc",
    "contrib",
    "docs",
    "doc",
    "deploy",
)
"""Folders in which a configuration to begin with may lie, under its own name."""
_CONFIGURES = re.compile(r"[\w.-]+\.(?:ya?ml|json|toml|ini|conf|cfg)")


def examples(tree: Tree, folder: str, ending: str) -> list[tuple[str, str]]:
    """Example files for files that the program's code names and the repository lacks: (example, name), relative to the folder."""
    code = "\n".join(
        tree.text(path) for path in tree.below(folder, ending) if not path.endswith("_test.go") and not aside(path)
    )
    found: dict[str, str] = {}
    homes = [folder, *(joined(folder, place) for place in PLACES)]
    for path in sorted((path for path in tree.files if folder_of(path) in homes), key=lambda each: each.count("/")):
        base = posixpath.basename(path)
        match = _EXAMPLE.fullmatch(base)
        own = base if folder_of(path) != folder and _CONFIGURES.fullmatch(base) else ""
        name = f"{match['stem']}{match['ending'] or ''}" if match else own
        if (
            name
            and _DATA.search(name)
            and not tree.has(joined(folder, name))
            and re.search(rf"[\"`/]{re.escape(name)}[\"`]", code)
        ):
            found.setdefault(name, posixpath.relpath(path, folder))
    return [(example, name) for name, example in found.items()]


def _plain(literal: str) -> str:
    """The part of a relative path before its first pattern; empty for what is no path."""
    if not re.fullmatch(r"(?:\./)?[\w.*{}-]+(?:/[\w.*{}-]+)*/?", literal):
        return ""
    parts = []
    for part in posixpath.normpath(literal).split("/"):
        if "*" in part or "{" in part:
            break
        parts.append(part)
    plain = "/".join(parts)
    return "" if plain in ("", ".", "..") or plain.startswith("../") else plain


def _is_data(tree: Tree, path: str, ending: str) -> bool:
    """A file of a known kind, or a folder in which there is something besides source code."""
    if tree.has(path):
        return bool(_DATA.search(path))
    return any(not each.endswith((ending, ".proto", "/go.mod")) for each in tree.below(path, ""))


_CONSTRAINT = re.compile(r"^//go:build (?!linux\b)(.*)$", re.MULTILINE)
_KEEPS = (".gitkeep", ".keep", ".gitignore", ".placeholder", "placeholder", "placeholder.txt", "README.md")
"""Files that keep a folder in a repository until a build fills it."""


_MADE = re.compile(
    r"(?:.*/)?(?:dist|build|out|public|static|assets|generated|bundle[sd]?|js|css|_site|www|[\w.-]+\.(?:js|css))"
)


def _left_to_a_build(tree: Tree, place: str) -> Iterator[str]:
    """What git ignores below a folder, and is not there: what a build puts in beside what the repository has."""
    for path in dict.fromkeys((".gitignore", f"{place}/.gitignore")):
        for line in tree.text(path).splitlines():
            anchored = "/" in line.strip().rstrip("/") or path != ".gitignore"
            ignored = joined(folder_of(path), line.strip().strip("/")) if anchored and line[:1] not in "#!" else ""
            if ignored.startswith(f"{place}/") and _MADE.fullmatch(ignored) and not (tree.root / ignored).exists():
                yield ignored


def not_there(tree: Tree, folder: str, others: Collection[str], tags: Collection[str] = ()) -> dict[str, bool]:
    """What a Go module compiles in and the repository lacks, relative to the module: an earlier build makes it. True where not
    even a file is there that keeps its place, without which nothing compiles. ``others`` are other programs' folders."""
    found: dict[str, bool] = {}
    for path in tree.below(folder, ".go"):
        text = tree.text(path)
        if "//go:embed" not in text or path.endswith("_test.go") or aside(path) or folder_of(path) in others:
            continue
        said = _CONSTRAINT.search(text)
        if said and said[1].strip() not in tags:
            continue
        for word in (word for each in _EMBED.finditer(text) for word in each[1].split()):
            plain, *more = re.split(r"[*?\[]", word.strip('"`').removeprefix("all:"), maxsplit=1)
            place = f"{folder_of(path)}/{plain}".removeprefix("./")
            there = [each for each in tree.files if each.startswith(place)]
            kept = [each for each in there if posixpath.basename(each) not in _KEEPS]
            if plain and not kept and not (not there and (tree.root / place).exists()):
                made = place if not more or place.endswith("/") else folder_of(place)
                found[posixpath.relpath(made, folder)] = not there
            for each in _left_to_a_build(tree, place.rstrip("/")) if kept else ():
                found.setdefault(posixpath.relpath(each, folder), False)
    return found


def _embedded(tree: Tree, folder: str) -> Iterator[str]:
    for path in tree.below(folder, ".go"):
        here = posixpath.relpath(folder_of(path), folder)
        for found in _EMBED.finditer(tree.text(path)):
            for word in found[1].split():
                plain = _plain(word.strip('"`').removeprefix("all:"))
                if plain:
                    yield plain
                    yield posixpath.normpath(posixpath.join(here, plain))
