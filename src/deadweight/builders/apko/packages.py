"""Resolve a source's APK repositories and keys to machine-independent paths for melange and apko."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from deadweight.builders.protocol import Site
from deadweight.records.store import write_atomically
from deadweight.sources.adapt import derived, flavour_of, included


@dataclass(frozen=True)
class Apk:
    """``repositories`` and ``keyring`` are ready for ``-r`` and ``-k``; ``indexes`` are the local repositories' index files.

    ``flavour`` tells whose package names are used: ``wolfi`` or ``alpine``; ``own`` whether the file's own repositories count.
    ``links`` are those behind relative paths, with what they lead to: outside of the project.
    """

    flavour: str
    repositories: tuple[str, ...]
    keyring: tuple[str, ...]
    indexes: tuple[Path, ...]
    credentials: dict[str, str]
    stand_in: bool
    own: bool
    links: dict[Path, Path]

    def values(self) -> dict[str, str]:
        """The remote half as inputs of a fingerprint; local indexes and keys are inputs by content."""
        return {
            "repositories": " ".join(repository for repository in self.repositories if "://" in repository),
            "keys": " ".join(key for key in self.keyring if "://" in key),
            "as written": str(self.own),
        }


def apk(site: Site, config: str, arch: str) -> Apk:
    """Resolve the source's repositories for an apko or melange file. ``arch`` is apk's word (``x86_64``).

    melange and apko write paths into packages and images: an absolute one would make a digest depend on the machine.
    """
    flavour = flavour_of(site.root / config, site.root)
    given, links = site.source.apk(flavour), dict[Path, Path]()

    def relative(name: str, place: Path) -> str:
        path = site.root / name
        if "://" in name or not Path(name).is_absolute():
            return name
        if not path.is_relative_to(site.root):
            links[place], path = path, place
        return str(path.relative_to(site.root))

    home = site.state.folder / "apk"
    # a repository's folder is told apart by the hash of its name; a key keeps its own (apk finds it by that)
    repositories = [
        relative(name, home / hashlib.sha256(Path(name).name.encode()).hexdigest()[:8]) for name in given.repositories
    ]
    keyring = [relative(name, home / "keys" / Path(name).name) for name in given.keyring]
    files = [site.root / name / arch / "APKINDEX.tar.gz" for name in given.repositories if "://" not in name]
    files += [site.root / name for name in given.keyring if "://" not in name]
    return Apk(
        flavour=flavour,
        repositories=tuple(repositories),
        keyring=tuple(keyring),
        indexes=tuple(path for path in files if path.is_file()),
        credentials=dict(given.credentials),
        stand_in=given.stand_in,
        own=site.source.name == "registry",
        links=links,
    )


def link(apk: Apk) -> None:
    """Make the links behind relative paths: what lies outside of the project is reached from within it."""
    for place, target in apk.links.items():
        if place.is_symlink() and place.readlink() == target:
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        fresh = place.with_name(f".{place.name}.new")
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(target)
        fresh.replace(place)


def usable(site: Site, config: str) -> str:
    """The melange or apko file to build from, relative to the root: the user's, or a derived copy of it.

    A file that names repositories and keys of its own would be asked for those even where the source is a mirror or this
    machine; the copy names none, and starts from copies that name none. With the public registries it is right as it is.
    """
    if site.source.name == "registry":
        return config
    start: str | None = None
    for path in reversed(included(site.root / config, site.root)):
        name = str(path.relative_to(site.root)) if path.is_relative_to(site.root) else str(path)
        made = _copied(site, name, start)
        start = made if made != name else None
    return _copied(site, config, start)


def _copied(site: Site, config: str, include: str | None) -> str:
    text = derived(site.root / config, include)
    if text is None:
        return config
    # the name goes into packages, so it depends on nothing but the user's own, and no two have the same
    copy = site.state.folder / "derived" / config.replace("%", "%25").replace("/", "%2F")
    write_atomically(copy, text)
    return str(copy.relative_to(site.root))
