"""Node: a package.json that starts a server."""

from __future__ import annotations

import json
import posixpath
import re
from typing import Any

from deadweight.project.init.languages import node_builds, node_fonts, node_scripts, node_steps
from deadweight.project.init.languages.common import (
    DEAF,
    ENDS,
    HEADER,
    copied,
    dockerignore,
    env_lines,
    exec_form,
    placed,
    rungs_on,
)
from deadweight.project.init.languages.node_managers import OPEN, commands, manager, pinned
from deadweight.project.init.languages.node_scripts import PROGRAMS
from deadweight.project.init.languages.node_versions import version_of
from deadweight.project.init.languages.sources import scan
from deadweight.project.init.records import ImageWords, Known, Ladder, Project, Service
from deadweight.project.init.tree import Tree, joined

Words = tuple[str, ...]

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
_ENTRIES = (
    "server.js",
    "index.js",
    "app.js",
    "main.js",
    "src/server.js",
    "src/index.js",
    "src/app.js",
    "src/main.js",
    "bin/www",
)


def find(tree: Tree, folder: str, words: ImageWords | None) -> Project | None:
    """The package of a folder; None where nothing says that it is a server."""
    package = read_package(tree, folder)
    scripts, needs = part(package, "scripts"), part(package, "dependencies")
    (start, before), kind = _start(tree, folder, package, words), manager(tree, folder)
    if not package or not (words or "start" in scripts or any(name in needs for name in SERVERS)):
        return None
    paths = sorted(tree.below(folder, *_SOURCES), key=lambda path: (path.count("/"), path))
    ports, health = scan(tree, (path for path in paths if "package-lock" not in path))
    return Project(
        language="node",
        kind=kind,
        folder=folder,
        name=str(package.get("name") or tree.root.name).rpartition("/")[2],
        version=version_of(tree, folder, words, package),
        start=start,
        ports=ports or (Known(3000),),
        health=health,
        details={
            **_details(tree, folder, package, start, before),
            "program": pinned(tree, folder, package, kind),
            "before": json.dumps(before) if before else "",
        },
        problem="" if start else "cannot determine how it is started: no CMD, no start script, no main",
    )


def read_package(tree: Tree, folder: str) -> dict[str, Any]:
    """The package.json of a folder; empty without one that can be read."""
    try:
        found = json.loads(tree.text(joined(folder, "package.json")) or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def part(package: dict[str, Any], key: str) -> dict[str, Any]:
    """A section of a package.json; empty without it."""
    found = package.get(key)
    return found if isinstance(found, dict) else {}


def _start(
    tree: Tree, folder: str, package: dict[str, Any], words: ImageWords | None
) -> tuple[Words, tuple[Words, ...]]:
    """Arguments of ``node``: of the own image's command, the start script, ``main``, or the usual names; and what goes before."""
    scripts, needs = part(package, "scripts"), part(package, "dependencies")
    runs = {**{each: "*" for each in part(package, "devDependencies") if each in node_scripts.INTERPRETERS}, **needs}
    own = node_scripts.in_repository(tree, folder, words) if words else ()
    for said in (own, *(("npm", "run", name) for name in ("start:prod", "start"))):
        started = node_scripts.started(tree, folder, said, scripts, runs)
        if started and "next" in needs and started == ("server.js",) and not tree.has(joined(folder, "server.js")):
            started = ("node_modules/.bin/next", "start")  # what its own image takes out of .next/standalone
        if started:
            programs = {*needs, *part(package, "devDependencies")}
            return started, node_steps.before_serving(said, scripts, programs)
    main = package.get("main")
    names = [posixpath.normpath(main)] if isinstance(main, str) else []
    names += [f"{name}.js" for name in names if not name.endswith(".js")]
    found = next((name for name in (*names, *_ENTRIES) if tree.has(joined(folder, name))), "")
    made = next((name for name in names if node_builds.MADE.match(name)), "")
    if not found and made and any(name in scripts for name in ("build", *node_builds.OTHERS)):
        return (made,), ()
    if not found:
        return node_scripts.of_bin(package, scripts), ()
    return (node_scripts.compiled(tree, folder, found, scripts),), ()


_EARLY = ("preinstall", "install", "postinstall")


def _details(
    tree: Tree, folder: str, package: dict[str, Any], start: Words, before: tuple[Words, ...]
) -> dict[str, str]:
    """``all``: its development packages are needed when it runs. ``early``: the installation needs more than the manifests."""
    scripts, needs = part(package, "scripts"), part(package, "dependencies")
    entry = next((joined(folder, word) for word in start if not word.startswith("-")), "")
    said = tree.text(entry) if tree.has(entry) else ""
    compiles = re.search(
        r"ts-node|tsnd|\btsx\b|@babel/register|babel-register|babel-node|esbuild-register|@swc-node|\besno\b",
        f"{said} {' '.join(start)}",
    )
    programs = (posixpath.basename(each[0]) for each in before if each[0].startswith("node_modules/"))
    developers = any(name not in needs and PROGRAMS.get(name) not in needs for name in programs)
    fonts = node_fonts.fetched(tree, folder, needs)
    whole = "workspaces" in package or tree.has(joined(folder, "pnpm-workspace.yaml"))
    return {
        "build": node_builds.commands(scripts, start, tree, folder),
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
        f"{place}/Dockerfile": _dockerfile(service, project, port, health),
        f"{place}/Dockerfile.dockerignore": dockerignore("node", place),
    }
    return Ladder(tuple(rungs_on(bases, "the service and its modules", f"{place}/Dockerfile", project.folder)), files)


_COMPILES = (
    "# A module is compiled where it cannot be fetched ready-made. Alpine and Chainguard have compilers as packages.",
    "RUN if command -v apk; then apk add --no-cache g++ make python3; fi",
)


_HEADERS = 'export npm_config_nodedir="$(dirname "$(dirname "$(command -v node)")")" && '
"""The headers of Node that the image has, instead of those that node-gyp would fetch."""

_PATH = (
    "# The path is distroless', where node is in a folder of its own.",
    'ENV NODE_ENV=production PATH="/usr/local/bin:/usr/bin:/bin:/nodejs/bin"',
)


_ENDS = (
    ENDS.format("Node"),
    "RUN echo \"process.on('SIGTERM', () => { if (process.listenerCount('SIGTERM') === 1) process.exit(143) })\" > /end.cjs",
)


def _dockerfile(service: Service, project: Project, port: int, health: str | None) -> str:
    details = project.details
    before = tuple(tuple(each) for each in json.loads(details["before"] or "[]"))
    deaf = DEAF in details and not before  # where steps come first, it is not process 1
    start = ("--require", "/end.cjs", *project.start) if deaf else project.start
    modules = commands(project.kind, details["program"])
    own = service.own.words if service.own else ImageWords()
    env = {name: value for name, value in own.env.items() if name not in ("PATH", "NODE_ENV") and "$" not in value}
    made = ["npx prisma generate"] if details["generate"] else []
    build = details["build"]
    made += [build.replace("npm run build", details["fonts"], 1) if details["fonts"] else build] if build else []
    early = bool(details["early"]) or modules.whole
    # what prepares a checkout for developers (husky) is no part of an image, and its program is not there
    prepare = "npm pkg delete scripts.prepare && " if details["prepare"] else ""
    first = f"{_HEADERS if 'compiler' in details else ''}{prepare}"
    again_prepare = (
        prepare if project.kind.removesuffix(OPEN) == "pnpm" else ""
    )  # it runs that once more when it prunes
    prune = "" if details["all"] else f" && {again_prepare}{modules.prune}"
    again = f"{modules.cache} \\\n    " if prune and "yarn" in prune else ""  # it fetches what it keeps once more
    version = project.version.value
    lines = [
        HEADER,
        f"ARG BUILD=node:{version}-slim",
        f"ARG BASE=node:{version}-slim",
        "",
        "FROM ${BUILD} AS build",
        "# Some bases for building start as another user; only this stage is root's.",
        "USER root",
        "WORKDIR /app",
        *(_COMPILES if "compiler" in details else ()),
        "# Modules first: an edit of the code does not fetch them again.",
        *(["# Not as the lock file says: it does not fit package.json."] if project.kind.endswith(OPEN) else []),
        *(["COPY . ."] if early else [f"COPY {modules.files}{' .npmrc' if details['npmrc'] else ''} ./"]),
        f"RUN {modules.cache} \\",
        f"    {first}{modules.install}{'' if made or details['all'] else modules.less}",
        *([] if early else ["COPY . ."]),
        *(node_fonts.LINES if details["fonts"] and build else ()),
        *([f"RUN {again}{' && '.join(made)}{prune}"] if made else []),
        *(_ENDS if deaf else ()),
        "",
        "FROM ${BASE}",
        *(["COPY --from=build /end.cjs /end.cjs"] if deaf else []),
        *placed(project, "/app", (*_PATH, *env_lines(env)), [copied(project, "--from=build /app", "/app")]),
        "# By number: no base needs to know the user, and Kubernetes can see that it is not root.",
        "USER 65532:65532",
        f"EXPOSE {port}",
        *_healthcheck(port, health),
        "# Exec form, and node rather than npm: it is process 1 and gets SIGTERM.",
        *(["# What changes the database comes first; signals reach what serves."] if before else []),
        f"ENTRYPOINT {exec_form(('node', *node_steps.in_turn(before, start)))}",
    ]
    return "\n".join(lines) + "\n"


def _healthcheck(port: int, health: str | None) -> list[str]:
    if health is None:
        return []
    code = f"fetch('http://127.0.0.1:{port}{health}').then(r => process.exit(r.ok ? 0 : 1), () => process.exit(1))"
    return [f"HEALTHCHECK --interval=30s --timeout=5s CMD {exec_form(('node', '-e', code))}"]
