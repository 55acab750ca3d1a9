"""Whose a container is, and whether its owner is alive."""

import os
import time

import pytest

from deadweight.engine import labels

OWN = labels.labels("p", "check", "v")
FAR = {labels.HOST: "elsewhere/12345678/pid:[1]", labels.OWNER: "1:1"}
NAME, _, NAMESPACE = OWN[labels.HOST].split("/")


@pytest.mark.parametrize(("marks", "stale"), [
    pytest.param(OWN, False, id="ours"),
    pytest.param({"maintainer": "somebody"}, False, id="nobody's, without our label"),
    pytest.param(OWN | {labels.OWNER: f"{os.getpid()}:1"}, True, id="of another process of our number"),
    pytest.param(OWN | FAR, False, id="of another machine, where age alone judges"),
    pytest.param(OWN | FAR | {labels.CREATED: str(int(time.time()) - 2 * 24 * 3600)}, True, id="two days old"),
    pytest.param(OWN | FAR | {labels.CREATED: "?"}, True, id="of no known age"),
    pytest.param(OWN | {labels.HOST: f"{NAME}/00000000/{NAMESPACE}"}, True, id="of an earlier boot"),
])  # fmt: skip
def test_what_is_stale_is_told_by_its_labels(marks, stale):
    assert labels.is_stale(marks) is stale
