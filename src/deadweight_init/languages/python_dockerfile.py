"""A Dockerfile for a Python service that has none of its own, or whose own fits one base only."""

from __future__ import annotations

import json
import re
import shlex

from deadweight_init.languages.common import (
    AS_ROOT,
    DEAF,
    ENDS,
    HEADER,
    copied,
    env_lines,
    exec_form,
    is_owned,
    placed,
    unprivileged,
)
from deadweight_init.languages.python_code import EVERYWHERE
from deadweight_init.languages.python_steps import in_turn
from deadweight_init.records import ImageWords, Project, Service

_TO_FOLDER = "pip install --no-compile --target=/site-packages"
_UV_TO_FOLDER = "uv pip install --python python3 --target=/site-packages"
_EXPORTED = f" \\\n    && {_TO_FOLDER} --no-deps -r /tmp/requirements.txt"
"""A lock file names all that there is; pip would refuse ``uvicorn[standard]``, which has no hash of its own."""

_BEFORE_UV = ("3.6", "3.7")
"""uv is a program of its own, and installs for these too; pip with one of them refuses it."""

_UV = "pip install uv && uv export --frozen --no-dev --no-emit-project -o /tmp/requirements.txt"
_LOCKED = "{ [ -f poetry.lock ] || poetry lock; }"
_POETRY = f"pip install poetry poetry-plugin-export && {_LOCKED} && poetry export -f requirements.txt -o /tmp/requirements.txt"
_PIPENV = (
    "pip install pipenv && { [ -f Pipfile.lock ] || PIPENV_PYPI_MIRROR=${PIP_INDEX_URL-} pipenv lock; }"
    " && pipenv requirements | sed -E '/^-i https:..pypi(.python)?.org/d' > /tmp/requirements.txt"
)
"""The public index is pip's default; named in the list it would hide the one that this machine is told to use."""
_BINARY = "'s/^psycopg2([^-a-z0-9]|$)/psycopg2-binary\\1/'"
_FIRST_BINARY = r"-e 's/^psycopg2==2\.([0-6](\.[0-9.]+)?|7(\.[0-3])?)\s*$/psycopg2-binary==2.7.4/' -e "
_PDM = "pip install pdm && pdm export --prod --format requirements --output /tmp/requirements.txt"
_INSTALL = {
    "pip": ("{list}", f"{_TO_FOLDER} -r {{list}}"),
    "uv": ("pyproject.toml uv.lock", _UV + _EXPORTED),
    "poetry": ("pyproject.toml poetry.lock*", _POETRY + _EXPORTED),
    "pdm": ("pyproject.toml pdm.lock", _PDM + _EXPORTED),
    "pipenv": ("Pipfile Pipfile.lock*", _PIPENV + _EXPORTED),
    "project": (".", f"{_TO_FOLDER} ."),
    "bare": ("", f"{_TO_FOLDER} {{made}}"),
}
_UNHASHED = (
    ("uv export ", "--no-hashes "),
    ("poetry export ", "--without-hashes "),
    ("pdm export ", "--without-hashes "),
)
"""What is cloned has no hash, and pip wants one of each package or of none."""

UNTIL = "until"
"""The detail of a project whose packages are no newer than a day."""


def _compilers(project: Project) -> tuple[str, str]:
    """What compiles psycopg2, which has no ready-made form for a language that is newer, wants libpq's headers."""
    headers = " && { apk add --no-cache postgresql-dev || true; }" if project.details["libpq"] else ""
    return (
        "# Alpine and Chainguard have compilers as packages.",
        f"RUN if command -v apk; then apk add --no-cache build-base{headers}; fi",
    )


_GIT = (
    "# Some packages are cloned: pip wants git for them.",
    "RUN command -v git || { command -v apk && apk add --no-cache git; } \\",
    "    || { apt-get update && apt-get install -y --no-install-recommends ca-certificates git; }",
)
_LIBRARIES = (
    "# What was compiled links libraries of the OS, which not every base has.",
    "RUN mkdir -p /site-packages/lib \\",
    "    && find /site-packages -type f \\( -name '*.so*' -o -path '*/bin/*' \\) -exec ldd {} + 2>/dev/null \\",
    "    | awk '/=> \\/(usr\\/)?lib/ && !/lib(c|m|dl|rt|pthread|util|python[0-9.]*)\\.so/ {print $3}' \\",
    "    | sort -u | xargs -r cp -Lt /site-packages/lib",
)
_COMPILED = (
    "# Python cannot keep what it compiles where files are read-only, and would do it anew at each start.",
    "RUN python3 -m compileall -qq -j 0 --invalidation-mode unchecked-hash /site-packages \\",
    "    || echo 'not all of it is Python of today'",
)
_PATH_FILES = (
    "# Some packages come with a .pth file, which Python reads in its own folders alone.",
    "RUN if ls /site-packages/*.pth >/dev/null 2>&1 && [ ! -e /site-packages/sitecustomize.py ]; then \\",
    "    echo 'import site; site.addsitedir(\"/site-packages\")' > /site-packages/sitecustomize.py; fi",
)
_ENDS = (
    ENDS.format("Python"),
    "RUN echo 'import os, signal, sys' >> /site-packages/sitecustomize.py \\",
    "    && echo 'if os.getpid() == 1: signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))' >> /site-packages/sitecustomize.py",
)
_DROPPED = re.compile(
    r"PYTHONPATH|PATH|PYTHONUNBUFFERED|PYTHONDONTWRITEBYTECODE|DEBIAN_FRONTEND|VIRTUAL_ENV|(?:PIP|POETRY|UV|PDM|PIPENV)_\w+"
)
"""Variables of a Dockerfile of its own that are set anew here, or mean only its build."""


def dockerfile(service: Service, project: Project, port: int, health: str | None) -> str:
    version = project.version.value
    lines = [
        HEADER,
        f"ARG BUILD=python:{version}-slim",
        f"ARG BASE=python:{version}-slim",
        "",
        *_build_stage(project),
        "",
        *_run_stage(service, project, port, health),
    ]
    return "\n".join(lines) + "\n"


def _build_stage(project: Project) -> list[str]:
    details, compiled = project.details, "compiler" in project.details
    extra = "".join(f" {shlex.quote(each)}" for each in details["extra"].split())
    return [
        "FROM ${BUILD} AS build",
        *AS_ROOT,
        "WORKDIR /src",
        *(_compilers(project) if compiled else ()),
        *(_GIT if "git" in details else ()),
        "# Packages first: an edit of the code does not fetch them again. Into a folder, which is the same on every base.",
        *_manifests(project),
        "RUN --mount=type=cache,target=/root/.cache/pip \\",
        f"    {_install(project)}",
        *([f"RUN {_to_folder(project)}{extra}"] if extra else []),
        *(_LIBRARIES if compiled else []),
        *_PATH_FILES,
        *(_ENDS if DEAF in details else ()),
        *_COMPILED,
        *(_collected(details["inside"]) if details["collects"] else []),
    ]


def _manifests(project: Project) -> list[str]:
    """The instructions that bring in what names the packages, with what is changed of it."""
    details, (manifest, _) = project.details, _INSTALL[project.kind]
    manifest = manifest.replace("{list}", details["list"])
    into = f"./{manifest if '/' in manifest else ''}"
    lines = [f"COPY {manifest} {into}" if manifest else "# No list names them: the code does."]
    lines += details["includes"].splitlines()
    if until := details.get(UNTIL):
        lines.append(f"# What the list leaves open is no newer than {until}: later packages do not fit it.")
    if details["psycopg2"]:
        lines.append(
            "# psycopg2 would be compiled and need libpq when it runs; its binary form is the same code with both."
        )
    return lines


def _to_folder(project: Project) -> str:
    """The command that installs packages, without their names."""
    until = project.details.get(UNTIL)
    return f"{_UV_TO_FOLDER} --exclude-newer {until}" if until else _TO_FOLDER


def _install(project: Project) -> str:
    """A shell's commands that install all packages that are named."""
    details, (_, install) = project.details, _INSTALL[project.kind]
    made = " ".join(map(shlex.quote, details["made"].split()))
    install = install.replace("{list}", details["list"]).replace("{made}", made)
    for export, without in _UNHASHED if "git" in details else ():
        install = install.replace(export, f"{export}{without}")
    if details.get(UNTIL):
        anyhow = "--ignore-requires-python " if project.version.value in _BEFORE_UV else ""
        install = f"pip install {anyhow}uv && {install.replace(_TO_FOLDER, _to_folder(project))}"
    if lists := details["psycopg2"]:
        first = _FIRST_BINARY if details["older_psycopg2"] else ""
        install = f"sed -i -E {first}{_BINARY} {lists} \\\n    && {install}"
    return install


def _run_stage(service: Service, project: Project, port: int, health: str | None) -> list[str]:
    details, inside = project.details, project.details["inside"]
    target = "/app" if is_owned(project) or details["collects"] or inside else "."
    source = "--from=build /src" if details["collects"] else "."
    brought = (*_environment(service, project), "COPY --from=build /site-packages /site-packages")
    return [
        "FROM ${BASE}",
        *placed(project, "/app", brought, [copied(project, source, target)]),
        *([f"WORKDIR /app/{inside}"] if inside else []),
        *unprivileged(port),
        *_healthcheck(port, health),
        *(["# What its own command does before it serves, without a shell."] if details["before"] else []),
        "# Exec form: the interpreter is process 1 and gets SIGTERM.",
        f"ENTRYPOINT {exec_form(('python3', *entry(project, port)))}",
    ]


def _environment(service: Service, project: Project) -> list[str]:
    own = service.own.words if service.own else ImageWords()
    env = {name: value for name, value in own.env.items() if not _DROPPED.fullmatch(name) and "$" not in value}
    if "says_version" in project.details:
        env = {"PYTHON_VERSION": project.version.value, **env}
    libraries = " LD_LIBRARY_PATH=/site-packages/lib" if "compiler" in project.details else ""
    return [
        f"ENV PYTHONPATH=/site-packages PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1{libraries}",
        *env_lines(env),
    ]


def _collected(inside: str) -> list[str]:
    """Gather Django's static files. Some settings cannot be loaded without secrets."""
    within = f"cd {inside} && " if inside else ""
    return [
        "COPY . .",
        "# Static files of all apps in one folder. Some settings cannot be loaded without secrets: then the pages have no styles.",
        f"RUN {within}PYTHONPATH=/site-packages SECRET_KEY=placeholder DJANGO_SECRET_KEY=placeholder \\",
        "    python3 manage.py collectstatic --noinput || echo 'no static files were collected'",
    ]


def entry(project: Project, port: int) -> tuple[str, ...]:
    """Arguments of the interpreter: what its own image does before it starts, then what it starts. What nothing but the code told
    listens where the suite says."""
    start = project.start
    if project.details["by_code"]:
        start = tuple(re.sub(rf"^({re.escape(EVERYWHERE)}:)?(5000|8000)$", rf"\g<1>{port}", word) for word in start)
    return in_turn(json.loads(project.details["before"] or "[]"), start, check=not project.details["may_fail"])


def _healthcheck(port: int, health: str | None) -> list[str]:
    if health is None:
        return []
    code = f"import urllib.request; urllib.request.urlopen('http://127.0.0.1:{port}{health}', timeout=3)"
    return [f"HEALTHCHECK --interval=30s --timeout=5s CMD {exec_form(('python3', '-c', code))}"]
