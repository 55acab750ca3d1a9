"""An engine as Docker Desktop, Colima, WSL or another machine has it: whatever is measured there is right, and what is not says so.

Every command is a user's, without root, who has no more of the engine than its socket, one folder and forwarded ports.
"""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from deadweight.engine import api, netns
from deadweight.engine.client import Engine
from deadweight.engine.options import RunOptions
from deadweight.engine.own import machine
from deadweight.suite.model import Health
from tests.support import ROOT, engine_tour
from tests.support.limited_engine import (
    CONTEXT,
    INVOKE,
    USER,
    Limited,
    document,
    ended,
    limited_engine,
    sweep,
    verified,
)
from tests.support.marks import NEEDS_DOCKERD
from tests.support.processes import wait_for
from tests.support.trees import written

pytestmark = [pytest.mark.engine, pytest.mark.tools, pytest.mark.slow, NEEDS_DOCKERD]
SUITE = """\
name: tour
defaults:
  builder: dockerfile
  dockerfile: Dockerfile
  source: files
  port: 8080
  health: {path: /healthz}
  secrets: {token: token}
  checks: {budget: {layers: {hard: 5}}, layers: {}, api: [{name: adds, request: {method: POST, path: /api/v1/awk,
    json: {script: 'BEGIN { print 6 * 7 }'}}, expect: {body_contains: "42"}}]}
variants:
  plain: {}
  files:
    run:
      files: {/extra/token: token}
      needs: {other: {variant: plain, port: 8080, health: {path: /healthz}, files: {/needed: token}}}
    checks: {api: [{name: reads, expect: {body_contains: a-word-of-25-characters}, request: {method: POST, path: /api/v1/awk,
      json: {script: 'BEGIN { getline line < "/extra/token"; print line }'}}}]}
"""
HOST = {"breach-host-read", "breach-host-write", "breach-engine-socket", "breach-token"}
UNSEEN = {*HOST, "breach-other-processes", "breach-shared-memory", "breach-disk"}
"""Attacks whose success would be seen on the engine's machine alone."""


@pytest.fixture(scope="module")
def limited() -> Iterator[Limited]:
    with limited_engine() as made:
        yield made


@pytest.fixture(scope="module")
def project(limited) -> Path:
    """In a folder that the engine does not share: that of nearly all who use one elsewhere. Built."""
    folder = limited.home / "project"
    engine_tour.lay_out(folder)
    written(folder, {"deadweight.yaml": SUITE})
    limited.owned(folder)
    limited.run(folder, *INVOKE, "build")
    return folder


@pytest.fixture(scope="module")
def begun(limited, project) -> Iterator[dict[str, "subprocess.Popen[str]"]]:
    """What takes longest, side by side with all the rest, each in a checkout of its own."""
    words = {"attack": ("attack", "--posture", "hardened"), "harden": ("harden",)}
    started = {}
    for name, task in words.items():
        shutil.copytree(project, folder := limited.home / name, symlinks=True)
        for path in (folder, *folder.rglob("*")):
            os.chown(path, USER, USER, follow_symlinks=False)
        started[name] = limited.start(folder, *INVOKE, *task, "--variant", "plain", "--json")
    yield started
    for process in started.values():
        with process:
            process.kill()


def test_its_client_has_a_socket_and_no_more(limited, begun):
    """No root, no process, control group or other socket; and the engine's numbers and addresses mean nothing here."""
    seen = limited.run(
        limited.home, "sh", "-c", "id -u; docker context show; ls /sys/fs/cgroup /run; ls -d /proc/[0-9]* | wc -l"
    )
    assert seen.split()[:2] == [str(USER), CONTEXT]
    assert int(seen.split()[-1]) < 10
    assert "docker.sock" not in seen
    with Engine.connect(limited.host, project="deadweight-limited") as engine:
        assert (engine.user, engine.is_remote) == (None, True)
        with engine.start("deadweight/tour/plain", RunOptions(publish=8080)) as container:
            assert not netns.is_process_of(container.pid, container.id)
            assert container.wait_healthy(Health(path="/healthz", within_seconds=20)).healthy
            assert not answers(f"http://{container.address()}:8080")


def test_it_sees_the_shared_folder_alone(limited, project):
    """Of any other, a bind mount shows an empty one."""
    shutil.copy(project / "token", limited.shared / "token")
    script = 'docker run --rm --entrypoint /bin/sh -v "$0:/seen" deadweight/tour/plain -c "test -d /seen || cat /seen"'
    for folder, content in ((limited.shared, "a-word-of-25-characters!!"), (project, "")):
        assert limited.run(project, "sh", "-c", script, str(folder / "token")).strip() == content


@pytest.mark.parametrize("forwarded", [True, False])
def test_all_that_checks_measure_is_measured(limited, project, forwarded):
    """Also a file that is handed in from a folder that it does not see, and if nobody passes a published port on."""
    checks, variants = ("runs", "api", "budget", "layers"), ("plain", "files")
    words = () if forwarded else ("--check", "api", "--variant", "files")
    with passing_on(limited, forwarded):
        statuses = verified(limited, project, *words)
    expected = {f"{name}/{check}": "pass" for name in variants for check in checks}
    assert statuses == (expected if forwarded else {"files/api": "pass"})


@pytest.mark.parametrize("forwarded", [True, False])
def test_what_runs_is_reached_by_a_browser_read_and_entered(limited, project, forwarded):
    with passing_on(limited, forwarded), limited.start(project, *INVOKE, "run", "--variant", "plain") as running:
        told = next(line for line in running.stdout if "Ctrl-C" in line)
        wait_for(lambda: answers(re.findall(r"http://\S+", told)[0]))
        assert "listening" in limited.run(project, *INVOKE, "logs", "--variant", "plain")
        assert "42" in limited.run(project, *INVOKE, "shell", "--variant", "plain", stdin="echo $((6 * 7))\n")
        running.send_signal(signal.SIGINT)
        ended(running, code=130)


@contextlib.contextmanager
def passing_on(limited: Limited, forwarded: bool) -> Iterator[None]:
    """Somebody passes published ports on to loopback, or nobody does."""
    limited.unforwarded.unlink(missing_ok=True) if forwarded else limited.unforwarded.touch()
    yield
    limited.unforwarded.unlink(missing_ok=True)


def answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/healthz", timeout=3).ok
    except requests.RequestException:
        return False


def test_two_variants_behave_alike_and_what_was_not_compared_is_named(limited, project):
    output = limited.run(project, *INVOKE, "twin", "files", "plain")
    assert "not measured: groups, umask" in output


def test_a_scan_without_a_database_is_not_measured_and_the_report_is_made(limited, project):
    limited.run(project, *INVOKE, "scan", "--variant", "plain", code=3)
    limited.run(project, *INVOKE, "report")
    page = json.loads((project / ".deadweight/report/report.json").read_text())["variants"]
    assert all(variant["image"]["size_bytes"] for variant in page.values())


def test_attacks_are_measured_but_those_that_only_its_machine_would_show(begun):
    """No attack that was not carried out counts as stopped."""
    (row,) = document(ended(begun["attack"]))["evidence"]
    hardened = row["data"]["postures"]["hardened"]
    unmeasured = {name for name, cell in hardened.items() if cell["outcome"] == "not_measured"}
    assert unmeasured >= UNSEEN
    assert all(hardened[name]["reason"] for name in unmeasured)
    assert sum(cell["outcome"] == "blocked" for cell in hardened.values()) > 20
    assert hardened["breach-memory"]["outcome"] == "blocked"


def test_harden_finds_the_limits_and_says_why_it_has_no_profile(begun):
    found = document(ended(begun["harden"]))
    posture = found["posture"]
    assert posture["memory_bytes"] < 256 * 2**20
    assert (posture["read_only"], posture["cap_drop"], posture["seccomp"]) == (True, ["ALL"], "default")
    assert found["no_seccomp"]
    assert found["broken"] == found["limits_not_tried"] == []


CRASH = """
import os, signal
from tests.support.limited_engine import limited_engine
with limited_engine() as made:
    print(made.folder, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_nothing_of_it_outlives_a_test_that_is_killed():
    done = subprocess.run(
        [sys.executable, "-c", CRASH], cwd=ROOT, capture_output=True, text=True, timeout=100, check=False
    )
    folder = Path(done.stdout.strip())
    wait_for(lambda: not any(str(folder) in process.command for process in machine.everyone()))
    assert api.trouble(f"unix://{folder}/engine/docker.sock")
    sweep()
    assert not folder.exists()
