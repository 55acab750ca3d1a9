"""What kube-score, checkov and dclint say of harden's output at their default settings: nothing, or what a comment in it answers.

Not collected by itself: ``nox -s validators`` installs the three and runs this.
"""

import json
import os
import re
import subprocess

import pytest

from tests.attacks.test_written import KINDS, comments, file_of


@pytest.mark.parametrize(("kind", "budget"), KINDS)
def test_kube_score_finds_nothing_that_no_comment_answers(tmp_path, kind, budget):
    file = file_of(tmp_path, "kubernetes", kind, budget=budget)
    done = subprocess.run(["kube-score", "score", file, "-o", "ci"], capture_output=True, text=True, timeout=60)
    lines = done.stdout.splitlines()
    assert sum(line.startswith("[OK]") for line in lines) > 20
    warnings = [line for line in lines if line.startswith(("[WARNING]", "[CRITICAL]"))]
    expected = {
        ("plain", False): ["few replicas"], ("plain", True): [], ("bare", False): ["few replicas"],
        ("needy", False): ["few replicas", "low user ID", "low group ID", "writable root filesystem"],
    }[kind, budget]  # fmt: skip
    assert all(any(word in line for word in expected) for line in warnings), warnings
    assert ("kube-score" in comments(file)) is bool(expected)


@pytest.mark.parametrize(("kind", "budget"), KINDS)
def test_checkov_finds_nothing_that_no_comment_answers(tmp_path, kind, budget):
    file = file_of(tmp_path, "kubernetes", kind, budget=budget)
    command = ["checkov", "-f", file, "--framework", "kubernetes", "--compact", "--quiet", "--output", "json"]
    env = {**os.environ, "BC_SKIP_MAPPING": "TRUE"}
    done = subprocess.run([*command, "--skip-download"], capture_output=True, text=True, timeout=300, env=env)
    document = json.loads(done.stdout[done.stdout.index("{") :])
    assert document["summary"]["passed"] > 80
    rules = {check["check_id"] for check in document["results"]["failed_checks"]}
    assert rules == {rule for rule in rules if rule in comments(file)}


@pytest.mark.parametrize("kind", ["plain", "needy", "bare"])
def test_dclint_finds_nothing_that_no_comment_answers(tmp_path, kind):
    file = file_of(tmp_path, "compose", kind)
    done = subprocess.run(["dclint", file], capture_output=True, text=True, timeout=60)
    rules = set(re.findall(r"^ +\d+:\d+ +\w+ .* ([a-z-]+)$", done.stdout, re.MULTILINE))
    assert rules == {"require-project-name-field"}, done.stdout
    assert "require-project-name-field" in comments(file)
