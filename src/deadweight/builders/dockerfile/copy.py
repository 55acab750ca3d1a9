"""Derive the Dockerfile copy that is built: image names pinned or replaced, network settings added to RUN lines.

The user's file is never changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from deadweight.builders.dockerfile import buildkit, secrets
from deadweight.builders.dockerfile.build_network import CA, CREDENTIALS, JAVA, MAVEN, Reach
from deadweight.builders.dockerfile.text import Dockerfile, names_git
from deadweight.builders.protocol import Site
from deadweight.builders.shared import common, inputs
from deadweight.builders.variants import DockerfileVariant
from deadweight.records.built_image import Base
from deadweight.records.reference import with_registry

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
    from deadweight.sources.adapt_dockerfile import Added, Run, derived, downgraded

    copy, added = work / "Dockerfile", list[str]()

    def add(run: Run) -> Added:
        own = reach.added(run)
        flags = (*(site.source.mounts(run.base, run.command) if run.base else ()), *own.flags)
        added.extend((*(f"{flag} " for flag in flags), own.before))
        return Added(flags, own.before)

    text = dockerfile.file.read_text(encoding="utf-8-sig")
    text, otherwise = downgraded(text, buildkit.unknown_words() if site.pool is None else frozenset())
    made = derived(text, lambda reference: pinned(bases[reference]), given(variant), add)
    copy.write_text(made, encoding="utf-8")
    ignore = ignore_rules(dockerfile.file, variant, site).all
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
    argument, written = dockerfile.base_argument(variant.target)
    return bases.get(given(variant).get(argument or "", written))


def pinned(base: Base) -> str:
    """The reference to build from. A stand-in may lie in the engine alone, under a name that no registry has."""
    reference = common.pinned(base)
    return reference if base.stand_in or buildkit.running_podman() is None else with_registry(reference)


def ignore_rules(dockerfile: Path, variant: DockerfileVariant, site: Site) -> inputs.Rules:
    """``NAME.dockerignore`` beside the Dockerfile goes first, as with BuildKit. A Dockerfile that names ``.git`` gets it."""
    own = dockerfile.with_name(f"{dockerfile.name}.dockerignore")
    source = site.root / variant.source
    asked = (".git",) if names_git(dockerfile.read_text(encoding="utf-8-sig"), source) else ()
    return inputs.rules(source, site, own=own if own.is_file() else None, asked=asked)


# The words of a build that the suite, the source and this machine's network give, as ``docker build`` takes them.
def build_arguments(
    dockerfile: Dockerfile, variant: DockerfileVariant, bases: dict[str, Base], site: Site, file: Path, work: Path,
    reach: Reach, *, anew: bool,
) -> list[str | Path]:  # fmt: skip
    """All words of a build but those that name its result, the context last. ``file`` is the copy of the Dockerfile that is built,
    ``work`` a folder that goes after the build; ``anew`` takes nothing from the cache."""
    environment = dict(site.source.environment().variables)
    return [
        *("--file", file),
        *(["--no-cache"] if anew else []),
        *(["--target", variant.target] if variant.target else []),
        *_arguments(variant, bases, environment),
        *_mounts(variant, site, environment),
        *_java_mounts(dockerfile, variant, site, work, reach),
        *reach.secrets(work),
        site.root / variant.source,
    ]


def _arguments(variant: DockerfileVariant, bases: dict[str, Base], environment: dict[str, str]) -> list[str]:
    """Values of proxies are taken from the client's environment: they may hold a password, and arguments can be seen."""
    given = {**variant.args, **{name: pinned(bases[each]) for name, each in variant.bases.items()}}
    words = [f"{name}={value}" for name, value in given.items()]
    words += [name for name in environment if name in PREDEFINED and name not in given]
    return [part for word in words for part in ("--build-arg", word)]


def _mounts(variant: DockerfileVariant, site: Site, environment: dict[str, str]) -> list[str]:
    words = [f"id={name},src={path}" for name, path in secrets.paths(variant, site.root).items()]
    words += [f"id={name},env={name}" for name in environment if name not in PREDEFINED and name not in variant.secrets]
    bundle = site.source.environment().ca_bundle
    if bundle is not None and CA not in variant.secrets:
        words.append(f"id={CA},src={bundle}")
    mounts = [part for word in words for part in ("--secret", word)]
    for name, path in secrets.ssh_paths(variant, site.root).items():
        mounts += ["--ssh", f"{name}={path}"]
    return mounts


def _java_mounts(dockerfile: Dockerfile, variant: DockerfileVariant, site: Site, work: Path, reach: Reach) -> list[str]:
    """What Java needs to reach the network, where there is any such thing and the Dockerfile asks for it or is given it."""
    from deadweight.sources.network import maven_settings, trust_store

    text, environment = dockerfile.file.read_text(encoding="utf-8-sig"), site.source.environment()
    text += " ".join(reach.files)
    words = []
    if JAVA in text and JAVA not in variant.secrets and environment.ca_bundle is not None:
        words.append(f"id={JAVA},src={trust_store(site.state, environment.ca_bundle)}")
    settings = maven_settings(environment.variables)
    if MAVEN in text and MAVEN not in variant.secrets and settings is not None:
        file = work / "maven-settings.xml"  # in a folder of mode 0700 that goes after the build
        file.write_text(settings, encoding="utf-8")
        words.append(f"id={MAVEN},src={file}")
    return [part for word in words for part in ("--secret", word)]
