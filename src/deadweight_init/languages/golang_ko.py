"""Go without a Dockerfile: ko compiles the program and puts it on a base."""

from __future__ import annotations

from collections.abc import Sequence

from deadweight_init.languages import front_end, golang_generated
from deadweight_init.languages.common import exec_form, flow, is_owned, sequence
from deadweight_init.records import ImageWords, Project, Rung
from deadweight_init.tree import joined


def rung(project: Project, words: ImageWords, arguments: Sequence[str], copied: Sequence[tuple[str, str]]) -> Rung:
    """The rung. ``copied`` are files beside the binary: (source, absolute path in the image)."""
    main = project.details["main"]
    details = project.details
    keys = {"source": project.folder, "base": details.get("ko_base", "cgr.dev/chainguard/static:latest")}
    if "ko_config" in details:
        keys["config"] = details["ko_config"]
    if main != ".":
        keys["main"] = f"./{main}"
    if copied:
        keys["files"] = flow({target: joined(project.folder, source) for source, target in copied})
    if words.workdir != "/":
        keys["workdir"] = words.workdir
    run = {"env": flow(dict(words.env))} if words.env else {}
    if arguments:
        run["args"] = exec_form(tuple(arguments))
    if is_owned(project) and not copied:  # it has no way to make a folder that is another user's
        run["tmpfs"] = sequence(("/tmp", words.workdir))  # noqa: S108 - in the container
    if run:
        keys["run"] = "{" + ", ".join(f"{key}: {value}" for key, value in run.items()) + "}"
    return Rung(
        "ko",
        "ko",
        "no Dockerfile and no engine: ko compiles and puts the binary on a base",
        keys,
        (),
        _refused(project),
    )


def _refused(project: Project) -> str:
    """Why ko cannot build it; empty where it can."""
    if project.details["made"]:
        return "it has no go.mod, without which ko builds nothing (go mod init and go mod tidy make one)"
    if "front" in project.details:
        return front_end.FIRST
    if project.details["generated"]:
        return golang_generated.first(project.details["generated"].splitlines())
    return "the module needs cgo, but ko's base images have no C library" if project.details["cgo"] else ""
