"""Go as an APK package: melange makes it, apko puts the image together from packages."""

from __future__ import annotations

import posixpath
import shlex
from collections.abc import Sequence

from deadweight.builders.shared import generated
from deadweight_init.languages import front_end, golang_generated
from deadweight_init.languages.common import ZONES, is_owned, scalar
from deadweight_init.languages.golang_dockerfile import context_of
from deadweight_init.records import ImageWords, Project, Rung

MELANGE_HEADER, APKO_HEADER = generated.MELANGE, generated.APKO
"""First lines of the files that init writes, by which it knows them again."""


def rung(
    project: Project, words: ImageWords, arguments: Sequence[str], copied: Sequence[tuple[str, str]], place: str
) -> tuple[Rung, dict[str, str]]:
    """The rung and its two files. ``copied`` are files beside the binary: (source, absolute path in the image)."""
    refused = "the module needs cgo, but the packages to compile it with are unknown" if project.details["cgo"] else ""
    if project.details["made"]:
        refused = "it has no go.mod, without which melange builds nothing (go mod init and go mod tidy make one)"
    if "front" in project.details:
        refused = front_end.FIRST
    if project.details["generated"]:
        refused = golang_generated.first(project.details["generated"].splitlines())
    context = context_of(project)
    files = {
        f"{place}/melange.yaml": _melange(project, copied, posixpath.relpath(project.folder, context)),
        f"{place}/apko.yaml": _apko(project, words, arguments),
    }
    keys = {"source": context, "config": f"{place}/apko.yaml", "packages": f"[{place}/melange.yaml]"}
    what = "no Dockerfile: melange makes an APK package, apko puts the image together from packages"
    return Rung("apko", "apko", what, keys, tuple(files), refused), files


def _package(project: Project) -> str:
    """A name of its own: a distribution may have a package of the service's name, and a later version of it."""
    return f"{project.details['binary'].lower()}-from-source"


def _melange(project: Project, copied: Sequence[tuple[str, str]], module: str) -> str:
    """``module`` is the module's folder in the workspace, which holds those that stand in for modules of it too."""
    details = project.details
    root = "" if module == "." else f", modroot: {scalar(module)}"
    tags = f", tags: {scalar(details['tags'])}" if details["tags"] else ""
    main = "." if details["main"] == "." else f"./{details['main']}"
    lines = [
        MELANGE_HEADER,
        "package:",
        f"  name: {scalar(_package(project))}",
        "  version: 0.0.1",
        "  epoch: 0",
        f"  description: {scalar(project.name)}",
        "  copyright:",
        "    - license: NOASSERTION",
        "",
        "environment:",
        "  contents:",
        "    packages: [busybox, ca-certificates-bundle, go, wolfi-baselayout]",
        '  environment: {CGO_ENABLED: "0", GOTOOLCHAIN: local, GOFLAGS: -buildvcs=false, GOCACHE: /var/cache/melange/go-build}',
        "",
        "pipeline:",
        "  - uses: go/build",
        f"    with: {{packages: {main}, output: {scalar(details['binary'])}, strip: -s -w{tags}{root}}}",
    ]
    if copied:
        lines += ["  # Files that the service reads beside its binary.", "  - runs: |"]
    for source, target in copied:
        into = f'"${{{{targets.destdir}}}}{target}"'
        lines += [
            f'      mkdir -p "${{{{targets.destdir}}}}{posixpath.dirname(target)}"',
            f"      cp -r {shlex.quote(posixpath.normpath(posixpath.join(module, source)))} {into}",
        ]
    return "\n".join(lines) + "\n"


def _apko(project: Project, words: ImageWords, arguments: Sequence[str]) -> str:
    zones = ", tzdata" if ZONES in project.details else ""
    lines = [
        APKO_HEADER,
        "contents:",
        f"  packages: [wolfi-baselayout, ca-certificates-bundle{zones}, {_package(project)}]",
        "",
        "accounts:",
        "  groups: [{groupname: nonroot, gid: 65532}]",
        "  users: [{username: nonroot, uid: 65532, gid: 65532, shell: /sbin/nologin}]",
        '  run-as: "65532"',
        "",
        "entrypoint:",
        f"  command: /usr/bin/{project.details['binary']}",
    ]
    if arguments:
        lines.append(f"cmd: {scalar(shlex.join(arguments))}")
    if words.workdir != "/":
        lines.append(f"work-dir: {words.workdir}")
    if is_owned(project):
        owner = "uid: 65532, gid: 65532, permissions: 0o755"
        lines += ["", "# It writes there.", f"paths: [{{path: {words.workdir}, type: directory, {owner}}}]"]
    env = {name: value for name, value in words.env.items() if name != "PATH"}
    if env:
        lines += ["", "environment:", *(f"  {name}: {scalar(value)}" for name, value in env.items())]
    return "\n".join(lines) + "\n"
