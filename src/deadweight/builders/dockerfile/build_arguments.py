"""The words of a build that the suite, the source and this machine's network give, as ``docker build`` takes them."""

from __future__ import annotations

from pathlib import Path

from deadweight.builders.dockerfile import secrets
from deadweight.builders.dockerfile.build_network import CA, JAVA, MAVEN, Reach
from deadweight.builders.dockerfile.copy import PREDEFINED, pinned
from deadweight.builders.dockerfile.text import Dockerfile
from deadweight.builders.dockerfile.variant import DockerfileVariant
from deadweight.builders.protocol import Site
from deadweight.records.built_image import Base


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
    from deadweight.sources.java import maven_settings, trust_store

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
