"""Completion: a suite's own variants, checks and postures, asked for by the shells' scripts."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from deadweight.tasks.setup import SHELLS, following, script
from tests.support.trees import written

pytestmark = pytest.mark.system

DEFAULTS = "defaults: {builder: dockerfile, dockerfile: Dockerfile}"
SUITE = f"name: x\n{DEFAULTS}\nvariants: {{small: {{}}, smaller: {{}}, today: {{tags: [nightly]}}}}\n"

EVERY = ["small", "smaller", "today", "tag:nightly", "@ship", "@last", "@failed"]


@pytest.fixture
def project(tmp_path, monkeypatch):
    written(tmp_path, {"deadweight.yaml": SUITE, "Dockerfile": "FROM scratch\n", "sites/index.html": ""})
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("line", "words"), [
    ("invoke verify --variant ", EVERY), ("invoke verify ", EVERY), ("invoke build -v ", EVERY),
    ("invoke run sm", ["small", "smaller"]), ("invoke build small to", ["today"]), ("invoke build @s", ["@ship"]),
    ("invoke verify small/ap", ["small/api"]), ("invoke harden --to s", []), ("invoke doctor ", []),
    ("invoke verify --variant sm", ["small", "smaller"]),
    ("invoke verify --variant today,sm", ["today,small", "today,smaller"]),
    ("invoke verify --variant=to", ["today"]), ("invoke attack --posture hard", ["hardened"]),
    ("invoke attack --posture only-sec", ["only-seccomp"]), ("invoke verify --check runs", ["runs"]),
    ("invoke har", []), ("invoke", []), ("invoke completion --shell ", ["bash", "zsh", "fish"]),
    ("invoke verify --variant nothing", []), ("invoke build --variant tag:", ["tag:nightly"]),
    ("invoke harden --format ", ["run", "compose", "kubernetes", "podman", "quadlet", "ecs"]),
    ("invoke ci --provider git", ["github", "gitlab"]),
])  # fmt: skip
def test_what_may_follow(project, line, words) -> None:
    assert words == following(line)


def test_a_suite_that_cannot_be_read_is_no_noise(project, capsys) -> None:
    (project / "deadweight.yaml").write_text("name: [")
    assert (following("invoke verify --variant "), capsys.readouterr()) == ([], ("", ""))


@pytest.mark.slow
@pytest.mark.parametrize("shell", sorted(SHELLS))
def test_the_script_completes_in_the_real_shell(project, shell) -> None:
    asks = {
        "bash": "COMP_LINE='deadweight {}'; COMP_WORDS=($COMP_LINE); COMP_POINT=${{#COMP_LINE}}; _deadweight deadweight {last!r}; "
        "echo ${{COMPREPLY[@]}}",
        "zsh": "words=(deadweight {}); CURRENT=$#words; _deadweight",
        "fish": "echo (complete -C 'deadweight {}')",
    }
    stubs = "compdef() { :; }; compset() { :; }; _files() { print files; }; compadd() { print -- $found }\n"
    before = stubs if shell == "zsh" else ""

    def answer(line: str) -> list[str]:
        ask = before + script(shell) + asks[shell].format(line, last=line.split()[-1])
        env = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        done = subprocess.run([shell, "-c", ask], env=env, capture_output=True, text=True, timeout=60, check=True)
        assert done.stderr == ""
        return done.stdout.split()

    assert answer("verify --variant sm") == answer("verify sm") == ["small", "smaller"]
    flag = "--variant=" if shell == "fish" else ""  # it completes whole words, the others what stands after the sign
    assert answer("verify --variant=sm") == [f"{flag}small", f"{flag}smaller"]
    files = {"bash": [], "zsh": ["files"], "fish": ["sites/"]}  # bash falls back to files by itself
    assert answer("publish --to sit") == files[shell], "where no value of ours is due, files are"
    assert "harden" in answer("har")
    assert "--extract" in answer("layers --ext")
