"""Fetch OS packages with the machine's apt settings, and make root file systems, without changing its apt state.

Each package is stored once in a shared folder. mmdebstrap makes root file systems from a small repository of just the packages
asked for, so nothing is fetched twice and no mirror's address gets into an image.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import stat
import tempfile
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from deadweight import _run, _sudo as sudo
from deadweight._errors import CommandError, DeadweightError
from deadweight.engine.own import machine
from deadweight.records import store
from deadweight_standins import apt_releases
from deadweight_standins.apt_releases import repository_of
from deadweight_standins.machine import Machine, scratch, wording

# What apt would install, kept until its lists or its configuration change: each question takes half a second of a processor.
MACHINES = (Path("/etc/apt"), Path("/var/lib/apt/lists"))
MOST = 1000
"""Answers that one file keeps; more are forgotten at once."""
Package = tuple[str, str, str]
"""Name, version, architecture."""


@dataclass(frozen=True)
class Plans:
    """The answers in ``file``, each to the names of packages that were asked for.

    They hold while what lies in ``folders``, and in the machine's own (``MACHINES``), stays: the names, sizes and times of all
    files, by which apt too knows whether its lists are new.
    """

    file: Path
    folders: tuple[Path, ...]

    def get(self, names: Sequence[str]) -> list[Package] | None:
        """What apt answered; None where it was not asked since its lists changed, or the file cannot be read."""
        plan = self._load(self._identity()).get(" ".join(names))
        return plan and [(name, version, arch) for name, version, arch in plan]

    def keep(self, names: Sequence[str], plan: Iterable[Package]) -> None:
        identity = self._identity()
        kept = self._load(identity)
        answers = {**(kept if len(kept) < MOST else {}), " ".join(names): list(plan)}
        store.write_atomically(self.file, json.dumps({"lists": identity, "answers": answers}))

    def _load(self, identity: str) -> dict[str, list[Package]]:
        try:
            document = json.loads(self.file.read_text(encoding="utf-8"))
            answers: dict[str, list[Package]] = document["answers"]
            return answers if document["lists"] == identity else {}
        except (OSError, ValueError, KeyError, TypeError):
            return {}

    def _identity(self) -> str:
        seen = [os.environ.get("APT_CONFIG", "")]
        for number, folder in enumerate((*MACHINES, *self.folders)):
            for file in sorted(folder.rglob("*")):
                with contextlib.suppress(OSError):  # apt is at work there
                    state = file.stat()
                    if stat.S_ISREG(state.st_mode):
                        seen.append(f"{number} {file.relative_to(folder)} {state.st_size} {state.st_mtime_ns}")
        return hashlib.sha256("\n".join(seen).encode()).hexdigest()


_TO_FETCH = re.compile(r"^'\S+' ([^_\s]+)_([^_\s]+)_(\w+)\.deb \d+ ", re.MULTILINE)
"""A line of ``apt-get --print-uris install``: address, file name, size, digest."""
_FIELD = re.compile(r"^(Package|Version|Source|Architecture|Filename|Size): (.*)$", re.MULTILINE)
_SINCE_2024 = "t64"
"""What many libraries have behind their name since times have 64 bits (Debian 13, Ubuntu 24.04); they provide the old one."""
ROOTFS_SECONDS = 600.0
TRIMMED = ("usr/share/man", "usr/share/locale", "usr/share/info", "usr/share/lintian")
LEFT_OVERS = (
    "etc/resolv.conf etc/hostname etc/machine-id etc/apt/sources.list etc/dpkg/dpkg.cfg.d/99mmdebstrap "
    "var/cache/ldconfig/aux-cache var/cache/debconf/*-old var/lib/dpkg/*-old var/cache/apt/archives/lock var/lib/apt/lists/lock "
    "var/lib/apt/extended_states var/log/* var/lib/systemd"
)

MERGED = "usr-is-merged"
ALWAYS = (MERGED, "passwd")
"""Beside the essential packages: newer releases no longer count ``useradd`` among those, and their images have it all the same."""

FEEDS = ("/etc/apt/sources.list.d/stand-in.sources", "/etc/apt/apt.conf.d/99stand-in")
"""Where a RUN with apt-get gets the machine's package sources, as mounts: they are no part of an image."""


@dataclass(frozen=True)
class Candidate:
    """What apt would install: a package's name, the name of its file, and that file's size in bytes."""

    name: str
    file: str
    size: int


class Packages:
    """The folder of fetched packages of one release of the OS, by default the machine's. Safe to use from several threads.

    ``authorities`` are further CAs (PEM), which root file systems are to trust as the machine does.
    """

    def __init__(
        self, folder: Path, machine: Machine, log: Path, suite: str = "", authorities: Sequence[bytes] = ()
    ) -> None:
        self.folder, self.machine, self._log = folder, machine, log
        self.suite, self.authorities = suite or machine.codename, tuple(authorities)
        self._foreign = self.suite != machine.codename
        self._state = folder / ("state" if not self._foreign else f"state-{self.suite}")
        self._guard, self._own_lists, self._updated = threading.Lock(), self._foreign, not self._foreign
        self._files: dict[str, Path] = {}

    def get(self, names: Sequence[str]) -> dict[str, Path]:
        """Fetch packages with all they depend on (no recommended ones): package name to file.

        Raises DeadweightError naming the package that apt does not know, or what kept apt from fetching.
        """
        with self._guard:
            self._folders()
            if not self._updated:
                self._apt("update")
                self._updated = True
            try:
                return self._fetch(names)
            except CommandError as error:
                if self._own_lists or (error.log is None and not error.tail):
                    raise
            # The machine's package lists are missing or stale: fetch lists of our own, from the same sources.
            self._own_lists = True
            self._apt("update")
            return self._fetch(names)

    def file(self, name: str) -> Path:
        """One package's file. Call ``get`` for all that you need before: apt takes a second to plan, for one as for fifty."""
        return self._files.get(name) or self.get([name])[name]

    def latest(self, names: Sequence[str]) -> dict[str, list[Candidate]]:
        """The newest version of these packages that the machine's sources have, by source package, the smallest first.

        With lists fetched now, or where that fails with the machine's. No package is fetched; those that apt does not know are
        left out.
        """
        with self._guard:
            self._folders()
            try:
                self._own_lists = True
                self._apt("update")
            except CommandError:
                self._own_lists = False
            shown = self._apt("show", "--no-all-versions", *names, program="apt-cache")
        sources: dict[str, list[Candidate]] = {}
        for stanza in shown.split("\n\n"):
            field: dict[str, str] = dict(_FIELD.findall(stanza))
            if "Package" in field and "Filename" in field:
                name, version, arch = field["Package"], field["Version"].replace(":", "%3a"), field["Architecture"]
                source = (field.get("Source") or name).partition(" ")[0]
                candidate = Candidate(name, f"{name}_{version}_{arch}.deb", int(field["Size"]))
                sources.setdefault(source, []).append(candidate)
        return {source: sorted(group, key=lambda candidate: candidate.size) for source, group in sources.items()}

    def download(self, names: Sequence[str]) -> None:
        """Fetch the newest of these packages into the folder, and nothing that they depend on."""
        with self._guard:
            self._folders()
            self._apt("download", *names, cwd=self.folder)

    def unpack(self, name: str, target: Path) -> Path:
        """Unpack one package's files into a folder that ``target`` names (anew, whole or not at all)."""
        package = self.file(name)
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as work:
            self.extract(package, Path(work) / "x")
            shutil.rmtree(target, ignore_errors=True)
            (Path(work) / "x").rename(target)
        return target

    def extract(self, package: Path, target: Path) -> None:
        """Unpack a package's file over a folder."""
        _run.run(["dpkg-deb", "-x", package, target], log=self._log)

    def source(self, name: str, target: Path) -> None:
        """Fetch a source package's files into ``target``; the machine's sources serve, read as source ones."""
        target.mkdir(parents=True, exist_ok=True)
        with self._guard:
            self._folders()
            parts = self._state / "source-parts"
            _as_source_entries(parts, self._state / "parts" if self._foreign else None)
            lists = self._state / "source-lists"
            (lists / "partial").mkdir(parents=True, exist_ok=True)
            where = [f"Dir::Etc::SourceParts={parts}", "Dir::Etc::SourceList=/dev/null", f"Dir::State::lists={lists}"]
            self._apt("update", options=where)
            self._apt("source", "--download-only", name, options=where, cwd=target)

    def rootfs(self, names: Sequence[str], target: Path, *, variant: str = "apt", hooks: Sequence[str] = ()) -> Path:
        """A root file system as a tar: the essential packages, apt, and the ones named. Same packages, same bytes.

        It trusts our authorities. Its apt has no package sources, only the empty files for them (``FEEDS``). ``hooks`` are further
        arguments of mmdebstrap.
        """
        packages = self.get(["?essential", "apt", *ALWAYS, *names])
        # Ubuntu 24.04 has no package for it: its base-files come merged, and mmdebstrap's hook then finds nothing to install
        merged = ["--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr"] if MERGED in packages else []
        included = [name for name in (*ALWAYS, *names) if name != MERGED or merged]
        # what a killed sudo left there is root's, and not ours to remove
        made = tempfile.TemporaryDirectory(prefix="deadweight-rootfs-", dir=scratch(), ignore_cleanup_errors=True)
        with made as work:
            unique = dict.fromkeys(packages.values())
            repository = repository_of(unique, self.machine, self.suite, Path(work) / "repository")
            target.parent.mkdir(parents=True, exist_ok=True)
            partial = target.with_name(f".{target.name}.{os.getpid()}")
            try:
                self._as_root(
                    [
                        *("mmdebstrap", "--quiet", "--mode=auto", f"--variant={variant}", "--format=tar"),
                        f"--architectures={self.machine.deb}",
                        *merged,
                        f"--include={','.join(included)}",
                        *self._trusting(Path(work)),
                        "--dpkgopt=force-unsafe-io",
                        *_tidied(),
                        *hooks,
                        *(self.suite, partial, f"deb [trusted=yes] copy:{repository} ./"),
                    ],
                    {"SOURCE_DATE_EPOCH": "0", "LC_ALL": "C.UTF-8", "TMPDIR": work},
                )
            finally:
                # what a killed mmdebstrap leaves of /proc and /sys could not be removed
                machine.unmount_below(Path(work))
            partial.replace(target)
        return target

    def _trusting(self, work: Path) -> list[str]:
        """The machine's further CAs are there before ca-certificates is set up, which then takes them in."""
        if not self.authorities:
            return []
        (work / "authorities").mkdir()
        for number, one in enumerate(self.authorities):
            (work / "authorities" / f"machine-{number}.crt").write_bytes(one)
        place = '"$1/usr/local/share/ca-certificates"'
        return [f"--essential-hook=mkdir -p {place} && cp {work}/authorities/* {place} && chmod 0644 {place}/*"]

    def _as_root(self, argv: Sequence[str | Path], environment: Mapping[str, str]) -> None:
        """Through sudo where we are not root: without it mmdebstrap needs uidmap and ranges of numbers in /etc/subuid.

        Where sudo is not to be had either, mmdebstrap itself finds what this machine allows, or says what it lacks.
        """
        if sudo.is_root() or sudo.trouble():
            _run.run(argv, env=environment, log=self._log)
        else:  # sudo takes variables away
            settings = [f"{name}={value}" for name, value in environment.items()]
            sudo.run(["env", *settings, *argv], log=self._log, timeout=ROOTFS_SECONDS)

    def _fetch(self, names: Sequence[str]) -> dict[str, Path]:
        plan = ((name, version.replace(":", "%3a"), arch) for name, version, arch in self._plan(names))
        files = {name: self.folder / f"{name}_{version}_{arch}.deb" for name, version, arch in plan}
        if not all(path.is_file() for path in files.values()):
            self._apt("--download-only", "install", *names)
        renamed = {name: name + _SINCE_2024 for name in names if name not in files}
        files |= {name: files[now] for name, now in renamed.items() if now in files}
        absent = [path.name for path in files.values() if not path.is_file()]
        if absent:
            raise DeadweightError(wording("package.not_downloaded", file=self.folder / absent[0]))
        self._files |= files
        return files

    def _plan(self, names: Sequence[str]) -> list[Package]:
        plans = Plans(self._state / "plans.json", (self._state / "lists", self._state / "parts"))
        plan = plans.get(names)
        if plan is None:
            # Not --simulate, which also plans the order of installing. With an empty archive folder, no package is left out.
            answer = self._apt("--print-uris", "install", *names, options=[f"Dir::Cache::archives={self._state}/none"])
            plan = [(name, version.replace("%3a", ":"), arch) for name, version, arch in _TO_FETCH.findall(answer)]
            plans.keep(names, plan)
        return plan

    def _folders(self) -> None:
        for folder in (self.folder / "partial", self._state / "lists/partial", self._state / "none/partial"):
            folder.mkdir(parents=True, exist_ok=True)
        status = self._state / "status"
        if not status.exists():
            store.write_atomically(status, "")
        if self._foreign:
            (self._state / "parts").mkdir(exist_ok=True)
            text = apt_releases.sources(self.machine.codename, self.suite)
            store.write_atomically(self._state / "parts" / "suite.sources", text)

    def _apt(self, *words: str, options: Sequence[str] = (), cwd: Path | None = None, program: str = "apt-get") -> str:
        foreign = (f"Dir::Etc::SourceParts={self._state / 'parts'}", "Dir::Etc::SourceList=/dev/null")
        settings = [
            f"Dir::State::status={self._state / 'status'}",
            f"Dir::Cache::archives={self.folder}",
            f"Dir::Cache::pkgcache={self._state / 'packages.bin'}",
            *("Dir::Cache::srcpkgcache=", f"Dir::Log={self._state}"),
            *("APT::Sandbox::User=", "Debug::NoLocking=1", "APT::Install-Recommends=0", "Acquire::Retries=2"),
            *([f"Dir::State::lists={self._state / 'lists'}"] if self._own_lists else []),
            *(foreign if self._foreign else ()),
            *options,
        ]
        flags = [flag for setting in settings for flag in ("-o", setting)]
        environment = {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
        # what apt-cache shows is long, and its warnings are not for parsing
        answers, log = (("-q", "-y"), self._log) if program == "apt-get" else ((), None)
        return _run.run([program, *answers, *flags, *words], env=environment, log=log, cwd=cwd).output


def _tidied() -> list[str]:
    """Arguments of mmdebstrap that take away what no image needs, and put the empty files of package sources there."""
    trim = " ".join(f'"$1"/{name}/*' for name in TRIMMED)
    rest = " ".join(f'"$1"/{name}' for name in LEFT_OVERS.split())
    feeds = " ".join(f'"$1"{path}' for path in FEEDS)
    return [
        '--customize-hook=find "$1/usr/share/doc" -mindepth 2 ! -type d ! -name copyright -delete',
        f"--customize-hook=rm -rf {trim} {rest}",
        f"--customize-hook=touch {feeds}",
    ]


def _as_source_entries(target: Path, given: Path | None = None) -> None:
    """Copy the machine's apt sources, or those of the folder ``given``, into ``target`` with their type turned to deb-src."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    etc = Path("/etc/apt")
    own = [etc / "sources.list", *sorted((etc / "sources.list.d").glob("*"))]
    for file in own if given is None else sorted(given.glob("*")):
        if not file.is_file() or file.suffix not in (".list", ".sources"):
            continue
        text = file.read_text(encoding="utf-8", errors="replace")
        text = re.sub(r"^Types:.*$", "Types: deb-src", text, flags=re.MULTILINE | re.IGNORECASE)
        text = re.sub(r"^deb(\s)", r"deb-src\1", text, flags=re.MULTILINE)
        (target / file.name).write_text(text, encoding="utf-8")
