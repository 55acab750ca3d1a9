"""Write the Dockerfile of a Python service, with its packages in one folder that fits any base."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass

from deadweight_init.languages import common
from deadweight_init.languages.python.packages import pair
from deadweight_init.records import Ladder, Project, Service

Words = tuple[str, ...]


@dataclass(frozen=True)
class PythonProject(Project):
    """``listed`` is the list that pip reads, ``included`` what that names of the repository. ``extra`` is a server that nothing
    lists. ``inside`` is the folder that it is started in. ``collects``: static files are gathered when it is built. ``before`` are
    steps that it takes before it serves; ``by_code``: nothing but its code tells how it is started.
    """

    listed: str = ""
    included: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    inside: str = ""
    collects: bool = False
    before: tuple[Words, ...] = ()
    by_code: bool = False


_TO_FOLDER = "pip install --no-compile --target=/site-packages"
_EXPORTED = f" \\\n    && {_TO_FOLDER} --no-deps -r /tmp/requirements.txt"
"""A lock file names all that there is; pip would refuse ``uvicorn[standard]``, which has no hash of its own."""
_PIPENV = (
    "pip install pipenv && { [ -f Pipfile.lock ] || PIPENV_PYPI_MIRROR=${PIP_INDEX_URL-} pipenv lock; }"
    " && pipenv requirements | sed -E '/^-i https:..pypi(.python)?.org/d' > /tmp/requirements.txt"
)
"""The public index is pip's default; named in the list it would hide the one that this machine is told to use."""
_INSTALL = {
    "pip": ("", f"{_TO_FOLDER} -r {{list}}"),
    "uv": (
        "pyproject.toml uv.lock",
        "pip install uv && uv export --frozen --no-dev --no-emit-project{plain} -o /tmp/requirements.txt" + _EXPORTED,
    ),
    "poetry": (
        "pyproject.toml poetry.lock*",
        "pip install poetry poetry-plugin-export && { [ -f poetry.lock ] || poetry lock; }"
        " && poetry export -f requirements.txt{plain} -o /tmp/requirements.txt" + _EXPORTED,
    ),
    "pdm": (
        "pyproject.toml pdm.lock",
        "pip install pdm && pdm export --prod --format requirements{plain} -o /tmp/requirements.txt" + _EXPORTED,
    ),
    "pipenv": ("Pipfile Pipfile.lock*", _PIPENV + _EXPORTED),
    "project": (".", f"{_TO_FOLDER} ."),
    "none": ("", "mkdir /site-packages"),
}
_PLAIN = {"uv": " --no-hashes", "poetry": " --without-hashes", "pdm": " --without-hashes"}
"""What is cloned has no hash, and pip wants one of each package or of none."""
_NATIVE = (
    "# Some packages are compiled or cloned. Alpine and Chainguard have what that needs as packages.",
    "RUN if command -v apk; then apk add --no-cache build-base git \\",
    "    && { apk add --no-cache postgresql-dev mariadb-dev || true; }; fi",
)
_COMPILED = (
    "# Some packages come with a .pth file, which Python reads in its own folders alone.",
    "RUN if ls /site-packages/*.pth >/dev/null 2>&1 && [ ! -e /site-packages/sitecustomize.py ]; then \\",
    "    echo 'import site; site.addsitedir(\"/site-packages\")' > /site-packages/sitecustomize.py; fi",
    "# Python cannot keep what it compiles where files are read-only, and would do it anew at each start.",
    "RUN python3 -m compileall -qq -j 0 --invalidation-mode unchecked-hash /site-packages \\",
    "    || echo 'not all of it is Python of today'",
)
_DROPPED = r"PYTHONPATH|PATH|PYTHONUNBUFFERED|PYTHONDONTWRITEBYTECODE|DEBIAN_FRONTEND|VIRTUAL_ENV|(?:PIP|POETRY|UV|PDM|PIPENV)_\w+"
"""Variables of a Dockerfile of its own that are set anew here, or mean only its build."""
_IN_TURN = (
    "import os, subprocess, sys; "
    "[subprocess.run([sys.executable, *step]) for step in {first}]; "
    "os.execv(sys.executable, [sys.executable, *{last}])"
)


def ladder(service: Service, project: PythonProject, place: str, port: int, health: str | None) -> Ladder:
    """Debian, Alpine, Chainguard and distroless."""
    version = project.version.value
    whole = "" if project.compiles else "-slim"  # the whole image has compilers, headers and git
    # distroless brings Debian's own Python, so what is compiled for it is compiled with that one
    later = pair(version) >= (3, 13) or (pair(version) == (3, 12) and "pyproject.toml" in project.version.origin)
    release, own = ("13", "3.13") if later else ("12", "3.11")
    alpine = f"python:{version}-alpine"
    bases = {
        "debian": (f"python:{version}{whole}", f"python:{version}-slim"),
        "alpine": (alpine, alpine),
        "chainguard": ("cgr.dev/chainguard/python:latest-dev", "cgr.dev/chainguard/python:latest"),
        "distroless": (f"python:{own}{whole}", f"gcr.io/distroless/python3-debian{release}:nonroot"),
    }
    lines = [*common.arguments(bases), *_build_stage(project), "", *_run_stage(service, project, port, health)]
    ignored = (".pytest_cache", ".mypy_cache", ".tox", "**/*.pyc")
    return common.one_dockerfile(bases, "the service and its packages", place, project.folder, lines, ignored)


def _build_stage(project: PythonProject) -> Iterator[str]:
    files, install = _INSTALL[project.kind]
    yield "FROM ${BUILD} AS build"
    yield from common.AS_ROOT
    yield "WORKDIR /src"
    if project.compiles:
        yield from _NATIVE
    yield "# Packages first: an edit of the code does not fetch them again. Into a folder, which is the same on every base."
    yield from (f"COPY {path} ./{path}" for path in (project.listed, *project.included) if path)
    if files:
        yield f"COPY {files} ./"
    yield "RUN --mount=type=cache,target=/root/.cache/pip \\"
    plain = _PLAIN.get(project.kind, "") if project.compiles else ""
    yield "    " + install.replace("{list}", project.listed).replace("{plain}", plain)
    if project.extra:
        yield f"RUN {_TO_FOLDER} {' '.join(project.extra)}"
    if project.compiles:
        yield from common.libraries("/site-packages")
    yield from _COMPILED
    if project.collects:
        within = f"cd {project.inside} && " if project.inside else ""
        yield "COPY . ."
        yield "# Some settings cannot be loaded without secrets: then the pages have no styles."
        yield f"RUN {within}PYTHONPATH=/site-packages SECRET_KEY=placeholder DJANGO_SECRET_KEY=placeholder \\"
        yield "    python3 manage.py collectstatic --noinput || echo 'no static files were collected'"


def _run_stage(service: Service, project: PythonProject, port: int, health: str | None) -> Iterator[str]:
    env = {"PYTHONPATH": "/site-packages", "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    if project.compiles:
        env["LD_LIBRARY_PATH"] = "/site-packages/lib"
    env |= common.plain_env(common.own_words(service), _DROPPED)
    start = project.start
    if project.by_code:  # what nothing but the code told listens where the suite says
        start = tuple(
            re.sub(rf"^({re.escape(common.EVERYWHERE)}:)?(5000|8000)$", rf"\g<1>{port}", word) for word in start
        )
    code = f"{'--from=build /src' if project.collects else '.'} {common.HOME}"
    copies = ["--from=build /site-packages /site-packages", code]
    ask = f"import urllib.request; urllib.request.urlopen('http://127.0.0.1:{port}{health}', timeout=3)"
    check = ("python3", "-c", ask) if health else ()
    workdir = posixpath.join(common.HOME, project.inside) if project.inside else common.HOME
    return common.run_stage(
        project, port, ("python3", *_in_turn(project.before, start)), copies, env=env, health=check, workdir=workdir
    )


def _in_turn(before: tuple[Words, ...], last: Words) -> Words:
    """Arguments of the interpreter that take these steps in turn, as not every base has a shell; process 1 is the last one's in
    the end. It starts even if a step fails: the database may be another's."""
    return ("-c", _IN_TURN.format(first=[list(each) for each in before], last=list(last))) if before else last
