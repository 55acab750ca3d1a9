"""What a log tells of the walls that harden wrote: lines as auditd, dmesg, journald, kernels and languages write them."""

import json
import re
import subprocess

import pytest

from deadweight.engine.seccomp import profile
from deadweight_attacks.harden.explain import explain
from deadweight_attacks.harden.write import FORMATS, files, render
from deadweight_attacks.harden.write.model import Request
from deadweight_attacks.seccomp.floor import document
from tests.support.forms import sample
from tests.support.invoking import invoke

AUDIT = (
    "auid=4294967295 uid=65532 gid=65532 ses=4294967295 pid=17 comm={} exe={} sig=0 arch={} syscall={} compat=0 ip=0x7f"
)
PYTHON = AUDIT.format('"python3"', '"/usr/bin/python3.11"', "c000003e", 87)

LINES = {
    f"type=SECCOMP msg=audit(1796130000.123:456): {PYTHON}": ("seccomp", "unlink", "python3"),
    f"[ 1234.567890] audit: type=1326 audit(1796130000.123:456): {PYTHON}": ("seccomp", "unlink", "python3"),
    f"Dec 01 13:00:00 host kernel: audit: type=1326 audit(1796130000.1:4): {PYTHON}": ("seccomp", "unlink", "python3"),
    f"Dec 01 13:00:00 host audit[17]: SECCOMP {PYTHON}": ("seccomp", "unlink", "python3"),
    "type=SECCOMP msg=audit(1796130000.1:4): " + AUDIT.format("6D7920617070", '"/app"', "c00000b7", 35): (
        "seccomp", "unlinkat", "my app",
    ),
    "type=SECCOMP msg=audit(01/12/26 13:00:00.1:4) : " + AUDIT.format("java", "/opt/java", "x86_64", "renameat2"): (
        "seccomp", "renameat2", "java",
    ),
    "Memory cgroup out of memory: Killed process 4242 (java) total-vm:9kB, anon-rss:8kB": ("memory", "", "java"),
    "oom-kill:constraint=CONSTRAINT_MEMCG,oom_memcg=/docker/ab,task_memcg=/docker/ab,task=node,pid=42": (
        "memory", "", "node",
    ),
    "[ 12.3] cgroup: fork rejected by pids controller in /docker/abc": ("pids", "", ""),
    "sh: can't fork: Resource temporarily unavailable": ("pids", "", "sh"),
    "RuntimeError: can't start new thread": ("pids", "", ""),
    "java.lang.OutOfMemoryError: unable to create native thread: possibly out of memory": ("pids", "", ""),
    "OSError: [Errno 30] Read-only file system: '/data/x'": ("read_only", "/data/x", ""),
    "Error: EROFS: read-only file system, open '/data/x'": ("read_only", "/data/x", ""),
    "open /data/x: read-only file system": ("read_only", "/data/x", ""),
    "java.nio.file.FileSystemException: /data/x: Read-only file system": ("read_only", "/data/x", ""),
    "OSError: [Errno 28] No space left on device: '/tmp/a'": ("tmpfs", "/tmp/a", ""),
    "connect ENETUNREACH 10.0.0.1:443": ("network", "", ""),
    'audit: type=1400 audit(1796130000.1:4): apparmor="ALLOWED" operation="mknod" class="file" profile="deadweight-shop"'
    ' name="/data/x" pid=17 comm="python3" requested_mask="c" denied_mask="c" fsuid=65532 ouid=65532': (
        "read_only", "/data/x", "python3",
    ),
    "PermissionError: [Errno 1] Operation not permitted": ("refused", "", ""),
}  # fmt: skip


@pytest.mark.parametrize(("line", "expected"), LINES.items())
def test_a_line_names_the_wall_the_call_and_the_program(line, expected):
    (finding,) = explain(render(sample(), "compose"), ["started", line, "GET / 500"])
    assert (finding.wall, finding.what, finding.program) == expected


CHANGES = {"run": "--tmpfs /data", "compose": "/data under tmpfs", "kubernetes": "emptyDir at /data",
           "podman": "--tmpfs /data", "quadlet": "Tmpfs=/data", "ecs": "/data writable"}  # fmt: skip


@pytest.mark.parametrize("form", FORMATS)
def test_each_form_is_known_by_itself_and_has_a_change(form):
    """In the words of its platform: these are what a user types."""
    (finding,) = explain(render(sample(), form), ["OSError: [Errno 30] Read-only file system: '/data/x'"] * 3)
    assert (CHANGES[form] in finding.change, finding.times) == (True, 3)


def test_the_command_takes_a_file_and_a_log_or_reads_the_log_from_a_pipe(tmp_path):
    (tmp_path / "compose.yaml").write_text(render(sample(), "compose"))
    line = "open /data/x: read-only file system\n"
    (tmp_path / "service.log").write_text(line)
    ways = [("service.log",), ("--log", "service.log"), ()]
    texts = {
        invoke(tmp_path, "harden", "--explain", "compose.yaml", *words, stdin=line, code=0).stdout for words in ways
    }
    assert len(texts) == 1
    assert "/data" in texts.pop()
    invoke(tmp_path, "harden", "--explain", "compose.yaml", "nowhere.log", code=2)


def test_a_call_that_a_profile_allows_was_refused_by_another():
    text = json.dumps(document(("read", "unlink"), (), "amd64"))
    lines = [f"type=SECCOMP msg=audit(1.1:4): {PYTHON.replace('=87 ', f'={number} ')}" for number in (87, 82)]
    findings = explain(text, lines)
    assert [(finding.what, finding.written) for finding in findings] == [("unlink", False), ("rename", True)]


def test_an_audit_profile_refuses_nothing_but_clone3_and_says_what_cannot_log():
    audited = profile.logging(document(("read",), (), "amd64"))
    assert (audited["defaultAction"], "defaultErrnoRet" in audited) == ("SCMP_ACT_LOG", False)
    assert [rule["names"] for rule in audited["syscalls"] if rule["action"] == "SCMP_ACT_ERRNO"] == [["clone3"]]
    texts = [render(sample(), "compose", Request(audit=audit)) for audit in (False, True)]
    assert texts[1].count("\n") == texts[0].count("\n") + 1


NAMES = {"run": "apparmor=deadweight-shop", "podman": "apparmor=deadweight-shop", "quadlet": "apparmor=deadweight-shop",
         "compose": "apparmor:deadweight-shop", "kubernetes": "localhostProfile: deadweight-shop"}  # fmt: skip


@pytest.mark.parametrize("form", NAMES)
def test_apparmor_logs_writes_where_a_read_only_file_system_refuses_them(form, tmp_path):
    """Its own parser takes the profile; the kernel need not have it."""
    written = files(sample(), form, Request(audit=True))
    assert NAMES[form] in "".join(written.values())
    assert not re.search(r"--read-only\b|ReadOnly=true|read_only: true|FileSystem: true", "".join(written.values()))
    (tmp_path / "profile").write_text(written["shop.apparmor"])
    taken = ["apparmor_parser", "--skip-kernel-load", "--skip-cache", "--names", tmp_path / "profile"]
    done = subprocess.run(taken, capture_output=True, text=True, timeout=60)
    assert (done.stdout.split(), done.returncode) == (["deadweight-shop"], 0), done.stderr
    assert '"/tmp/{,**}" rwkl' in written["shop.apparmor"]
