"""Detect Node servers by their package.json."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from deadweight_init.languages.common import AS_ROOT, HOME, arguments, one_dockerfile, own_words, plain_env, run_stage
from deadweight_init.languages.node.package import NPM, SERVERS, Manager, as_wish, manager_of, site_of, version_of
from deadweight_init.languages.node.start import Words, is_developers, serves, start_of
from deadweight_init.languages.protocol import Facts, Language
from deadweight_init.languages.sources import by_depth, part, read_json, scan
from deadweight_init.records import ImageWords, Known, Ladder, Project, Service
from deadweight_init.tree import Tree, joined

_NATIVE = frozenset(
    ("bcrypt", "sqlite3", "better-sqlite3", "canvas", "argon2", "node-sass", "zeromq", "serialport", "re2")
)
"""Modules that are compiled if they cannot be fetched ready-made."""
_BUILDS = ("heroku-postbuild", "build")
_OTHERS = ("prestart:prod", "prestart", "compile", "build:prod", "build:ts", "build-ts", "tsc", "transpile", "bundle")
"""Scripts that make what is started if none is called ``build``, the likeliest first."""
_NO_BUILD = re.compile(r"\s*$|(?:echo|true|:|exit)\b|.*\b(?:docker|podman|electron\w*|pkg|nexe)\b", re.DOTALL)
_EARLY = ("preinstall", "install", "postinstall")
_UNPREPARED = "npm pkg delete scripts.prepare && "
"""What prepares a checkout for developers (husky) is no part of an image, and its program is not there."""
_HEADERS = 'export npm_config_nodedir="$(dirname "$(dirname "$(command -v node)")")" && '
"""The headers of Node that the image has, instead of those that node-gyp would fetch."""
_IN_TURN = (
    "const {{spawn, spawnSync}} = require('child_process'); const say = {{stdio: 'inherit'}}; "
    "for (const step of {first}) {{ const {{status}} = spawnSync(process.execPath, step, say); "
    "if (status !== 0) process.exit(status ?? 1); }} "
    "const last = spawn(process.execPath, {last}, say); "
    "for (const each of ['SIGTERM', 'SIGINT']) process.on(each, () => last.kill(each)); "
    "last.on('exit', code => process.exit(code ?? 143));"
)


@dataclass(frozen=True)
class NodeProject(Project):
    """``manager`` installs its modules. ``build`` is the script that makes what is started. ``whole``: an installation reads more
    than manifests. ``prepares``: a script prepares checkouts. ``developers``: modules for development are needed when it runs.
    ``before`` are steps that change a database first, ``env`` what its script sets."""

    manager: Manager = NPM
    build: str = ""
    whole: bool = False
    prepares: bool = False
    developers: bool = False
    before: tuple[Words, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)


class Node:
    """JavaScript and TypeScript on Node."""

    facts = Facts((r"package\.json",), (".js", ".ts", ".mjs", ".cjs"), "node", older=("22", "20", "18", "16"))

    def find(self, tree: Tree, folder: str, words: ImageWords | None, main: str | None) -> NodeProject | None:
        """The package of a folder; None if nothing says that it is a server."""
        package = read_json(tree, joined(folder, "package.json"))
        scripts, needs = part(package, "scripts"), part(package, "dependencies")
        is_server = (
            words or "start" in scripts or any(name in needs for name in SERVERS) or serves(tree, folder, package)
        )
        if not package or not is_server or (words is None and site_of(tree, folder, package)):
            return None
        start = start_of(tree, folder, package, words)
        kind, manager = manager_of(tree, folder, package)
        paths = by_depth(
            path for path in tree.below(folder, *self.facts.code, "package.json") if "node_modules" not in path
        )
        ports, health = scan(tree, paths)
        is_workspace = "workspaces" in package or tree.has(joined(folder, "pnpm-workspace.yaml"))
        schema = any(tree.has(joined(folder, each)) for each in ("prisma/schema.prisma", "schema.prisma"))
        return NodeProject(
            language="node",
            kind=kind,
            folder=folder,
            name=str(package.get("name") or tree.root.name).rpartition("/")[2],
            version=version_of(tree, folder, words, package),
            start=start.words,
            ports=ports or (Known(3000),),
            health=health,
            manager=manager,
            build=_build_of(tree, folder, scripts, start.words),
            # the client of Prisma makes itself of its schema when it is installed
            whole=is_workspace or schema or kind == "berry" or any(name in scripts for name in _EARLY),
            prepares="prepare" in scripts,
            developers=is_developers(start, package),
            compiles=not _NATIVE.isdisjoint(needs),
            before=start.before,
            env=start.env,
            problem="" if start.words else "cannot determine how it is started: no CMD, no start script, no main",
        )

    def ladder(self, service: Service, project: NodeProject, place: str, port: int, health: str | None) -> Ladder:
        """Debian, Alpine, Chainguard and distroless."""
        version = project.version.value
        slim, alpine, major = f"node:{version}-slim", f"node:{version}-alpine", version.partition(".")[0]
        even = major if int(major) in (18, 20, 22, 24) else "22"
        whole = "" if project.compiles else "-slim"  # the whole image has compilers, and Node's headers
        bases = {
            "debian": (f"node:{version}{whole}", slim),
            "alpine": (alpine, alpine),
            "chainguard": ("cgr.dev/chainguard/node:latest-dev", "cgr.dev/chainguard/node:latest"),
            "distroless": (
                f"node:{version if even == major else even}{whole}",
                f"gcr.io/distroless/nodejs{even}-debian12:nonroot",
            ),
        }
        entry = ("node", *_in_turn(project.before, project.start))
        env = {**plain_env(own_words(service), "PATH|NODE_ENV"), **project.env}
        # the path is distroless', where node is in a folder of its own
        env = {"NODE_ENV": "production", "PATH": "/usr/local/bin:/usr/bin:/bin:/nodejs/bin", **env}
        ask = f"fetch('http://127.0.0.1:{port}{health}').then(r => process.exit(r.ok ? 0 : 1), () => process.exit(1))"
        check = ("node", "-e", ask) if health else ()
        last = run_stage(project, port, entry, [f"--from=build {HOME} {HOME}"], env=env, health=check)
        lines = [*arguments(bases), *_build_stage(project), "", *last]
        return one_dockerfile(
            bases, "the service and its modules", place, project.folder, lines, ("node_modules", "coverage")
        )


def _build_of(tree: Tree, folder: str, scripts: Mapping[str, Any], start: Words) -> str:
    """The script that makes what is started; empty if nothing has to be made. Heroku has ``heroku-postbuild`` before ``build``."""
    usual = [name for name in _BUILDS if name in scripts and not _NO_BUILD.match(str(scripts[name]))]
    entry = next((word for word in start if not word.startswith("-")), "")
    there = entry.startswith("node_modules/") or any(
        tree.has(joined(folder, f"{entry}{end}")) for end in ("", ".js", "/index.js")
    )
    others = [name for name in _OTHERS if name in scripts and entry and not there]
    return next(iter((*usual, *others)), "")


def _build_stage(project: NodeProject) -> Iterator[str]:
    manager, unprepared = (
        as_wish(project.manager) if project.unlocked else project.manager,
        _UNPREPARED if project.prepares else "",
    )
    less = "" if project.build or project.developers else manager.less
    yield "FROM ${BUILD} AS build"
    yield from AS_ROOT
    yield f"WORKDIR {HOME}"
    if project.compiles:
        yield "# A module is compiled if it cannot be fetched ready-made. Alpine and Chainguard have compilers as packages."
        yield "RUN if command -v apk; then apk add --no-cache g++ make python3; fi"
    if not project.whole:
        yield "# Modules first: an edit of the code does not fetch them again."
    yield "COPY . ." if project.whole else f"COPY {manager.files} .npmrc* ./"
    yield f"{manager.run}{_HEADERS if project.compiles else ''}{unprepared}{manager.install}{less}"
    if not project.whole:
        yield "COPY . ."
    if project.build:
        again = unprepared if project.kind == "pnpm" else ""  # it prepares once more when it prunes
        prune = "" if project.developers else f" && {again}{manager.prune}"
        yield f"{replace(manager, first='').run}npm run {project.build}{prune}"


def _in_turn(before: tuple[Words, ...], last: Words) -> Words:
    """Arguments of node that take these steps in turn: not every base has a shell. Signals are passed on to the last one."""
    if not before:
        return last
    first = "[" + ", ".join(_listed(step) for step in before) + "]"
    return ("-e", _IN_TURN.format(first=first, last=_listed(last)))


def _listed(words: Words) -> str:
    return "[" + ", ".join("'" + word.replace("\\", "\\\\").replace("'", "\\'") + "'" for word in words) + "]"


LANGUAGE: Language[NodeProject] = Node()
