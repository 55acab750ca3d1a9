"""Detect Node servers and sites by their package.json, find what installs and starts them, and write their Dockerfile."""

from __future__ import annotations

import json
import operator
import posixpath
import re
import shlex
import tomllib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import resources
from typing import Any

from deadweight_init.languages import common
from deadweight_init.languages.protocol import Facts, Language
from deadweight_init.languages.sources import by_depth, platform_command, scan
from deadweight_init.records import ImageWords, Known, Ladder, Project, Service, simple_command, wording
from deadweight_init.tree import TABLES, Tree, as_mapping, joined

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
    lock: str = ""
    less: str = ""
    cache: str = "/root/.npm"
    first: str = ""

    @property
    def run(self) -> str:
        """The beginning of a RUN that installs modules."""
        return f"RUN --mount=type=cache,target={self.cache},sharing=locked \\\n    {self.first}"


_TABLE = resources.files(__package__).joinpath("managers.toml").read_text(encoding="utf-8")
_MANAGERS = {name: Manager(**entry) for name, entry in tomllib.loads(_TABLE).items()}
NPM = _MANAGERS["npm"]
_OF_LOCK = {"5": "@7", "6": "@8", "9": "@10"}
"""The version of pnpm that writes a lock file's format, by its first number."""


def manager_of(tree: Tree, folder: str, package: Mapping[str, Any]) -> tuple[str, Manager]:
    """What installs a package's modules, by its lock file, in the version that the package names or its lock file is of."""
    locked = (kind for kind, tool in _MANAGERS.items() if tool.lock and joined(folder, tool.lock) in tree.files)
    kind = next(locked, "npm")
    if kind == "yarn" and "__metadata:" in tree.texts[joined(folder, "yarn.lock")][:2000]:
        kind = "berry"
    manager = _MANAGERS[kind]
    named = re.match(r"(?:pnpm|yarn)(@\d+(?:\.\d+)*)", str(package.get("packageManager") or ""))
    version = named[1] if named else ""
    if kind == "pnpm":
        lock = re.search(r"^lockfileVersion: '?(\d)", tree.texts[joined(folder, "pnpm-lock.yaml")], re.MULTILINE)
        version = version or (_OF_LOCK.get(lock[1], "") if lock else "")
        return kind, replace(manager, first=f"npm install --global pnpm{version} && ")
    if kind == "berry":  # the base has another yarn
        return kind, replace(manager, first=f"npm install --global --force @yarnpkg/cli-dist{version or '@4'} && ")
    return kind, manager


def all_dependencies(package: Mapping[str, Any]) -> dict[str, Any]:
    """The packages that it needs, when it is developed too."""
    return {**as_mapping(package.get("devDependencies")), **as_mapping(package.get("dependencies"))}


def site_folder(tree: Tree, folder: str, package: Mapping[str, Any]) -> str:
    """The folder into which a package's build writes a site that needs no server; empty for any other package."""
    scripts, needs = (
        as_mapping(package.get("scripts")),
        {**as_mapping(package.get("devDependencies")), **as_mapping(package.get("dependencies"))},
    )
    exports = (tree.texts[joined(folder, f"next.config.{end}")] for end in ("js", "mjs", "ts"))
    exported = "next" in needs and any(re.search(r"\boutput\s*:\s*[\"']export[\"']", text) for text in exports)
    builder = "next" if exported else next((name for name in _MAKES if name in needs), "")
    serves = any(name in needs for name in SERVERS if name != builder)
    serves = serves or str(scripts.get("start", "")).startswith("node ")
    if not builder or "build" not in scripts or serves:
        return ""
    settings = (tree.texts[joined(folder, name)] for name in ("vite.config.js", "vite.config.ts", "astro.config.mjs"))
    outputs = (match[1] for text in settings if (match := _OUTPUT.search(text)))
    return "out" if exported else next(outputs, _MAKES[builder])


_DEFAULT, _OLDEST = "22", 18
_KNOWN = (22, 24, 20, 18, 26)
"""Versions that ``engines`` may ask for, the likeliest first."""
_VERSION = re.compile(r"v?(\d{2})\b|lts/(\w+)")
_NAMES = {"hydrogen": "18", "iron": "20", "jod": "22", "krypton": "24"}
_PART = re.compile(r"(>=|<=|>|<|\^|~|=)?\s*v?(\d+)(?:\.(?:\d+|[xX*]))*")
_SIGNS = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt}


def version_of(tree: Tree, folder: str, words: ImageWords | None, package: Mapping[str, Any]) -> Known[str]:
    """The version of Node: of its own image as exactly as it is there (the base is shared then), of a version file, of
    ``engines``, or the default."""
    files = (joined(folder, name) for name in (".nvmrc", ".node-version"))
    written = (known for file in files for known in tree.values(file, _VERSION))
    numbers = (Known(_NAMES.get(known.value.lower(), known.value), known.origin) for known in written)
    for known in (common.of_base(words, r"node:(\d+(?:\.\d+){0,2})(?=[-@]|$)"), *numbers):
        if known and (major := known.value.partition(".")[0]).isdigit() and int(major) >= _OLDEST:
            return known
    asked = str(as_mapping(package.get("engines")).get("node") or "")
    version = next((str(major) for major in _KNOWN if asked and fits(asked, major)), _DEFAULT)
    # ">=14" takes the default too, and says nothing more
    return Known(version, *([f"from {joined(folder, 'package.json')}: engines"] if version != _DEFAULT else []))


def fits(asked: str, major: int) -> bool:
    """Whether the newest Node of a major version is one that a range of ``engines`` takes: yarn refuses to install otherwise."""
    return any(
        all(_SIGNS.get(match[1], operator.eq)(major, int(match[2])) for match in _PART.finditer(alternative))
        for alternative in asked.split("||")
    )


Words = tuple[str, ...]

_PROGRAMS: Mapping[str, str] = TABLES["node"]["programs"]
"""Programs that are not named as their package is."""
_KEEPERS = ("nodemon", "pm2", "pm2-runtime", "forever", "supervisor")
"""Programs that start another one again when it ends: a container's engine does that."""
_WRAPPERS = ("cross-env", "exec", "npx", "env", "dotenv", "dotenvx", "--", "tini", "dumb-init", "run")
ENTRIES: Sequence[str] = TABLES["node"]["entries"]
"""Where a server usually begins."""
MADE = re.compile(r"(?:dist|build|lib|out|output|\.output)/")
"""Folders that a build makes: what ``main`` names there is not in the repository."""
_LISTENS = re.compile(r"\.listen\(")
_MAKES_A_SERVER = re.compile(r"\bcreate\w*Server\(|\bBun\.serve\(")
_PORT = re.compile(r"\$\{?PORT(?::-(\d+))?\}?")
_DATABASE = re.compile(r"migrat|seed|\bdb\b|schema|prisma|sequelize|knex|typeorm|drizzle", re.IGNORECASE)
"""What is done each time it starts: it changes a database, which is not there when the image is built."""
_OF_DEVELOPERS = re.compile(r"--env-file[= ]\S+|--watch(?=\s|$)")
"""Files of variables, which are no part of an image, and watching for edits."""
_DEPTH = 4


@dataclass(frozen=True)
class Start:
    """Arguments of ``node``; ``before`` are the steps that change a database first, ``env`` the variables that the command sets."""

    words: Words = ()
    before: tuple[Words, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)


def serves(tree: Tree, folder: str, package: Mapping[str, Any]) -> bool:
    """Whether a package without a start script or a known framework is a server all the same."""
    if on_a_platform(tree, folder)[:1] in (("node",), ("npm",), ("yarn",), ("pnpm",)):
        return True
    texts = (tree.texts[joined(folder, name)] for name in _entries(tree, folder, package))
    return any(_LISTENS.search(text) and _MAKES_A_SERVER.search(text) for text in texts)


def start_of(tree: Tree, folder: str, package: Mapping[str, Any], words: ImageWords | None) -> Start:
    """What starts a package."""
    scripts = as_mapping(package.get("scripts"))
    programs = all_dependencies(package)
    own = words.program if words else ()
    for command in (own, ("npm", "run", "start:prod"), on_a_platform(tree, folder), ("npm", "run", "start")):
        *first, last = _steps(command, scripts, _DEPTH) or [()]
        started = _as_node(last, tree, folder, programs)
        if started and _can_be(tree, folder, started):
            steps = (_as_node(step, tree, folder, programs) for step in first if _DATABASE.search(" ".join(step)))
            return Start(started, tuple(step for step in steps if step), _settings(last))
    there, main = list(_entries(tree, folder, package)), package.get("main")
    if there:
        listens = (name for name in there if _LISTENS.search(tree.texts[joined(folder, name)]))
        return Start((next(listens, there[0]),))
    made = posixpath.normpath(main) if isinstance(main, str) else ""
    return Start((made,)) if MADE.match(made) else Start()


def on_a_platform(tree: Tree, folder: str) -> Words:
    """The command that a hosting platform is told (a Procfile and the like)."""
    return simple_command(_PORT.sub(lambda match: match[1] or "8080", platform_command(tree, folder)))


def is_developers(start: Start, package: Mapping[str, Any]) -> bool:
    """Whether what is started is a program, or is read by one, that the package lists for development alone."""
    needs = as_mapping(package.get("dependencies"))
    programs = [step[0] for step in (*start.before, start.words) if step and step[0].startswith("node_modules/")]
    names = [posixpath.basename(program) for program in programs]
    names += re.findall(r"(?:^|\s)(?:-r|--require|--import|--loader)[ =](@?[^\s/]+)", " ".join(start.words))
    return any(name not in needs and _PROGRAMS.get(name) not in needs for name in names)


def _can_be(tree: Tree, folder: str, started: Words) -> bool:
    """Whether what is started is there, or is made by a build: files of platforms are forgotten when code moves."""
    entry = next((posixpath.normpath(word) for word in started if not word.startswith("-")), "")
    here = any(joined(folder, f"{entry}{end}") in tree.files for end in ("", ".js", "/index.js"))
    return here or entry.startswith("node_modules/") or MADE.match(entry) is not None


def _entries(tree: Tree, folder: str, package: Mapping[str, Any]) -> Iterator[str]:
    """The files of the repository that may be its beginning, the likeliest first."""
    main = package.get("main")
    named = [posixpath.normpath(main), f"{posixpath.normpath(main)}.js"] if isinstance(main, str) else []
    return (name for name in dict.fromkeys((*named, *ENTRIES)) if joined(folder, name) in tree.files)


def _steps(words: Words, scripts: Mapping[str, Any], depth: int) -> list[Words]:
    """The simple commands of a command in turn: scripts of npm's are taken apart. What only a shell can do is empty."""
    plain = _bare(words)
    if not plain or not depth:
        return [()]
    name = next((word for word in plain[1:] if word != "run"), "")
    if plain[0] in ("npm-run-all", "run-s"):
        return [
            step for name in plain[1:] if name in scripts for step in _steps(("npm", "run", name), scripts, depth - 1)
        ]
    if plain[0] not in ("npm", "yarn", "pnpm") or name not in scripts:
        return [words]
    texts = [str(scripts[key]) for key in (f"pre{name}", name) if key in scripts]
    lines = [line for text in texts for line in text.split("&&")]
    return [step for line in lines for step in _steps(simple_command(line), scripts, depth - 1)]


def _bare(words: Words) -> Words:
    """A command without settings before the program, and without what only starts it."""
    while words and (re.match(r"\w+=", words[0]) or posixpath.basename(words[0]) in _WRAPPERS):
        of_file = words[0] in ("dotenv", "dotenvx") and words[1:2] in (("-e",), ("-f",))
        words = words[3:] if of_file else words[1:]
    return words


def _settings(words: Words) -> dict[str, str]:
    """The variables that a command sets for what it starts; those that are found otherwise are left out."""
    before = words[: len(words) - len(_bare(words))]
    pairs = (word.partition("=") for word in before if re.match(r"[A-Z_][A-Z0-9_]*=", word))
    return {name: value for name, _, value in pairs if name not in ("NODE_ENV", "PORT", "PATH")}


def _as_node(words: Words, tree: Tree, folder: str, programs: Collection[str]) -> Words:
    """A simple command as arguments of node; nothing for a program that is not known."""
    words = _bare(words)
    name = posixpath.basename(words[0]) if words else ""
    if name in ("node", "nodejs"):
        return tuple(shlex.split(_OF_DEVELOPERS.sub("", shlex.join(words[1:]))))
    if name in _KEEPERS:
        files = [
            word
            for word in words[1:]
            if re.fullmatch(r"[\w./-]+\.[cm]?[jt]s", word) and joined(folder, word) in tree.files
        ]
        by = ("node_modules/.bin/ts-node",) if files and files[0].endswith("ts") else ()
        return (*by, posixpath.normpath(files[0])) if files else ()
    if name in programs or _PROGRAMS.get(name) in programs:
        return (f"node_modules/.bin/{name}", *words[1:])
    return ()


_NATIVE = frozenset(TABLES["node"]["native"])
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

    facts = Facts((r"package\.json",), (".js", ".ts", ".mjs", ".cjs"), "node")

    def find(self, tree: Tree, folder: str, words: ImageWords | None, main: str | None) -> NodeProject | None:
        """The package of a folder; None if nothing says that it is a server."""
        package = tree.data[joined(folder, "package.json")]
        scripts, needs = as_mapping(package.get("scripts")), as_mapping(package.get("dependencies"))
        is_server = words or "start" in scripts or any(name in needs for name in SERVERS)
        is_server = is_server or serves(tree, folder, package)
        if not package or not is_server or (words is None and site_folder(tree, folder, package)):
            return None
        start = start_of(tree, folder, package, words)
        kind, manager = manager_of(tree, folder, package)
        paths = by_depth(
            path for path in tree.below(folder, *self.facts.code, "package.json") if "node_modules" not in path
        )
        ports, health = scan(tree, paths)
        is_workspace = "workspaces" in package or joined(folder, "pnpm-workspace.yaml") in tree.files
        schema = any(joined(folder, path) in tree.files for path in ("prisma/schema.prisma", "schema.prisma"))
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
            problem="" if start.words else wording("problem.no_start", looked_for="CMD, scripts.start, main"),
        )

    def ladder(self, service: Service, project: NodeProject, place: str, port: int) -> Ladder:
        """Debian, Alpine, Chainguard and distroless."""
        version = project.version.value
        major, whole = version.partition(".")[0], "" if project.compiles else "-slim"  # the whole image has compilers
        even = major if int(major) in (18, 20, 22, 24) else "22"
        own = version if even == major else even
        bases = common.bases_of("node", version=version, whole=whole, own=own, even=even)
        entry = ("node", *_in_turn(project.before, project.start))
        env = {**common.plain_env(common.image_words(service), "PATH|NODE_ENV"), **project.env}
        # the path is distroless', where node is in a folder of its own
        env = {"NODE_ENV": "production", "PATH": "/usr/local/bin:/usr/bin:/bin:/nodejs/bin", **env}
        last = common.run_stage(project, port, entry, [f"--from=build {common.HOME} {common.HOME}"], env=env)
        lines = [*common.arguments(bases), *_build_stage(project), "", *last]
        ignored = ("node_modules", "coverage")
        return common.one_dockerfile(bases, wording("rung.modules"), place, project.folder, lines, ignored)


def _build_of(tree: Tree, folder: str, scripts: Mapping[str, Any], start: Words) -> str:
    """The script that makes what is started; empty if nothing has to be made. Heroku has ``heroku-postbuild`` before ``build``."""
    usual = [name for name in _BUILDS if name in scripts and not _NO_BUILD.match(str(scripts[name]))]
    entry = next((word for word in start if not word.startswith("-")), "")
    paths = (joined(folder, f"{entry}{end}") for end in ("", ".js", "/index.js"))
    there = entry.startswith("node_modules/") or any(path in tree.files for path in paths)
    others = [name for name in _OTHERS if name in scripts and entry and not there]
    return next(iter((*usual, *others)), "")


def _build_stage(project: NodeProject) -> Iterator[str]:
    manager, unprepared = project.manager, _UNPREPARED if project.prepares else ""
    less = "" if project.build or project.developers else manager.less
    yield "FROM ${BUILD} AS build"
    yield from common.AS_ROOT
    yield f"WORKDIR {common.HOME}"
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
        yield replace(manager, first="").run + "npm run " + project.build + prune


def _in_turn(before: tuple[Words, ...], last: Words) -> Words:
    """Arguments of node that take these steps in turn: not every base has a shell. Signals are passed on to the last one."""
    if not before:
        return last
    return ("-e", _IN_TURN.format(first=json.dumps(before), last=json.dumps(last)))


LANGUAGE: Language[NodeProject] = Node()
