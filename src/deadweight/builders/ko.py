"""Build an image with ko, without Dockerfile or engine: ko compiles, takes a base and writes the archive.

A base is always given: without one, ko would pull one from a public registry unasked. SBOMs are kept. ``SOURCE_DATE_EPOCH`` and
``KO_DATA_DATE_EPOCH`` fix all times: the same inputs give the same digest.
"""

from __future__ import annotations

import difflib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from deadweight._errors import ArchiveError, DeadweightError, wording
from deadweight.builders.protocol import BuiltImage, Inputs, Job, Needs, Site, Step, WrongKey
from deadweight.builders.shared import archive, common
from deadweight.builders.shared.inputs import go_environment, is_warm, needed_sources, rules
from deadweight.builders.variants import KoVariant
from deadweight.records.built_image import Base
from deadweight.records.ignore import Ignore, literal
from deadweight.records.paths import content
from deadweight.records.reference import split
from deadweight.suite.yaml_nodes import Document, Key, read
from deadweight.toolchain.find import find

NO_TESTS = "**/*_test.go"
"""``go build`` reads none."""


class KoBuilder:
    """``config`` is the ko.yaml (optional), ``main`` the main package, ``base`` the base image."""

    name = "ko"
    record = KoVariant
    archive = staticmethod(archive.made_by_the_build)

    def needs(self, variant: KoVariant, root: Path) -> Needs:
        """Raises ConfigError for a missing base, source folder or go.mod, and for a wrong ko.yaml."""
        source = common.need_source(variant, root)
        if not (source / "go.mod").is_file():
            raise WrongKey(variant, "source", wording("ko.no_go_mod"), source)
        if not variant.base:
            raise WrongKey(variant, "base", wording("ko.no_base"), root)
        if variant.config is not None:
            check_ko_config(common.need_file(variant, "config", root, variant.config))
        for target, path in variant.files.items():
            if not (root / path).exists():
                raise WrongKey(variant, ("files", target), wording("ko.no_such_file", root=root), root / path)
        return Needs(tools=("ko", "go"), bases=(variant.base,), named={variant.base: "base"})

    def steps(self, variant: KoVariant, site: Site) -> tuple[Step, ...]:
        assert variant.base is not None
        base = site.source.base(variant.base)
        source = site.root / variant.source
        environment = {**os.environ, **common.program_environment(site)}
        main = variant.main or "."
        beside = inputs_outside(source, environment, main)
        added = [site.root / path for path in variant.files.values()]
        outside = [path for path in added if not path.is_relative_to(source)]
        config = [site.root / variant.config] if variant.config else []
        inside = [path for path in added if path not in (source, *outside)]
        # ko reads the folder where it lies: what its fingerprint left out would be built from all the same
        named = (Path(main) / "kodata", *(path.relative_to(source) for path in inside))
        needed = (*needed_sources(source, beside), NO_TESTS, *(f"!{literal(path.as_posix())}" for path in named))
        ignore = rules(source, site, needed=needed).all
        values = {
            "ko": find("ko").version,
            "go": find("go").version,
            "architecture": common.architecture().oci,
            "main": main,
            **({"files": json.dumps(variant.files)} if variant.files else {}),
            **({"workdir": variant.workdir} if variant.workdir else {}),
            **{f"variable {name}": environment[name] for name in VARIABLES if environment.get(name)},
            **common.base_values({"base": base}),
        }
        inputs = Inputs((source, *config, *beside, *outside), ignore, values)
        return (archive.image_step(variant, site, inputs, partial(self._build, variant, site, base, ignore)),)

    def _build(self, variant: KoVariant, site: Site, base: Base, ignore: Sequence[str], job: Job) -> BuiltImage:
        from deadweight.builders.shared.diagnosis import Listener, run_tool
        from deadweight.toolchain.golang import COLLECT_PERCENT

        ko, go = find("ko"), find("go")
        name = common.image_name(site.suite, variant)
        repository, tag, _ = split(name)
        job.took("warm" if is_warm(site.state) else "cold")
        with archive.scratch(variant, site) as work:
            (work / "tmp").mkdir()
            # an empty file, since ko would otherwise read a .ko.yaml of the source folder that no fingerprint knows of
            (work / "ko.yaml").write_text("{}\n")
            config = work / "ko.yaml" if variant.config is None else site.root / variant.config
            folders = (str(go.path.parent), str(ko.path.parent), os.environ.get("PATH", os.defpath))
            environment = {
                "GOGC": COLLECT_PERCENT,
                **common.program_environment(site),
                **go_environment(site.state),
                "PATH": os.pathsep.join(folders),  # ko runs `go` from it
                "KO_CONFIG_PATH": str(config),
                "KO_DOCKER_REPO": repository,
                "KO_DEFAULTBASEIMAGE": common.pinned(base),
                "SOURCE_DATE_EPOCH": common.EPOCH,
                "KO_DATA_DATE_EPOCH": common.EPOCH,
                "TMPDIR": str(work / "tmp"),
            }
            argv: list[str | Path] = [
                ko.path, "build", "--push=false", "--bare", "--tags", tag, "--tarball", work / "image.tar",
                "--platform", f"linux/{common.architecture().oci}", "--sbom", "spdx", "--sbom-dir", work / "sbom",
                variant.main or ".",
            ]  # fmt: skip
            listener = Listener(job.say, _announce, _telling)
            run_tool(argv, variant.name, listener, cwd=site.root / variant.source, environment=environment, log=job.log)
            digest = _whole(work / "image.tar", variant, job)
            if variant.files or variant.workdir:
                digest = _with_files(variant, site, work, ignore)
            sboms = archive.keep(variant, site, work / "image.tar", work / "sbom")
        return archive.result(
            variant, site, digest=digest, base=base, tool=f"ko {ko.version}", sbom=sboms, go_version=go.version
        )


def _with_files(variant: KoVariant, site: Site, work: Path, ignore: Sequence[str]) -> str:
    """Put the variant's files into what ko made, and give the digest of its config."""
    source, rules_of = site.root / variant.source, Ignore(ignore)

    def left_out(path: Path) -> bool:
        inside = path.is_relative_to(source)
        return rules_of.matches(path.relative_to(source if inside else site.root).as_posix())

    (work / "files").mkdir()
    tree = archive.staged(
        {target: site.root / path for target, path in variant.files.items()}, left_out, work / "files", site.root
    )
    archive.with_layer(work / "image.tar", work / "more.tar", tree, workdir=variant.workdir)
    (work / "more.tar").replace(work / "image.tar")
    return archive.image_in(work / "image.tar").config_digest


def _whole(file: Path, variant: KoVariant, job: Job) -> str:
    """The image's config digest. ko ends with 0 and half an archive where a base's layer is cut off or is not what its digest
    says, and where the disk is full: what it said of that is in its log only.
    """
    try:
        return archive.image_in(file).config_digest
    except ArchiveError as error:
        lines = job.log.read_text(encoding="utf-8", errors="replace").splitlines()
        problems = [line.rpartition('": ')[2] for line in lines[-20:] if "failed to save" in line]
        problem = [error.message, *problems][-1]
        raise DeadweightError(
            wording("ko.image_not_written", variant=variant.name, problem=problem, log=job.log)
        ) from error


def _announce(line: str) -> str | None:
    text = _clean(line)
    return text if text.startswith(("Building ", "Using base ", "Saving ", "warning")) else None


def _clean(line: str) -> str:
    """ko's lines start with a date and a time."""
    words = line.split(" ", 2)
    return words[2].strip() if len(words) == 3 and words[0].count("/") == 2 else line.strip()


def _telling(line: str) -> str:
    """ko goes on to save an image after it could make none."""
    text = _clean(line)
    return "" if text.startswith("Saving ") or "set of images is empty" in text else text


# Check a ko.yaml for what ko itself accepts without a word: keys that it does not know.
# Keys from ko's configuration reference and its ``pkg/build/config.go`` (v0.19).
TOP = (
    "defaultBaseImage", "baseImageOverrides", "builds", "defaultPlatforms", "defaultEnv", "defaultFlags",
    "defaultLdflags", "verification",
)  # fmt: skip
BUILD = (
    "id", "dir", "main", "env", "flags", "ldflags", "linux_capabilities",
    # ko takes no notice of these; goreleaser's files, which it can share, have them
    "asmflags", "gcflags", "mod_timestamp", "gobinary", "goos", "goarch", "goarm", "gomips", "targets", "binary", "lang",
)  # fmt: skip


def check_ko_config(file: Path) -> None:
    """Raises ConfigError with file, line and key: not YAML, not a mapping, a list that is none, a misspelt key."""
    document = read(file)
    top = _fields(document, (), document.value, TOP)
    if top.get("baseImageOverrides"):
        raise document.error(("baseImageOverrides",), wording("ko.bases_from_suite"))
    builds = top.get("builds") or []
    if not isinstance(builds, list):
        raise document.error(("builds",), wording("ko.not_builds"))
    for number, build in enumerate(builds):
        fields = _fields(document, ("builds", number), build, BUILD)
        for key in ("env", "flags", "ldflags"):
            if not isinstance(fields.get(key, []), list | str):
                raise document.error(("builds", number, key), wording("ko.not_a_list"))


def _fields(document: Document, where: Key, value: Any, known: Iterable[str]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise document.error(where, wording("ko.not_a_mapping"))
    # viper, which reads the file for ko, does not care about upper and lower case
    choices = {name.lower(): name for name in known}
    for key in (key for key in value if key.lower() not in choices):
        near = difflib.get_close_matches(key.lower(), choices, 1, 0.75)
        if near:  # a key that is not like any other may be a newer ko's
            raise document.error((*where, key), wording("ko.unknown_key", near=choices[near[0]]))
    return value


# What a Go build reads beside its own module's folder: it is all input, and a change of it must not pass for up to date.
# * folders that ``go.mod`` puts in the place of modules (``replace example.com/lib => ../lib``; only the main module's count), and
# the workspace: ``go.work`` in the module's folder or above, and the folders that it uses ("Workspaces", Go Modules Reference)
# * what links in ko's ``kodata`` folder lead to: ko puts that into the image, not the link
# * variables that Go takes flags from
VARIABLES = ("GOFLAGS", "GOEXPERIMENT", "GOAMD64", "GOARM64", "GOFIPS140", "CGO_ENABLED")

_BLOCK = r"(use|replace)\s*\($"


def inputs_outside(source: Path, environment: Mapping[str, str], main: str = ".") -> tuple[Path, ...]:
    """Files and folders that are there and do not lie in ``source``; what is missing is Go's to tell."""
    paths = [source / name for name in _folders_named_by(source / "go.mod")]
    above = (folder / "go.work" for folder in (source, *source.parents))
    given = environment.get("GOWORK", "")
    work = Path(given) if given else next((file for file in above if file.is_file()), None)
    if work is not None and given != "off":
        paths += [work, work.with_suffix(".work.sum"), *(work.parent / name for name in _folders_named_by(work))]
    links = (path for path in (source / main / "kodata").rglob("*") if path.is_symlink())
    paths += [path.resolve() for path in links]
    places = dict.fromkeys(Path(os.path.normpath(path)) for path in paths)
    return tuple(path for path in places if path.exists() and not path.is_relative_to(source))


def _folders_named_by(file: Path) -> Iterator[str]:
    """What ``use`` and ``replace`` lines name by a path, which starts with a dot or a slash in both kinds of files."""
    verb = ""
    for line in (line.partition("//")[0].strip() for line in content(file).decode("utf-8", "replace").splitlines()):
        block = re.fullmatch(_BLOCK, line)
        if block or line == ")":
            verb = block[1] if block else ""
            continue
        own, _, rest = (verb, "", line) if verb else line.partition(" ")
        name = rest.partition("=>")[2] if own == "replace" else rest if own == "use" else ""
        word = name.strip().strip('"`')
        if word.startswith((".", "/")):
            yield word
