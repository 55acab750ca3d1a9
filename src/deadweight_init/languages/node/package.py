"""Read a package.json and its lock files: the Node version, the package manager, and whether the build makes a static site."""

from __future__ import annotations

import operator
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from typing import Any

from deadweight_init.languages.sources import part
from deadweight_init.records import ImageWords, Known
from deadweight_init.tables import TABLES
from deadweight_init.tree import Tree, joined, line_of

SERVERS: Sequence[str] = TABLES["node"]["servers"]
_MAKES: Mapping[str, str] = TABLES["node"]["site_builders"]
"""Builders of sites, and the folder that each fills unless it is told another one."""
_OUTPUT = re.compile(r"\boutDir\s*:\s*[\"'](?:\./)?([\w./-]+)[\"']")


@dataclass(frozen=True)
class Manager:
    """A package manager, as ``managers.toml`` describes it. ``first`` is what npm has to install before."""

    files: str
    install: str
    prune: str
    loose: str = ""
    loose_prune: str = ""
    less: str = ""
    cache: str = "/root/.npm"
    first: str = ""

    @property
    def run(self) -> str:
        """The beginning of a RUN that installs modules."""
        return f"RUN --mount=type=cache,target={self.cache},sharing=locked \\\n    {self.first}"


def _managers() -> dict[str, Manager]:
    table = tomllib.loads(resources.files(__package__).joinpath("managers.toml").read_text(encoding="utf-8"))
    return {name: Manager(**entry) for name, entry in table.items()}


_MANAGERS = _managers()
NPM = _MANAGERS["npm"]
_LOCKS = {
    "package-lock.json": "npm-ci",
    "npm-shrinkwrap.json": "npm-shrinkwrap",
    "yarn.lock": "yarn",
    "pnpm-lock.yaml": "pnpm",
}
_OF_LOCK = {"5": "@7", "6": "@8", "9": "@10"}
"""The version of pnpm that writes a lock file's format, by its first number."""


def manager_of(tree: Tree, folder: str, package: Mapping[str, Any]) -> tuple[str, Manager]:
    """What installs a package's modules, by its lock file, in the version that the package names or its lock file is of."""
    kind = next((kind for name, kind in _LOCKS.items() if tree.has(joined(folder, name))), "npm")
    if kind == "yarn" and "__metadata:" in tree.text(joined(folder, "yarn.lock"))[:2000]:
        kind = "berry"
    manager = _MANAGERS[kind]
    named = re.match(r"(?:pnpm|yarn)(@\d+(?:\.\d+)*)", str(package.get("packageManager") or ""))
    version = named[1] if named else ""
    if kind == "pnpm":
        lock = re.search(r"^lockfileVersion: '?(\d)", tree.text(joined(folder, "pnpm-lock.yaml")), re.MULTILINE)
        version = version or (_OF_LOCK.get(lock[1], "") if lock else "")
        return kind, replace(manager, first=f"npm install --global pnpm{version} && ")
    if kind == "berry":  # the base has another yarn
        return kind, replace(manager, first=f"npm install --global --force @yarnpkg/cli-dist{version or '@4'} && ")
    return kind, manager


def as_wish(manager: Manager) -> Manager:
    """The same, for a lock file that does not fit the manifest."""
    return replace(manager, install=manager.loose or manager.install, prune=manager.loose_prune or manager.prune)


def site_of(tree: Tree, folder: str, package: Mapping[str, Any]) -> str:
    """The folder into which a package's build writes a site that needs no server; empty for any other package."""
    scripts, needs = part(package, "scripts"), {**part(package, "devDependencies"), **part(package, "dependencies")}
    exports = (tree.text(joined(folder, f"next.config.{end}")) for end in ("js", "mjs", "ts"))
    exported = "next" in needs and any(re.search(r"\boutput\s*:\s*[\"']export[\"']", text) for text in exports)
    builder = "next" if exported else next((name for name in _MAKES if name in needs), "")
    serves = any(name in needs for name in SERVERS if name != builder) or re.match(
        r"node ", str(scripts.get("start", ""))
    )
    if not builder or "build" not in scripts or serves:
        return ""
    settings = (tree.text(joined(folder, each)) for each in ("vite.config.js", "vite.config.ts", "astro.config.mjs"))
    outputs = (match[1] for text in settings if (match := _OUTPUT.search(text)))
    return "out" if exported else next(outputs, _MAKES[builder])


_DEFAULT, _OLDEST = "22", 18
_KNOWN = (22, 24, 20, 18, 26)
"""Versions that ``engines`` may ask for, the likeliest first."""
_NAMES = {"hydrogen": "18", "iron": "20", "jod": "22", "krypton": "24"}
_PART = re.compile(r"(>=|<=|>|<|\^|~|=)?\s*v?(\d+)(?:\.(?:\d+|[xX*]))*")
_SIGNS = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt}


def version_of(tree: Tree, folder: str, words: ImageWords | None, package: Mapping[str, Any]) -> Known[str]:
    """The version of Node: of its own image as exactly as it is there (the base is shared then), of a version file, of
    ``engines``, or the default."""
    base = words.on(r"node:(\d+(?:\.\d+){0,2})(?=[-@]|$)") if words else ""
    if base and int(base.partition(".")[0]) >= _OLDEST:
        return Known(base, "from your Dockerfile's base")
    for name in (".nvmrc", ".node-version"):
        text = tree.text(joined(folder, name))
        match = re.search(r"v?(\d{2})\b|lts/(\w+)", text)
        number = (match[1] or _NAMES.get(match[2].lower(), "")) if match else ""
        if match and number and int(number) >= _OLDEST:
            return Known(number, f"from {joined(folder, name)}:{line_of(text, match.start())}")
    asked = str(part(package, "engines").get("node") or "")
    exact = re.fullmatch(r"[=v]?(\d+\.\d+\.\d+)|~\s?(\d+\.\d+)(?:\.\d+)?", asked.strip())
    version = (
        (exact[1] or exact[2]) if exact else next((str(each) for each in _KNOWN if asked and fits(asked, each)), "")
    )
    # ">=14" takes the default too, and says nothing more
    named = version and version != _DEFAULT and int(version.partition(".")[0]) >= _OLDEST
    return Known(version, f"from {joined(folder, 'package.json')}: engines") if named else Known(_DEFAULT)


def fits(asked: str, major: int) -> bool:
    """Whether the newest Node of a major version is one that a range of ``engines`` takes: yarn refuses to install otherwise."""
    return any(_all_fit(each, major) for each in asked.split("||"))


def _all_fit(alternative: str, major: int) -> bool:
    spread = re.fullmatch(r"\s*v?(\d+)[\d.xX]*\s+-\s+v?(\d+)[\d.xX]*\s*", alternative)
    if spread:
        return int(spread[1]) <= major <= int(spread[2])
    return all(_SIGNS.get(each[1], operator.eq)(major, int(each[2])) for each in _PART.finditer(alternative))
