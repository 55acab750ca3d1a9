"""A Dockerfile that installs a Node package's modules, builds it, and runs it with node alone."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from deadweight_init.languages import node_builds, node_fonts, node_start, node_steps, node_workspace
from deadweight_init.languages.common import (
    AS_ROOT,
    DEAF,
    ENDS,
    HEADER,
    copied,
    env_lines,
    exec_form,
    placed,
    unprivileged,
)
from deadweight_init.languages.node_managers import APART, OPEN, Manager, commands
from deadweight_init.records import ImageWords, Project, Service

Words = tuple[str, ...]

_COMPILES = (
    "# A module is compiled where it cannot be fetched ready-made. Alpine and Chainguard have compilers as packages.",
    "RUN if command -v apk; then apk add --no-cache g++ make python3; fi",
)
_HEADERS = 'export npm_config_nodedir="$(dirname "$(dirname "$(command -v node)")")" && '
"""The headers of Node that the image has, instead of those that node-gyp would fetch."""

_UNPREPARED = "npm pkg delete scripts.prepare && "
"""What prepares a checkout for developers (husky) is no part of an image, and its program is not there."""

_OLD_HASHES = (
    "# Its bundler asks for a hash that OpenSSL 3 has among its old ones alone.",
    "export NODE_OPTIONS=--openssl-legacy-provider && ",
)
_PATH = (
    "# The path is distroless', where node is in a folder of its own.",
    'ENV NODE_ENV={} PATH="/usr/local/bin:/usr/bin:/bin:/nodejs/bin"',
)
_ENDS = (
    ENDS.format("Node"),
    "RUN echo \"process.on('SIGTERM', () => { if (process.listenerCount('SIGTERM') === 1) process.exit(143) })\" > /end.cjs",
)


def dockerfile(service: Service, project: Project, port: int, health: str | None) -> str:
    version = project.version.value
    lines = [
        HEADER,
        f"ARG BUILD=node:{version}-slim",
        f"ARG BASE=node:{version}-slim",
        "",
        *_build_stage(project),
        "",
        *_run_stage(service, project, port, health),
    ]
    return "\n".join(lines) + "\n"


def _build_stage(project: Project) -> list[str]:
    details, modules, made = project.details, _modules(project), _made(project)
    whole = bool(details["early"]) or modules.whole
    less = "" if made or details["all"] else modules.less
    return [
        "FROM ${BUILD} AS build",
        *AS_ROOT,
        "WORKDIR /app",
        *(_COMPILES if "compiler" in details else ()),
        "# Modules first: an edit of the code does not fetch them again.",
        *(["# Not as the lock file says: it does not fit package.json."] if project.kind.endswith(OPEN) else []),
        *(["COPY . ."] if whole else [f"COPY {modules.files}{' .npmrc' if details['npmrc'] else ''} ./"]),
        f"RUN {modules.cache} \\",
        f"    {_HEADERS if 'compiler' in details else ''}{_unprepared(project)}{modules.install}{less}",
        *([] if whole else ["COPY . ."]),
        *(node_fonts.LINES if details["fonts"] and details["build"] else ()),
        *([_OLD_HASHES[0]] if node_builds.OLD in details else []),
        *([_making(project, modules, made)] if made else []),
        *(_ENDS if _is_deaf(project) else ()),
    ]


def _run_stage(service: Service, project: Project, port: int, health: str | None) -> list[str]:
    return [
        "FROM ${BASE}",
        *(["COPY --from=build /end.cjs /end.cjs"] if _is_deaf(project) else []),
        *placed(
            project,
            node_workspace.home_in_image(project),
            _environment(service, project),
            [copied(project, "--from=build /app", "/app")],
        ),
        *unprivileged(port),
        *_healthcheck(port, health),
        "# Exec form, and node rather than npm: it is process 1 and gets SIGTERM.",
        *(["# What changes the database comes first; signals reach what serves."] if _before(project) else []),
        f"ENTRYPOINT {exec_form(_entry(project))}",
    ]


def _is_member(project: Project) -> bool:
    return bool(project.details.get(node_workspace.MEMBER))


def _before(project: Project) -> tuple[Words, ...]:
    """The steps that are taken before it serves, as arguments of node."""
    return tuple(tuple(each) for each in json.loads(project.details["before"] or "[]"))


def _is_deaf(project: Project) -> bool:
    """Whether it has to be told to end; where steps come first, it is not process 1."""
    return DEAF in project.details and not _before(project)


def _modules(project: Project) -> Manager:
    """How its modules are installed."""
    details, started = project.details, (*_before(project), project.start)
    of_bin = any(each and each[0].startswith("node_modules/.bin/") for each in started)
    found = commands(project.kind, details["program"], of_bin=of_bin, apart=APART in details)
    return node_workspace.as_member(found, project.kind, details) if _is_member(project) else found


def _unprepared(project: Project) -> str:
    return _UNPREPARED if project.details["prepare"] else ""


def _made(project: Project) -> list[str]:
    """A shell's commands that make what is not in the repository."""
    details = project.details
    build, fonts = details["build"], details["fonts"]
    made = ["npx prisma generate"] if details["generate"] else []
    if build:
        made.append(build.replace("npm run build", fonts, 1) if fonts else build)
    return node_workspace.in_turn(details, made) if _is_member(project) else made


def _making(project: Project, modules: Manager, made: Sequence[str]) -> str:
    """The instruction that makes it, and then leaves out the modules that were for that alone."""
    details, then = project.details, " && \\\n    " if _is_member(project) else " && "
    # pnpm prepares once more when it prunes
    unprepared = _unprepared(project) if project.kind.removesuffix(OPEN) == "pnpm" else ""
    prune = "" if details["all"] else f"{then}{unprepared}{modules.prune}"
    # it fetches what it keeps once more, or the modules of a front end
    fetches = re.search("yarn|--offline|heroku-postbuild", f"{details['build']} {prune}")
    cache = f"{modules.cache} \\\n    " if fetches else ""
    hashes = _OLD_HASHES[1] if node_builds.OLD in details else ""
    return f"RUN {cache}{hashes}{then.join(made)}{prune}"


def _environment(service: Service, project: Project) -> list[str]:
    own, details = service.own.words if service.own else ImageWords(), project.details
    kept = {name: value for name, value in own.env.items() if name not in ("PATH", "NODE_ENV") and "$" not in value}
    why, path = _PATH
    settings = json.loads(details.get(node_start.SETTINGS) or "{}")
    return [
        why,
        path.format(details.get(node_start.ENVIRONMENT) or "production"),
        *env_lines({**kept, **settings}),
    ]


def _healthcheck(port: int, health: str | None) -> list[str]:
    if health is None:
        return []
    code = f"fetch('http://127.0.0.1:{port}{health}').then(r => process.exit(r.ok ? 0 : 1), () => process.exit(1))"
    return [f"HEALTHCHECK --interval=30s --timeout=5s CMD {exec_form(('node', '-e', code))}"]


def _entry(project: Project) -> Words:
    """What is started: node, with the steps that come first and then what serves."""
    before, start = _before(project), project.start
    if _is_deaf(project):
        start = ("--require", "/end.cjs", *start)
    if _is_member(project):
        before = tuple(node_workspace.hoisted(project, each) for each in before)
        start = node_workspace.hoisted(project, start)
    return ("node", *node_steps.in_turn(before, start))
