"""Derive the Dockerfile copy that is built: image names pinned or replaced, network settings added to RUN lines.

The user's file is never changed.
"""

from __future__ import annotations

import functools
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from deadweight._errors import wording
from deadweight.builders.dockerfile import buildkit, secrets
from deadweight.builders.protocol import Site
from deadweight.builders.shared import common, inputs
from deadweight.builders.variants import DockerfileVariant
from deadweight.records.built_image import Base
from deadweight.records.paths import content
from deadweight.records.reference import with_registry
from deadweight.sources.adapt_dockerfile import Added, Dockerfile, Run, derived, downgraded, instructions, stage_bases
from deadweight.sources.settings import NETWORK

PREDEFINED = frozenset(
    word
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY")
    for word in (name, name.lower())
)
"""Build arguments that need no ARG and are excluded from history (Docker's Dockerfile reference, "Predefined ARGs")."""

IGNORE_FILE = "Dockerfile.dockerignore"


@dataclass(frozen=True)
class Copy:
    """The Dockerfile that is built; ``added`` is what stands in its RUN lines and not in the user's, ``otherwise`` what an engine
    does not know and is said in other words."""

    file: Path
    added: tuple[str, ...]
    otherwise: tuple[str, ...] = ()


def copied(
    dockerfile: Dockerfile, variant: DockerfileVariant, bases: dict[str, Base], site: Site, work: Path, reach: Reach
) -> Copy:
    """The Dockerfile with every public image replaced by what stands for it here, plain ``FROM`` lines too."""
    copy, added = work / "Dockerfile", list[str]()

    def add(run: Run) -> Added:
        own = reach.added(run)
        flags = (*(site.source.mounts(run.base, run.command) if run.base else ()), *own.flags)
        added.extend((*(f"{flag} " for flag in flags), own.before))
        return Added(flags, own.before)

    text, otherwise = downgraded(dockerfile.text, buildkit.unknown_words() if site.pool is None else frozenset())
    made = derived(text, lambda reference: pinned(bases[reference]), given(variant), add)
    copy.write_text(made, encoding="utf-8")
    ignore = ignore_rules(dockerfile, variant, site).all
    (work / IGNORE_FILE).write_text("\n".join(ignore) + "\n", encoding="utf-8")
    return Copy(copy, tuple(dict.fromkeys(word for word in added if word)), otherwise)


def reach_of(dockerfile: Dockerfile, variant: DockerfileVariant, site: Site, environment: dict[str, str]) -> Reach:
    """What this machine reaches the network with, for RUN lines. Stand-ins trust what this machine trusts already."""
    from deadweight.sources.network import maven_settings

    trusting = site.source.name == "local" or site.source.environment().ca_bundle is None
    files = [*([] if trusting else [CA, JAVA]), *([MAVEN] if maven_settings(environment) else [])]
    own = variant.secrets
    return Reach(
        variables={name: value for name, value in environment.items() if name not in PREDEFINED and name not in own},
        files=(*(name for name in files if name not in own), *(name for name in CREDENTIALS if name in own)),
        ssh="default" in variant.ssh,
        direct=site.pool is not None or buildkit.gives_variables(),
        in_image=frozenset(dockerfile.chain(variant.target)),
    )


def given(variant: DockerfileVariant) -> dict[str, str]:
    """The build arguments as the suite gives them, with public references."""
    return {**variant.args, **variant.bases}


def last_base(dockerfile: Dockerfile, variant: DockerfileVariant, bases: dict[str, Base]) -> Base | None:
    """What the image itself stands on."""
    return bases.get(stage_bases(dockerfile.text, given(variant))[dockerfile.chain(variant.target)[0]])


def pinned(base: Base) -> str:
    """The reference to build from. A stand-in may lie in the engine alone, under a name that no registry has."""
    reference = common.pinned(base)
    return reference if base.stand_in or buildkit.running_podman() is None else with_registry(reference)


def ignore_rules(dockerfile: Dockerfile, variant: DockerfileVariant, site: Site) -> inputs.Rules:
    """``NAME.dockerignore`` beside the Dockerfile goes first, as with BuildKit. A Dockerfile that names ``.git`` gets it."""
    own = dockerfile.file.with_name(f"{dockerfile.file.name}.dockerignore")
    source = site.root / variant.source
    asked = (".git",) if names_git(dockerfile.text, source) else ()
    return inputs.rules(source, site, own=own if own.is_file() else None, asked=asked)


_ASKS_GIT = r"\bgit\s+(?:-[cC]\s+\S+\s+|-\S+\s+)*(?:describe|rev-parse|rev-list|log|show|status)\b"
_GIT = re.compile(rf"""(?:^|[\s/=,"'])\.git(?:$|[\s/,"'])|{_ASKS_GIT}""")
_MAKE = re.compile(r"(?:^(?:RUN\b)?|[;&|(])\s*(?:--\S+\s+|\w+=\S*\s+)*make\b")
_SCRIPT = re.compile(r"(?:^|[\s;&(])(?:\./)?([\w-][\w./-]*\.(?:sh|bash)|(?<=\./)[\w/-]+)(?=$|[\s;&)])")
_MAKEFILES = ("GNUmakefile", "makefile", "Makefile")


def names_git(text: str, source: Path | None = None) -> bool:
    """Whether an instruction copies or mounts the folder of version control, or asks git about it: by itself, or by the Makefile or
    script of the context ``source`` that it runs."""
    steps = [step for step in instructions(text) if step.word in ("ADD", "COPY", "RUN")]
    run_by = (name for step in steps if step.word == "RUN" for name in _run_by(step.text))
    files = (content(source / name).decode("utf-8", "replace") for name in run_by) if source is not None else ()
    return any(_GIT.search(step.text) for step in steps) or any(re.search(_ASKS_GIT, text) for text in files)


def _run_by(command: str) -> Iterator[str]:
    """The files that a RUN runs, as they are called in the context."""
    yield from _MAKEFILES if _MAKE.search(command) else ()
    yield from _SCRIPT.findall(command)


# The words of a build that the suite, the source and this machine's network give, as ``docker build`` takes them.
def build_arguments(
    dockerfile: Dockerfile, variant: DockerfileVariant, bases: dict[str, Base], site: Site, file: Path, work: Path,
    reach: Reach, *, anew: bool,
) -> list[str | Path]:  # fmt: skip
    """All words of a build but those that name its result, the context last. ``file`` is the copy of the Dockerfile that is built,
    ``work`` a folder that goes after the build; ``anew`` takes nothing from the cache.

    Values of proxies are taken from the client's environment: they may hold a password, and arguments can be seen.
    """
    values = {**variant.args, **{name: pinned(bases[reference]) for name, reference in variant.bases.items()}}
    arguments = [f"{name}={value}" for name, value in values.items()]
    arguments += [name for name in site.source.environment().variables if name in PREDEFINED and name not in values]
    keys = (f"{name}={path}" for name, path in secrets.ssh_paths(variant, site.root).items())
    return [
        *("--file", file),
        *(["--no-cache"] if anew else []),
        *(["--target", variant.target] if variant.target else []),
        *(part for word in arguments for part in ("--build-arg", word)),
        *(part for word in _secrets(dockerfile, variant, site, work, reach) for part in ("--secret", word)),
        *(part for word in keys for part in ("--ssh", word)),
        site.root / variant.source,
    ]


def _secrets(dockerfile: Dockerfile, variant: DockerfileVariant, site: Site, work: Path, reach: Reach) -> Iterator[str]:
    """What the client offers: the suite's secrets, the source's variables, and what Java needs to reach the network, where the
    Dockerfile asks for it or is given it."""
    from deadweight.sources.network import maven_settings, trust_store

    environment, own, asked = site.source.environment(), variant.secrets, dockerfile.text + " ".join(reach.files)
    bundle, settings = environment.ca_bundle, maven_settings(environment.variables)
    yield from (f"id={name},src={path}" for name, path in secrets.paths(variant, site.root).items())
    yield from (f"id={name},env={name}" for name in environment.variables if name not in PREDEFINED and name not in own)
    if bundle is not None and CA not in own:
        yield f"id={CA},src={bundle}"
    if bundle is not None and JAVA in asked and JAVA not in own:
        yield f"id={JAVA},src={trust_store(site.state, bundle)}"
    if settings is not None and MAVEN in asked and MAVEN not in own:
        file = work / "maven-settings.xml"  # in a folder of mode 0700 that goes after the build
        file.write_text(settings, encoding="utf-8")
        yield f"id={MAVEN},src={file}"
    yield from reach.secrets(work)


# Pass this machine's network settings to the RUN lines of a Dockerfile that does not ask for them.
#
# Package registry addresses, Go module settings and a private CA are passed as build secrets, so no layer, history entry or build
# argument holds them. If the engine supports secrets as variables (``env=``), every RUN gets its own. Older engines support only
# files, which a RUN must read first, and that would show in its text. So only stages outside the final image do that; if
# the image itself needs one, the user is told what to write (``lacked``).
#
# Each RUN gets only what its own programs understand. Credentials go only where the suite names them (``secrets: netrc``, ``ssh``).
FOLDER = "/run/secrets"
CA, JAVA, MAVEN = "ca_bundle", "java_trust_store", "maven_settings"
NETRC, NPMRC, KNOWN_HOSTS = CREDENTIALS = ("netrc", "npmrc", "known_hosts")
"""Secrets that count only where the suite names them."""
ENVIRONMENT = "deadweight_environment"  # the id of the file of variables, for engines that give files alone
PLACE = "DEADWEIGHT_PLACE_"
"""What the client's environment calls the values that are the place of another secret."""

_SECRETS = NETWORK["secrets"]
_PLACES: Mapping[str, Mapping[str, str]] = {name: secret["variables"] for name, secret in _SECRETS.items()}
"""Variables that name the file of a secret, or how it is read."""
_HOME = {name: secret["home"] for name, secret in _SECRETS.items() if "home" in secret}


@functools.cache
def _readers(read_by: str) -> re.Pattern[str]:
    """The commands that read something, by their pattern in ``network.toml``."""
    from deadweight.builders.shared.diagnosis import filled_pattern, named_patterns

    return re.compile(filled_pattern(read_by, named_patterns(NETWORK["patterns"])))


@dataclass(frozen=True)
class Reach:
    """``variables`` by name, ``files`` by id (of ``_PLACES``), as the client offers them. ``direct``: the engine knows ``env=``.

    ``in_image`` are the stages, from 0, whose instructions make the image's own layers. ``lacked`` collects what was not given.
    """

    variables: Mapping[str, str] = field(default_factory=dict)
    files: tuple[str, ...] = ()
    ssh: bool = False
    direct: bool = True
    in_image: frozenset[int] = frozenset()
    lacked: list[tuple[int, tuple[str, ...]]] = field(default_factory=list, compare=False)

    def added(self, run: Run) -> Added:
        """What a RUN's line gets."""
        names = [name for name in self.variables if _understood(name, run.command) and f"id={name}" not in run.command]
        asked = (name for name in self.files if _readers(_SECRETS[name]["read_by"]).search(run.command))
        files = [name for name in asked if f"id={name}" not in run.command]
        speaks_ssh = self.ssh and _readers("<ssh>").search(run.command) and "type=ssh" not in run.command
        ssh = ("--mount=type=ssh",) if speaks_ssh else ()
        if not names and not files:
            return Added(ssh)
        mounted = tuple(f"--mount=type=secret,id={name},mode=0444" for name in files)
        if self.direct:
            given = [(name, name) for name in names]
            given += [(_id(name, variable), variable) for name in files for variable in _PLACES[name]]
            return Added((*ssh, *mounted, *(f"--mount=type=secret,id={id_},env={name}" for id_, name in given)))
        if run.plain and run.stage not in self.in_image:
            file = f"--mount=type=secret,id={ENVIRONMENT},mode=0444"
            return Added((*ssh, *mounted, file), f". {FOLDER}/{ENVIRONMENT}; ")
        self.lacked.append((run.line, (*names, *files)))
        return Added(ssh)

    def secrets(self, work: Path) -> list[str]:
        """What the client has to offer beside the variables and the files themselves."""
        if self.direct:
            return [f"id={id_},env={id_}" for id_ in self.environment()]
        values = {**self.variables, **{name: value for file in self.files for name, value in _PLACES[file].items()}}
        if not values:
            return []
        file = work / "environment"
        file.write_text("".join(f"export {name}={shlex.quote(value)}\n" for name, value in values.items()))
        return [f"id={ENVIRONMENT},src={file}"]

    def environment(self) -> dict[str, str]:
        """What the client's own environment has to hold for that."""
        if not self.direct:
            return {}
        return {_id(name, variable): value for name in self.files for variable, value in _PLACES[name].items()}

    def advice(self, line: int | None) -> str:
        """Which of these the instruction at ``line`` needed and did not get, and what to write there; else empty."""
        names = next((names for at, names in self.lacked if at == line), ())
        if not names:
            return ""
        mounts = " ".join(
            f"--mount=type=secret,id={name}{f',target={_HOME[name]}' if name in _HOME else ''}" for name in names
        )
        exports = "".join(f"{_export(name)}; " for name in names if name not in _HOME)
        lacked = " and ".join(names)
        return wording("dockerfile.secrets_lacked", names=lacked, mounts=mounts, exports=exports)


def _understood(name: str, command: str) -> bool:
    """Whether a program of the command reads this variable; one of nobody's that is known, which the user named, is everybody's."""
    tools = [_readers(row["read_by"]) for row in NETWORK["program"] if name in row["variables"]]
    return any(pattern.search(command) for pattern in tools) if tools else True


def _id(name: str, variable: str) -> str:
    """The id under which the client offers a variable's value: one for all that hold the same place."""
    values = list(_PLACES[name].values())
    return f"{PLACE}{name if values.index(_PLACES[name][variable]) == 0 else variable}"


def _export(name: str) -> str:
    if name not in _PLACES:
        return f'export {name}="$(cat {FOLDER}/{name})"'
    shown = list(_PLACES[name].items())[: 4 if name == CA else 1]
    return " ".join(["export", *(f"{name}='{value}'" if " " in value else f"{name}={value}" for name, value in shown)])
