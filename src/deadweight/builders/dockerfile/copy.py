"""Prepare a Dockerfile build: the copy that is built, the words for the engine or a pool's endpoint, what comes of it.

In the copy image names are pinned or replaced, and network settings added to RUN lines. The user's file is never changed.
"""

from __future__ import annotations

import functools
import hashlib
import hmac
import os
import re
import secrets
import shlex
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deadweight import _run
from deadweight._errors import CommandError, wording
from deadweight.builders.dockerfile import buildkit
from deadweight.builders.protocol import BuiltImage, Job, Site
from deadweight.builders.shared import archive as archives, common, inputs
from deadweight.builders.variants import DockerfileVariant
from deadweight.records.built_image import Base
from deadweight.records.paths import State, content
from deadweight.records.reference import with_registry
from deadweight.records.store import write_atomically
from deadweight.sources.adapt_dockerfile import Added, Dockerfile, Run, derived, downgraded, instructions, stage_bases
from deadweight.sources.network import maven_settings, trust_store
from deadweight.sources.settings import NETWORK
from deadweight.suite.yaml_nodes import Key

if TYPE_CHECKING:
    from deadweight.builders.dockerfile.listener import DockerListener

PREDEFINED = frozenset(
    word
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY")
    for word in (name, name.lower())
)
"""Build arguments that need no ARG and are excluded from history (Docker's Dockerfile reference, "Predefined ARGs")."""


@dataclass(frozen=True)
class Build:
    """One build of a Dockerfile, on the engine or on an endpoint of a pool. ``work`` is a folder that goes after the build;
    ``anew`` takes nothing from the cache."""

    variant: DockerfileVariant
    site: Site
    bases: Mapping[str, Base]
    dockerfile: Dockerfile
    job: Job
    work: Path
    anew: bool

    @functools.cached_property
    def copy(self) -> tuple[Path, tuple[str, ...]]:
        """The file that is built, its ignore file beside it: with every public image replaced by what stands for it here, plain
        ``FROM`` lines too. And what its RUN lines say more than the user's."""
        folder, added, site = self.work / "dockerfile", list[str](), self.site
        file = folder / "Dockerfile"

        def add(run: Run) -> Added:
            own = self.reach.added(run)
            flags = (*(site.source.mounts(run.base, run.command) if run.base else ()), *own.flags)
            added.extend((*(f"{flag} " for flag in flags), own.before))
            return Added(flags, own.before)

        unknown = buildkit.unknown_words() if site.pool is None else frozenset[str]()
        text, otherwise = downgraded(self.dockerfile.text, unknown)
        if otherwise:
            features = ", ".join(otherwise)
            self.job.say(f"{self.variant.name}: this engine does not know {features}: said in older words for it")
        folder.mkdir()
        made = derived(text, lambda reference: _pinned(self.bases[reference]), args_of(self.variant), add)
        file.write_text(made, encoding="utf-8")
        ignore = "\n".join(ignore_rules(self.dockerfile, self.variant, site).all)
        buildkit.ignore_file(file).write_text(f"{ignore}\n", encoding="utf-8")
        return file, tuple(dict.fromkeys(word for word in added if word))

    @functools.cached_property
    def reach(self) -> Reach:
        """What this machine reaches the network with, for RUN lines. Stand-ins trust what this machine trusts already."""
        source, own = self.site.source, self.variant.secrets
        environment = source.environment()
        trusting = source.name == "local" or environment.ca_bundle is None
        files = [*([] if trusting else [CA, JAVA]), *([MAVEN] if maven_settings(environment.variables) else [])]
        passed = {name: value for name, value in environment.variables.items() if name not in PREDEFINED}
        return Reach(
            variables={name: value for name, value in passed.items() if name not in own},
            files=(*(name for name in files if name not in own), *(name for name in CREDENTIALS if name in own)),
            ssh="default" in self.variant.ssh,
            direct=self.site.pool is not None or buildkit.gives_variables(),
            in_image=frozenset(self.dockerfile.chain(self.variant.target)),
        )

    @functools.cached_property
    def environment(self) -> Mapping[str, str]:
        """The client's."""
        return {**self.site.source.environment().variables, **self.reach.environment()}

    @functools.cached_property
    def words(self) -> list[str | Path]:
        """Those of ``docker build`` but the ones that name its result, the context last.

        Values of proxies are taken from the client's environment: they may hold a password, and arguments can be seen.
        """
        variant, root = self.variant, self.site.root
        values = {**variant.args, **{name: _pinned(self.bases[base]) for name, base in variant.bases.items()}}
        arguments = [f"{name}={value}" for name, value in values.items()]
        proxies = self.site.source.environment().variables
        arguments += [name for name in proxies if name in PREDEFINED and name not in values]
        keys = (f"{name}={path}" for name, path in ssh_paths(variant, root).items())
        return [
            *("--file", self.copy[0]),
            *(["--no-cache"] if self.anew else []),
            *(["--target", variant.target] if variant.target else []),
            *(part for word in arguments for part in ("--build-arg", word)),
            *(part for word in self._secrets() for part in ("--secret", word)),
            *(part for word in keys for part in ("--ssh", word)),
            root / variant.source,
        ]

    def _secrets(self) -> list[str]:
        """What the client offers: the suite's secrets, the source's variables, and what Java needs to reach the network, where the
        Dockerfile asks for it or is given it."""
        environment, asked = self.site.source.environment(), self.dockerfile.text + " ".join(self.reach.files)
        bundle, settings = environment.ca_bundle, maven_settings(environment.variables)
        offered = {name: f"env={name}" for name in environment.variables if name not in PREDEFINED}
        if bundle is not None:
            offered[CA] = f"src={bundle}"
        if bundle is not None and JAVA in asked:
            offered[JAVA] = f"src={trust_store(self.site.state, bundle)}"
        if settings is not None and MAVEN in asked:
            file = self.work / "maven-settings.xml"  # in a folder of mode 0700 that goes after the build
            file.write_text(settings, encoding="utf-8")
            offered[MAVEN] = f"src={file}"
        # the suite's own go before ours
        offered |= {name: f"src={path}" for name, path in secret_paths(self.variant, self.site.root).items()}
        return [*(f"id={name},{place}" for name, place in offered.items()), *self.reach.secrets(self.work)]

    def listener(self) -> DockerListener:
        from deadweight.builders.dockerfile.listener import DockerListener

        file = self.variant.dockerfile or "Dockerfile"
        return DockerListener(self.job.say, file, self.dockerfile.lines(), self.copy[1])

    def run(self, argv: Sequence[str | Path], on_line: Callable[[str], None], **how: Any) -> None:
        """Run the client; passwords stay out of its log. Raises CommandError."""
        redact = common.secret_values(self.environment)
        _run.run(argv, on_line=on_line, timeout=common.BUILD_TIMEOUT_SECONDS, redact=redact, **how)

    def failure(self, listener: DockerListener, error: CommandError, full_disk: Callable[[], str]) -> CommandError:
        """The failure in the words of the instruction that failed."""
        stand_in, advice = any(base.stand_in for base in self.bases.values()), self.reach.advice
        return listener.failure(error, self.variant.name, stand_in=stand_in, full_disk=full_disk, advice=advice)

    def result(self, listener: DockerListener, digest: str, tool: str, **fields: Any) -> BuiltImage:
        """The record of the image. Tells what was taken from earlier builds."""
        variant, cache = self.variant, listener.cache
        # nobody tells what lies in a folder that outlives the build
        mounted = re.search(r"--mount=\S*\btype=cache\b", self.dockerfile.text)
        self.job.took("warm" if mounted and cache == "cold" else cache)
        stages, own = stage_bases(self.dockerfile.text, args_of(variant)), self.dockerfile.chain(variant.target)[0]
        last = self.bases.get(stages[own])  # what the image itself stands on
        beside = (name for name, base in self.bases.items() if base.stand_in and base != last)
        others = tuple(name for name in beside if name != variant.generator)
        made = archives.result(variant, self.site, digest=digest, base=last, tool=tool)
        return replace(made, other_stand_ins=others, **fields)


@contextmanager
def prepared(
    variant: DockerfileVariant, site: Site, bases: Mapping[str, Base], dockerfile: Dockerfile, job: Job
) -> Iterator[Build]:
    """A build, ready to be run. One that ends well remembers the secrets that it was made with."""
    generate_secrets(variant, site.root)
    seal, note = _seal(variant, site), site.state.image(variant.name) / "secrets.hmac"
    anew = bool(seal) and content(note) != seal.encode()
    with archives.scratch(variant, site) as work:
        build = Build(variant, site, bases, dockerfile, job, work, anew)
        assert build.words  # now, and not in each of several threads
        yield build
    if seal:
        write_atomically(note, seal, mode=0o600)


def args_of(variant: DockerfileVariant) -> dict[str, str]:
    """The build arguments as the suite gives them, with public references."""
    return {**variant.args, **variant.bases}


def _pinned(base: Base) -> str:
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
            given += [(f"{PLACE}{variable}", variable) for name in files for variable in _PLACES[name]]
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
        return {f"{PLACE}{variable}": value for name in self.files for variable, value in _PLACES[name].items()}

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


def _export(name: str) -> str:
    if name not in _PLACES:
        return f'export {name}="$(cat {FOLDER}/{name})"'
    shown = list(_PLACES[name].items())[: 4 if name == CA else 1]
    return " ".join(["export", *(f"{name}='{value}'" if " " in value else f"{name}={value}" for name, value in shown)])


# Resolve build secrets: files that a Dockerfile mounts. Their content counts as input and is stored nowhere.
#
# BuildKit leaves secrets out of its cache keys, so a changed secret alone would reuse the old layers. Therefore the next
# build after a change runs with ``--no-cache``. The last used secrets are remembered as an HMAC under a key of this project, so
# that nobody who finds it can guess a short secret.
#
# ``generated:NAME`` is a secret made on this machine when first needed and kept in the state folder. It is for trial builds and
# demonstrations that need no real secret.
GENERATED = "generated:"
_sealing = threading.Lock()


def secret_paths(variant: DockerfileVariant, root: Path) -> dict[str, Path]:
    """The secret files by id, absolute; ``~`` is the user's home."""
    return {name: _secret_path(given, root) for name, given in variant.secrets.items()}


def ssh_paths(variant: DockerfileVariant, root: Path) -> dict[str, Path]:
    """SSH keys or agent sockets by id; ``$NAME`` in a path is the environment's."""
    return {name: _secret_path(os.path.expandvars(given), root) for name, given in variant.ssh.items()}


def _secret_files(variant: DockerfileVariant, root: Path) -> Iterator[tuple[Key, Path, bool]]:
    """The key, the file, and whether that is of our own making, of all secrets and SSH keys."""
    for name, path in secret_paths(variant, root).items():
        yield ("secrets", name), path, variant.secrets[name].startswith(GENERATED)
    for name, path in ssh_paths(variant, root).items():
        yield ("ssh", name), path, variant.ssh[name].startswith(GENERATED)


def missing_secrets(variant: DockerfileVariant, root: Path) -> Iterator[tuple[Key, Path]]:
    """(key, path) of each named file that is not there, generated ones left out."""
    return ((key, path) for key, path, ours in _secret_files(variant, root) if not ours and not path.exists())


def secret_inputs(variant: DockerfileVariant, root: Path) -> tuple[Path, ...]:
    """The secret files that a fingerprint reads: those that are not of our own making."""
    return tuple(path for key, path, ours in _secret_files(variant, root) if key[0] == "secrets" and not ours)


def generate_secrets(variant: DockerfileVariant, root: Path) -> None:
    """Make the generated secrets and SSH keys of a variant that are not there yet, readable by this user alone."""
    for key, path, ours in _secret_files(variant, root):
        if not ours or path.exists():
            continue
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if key[0] == "secrets":
            write_atomically(path, f"{secrets.token_urlsafe(30)}\n", mode=0o600)
        else:
            _run.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", path], timeout=30)
            path.chmod(0o600)


def _secret_path(given: str, root: Path) -> Path:
    if given.startswith(GENERATED):
        name = re.sub(r"[^A-Za-z0-9._-]", "-", given.removeprefix(GENERATED)).strip(".") or "secret"
        return State(root).keys / f"generated-{name}"
    return root / os.path.expanduser(given)  # noqa: PTH111 - leaves a user that does not exist as it is, and raises nothing


def _seal(variant: DockerfileVariant, site: Site) -> str:
    """One keyed digest over all secrets, by id; empty where a variant has none."""
    named, key_file = secret_paths(variant, site.root), site.state.keys / "secrets.key"
    if not named:
        return ""
    with _sealing:
        if not key_file.is_file():
            key_file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_atomically(key_file, os.urandom(32), mode=0o600)
    hasher = hmac.new(key_file.read_bytes(), digestmod=hashlib.sha256)
    for name, path in sorted(named.items()):
        for data in (name.encode(), content(path)):
            hasher.update(len(data).to_bytes(8, "big") + data)
    return hasher.hexdigest()
