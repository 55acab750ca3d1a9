"""The task definition against Amazon's own model of ``RegisterTaskDefinition``, and Fargate's rules, which no model holds.

The rules are of the ECS developer guide: "Task definition differences for Fargate", "Task size" and "Task definition parameters".
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import pytest
from botocore.session import Session
from botocore.validate import ParamValidator

from deadweight._errors import DeadweightError
from deadweight.engine.options import Tmpfs, Ulimit
from deadweight_attacks.harden.result import Found
from deadweight_attacks.harden.write import beside, ecs, written
from deadweight_attacks.harden.write.model import Request as Written
from tests.attacks.test_validators import PUSHED, a_found
from tests.support.forms import shop

MODEL = Session().get_service_model("ecs")
NAME = re.compile("[A-Za-z0-9_-]{1,255}")
ONLY_EC2 = {"sharedMemorySize", "swappiness", "maxSwap", "devices"}
SOLD = {
    256: {512, 1024, 2048}, 512: set(range(1024, 4097, 1024)), 1024: set(range(2048, 8193, 1024)),
    2048: set(range(4096, 16385, 1024)), 4096: set(range(8192, 30721, 1024)),
    8192: set(range(16384, 61441, 4096)), 16384: set(range(32768, 122881, 8192)),
}  # fmt: skip
MOUNT_OPTIONS = re.compile(
    "defaults|ro|rw|(no)?(suid|dev|exec|atime|diratime|relatime)|a?sync|strictatime|(mode|uid|gid|nr_inodes|nr_blocks|mpol)=.+"
)


def refusals(task: dict[str, Any]) -> list[str]:
    """What Amazon would refuse of it for Fargate; empty where it takes it."""
    shape = MODEL.operation_model("RegisterTaskDefinition").input_shape
    report = ParamValidator().validate(task, shape)
    found = [report.generate_report()] if report.has_errors() else []
    found += [f"the name {name!r}" for name in _names(task) if not NAME.fullmatch(name)]
    if task["networkMode"] != "awsvpc" or task["requiresCompatibilities"] != ["FARGATE"]:
        found.append("the network")
    if int(task["memory"]) not in SOLD.get(int(task["cpu"]), set()):
        found.append(f"the size {task['cpu']} with {task['memory']}")
    for container in task["containerDefinitions"]:
        found += _of_container(container, int(task["memory"]))
    return found


def _names(task: dict[str, Any]) -> list[str]:
    return [task["family"], *(each["name"] for each in task["containerDefinitions"])]


def _of_container(container: dict[str, Any], memory: int) -> list[str]:
    linux, check = container.get("linuxParameters", {}), container.get("healthCheck")
    found = [f"{each} (EC2 only)" for each in ("privileged", "dockerSecurityOptions", "links") if each in container]
    found += [f"{each} (EC2 only)" for each in ONLY_EC2 & set(linux)]
    found += [f"the capability {each}" for each in linux.get("capabilities", {}).get("add", []) if each != "SYS_PTRACE"]
    found += [f"the limit {each['name']}" for each in container.get("ulimits", []) if each["name"] != "nofile"]
    options = [each for folder in linux.get("tmpfs", []) for each in folder["mountOptions"]]
    found += [f"the mount option {each}" for each in options if not MOUNT_OPTIONS.fullmatch(each)]
    found += [f"a folder of {each['size']} MiB" for each in linux.get("tmpfs", []) if each["size"] < 1]
    if container["memory"] > memory or container["memory"] < 6:
        found.append(f"the memory {container['memory']}")
    if not 2 <= container.get("stopTimeout", 30) <= 120:
        found.append(f"stopTimeout {container['stopTimeout']}")
    bounds = {"interval": (5, 300), "timeout": (2, 60), "retries": (1, 10), "startPeriod": (0, 300)}
    if check:
        found += [f"{name} {check[name]}" for name, (least, most) in bounds.items() if not least <= check[name] <= most]
        found += [] if check["command"][0] in ("CMD", "CMD-SHELL") else ["a health check without CMD"]
    return found


def tasks() -> dict[str, Found]:
    plain, needy = a_found(), a_found("needy")
    options = plain.options.but(ulimits=(Ulimit("nofile", 1024, 1024), Ulimit("core", 0, 0)))
    patient = plain.variant.health.model_copy(update={"within_seconds": 900.0})
    return {
        "plain": plain,
        "bare": a_found("bare"),
        "needy": replace(needy, options=needy.options.but(cap_add=())),
        "all that a form has a word for": shop("shop", "registry.example/shop:1"),
        "outgoing": shop("shop", "registry.example/shop:1", outgoing=True),
        "dots": replace(plain, suite="shop.of.tea"),
        "limits": replace(plain, options=options),
        "patient": replace(plain, variant=plain.variant.model_copy(update={"health": patient})),
        "large": replace(plain, options=plain.options.but(cpus=3.5, memory_bytes=9 * 2**30)),
        "tiny": replace(plain, options=plain.options.but(memory_bytes=16 * 2**20, tmpfs=(Tmpfs("/x", 1000, uid=7),))),
    }


@pytest.mark.parametrize("name", tasks())
def test_amazon_would_take_it(name):
    task = json.loads(written(tasks()[name], "ecs", Written(PUSHED)))
    assert refusals(task) == []
    container = task["containerDefinitions"][0]
    assert container["linuxParameters"]["capabilities"] == {"drop": ["ALL"]}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"cpus": 1}, "Unknown parameter"),
        ({"image": 7}, "Invalid type"),
        ({"privileged": False}, "privileged"),
        ({"linuxParameters": {"maxSwap": 0}}, "maxSwap"),
        ({"ulimits": [{"name": "core", "softLimit": 0, "hardLimit": 0}]}, "core"),
        ({"memory": 9000}, "memory"),
        ({"stopTimeout": 121}, "stopTimeout"),
    ],
)
def test_the_judge_would_notice(change, told):
    task = json.loads(written(a_found(), "ecs", Written(PUSHED)))
    task["containerDefinitions"][0].update(change)
    assert told in " ".join(refusals(task))
    assert "the size 256 with 4096" in refusals({**task, "cpu": "256", "memory": "4096"})


def test_folders_in_memory_are_the_containers():
    """An empty volume of Fargate's would be root's, with mode 0755: a service that is not root could not write to it."""
    (container,) = json.loads(written(shop("shop", "registry.example/shop:1"), "ecs"))["containerDefinitions"]
    (folder,) = container["linuxParameters"]["tmpfs"]
    assert (folder["containerPath"], folder["size"]) == ("/state", 1)
    assert container["systemControls"] == [{"namespace": "net.ipv4.ip_unprivileged_port_start", "value": "80"}]
    assert folder["mountOptions"] == ["noexec", "nosuid", "nodev", "mode=1777", "uid=65532"]
    assert "mountPoints" not in container


@pytest.mark.parametrize(
    ("cpus", "mebibytes", "size"),
    [(0.25, 512, (256, 512)), (0.25, 1500, (256, 2048)), (0.2, 4000, (512, 4096)), (1, 40, (1024, 2048)),
     (1.5, 600, (2048, 4096)), (5, 17000, (8192, 20480)), (16, 122880, (16384, 122880))],
)  # fmt: skip
def test_the_smallest_size_that_holds_it_is_bought(cpus, mebibytes, size):
    assert ecs.size(cpus, mebibytes) == size
    assert size[1] in SOLD[size[0]]


def test_what_fargate_does_not_sell_is_refused():
    with pytest.raises(DeadweightError, match="no task of Fargate's has 17 processors"):
        ecs.size(17, 512)


def test_what_only_you_can_add_is_told_beside_it():
    text = "\n".join(beside(a_found("bare"), "ecs", Written()))
    assert "executionRoleArn" in text
    assert "invoke harden --image" in text
    assert "invoke harden --image" not in "\n".join(beside(a_found(), "ecs", Written(PUSHED)))
