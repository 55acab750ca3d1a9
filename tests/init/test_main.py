"""``python -m deadweight_init FOLDER``: the task ``init`` for one folder."""

import os

import pytest

from tests.support.invoking import module
from tests.support.trees import written

pytestmark = pytest.mark.system


@pytest.mark.slow
def test_it_writes_the_suite_that_the_task_writes(tmp_path):
    suites = []
    for name, words in (("deadweight_init", ()), ("deadweight", ("init", "--dir"))):
        folder = written(tmp_path / name / "shop", {"index.html": "<p>hello\n"})
        done = module(name, tmp_path, *words, folder, "--no-prove", "--yes", env=os.environ)
        assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
        suites.append((folder / "deadweight.yaml").read_text())
    assert suites[0] == suites[1]


@pytest.mark.parametrize(("words", "code"), [(("--help",), 0), (("gone",), 2), ((".", "--port", "x"), 2)])
def test_exit_codes(tmp_path, words, code):
    done = module("deadweight_init", tmp_path, *words, env=os.environ)
    assert (done.returncode, "Traceback" in done.stderr) == (code, False), done.stderr
