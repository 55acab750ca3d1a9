"""Whose a container is, and whether its owner is alive."""

import os
import subprocess
import sys
import time

import pytest

from deadweight.engine import labels


@pytest.fixture
def own():
    return labels.labels("p", "check", "v")


def test_what_this_process_made_is_not_stale(own):
    assert not labels.is_stale(own)
    assert own[labels.VARIANT] == "v"


def test_what_a_dead_process_made_is_stale(own):
    done = subprocess.run(
        [sys.executable, "-c", "from deadweight.engine import labels; print(labels.labels('p', 'c')[labels.OWNER])"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert labels.is_stale({**own, labels.OWNER: done.stdout.strip()})


def test_a_reused_process_id_does_not_keep_it_alive(own):
    assert labels.is_stale({**own, labels.OWNER: f"{os.getpid()}:1"})


def test_a_zombie_is_dead(own):
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    try:
        while labels._started(child.pid) is not None:
            time.sleep(0.01)
        assert labels.is_stale({**own, labels.OWNER: f"{child.pid}:1"})
    finally:
        child.wait()


def test_process_ids_of_other_machines_are_judged_by_age_only(own):
    far = {**own, labels.HOST: "elsewhere/12345678/pid:[1]", labels.OWNER: "1:1"}
    assert not labels.is_stale(far)
    assert labels.is_stale({**far, labels.CREATED: str(int(time.time()) - 2 * 24 * 3600)})
    assert labels.is_stale({**far, labels.CREATED: "?"})


def test_an_earlier_boot_of_this_machine_left_only_dead_processes(own):
    name, _, namespace = own[labels.HOST].split("/")
    assert labels.is_stale({**own, labels.HOST: f"{name}/00000000/{namespace}"})


def test_things_without_our_label_are_nobodys_business():
    assert not labels.is_stale({"maintainer": "somebody"})
