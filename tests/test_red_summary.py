"""The end of a red run's log: the first failure's reason, and what failed because of it as one cause."""

import os
import subprocess
import sys

import pytest

from tests.support import ROOT
from tests.support.red_summary import Failure, grouped

CONFTEST = """
def pytest_configure(config):
    from tests.support import red_summary
    config.pluginmanager.register(red_summary.Plugin())
"""
FAULT = """
def test_first():
    raise ValueError("the first fault\\nof two lines")
"""
CASCADE = """
import pytest, time
from deadweight._errors import DeadweightError

@pytest.fixture
def registry():
    time.sleep({delay})
    raise DeadweightError("the local registry at 127.0.0.1:4711 does not answer: refused")

@pytest.mark.parametrize("number", range({count}))
def test_pulls(registry, number): pass

def test_dials():
    time.sleep({delay})
    raise OSError("Get http://127.0.0.1:4711/v2/: dial tcp 127.0.0.1:4711: connect: connection refused")

def test_well(): pass
"""


def run(folder, *words: str, **files: str) -> subprocess.CompletedProcess[str]:
    (folder / "conftest.py").write_text(CONFTEST)
    for name, text in files.items():
        (folder / f"test_{name}.py").write_text(text)
    alone = ("-p", "no:cacheprovider", "-c", os.devnull, "--confcutdir", folder)
    argv = [sys.executable, "-m", "pytest", "-q", *alone, *words, folder]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    return subprocess.run(argv, cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.system
@pytest.mark.parametrize("workers", [["-p", "no:xdist"], ["-p", "xdist.plugin", "-n", "2"]], ids=["one", "two"])
def test_a_cascade_is_one_cause_and_the_first_failure_gives_it(tmp_path, workers):
    done = run(tmp_path, *workers, all=CASCADE.format(delay=0, count=11))
    *_, section = done.stdout.partition(" why it is red ")
    told = section.splitlines()[1:]
    assert done.returncode == 1
    assert told[0].startswith("first: ")
    assert told[0].endswith(" (setup)") or told[0].endswith("::test_dials (call)")
    assert "127.0.0.1:4711" in told[1]
    assert "11 more: nothing answers at 127.0.0.1:4711" in told
    assert "    and 8 more" in told
    assert not [line for line in told if line.startswith(("1 other", "and "))]
    assert "1 failed, 1 passed, 11 errors in " in told[-1]


@pytest.mark.slow
@pytest.mark.system
def test_the_first_failure_in_time_is_told_and_others_by_their_size(tmp_path):
    files = {"a": CASCADE.format(delay=2, count=2), "b": FAULT}
    done = run(tmp_path, "-p", "xdist.plugin", "-n", "2", "--dist", "loadfile", **files)
    told = done.stdout.partition(" why it is red ")[2].splitlines()[1:]
    assert "test_b.py::test_first (call)" in told[0]
    assert told[1:3] == ["  ValueError: the first fault", "  of two lines"]
    assert told[3].endswith("test_b.py:3")
    assert told[4] == "3 others: nothing answers at 127.0.0.1:4711"


@pytest.mark.slow
@pytest.mark.system
def test_a_file_that_cannot_be_read_and_a_worker_that_dies_are_told(tmp_path):
    broken = run(tmp_path, "-p", "no:xdist", broken="import nothing_of_that_name\n")
    assert "first: " in broken.stdout
    assert "nothing_of_that_name" in broken.stdout.partition(" why it is red ")[2]
    (tmp_path / "test_broken.py").unlink()
    dead = run(tmp_path, "-p", "xdist.plugin", "-n", "1", dead="import os\ndef test_it(): os._exit(3)\n")
    assert "crashed" in dead.stdout.partition(" why it is red ")[2]


@pytest.mark.system
def test_a_green_run_says_nothing_of_it(tmp_path):
    done = run(tmp_path, "-p", "no:xdist", green="def test_it(): pass\n")
    assert done.returncode == 0
    assert "why it is red" not in done.stdout


AT = "nothing answers at 127.0.0.1:5000"


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("DeadweightError: the local registry at 127.0.0.1:5000 does not answer: [Errno 111]", AT),
        ("Connect to 127.0.0.1:5000 [/127.0.0.1] failed: Connection refused (Connection refused)", AT),
        ("Cannot connect to the Docker daemon at unix:///x.sock. Is it running?", "nothing answers at unix:///x.sock"),
        ("deadweight._errors.MissingError: quadlet is missing\n  hint: x", "deadweight._errors.MissingError: quadlet is missing"),
        ("", "no reason was given"),
    ],
)  # fmt: skip
def test_what_errors_say_is_known_by_their_cause(text, cause):
    assert Failure("t", "call", text, "", 0).cause == cause


def test_errors_that_differ_in_numbers_and_folders_are_one_cause():
    texts = ("assert 0x7f12 in /tmp/one", "assert 0x8e33 in /tmp/two", "assert nothing")
    groups = grouped([Failure(f"t{at}", "call", text, "", at) for at, text in enumerate(texts)])
    assert [len(each) for each in groups.values()] == [2, 1]
