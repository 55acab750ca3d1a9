"""Build an image with apko, without Dockerfile or engine; melange packages the service first.

* apko.yaml and melange.yaml name no repository and no keyring; the source gives them. Its repositories are used only during
  the build (``-b``), so no path of a mirror or laptop ends up in the image's ``/etc/apk/repositories``.
* The key that signs packages is made here, once. Packages go to ``.deadweight/packages/NAME/ARCH``, a repository of one build.
  It is built next to that folder and moved there whole, so the index lists no older version that apko might prefer.
* Everything that could depend on the machine is fixed: relative paths, architecture, SOURCE_DATE_EPOCH, git coordinates
  and, if we are not root, the user id (``unshare -Ur``; an id other than 1000 would leak into the package).
* The source's variables reach melange's sandbox as files in the cache folder: melange writes its environment to the package's
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
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from deadweight import _run
from deadweight._errors import DeadweightError, wording
from deadweight.builders.protocol import BuiltImage, Inputs, Job, Needs, Site, Step, WrongKey
from deadweight.builders.shared import archive, common
from deadweight.builders.shared.inputs import go_environment, is_warm, melange_cache, needed_sources, rules
from deadweight.builders.variants import ApkoVariant
from deadweight.records import runs
from deadweight.records.built_image import Base
from deadweight.records.ignore import Ignore, walk
from deadweight.records.paths import State
from deadweight.records.store import write_atomically
from deadweight.sources.adapt import derived, flavour_of, included
from deadweight.sources.protocol import ApkRepositories
from deadweight.suite.explain import did_you_mean
from deadweight.suite.yaml_nodes import Document, Key, read
from deadweight.toolchain.find import find, inspect_tool
from deadweight.toolchain.golang import APK_NAMES
from deadweight.toolchain.tool_cache import remove_tree

if TYPE_CHECKING:
    from deadweight.builders.shared.diagnosis import Announce, Words

SANDBOX_CACHE = "/var/cache/melange"
NO_COMMIT = "0" * 40

_STAMP = r"^\d{4}/\d\d/\d\d \d\d:\d\d:\d\d (?:INFO|WARN|ERROR?|DEBU?G?) +"
_GREETING = r"melange (?:version )?\S* ?with runner "
_DOCKER_IMAGE = r"tagging local image (\S+) as (\S+)"


class ApkoBuilder:
    """``config`` is the apko.yaml, ``packages`` the melange files to build first, ``runner`` melange's sandbox."""

    name = "apko"
    record = ApkoVariant
    archive = staticmethod(archive.made_by_the_build)

    def needs(self, variant: ApkoVariant, root: Path) -> Needs:
        """Raises ConfigError for missing or wrong files."""
        if variant.config is None:
            raise WrongKey(variant, "config", wording("apko.no_config"), root)
        check_apko_config(common.need_file(variant, "config", root, variant.config))
        for number, package in enumerate(variant.packages):
            document = read(common.need_file(variant, ("packages", number), root, package))
            if not isinstance(document.value, dict) or "package" not in document.value:
                raise document.error((), wording("apko.not_melange"))
            described = document.value["package"]
            targets = described.get("target-architecture") if isinstance(described, dict) else None
            check_architectures(document, ("package", "target-architecture"), targets)
        if variant.packages:
            common.need_source(variant, root)
        docker = bool(variant.packages) and variant.runner == "docker"
        sandbox = ("melange",) if docker else ("melange", "bwrap")
        return Needs(tools=("apko", *(sandbox if variant.packages else ())), engine=docker, apk=True)

    def steps(self, variant: ApkoVariant, site: Site) -> tuple[Step, ...]:
        assert variant.config is not None
        config = site.root / variant.config
        apk = apk_of(site, variant.config)
        before = tuple(step(variant, package, site) for package in variant.packages)
        values = {"apko": find("apko").version, "architecture": common.architecture().apk, **apk.values}
        inputs = Inputs((config, *included(config, site.root), *apk.indexes), (), values)
        after = tuple(step.key for step in before)
        return (*before, archive.image_step(variant, site, inputs, partial(self._build, variant, site), after=after))

    def _build(self, variant: ApkoVariant, site: Site, job: Job) -> BuiltImage:
        name = common.image_name(site.suite, variant)
        job.took("cold")  # apko puts packages together, which it may have downloaded before
        apko = find("apko")
        assert variant.config is not None
        apk = apk_of(site, variant.config)
        apk.link()
        with archive.scratch(variant, site) as work:
            for folder in ("sbom", "tmp"):
                (work / folder).mkdir()
            call: list[str | Path] = [apko.path, *_words(variant, site, apk, name, work)]
            _run_in(work / "tmp", call, f"{variant.name}: {variant.config}", site, job, apk, _announce)
            archive.renamed(work / "apko.tar", work / "image.tar", name)
            digest = archive.image_in(work / "image.tar").config_digest
            sboms = archive.keep(variant, site, work / "image.tar", work / "sbom")
        tools = [f"apko {apko.version}", *([f"melange {find('melange').version}"] if variant.packages else [])]
        # an apko image stands on packages, not on an image: there is no digest, but it may be a stand-in all the same
        base = Base(f"{apk.flavour} packages", ", ".join(apk.repositories), None, apk.given.stand_in)
        return archive.result(variant, site, digest=digest, base=base, tool=", ".join(tools), sbom=sboms)


def _run_in(
    temporary: Path,
    call: Words,
    what: str,
    site: Site,
    job: Job,
    apk: Apk,
    announce: Announce,
    **more: str,
) -> None:
    """Run apko or melange, with ``more`` in its environment. Raises CommandError in the compiler's or the tool's own words."""
    from deadweight.builders.shared.diagnosis import Listener, run_tool

    environment = {
        **common.program_environment(site),
        **apk.given.credentials,
        "TMPDIR": str(temporary),
        "SOURCE_DATE_EPOCH": common.EPOCH,
        **more,
    }
    listener = Listener(job.say, announce, clean)
    run_tool(call, what, listener, cwd=site.root, environment=environment, log=job.log)


def _words(variant: ApkoVariant, site: Site, apk: Apk, name: str, work: Path) -> list[str]:
    """apko takes only ``-r`` for what it writes into the image, and wants one at least: the packages built here, if any."""
    assert variant.config is not None
    root, state = site.root, site.state
    own = [str(repository(state, variant, config).relative_to(root)) for config in variant.packages]
    keys = [*apk.keyring, *([str(public_key(state).relative_to(root))] if own else [])]
    return [
        *("build", usable(site, variant.config), name, str(work / "apko.tar")),
        *("--arch", common.architecture().apk, "--vcs=false"),
        *(word for repository in own or apk.repositories for word in ("-r", repository)),
        *(word for repository in apk.repositories if own for word in ("-b", repository)),
        *(word for key in keys for word in ("-k", key)),
        *("--cache-dir", str(state.cache / "apk"), "--sbom-path", str(work / "sbom")),
    ]


def _announce(line: str) -> str | None:
    text = clean(line)
    return text[:120] if text.startswith(("installing ", "layer digest")) else None


# Check an apko.yaml for what apko itself accepts without a word.
# apko refuses unknown keys and wrong types with file and line; those are left to it. It takes any text for ``run-as``, and an
# unknown name then stops the container from starting ("no matching entries in passwd file").
_APK_NAMES = {**APK_NAMES, "arm64/v8": "aarch64"}


def check_apko_config(file: Path) -> None:
    """Raises ConfigError with file, line and key: not YAML, no packages, an unknown ``run-as``, not for the engine."""
    document = read(file)
    top = document.value
    if not isinstance(top, dict):
        raise document.error((), wording("apko.not_a_mapping"))
    check_architectures(document, ("archs",), top.get("archs"))
    if "include" in top:
        return  # accounts and packages may be in the other file; apko reads it
    contents = top.get("contents")
    if not isinstance(contents, dict) or not contents.get("packages"):
        raise document.error(("contents",), wording("apko.no_packages"))
    _check_run_as(document, top.get("accounts") or {})


def check_architectures(document: Document, key: Key, given: Any) -> None:
    """What is built is for the engine, whatever a file says: one that is for others only would give another image than it says.

    Raises ConfigError. apko's ``archs`` and melange's ``target-architecture`` take OCI's names too, and ``all``.
    """
    if not given:
        return
    arch = common.architecture().apk
    named = [str(name) for name in (given if isinstance(given, list) else [given])]
    if not {"all", "host", arch} & {_APK_NAMES.get(name.lower(), name.lower()) for name in named}:
        raise document.error(key, wording("apko.other_architecture", named=", ".join(named), arch=arch))


def _check_run_as(document: Document, accounts: Any) -> None:
    if not isinstance(accounts, dict) or accounts.get("run-as") is None:
        return
    user, _, group = str(accounts["run-as"]).partition(":")
    for word, kind, name_key, id_key in ((user, "users", "username", "uid"), (group, "groups", "groupname", "gid")):
        known = [entry for entry in accounts.get(kind) or [] if isinstance(entry, dict)]
        names = [str(entry.get(name_key)) for entry in known]
        if not word or word.isdigit() or word == "root" or word in names:
            continue
        words = {"kind": kind[:-1], "name": word, "section": kind, "guess": did_you_mean(word, names), "id_key": id_key}
        raise document.error(("accounts", "run-as"), wording("apko.unknown_account", **words))


# The first half: an APK package of the service, built with melange. Repositories and keys are shared with apko.
def package_name(variant: ApkoVariant, config: str) -> str:
    """Tells packages apart by all that a variant says of them: the melange file, the source and the sandbox."""
    key = hashlib.sha256("\0".join((config, variant.source, variant.runner)).encode()).hexdigest()[:8]
    return f"{re.sub(r'[^A-Za-z0-9._-]+', '-', config.removesuffix('.yaml'))}-{key}"


def repository(state: State, variant: ApkoVariant, config: str) -> Path:
    """The repository that holds the packages of one melange file, made of this variant's source."""
    return state.packages / package_name(variant, config)


def step(variant: ApkoVariant, config: str, site: Site) -> Step:
    """The step that makes the packages of one melange file; variants that share file, source and sandbox share the step."""
    arch = common.architecture().apk
    source = site.root / variant.source
    apk = apk_of(site, config)
    ignore = rules(source, site, needed=needed_sources(source))
    values = {
        "melange": find("melange").version,
        "architecture": arch,
        "runner": variant.runner,
        "ignore": "\n".join(ignore.written),
        **apk.values,
    }

    def there() -> bool:
        place = repository(site.state, variant, config) / arch
        return has_keys(site.state) and (place / "APKINDEX.tar.gz").is_file() and any(place.glob("*.apk"))

    return Step(
        key=f"apk:{package_name(variant, config)}",
        variant=variant.name,
        title=f"melange build {config}",
        inputs=Inputs((site.root / config, source, *apk.indexes), ignore.all, values),
        there=there,
        work=lambda job: _Melange(variant, config, site, job).build(),
        behind=_compiles_before(variant, site),
    )


def _compiles_before(variant: ApkoVariant, site: Site) -> tuple[str, ...]:
    """ko variants of the same source that have yet to fill the compile cache that this step takes from.

    Once it holds the standard library both may begin at once: while melange lays out its sandbox, ko compiles what changed.
    """
    go, warm = inspect_tool("go").version, is_warm(site.state)
    alike = (other for other in site.suite.variants if (other.builder, other.source) == ("ko", variant.source))
    built = {other.name: archive.last_built(other, site.state) for other in alike}
    filled = {name for name, image in built.items() if warm and go and image and image.go_version == go}
    return tuple(f"image:{name}" for name in built if name not in filled)


class _Melange:
    """One run of melange."""

    def __init__(self, variant: ApkoVariant, config: str, site: Site, job: Job) -> None:
        self.variant, self.config, self.site, self.job = variant, config, site, job
        self.arch = common.architecture().apk
        self.apk = apk_of(site, config)
        self.images: list[str] = []

    def build(self) -> None:
        """Raises CommandError in the compiler's or melange's own words."""
        from deadweight.engine import labels

        state, melange = self.site.state, find("melange").path
        ensure_keys(state, melange, self.job.log)
        self.apk.link()
        self.job.took("warm" if is_warm(state) else "cold")
        go_environment(state)
        with (
            runs.noted_while(state, labels.labels(self.site.suite.name, "build")),
            archive.work_folder(state.packages) as work,
        ):
            # an engine may see other folders than we do
            memory = memory_folder(self.site.root) if self.variant.runner == "bubblewrap" else None
            try:
                self._lay_out(work / "source")
                self._run(melange, work, memory or work / "tmp")
            finally:
                self._remove_images()
                if memory is not None:
                    remove_tree(memory)
            made = work / "packages"
            if not any((made / self.arch).glob("*.apk")):
                raise DeadweightError(wording("apko.no_package_made", config=self.config, arch=self.arch))
            # meanwhile there is none: the step's record says that it is not built
            place = repository(state, self.variant, self.config)
            remove_tree(place)
            made.replace(place)

    def _lay_out(self, folder: Path) -> None:
        """Copy what is input, and nothing else. melange itself would take all that lies in the source folder into its workspace,
        keys and other steps' output too, and fails where one of those goes away meanwhile. As melange does, links are left out.
        """
        source = self.site.root / self.variant.source
        self.job.say(f"copying the inputs from {source}")
        folder.mkdir()
        for path in walk(source, Ignore(rules(source, self.site, needed=needed_sources(source)).all)):
            place = folder / path.relative_to(source)
            with suppress(FileNotFoundError):  # gone since it was listed: the build is told to be of changed inputs
                if stat.S_ISREG(path.lstat().st_mode):
                    place.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy(path, place)

    def _run(self, melange: Path, work: Path, temporary: Path) -> None:
        """Unpack the sandbox in ``temporary``, and build in it."""
        temporary.mkdir(exist_ok=True)
        docker = self.variant.runner == "docker"
        more = {"DOCKER_HOST": self.site.engine().host} if docker else {}
        words: list[str | Path] = [melange, *self._words(work)]
        # bubblewrap is to write files of user 0: we become root in a user namespace of our own
        apart = not docker and os.geteuid() != 0 and shutil.which("unshare") is not None
        call, what = ["unshare", "-Ur", *words] if apart else words, f"{self.variant.name}: {self.config}"
        _run_in(temporary, call, what, self.site, self.job, self.apk, self._announce, **more)

    def _words(self, work: Path) -> list[str]:
        root, state = self.site.root, self.site.state
        words = ["build", usable(self.site, self.config), "--arch", self.arch, "--runner", self.variant.runner]
        words += ["--source-dir", _from(root, work / "source"), "--out-dir", _from(root, work / "packages")]
        words += [word for repository_path in self.apk.repositories for word in ("-r", repository_path)]
        words += [word for key in self.apk.keyring for word in ("-k", key)]
        words += ["--signing-key", _from(root, private_key(state))]
        words += ["--cache-dir", _from(root, melange_cache(state))]
        words += ["--apk-cache-dir", _from(root, state.cache / "apk")]
        # melange asks git for these, and then the same source has another digest in another clone
        words += ["--git-repo-url", "https://git.invalid/deadweight", "--git-commit", NO_COMMIT]
        if variables := self._sandbox_variables():
            _write_variables(work / "variables.env", variables)
            words += ["--env-file", str(work / "variables.env")]
        return words

    def _sandbox_variables(self) -> dict[str, str]:
        """What the sandbox is told of the source. Values with a password go by file; a proxy with one cannot be passed."""
        environment = self.site.source.environment()
        place, variables = melange_cache(self.site.state), dict[str, str]()
        go_settings = {name: value for name, value in environment.variables.items() if name.startswith("GO")}
        if go_settings:
            _write_variables(place / "go.env", go_settings)
            (place / "go.env").chmod(0o600)
            variables["GOENV"] = f"{SANDBOX_CACHE}/go.env"
        if environment.ca_bundle is not None:
            shutil.copyfile(environment.ca_bundle, place / "ca.pem")
            variables["SSL_CERT_FILE"] = f"{SANDBOX_CACHE}/ca.pem"
        others = {name: value for name, value in environment.variables.items() if name not in go_settings}
        for name, value in others.items():
            if common.secret_values({name: value}):
                self.job.say(wording("apko.variable_with_password", name=name))
            else:
                variables[name] = value
        return variables

    def _announce(self, line: str) -> str | None:
        if image := re.search(_DOCKER_IMAGE, line):
            self.images.append(image[2])
        text = clean(line)
        return text[:120] if text.startswith(("running step", "installing", "generating package", "wrote ")) else None

    def _remove_images(self) -> None:
        """melange's docker runner leaves the sandbox's image (184 MB) in the engine, once per run."""
        for name in self.images:
            with suppress(DeadweightError):
                self.site.engine().images.remove(name, force=True)


def _write_variables(file: Path, variables: dict[str, str]) -> None:
    file.write_text("".join(f"{name}={value}\n" for name, value in sorted(variables.items())))


def clean(line: str) -> str:
    """A line of melange or apko without its date, time and level."""
    text = re.sub(_STAMP, "", line)
    if re.match(_GREETING, text):
        return ""
    return text.removeprefix("Error: ").removeprefix("error during command execution: ").strip()


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


def remove_left_by(state: State, pid: int) -> int:
    """Remove the folders of a process that was killed during a build, on disk and in memory; how many there were."""
    left = [*state.packages.glob(f".work-{pid}-*"), *MEMORY.glob(f"{_memory_prefix(state.root)}{pid}-*")]
    for leftover in left:
        remove_tree(leftover)
    return len(left)


# A folder in memory for what lives as long as one run: for every build melange unpacks a sandbox of thousands of files, which
# takes a quarter of the time there (3.8 s for 15 s on a busy disk).
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
        lines = Path("/proc/meminfo").read_text().splitlines()
        # without swapping
        available = next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), 0)
        room = min(shutil.disk_usage(MEMORY).free, available) >= ROOM_BYTES
        return archive.new_folder(MEMORY, _memory_prefix(root)) if room else None
    except OSError:
        return None


def _memory_prefix(root: Path) -> str:
    return f"deadweight-{hashlib.sha256(os.fsencode(root)).hexdigest()[:12]}-"


# The APK repositories and keys of a source, as melange and apko take them: by paths that are the same on every machine.
class Apk(NamedTuple):
    """``repositories`` and ``keyring`` are ready for ``-r`` and ``-k``; ``indexes`` are the local repositories' index files.

    ``flavour`` tells whose package names are used: ``wolfi`` or ``alpine``; ``values`` are the remote half as inputs of a
    fingerprint; local indexes and keys are inputs by content.
    ``given`` is the source's own; ``links`` are those behind relative paths, with what they lead to: outside of the project.
    """

    flavour: str
    repositories: tuple[str, ...]
    keyring: tuple[str, ...]
    indexes: tuple[Path, ...]
    given: ApkRepositories
    values: dict[str, str]
    links: dict[Path, Path]

    def link(self) -> None:
        """Make the links behind relative paths: what lies outside of the project is reached from within it."""
        for place, target in self.links.items():
            if place.is_symlink() and place.readlink() == target:
                continue
            place.parent.mkdir(parents=True, exist_ok=True)
            fresh = place.with_name(f".{place.name}.new")
            fresh.unlink(missing_ok=True)
            fresh.symlink_to(target)
            fresh.replace(place)


def apk_of(site: Site, config: str) -> Apk:
    """Resolve the source's repositories for an apko or melange file.

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
    folders = [hashlib.sha256(Path(name).name.encode()).hexdigest()[:8] for name in given.repositories]
    repositories = [relative(name, home / folder) for name, folder in zip(given.repositories, folders, strict=True)]
    keyring = [relative(name, home / "keys" / Path(name).name) for name in given.keyring]
    index = f"{common.architecture().apk}/APKINDEX.tar.gz"
    named = [*(f"{name}/{index}" for name in given.repositories), *given.keyring]
    files = [site.root / name for name in named if "://" not in name]
    return Apk(
        flavour=flavour,
        repositories=tuple(repositories),
        keyring=tuple(keyring),
        indexes=tuple(path for path in files if path.is_file()),
        given=given,
        values={
            "repositories": " ".join(name for name in repositories if "://" in name),
            "keys": " ".join(name for name in keyring if "://" in name),
            "as written": str(site.source.name == "registry"),
        },
        links=links,
    )


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
