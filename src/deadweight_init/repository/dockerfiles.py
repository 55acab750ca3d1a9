"""Parse Dockerfiles: their stages, the settings of their image, and how each is built (context, target, arguments)."""

from __future__ import annotations

import json
import posixpath
import re
import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

from deadweight.records.ignore import Ignore
from deadweight.sources.adapt_dockerfile import FROM, Instruction, instructions
from deadweight_init.records import ComposeService, ImageWords, Known, OwnDockerfile, wording
from deadweight_init.tree import TABLES, TREES, Tree, joined

VARIABLE = re.compile(r"\$(?:\{(\w+)(?::?([-+?])([^}]*))?\}|(\w+))")
PLATFORM = {"TARGETPLATFORM": "linux/amd64", "TARGETOS": "linux", "TARGETARCH": "amd64", "TARGETVARIANT": ""}


@dataclass
class Stage:
    """One stage: what it stands on, its name in small letters (empty without one), the line of its FROM, and its instructions.

    ``span`` is where the base stands in the file, as written; ``end`` is where the FROM ends.
    """

    base: str
    name: str
    line: int
    span: tuple[int, int]
    end: int
    body: list[Instruction] = field(default_factory=list)


def split_flags(instruction: Instruction) -> tuple[dict[str, str], list[str]]:
    """The flags of an instruction, and its other words."""
    body = instruction.text.split(None, 1)[1] if len(instruction.text.split(None, 1)) > 1 else ""
    flags: dict[str, str] = {}
    while match := re.match(r"--([\w-]+)(?:=(\S+))?\s+", body):
        flags[match[1]] = match[2] or ""
        body = body[match.end() :]
    return flags, list(parse_words(body))


def parse_words(body: str) -> tuple[str, ...]:
    """Exec form (a JSON list) or shell words."""
    if body.strip().startswith("["):
        try:
            parsed = json.loads(body)
        except ValueError:
            parsed = None
        if isinstance(parsed, list):
            return tuple(str(word) for word in parsed)
    try:
        return tuple(shlex.split(body))
    except ValueError:
        return tuple(body.split())


def apply_variables(instruction: Instruction, values: dict[str, str]) -> None:
    """ARG and ENV give later instructions their variables."""
    if instruction.word == "ARG":
        for key, sign, value in (word.partition("=") for word in split_flags(instruction)[1]):
            if sign:
                values[key] = substitute(value, values)
    elif instruction.word == "ENV":
        for key, value in env_of(instruction.text.split(None, 1)[1] if " " in instruction.text else "").items():
            values[key] = substitute(value, values)


def env_of(body: str) -> dict[str, str]:
    """``A=b C=d``, or the old form ``A b``."""
    if re.match(r"\s*\w+\s+[^=\s]", body) and "=" not in body.split(None, 1)[0]:
        key, value = body.split(None, 1)
        return {key: value.strip()}
    return {word.partition("=")[0]: word.partition("=")[2] for word in parse_words(body) if "=" in word}


def substitute(text: str, values: Mapping[str, str]) -> str:
    """Variables put in as far as their values are known."""

    def value(match: re.Match[str]) -> str:
        known = values.get(match[1] or match[4])
        if match[2] == "-" and not known:
            return match[3]
        if match[2] == "+":
            return match[3] if known else ""
        return match[0] if known is None else known

    return VARIABLE.sub(value, text)


def stages_of(text: str, args: Mapping[str, str]) -> tuple[dict[str, str], list[Stage]]:
    """The variables that are known before the first stage, and the stages. ``args`` are build arguments without a default."""
    given: dict[str, str] = dict(args)
    stages: list[Stage] = []
    for instruction in instructions(text):
        match = FROM.match(instruction.text) if instruction.word == "FROM" else None
        if match:
            base = substitute(match[2].strip("\"'"), {**PLATFORM, **given})
            span = (instruction.place(match.start(2)), instruction.place(match.end(2) - 1) + 1)
            end = instruction.place(len(instruction.text.rstrip()) - 1) + 1
            stages.append(Stage(base, (match[3] or "").lower(), instruction.line, span, end))
        elif stages:
            stages[-1].body.append(instruction)
        else:
            apply_variables(instruction, given)
    return given, stages


def find_stage(stages: Sequence[Stage], name: str) -> int | None:
    """The number of a stage by its name or number; None without it."""
    named = [number for number, stage in enumerate(stages) if stage.name == name.lower() and name]
    if named:
        return named[-1]
    return int(name) if name.isdigit() and int(name) < len(stages) else None


def chain_of(stages: Sequence[Stage], target: str | None) -> list[Stage]:
    """The stages that one stands on, itself last."""
    if not stages:
        return []
    at: int | None = len(stages) - 1 if target is None else find_stage(stages, target)
    chain: list[Stage] = []
    while at is not None and stages[at] not in chain:
        chain.insert(0, stages[at])
        at = find_stage(stages[:at], stages[at].base)
    return chain


def built_stages(stages: Sequence[Stage], target: str | None) -> list[Stage]:
    """All stages that BuildKit builds for one: those that it stands on and those that it copies from."""
    built: list[Stage] = []
    todo = chain_of(stages, target)
    while todo:
        stage = todo.pop()
        if stage in built:
            continue
        built.append(stage)
        for instruction in stage.body:
            for name in re.findall(r"(?:--from=|[,\s]from=)([\w.-]+)", instruction.text):
                at = find_stage(stages, name)
                todo += [] if at is None else chain_of(stages[: at + 1], None)
    return built


def without_default(text: str) -> set[str]:
    """The build arguments that a Dockerfile declares and gives no value."""
    declared = re.findall(r"^\s*ARG\s+(.+)$", text, re.MULTILINE | re.IGNORECASE)
    return {word for words in declared for word in words.split() if "=" not in word}


def unknown_bases(text: str, target: str | None, args: Mapping[str, str]) -> list[str]:
    """The bases of those stages that are built whose reference has a variable without a value."""
    given, stages = stages_of(text, args)
    bases = (substitute(stage.base, {**PLATFORM, **given}) for stage in built_stages(stages, target))
    return [base for base in bases if "$" in base or not base]


_URL = re.compile(
    r"https?://(?:localhost|127\.0\.0\.1|0\.0\.0\.0|\[::1\])(?::(?:\$\{\w+(?::?-\w*)?\}|\$?\w+))?(/[^\s\"'|;)]*)?"
)
_SHELL = ("/bin/sh", "-c")


def read_words(text: str, name: str, target: str | None = None, args: Mapping[str, str] | None = None) -> ImageWords:
    """What the image of ``target`` (default: the last stage) is told to be. ``name`` is the file's, for origins; ``args`` are
    build arguments without a default."""
    given, stages = stages_of(text, args or {})
    bases = tuple(substitute(stage.base, given) for stage in stages)
    return replace(_of_chain(chain_of(stages, target), given, name), bases=bases)


def _of_chain(chain: Sequence[Stage], given: Mapping[str, str], name: str) -> ImageWords:
    words = ImageWords(base=substitute(chain[0].base, given) if chain else "")
    values = dict(given)
    for stage in chain:
        words = replace(words, taken=())
        for instruction in stage.body:
            words = _with(words, instruction, values, name)
    return words


def missing_sources(tree: Tree, text: str, context: str, ignore: Ignore, target: str | None = None) -> list[str]:
    """What its COPY and ADD take from the context and is not there: made by a build that ran before."""
    given, stages = stages_of(text, {})
    present = [path[len(context) + 1 :] if context != "." else path for path in tree.inside[context]]
    if (tree.root / context / ".git").exists():  # a checkout has it, though no list of files
        present.append(".git/HEAD")
    present = [path for path in present if not ignore.matches(path)]
    folders = {"/".join(path.split("/")[:depth]) for path in present for depth in range(1, path.count("/") + 1)}
    absent = []
    for stage in built_stages(stages, target):
        values = {**given, **PLATFORM}
        for instruction in stage.body:
            apply_variables(instruction, values)
            sources = {
                source: _is_there(source, present, folders) or _is_kept(tree, context, source)
                for source in _sources(instruction, values)
            }
            # a pattern that nothing matches copies nothing, which is meant so beside a file (``pyproject.toml poetry.lock*``)
            some = any(sources.values())
            absent += [source for source, there in sources.items() if not there and not (some and "*" in source)]
    return list(dict.fromkeys(absent))


def _is_there(source: str, present: Sequence[str], folders: set[str]) -> bool:
    path = posixpath.normpath(source.lstrip("/") or ".")
    if path == "." or path in folders:
        return True
    pattern = re.compile(re.escape(path).replace(r"\*", "[^/]*").replace(r"\?", "[^/]"))
    return any(pattern.fullmatch(entry) for entry in (*present, *folders))


_KEPT = ("vendor", "third_party")
"""Folders of other people's code that a repository holds: it is no service of its own, and the list of files has none of it."""


def _is_kept(tree: Tree, context: str, source: str) -> bool:
    path = posixpath.normpath(source.lstrip("/") or ".")
    return any(part in _KEPT for part in path.split("/")) and (tree.root / context / path).exists()


def _sources(instruction: Instruction, values: Mapping[str, str]) -> Iterator[str]:
    """Sources of a COPY or ADD of the context. Those that a variable without value names cannot be told."""
    if instruction.word not in ("COPY", "ADD") or "<<" in instruction.text:
        return
    flags, rest = split_flags(instruction)
    if "from" in flags or len(rest) < 2:
        return
    for source in rest[:-1]:
        plain = substitute(source, values)
        if "://" not in plain and not plain.startswith("git@"):
            yield plain


def _command(body: str) -> tuple[str, ...]:
    """ENTRYPOINT and CMD: the exec form as it is, the shell form as the shell's argument."""
    if body.strip().startswith("["):
        return parse_words(body)
    return (*_SHELL, body.strip()) if body.strip() else ()


def _with(words: ImageWords, instruction: Instruction, values: dict[str, str], name: str) -> ImageWords:
    """The words after one more instruction."""
    body = instruction.text.split(None, 1)[1] if len(instruction.text.split(None, 1)) > 1 else ""
    origin = f"from {name}:{instruction.line}"
    apply_variables(instruction, values)
    if instruction.word == "ENV":
        env = {key: values[key] for key in env_of(body) if "$" not in values.get(key, "$")}
        return replace(words, env={**words.env, **env})
    if instruction.word == "EXPOSE":
        return replace(words, ports=(*words.ports, *_ports(substitute(body, values), origin)))
    if instruction.word == "VOLUME":
        # a list without quotes is no list: Docker makes a folder named "[/data]" of it
        paths = (path for path in parse_words(substitute(body, values)) if not re.search(r"[$\[\]]", path))
        named = (Known(posixpath.normpath(posixpath.join("/", path)), origin) for path in paths)
        return replace(words, volumes=(*words.volumes, *named))
    if instruction.word == "STOPSIGNAL":
        return replace(words, stop=substitute(body.strip(), values))
    if instruction.word == "WORKDIR":
        return replace(words, workdir=posixpath.join(words.workdir, substitute(body.strip(), values)))
    if instruction.word in ("ENTRYPOINT", "CMD"):
        cmd = _command(body)
        return replace(words, command=cmd) if instruction.word == "CMD" else replace(words, entrypoint=cmd, command=())
    if instruction.word == "HEALTHCHECK":
        return replace(words, health=tuple(Known(path, origin) for path in url_paths(substitute(body, values))))
    if instruction.word in ("COPY", "ADD"):
        target = posixpath.normpath(
            posixpath.join(words.workdir, substitute((split_flags(instruction)[1] or ["."])[-1], values))
        )
        taken = () if target == "/" or "$" in target else (target,)
        copied = (*words.copied, *_copied(instruction, values, words.workdir))
        return replace(words, copied=copied, taken=(*words.taken, *taken))
    return words


def _copied(instruction: Instruction, values: Mapping[str, str], workdir: str) -> Iterator[tuple[str, str]]:
    """(source, absolute path in the image), which ends with a slash where it is said to be a folder."""
    rest = split_flags(instruction)[1]
    into_folder = len(rest) > 2 or (len(rest) == 2 and substitute(rest[-1], values).endswith(("/", "/.")))
    for source in _sources(instruction, values):
        target = posixpath.normpath(posixpath.join(workdir, substitute(rest[-1], values)))
        yield source, f"{target}/" if into_folder and target != "/" else target


def url_paths(text: str) -> Iterator[str]:
    """Paths of the service's own URLs in a command of a health check; a variable without a value is empty."""
    for path in _URL.findall(text):
        yield re.sub(r"\$(?:\{\w+(?::?-([^}]*))?\}|\w+)", r"\1", path or "/") or "/"


def _ports(body: str, origin: str) -> Iterator[Known[int]]:
    for word in body.split():
        number, _, protocol = word.partition("/")
        if number.isdigit() and 0 < int(number) < 65536 and protocol in ("", "tcp"):
            yield Known(int(number), origin)


def context_of(tree: Tree, dockerfile: str, contexts: Sequence[str], target: str | None) -> tuple[str, list[str]]:
    """The build context of a Dockerfile, and what of its sources is missing there.

    Of those that files of the repository tell, then the Dockerfile's folder, then the root: the first that has all sources.
    """
    text, best = tree.texts[dockerfile], ("", list[str]())
    for context in dict.fromkeys((*contexts, tree.folders[dockerfile], ".")):
        own = f"{dockerfile}.dockerignore"
        ignore = tree.texts[own] if own in tree.files else tree.texts[joined(context, ".dockerignore")]
        lines = [line.strip() for line in ignore.splitlines() if line.strip() and not line.startswith("#")]
        absent = missing_sources(tree, text, context, Ignore(lines), target)
        if not absent:
            return context, []
        if not best[0] or len(absent) < len(best[1]):
            best = (context, absent)
    return best


DOCKERFILE = r"(?:Dockerfile|Containerfile)(?:[.-][\w.-]+)?|[\w.-]+\.(?:dockerfile|containerfile)"
_NO_DOCKERFILE = re.compile(
    r"\.(dockerignore|containerignore|j2|tmpl|template|tpl|in|md|bak|orig)$|(^|/)\.devcontainer/|(^|/)\.?gitpod\.",
    re.IGNORECASE,
)
_FOR_TESTS = re.compile(r"(^|[._-])(e2e|tests?|testing|cypress|playwright|lint|ci)([._-]|$)", re.IGNORECASE)
_OF_TESTS = re.compile(r"(^|[/._-])(e2e|tests?|testing)$", re.IGNORECASE)
"""A folder whose Dockerfile is for tests, whatever else may lie there."""
_FOR_IMAGES = re.compile(r"(^|[._-])(base|builder|build-env|toolchain)([._-]|$)", re.IGNORECASE)

ANY = "*"
"""Any Dockerfile, where commands are told by their paths."""
FOR_DEVELOPERS = re.compile(r"[.-](?:dev|test|debug|local|ci|override)\b")
_HOLDERS = TABLES["folders"]["dockerfiles"]
"""Folders of Dockerfiles for what lies above them."""


NOT_FOR_USERS = re.compile(
    r"(?:^|[-_.])(?:dev|develop\w*|tests?|testing|debug\w*|lint\w*|local|ci)(?:$|[-_.])", re.IGNORECASE
)
_FOR_USERS = re.compile(r"prod|production|release|runtime|runner|final|deploy|serve|server|app", re.IGNORECASE)


@dataclass(frozen=True)
class Build:
    """``target`` is a stage; ``args`` are build arguments; ``contexts`` are those that files of the repository name."""

    target: str | None = None
    args: Mapping[str, str] = field(default_factory=dict)
    contexts: tuple[str, ...] = ()


def builds(tree: Tree, composed: Sequence[ComposeService]) -> dict[str, Build]:
    """For each Dockerfile (a path) how it is built for those who use the service; what is for developers comes last."""
    built: dict[str, Build] = {}
    commands = build_commands(tree)
    pairs = [
        *((command.dockerfile, command.context) for command in commands),
        *((service.path, service.context) for service in composed),
    ]
    for path, context in pairs:
        before = built.get(path, Build())
        built[path] = replace(before, contexts=tuple(dict.fromkeys((*before.contexts, context))))
    services = [service for service in composed if not service.published]
    for service in sorted(services, key=lambda service: bool(FOR_DEVELOPERS.search(service.file))):
        before = built[service.path]
        target = None if service.target and NOT_FOR_USERS.search(service.target) else service.target
        built[service.path] = replace(before, target=before.target or target, args={**service.args, **before.args})
    for command in commands:
        before = built[command.dockerfile]
        built[command.dockerfile] = replace(before, args={**command.args, **before.args})
    return built


def likely_contexts(tree: Tree, built: Mapping[str, Build], path: str) -> tuple[str, ...]:
    """The contexts of a Dockerfile: those that are told, else those of another one beside it, else the folder above one that holds
    Dockerfiles alone by its name."""
    folder = tree.folders[path]
    alike = (build.contexts for name, build in built.items() if tree.folders[name] == folder != ".")
    above = (tree.folders[folder],) if folder.rpartition("/")[2] in _HOLDERS else ()
    return built.get(path, Build()).contexts or next(alike, above)


_LATER = re.compile(r"(dev|test|debug|goreleaser|release|cross|ci|windows|arm|aarch64|protos|lint|docs)", re.IGNORECASE)


def by_likelihood(tree: Tree, own: Sequence[OwnDockerfile], names: Collection[str]) -> list[OwnDockerfile]:
    """The likeliest first: of several the one that names a port makes the service, others make packages of it, or tools. ``names``
    are the repository's: what stands on its own published image adds to the service, such as pages to show."""

    def rank(file: OwnDockerfile) -> tuple[bool | str, ...]:
        adds = file.words.image.lower() in names and "/" in file.words.base
        return (
            tree.is_aside[file.path], bool(file.refused), adds, bool(_LATER.search(file.path)), not file.words.ports, file.path
        )  # fmt: skip

    return sorted(own, key=rank)


_BUILDS = re.compile(r"(?:.*[-_.])?(?:builder|build|base|deps|dependencies)", re.IGNORECASE)


def stage_of(target: str | None, names: list[str]) -> str | None:
    """The stage to build: the one that a Compose file names, unless it is one that only builds, which developers work in, and
    the last one is for users. None for the last one."""
    name = (target or "").lower()
    for_users = bool(names) and not NOT_FOR_USERS.search(names[-1])
    if name not in names or (for_users and name != names[-1] and _BUILDS.fullmatch(name)):
        for_them = (name for name in reversed(names) if _FOR_USERS.fullmatch(name))
        return None if for_users else next(for_them, None)
    return target


def dockerfiles(tree: Tree) -> Iterator[str]:
    """All files that are Dockerfiles by their names, the repository's own before those of examples."""
    return (path for path in tree.named[DOCKERFILE] if not _NO_DOCKERFILE.search(path))


def own_dockerfiles(
    tree: Tree, composed: Sequence[ComposeService], commands: Mapping[str, Sequence[str]], names: Collection[str]
) -> list[OwnDockerfile]:
    """The repository's own Dockerfiles, the likeliest first. ``commands`` are what Compose files start their images with; ``names``
    are the repository's."""
    built, own = builds(tree, composed), list[OwnDockerfile]()
    for path in dockerfiles(tree):
        command = commands.get(path) or commands.get(ANY, ())
        image = _own(tree, path, likely_contexts(tree, built, path), command, built.get(path, Build()))
        own += [] if image is None else [image]
    return by_likelihood(tree, own, names)


def _own(tree: Tree, path: str, contexts: Sequence[str], command: Sequence[str], build: Build) -> OwnDockerfile | None:
    text = tree.texts[path]
    if not re.search(r"^\s*FROM\s", text, re.MULTILINE | re.IGNORECASE):
        return None
    target = stage_of(build.target, [stage.name for stage in stages_of(text, {})[1]])
    context, absent = context_of(tree, path, [folder for folder in contexts if not folder.startswith("..")], target)
    build_args = {name: value for name, value in build.args.items() if name in without_default(text)}
    words = read_words(text, path, target, build_args)
    refused = ""
    if absent:
        refused = wording("refused.copies_absent", path=absent[0])
    elif _FOR_TESTS.search(posixpath.basename(path)) or _OF_TESTS.search(tree.folders[path]):
        refused = wording("refused.for_tests")
    elif _FOR_IMAGES.search(posixpath.basename(path)) and not words.words:
        refused = wording("refused.for_images")
    elif unknown := unknown_bases(text, target, build_args):
        refused = wording("refused.unknown_base", base=unknown[0])
    args = tuple(word for word in command if word != "--reload") if not words.command else ()
    words = replace(words, command=words.command or args, copied=tuple(_copied_files(tree, context, words)))
    ignored = tree.texts[f"{path}.dockerignore"]
    return OwnDockerfile(path, context, words, target, text, refused, args, ignored=ignored, build_args=build_args)


def _copied_files(tree: Tree, context: str, words: ImageWords) -> Iterator[tuple[str, str]]:
    """What the image has of the context as it is there: (source, absolute path in the image). Scripts for a shell, and what another
    build makes, are none of it."""
    for source, target in words.copied:
        path = joined(context, source)
        there = tree.has_folder(path) and not tree.texts[path].startswith("#!")
        if there or re.search(r"[*?$]", source):
            yield source, _place(tree, context, source, target, words)


def _place(tree: Tree, context: str, source: str, dest: str, words: ImageWords) -> str:
    """Where it lies: a file that is copied into a folder keeps its name there."""
    is_file, target = "*" not in source and joined(context, source) in tree.files, dest.rstrip("/") or "/"
    into_folder = (
        dest.endswith("/")
        or target == words.workdir.rstrip("/")
        or (posixpath.splitext(source)[1] and not posixpath.splitext(target)[1])
    )
    return posixpath.join(target, posixpath.basename(source)) if is_file and into_folder else target


_BUILD_FILES = (
    r"Makefile|makefile|GNUmakefile|.*\.mk|justfile|Taskfile\.ya?ml|.*\.sh|.*\.ya?ml|package\.json|docker-bake\.hcl"
)
_BUILD = re.compile(r"\b(?:docker|podman|buildah|nerdctl)(?:\s+buildx)?\s+(?:build|bud)\b([^\n;&|]*)")
_ARGUMENT = re.compile(r"--build-arg[= ]+[\"']?(\w+)=([^\s\"'$]+)(?=[\s\"']|$)")
_STEP = re.compile(
    r"uses:\s*docker/build-push-action[^\n]*\n((?:[^\n]*\n){0,40}?)(?=\s*-\s|\Z)|^target\s+\"[^\"]+\"\s*\{(.*?)^\}",
    re.DOTALL | re.MULTILINE,
)
"""A step of a workflow, from the root, or a target of a bake file, from its folder."""
_KEY = re.compile(r"^\s*(context|file|dockerfile)\s*[:=]\s*[\"']?([^\s\"'$]+)", re.MULTILINE)


@dataclass(frozen=True)
class Command:
    """A command that builds a Dockerfile, with its context, as paths from the root."""

    context: str
    dockerfile: str
    args: Mapping[str, str] = field(default_factory=dict)


@lru_cache(TREES)
def build_commands(tree: Tree) -> tuple[Command, ...]:
    """What scripts, Makefiles, workflows and bake files build."""
    commands = list[Command]()
    for path in tree.named[_BUILD_FILES]:
        text = tree.texts[path].replace("\\\n", " ")
        for words in _BUILD.findall(text) if "build" in text else ():
            commands.append(_of_words(words, tree.folders[path]))
        for workflow, bake in _STEP.findall(text) if "build-push-action" in text or path.endswith(".hcl") else ():
            keys = dict(_KEY.findall(workflow or bake))
            context = joined("." if workflow else tree.folders[path], keys.get("context", "."))
            if "file" in keys:
                commands.append(Command(context, joined(".", keys["file"])))
            else:
                commands.append(Command(context, joined(context, keys.get("dockerfile", "Dockerfile"))))
    return tuple(commands)


def _of_words(words: str, folder: str) -> Command:
    plain = [word.strip("\"'") for word in words.split()]
    context = plain[-1] if plain and not plain[-1].startswith("-") and "$" not in plain[-1] else "."
    named = re.search(r"(?:^|\s)(?:-f|--file)[= ]+[\"']?([^\s\"'$]+)(?=[\s\"']|$)", words)
    if "/" not in context and context != "." and len(plain) > 1 and plain[-2].startswith("-"):
        context = "."
    context = joined(folder, context)
    dockerfile = joined(folder, named[1]) if named else joined(context, "Dockerfile")
    return Command(context, dockerfile, dict(_ARGUMENT.findall(words)))
