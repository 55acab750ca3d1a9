"""Write the files that build a Go program: Dockerfile for any base, ko, melange with apko."""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from deadweight.builders.shared import generated_files
from deadweight_init.languages import common
from deadweight_init.records import ImageWords, Ladder, Project, Rung, Service, unwrapped
from deadweight_init.tree import joined


@dataclass(frozen=True)
class GoProject(Project):
    """``chosen`` is its main package, relative to the module. ``context`` is the folder that a build needs: the module's, or one
    above it that holds the folders which stand in for modules. ``whole``: an installation of modules needs more than ``go.mod``.
    ``ko`` is what the repository's own ``.ko.yaml`` says. ``zones``: it asks for time zones by their names.
    """

    binary: str = "service"
    context: str = "."
    whole: bool = False
    has_sum: bool = False
    cgo: bool = False
    zones: bool = False
    ko: Mapping[str, str] = field(default_factory=dict)

    @property
    def package(self) -> str:
        """The main package as Go's commands take it."""
        return "." if self.chosen == "." else f"./{self.chosen}"


_OF_BUILD = r"PATH|CGO_ENABLED|GO(?:EXPERIMENT|OS|ARCH|AMD64|PROXY|FLAGS|111MODULE|PATH|PRIVATE|SUMDB|TOOLCHAIN|\w*CACHE|BIN|ROOT)"
_CACHES = "--mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build"
_SUPERVISORS = re.compile(r"supervisord|s6-svscan|runsvdir|init|air|make|go|dlv|reflex")


@dataclass(frozen=True)
class _Given:
    """What the own image gives the program: arguments, variables, the folder that it starts in, and files (source, place)."""

    arguments: tuple[str, ...]
    env: dict[str, str]
    workdir: str
    files: tuple[tuple[str, str], ...]
    stop: str


def ladder(service: Service, project: GoProject, place: str, port: int) -> Ladder:
    """The binary on four bases, ko, and melange with apko. ``place`` is the folder for the files, relative to the suite."""
    given = _given(service, project)
    build = f"golang:{project.version.value}"
    dynamic = project.cgo
    bases = {
        "debian": (build, "debian:12-slim"),
        "alpine": (f"{build}-alpine" if dynamic else build, "alpine:3"),
        "chainguard": (build, f"cgr.dev/chainguard/{'glibc-dynamic' if dynamic else 'static'}:latest"),
        "distroless": (build, f"gcr.io/distroless/{'base' if dynamic else 'static'}-debian12:nonroot"),
    }
    lines = [*common.arguments(bases), *_build_stage(project), "", *_run_stage(project, given, port)]
    made = common.one_dockerfile(bases, "the binary alone", place, project.context, lines, ("**/*_test.go",))
    files = {f"{place}/melange.yaml": _melange(project, given), f"{place}/apko.yaml": _apko(project, given)}
    what = "no Dockerfile: melange makes an APK package, apko puts the image together from packages"
    keys = {"source": project.context, "config": f"{place}/apko.yaml", "packages": f"[{place}/melange.yaml]"}
    why = "the module needs cgo, but the packages to compile it with are unknown" if project.cgo else ""
    apko = Rung("apko", "apko", what, keys, tuple(files), why)
    return Ladder((*made.rungs, _ko(project, given), apko), {**made.files, **files})


def _given(service: Service, project: GoProject) -> _Given:
    own, words = service.own, common.own_words(service)
    files = list(_files(words, project)) if own and own.context == project.folder else []
    home = (
        words.workdir
        if "$" not in words.workdir and not re.match(r"/(?:root(?:/|$)|$)", words.workdir)
        else common.HOME
    )
    there = [source for source, _ in files]
    reads = [each for each in project.reads if not any(each == one or each.startswith(f"{one}/") for one in there)]
    if files and words.workdir == "/":
        home = "/"  # it may know them by their paths from there
    files += [(each, posixpath.join(home, each)) for each in reads]
    return _Given(_arguments(words, project), common.plain_env(words, _OF_BUILD), home, tuple(files), words.stop)


def _arguments(words: ImageWords, project: GoProject) -> tuple[str, ...]:
    """The arguments of its program, without what waits for others before it starts it."""
    program = words.program
    if "--" in program and posixpath.basename(program[0]) not in project.called:
        program = unwrapped(program[program.index("--") + 1 :])
    name = posixpath.basename(program[0]) if program else ""
    return () if _SUPERVISORS.fullmatch(name) and name not in project.called else program[1:]


def _files(words: ImageWords, project: GoProject) -> Iterator[tuple[str, str]]:
    """Files of the context beside the binary that the own image has."""
    if re.match(r"(?:.*/)?golang\b", words.base):  # it is compiled there, so they are what that needs
        return
    for source, target in words.copied:
        plain = posixpath.normpath(source.rstrip("/"))
        is_text = plain.upper().startswith(("LICENSE", "README")) or plain.endswith(".sh")
        if not (is_text or re.search(r"^\.\.?$|[*$]", plain) or posixpath.basename(plain) == project.binary):
            yield plain, target


def _inside(project: GoProject) -> str:
    """The module's folder, seen from the one that is built."""
    return posixpath.relpath(project.folder, project.context)


def _build_stage(project: GoProject) -> list[str]:
    inside = _inside(project)
    modules = [
        "# Modules first: an edit of the code does not fetch them again.",
        f"COPY go.mod {'go.sum ' if project.has_sum else ''}./",
        "RUN --mount=type=cache,target=/go/pkg/mod go mod download",
    ]
    tags = " -tags timetzdata" if project.zones else ""
    empty = f" && mkdir {common.EMPTY}" if project.owned else ""
    return [
        "FROM ${BUILD} AS build",
        "WORKDIR /src",
        *([] if project.whole else modules),
        "COPY . .",
        *([f"WORKDIR /src/{inside}"] if inside != "." else []),
        "# The module needs cgo." if project.cgo else "# The binary needs no C library, so that it runs on every base.",
        f"RUN {_CACHES} \\",
        f"    CGO_ENABLED={int(project.cgo)} go build -trimpath{tags} -ldflags='-s -w' -o /out/{project.binary} \\",
        f"    {project.package}{empty}",
    ]


def _run_stage(project: GoProject, given: _Given, port: int) -> Iterator[str]:
    program = f"/usr/local/bin/{project.binary}"
    beside = (
        f"{posixpath.normpath(posixpath.join(_inside(project), source))} {place}" for source, place in given.files
    )
    copies = [f"--from=build /out/{project.binary} {program}", *beside]
    if project.owned:
        copies.insert(0, f"--from=build {common.EMPTY} {given.workdir}")
    first, *rest = common.run_stage(
        project, port, (program, *given.arguments), copies, env=given.env, workdir=given.workdir, stop=given.stop
    )
    yield from (first, *common.CERTIFICATES, *rest)


def _ko(project: GoProject, given: _Given) -> Rung:
    """The rung without a Dockerfile and an engine."""
    keys = {"source": project.folder, "base": project.ko.get("base", "cgr.dev/chainguard/static:latest")}
    if "config" in project.ko:
        keys["config"] = project.ko["config"]
    if project.chosen != ".":
        keys["main"] = project.package
    if given.files:
        keys["files"] = common.flow({place: joined(project.folder, source) for source, place in given.files})
    if given.workdir != common.HOME or given.files:
        keys["workdir"] = given.workdir
    run = {"env": common.flow(given.env)} if given.env else {}
    if given.arguments:
        run["args"] = common.exec_form(given.arguments)
    if project.owned and not given.files:  # it has no way to make a folder that is another user's
        run["tmpfs"] = common.sequence(("/tmp", given.workdir))  # noqa: S108 - in the container
    if run:
        keys["run"] = "{" + ", ".join(f"{key}: {value}" for key, value in run.items()) + "}"
    why = "the module needs cgo, but ko's base images have no C library" if project.cgo else ""
    return Rung("ko", "ko", "no Dockerfile and no engine: ko compiles and puts the binary on a base", keys, (), why)


def _package(project: GoProject) -> str:
    """A name of its own: a distribution may have a package of the service's name, and a later version of it."""
    return f"{project.binary.lower()}-from-source"


def _melange(project: GoProject, given: _Given) -> str:
    inside = _inside(project)
    root = "" if inside == "." else f", modroot: {common.scalar(inside)}"
    tags = ", tags: timetzdata" if project.zones else ""
    lines = [
        generated_files.MELANGE,
        "package:",
        f"  name: {common.scalar(_package(project))}",
        "  version: 0.0.1",
        "  epoch: 0",
        f"  description: {common.scalar(project.name)}",
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
        f"    with: {{packages: {project.package}, output: {common.scalar(project.binary)}, strip: -s -w{tags}{root}}}",
    ]
    if given.files:
        lines += ["  # Files that the service reads beside its binary.", "  - runs: |"]
    for source, place in given.files:
        into = "${{targets.destdir}}"
        lines += [
            f'      mkdir -p "{into}{posixpath.dirname(place)}"',
            f'      cp -r {shlex.quote(posixpath.normpath(posixpath.join(inside, source)))} "{into}{place}"',
        ]
    return "\n".join(lines) + "\n"


def _apko(project: GoProject, given: _Given) -> str:
    zones = ", tzdata" if project.zones else ""
    lines = [
        generated_files.APKO,
        "contents:",
        f"  packages: [wolfi-baselayout, ca-certificates-bundle{zones}, {_package(project)}]",
        "",
        "accounts:",
        "  groups: [{groupname: nonroot, gid: 65532}]",
        "  users: [{username: nonroot, uid: 65532, gid: 65532, shell: /sbin/nologin}]",
        '  run-as: "65532"',
        "",
        "entrypoint:",
        f"  command: /usr/bin/{project.binary}",
        *([f"cmd: {common.scalar(shlex.join(given.arguments))}"] if given.arguments else []),
        *([f"work-dir: {given.workdir}"] if given.files or project.owned or given.workdir != common.HOME else []),
    ]
    if project.owned:
        owner = "uid: 65532, gid: 65532, permissions: 0o755"
        lines += ["", "# It writes there.", f"paths: [{{path: {given.workdir}, type: directory, {owner}}}]"]
    if given.env:
        lines += ["", "environment:", *(f"  {name}: {common.scalar(value)}" for name, value in given.env.items())]
    return "\n".join(lines) + "\n"
