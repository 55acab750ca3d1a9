"""Detect a Go module, choose which main package goes in the image, and write what builds it: Dockerfile, ko, melange with apko."""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from deadweight.builders import protocol
from deadweight_init.languages import common
from deadweight_init.languages.protocol import Facts, Language
from deadweight_init.languages.sources import read_at_run_time, scan
from deadweight_init.records import ImageWords, Known, Ladder, Project, Rung, Service, numbers, unwrapped, wording
from deadweight_init.tree import Tree, as_mappings, aside, folder_of, joined


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
class _OwnImage:
    """What the own image gives the program: arguments, variables, the folder that it starts in, and files (source, place)."""

    arguments: tuple[str, ...]
    env: dict[str, str]
    workdir: str
    files: tuple[tuple[str, str], ...]
    stop: str


def _own_image(service: Service, project: GoProject) -> _OwnImage:
    own, words = service.own, common.image_words(service)
    files = list(_files(words, project)) if own and own.context == project.folder else []
    is_plain = "$" not in words.workdir and not re.match(r"/(?:root(?:/|$)|$)", words.workdir)
    home = words.workdir if is_plain else common.HOME
    there = [source for source, _ in files]
    reads = [path for path in project.reads if not any(path == one or path.startswith(f"{one}/") for one in there)]
    if files and words.workdir == "/":
        home = "/"  # it may know them by their paths from there
    files += [(path, posixpath.join(home, path)) for path in reads]
    return _OwnImage(_arguments(words, project), common.plain_env(words, _OF_BUILD), home, tuple(files), words.stop)


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


def _run_stage(project: GoProject, image: _OwnImage, port: int) -> Iterator[str]:
    program = f"/usr/local/bin/{project.binary}"
    inside = _inside(project)
    beside = (f"{posixpath.normpath(posixpath.join(inside, source))} {place}" for source, place in image.files)
    copies = [f"--from=build /out/{project.binary} {program}", *beside]
    if project.owned:
        copies.insert(0, f"--from=build {common.EMPTY} {image.workdir}")
    first, *rest = common.run_stage(
        project, port, (program, *image.arguments), copies, env=image.env, workdir=image.workdir, stop=image.stop
    )
    yield from (first, *common.CERTIFICATES, *rest)


def _ko(project: GoProject, image: _OwnImage) -> Rung:
    """The rung without a Dockerfile and an engine."""
    keys: dict[str, Any] = {
        "source": project.folder,
        "base": project.ko.get("base", "cgr.dev/chainguard/static:latest"),
    }
    if "config" in project.ko:
        keys["config"] = project.ko["config"]
    if project.chosen != ".":
        keys["main"] = project.package
    if image.files:
        keys["files"] = {place: joined(project.folder, source) for source, place in image.files}
    if image.workdir != "/" and (image.workdir != common.HOME or image.files):  # that is the base's own
        keys["workdir"] = image.workdir
    run: dict[str, Any] = {"env": image.env} if image.env else {}
    if image.arguments:
        run["args"] = list(image.arguments)
    if project.owned and not image.files:  # it has no way to make a folder that is another user's
        run["tmpfs"] = ["/tmp", image.workdir]  # noqa: S108 - in the container
    if run:
        keys["run"] = run
    return Rung("ko", "ko", wording("rung.ko"), keys, (), wording("refused.no_c_library") if project.cgo else "")


def _package(project: GoProject) -> str:
    """A name of its own: a distribution may have a package of the service's name, and a later version of it."""
    return f"{project.binary.lower()}-from-source"


def _melange(project: GoProject, image: _OwnImage) -> str:
    inside = _inside(project)
    root = "" if inside == "." else f", modroot: {common.scalar(inside)}"
    tags = ", tags: timetzdata" if project.zones else ""
    lines = [
        protocol.MELANGE,
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
    if image.files:
        lines += ["  # Files that the service reads beside its binary.", "  - runs: |"]
    for source, place in image.files:
        into = "${{targets.destdir}}"
        lines += [
            f'      mkdir -p "{into}{posixpath.dirname(place)}"',
            f'      cp -r {shlex.quote(posixpath.normpath(posixpath.join(inside, source)))} "{into}{place}"',
        ]
    return "\n".join(lines) + "\n"


def _apko(project: GoProject, image: _OwnImage) -> str:
    zones = ", tzdata" if project.zones else ""
    lines = [
        protocol.APKO,
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
        *([f"cmd: {common.scalar(shlex.join(image.arguments))}"] if image.arguments else []),
        *([f"work-dir: {image.workdir}"] if image.files or project.owned or image.workdir != common.HOME else []),
    ]
    if project.owned:
        owner = "uid: 65532, gid: 65532, permissions: 0o755"
        lines += ["", "# It writes there.", f"paths: [{{path: {image.workdir}, type: directory, {owner}}}]"]
    if image.env:
        lines += ["", "environment:", *(f"  {name}: {common.scalar(value)}" for name, value in image.env.items())]
    return "\n".join(lines) + "\n"


_LEAST = tuple(re.compile(rf"^{word}(\d+\.\d+)", re.MULTILINE) for word in ("toolchain go", "go "))
_MAIN = re.compile(r"^package main\b", re.MULTILINE)
_SERVES = re.compile(
    r"\"(net/http|net|google\.golang\.org/grpc|github\.com/(gin-gonic|labstack|gofiber|go-chi)/[^\"]+)\""
)
_NOT_BUILT = re.compile(r"^//go:build (?!(?:linux|unix|amd64|arm64|cgo|gc|go1\.\d+|!\w+)\s*$)", re.MULTILINE)
"""A constraint under which a plain build for Linux leaves a file out, as far as it can be told."""

_CGO = re.compile(
    r"^import \"C\"|^\s+\"C\"$|\"(?:gorm\.io/driver/sqlite|github\.com/(?:mattn/go-sqlite3|jinzhu/gorm/dialects/sqlite))\"",
    re.MULTILINE,
)
_BUILDS = r"(?:Dockerfile|Containerfile)(?:[.-][\w.-]+)?|Makefile|\.goreleaser\.ya?ml"
_CGO_SAID = re.compile(r"CGO_ENABLED\s*[:?]?[=:\s]\s*[\"']?([01])")
_OUTPUT = re.compile(r"\bgo\s+build\b[^\n&|;]*?\s-o[= ]+[\"']?[\w./$(){}-]*?([\w-]+)[\"']?(?=\s|$)")
_PACKAGE = re.compile(r"\bgo\s+(?:build|install)\b[^\n&|;]*\s(\.(?:/[\w.-]+)*)/?[\"']?\s*(?=$|[&|;\n])", re.MULTILINE)
_ZONES = re.compile(r"\btime\.LoadLocation\(|[\"'&?]loc=")


_KO = (".ko.yaml", "ko.yaml")


def _own_ko(tree: Tree, folder: str) -> dict[str, str]:
    """``config``, ``base`` and ``main`` of the ko.yaml of a module; empty without one. Bases of its own for single programs are
    the suite's to say: such a file is not handed on."""
    path = next((file for name in _KO if (file := joined(folder, name)) in tree.files), None)
    document = tree.data[path] if path else {}
    if path is None or not document:
        return {}
    mains = [str(build.get("main") or ".") for build in as_mappings(document.get("builds"))]
    settings = {
        "config": "" if document.get("baseImageOverrides") else path,
        "base": str(document.get("defaultBaseImage") or ""),
        "main": posixpath.normpath(mains[0]) if len(mains) == 1 else "",
    }
    return {name: value for name, value in settings.items() if value}


def _ko_main(settings: Mapping[str, str], mains: Sequence[str], words: ImageWords | None) -> str | None:
    """The one program of the repository's own ko.yaml; what the own image starts goes before it."""
    name = settings.get("main")
    return name if name in mains and not (words and words.program) else None


class Go:
    """The language Go."""

    facts = Facts((r"go\.mod",), (".go",), "golang")

    def find(self, tree: Tree, folder: str, words: ImageWords | None, main: str | None) -> GoProject | None:
        """The module in a folder, with the program that becomes the image."""
        file = joined(folder, "go.mod")
        if file not in tree.files:
            return None
        text = tree.texts[file]
        path = re.search(r"^module\s+(\S+)", text, re.MULTILINE)
        name = posixpath.basename(re.sub(r"/v\d+$", "", path[1] if path else "service"))
        builds = "\n".join(tree.texts[path] for path in tree.named[_BUILDS] if folder_of(path) in (".", folder))
        builds = builds.replace("\\\n", " ")
        own_ko = _own_ko(tree, folder)
        mains = tuple(_mains(tree, folder))
        asked = _named(mains, main) if main else _ko_main(own_ko, mains, words)
        first = {posixpath.basename(word) for word in words.program[:3]} if words else set[str]()
        chosen = asked or ("" if main else _likeliest(tree, folder, name, mains, first, builds))
        sources = [path for path in tree.below(folder, ".go") if not path.endswith("_test.go") and not aside(path)]
        code = [tree.texts[path] for path in sources]
        cgo = set(_CGO_SAID.findall(builds))
        replaced = (*_replaced(text), *_workspace(tree, folder, text))
        binary = posixpath.basename("" if chosen == "." else chosen) or name
        others = (main for main in mains if main != chosen and not aside(f"{main}/x"))
        own = [main for main in others if "internal" not in main.split("/")]
        ports, health = scan(tree, _in_turn(tree, folder, chosen, mains))
        return GoProject(
            language="go",
            kind="go",
            folder=folder,
            name=name,
            version=_version(tree, file, words),
            ports=ports,
            health=health,
            programs=mains,
            chosen=chosen,
            others=() if asked or chosen in ("", ".") or posixpath.basename(chosen) in first else tuple(own),
            called=tuple(dict.fromkeys((binary, name, *_OUTPUT.findall(builds)))),
            reads=read_at_run_time(tree, folder, ".go"),
            binary=binary,
            context=_context(folder, replaced),
            whole=bool(replaced)
            or (tree.root / folder / "vendor/modules.txt").is_file()
            or joined(folder, "go.work") in tree.files,
            has_sum=joined(folder, "go.sum") in tree.files,
            cgo=cgo == {"1"} if len(cgo) == 1 else any(_CGO.search(text) for text in code),
            zones=any(_ZONES.search(text) for text in code),
            ko=own_ko,
            problem=_problem(tree, folder, chosen, _replaced(text)),
        )

    def ladder(self, service: Service, project: GoProject, place: str, port: int) -> Ladder:
        """The binary on four bases, ko, and melange with apko. ``place`` is the folder for the files, relative to the suite."""
        image = _own_image(service, project)
        build = f"golang:{project.version.value}"
        small = ("glibc-dynamic", "base") if project.cgo else ("static", "static")
        alpine = f"{build}-alpine" if project.cgo else build
        bases = common.bases_of("go", build=build, alpine=alpine, chainguard=small[0], distroless=small[1])
        lines = [*common.arguments(bases), *_build_stage(project), "", *_run_stage(project, image, port)]
        made = common.one_dockerfile(bases, wording("rung.binary"), place, project.context, lines, ("**/*_test.go",))
        files = {f"{place}/melange.yaml": _melange(project, image), f"{place}/apko.yaml": _apko(project, image)}
        keys = {"source": project.context, "config": f"{place}/apko.yaml", "packages": [f"{place}/melange.yaml"]}
        why = wording("refused.no_c_packages") if project.cgo else ""
        apko = Rung("apko", "apko", wording("rung.apko"), keys, tuple(files), why)
        return Ladder((*made.rungs, _ko(project, image), apko), {**made.files, **files})


def _problem(tree: Tree, folder: str, chosen: str, replaced: Sequence[str]) -> str:
    if not chosen:
        return wording("problem.no_main_package")
    for module in replaced:
        path = joined(folder, module)
        if path.startswith("..") and (tree.root / path / "go.mod").is_file():
            above = "/".join([".."] * path.split("/").count(".."))
            return wording("problem.module_above", module=module, folder=above)
    return ""


def _version(tree: Tree, file: str, words: ImageWords | None) -> Known[str]:
    """The own image's version, as exactly as it is there (the base is shared then), if it is new enough for the module."""
    named = (known for pattern in _LEAST for known in tree.values(file, pattern))
    least, own = next(named, Known("1.22")), common.of_base(words, r"golang:(\d+\.\d+(?:\.\d+)?)(?![\w.])")
    return own if own and numbers(own.value)[:2] >= numbers(least.value) else least


def _mains(tree: Tree, folder: str) -> Iterator[str]:
    """The main packages, relative to the module; those of examples and tools last."""
    inner = {folder_of(path) for path in tree.below(folder, "/go.mod") if folder_of(path) != folder}
    mains: dict[str, None] = {}
    for path in sorted(tree.below(folder, ".go"), key=lambda path: (aside(path), path.count("/"), path)):
        if path.endswith("_test.go") or any(path.startswith(f"{module}/") for module in inner):
            continue
        if _MAIN.search(tree.texts[path]) and not _NOT_BUILT.search(tree.texts[path]):
            mains[posixpath.relpath(folder_of(path), folder)] = None
    return iter(mains)


def _named(mains: Sequence[str], name: str) -> str | None:
    """The main package that the user means: by its path, or by its last part if that is one's alone."""
    path = posixpath.normpath(name)
    last = [main for main in mains if posixpath.basename(main) == path]
    return path if path in mains else last[0] if len(last) == 1 else None


def _likeliest(tree: Tree, folder: str, name: str, mains: Sequence[str], first: set[str], builds: str) -> str:
    """What the own image starts (``first``), what its build names, the module's folder, what is called a server, what serves."""
    candidates = [main for main in mains if not aside(f"{main}/x")] or list(mains)
    candidates.sort(key=lambda main: (main != "." and not main.startswith("cmd/"), "internal" in main.split("/")))
    built = [posixpath.normpath(path) for path in _PACKAGE.findall(builds)]
    started = [main for main in candidates if posixpath.basename(main) in first]
    known = [*started, *(main for main in built if main in candidates), *(main for main in candidates if main == ".")]
    if known or len(candidates) == 1:
        return (known or candidates)[0]
    serving = [
        main
        for main in candidates
        if any(_SERVES.search(tree.texts[path]) for path in tree.below(joined(folder, main), ".go"))
    ]
    daemons = (f"{name}d", "server", f"{name}-server", f"{name}server")
    usual = (name, "api", f"{name}-api", "app", "web", "service")
    alike = [main for one in daemons for main in candidates if posixpath.basename(main) == one]
    alike += [main for one in usual for main in serving or candidates if posixpath.basename(main) == one]
    return next(iter((*alike, *serving, *candidates)), "")


def _in_turn(tree: Tree, folder: str, chosen: str, mains: Sequence[str]) -> list[str]:
    """The program's sources before the rest, without those of other programs."""
    others = {joined(folder, main) for main in mains if chosen and main != chosen}
    start = "" if chosen in ("", ".") else f"{joined(folder, chosen)}/"
    own = (path for path in tree.below(folder, ".go") if folder_of(path) not in others)
    return sorted(own, key=lambda path: (not path.startswith(start), path.count("/"), path))


def _replaced(text: str) -> list[str]:
    """The folders that a go.mod puts in the place of modules."""
    return sorted(set(re.findall(r"=>\s*(\.\.?/[^\s]*|\.\.?)\s*$", text, re.MULTILINE)))


def _workspace(tree: Tree, folder: str, text: str) -> list[str]:
    """The folders of modules that a go.work above puts in the place of those that this module needs, and that file's own."""
    home = folder
    while home != ".":
        home = folder_of(home)
        used = re.findall(r"^(?:use)?\s+(\.\.?/\S+)\s*$", tree.texts[joined(home, "go.work")], re.MULTILINE)
        names = {path: tree.texts[joined(home, f"{path}/go.mod")].partition("\n")[0].split()[-1:] for path in used}
        needed = [joined(home, path) for path, name in names.items() if name and f"{name[0]} v" in text]
        if needed:
            return [posixpath.relpath(path, folder) for path in (*needed, home)]
    return []


def _context(folder: str, replaced: Sequence[str]) -> str:
    """The folder that holds the module and all that stands in for modules."""
    above = [path for name in replaced if folder != "." and not (path := joined(folder, name)).startswith(f"{folder}/")]
    return folder if any(path.startswith("..") for path in above) else posixpath.commonpath([folder, *above]) or "."


LANGUAGE: Language[GoProject] = Go()
