"""RunOptions and the document they become."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys

import pytest

from deadweight._errors import UsageError
from deadweight.engine import api
from deadweight.engine.dialect import Podman, ceilings, dialect_of
from deadweight.engine.info import parse_info
from deadweight.engine.options import Mount, RunOptions, Tmpfs, Ulimit, hardened, is_root
from deadweight.suite.model import RunSettings

DOCKER = parse_info(
    {"Version": "20.10.24", "ApiVersion": "1.41", "Components": [{"Name": "Engine"}]},
    {"SecurityOptions": ["name=seccomp,profile=default"], "CgroupVersion": "1", "Driver": "overlay2"},
)
PODMAN = parse_info(
    {"Version": "4.3.1", "Components": [{"Name": "Podman Engine"}]}, {"SecurityOptions": ["name=rootless"]}
)


@pytest.mark.parametrize(
    ("told", "rootless"),
    [
        ({"SecurityOptions": ["name=seccomp,profile=default", "name=rootless"]}, True),
        ({"SecurityOptions": ["name=seccomp,profile=default"], "Rootless": True}, True),
        ({"SecurityOptions": ["name=seccomp,profile=default"], "Rootless": False}, False),
    ],
    ids=["Docker", "Podman", "Podman as root"],
)
def test_an_engine_without_root_is_known_by_either_word(told, rootless):
    """Podman 4.3.1 says so in a field of its own: it was taken for one whose networks root of this machine can enter."""
    assert parse_info({}, told).rootless is rootless


@pytest.mark.parametrize(("user", "root"), [("", True), ("root", True), ("0", True), ("0:0", True), ("00", True), ("root:1", True),
                                            ("65532", False), ("nobody", False), ("1000:0", False)])  # fmt: skip
def test_root_is_told_by_name_and_number(user, root):
    assert root == is_root(user)


def test_hardened_takes_everything_that_a_service_does_not_need():
    body = dialect_of(DOCKER, "").create_body("image:1", hardened(RunSettings(), port=8080, image_user="root"))
    host = body["HostConfig"]
    assert body["User"] == "65532:65532"
    assert host["ReadonlyRootfs"] is True
    assert host["CapDrop"] == ["ALL"]
    assert host["SecurityOpt"] == ["no-new-privileges"]
    assert host["Memory"] == host["MemorySwap"] == 256 * 2**20
    assert host["NanoCpus"] == 10**9
    assert host["PidsLimit"] == 64
    assert host["Tmpfs"] == {"/tmp": "rw,noexec,nosuid,nodev,size=67108864,mode=1777"}
    assert host["PortBindings"] == {"8080/tcp": [{"HostIp": "127.0.0.1", "HostPort": ""}]}
    assert host["LogConfig"]["Config"]["max-size"] == str(10 * 2**20)
    assert "MaskedPaths" not in host


def test_hardened_keeps_an_image_user_that_is_not_root_and_what_the_suite_says():
    assert hardened(RunSettings(), image_user="nobody").user == "nobody"
    assert hardened(RunSettings(user="1234"), image_user="nobody").user == "1234"
    assert hardened(RunSettings(tmpfs=("/run:1MiB",))).tmpfs == (Tmpfs("/run", 2**20),)
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
    host = body["HostConfig"]
    assert json.loads(host["SecurityOpt"][0].removeprefix("seccomp=")) == {"defaultAction": "SCMP_ACT_ALLOW"}
    assert host["SecurityOpt"][1] == "apparmor=unconfined"
    assert host["MaskedPaths"] == host["ReadonlyPaths"] == []
    assert host["NetworkMode"] == "none"
    assert host["PidMode"] == "host"
    assert host["Mounts"] == [{"Type": "bind", "Source": str(tmp_path), "Target": "/host", "ReadOnly": True}]
    assert {"Memory", "MemorySwap", "PidsLimit", "PortBindings"}.isdisjoint(host)
    assert body["Env"] == ["A=1", "B=2"]
    assert (body["Entrypoint"], body["Cmd"], body["Labels"]) == (["/bin/sh"], ["-c", "x"], {"x": "y"})
    assert dialect_of(DOCKER, "").create_body("i", RunOptions(seccomp="unconfined"))["HostConfig"]["SecurityOpt"] == [
        "seccomp=unconfined"
    ]


def test_a_seccomp_profile_that_is_none_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError, match="not a seccomp profile"):
        dialect_of(DOCKER, "").create_body("i", RunOptions(seccomp=str(tmp_path / "absent.json")))


def test_podman_gets_the_name_of_a_seccomp_profile_and_docker_the_document(tmp_path):
    """Podman takes the document for a file's name, too long for any file system."""
    profile = tmp_path / "profile.json"
    profile.write_text('{"defaultAction": "SCMP_ACT_ERRNO"}')
    (told,) = dialect_of(PODMAN, "").create_body("i", RunOptions(seccomp=str(profile)))["HostConfig"]["SecurityOpt"]
    assert told == f"seccomp={profile}"
    profile.write_text("none")
    with pytest.raises(UsageError, match="not a seccomp profile"):
        dialect_of(PODMAN, "").create_body("i", RunOptions(seccomp=str(profile)))


def test_podman_gets_explicit_limits_and_no_foreign_log_driver():
    dialect = Podman(PODMAN, "")
    dialect.ceilings = {"nofile": 500, "nproc": 32768}
    host = dialect.create_body("i", hardened(RunSettings()))["HostConfig"]
    assert {limit["Name"]: (limit["Soft"], limit["Hard"]) for limit in host["Ulimits"]} == {
        "nofile": (500, 500),  # we ask for 1024
        "nproc": (32768, 32768),  # Podman would ask for more
    }
    assert "LogConfig" not in host
    assert host["Tmpfs"]["/tmp"].endswith(",notmpcopyup")  # Docker hides what the image has there
    assert PODMAN.podman
    assert PODMAN.rootless
    assert not PODMAN.seccomp


def test_what_binds_is_the_limit_of_the_process_that_listens(tmp_path):
    """Podman's service lowers its own limits; ours say nothing of them."""
    code = (
        "import resource, socket, sys, time; resource.setrlimit(resource.RLIMIT_NPROC, (4000, 4321));"
        "s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(); print('up', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, tmp_path / "s"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            assert ceilings(f"unix://{tmp_path}/s")["nproc"] == 4321
        finally:
            process.kill()
    assert 0 < ceilings(f"unix://{tmp_path}/s")["nproc"] <= 65536


def test_engine_descriptions_are_read():
    assert (DOCKER.name, DOCKER.version, DOCKER.cgroup, DOCKER.seccomp, DOCKER.apparmor) == (
        "Docker",
        "20.10.24",
        "1",
        True,
        False,
    )
    new = parse_info(
        {"Version": "29.0.1", "Components": [{"Name": "Engine"}]},
        {
            "DriverStatus": [["driver-type", "io.containerd.snapshotter.v1"]],
            "OperatingSystem": "Docker Desktop",
            "CgroupVersion": "2",
        },
    )
    assert (new.containerd_store, new.desktop, new.cgroup) == (True, True, "2")


@pytest.mark.parametrize("masked", [True, False])
def test_podman_is_told_in_its_own_word_to_mask_nothing(masked):
    """It does not look at the lists that Docker takes, and masked everything in every posture."""
    told = dialect_of(PODMAN, "").create_body("i", RunOptions(masked_paths=masked))["HostConfig"]["SecurityOpt"]
    assert ("unmask=ALL" in told) is not masked
    assert dialect_of(DOCKER, "").create_body("i", RunOptions(masked_paths=masked))["HostConfig"]["SecurityOpt"] == []


DESCRIBED = {
    "host": {"idMappings": {"uidmap": [{"container_id": 0, "host_id": 7791}, {"container_id": 1, "host_id": 100000}]}},
    "store": {"graphRoot": "/dev/shm/dwc16/.local/share/containers/storage", "runRoot": "/run/user/7791/containers"},
}
BEFORE = "/run/user/7791/netns/rootless-netns-f595d87b0af6a715f9e4"
SINCE = "/run/user/7791/containers/networks/rootless-netns/rootless-netns"


@pytest.mark.parametrize(
    ("version", "described", "places"),
    [
        ("4.3.1", DESCRIBED, [BEFORE, SINCE]),
        ("5.4.2", DESCRIBED, [SINCE, BEFORE]),
        ("5.4.2", {"store": {"runRoot": "/r/containers"}}, ["/r/containers/networks/rootless-netns/rootless-netns"]),
    ],
)
def test_where_podman_without_root_has_its_bridges(version, described, places, monkeypatch):
    """As seen of 4.3.1 (the name is a digest of where it keeps things), and as 5 has it since."""
    monkeypatch.setattr(api, "podman_info", lambda *_: described)
    found = dialect_of(dataclasses.replace(PODMAN, version=version), "").namespaces()
    assert list(found)[: len(places)] == [f"ns:{place}" for place in places]


def test_any_other_engine_has_its_bridges_in_the_network_of_its_machine():
    for info in (DOCKER, dataclasses.replace(DOCKER, rootless=True), dataclasses.replace(PODMAN, rootless=False)):
        assert dialect_of(info, "").namespaces() == ("host",)
