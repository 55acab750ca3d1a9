"""What makes that which a Node package starts: its build script, and what its start script does first."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from typing import Any

from deadweight_init.languages import node_steps
from deadweight_init.languages.node_scripts import bare
from deadweight_init.tree import Tree, joined

MADE = re.compile(r"(?:dist|build|lib|out|output|\.output)/")
"""Folders that a build makes: what ``main`` names there is not in the repository."""

OLD = "old hashes"
"""Of a project's details: its bundler asks for a hash that OpenSSL 3 lacks."""

OTHERS = (
    *("prestart:prod", "prestart", "compile", "build:prod", "build:ts", "build-ts"),
    *("tsc", "transpile", "bundle"),
)
"""Scripts that make what is started where none is called ``build``, the likeliest first."""

_NO_BUILD = re.compile(r"\b(?:docker|podman|electron\w*|pkg|nexe)\b")
_RUN = re.compile(r"(?:npm run|yarn(?: run)?|pnpm(?: run)?) ([\w:.-]+)")
_COMPILERS = ("tsc", "babel", "swc", "webpack", "rollup", "esbuild", "tsup", "vite", "nest", "gulp", "grunt", "sass")
_PLAIN = re.compile(r"[\w@./:=,*\" -]+")


def commands(scripts: Mapping[str, Any], start: tuple[str, ...], tree: Tree, folder: str) -> str:
    """A shell's words; empty where nothing has to be made. Heroku runs ``heroku-postbuild`` instead of ``build``: it makes the
    front end that such a service has in a folder of its own."""
    usual = [name for name in ("heroku-postbuild", "build") if _builds(str(scripts.get(name, "")))]
    names = usual[:1]
    entry = next((word for word in start if not word.startswith("-")), "")
    there = any(tree.has(joined(folder, f"{entry}{ending}")) for ending in ("", ".js", "/index.js"))
    said = [f"npm run {name}{_without_modules(str(scripts[name]), tree, folder)}" for name in names]
    first = [*_before(scripts, "start:prod"), *_before(scripts, "start")]
    if not said and not first and entry and not there and not entry.startswith("node_modules/"):
        said = [f"npm run {name}" for name in OTHERS if name in scripts][:1]
    return " && ".join(dict.fromkeys((*said, *first)))


_BUNDLED = re.compile(r"\"(?:react-scripts|vite|@vue/cli-service|@angular/cli|parcel)\"")
_PLACE = re.compile(r"--(?:prefix|cwd)[ =]([\w./-]+)|\bcd ([\w./-]+)")


def _without_modules(script: str, tree: Tree, folder: str) -> str:
    """What removes the modules of a front end that a script installs and bundles in a folder of its own: pages need none."""
    places = dict.fromkeys(posixpath.normpath(one or two) for one, two in _PLACE.findall(script))
    fronts = [each for each in places if _BUNDLED.search(tree.text(joined(folder, f"{each}/package.json")))]
    gone = [f"{each}/node_modules" for each in fronts if not each.startswith(".")] if "install" in script else []
    return f" && rm -rf {' '.join(gone)}" if gone else ""


def is_built(scripts: Mapping[str, Any]) -> bool:
    """Whether a package that others use has to be built before they are."""
    return _builds(str(scripts.get("build", "")))


def _builds(script: str) -> bool:
    """Whether a script is there, does something, and makes no image or program of it."""
    return bool(script.strip()) and not re.match(r"(?:echo|true|:|exit)\b", script) and not _NO_BUILD.search(script)


def _before(scripts: Mapping[str, Any], name: str) -> list[str]:
    """The steps before the last of a script that are done once: other scripts, and compilers."""
    found = []
    for step in str(scripts.get(name, "")).split("&&")[:-1]:
        for each in _RUN.findall(step):
            if each in scripts and not node_steps.when_it_starts(each, scripts):
                found.append(f"npm run {each}")
        words = bare(tuple(step.split()))
        if words and words[0] in _COMPILERS and _PLAIN.fullmatch(" ".join(words)):
            found.append(f"npx {' '.join(words)}")
    return found
