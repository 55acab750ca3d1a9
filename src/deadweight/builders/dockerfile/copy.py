"""The copy of a Dockerfile that is built: every image's name is what stands for it here, and its RUN lines reach what we reach.

The user's file is never touched.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from deadweight.builders.dockerfile import buildkit
from deadweight.builders.dockerfile.build_network import CA, CREDENTIALS, JAVA, MAVEN, Reach, stages_of_image
from deadweight.builders.dockerfile.text import Dockerfile, names_git
from deadweight.builders.dockerfile.variant import DockerfileVariant
from deadweight.builders.protocol import Site
from deadweight.builders.shared import common, inputs
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
    from deadweight.sources.java import maven_settings

    trusting = site.source.name == "local" or site.source.environment().ca_bundle is None
    files = [*([] if trusting else [CA, JAVA]), *([MAVEN] if maven_settings(environment) else [])]
    own = variant.secrets
    return Reach(
        variables={name: value for name, value in environment.items() if name not in PREDEFINED and name not in own},
        files=(*(name for name in files if name not in own), *(name for name in CREDENTIALS if name in own)),
        ssh="default" in variant.ssh,
        direct=site.pool is not None or buildkit.gives_variables(),
        in_image=stages_of_image([(stage.base, stage.name) for stage in dockerfile.stages], variant.target),
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
