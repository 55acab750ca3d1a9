"""Node: a package.json that starts a server."""

from __future__ import annotations

import json
import posixpath
import re
from typing import Any

from deadweight_init.languages import node_builds, node_fonts, node_start, node_steps, node_workspace
from deadweight_init.languages.common import dockerignore, rungs_on
from deadweight_init.languages.node_dockerfile import dockerfile
from deadweight_init.languages.node_managers import manager, pinned
from deadweight_init.languages.node_scripts import PROGRAMS
from deadweight_init.languages.node_start import part, read_package
from deadweight_init.languages.node_versions import version_of
from deadweight_init.languages.sources import scan
from deadweight_init.records import GUESSED, ImageWords, Known, Ladder, Project, Service
from deadweight_init.tree import Tree, joined

SERVERS = (
    "express",
    "fastify",
    "koa",
    "@hapi/hapi",
    "@nestjs/core",
    "next",
    "restify",
    "polka",
    "socket.io",
    "ws",
    "@tinyhttp/app",
    "@apollo/server",
    "@trpc/server",
    "connect",
    "h3",
    "hono",
    "nuxt",
)
_SOURCES = (".js", ".ts", ".mjs", ".cjs", "package.json")


def find(tree: Tree, folder: str, words: ImageWords | None) -> Project | None:
    """The package of a folder; None where nothing says that it is a server."""
    if member := node_workspace.started_member(tree, folder, words):
        return find(tree, member, words)
    package = read_package(tree, folder)
    scripts, needs = part(package, "scripts"), part(package, "dependencies")
    serves = words or "start" in scripts or any(name in needs for name in SERVERS)
    if not package or not (serves or node_start.serves(tree, folder, package)):
        return None
    workspace = node_workspace.workspace_of(tree, folder)
    root = workspace.root if workspace else folder
    above = read_package(tree, root)
    package = {**package, "devDependencies": {**part(above, "devDependencies"), **part(package, "devDependencies")}}
    start, kind = node_start.found(tree, folder, package, words), manager(tree, root)
    version = version_of(tree, folder, words, package)
    if workspace and version.origin == GUESSED:
        version = version_of(tree, root, None, above)
    paths = sorted(tree.below(folder, *_SOURCES), key=lambda path: (path.count("/"), path))
    ports, health = scan(tree, (path for path in paths if "package-lock" not in path))
    return Project(
        language="node",
        kind=kind,
        folder=folder,
        name=str(package.get("name") or tree.root.name).rpartition("/")[2],
        version=version,
        start=start.words,
        ports=ports or (Known(3000),),
        health=health,
        details={
            **_details(tree, folder, package, start),
            **(node_workspace.details_of(workspace, package, above) if workspace else {}),
            "program": pinned(tree, root, above, kind),
            "before": json.dumps(start.before) if start.before else "",
            node_start.SETTINGS: json.dumps(
                {name: each for name, each in start.settings.items() if name not in _NOT_SET}
            ),
            node_start.OWN_ENVIRONMENT: start.settings.get("NODE_ENV", ""),
        },
        problem="" if start.words else "cannot determine how it is started: no CMD, no start script, no main",
    )


_EARLY = ("preinstall", "install", "postinstall")
_NOT_SET = ("NODE_ENV", "PORT", "PATH")
"""What generated images set themselves, and the port, which is found otherwise."""


def _details(tree: Tree, folder: str, package: dict[str, Any], start: node_start.Start) -> dict[str, str]:
    """``all``: its development packages are needed when it runs. ``early``: the installation needs more than the manifests."""
    scripts, needs = part(package, "scripts"), part(package, "dependencies")
    entry = next((joined(folder, word) for word in start.words if not word.startswith("-")), "")
    said = tree.text(entry) if tree.has(entry) else ""
    compiles = re.search(
        r"ts-node|tsnd|\btsx\b|@babel/register|babel-register|babel-node|esbuild-register|@swc-node|\besno\b",
        f"{said} {' '.join(start.words)}",
    )
    programs = (posixpath.basename(each[0]) for each in start.before if each[0].startswith("node_modules/"))
    developers = any(name not in needs and PROGRAMS.get(name) not in needs for name in programs)
    fonts = node_fonts.fetched(tree, folder, needs)
    whole = "workspaces" in package or tree.has(joined(folder, "pnpm-workspace.yaml"))
    return {
        "build": node_builds.commands(scripts, start.words, tree, folder),
        "fonts": node_fonts.with_stand_in("npm run build", str(scripts.get("build", "")), str(needs["next"]))
        if fonts
        else "",
        "generate": "1" if node_steps.must_generate(tree, folder, package, scripts) else "",
        "all": "1" if compiles or developers else "",
        "early": "1" if whole or any(name in scripts for name in _EARLY) else "",
        "prepare": "1" if "prepare" in scripts else "",
        "npmrc": "1" if tree.has(joined(folder, ".npmrc")) else "",
    }


def ladder(service: Service, project: Project, place: str, port: int, health: str | None) -> Ladder:
    """Multi-stage on Debian, Alpine, Chainguard and distroless."""
    version = project.version.value
    slim, alpine = f"node:{version}-slim", f"node:{version}-alpine"
    major = version.partition(".")[0]
    even, of_even = (major, version) if int(major) in (18, 20, 22, 24) else ("22", "22")
    whole = "" if "compiler" in project.details else "-slim"  # the whole image has compilers, and Node's headers
    bases = {
        "debian": (f"node:{version}{whole}", slim),
        "alpine": (alpine, alpine),
        "chainguard": ("cgr.dev/chainguard/node:latest-dev", "cgr.dev/chainguard/node:latest"),
        "distroless": (f"node:{of_even}{whole}", f"gcr.io/distroless/nodejs{even}-debian12:nonroot"),
    }
    files = {
        f"{place}/Dockerfile": dockerfile(service, project, port, health),
        f"{place}/Dockerfile.dockerignore": dockerignore("node", place),
    }
    return Ladder(tuple(rungs_on(bases, "the service and its modules", f"{place}/Dockerfile", _source(project))), files)


def _source(project: Project) -> str:
    return project.details.get(node_workspace.ROOT) or project.folder
