"""The local source: its registry survives everything, its stand-ins are what they say, and made twice they are the same."""

import contextlib
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
import threading
import urllib.request
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
from filelock import FileLock

from deadweight import _run, _sudo as sudo
from deadweight.records.paths import State
from deadweight.sources import settings
from deadweight.toolchain import system
from deadweight.toolchain.find import find
from deadweight.toolchain.registry import Remote
from deadweight_images.archive.pack import from_tree
from deadweight_standins import debian, java, machine, source as source_module
from deadweight_standins.apt_releases import repository_of
from deadweight_standins.build_cache import BuildCache, Settings
from deadweight_standins.machine import Machine, this_machine, wording
from deadweight_standins.push import Client
from deadweight_standins.registry import START_SECONDS, LocalRegistry, listening
from deadweight_standins.source import LocalSource
from deadweight_standins.stand_in import StandIn
from tests.support.caches import local_cache
from tests.support.processes import killed, wait_for, within
from tests.support.trees import first_on_path, written

pytestmark = pytest.mark.timeout(600)

TRIES = 5
GOLANG = "golang:1.21.3-bookworm"
STATIC = "gcr.io/distroless/static-debian12:nonroot"
REFERENCES = ("alpine:3.18", "cgr.dev/chainguard/busybox:latest", STATIC, "ubuntu:23.10")


def registry_in(folder: Path) -> LocalRegistry:
    return LocalRegistry(folder, lambda: find("docker-registry").path)


@pytest.fixture
def registry(tmp_path):
    made = registry_in(tmp_path / "registry")
    yield made
    made.stop()


def test_threads_of_one_run_share_a_build_cache_and_another_run_waits_for_it(tmp_path, monkeypatch):
    monkeypatch.setenv("DEADWEIGHT_CACHE_DIR", str(tmp_path / "cache"))
    one, other = LocalSource(State(tmp_path / "one")), LocalSource(State(tmp_path / "other"))
    one.folder.mkdir(parents=True)
    lines, event = list[str](), threading.Event()

    def enter(source: LocalSource) -> BuildCache:
        with source._only_run(lambda line: (lines.append(line), event.set())) as cache:
            return cache

    with ThreadPoolExecutor(2) as pool:
        with one._only_run(lines.append) as cache:
            assert pool.submit(enter, one).result(10) is cache
            assert lines == []
            waiting = pool.submit(enter, other)
            assert event.wait(10)
            assert not waiting.done()
        assert waiting.result(10) is not cache
    assert enter(one) is cache, "a later call makes no part again"


@pytest.mark.slow
def test_who_is_not_root_makes_root_file_systems_through_sudo(local_source, tmp_path, monkeypatch):
    asked = tmp_path / "asked"
    clears = f'echo "$*" >>{asked}\nshift\nexec env -i PATH="$PATH" "$@"'  # variables, as the real one does
    first_on_path(monkeypatch, tmp_path / "bin", {"sudo": clears})
    cache = BuildCache(local_cache(local_source.folder, tmp_path / "local"), this_machine(), tmp_path / "log")
    ours = cache.packages.rootfs(["libcap2"], tmp_path / "root.tar", variant="extract")
    assert not asked.exists()
    monkeypatch.setattr(sudo, "is_root", lambda: False)
    theirs = cache.packages.rootfs(["libcap2"], tmp_path / "through-sudo.tar", variant="extract")
    assert "\n-n env SOURCE_DATE_EPOCH=0 " in asked.read_text()
    with tarfile.open(ours) as one, tarfile.open(theirs) as other:
        first, second = ([(info.name, info.mode, info.uid, info.gid, info.size, info.linkname) for info in tar]
                         for tar in (one, other))  # fmt: skip
    assert first == second


def _pid(registry: LocalRegistry) -> int:
    return int((registry.folder / "pid").read_text())


def _push(address: str, folder: Path) -> tuple[Client, str]:
    tree, client = written(folder / "tree", {"hello": "hello"}), Client(address)
    return client, client.push("a/b", "1", [from_tree(tree, folder / "layer.tgz")], Settings(env=("A=1",)), "amd64")


def test_the_registry_is_used_again_and_keeps_port_and_images_over_kill_9(registry, tmp_path):
    address = registry.ensure()
    client, digest = _push(address, tmp_path)
    pid = _pid(registry)
    assert (registry.ensure(), _pid(registry)) == (address, pid)

    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not Path(f"/proc/{pid}/exe").exists())
    assert registry.running() is None
    assert registry.ensure() == address
    assert registry.complete("a/b", digest)
    assert client.digest("a/b", "1") == digest
    assert (registry.stop(), registry.running(), registry.stop()) == (True, None, False)


def test_another_program_on_our_port_is_left_alone(registry, tmp_path):
    address = registry.ensure()
    registry.stop()
    words = ("-m", "http.server", "--bind", "127.0.0.1", "--directory", tmp_path, address.rpartition(":")[2])
    with killed("python3", *words) as other:
        wait_for(lambda: listening(other.pid))
        assert registry.ensure() != address
        assert other.poll() is None


HOME = """
import sys
from pathlib import Path
from deadweight_standins.registry import LocalRegistry
from deadweight.toolchain.find import find
sys.stdin.readline()
print(LocalRegistry(Path(sys.argv[1]), lambda: find("docker-registry").path).ensure(), flush=True)
"""


@pytest.mark.slow
@pytest.mark.tools
def test_homes_side_by_side_have_a_registry_each_and_runs_of_one_home_share_one(tmp_path):
    """Each started by two runs at the same moment, again and again; what another took meanwhile is not taken for one's own."""
    homes = [registry_in(tmp_path / name) for name in ("one", "two", "three")]
    taken: list[set[str]] = []
    try:
        for _ in range(3):
            words = [[sys.executable, "-c", HOME, str(home.folder)] for home in homes for _ in range(2)]
            runs = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for command in words]
            for run in runs:
                os.write(run.stdin.fileno(), b"go\n")
            outputs = [run.communicate(timeout=120)[0].decode().strip() for run in runs]
            assert outputs[::2] == outputs[1::2] == [home.running() for home in homes]
            taken.append(set(outputs))
            for home in homes:
                assert home.stop()
        assert [len(turn) for turn in taken] == [len(homes)] * 3
    finally:
        for home in homes:
            home.stop()


def test_another_homes_registry_on_our_port_is_not_ours(registry, tmp_path):
    """Also if the whole home is a copy of ours, the id included."""
    address = registry.ensure()
    shutil.copytree(registry.folder, tmp_path / "copy")
    copy = registry_in(tmp_path / "copy")
    try:
        assert copy.address() == address
        assert copy.running() is None
        assert copy.ensure() != address
        assert registry.running() == address
    finally:
        assert copy.stop()
    assert registry.running() == address


@pytest.mark.slow
def test_a_registry_that_answers_late_is_waited_for(registry, monkeypatch):
    """On a busy machine: to end it would cut off those who pull from it."""
    address, pid = registry.ensure(), _pid(registry)
    os.kill(pid, signal.SIGSTOP)
    wait_for(lambda: all(") T " in task.read_text() for task in Path(f"/proc/{pid}/task").glob("*/stat")))
    threading.Timer(3, os.kill, (pid, signal.SIGCONT)).start()
    assert registry.running() is None
    assert (registry.ensure(), _pid(registry)) == (address, pid)


def test_one_whose_start_was_cut_off_is_not_waited_for(registry):
    """Its process is there, but where it listens was never written down."""
    registry.ensure()
    pid = _pid(registry)
    (registry.folder / "place.json").unlink()
    with within(START_SECONDS / 2):
        assert registry.running() is None
        assert registry.ensure() == registry.running()
    assert _pid(registry) != pid


def test_a_stale_pid_file_ends_no_other_program(registry):
    with killed("sleep", "30") as sleeper:
        written(registry.folder, {"pid": str(sleeper.pid)})
        assert not registry.stop()
        assert sleeper.poll() is None


def test_a_damaged_blob_is_noticed_and_mended(registry, tmp_path):
    digest = _push(registry.ensure(), tmp_path)[1]
    word = hashlib.sha256((tmp_path / "layer.tgz").read_bytes()).hexdigest()
    blob = registry.data / "docker/registry/v2/blobs/sha256" / word[:2] / word / "data"
    blob.write_bytes(blob.read_bytes()[:10])

    assert not registry.complete("a/b", digest)
    registry.forget(f"sha256:{word}")
    assert _push(registry.ensure(), tmp_path)[1] == digest
    assert registry.complete("a/b", digest)


def test_a_layer_has_the_same_digest_whatever_the_files_times_and_owners(tmp_path):
    digests = set()
    for name, moment in (("one", 1_000_000_000), ("two", 1_700_000_000)):
        tree = tmp_path / name
        (tree / "bin").mkdir(parents=True)
        for number in ("b", "a") if name == "one" else ("a", "b"):
            (tree / "bin" / number).write_text(number)
            os.utime(tree / "bin" / number, (moment, moment))
        (tree / "bin" / "a").chmod(0o700 if name == "one" else 0o755)
        (tree / "link").symlink_to("bin/a")
        digests.add(from_tree(tree, tmp_path / f"{name}.tgz", prefix="usr/local").digest)

    assert len(digests) == 1
    with tarfile.open(tmp_path / "one.tgz") as tar:
        assert tar.getnames()[:3] == ["usr", "usr/local", "usr/local/bin"]
        assert {(member.mtime, member.uid, member.uname) for member in tar} == {(0, 0, "")}


def test_a_users_home_is_its_own(tmp_path):
    (tmp_path / "tree/home/node/x").mkdir(parents=True)
    (tmp_path / "tree/home/nodes").mkdir()
    from_tree(tmp_path / "tree", tmp_path / "layer.tgz", owners={"home/node": 1000})
    with tarfile.open(tmp_path / "layer.tgz") as tar:
        owned = {member.name for member in tar if member.uid == member.gid == 1000}
    assert owned == {"home/node", "home/node/x"}


@pytest.fixture(scope="module")
def made(local_source) -> LocalSource:
    """The stand-ins and the APK repositories in the user's cache."""
    local_source.prepare(REFERENCES, apk=True, say=print)
    return local_source


@pytest.fixture(scope="module")
def again(made, tmp_path_factory) -> Iterator[LocalSource]:
    """All of it made once more in an empty cache; what was downloaded, compiled, and the signing key are taken over.

    On the same file system: melange writes into a package what its folders take there.
    """
    with _another(made, tmp_path_factory.mktemp("again"), REFERENCES, apk=True) as source:
        yield source


@pytest.fixture(scope="module")
def small(made, tmp_path_factory) -> Iterator[LocalSource]:
    """The two quickest stand-ins in a cache of their own, so that a test may stop its registry and take its lock."""
    with _another(made, tmp_path_factory.mktemp("small"), ["alpine:3.18", STATIC], apk=False) as source:
        yield source


@contextlib.contextmanager
def _another(made: LocalSource, state: Path, references: Sequence[str], *, apk: bool) -> Iterator[LocalSource]:
    with tempfile.TemporaryDirectory(prefix=f"tests-{state.name}-", dir=made.folder.parent) as cache:
        local_cache(made.folder, Path(cache) / "local", "keys", "busybox")
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("DEADWEIGHT_CACHE_DIR", cache)
            source = LocalSource(State(state))
        source.prepare(references, apk=apk, say=print)
        yield source
        source.stop()


def test_two_stand_ins_made_again_have_the_same_digests(made, small):
    for name in ("alpine:3.18", STATIC):
        assert small.base(name).digest == made.base(name).digest


@pytest.mark.bases
def test_stand_ins_and_apk_repositories_made_twice_are_the_same(made, again):
    assert made.base("alpine").stand_in
    first, second = ([source.base(name).digest for name in REFERENCES] for source in (made, again))
    assert first == second
    names = sorted(path.relative_to(made.folder) for path in (made.folder / "apk").rglob("*") if path.is_file())
    assert len(names) > 15
    for name in names:
        assert (again.folder / name).read_bytes() == (made.folder / name).read_bytes(), name


def test_nothing_is_made_again(made):
    other = LocalSource(made.state)
    other.prepare(REFERENCES, apk=True, say=pytest.fail)

    assert other.base("alpine:3.18") == made.base("alpine:3.18")
    assert other.tools(REFERENCES, apk=True) == ("docker-registry",)


def test_a_registry_that_ended_is_started_again_for_what_is_there(small, monkeypatch):
    """Also while another run makes stand-ins: on a new machine that takes minutes."""
    before = small.base("alpine:3.18")
    monkeypatch.setattr(source_module, "LOCK_SECONDS", 0.1)
    assert small.stop()
    with FileLock(small.folder / "lock"):
        small.prepare(["alpine:3.18"], apk=False, say=pytest.fail)
    assert small.base("alpine:3.18") == before


def test_no_stand_in_names_the_machines_mirror(made):
    """Packages come from the machine's own apt sources; none of their hosts may be left in an image."""
    words = ("apt-get", "indextargets", "--format", "$(SITE)")
    hosts = {line.split("//")[-1].split("/")[0].encode() for line in _run.run(words).output.split()}
    assert hosts
    members = set()
    for member, content in _files(made, "ubuntu:23.10"):
        members.add(member)
        if member.startswith(("./etc/apt", "./var/lib/apt")):
            assert not [host for host in hosts if host and host in content], member
    for name in ("etc/apt/sources.list", "etc/resolv.conf", "etc/hostname", "etc/apt/sources.list.d/debian.sources"):
        assert f"./{name}" not in members


def test_both_busyboxes_can_compute(made):
    folder = made.folder / "busybox"
    for name in ("busybox-static", "busybox-dynamic"):
        done = _run.run([folder / name, "awk", "BEGIN { print exp(1), 2 ^ 0.5, sqrt(2), atan2(0, -1) }"])
        assert done.output.split() == ["2.71828", "1.41421", "1.41421", "3.14159"]


def test_wget_ends_where_the_other_side_refuses_its_tls(made):
    """It waited for ever, though not each time."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=_refuse_tls, args=(server, TRIES))
        thread.start()
        url = f"https://127.0.0.1:{server.getsockname()[1]}/"
        for _ in range(TRIES):
            argv = [made.folder / "busybox" / "busybox-static", "wget", "-O", "-", url]
            done = subprocess.run(argv, env={"PATH": "/none"}, capture_output=True, text=True, timeout=20, check=False)
            assert "TLS error from peer" in done.stderr, done.stderr
            assert done.returncode in (1, -signal.SIGPIPE), done.stderr  # it may tell its helper more, which has ended
        thread.join(10)


def _refuse_tls(server: socket.socket, times: int) -> None:
    for _ in range(times):
        connection, _address = server.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(bytes.fromhex("15 0303 0002 02 28"))  # a fatal alert: handshake failure
            while connection.recv(4096):  # what it answers; to be closed before would end it by SIGPIPE now and then
                pass


def expected_files() -> dict[str, dict[str, bytes]]:
    """Files of each stand-in, with what is in them."""
    loader = this_machine().musl_loader
    programs = ("usr/local/go/bin/go", "usr/bin/gcc", "usr/bin/g++", "usr/bin/make", "usr/bin/git")
    return {
        "alpine:3.18": {
            "etc/os-release": b"ID=deadweight-stand-in", f"lib/{loader}": b"", "bin/busybox": loader.encode(),
            "etc/group": b"nogroup:x:65533", "var/lib": b"", "var/spool": b"",
        },
        STATIC: {
            "var/lib/dpkg/status.d/tzdata": b"Package: tzdata", "etc/passwd": b"nonroot:x:65532:65532",
            "usr/share/zoneinfo/Europe/Berlin": b"",
        },
        "ubuntu:23.10": {"usr/lib/os-release": b"ID=debian"},
        GOLANG: {
            "usr/local/go/VERSION": b"go1.21.3\n", "usr/lib/os-release": b"ID=debian", **dict.fromkeys(programs, b""),
        },
    }  # fmt: skip


HELD = ["alpine:3.18", STATIC, "ubuntu:23.10", pytest.param(GOLANG, marks=pytest.mark.bases)]


@pytest.mark.parametrize("reference", HELD)
def test_a_stand_in_holds_what_the_original_does(made, reference):
    made.prepare((reference,), apk=False, say=print)
    wanted, files = expected_files()[reference], dict[str, bytes]()
    for name, content in _files(made, reference):
        assert reference != STATIC or not name.startswith(("bin/", "usr/bin/")), "it has no programs"
        if (path := name.removeprefix("./")) in wanted:
            files[path] = content
    assert files.keys() == wanted.keys()
    assert [path for path, text in wanted.items() if text not in files[path]] == []
    assert b"ubuntu" not in files.get("usr/lib/os-release", b"").lower()


def test_the_apk_repositories_are_reached_by_a_path_that_no_checkout_changes_and_the_private_key_is_ours_alone(made):
    apk = made.apk("alpine")
    assert apk.repositories == ("./.deadweight/local-apk/alpine",)
    assert (made.state.root / apk.keyring[0]).is_file()
    assert (made.state.root / apk.repositories[0] / this_machine().apk / "APKINDEX.tar.gz").is_file()
    assert (made.folder / "keys" / "deadweight.rsa").stat().st_mode & 0o777 == 0o600
    assert (made.folder / "keys").stat().st_mode & 0o077 == 0
    assert not list((made.folder / "apk").rglob("*.rsa"))


def _files(source: LocalSource, reference: str):
    """Every member of every layer of a stand-in with its content, read through the registry."""
    base = source.base(reference).resolved
    address, _, rest = base.partition("/")
    for layer in json.loads(Remote(base).manifest())["layers"]:
        url = f"http://{address}/v2/{rest.partition('@')[0]}/blobs/{layer['digest']}"
        with urllib.request.urlopen(url) as blob, tarfile.open(fileobj=blob, mode="r|gz") as tar:
            for member in tar:
                file = tar.extractfile(member) if member.isfile() else None
                yield member.name, file.read() if file else b""


@pytest.fixture
def later_jdk(tmp_path, monkeypatch) -> Path:
    """A JDK 21 first on PATH, and no folder of Debian's with another; gives that folder."""
    programs = dict.fromkeys(("java", "javac", "jlink"), "echo 'openjdk version \"21.0.4\"' >&2")
    first_on_path(monkeypatch, tmp_path / "jdk" / "bin", programs)
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setattr(machine, "JVMS", tmp_path / "jvm")
    return tmp_path / "jvm"


def test_a_runtime_of_another_java_than_the_one_meant_says_so_and_is_made_anew_with_a_later_one(later_jdk):
    source = LocalSource(State(later_jdk))
    others = {recipe: source._stamps.fingerprint(StandIn(recipe)) for recipe in ("jre", "java17", "static")}
    assert list(java._labels(machine.other_jdk()).values()) == [wording("label.other_jdk", jdk="21.0.4")]
    # Debian lets both stand side by side: then it is cut from the one meant
    written(later_jdk, {"java-17-openjdk-amd64/bin/jlink": ""})
    assert machine.other_jdk() == ""
    source = LocalSource(State(later_jdk))
    changed = {recipe for recipe, known in others.items() if source._stamps.fingerprint(StandIn(recipe)) != known}
    assert changed == {"jre", "java17"}


@pytest.mark.parametrize(("there", "home", "labelled"), [
    ("openjdk-17-jdk-headless", "java-17-openjdk-amd64", False),
    ("openjdk-21-jdk-headless", "java-21-openjdk-amd64", True), ("default-jdk-headless", "default-java", True),
])  # fmt: skip
def test_maven_comes_with_the_jdk_that_the_machine_s_packages_have(later_jdk, monkeypatch, there, home, labelled):
    asked, ours = list[str](), Machine("amd64", "amd64", "x86_64", "x86_64-linux-gnu", "bookworm")
    cache = SimpleNamespace(machine=ours, rootfs_layer=lambda names, *, fast: asked.extend(names))
    monkeypatch.setattr(system, "_existing", lambda _: [there])
    settings = java.jdk(cache, "").settings
    assert there in asked
    assert f"JAVA_HOME={later_jdk / home}" in settings.env
    assert bool(settings.labels) is labelled


def test_the_settings_of_a_java_lie_in_it_so_that_it_can_be_copied(tmp_path):
    files, home = {"jvm.cfg": "-server KNOWN\n", "security/java.security": "x=1\n"}, tmp_path / "home"
    package = written(tmp_path / "package", {f"etc/java-21-openjdk/{name}": text for name, text in files.items()})
    (home / "lib").mkdir(parents=True)
    (home / "lib/jvm.cfg").symlink_to("/etc/java-21-openjdk/jvm.cfg")
    (home / "conf").symlink_to("/etc/java-21-openjdk")
    (home / "lib/elsewhere").symlink_to("/usr/share/doc")
    java._settle(home, package)
    assert (home / "lib/jvm.cfg").read_text() == "-server KNOWN\n"
    assert not (home / "lib/jvm.cfg").is_symlink()
    assert (home / "conf/security/java.security").read_text() == "x=1\n"
    assert (home / "lib/elsewhere").is_symlink()


def test_a_repository_has_the_codename_of_its_packages_release(tmp_path):
    """Newer mmdebstrap takes the essential packages of the release that it is to make, and this machine's may be another."""
    repository = repository_of([], this_machine(), "bookworm", tmp_path / "repository")
    assert "Codename: bookworm" in (repository / "Release").read_text().splitlines()


def test_the_first_package_that_apt_knows_is_chosen():
    assert system.chosen("no-such-package-0|apt|dpkg") == "apt"
    assert system.chosen("no-such-package-0|no-such-package-1") == "no-such-package-0"


def test_who_lacks_nothing_does_not_wait_for_a_run_that_makes_others(small, tmp_path, monkeypatch):
    """Compiling Python for one project takes minutes, and held up every other project."""
    asks = ("debian:12-slim", "apt-get update && apt-get install --yes netcat")
    small.prepare([STATIC], apk=False, say=print)
    mounts = small.mounts(*asks)
    monkeypatch.setattr(source_module, "LOCK_SECONDS", 0.1)
    monkeypatch.setenv("DEADWEIGHT_CACHE_DIR", str(small.folder.parent))
    lines: list[str] = []
    with FileLock(small.folder / "lock"):
        another = LocalSource(State(tmp_path))
        another.prepare([STATIC], apk=False, say=lines.append)
        assert another.mounts(*asks) == mounts
    assert (lines, [mount.partition(",target=")[2] for mount in mounts]) == ([], [*debian.FEEDS, "/media"])
    assert another.base(STATIC).digest == small.base(STATIC).digest


def test_rebased_bases_are_the_nearest_ones_and_say_so(tmp_path):
    references = ["gradle:8-jdk21", "golang:1.24", "mcr.microsoft.com/dotnet/sdk:8.0"]
    plain = LocalSource(State(tmp_path)).missing_bases(references)
    assert [about for about, _ in plain.problems] == [references[0], references[2]]
    assert LocalSource(State(tmp_path)).missing_bases(references[:1]).hint == wording("hint.rebase")

    source = LocalSource(State(tmp_path), settings.Settings(rebase=True))
    assert [about for about, _ in source.missing_bases(references).problems] == [references[2]]
    assert source._stand_in("gradle:8-jdk21") == StandIn("jdk", "21")
    rebased = wording("stand_in.rebased", reference="gradle:8-jdk21", near="eclipse-temurin:21")
    assert source.base("gradle:8-jdk21").reference == rebased
    assert source.base("golang:1.24").reference == "golang:1.24"
