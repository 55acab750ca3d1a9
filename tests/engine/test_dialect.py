"""How a container is run: the options, and what each engine makes of them."""

import contextlib
import dataclasses
import json
import subprocess
import sys
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from docker.errors import NotFound

from deadweight._errors import DeadweightError, UsageError
from deadweight.engine import api
from deadweight.engine.client import Engine, number_of, with_tmpfs_owners
from deadweight.engine.images import Images
from deadweight.engine.options import Mount, Podman, RunOptions, Tmpfs, Ulimit, ceilings, dialect_of, hardened, is_root
from deadweight.suite.model import RunSettings
from tests.support.codes import raises
from tests.support.small_images import docker_archive, in_engine, program, reference

DOCKER = api.parse_info(
    {"Version": "20.10.24", "ApiVersion": "1.41", "Components": [{"Name": "Engine"}]},
    {"SecurityOptions": ["name=seccomp,profile=default"], "CgroupVersion": "1", "Driver": "overlay2"},
)
PODMANS = {"Version": "4.3.1", "Components": [{"Name": "Podman Engine"}]}
PODMAN = api.parse_info(PODMANS, {"SecurityOptions": ["name=rootless"]})


@pytest.mark.parametrize(("user", "root"), [("", True), ("root", True), ("0", True), ("0:0", True), ("00", True), ("root:1", True),
                                            ("65532", False), ("nobody", False), ("1000:0", False)])  # fmt: skip
def test_root_is_told_by_name_and_number(user, root):
    assert root == is_root(user)


def test_hardened_takes_everything_that_a_service_does_not_need():
    body = dialect_of(DOCKER, "").create_body("image:1", hardened(RunSettings(), port=8080, image_user="root"))
    host = body["HostConfig"]
    expected = {
        "ReadonlyRootfs": True, "CapDrop": ["ALL"], "SecurityOpt": ["no-new-privileges"], "PidsLimit": 64,
        "Memory": 256 * 2**20, "MemorySwap": 256 * 2**20, "NanoCpus": 10**9,
        "Tmpfs": {"/tmp": "rw,noexec,nosuid,nodev,size=67108864,mode=1777"},
        "PortBindings": {"8080/tcp": [{"HostIp": "127.0.0.1", "HostPort": ""}]},
    }  # fmt: skip
    assert expected == {key: host[key] for key in expected}
    assert body["User"] == "65532:65532"
    assert host["LogConfig"]["Config"]["max-size"] == str(10 * 2**20)
    assert "MaskedPaths" not in host


def test_hardened_keeps_an_image_user_that_is_not_root_and_what_the_suite_says():
    users = [hardened(run, image_user="nobody").user for run in (RunSettings(), RunSettings(user="1234"))]
    assert users == ["nobody", "1234"]
    assert hardened(RunSettings(tmpfs=("/run:1MiB",))).tmpfs == (Tmpfs("/run", 2**20),)
    started = hardened(RunSettings(entrypoint=("/bin/sh", "-c"), args=("exit",)))
    assert (started.entrypoint, started.args) == (("/bin/sh", "-c"), ("exit",))
    kept = hardened(RunSettings(capabilities=("SETGID", "SETUID")))
    assert (kept.cap_drop, kept.cap_add) == (("ALL",), ("SETGID", "SETUID"))


def test_an_open_posture_is_composed_from_the_hardened_one(tmp_path):
    profile = tmp_path / "seccomp.json"
    profile.write_text('{"defaultAction": "SCMP_ACT_ALLOW"}')
    posture = hardened(RunSettings(), port=8080).but(
        user="0:0", read_only=False, cap_drop=(), cap_add=("SYS_ADMIN",), no_new_privileges=False, seccomp=str(profile),
        apparmor="unconfined", masked_paths=False, publish=None, network="none", pids=None, memory_bytes=None,
        mounts=(Mount(tmp_path, "/host"),), ulimits=(Ulimit("core", 0, 0),), entrypoint=("/bin/sh",), args=("-c", "x"),
        env={"B": "2", "A": "1"}, labels={"x": "y"}, pid_mode="host",
    )  # fmt: skip
    body = dialect_of(DOCKER, "").create_body("image:1", posture)
    host = body.pop("HostConfig")
    expected = {
        "SecurityOpt": ['seccomp={"defaultAction": "SCMP_ACT_ALLOW"}', "apparmor=unconfined"],
        "MaskedPaths": [], "ReadonlyPaths": [], "NetworkMode": "none", "PidMode": "host",
        "Mounts": [{"Type": "bind", "Source": str(tmp_path), "Target": "/host", "ReadOnly": True}],
    }  # fmt: skip
    assert expected == {key: host[key] for key in expected}
    assert {"Memory", "MemorySwap", "PidsLimit", "PortBindings"}.isdisjoint(host)
    run = {"Env": ["A=1", "B=2"], "Entrypoint": ["/bin/sh"], "Cmd": ["-c", "x"], "Labels": {"x": "y"}, "User": "0:0"}
    assert body == {"Image": "image:1", **run}
    assert security(DOCKER, RunOptions(seccomp="unconfined")) == ["seccomp=unconfined"]


def security(info: api.EngineInfo, options: RunOptions) -> list[str]:
    values: list[str] = dialect_of(info, "").create_body("i", options)["HostConfig"]["SecurityOpt"]
    return values


def test_podman_gets_the_name_of_a_seccomp_profile_and_docker_the_document(tmp_path):
    """Podman takes the document for a file's name, too long for any file system."""
    profile = tmp_path / "profile.json"
    options = RunOptions(seccomp=str(profile))
    for info in (DOCKER, PODMAN):
        with raises(UsageError, "seccomp.not_a_profile", file=profile):
            security(info, options)
    profile.write_text('{"defaultAction": "SCMP_ACT_ERRNO"}')
    assert security(PODMAN, options) == [f"seccomp={profile}"]


def test_podman_gets_explicit_limits_and_no_foreign_log_driver():
    dialect = Podman(PODMAN, "")
    dialect.ceilings = {"nofile": 500, "nproc": 32768}
    host = dialect.create_body("i", hardened(RunSettings()))["HostConfig"]
    # we ask for 1024 files, and Podman would ask for more processes
    limits = {limit["Name"]: (limit["Soft"], limit["Hard"]) for limit in host["Ulimits"]}
    assert limits == {"nofile": (500, 500), "nproc": (32768, 32768)}
    assert "LogConfig" not in host
    assert host["Tmpfs"]["/tmp"].endswith(",notmpcopyup")  # Docker hides what the image has there
    assert (PODMAN.podman, PODMAN.rootless, PODMAN.seccomp) == (True, True, False)


def test_what_binds_is_the_limit_of_the_process_that_listens(tmp_path):
    """Podman's service lowers its own limits; ours say nothing of them."""
    code = (
        "import resource, socket, sys, time; open('/proc/self/comm', 'w').write('podman');"
        "resource.setrlimit(resource.RLIMIT_NPROC, (4000, 4321));"
        "s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(); print('up', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, tmp_path / "s"], stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        limits = ceilings(f"unix://{tmp_path}/s")
        process.kill()
    assert limits["nproc"] == 4321
    assert 0 < ceilings(f"unix://{tmp_path}/s")["nproc"] <= 65536


def test_engine_descriptions_are_read():
    """Podman 4.3.1 says in a field of its own that it is without root: it was taken for one whose networks root of this machine
    can enter."""
    assert (DOCKER.name, DOCKER.version, DOCKER.cgroup) == ("Docker", "20.10.24", "1")
    assert (DOCKER.seccomp, DOCKER.apparmor) == (True, False)
    driver = [["driver-type", "io.containerd.snapshotter.v1"]]
    info = {"DriverStatus": driver, "CgroupVersion": "2"}
    new = api.parse_info({"Version": "29.0.1", "Components": [{"Name": "Engine"}]}, info)
    assert (new.containerd_store, new.cgroup) == (True, "2")
    either = [({"SecurityOptions": ["name=rootless"]}, True), ({"Rootless": True}, True), ({"Rootless": False}, False)]
    for answer, rootless in either:
        assert api.parse_info({}, answer).rootless is rootless, answer


@pytest.mark.parametrize("masked", [True, False])
def test_podman_is_told_in_its_own_word_to_mask_nothing(masked):
    """It does not look at the lists that Docker takes, and masked everything in every posture."""
    assert security(PODMAN, RunOptions(masked_paths=masked)) == ([] if masked else ["unmask=ALL"])
    assert security(DOCKER, RunOptions(masked_paths=masked)) == []


DESCRIBED = {
    "host": {"idMappings": {"uidmap": [{"container_id": 0, "host_id": 7791}, {"container_id": 1, "host_id": 100000}]}},
    "store": {"graphRoot": "/dev/shm/dwc16/.local/share/containers/storage", "runRoot": "/run/user/7791/containers"},
}
BEFORE = "/run/user/7791/netns/rootless-netns-f595d87b0af6a715f9e4"
SINCE = "/run/user/7791/containers/networks/rootless-netns/rootless-netns"


@pytest.mark.parametrize(("version", "described", "places"), [
    ("4.3.1", DESCRIBED, [BEFORE, SINCE]),
    ("5.4.2", DESCRIBED, [SINCE, BEFORE]),
    ("5.4.2", {"store": {"runRoot": "/r/containers"}}, ["/r/containers/networks/rootless-netns/rootless-netns"]),
])  # fmt: skip
def test_where_podman_without_root_has_its_bridges(version, described, places, monkeypatch):
    """As seen of 4.3.1 (the name is a digest of where it keeps things), and as 5 has it since."""
    monkeypatch.setattr(api, "document_once", lambda *_: described)
    names = dialect_of(dataclasses.replace(PODMAN, version=version), "").namespaces()
    assert list(names)[: len(places)] == [f"ns:{place}" for place in places]


def test_any_other_engine_has_its_bridges_in_the_network_of_its_machine():
    for info in (DOCKER, dataclasses.replace(DOCKER, rootless=True), dataclasses.replace(PODMAN, rootless=False)):
        assert dialect_of(info, "").namespaces() == ("host",)


# Getting an image from a registry: of this machine too, and with what the engine said where it does not.
HERE, ELSEWHERE = "127.0.0.1:5742/stand-in/busybox@sha256:12", "registry.example.com/busybox:1"


class Api:
    """Remembers how it was asked, and says this of it."""

    base_url = "http+docker://localhost"

    def __init__(self, *answers: dict[str, str], status: int = 200) -> None:
        self.answers, self.asked, self.status = answers, list[str](), status

    def inspect_image(self, reference: str) -> None:
        raise NotFound(reference)

    @contextlib.contextmanager
    def post(self, url: str, **_: object) -> Iterator[SimpleNamespace]:
        self.asked.append(url)
        lines = [json.dumps(answer).encode() for answer in self.answers]
        yield SimpleNamespace(iter_lines=lambda: lines, ok=self.status < 400, status_code=self.status)

    def pull(self, reference: str, **_: object) -> tuple[dict[str, str], ...]:
        self.asked.append(reference)
        return self.answers


TO_PODMAN = "http+docker://localhost/v4.0.0/libpod/images/pull?reference=127.0.0.1%3A5742%2Fstand-in%2Fbusybox%40sha256%3A12&tlsVerify=false"


@pytest.mark.parametrize(("reference", "info", "asked"), [
    (HERE, PODMAN, TO_PODMAN), (HERE, DOCKER, HERE), (ELSEWHERE, PODMAN, ELSEWHERE), (ELSEWHERE, DOCKER, ELSEWHERE),
])  # fmt: skip
def test_podman_alone_is_told_that_a_registry_of_this_machine_speaks_no_tls(reference, info, asked):
    """It pulled no stand-in, without a word: its shell, its Redis and its Postgres were missing."""
    api = Api({"stream": "Trying"}, {"id": "1"})
    assert (Images(api, lambda: dialect_of(info, "")).pull(reference), api.asked) == (reference, [asked])


@pytest.mark.parametrize(("info", "status", "answers", "problem"), [
    (PODMAN, 200, [{"stream": "Trying"}, {"error": "connection refused"}], "connection refused"),
    (DOCKER, 200, [{"stream": "Trying"}, {"error": "connection refused"}], "connection refused"),
    (PODMAN, 500, [{"message": "no such reference"}], "no such reference"),
    (PODMAN, 500, [], "HTTP status 500"),
])  # fmt: skip
def test_what_an_engine_says_of_a_pull_that_fails_is_told(info, status, answers, problem):
    """Some after its first words; what Podman refuses at once it says with ``message``, not with ``error``."""
    with raises(DeadweightError, "engine.not_pulled", image=HERE, problem=problem):
        Images(Api(*answers, status=status), lambda: dialect_of(info, "")).pull(HERE)


# Whose a folder in memory is: by the options alone, and in containers that write to it.
DATA, TMP = Tmpfs("/data"), Tmpfs("/tmp")
PASSWD = b"root:x:0:0::/:/bin/sh\nbroken\nweb:x:1234:5::/:/bin/sh\nword:x:many:5::/:/bin/sh\n"


@pytest.mark.parametrize(("user", "image_user", "uid"), [
    ("65532:65532", "", 65532), (None, "1000", 1000), (None, "web:other", 1234), (None, "unknown", None),
    (None, "word", None), (None, "", None), ("0", "web", None), ("root", "web", None),
])  # fmt: skip
def test_a_folder_in_memory_belongs_to_the_user_that_the_container_runs_as(user, image_user, uid):
    got = with_tmpfs_owners(RunOptions(user=user, tmpfs=(DATA, TMP)), image_user, lambda name: number_of(name, PASSWD))
    assert [(mount.path, mount.uid) for mount in got.tmpfs] == [("/data", uid), ("/tmp", None)]
    assert got.tmpfs[0].options().endswith("mode=1777" if uid is None else f"mode=1777,uid={uid}")


def test_nobody_is_looked_up_for_the_folders_that_are_everybodys():
    options = RunOptions(tmpfs=(TMP, Tmpfs("/dev/shm/")))
    assert with_tmpfs_owners(options, "web", pytest.fail) is options


def test_a_service_writes_to_a_folder_that_the_image_gave_to_its_user_alone(engine: Engine, tmp_path):
    """As a Dockerfile's ``RUN chown web /data`` leaves it, once by the user's name and once by its number."""
    name = reference("owned")
    files = {**program("touch"), "/etc/passwd": PASSWD, "/data/": "1234"}
    config = {"Entrypoint": ["/usr/bin/touch", "/data/x"], "User": "web"}
    options = RunOptions(read_only=True, tmpfs=(DATA,), network="none")
    with in_engine(engine, docker_archive(tmp_path / "image.tar", name, [files], config), name):
        for user in (None, "1234"):
            with engine.start(name, options.but(user=user)) as container:
                assert (container.wait_ended(20).exit_code, container.logs()) == (0, [])
