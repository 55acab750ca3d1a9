"""Python: requirements, Poetry, uv, Pipenv or a plain project; FastAPI, Flask, Django or a script."""

from __future__ import annotations

import json
import posixpath
import re

from deadweight_init.languages import python_bare, python_lists, python_scripts, python_start
from deadweight_init.languages.common import dockerignore, rungs_on
from deadweight_init.languages.python_code import framework, inside
from deadweight_init.languages.python_dockerfile import dockerfile
from deadweight_init.languages.python_start import Start
from deadweight_init.languages.python_versions import pair, version_of
from deadweight_init.languages.sources import scan
from deadweight_init.records import ImageWords, Known, Ladder, Project, Service
from deadweight_init.tree import Tree, aside, joined

_PORTS = {"asgi": 8000, "flask": 5000, "django": 8000, "dash": 8050, "streamlit": 8501}


def find(tree: Tree, folder: str, words: ImageWords | None) -> Project | None:
    """The Python project of a folder."""
    told = python_lists.told_list(tree, folder, words)
    kind = python_lists.kind_of(tree, folder, told)
    bare = python_bare.packages(tree, folder) if kind is None and framework(tree, folder)[0] else []
    if kind is None and not bare:
        return None
    kind = kind or "bare"
    first = (told or python_lists.list_of(tree, folder)) if kind == "pip" else None
    start = python_start.start(tree, folder, words, python_lists.texts_of(tree, folder, first))
    where = inside(tree, folder, python_scripts.named(start.words, kind))
    lists = python_lists.closure(tree, folder, first) if first else python_lists.LOCKS
    ports, health = scan(tree, _sources(tree, folder))
    extra = [*_extra(tree, folder, start.words, first, bare), *python_lists.binary_of_psycopg(tree, folder, first)]
    return Project(
        language="python",
        kind=kind,
        folder=folder,
        name=posixpath.basename(folder) if folder != "." else tree.root.name,
        version=version_of(tree, folder, words, lists),
        start=start.words,
        ports=_ports(start, ports),
        health=health,
        details={
            **_of_lists(tree, folder, first),
            **_of_start(start),
            "extra": " ".join(extra),
            "made": " ".join(bare),
            **({"says_version": "1"} if _reads_version(tree, folder) else {}),
            "inside": where,
            "collects": "1" if _collects(tree, joined(folder, where)) else "",
            "paths": (words.env.get("PYTHONPATH", "") if words else ""),
        },
        problem="" if start.words else "cannot determine how it is started: no CMD, Procfile, main.py or app",
    )


def _ports(start: Start, written: tuple[Known[int], ...]) -> tuple[Known[int], ...]:
    """The port of its start command before those that its files name; else the usual one of its framework."""
    known = (*([Known(start.port, "from its start command")] if start.port else []), *written)
    return known or ((Known(_PORTS[start.code]),) if start.code in _PORTS else ())


def _of_lists(tree: Tree, folder: str, first: str | None) -> dict[str, str]:
    """What its packages ask of a build. ``first`` is the list of pip's."""
    return {
        "list": first or "",
        "includes": "\n".join(python_lists.includes(tree, folder, first)),
        "psycopg2": " ".join(python_lists.compiled_against_libpq(tree, folder, first)),
        "libpq": "1" if python_lists.names_psycopg2(tree, folder, first) else "",
        "older_psycopg2": "1" if python_lists.before_binary(tree, folder, first) else "",
        **({"compiler": "1"} if python_lists.must_compile(tree, folder, first) else {}),
        **({"git": "1"} if python_lists.from_git(tree, folder, first) else {}),
    }


def _of_start(start: Start) -> dict[str, str]:
    return {
        "before": json.dumps(start.before) if start.before else "",
        "may_fail": "1" if start.may_fail else "",
        "by_code": "1" if start.by_code else "",
    }


def _sources(tree: Tree, folder: str) -> list[str]:
    return sorted(tree.below(folder, ".py", ".toml", ".cfg", "Procfile"), key=lambda path: (path.count("/"), path))


def _collects(tree: Tree, folder: str) -> bool:
    """Whether it is a Django project that gathers its static files in a folder (STATIC_ROOT) before it serves them."""
    settings = (path for path in tree.below(folder, ".py") if "settings" in path and not aside(path))
    told = (re.search(r"^STATIC_ROOT\s*=", tree.text(path), re.MULTILINE) for path in settings)
    return "django" in tree.text(joined(folder, "manage.py")).lower() and any(told)


def _reads_version(tree: Tree, folder: str) -> bool:
    """Whether the code reads the variable that the official images of Python set, and others do not."""
    return any("PYTHON_VERSION" in tree.text(path) for path in tree.below(folder, ".py") if not aside(path))


def _extra(tree: Tree, folder: str, start: tuple[str, ...], first: str | None, bare: list[str]) -> list[str]:
    """The server that the start command names, where what is installed does not ask for it. ``first`` is the list of pip's."""
    if (
        start[:1] != ("-m",) or start[1] not in python_start.MODULES
    ):  # an older server's module is listed with its version
        return []
    others = ["pyproject.toml", "Pipfile", "setup.py", "setup.cfg", "uv.lock", "poetry.lock", "pdm.lock"]
    names = python_lists.closure(tree, folder, first) if first else others
    said = "\n".join(tree.text(joined(folder, name)).lower() for name in names)
    return [] if start[1] in said or start[1] in bare else [start[1]]


def _distroless(version: Known[str], whole: str) -> tuple[str, str]:
    """Distroless brings Debian's own Python, 3.11 or 3.13, so what is compiled for it is compiled with that one. 3.13 is for what
    an earlier one is ruled out for: 3.12 as the project's lower bound, or later ones."""
    later = pair(version.value) >= (3, 13) or (pair(version.value) == (3, 12) and "pyproject.toml" in version.origin)
    release, own = ("13", "3.13") if later else ("12", "3.11")
    return f"python:{own}{whole}", f"gcr.io/distroless/python3-debian{release}:nonroot"


def ladder(service: Service, project: Project, place: str, port: int, health: str | None) -> Ladder:
    """Multi-stage on Debian, Alpine, Chainguard and distroless."""
    version = project.version.value
    slim, alpine = f"python:{version}-slim", f"python:{version}-alpine"
    whole = "" if "compiler" in project.details else "-slim"  # the whole image has compilers, and headers of databases
    bases = {
        "debian": (f"python:{version}{whole}", slim),
        "alpine": (alpine, alpine),
        "chainguard": ("cgr.dev/chainguard/python:latest-dev", "cgr.dev/chainguard/python:latest"),
        "distroless": _distroless(project.version, whole),
    }
    files = {
        f"{place}/Dockerfile": dockerfile(service, project, port, health),
        f"{place}/Dockerfile.dockerignore": dockerignore("python", place),
    }
    return Ladder(tuple(rungs_on(bases, "the service and its packages", f"{place}/Dockerfile", project.folder)), files)
