"""What the ladders of all languages share."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping

from deadweight.builders.shared import generated
from deadweight_init.records import Project, Rung

HEADER = generated.DOCKERFILE
"""The first line of every Dockerfile that init writes, by which it knows them again."""

_IGNORED = {
    "": (".git", ".deadweight", ".venv", "venv", "deadweight.yaml", "**/__pycache__"),
    "go": ("**/*_test.go", "**/node_modules"),
    "python": (".pytest_cache", ".mypy_cache", ".tox", "**/*.pyc"),
    "node": ("node_modules", "coverage"),
    "java": ("target", "build", ".gradle", "src/test"),
    "rust": ("target",),
    "static": ("tasks.py", "noxfile.py", ".github", ".gitignore", "README*"),
}


def dockerignore(language: str, place: str) -> str:
    """What a build does not read; it lies beside the Dockerfile, so it is for this one alone."""
    lines = [
        "# Not in the build context: what no build reads, and what would make every build a new one.",
        *_IGNORED[""],
    ]
    lines += [place, "**/Dockerfile*", ".env", *_IGNORED[language]]
    return "\n".join(lines) + "\n"


_NONE: Mapping[str, str] = {}
SHOWN = {
    "debian": "a complete small distribution",
    "alpine": "musl and busybox",
    "chainguard": "Chainguard's minimal base, no shell",
    "distroless": "Google's distroless base, no shell",
}


def rungs_on(
    bases: Mapping[str, tuple[str, str]], what: str, dockerfile: str, source: str, more: Mapping[str, str] = _NONE
) -> Iterator[Rung]:
    """One rung for each base of one Dockerfile that takes them as ARGs; ``more`` are bases that all have."""
    for name, (build, base) in bases.items():
        keys = {"dockerfile": dockerfile, "source": source, "bases": flow({**more, "BUILD": build, "BASE": base})}
        files = (dockerfile, f"{dockerfile}.dockerignore")
        yield Rung(name, "dockerfile", f"{what} on {SHOWN[name]}", keys, files)


def flow(mapping: Mapping[str, str]) -> str:
    """A mapping of texts in YAML's flow style."""
    return "{" + ", ".join(f"{key}: {scalar(value)}" for key, value in mapping.items()) + "}"


def sequence(texts: Iterable[str]) -> str:
    """Texts in YAML's flow style."""
    return "[" + ", ".join(map(scalar, texts)) + "]"


def scalar(text: str) -> str:
    """A text as a YAML scalar, quoted where it would be taken for anything else."""
    plain = re.fullmatch(r"[A-Za-z_./][A-Za-z0-9_./-]*", text)
    words = ("true", "false", "yes", "no", "on", "off", "null", "y", "n", "~")
    return text if plain and text.lower() not in words else json.dumps(text, ensure_ascii=False)


OWNED = "owned"
"""The detail of a project that writes into its own folder, as was seen: then the files there are the service's user's."""


DEAF = "deaf"
"""The detail of a project in Python or for Node that does not end at SIGTERM as process 1, as was seen."""

ENDS = "# As process 1 {} does not end at SIGTERM by itself; where the program does not see to that, this does."

HOME = "home"
"""The detail of a compiled program that is started in a folder of its own, as a file that it reads is looked for there."""


def home_of(project: Project, workdir: str, *, filled: bool) -> str:
    """The folder in which a compiled program is started: the root, unless files are there (``filled``) or it writes there. The home
    of root is nobody else's to read."""
    wanted = filled or is_owned(project) or HOME in project.details
    return "/" if not wanted else workdir if workdir != "/" and not re.match(r"/root(?:/|$)", workdir) else "/app"


ZONES = "zones"
"""The detail of a Go program that asks for time zones by their names."""

EMPTY = "/empty"
"""A folder of the build stage, out of which a folder that is the service's user's is made without a shell."""


def own_folder(project: Project, home: str) -> list[str]:
    """The instructions that make the folder in which a compiled program is started."""
    if home == "/":
        return []
    made = [
        "# It writes into the folder that it is started in, so that is its user's.",
        copied(project, f"--from=build {EMPTY}", home),
    ]
    return [*(made if is_owned(project) else []), f"WORKDIR {home}"]


AS_ROOT = (
    "# Some bases for building start as another user; only this stage is root's.",
    "USER root",
)
CERTIFICATES = (
    "# For outgoing TLS; not every base has them.",
    "COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt",
)


def unprivileged(port: int) -> list[str]:
    """The user that a service runs as, and the port that it listens on."""
    return [
        "# By number: no base needs to know the user, and Kubernetes can see that it is not root.",
        "USER 65532:65532",
        f"EXPOSE {port}",
    ]


def is_owned(project: Project) -> bool:
    """Whether the service's files are to be its user's."""
    return OWNED in project.details


def copied(project: Project, source: str, target: str) -> str:
    """A COPY of the service's own files out of another stage, or of the context (``source`` without ``--from=``)."""
    owner = "--chown=65532:65532 " if is_owned(project) else ""
    return f"COPY {owner}{source} {target}"


def placed(project: Project, workdir: str, before: Iterable[str], copies: Iterable[str]) -> list[str]:
    """WORKDIR and what follows it. Where the files are the user's, COPY makes the folder, and makes it the user's too."""
    if is_owned(project):
        return [*before, *copies, f"WORKDIR {workdir}"]
    return [f"WORKDIR {workdir}", *before, *copies]


def exec_form(words: tuple[str, ...]) -> str:
    """A JSON list for ENTRYPOINT and CMD."""
    return json.dumps(list(words), ensure_ascii=False)


def env_lines(env: Mapping[str, str]) -> list[str]:
    """ENV instructions."""
    return [f"ENV {name}={_word(value)}" for name, value in env.items()]


def stop_line(signal: str) -> list[str]:
    """STOPSIGNAL, where the own image has one."""
    told = ["# As in the repository's own image: it ends at this signal.", f"STOPSIGNAL {signal}"]
    return told if re.fullmatch(r"[A-Z0-9+]+", signal) and signal not in ("SIGTERM", "15") else []


def _word(value: str) -> str:
    return json.dumps(value, ensure_ascii=False) if re.search(r"[\s\"'#\\]", value) or not value else value
