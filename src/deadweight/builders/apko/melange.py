"""Build an APK package of the service with melange: the first half of an apko variant.

* The signing key is made here, once (``keys``). Packages go to ``.deadweight/packages/NAME/ARCH``, a repository of one build.
  It is built next to that folder and moved there whole, so the index lists no older version that apko might prefer.
* Everything that could depend on the machine is fixed: relative paths, architecture, SOURCE_DATE_EPOCH, git coordinates
  and, if we are not root, the user id (``unshare -Ur``; an id other than 1000 would leak into the package).
* The source's variables reach the sandbox as files in the cache folder: melange writes its environment to the package's
  ``.melange.yaml``, where a module proxy's password must not be.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import stat
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from deadweight import _run
from deadweight._errors import CommandError, DeadweightError, wording
from deadweight.builders.apko import packages
from deadweight.builders.protocol import Inputs, Job, Site, Step
from deadweight.builders.shared import common, inputs
from deadweight.builders.shared.inputs import filled, go_environment, is_warm, melange_cache, needed_sources
from deadweight.builders.shared.tool_output import Listener, run_tool
from deadweight.builders.variants import ApkoVariant
from deadweight.engine import labels
from deadweight.records import runs
from deadweight.records.ignore import walk
from deadweight.records.paths import State
from deadweight.toolchain.tool_cache import remove_tree

SANDBOX_CACHE = "/var/cache/melange"
NO_COMMIT = "0" * 40

_STAMP = re.compile(r"^\d{4}/\d\d/\d\d \d\d:\d\d:\d\d (?:INFO|WARN|ERROR?|DEBU?G?) +")
_GREETING = re.compile(r"melange (?:version )?\S* ?with runner ")
_DOCKER_IMAGE = re.compile(r"tagging local image (\S+) as (\S+)")


def package_name(variant: ApkoVariant, config: str) -> str:
    """Tells packages apart by all that a variant says of them: the melange file, the source and the sandbox."""
    said = hashlib.sha256("\0".join((config, variant.source, variant.runner)).encode()).hexdigest()[:8]
    return f"{re.sub(r'[^A-Za-z0-9._-]+', '-', config.removesuffix('.yaml'))}-{said}"


def repository(state: State, variant: ApkoVariant, config: str) -> Path:
    """The repository that holds the packages of one melange file, made of this variant's source."""
    return state.packages / package_name(variant, config)


def step(variant: ApkoVariant, config: str, site: Site) -> Step:
    """The step that makes the packages of one melange file; variants that share file, source and sandbox share the step."""
    from deadweight.toolchain.find import find

    arch = common.architecture().apk
    source = site.root / variant.source
    apk = packages.apk(site, config, arch)
    rules = _rules(source, site)
    values = {
        "melange": find("melange").version,
        "architecture": arch,
        "runner": variant.runner,
        "ignore": "\n".join(rules.written),
        **apk.values(),
    }
    return Step(
        key=f"apk:{package_name(variant, config)}",
        variant=variant.name,
        title=f"melange build {config}",
        inputs=Inputs((site.root / config, source, *apk.indexes), rules.all, values),
        there=lambda: _there(site.state, variant, config, arch),
        work=lambda job: _Melange(variant, config, site, job).build(),
        behind=_compiles_before(variant, site),
    )


def _rules(source: Path, site: Site) -> inputs.Rules:
    return inputs.rules(source, site, needed=needed_sources(source))


def _there(state: State, variant: ApkoVariant, config: str, arch: str) -> bool:
    place = repository(state, variant, config) / arch
    return has_keys(state) and (place / "APKINDEX.tar.gz").is_file() and any(place.glob("*.apk"))


def _compiles_before(variant: ApkoVariant, site: Site) -> tuple[str, ...]:
    """ko variants of the same source that have yet to fill the compile cache that this step takes from.

    Once it holds the standard library both may begin at once: while melange lays out its sandbox, ko compiles what changed.
    """
    from deadweight.toolchain.find import look

    go = look("go").version
    return tuple(
        f"image:{other.name}"
        for other in site.suite.variants
        if other.builder == "ko" and other.source == variant.source and not filled(site.state, other, go)
    )


class _Melange:
    """One run of melange."""

    def __init__(self, variant: ApkoVariant, config: str, site: Site, job: Job) -> None:
        from deadweight.toolchain.find import find

        self.variant, self.config, self.site, self.job = variant, config, site, job
        self.arch = common.architecture().apk
        self.apk = packages.apk(site, config, self.arch)
        self.program = find("melange").path
        self.images: list[str] = []
        self.memory: Path | None = None

    def build(self) -> None:
        """Raises CommandError in the compiler's or melange's own words."""
        state = self.site.state
        ensure_keys(state, self.program, self.job.log)
        packages.link(self.apk)
        self.job.took("warm" if is_warm(state) else "cold")
        go_environment(state)
        state.packages.mkdir(parents=True, exist_ok=True)
        with runs.noted_while(state, labels.labels(self.site.suite.name, "build")), work_folder(state) as work:
            try:
                self._lay_out(work / "source")
                self._run(work)
            finally:
                self._remove_images()
                if self.memory is not None:
                    remove_tree(self.memory)
            made = work / "packages"
            if not any((made / self.arch).glob("*.apk")):
                raise DeadweightError(wording("apko.no_package_made", config=self.config, arch=self.arch))
            put(made, repository(state, self.variant, self.config))

    def _lay_out(self, folder: Path) -> None:
        """Copy what is input, and nothing else. melange itself would take all that lies in the source folder into its workspace,
        keys and other steps' output too, and fails where one of those goes away meanwhile. As melange does, links are left out.
        """
        source = self.site.root / self.variant.source
        self.job.say(f"copying the inputs from {source}")
        folder.mkdir()
        for path in walk(source, _rules(source, self.site).compiled()):
            place = folder / path.relative_to(source)
            with suppress(FileNotFoundError):  # gone since it was listed: the build is told to be of changed inputs
                if stat.S_ISREG(path.lstat().st_mode):
                    place.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy(path, place)

    def _run(self, work: Path) -> None:
        listener = Listener(self.job.say, self._announce)
        words: list[str | Path] = [self.program, *self._words(work)]
        argv: list[str | Path] = [*_as_root(self.variant.runner), *words]
        environment = self._environment(work)
        try:
            run_tool(argv, listener, cwd=self.site.root, environment=environment, log=self.job.log, told=words)
        except CommandError as error:
            what = f"{self.variant.name}: {self.config}"
            raise listener.explained(error, what, clean=clean, where=("native",)) from None

    def _words(self, work: Path) -> list[str]:
        root, state = self.site.root, self.site.state
        apk = self.apk
        words = ["build", packages.usable(self.site, self.config), "--arch", self.arch, "--runner", self.variant.runner]
        words += ["--source-dir", _from(root, work / "source"), "--out-dir", _from(root, work / "packages")]
        for repository_path in apk.repositories:
            words += ["-r", repository_path]
        for key in apk.keyring:
            words += ["-k", key]
        words += ["--signing-key", _from(root, private_key(state))]
        words += ["--cache-dir", _from(root, melange_cache(state))]
        words += ["--apk-cache-dir", _from(root, state.cache / "apk")]
        # melange asks git for these, and then the same source has another digest in another clone
        words += ["--git-repo-url", "https://git.invalid/deadweight", "--git-commit", NO_COMMIT]
        variables = self._sandbox_variables()
        if variables:
            file = work / "variables.env"
            file.write_text("".join(f"{name}={value}\n" for name, value in sorted(variables.items())))
            words += ["--env-file", str(file)]
        return words

    def _environment(self, work: Path) -> dict[str, str]:
        values = {
            **common.program_environment(self.site),
            **self.apk.credentials,
        }
        values.update({"TMPDIR": str(self._temporary(work)), "SOURCE_DATE_EPOCH": common.EPOCH})
        if self.variant.runner == "docker":
            values["DOCKER_HOST"] = self.site.engine().host
        return values

    def _temporary(self, work: Path) -> Path:
        """Where melange unpacks its sandbox: in memory where there is plenty, else beside its output."""
        if self.variant.runner == "bubblewrap":  # an engine may see other folders than we do
            self.memory = memory_folder(self.site.root)
        if self.memory is None:
            (work / "tmp").mkdir()
        return self.memory or work / "tmp"

    def _sandbox_variables(self) -> dict[str, str]:
        """What the sandbox is told of the source. Values with a password go by file; a proxy with one cannot be passed."""
        environment = self.site.source.environment()
        place = melange_cache(self.site.state)
        told = dict[str, str]()
        go_settings = {name: value for name, value in environment.variables.items() if name.startswith("GO")}
        if go_settings:
            (place / "go.env").write_text("".join(f"{name}={value}\n" for name, value in sorted(go_settings.items())))
            (place / "go.env").chmod(0o600)
            told["GOENV"] = f"{SANDBOX_CACHE}/go.env"
        if environment.ca_bundle is not None:
            shutil.copyfile(environment.ca_bundle, place / "ca.pem")
            told["SSL_CERT_FILE"] = f"{SANDBOX_CACHE}/ca.pem"
        for name, value in environment.variables.items():
            if name in go_settings:
                continue
            if common.secret_values({name: value}):
                self.job.say(wording("apko.variable_with_password", name=name))
            else:
                told[name] = value
        return told

    def _announce(self, line: str) -> str | None:
        found = _DOCKER_IMAGE.search(line)
        if found:
            self.images.append(found[2])
        text = clean(line)
        return text[:120] if text.startswith(("running step", "installing", "generating package", "wrote ")) else None

    def _remove_images(self) -> None:
        """melange's docker runner leaves the sandbox's image (184 MB) in the engine, once per run."""
        for name in self.images:
            with suppress(DeadweightError):
                self.site.engine().images.remove(name, force=True)


def clean(line: str) -> str:
    """A line of melange or apko without its date, time and level."""
    text = _STAMP.sub("", line)
    return (
        ""
        if _GREETING.match(text)
        else text.removeprefix("Error: ").removeprefix("error during command execution: ").strip()
    )


def _as_root(runner: str) -> list[str]:
    """Prefix that makes us root in a user namespace of our own, where bubblewrap is to write files of user 0."""
    if runner != "bubblewrap" or os.geteuid() == 0 or shutil.which("unshare") is None:
        return []
    return ["unshare", "-Ur"]


def _from(root: Path, path: Path) -> str:
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)


# The key that signs this project's APK packages: made once, by melange, readable by its owner only.
KEY = "deadweight-project.rsa"
"""apk finds the public key by the name that a signature carries, so the name belongs to the key."""

_making_keys = threading.Lock()


def private_key(state: State) -> Path:
    return state.keys / KEY


def public_key(state: State) -> Path:
    return state.keys / f"{KEY}.pub"


def has_keys(state: State) -> bool:
    return private_key(state).is_file() and public_key(state).is_file()


def ensure_keys(state: State, melange: Path, log: Path) -> None:
    """Make the pair if it is not there, whole or not at all. ``melange keygen`` alone leaves the private key 0644."""
    with _making_keys:
        if has_keys(state):
            return
        state.keys.mkdir(parents=True, exist_ok=True, mode=0o700)
        state.keys.chmod(0o700)
        work = Path(tempfile.mkdtemp(dir=state.keys, prefix=".new-"))  # mode 0700, so that nobody looks in meanwhile
        try:
            _run.run([melange, "keygen", KEY], cwd=work, log=log)
            for name in (f"{KEY}.pub", KEY):  # the private key last: it being there means that both are
                os.chmod(work / name, 0o600 if name == KEY else 0o644)  # noqa: PTH101
                (work / name).replace(state.keys / name)
        finally:
            shutil.rmtree(work, ignore_errors=True)


# Create melange's temporary work folders, move the finished one into place, and remove leftovers of killed runs.
_swap = threading.Lock()


def put(made: Path, place: Path) -> None:
    """Replace a folder by another. Between the two renames there is none: the step's record says that it is not built."""
    with _swap:
        old = place.with_name(f".{place.name}.old")
        remove_tree(old)
        if place.exists():
            place.replace(old)
        made.replace(place)
        remove_tree(old)


def remove_left_by(state: State, pid: int) -> int:
    """Remove the folders of a process that was killed during a build, on disk and in memory; how many there were."""
    left = [*state.packages.glob(f".work-{pid}-*"), *left_in_memory(state.root, pid)]
    for leftover in left:
        remove_tree(leftover)
    return len(left)


@contextmanager
def work_folder(state: State) -> Iterator[Path]:
    """A folder for one run, beside the packages; what a killed run left goes first."""
    own = f".work-{os.getpid()}-"
    for old in state.packages.glob(".work-*"):  # the state folder's lock keeps other living runs out
        if not old.name.startswith(own):
            remove_tree(old)
    folder = Path(tempfile.mkdtemp(dir=state.packages, prefix=own))
    try:
        yield folder
    finally:
        remove_tree(folder)


# A folder in memory for what lives as long as one run: for every build melange unpacks a sandbox of thousands of files.
MEMORY = Path("/dev/shm")  # noqa: S108 - a folder of our own with a name that nobody can guess is made in it
ROOM_BYTES = 6 * 2**30
"""How much memory must be free, there and in the machine, before any of it is taken: ten times what a sandbox needs."""


def memory_folder(root: Path) -> Path | None:
    """A new folder in memory, for the project at ``root``; None where there is no such place, or not enough memory.

    What killed runs of this project left there goes first: the state folder's lock keeps other living runs out.
    """
    try:
        if not MEMORY.is_mount() or os.statvfs(MEMORY).f_flag & os.ST_NOEXEC:
            return None  # programs run from there
        if min(shutil.disk_usage(MEMORY).free, _available()) < ROOM_BYTES:
            return None
        name = _memory_name(root)
        own = f"{name}-{os.getpid()}-"
        for old in MEMORY.glob(f"{name}-*"):
            if not old.name.startswith(own):
                shutil.rmtree(old, ignore_errors=True)
        return Path(tempfile.mkdtemp(dir=MEMORY, prefix=own))
    except OSError:
        return None


def left_in_memory(root: Path, pid: int) -> list[Path]:
    """The folders of this project that a process made there."""
    return sorted(MEMORY.glob(f"{_memory_name(root)}-{pid}-*"))


def _memory_name(root: Path) -> str:
    return f"deadweight-{hashlib.sha256(os.fsencode(root)).hexdigest()[:12]}"


def _available() -> int:
    """Bytes of memory that can be had without swapping (Linux, ``MemAvailable``)."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0
