"""Which program installs a package's modules, in which version, and how."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from deadweight_init.tree import Tree, joined


@dataclass(frozen=True)
class Manager:
    """``files`` are what an installation of all modules reads, ``install`` and ``prune`` the commands; ``less`` is what leaves out
    the modules for development. ``whole``: it reads more than manifests. ``cache`` is how a RUN keeps what was fetched."""

    files: str
    install: str
    less: str
    prune: str
    whole: bool = False
    cache: str = "--mount=type=cache,target=/root/.npm"


APART = "peers apart"
"""Of a project's details: packages ask for versions of another one that do not go together."""
_APART = " --legacy-peer-deps"

OPEN = "-open"
"""At the end of a kind: its lock file does not fit the manifest, and is no more than a wish."""
_NPM_PRUNE = "npm prune --omit=dev --ignore-scripts"
_MANAGERS: Mapping[str, Manager] = {
    "npm-ci": Manager("package.json package-lock.json", "npm ci --no-audit --no-fund", " --omit=dev", _NPM_PRUNE),
    "npm-shrinkwrap": Manager(
        "package.json npm-shrinkwrap.json", "npm ci --no-audit --no-fund", " --omit=dev", _NPM_PRUNE
    ),
    "npm": Manager("package.json", "npm install --no-audit --no-fund", " --omit=dev", _NPM_PRUNE),
    "yarn": Manager(
        "package.json yarn.lock",
        "yarn install --frozen-lockfile",
        " --production",
        "yarn install --frozen-lockfile --production --ignore-scripts",
        cache="--mount=type=cache,target=/usr/local/share/.cache/yarn,sharing=locked",
    ),
    "berry": Manager(
        "package.json yarn.lock",
        "YARN_NODE_LINKER=node-modules YARN_ENABLE_GLOBAL_CACHE=true yarn install --immutable",
        "",
        "YARN_NODE_LINKER=node-modules YARN_ENABLE_GLOBAL_CACHE=true yarn workspaces focus --all --production",
        whole=True,
        cache="--mount=type=cache,target=/root/.yarn/berry/cache,sharing=locked",
    ),
    "pnpm": Manager(
        "package.json pnpm-lock.yaml",
        "pnpm install --frozen-lockfile",
        " --prod",
        "CI=true pnpm prune --prod",
        cache="--mount=type=cache,target=/root/.local/share/pnpm/store",
    ),
}
_LOCKS = {
    "package-lock.json": "npm-ci",
    "npm-shrinkwrap.json": "npm-shrinkwrap",
    "yarn.lock": "yarn",
    "pnpm-lock.yaml": "pnpm",
}
_OF_LOCK = {"5": "7", "6": "8", "9": "10"}
"""The version of pnpm that writes a lock file's format, by its first number."""


def manager(tree: Tree, folder: str) -> str:
    """Which program installs its modules, by its lock file."""
    found = next((kind for name, kind in _LOCKS.items() if tree.has(joined(folder, name))), "npm")
    berry = found == "yarn" and "__metadata:" in tree.text(joined(folder, "yarn.lock"))[:2000]
    return "berry" if berry else found


def pinned(tree: Tree, folder: str, package: Mapping[str, Any], kind: str) -> str:
    """What npm has to install first: the program in the version that the package names, or that its lock file is of. Empty where
    the base's own will do."""
    said = str(package.get("packageManager") or "")
    named = re.match(r"(?:pnpm|yarn)@(\d+(?:\.\d+)*)", said)
    if kind == "pnpm":
        lock = re.search(r"^lockfileVersion: '?(\d)", tree.text(joined(folder, "pnpm-lock.yaml")), re.MULTILINE)
        version = named[1] if named else _OF_LOCK.get(lock[1], "") if lock else ""
        return f"pnpm@{version}" if version else "pnpm"
    if kind == "berry":
        return f"@yarnpkg/cli-dist@{named[1] if named else '4'}"
    return ""


_OPENED = (
    ("npm ci", "npm install"),
    ("pnpm install --frozen-lockfile", "pnpm install --no-frozen-lockfile"),
    ("yarn install --frozen-lockfile", "yarn install"),
    ("--immutable", "--no-immutable"),
)


_LINKS = " --config.prefer-symlinked-executables=true"
"""pnpm writes scripts for a shell into ``node_modules/.bin`` else, which node cannot run."""


def commands(kind: str, program: str, *, of_bin: bool = False, apart: bool = False) -> Manager:
    """How this program installs modules; ``program`` is what npm has to install first. ``of_bin``: node runs a program of
    ``node_modules/.bin``. ``apart``: what packages ask of each other is no condition."""
    found = _MANAGERS[kind.removesuffix(OPEN)]
    if apart and kind.startswith("npm"):
        found = replace(found, install=f"{found.install}{_APART}", prune=f"{found.prune}{_APART}")
    if of_bin and kind.removesuffix(OPEN) == "pnpm":
        found = replace(found, install=f"{found.install}{_LINKS}", prune=f"{found.prune}{_LINKS}")
    if kind.endswith(OPEN):
        for strict, lenient in _OPENED:
            found = replace(
                found, install=found.install.replace(strict, lenient), prune=found.prune.replace(strict, lenient)
            )
    if not program:
        return found
    first = f"npm install --global --force {program} && "  # the base has another yarn
    first = first if kind == "berry" else first.replace(" --force", "")
    return replace(found, install=f"{first}{found.install}")
