"""Whose a container is, and whether its owner is alive."""

import os
import subprocess
import sys
import time

import pytest

from deadweight.engine import labels

OWN = labels.labels("p", "check", "v")
FAR = {labels.HOST: "elsewhere/12345678/pid:[1]", labels.OWNER: "1:1"}
NAME, _, NAMESPACE = OWN[labels.HOST].split("/")


@pytest.mark.parametrize(
    ("marks", "stale"),
    [
        pytest.param(OWN, False, id="ours"),
        pytest.param({"maintainer": "somebody"}, False, id="nobody's, without our label"),
        pytest.param(OWN | {labels.OWNER: f"{os.getpid()}:1"}, True, id="of another process of our number"),
        pytest.param(OWN | FAR, False, id="of another machine, where age alone judges"),
        pytest.param(OWN | FAR | {labels.CREATED: str(int(time.time()) - 2 * 24 * 3600)}, True, id="two days old"),
        pytest.param(OWN | FAR | {labels.CREATED: "?"}, True, id="of no known age"),
        pytest.param(OWN | {labels.HOST: f"{NAME}/00000000/{NAMESPACE}"}, True, id="of an earlier boot"),
    ],
)
def test_what_is_stale_is_told_by_its_labels(marks, stale):
    assert labels.is_stale(marks) is stale


def test_what_a_dead_process_made_is_stale():
    assert OWN[labels.VARIANT] == "v"
    code = "from deadweight.engine import labels; print(labels.labels('p', 'c')[labels.OWNER])"
    owner = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert labels.is_stale(OWN | {labels.OWNER: owner})


def test_a_zombie_is_dead():
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    try:
        while labels._started(child.pid) is not None:
            time.sleep(0.01)
        assert labels.is_stale(OWN | {labels.OWNER: f"{child.pid}:1"})
    finally:
        child.wait()
