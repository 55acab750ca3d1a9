"""Make stand-in images of servers from their entries in ``bases.toml``; for MongoDB, FerretDB is compiled here."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from deadweight import _run
from deadweight._errors import DeadweightError
from deadweight_standins import alpine
from deadweight_standins.alpine import APK_KNOWS, place_for_apk
from deadweight_standins.bases import Base, bases, fill_in, names
from deadweight_standins.build_cache import BuildCache, Settings, link, put
from deadweight_standins.languages import account
from deadweight_standins.machine import wording
from deadweight_standins.recipes import FULL_PACKAGES, PATHS, Made, in_place_of

_FERRETDB, _FERRETDB_VERSION = "github.com/FerretDB/FerretDB", "v1.24.2"
_FERRETDB_SUM = "h1:trrUU0LbmusMbyubhPS1IELncvrIwKrsRT2LW1UUWCw="
"""The last release that keeps its data in SQLite, and so needs no other server; its own go.sum pins what it is made of."""


def make(
    cache: BuildCache, name: str, parameter: str, more: Callable[[Path], None] | None = None, **computed: str
) -> Made:
    """A stand-in of its entry alone, in the flavours that ``parameter`` names.

    ``computed`` are values for the entry beside its own; ``more`` puts further files in. Raises ConfigError.
    """
    base = bases()[name].flavoured(parameter)
    wanted = parameter.partition("-")[0]
    labels: dict[str, str] = {}
    if base.releases:
        computed["version"] = base.release(wanted)
        labels = in_place_of(base.what, computed["version"], wanted)
    given = {"paths": PATHS, **computed}
    values = {
        **given,
        **{key: fill_in(text, given, "bases.toml", f"{name}.values.{key}") for key, text in base.values.items()},
    }

    def words(key: str, texts: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(fill_in(text, values, "bases.toml", f"{name}.{key}") for text in texts)

    def fill(root: Path) -> None:
        for path, text in base.files.items():
            content = words(f"files.{path}", (text,))[0]
            put(root, path, content, executable=content.startswith("#!"))
        for path, target in base.links.items():
            link(root, path, words(f"links.{path}", (target,))[0])
        _fill(cache, root, base)
        if more is not None:
            more(root)

    if base.libraries:
        below = alpine.layer(cache, base.libraries)
    else:
        hooks = (*words("hooks", base.hooks), *((APK_KNOWS,) if base.apk else ()))
        suite = base.releases[computed["version"]] if base.releases else ""
        below = cache.rootfs_layer(_packages(words("packages", base.packages)), fast=True, suite=suite, hooks=hooks)
    settings = Settings(
        env=words("env", base.env),
        entrypoint=base.entrypoint,
        cmd=base.cmd,
        user=base.user,
        workdir=base.workdir,
        ports=words("ports", base.ports),
        labels={**labels, **{key: words(f"labels.{key}", (text,))[0] for key, text in base.labels.items()}},
    )
    return Made((below, cache.tree_layer("-".join(filter(None, (name, parameter))), fill)), settings)


def _packages(listed: tuple[str, ...]) -> tuple[str, ...]:
    """``+NAME`` is a list of them; ``full`` is that of a compiler with the headers."""
    lists = {"full": FULL_PACKAGES, **names().lists}
    parts = [lists[entry[1:]] if entry.startswith("+") else (entry,) for entry in listed if entry]
    return tuple(dict.fromkeys(package for part in parts for package in part))


def _fill(cache: BuildCache, root: Path, base: Base) -> None:
    if base.account is not None:
        user = base.account
        account(root, user.name, user.home, user.shell, user.number)
    for path, source in base.copied.items():
        package, _, inside = source.partition("/")
        file = cache.unpacked(package) / inside
        put(root, path, file, executable=bool(file.stat().st_mode & 0o100))
    for path, mode in base.folders.items():
        (root / path).mkdir(parents=True, exist_ok=True)
        (root / path).chmod(int(mode, 8))
    if base.apk:
        place_for_apk(root)


def postgres(cache: BuildCache, parameter: str) -> Made:
    """The OS's newest PostgreSQL."""

    def newest() -> str:
        names = (name.removeprefix("postgresql-") for name in cache.packages.get(["postgresql"]))
        return max(filter(str.isdigit, names), key=int)

    return make(cache, "postgres", parameter, version=cache.get("postgres version", newest))


def mongo(cache: BuildCache, parameter: str) -> Made:
    """FerretDB, which speaks MongoDB's protocol; it has most of its commands, and no replica sets."""

    def program(root: Path) -> None:
        with tempfile.TemporaryDirectory(prefix="deadweight-ferretdb-", dir=cache.folder) as work:
            put(root, "usr/local/bin/ferretdb", _ferretdb(cache, Path(work)), executable=True)

    return make(cache, "mongo", parameter, program, version=_FERRETDB_VERSION)


def _ferretdb(cache: BuildCache, work: Path) -> Path:
    """The program, compiled in a folder. Raises DeadweightError where the module is not the one that is meant."""
    from deadweight.toolchain.find import find

    go = find("go").path
    own = {"CGO_ENABLED": "0", "GOFLAGS": "-modcacherw", "GOARCH": cache.machine.oci, "GOWORK": "off"}
    environment = {**cache.environment, **own}
    words: list[str | Path] = [go, "mod", "download", "-json", f"{_FERRETDB}@{_FERRETDB_VERSION}"]
    module = json.loads(_run.run(words, env=environment, cwd=work, timeout=300).output)
    if module.get("Sum") != _FERRETDB_SUM:
        name = f"{_FERRETDB} {_FERRETDB_VERSION}"
        raise DeadweightError(wording("go.checksum", name=name, actual=module.get("Sum"), expected=_FERRETDB_SUM))
    source = shutil.copytree(module["Dir"], work / "source")
    for folder in (source, source / "build/version"):
        folder.chmod(0o755)
    (source / "build/version/version.txt").write_text(f"{_FERRETDB_VERSION}\n")
    build: list[str | Path] = [go, "build", "-trimpath", "-ldflags=-s -w", "-o", work / "ferretdb", "./cmd/ferretdb"]
    _run.run(build, env=environment, cwd=source, log=cache.log, timeout=1200)
    return work / "ferretdb"
