"""``python -m deadweight_init FOLDER``: the task ``init`` for one folder."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.system


def run(folder, *words):
    line = [sys.executable, "-m", "deadweight_init", *map(str, words)]
    return subprocess.run(line, cwd=folder, capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.slow
def test_it_writes_the_suite_that_the_task_writes(tmp_path):
    suites = []
    for name in ("own", "task"):
        folder = tmp_path / name / "shop"
        folder.mkdir(parents=True)
        (folder / "index.html").write_text("<p>hello\n")
        if name == "own":
            done = run(tmp_path, folder, "--no-prove", "--yes")
        else:
            line = [sys.executable, "-m", "deadweight", "init", "--dir", folder, "--no-prove", "--yes"]
            done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
        assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
        suites.append((folder / "deadweight.yaml").read_text())
    assert suites[0] == suites[1]


@pytest.mark.parametrize(("words", "code"), [(("--help",), 0), (("gone",), 2), ((".", "--port", "x"), 2)])
def test_exit_codes(tmp_path, words, code):
    done = run(tmp_path, *words)
    assert (done.returncode, "Traceback" in done.stderr) == (code, False), done.stderr
