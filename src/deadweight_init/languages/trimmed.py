"""A rung for services whose own build does more than a generated one can know: what their own image runs, on a minimal base.

The own Dockerfile goes in front as it is, and one stage after it: only what its last stage copied in, and the language's base.
"""

from __future__ import annotations

import posixpath
import re

from deadweight_init.languages.common import HEADER, copied, env_lines, exec_form, flow, placed
from deadweight_init.languages.java_versions import SUPPORTED
from deadweight_init.languages.python_dockerfile import entry
from deadweight_init.records import ImageWords, Project, Rung, Service

OWN = "own-image"
TRIMMED = "trimmed"
COMPILED = ("go", "rust")
"""Of these the other rungs hold all that this one would; it is for repositories whose own build does more than compile."""


def rung(service: Service, project: Project, place: str, port: int, text: str) -> tuple[Rung, dict[str, str]] | None:
    """The rung and its file; None where there is no own Dockerfile, or where what it starts cannot be told."""
    own = service.own
    if own is None or own.refused or not own.words.taken or project.language == "static":
        return None
    if not (own.words.program if project.language in COMPILED else own.words.words):
        return None
    if project.language not in COMPILED and own.words.words[:1] == ("/bin/sh",):
        return None
    if (".", "/") in own.words.copied:  # then its files lie among the base's own
        return None
    named = _named(text)
    base = _base(project, own.words.base)
    if named is None or base is None:
        return None
    dockerfile = f"{place}/trimmed.Dockerfile"
    keys = {"dockerfile": dockerfile, "bases": flow({"BASE": base})}
    if own.context != ".":
        keys["source"] = own.context
    found = Rung(TRIMMED, "dockerfile", f"what {own.path} puts in, on a minimal base", keys, (dockerfile,))
    return found, {dockerfile: _text(service, project, named, port, base)}


_ENVIRONMENTS = (
    r"(?:-m\s+venv|\bvirtualenv|\buv\s+venv)\s+(?:-\S+\s+)*([\w./-]+)",
    r"^\s*ENV\s.*\bVIRTUAL_ENV[= ]\"?([\w./-]+)",
    r"^\s*ENV\s.*\bPATH[= ]\"?(/[\w./-]+)/bin:",
)
"""How a Dockerfile says where its virtual environment is: made there, named, or put in front of PATH."""

_IN_PLACE = re.compile(r"\buv sync\b|POETRY_VIRTUALENVS_IN_PROJECT|virtualenvs\.in-project")
"""What makes one in the folder of the project, ``.venv``, where nothing says another one."""

_SYSTEM = ("/usr", "/usr/local", "/root/.local")


def _environments(text: str, words: ImageWords) -> list[str]:
    """The folders of virtual environments, absolute."""
    said = [each[1] for pattern in _ENVIRONMENTS for each in re.finditer(pattern, text, re.MULTILINE)]
    said += [words.env[name] for name in ("VIRTUAL_ENV", "UV_PROJECT_ENVIRONMENT") if words.env.get(name)]
    own = posixpath.join(words.workdir, ".venv")
    named = "UV_PROJECT_ENVIRONMENT" in words.env
    if not named and _IN_PLACE.search(text) and any(own.startswith(f"{path.rstrip('/')}/") for path in words.taken):
        said.append(own)
    found = dict.fromkeys(posixpath.normpath(posixpath.join(words.workdir, each)) for each in said if "$" not in each)
    return [each for each in found if each not in _SYSTEM]


def _base(project: Project, own: str) -> str | None:
    version = project.version.value
    if project.language == "node":
        version = version.partition(".")[0]
        even = version if version in ("18", "20", "22", "24") else "22"
        return f"gcr.io/distroless/nodejs{even}-debian12:nonroot"
    if project.language == "java":
        kept_up = int(version) in SUPPORTED
        return f"gcr.io/distroless/java{version}-debian12:nonroot" if kept_up else f"eclipse-temurin:{version}-jre"
    if project.language == "python":
        return f"python:{version}-{'alpine' if 'alpine' in own else 'slim'}"  # what was compiled fits one libc
    if project.language == "go":
        return f"gcr.io/distroless/{'base' if project.details['cgo'] else 'static'}-debian12:nonroot"
    return "gcr.io/distroless/cc-debian12:nonroot"


def _named(text: str) -> str | None:
    """The Dockerfile with a name for its last stage."""
    last = list(re.finditer(r"^[ \t]*FROM[ \t]+[^\n]*$", text, re.MULTILINE | re.IGNORECASE))
    if not last:
        return None
    line = last[-1]
    if re.search(r"\sAS\s+\S+\s*$", line[0], re.IGNORECASE):
        head = re.sub(r"(\sAS\s+)\S+\s*$", rf"\g<1>{OWN}", line[0], flags=re.IGNORECASE)
    else:
        head = f"{line[0].rstrip()} AS {OWN}"
    return f"{text[: line.start()]}{head}{text[line.end() :]}"


def _as_node(own: tuple[str, ...], project: Project) -> tuple[str, ...]:
    """What the own image starts, whose files may lie elsewhere than in the repository; npm is not on the base."""
    starts = own[:1] and posixpath.basename(own[0]) == "node"
    return ("node", *(own[1:] if starts else project.start))


def _text(service: Service, project: Project, named: str, port: int, base: str) -> str:
    own = service.own
    assert own is not None
    words = own.words
    packages = f"/usr/local/lib/python{project.version.value}/site-packages"
    python, node = project.language == "python", project.language == "node"
    environments = _environments(named, words) if python else []
    beside = [each for each in environments if not any(f"{each}/".startswith(f"{path}/") for path in words.taken)]
    taken = list(dict.fromkeys([*words.taken, *beside, *([packages] if python else [])]))
    paths = ":".join([*(f"{each}/lib/python{project.version.value}/site-packages" for each in environments), packages])
    env = {name: value for name, value in words.env.items() if name not in ("PATH", "PYTHONPATH")}
    compiled = words.program if project.language in COMPILED else words.words
    start = ("python3", *entry(project, port)) if python else _as_node(words.words, project) if node else compiled
    before = [
        *(['ENV PATH="/usr/local/bin:/usr/bin:/bin:/nodejs/bin"'] if node else []),
        *([f"ENV PYTHONPATH={paths} PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1"] if python else []),
        *env_lines(env),
    ]
    lines = [
        HEADER,
        f"# From here to the last stage it is {own.path}, as it is.",
        f"ARG BASE={base}",
        "",
        named.strip(),
        "",
        "# Only what the stage before copied in; its package manager, shell and caches stay behind.",
        "FROM ${BASE}",
        *placed(project, words.workdir, before, [copied(project, f"--from={OWN} {path}", path) for path in taken]),
        "USER 65532:65532",
        f"EXPOSE {port}",
        f"ENTRYPOINT {exec_form(start)}",
    ]
    return "\n".join(lines) + "\n"
