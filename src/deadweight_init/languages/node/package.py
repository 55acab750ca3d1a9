"""Read a package.json and its lock files: the Node version, the package manager, and whether the build makes a static site."""

from __future__ import annotations

import operator
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from deadweight_init.languages.sources import part
from deadweight_init.records import ImageWords, Known
from deadweight_init.tree import Tree, joined, line_of

SERVERS = (
    *("express", "fastify", "koa", "@hapi/hapi", "@nestjs/core", "next", "restify", "polka", "socket.io", "ws"),
    *("@tinyhttp/app", "@apollo/server", "@trpc/server", "connect", "h3", "hono", "nuxt"),
)
_MAKES = {
    "vite": "dist",
    "react-scripts": "build",
    "@vue/cli-service": "dist",
    "astro": "dist",
    "parcel": "dist",
    "gatsby": "public",
    "@11ty/eleventy": "_site",
    "@docusaurus/core": "build",
    "vitepress": ".vitepress/dist",
}
"""Builders of sites, and the folder that each fills unless it is told another one."""
_OUTPUT = re.compile(r"\boutDir\s*:\s*[\"'](?:\./)?([\w./-]+)[\"']")


@dataclass(frozen=True)
class Manager:
    """``files`` are what an installation of all modules reads, ``install`` and ``prune`` the commands; ``less`` leaves out the
    modules for development. ``cache`` is where it keeps what it fetched. ``first`` is what npm has to install before."""

    files: str
    install: str
    less: str
    prune: str
    cache: str = "/root/.npm"
    first: str = ""

    @property
    def run(self) -> str:
        """The beginning of a RUN that installs modules."""
        return f"RUN --mount=type=cache,target={self.cache},sharing=locked \\\n    {self.first}"


_CI = ("npm ci --no-audit --no-fund", " --omit=dev", "npm prune --omit=dev --ignore-scripts")
_BERRY = "YARN_NODE_LINKER=node-modules YARN_ENABLE_GLOBAL_CACHE=true yarn"
_MANAGERS = {
    "npm-ci": Manager("package.json package-lock.json", *_CI),
    "npm-shrinkwrap": Manager("package.json npm-shrinkwrap.json", *_CI),
    "npm": Manager("package.json", "npm install --no-audit --no-fund", *_CI[1:]),
    "yarn": Manager(
        "package.json yarn.lock",
        "yarn install --frozen-lockfile",
        " --production",
        "yarn install --frozen-lockfile --production --ignore-scripts",
        "/usr/local/share/.cache/yarn",
    ),
    "berry": Manager(
        ".",
        f"{_BERRY} install --immutable",
        "",
        f"{_BERRY} workspaces focus --all --production",
        "/root/.yarn/berry/cache",
    ),
    "pnpm": Manager(
        "package.json pnpm-lock.yaml",
        "pnpm install --frozen-lockfile --config.prefer-symlinked-executables=true",
        " --prod",
        "CI=true pnpm prune --prod --ignore-scripts --config.prefer-symlinked-executables=true",
        "/root/.local/share/pnpm/store",
    ),
}
"""pnpm writes scripts for a shell into ``node_modules/.bin`` by itself, which node cannot run."""
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
    if kind == "pnpm":
        lock = re.search(r"^lockfileVersion: '?(\d)", tree.text(joined(folder, "pnpm-lock.yaml")), re.MULTILINE)
        version = named[1] if named else _OF_LOCK.get(lock[1], "") if lock else ""
        return kind, _after(manager, f"npm install --global pnpm{version} && ")
    if kind == "berry":  # the base has another yarn
        return kind, _after(manager, f"npm install --global --force @yarnpkg/cli-dist{named[1] if named else '@4'} && ")
    return kind, manager


def _after(manager: Manager, first: str) -> Manager:
    return replace(manager, first=first)


def as_wish(manager: Manager) -> Manager:
    """The same, for a lock file that does not fit the manifest."""
    install, prune = manager.install, manager.prune
    for strict, open_ in (
        ("npm ci", "npm install"),
        (" --frozen-lockfile", " --no-frozen-lockfile"),
        ("--immutable", "--no-immutable"),
    ):
        install, prune = install.replace(strict, open_), prune.replace(strict, open_)
    if manager.install.startswith("yarn"):  # yarn 1 knows no such option
        install, prune = install.replace(" --no-frozen-lockfile", ""), prune.replace(" --no-frozen-lockfile", "")
    return replace(manager, install=install, prune=prune)


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
    return all(_fits(match, major) for match in _PART.finditer(alternative))


def _fits(part: re.Match[str], major: int) -> bool:
    return bool(_SIGNS.get(part[1], operator.eq)(major, int(part[2])))
