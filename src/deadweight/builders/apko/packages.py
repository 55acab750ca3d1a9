"""Resolve a source's APK repositories and keys to machine-independent paths for melange and apko."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from deadweight.builders.protocol import Site
from deadweight.sources.protocol import ApkFlavour, ApkRepositories


@dataclass(frozen=True)
class Apk:
    """``repositories`` and ``keyring`` are ready for ``-r`` and ``-k``; ``indexes`` are the local repositories' index files.

    ``flavour`` tells whose package names are used: ``wolfi`` or ``alpine``; ``own`` whether the file's own repositories count.
    """

    flavour: str
    repositories: tuple[str, ...]
    keyring: tuple[str, ...]
    indexes: tuple[Path, ...]
    credentials: dict[str, str]
    stand_in: bool

    own: bool

    def values(self) -> dict[str, str]:
        """The remote half as inputs of a fingerprint; local indexes and keys are inputs by content."""
        return {
            "repositories": " ".join(repository for repository in self.repositories if "://" in repository),
            "keys": " ".join(key for key in self.keyring if "://" in key),
            "as written": str(self.own),
        }


def apk(site: Site, config: str, arch: str) -> Apk:
    """Resolve the source's repositories for an apko or melange file. ``arch`` is apk's word (``x86_64``)."""
    given = _given(site, config)
    local = [path for path in (_local(repository, site.root) for repository in given.repositories) if path is not None]
    indexes = [path / arch / "APKINDEX.tar.gz" for path in local]
    keys = [path for path in (_local(key, site.root) for key in given.keyring) if path is not None]
    return Apk(
        flavour=_flavour(site, config),
        repositories=_relative(given.repositories, site, "repositories"),
        keyring=_relative(given.keyring, site, "keyring"),
        indexes=tuple(path for path in (*indexes, *keys) if path.is_file()),
        credentials=dict(given.credentials),
        stand_in=given.stand_in,
        own=site.source.name == "registry",
    )


def link(site: Site, config: str) -> None:
    """Make the links behind ``Apk``'s relative paths: what lies outside of the project is reached from within it."""
    given = _given(site, config)
    for group, names in (("repositories", given.repositories), ("keyring", given.keyring)):
        for name in names:
            path = _local(name, site.root)
            if path is not None and Path(name).is_absolute() and not path.is_relative_to(site.root):
                _point(_place(site, group, path), path)


def _given(site: Site, config: str) -> ApkRepositories:
    return site.source.apk(_flavour(site, config))


def _flavour(site: Site, config: str) -> ApkFlavour:
    from deadweight.sources.adapt import flavour_of

    return flavour_of(site.root / config, site.root)


def usable(site: Site, config: str) -> str:
    """The melange or apko file to build from, relative to the root: the user's, or a derived copy of it.

    A file that names repositories and keys of its own would be asked for those even where the source is a mirror or this
    machine; the copy names none, and starts from copies that name none. With the public registries it is right as it is.
    """
    if site.source.name == "registry":
        return config
    from deadweight.sources.adapt import included

    start: str | None = None
    for path in reversed(included(site.root / config, site.root)):
        name = str(path.relative_to(site.root)) if path.is_relative_to(site.root) else str(path)
        made = _copied(site, name, start)
        start = made if made != name else None
    return _copied(site, config, start)


def _copied(site: Site, config: str, include: str | None) -> str:
    from deadweight.records.store import write_atomically
    from deadweight.sources.adapt import derived

    text = derived(site.root / config, include)
    if text is None:
        return config
    # the name goes into packages, so it depends on nothing but the user's own, and no two have the same
    copy = site.state.folder / "derived" / config.replace("%", "%25").replace("/", "%2F")
    write_atomically(copy, text)
    return str(copy.relative_to(site.root))


def _relative(names: tuple[str, ...], site: Site, group: str) -> tuple[str, ...]:
    """melange and apko write these paths into packages and images: an absolute one would make a digest depend on the machine."""
    found = []
    for name in names:
        path = _local(name, site.root)
        if path is None or not Path(name).is_absolute():
            found.append(name)
        elif path.is_relative_to(site.root):
            found.append(str(path.relative_to(site.root)))
        else:
            found.append(str(_place(site, group, path).relative_to(site.root)))
    return tuple(found)


def _local(name: str, root: Path) -> Path | None:
    return None if "://" in name else root / name


def _place(site: Site, group: str, path: Path) -> Path:
    """A key keeps its own name (apk finds it by that); a repository's folder is told apart by the hash of its path."""
    if group == "keyring":
        return site.state.folder / "apk" / "keys" / path.name
    return site.state.folder / "apk" / hashlib.sha256(path.name.encode()).hexdigest()[:8]


def _point(place: Path, target: Path) -> None:
    if place.is_symlink() and place.readlink() == target:
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    fresh = place.with_name(f".{place.name}.new")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(target)
    fresh.replace(place)
