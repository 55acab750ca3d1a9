"""What independent validators say of harden's output at their default settings: nothing, or what a comment in it answers.

trivy is among our own tools. kube-score, dclint and checkov are too heavy for every run (checkov alone takes 400 MB and ten seconds
a file): ``validators.py`` asks them, in ``nox -s validators``.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from deadweight.engine.options import Tmpfs, hardened
from deadweight.suite.checks import Checks, RunsCheck
from deadweight.suite.model import Health, Need, RunSettings, Variant
from deadweight_attacks.harden.result import Found
from deadweight_attacks.harden.write import written
from deadweight_attacks.harden.write.model import Request as Written
from deadweight_attacks.seccomp.model import Call, Seccomp
from tests.support.trivy_config import misconfigured

SECCOMP = Seccomp(
    "amd64", "6.1", "", "runc 1", (Call("read", "needed", 3), Call("socket", "needed", 3)), (2,), (), 3, 9, 3
)
PUSHED = "registry.example/shop/tight@sha256:" + "a" * 64


def a_found(kind: str = "plain") -> Found:
    """``plain`` needs nothing; ``needy`` has every key that a writer knows; ``bare`` is as the engine has it: no digest."""
    needs = {"db": Need(image="postgres:16", env={"A": "b"}, port=5432)} if kind == "needy" else {}
    settings = RunSettings(
        needs=needs, **({"env": {"A": "1"}, "args": ("a",), "entrypoint": ("b",)} if kind == "needy" else {})
    )
    checks = Checks(runs=RunsCheck(stops_within_seconds=44)) if kind == "needy" else Checks()
    health = Health(kind="tcp") if kind == "needy" else Health()
    variant = Variant(
        name="tight", builder="ko", port=80 if kind == "needy" else 8080, run=settings, checks=checks, health=health
    )
    options = hardened(settings, port=variant.port).but(network="internal")
    if kind == "needy":
        options = options.but(
            user="1000:1000", read_only=False, cap_add=("NET_BIND_SERVICE",), tmpfs=(Tmpfs("/state", 2**20),)
        )
    asks = () if kind == "bare" else ("wget", "-q", "-O", "/dev/null", "http://127.0.0.1:8080/healthz")
    seccomp = replace(SECCOMP, asks=asks if kind == "plain" else ())
    return Found(
        options,
        {},
        2,
        (("all", ""),),
        seccomp=seccomp,
        asks=asks,
        variant=variant,
        suite="shop",
        image="registry.example/tight:1",
    )


def file_of(folder: Path, form: str, kind: str, *, budget: bool = False) -> Path:
    given = Written("" if kind == "bare" else PUSHED, "./shop.seccomp.json", budget)
    file = folder / f"{form}.yaml"
    file.write_text(written(a_found(kind), form, given), encoding="utf-8")
    return file


def told(file: Path) -> str:
    """The comments in it."""
    return "\n".join(line for line in file.read_text(encoding="utf-8").splitlines() if line.startswith("#"))


KINDS = [("plain", False), ("plain", True), ("needy", False), ("bare", False)]


@pytest.mark.tools
@pytest.mark.parametrize(("kind", "budget"), KINDS)
def test_trivy_finds_nothing_that_no_comment_answers(tmp_path, kind, budget):
    file = file_of(tmp_path, "kubernetes", kind, budget=budget)
    found = misconfigured(file, tmp_path / "cache")
    assert found == {each for each in found if each in told(file)}
    assert kind != "plain" or found == {"KSV-0125"}


def test_every_platform_is_given_the_same_posture(tmp_path):
    """The words of each for no root, no capabilities, nothing writable, and the profile."""
    wanted = {
        "run": [
            "--user 65532:65532",
            "--read-only",
            "--cap-drop ALL",
            "seccomp=./shop.seccomp.json",
            "--pids-limit 64",
        ],
        "podman": ["--read-only-tmpfs=false", "--cap-drop ALL", "seccomp=./shop.seccomp.json"],
        "compose": ['user: "65532:65532"', "read_only: true", "- ALL", "seccomp:./shop.seccomp.json", "start_period"],
        "kubernetes": [
            "runAsUser: 65532",
            "readOnlyRootFilesystem: true",
            "localhostProfile: profiles/shop.json",
            "Always",
        ],
        "quadlet": [
            "User=65532",
            "ReadOnly=true",
            "DropCapability=all",
            "SeccompProfile=%E/containers/systemd/shop.seccomp.json",
            "HealthCmd=",
            "HealthStartPeriod=20s",
        ],
        "ecs": ['"user": "65532:65532"', '"readonlyRootFilesystem": true', '"ALL"', '"healthCheck"'],
    }
    for form, words in wanted.items():
        text = file_of(tmp_path, form, "plain").read_text()
        assert [word for word in words if word not in text] == [], form
        assert PUSHED in text


def test_a_health_check_that_the_profile_refuses_is_left_out_and_said():
    """It would call every container unhealthy. Fargate has a profile of its own, and without ours there is a check as well."""
    got = a_found()
    assert got.seccomp is not None
    refused = replace(got, seccomp=replace(got.seccomp, asks=()))
    for form, word in {"compose": "healthcheck:", "quadlet": "HealthCmd="}.items():
        given = Written(PUSHED, "./shop.seccomp.json")
        text = written(refused, form, given)
        assert not any(line.strip().startswith(word) for line in text.splitlines())
        assert "wget, which could ask, needs system calls that the seccomp profile refuses" in text
        assert word in written(got, form, given)
        assert word in written(replace(refused, seccomp=None), form, given)
    own = replace(refused, own_check=True)
    disabled = {
        "compose": "disable: true",
        "quadlet": "HealthCmd=none",
        "run": "--no-healthcheck",
        "podman": "--no-healthcheck",
    }
    assert [form for form, word in disabled.items() if word not in written(own, form)] == []
    assert [form for form, word in disabled.items() if word in written(refused, form)] == []
    assert '"healthCheck"' in written(refused, "ecs", Written(PUSHED))


def test_a_task_definition_is_json_and_has_the_size_that_is_sold():
    task = json.loads(written(a_found(), "ecs", Written(PUSHED)))
    assert (task["cpu"], task["memory"], task["runtimePlatform"]["cpuArchitecture"]) == ("1024", "2048", "X86_64")
    assert task["containerDefinitions"][0]["memory"] == 256


def test_words_of_a_unit_stay_what_they_are():
    """systemd takes a percent sign for a specifier and a dollar sign for a variable."""
    got = a_found("needy")
    options = got.options.but(args=('say "hi" $HOME 100%', "back\\slash"), entrypoint=None)
    text = written(replace(got, options=options), "quadlet", Written(PUSHED))
    (line,) = re.findall("^Exec=.*$", text, re.MULTILINE)
    assert line == r'Exec="say \"hi\" $$HOME 100%%" "back\\slash"'
