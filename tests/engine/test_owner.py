"""Whose a container is, and whether its owner is alive."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from deadweight.engine import owner


@pytest.fixture
def own():
    return owner.labels("p", "check", "v")


def test_what_this_process_made_is_not_stale(own):
    assert not owner.is_stale(own)
    assert own[owner.VARIANT] == "v"


def test_what_a_dead_process_made_is_stale(own):
    done = subprocess.run(
        [sys.executable, "-c", "from deadweight.engine import owner; print(owner.labels('p', 'c')[owner.OWNER])"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert owner.is_stale({**own, owner.OWNER: done.stdout.strip()})


def test_a_reused_process_id_does_not_keep_it_alive(own):
    assert owner.is_stale({**own, owner.OWNER: f"{os.getpid()}:1"})


def test_a_zombie_is_dead(own):
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    try:
        while owner._started(child.pid) is not None:
            time.sleep(0.01)
        assert owner.is_stale({**own, owner.OWNER: f"{child.pid}:1"})
    finally:
        child.wait()


def test_process_ids_of_other_machines_are_judged_by_age_only(own):
    far = {**own, owner.HOST: "elsewhere/12345678/pid:[1]", owner.OWNER: "1:1"}
    assert not owner.is_stale(far)
    assert owner.is_stale({**far, owner.CREATED: str(int(time.time()) - 2 * 24 * 3600)})
    assert owner.is_stale({**far, owner.CREATED: "?"})


def test_an_earlier_boot_of_this_machine_left_only_dead_processes(own):
    name, _, namespace = own[owner.HOST].split("/")
    assert owner.is_stale({**own, owner.HOST: f"{name}/00000000/{namespace}"})


def test_things_without_our_label_are_nobodys_business():
    assert not owner.is_stale({"maintainer": "somebody"})
