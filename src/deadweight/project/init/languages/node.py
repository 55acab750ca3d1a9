"""Node: a package.json that starts a server."""

from __future__ import annotations

import json
import posixpath
import re
from typing import Any

from deadweight.project.init.languages import node_builds, node_fonts, node_start, node_steps, node_workspace
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
from deadweight.project.init.languages.node_managers import APART, OPEN, commands, manager, pinned
from deadweight.project.init.languages.node_scripts import PROGRAMS
from deadweight.project.init.languages.node_start import part, read_package
from deadweight.project.init.languages.node_versions import version_of
from deadweight.project.init.languages.sources import scan
from deadweight.project.init.records import GUESSED, ImageWords, Known, Ladder, Project, Service
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
            SETTINGS: json.dumps({name: each for name, each in start.settings.items() if name not in _NOT_SET}),
            node_start.OWN_ENVIRONMENT: start.settings.get("NODE_ENV", ""),
        },
        problem="" if start.words else "cannot determine how it is started: no CMD, no start script, no main",
    )


_EARLY = ("preinstall", "install", "postinstall")


SETTINGS = "settings"
"""Of a project's details: the variables that the start script sets."""

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
        f"{place}/Dockerfile": _dockerfile(service, project, port, health),
        f"{place}/Dockerfile.dockerignore": dockerignore("node", place),
    }
    return Ladder(tuple(rungs_on(bases, "the service and its modules", f"{place}/Dockerfile", _source(project))), files)


def _source(project: Project) -> str:
    return project.details.get(node_workspace.ROOT) or project.folder


_COMPILES = (
    "# A module is compiled where it cannot be fetched ready-made. Alpine and Chainguard have compilers as packages.",
    "RUN if command -v apk; then apk add --no-cache g++ make python3; fi",
)


_HEADERS = 'export npm_config_nodedir="$(dirname "$(dirname "$(command -v node)")")" && '
"""The headers of Node that the image has, instead of those that node-gyp would fetch."""

_PATH = (
    "# The path is distroless', where node is in a folder of its own.",
    'ENV NODE_ENV={} PATH="/usr/local/bin:/usr/bin:/bin:/nodejs/bin"',
)


_AND = (" && ", " && \\\n    ")
_ENDS = (
    ENDS.format("Node"),
    "RUN echo \"process.on('SIGTERM', () => { if (process.listenerCount('SIGTERM') === 1) process.exit(143) })\" > /end.cjs",
)


def _dockerfile(service: Service, project: Project, port: int, health: str | None) -> str:
    details = project.details
    before = tuple(tuple(each) for each in json.loads(details["before"] or "[]"))
    deaf = DEAF in details and not before  # where steps come first, it is not process 1
    start = ("--require", "/end.cjs", *project.start) if deaf else project.start
    programs = [each[0] for each in (*before, project.start) if each and each[0].startswith("node_modules/.bin/")]
    modules = commands(project.kind, details["program"], of_bin=bool(programs), apart=APART in details)
    member = details.get(node_workspace.MEMBER, "")
    if member:
        modules = node_workspace.as_member(modules, project.kind, details)
        before = tuple(node_workspace.hoisted(project, each) for each in before)
        start = node_workspace.hoisted(project, start)
    own = service.own.words if service.own else ImageWords()
    env = {name: value for name, value in own.env.items() if name not in ("PATH", "NODE_ENV") and "$" not in value}
    made = ["npx prisma generate"] if details["generate"] else []
    env |= json.loads(details.get(SETTINGS) or "{}")
    build = details["build"]
    made += [build.replace("npm run build", details["fonts"], 1) if details["fonts"] else build] if build else []
    made = node_workspace.in_turn(details, made) if member else made
    early = bool(details["early"]) or modules.whole
    paths = (_PATH[0], _PATH[1].format(details.get(node_start.ENVIRONMENT) or "production"))
    # what prepares a checkout for developers (husky) is no part of an image, and its program is not there
    prepare = "npm pkg delete scripts.prepare && " if details["prepare"] else ""
    first = f"{_HEADERS if 'compiler' in details else ''}{prepare}"
    again_prepare = (
        prepare if project.kind.removesuffix(OPEN) == "pnpm" else ""
    )  # it runs that once more when it prunes
    prune = "" if details["all"] else f"{_AND[bool(member)]}{again_prepare}{modules.prune}"
    # it fetches what it keeps once more, or the modules of a front end
    again = f"{modules.cache} \\\n    " if re.search("yarn|--offline|heroku-postbuild", f"{build} {prune}") else ""
    hashes = "export NODE_OPTIONS=--openssl-legacy-provider && " if node_builds.OLD in details else ""
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
        *node_builds.variable_lines(details),
        *(["# Its bundler asks for a hash that OpenSSL 3 has among its old ones alone."] if hashes else []),
        *([f"RUN {again}{hashes}{_AND[bool(member)].join(made)}{prune}"] if made else []),
        *(_ENDS if deaf else ()),
        "",
        "FROM ${BASE}",
        *(["COPY --from=build /end.cjs /end.cjs"] if deaf else []),
        *placed(
            project,
            node_workspace.home_in_image(project),
            (*paths, *env_lines(env)),
            [copied(project, "--from=build /app", "/app")],
        ),
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
