"""The tests' own tools: what guards them, which of them ``--changed`` runs, and how a red run ends.

A test that ends what it did not start, or locks what others use, fails; so does a unit test that needs an engine, the network or
root. At the end of a red run stand the first failure's reason, and what failed because of it as one cause.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import ROOT, TESTS, guards
from tests.support.changed import ALWAYS, DOCS, PACKAGES, changed_paths, selected, targets
from tests.support.invoking import ended
from tests.support.red_summary import cause
from tests.support.trees import git, written

GUARDED = """
import os, signal, subprocess, sys, time
from pathlib import Path
from filelock import FileLock
from tests.support import guards
guards.install()
"""
DAEMON = ["sh", "-c", "sleep 60 >/dev/null & echo $!"]


@pytest.fixture
def cache(tmp_path):
    (tmp_path / "local").mkdir()
    (tmp_path / "tests-own").mkdir()
    return tmp_path


@pytest.fixture
def theirs(cache) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is there before the guard."""
    with subprocess.Popen(["sleep", "60"]) as process:
        yield process
        process.kill()


def guarded(cache, code: str, folder: str = "", text: str = GUARDED) -> subprocess.CompletedProcess[str]:
    """Code in a process of its own, as if it stood in ``folder``: the guard cannot be taken out again."""
    text += f"exec(compile({code!r}, {f'{folder}/code.py'!r}, 'exec'))\n"
    return python("-c", text, DEADWEIGHT_CACHE_DIR=str(cache))


def python(*words: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
    argv, whole = [sys.executable, *words], {**os.environ, **env}
    return subprocess.run(argv, cwd=ROOT, env=whole, capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.parametrize("call", ["kill({}, 15)", "kill({}, 9)", "killpg({}, 15)", "kill(-{}, 15)"])
def test_a_process_of_others_is_not_ended(cache, theirs, call):
    done = guarded(cache, f"os.{call.format(theirs.pid)}")
    assert (done.returncode, theirs.poll()) == (1, None)
    assert f"NotOurs: a test must not end process {theirs.pid} (" in done.stderr
    assert "it did not start that" in done.stderr


HELD = "with FileLock('{cache}/{name}'): print('held')"
SAYS_UP = "words = [sys.executable, '-c', 'print(1, flush=True); input()']\n"
CASES: dict[str, tuple[str, str, int, str, str]] = {
    "a process of another run, though it began later": (
        ("os.environ[guards.VARIABLE], ours = 'other', os.environ[guards.VARIABLE]\n"
        f"pid = int(subprocess.run({DAEMON}, stdout=-1, text=True).stdout)\n"
        "os.environ[guards.VARIABLE] = ours\n"
        "try: os.kill(pid, 9)\n"
        "finally: subprocess.run(['kill', str(pid)])\n"),
        "", 1, "", "NotOurs",
    ),
    "what runs for the shared home, whoever started it": (
        (f"{SAYS_UP}registry = subprocess.Popen([*words, '{{cache}}/local/registry/config.yml'], stdin=-1, stdout=-1)\n"
        "registry.stdout.readline()\n"
        "try: registry.terminate()\n"
        "finally: registry.communicate(b'end\\n')\n"),
        "", 1, "", "it runs for the shared home",
    ),
    "who speaks with the shared engine is a test's own": (
        (f"{SAYS_UP}for name in ('client', 'dockerd'):\n"
        "    words[0], socket = name, f'{guards._run[0].engine}/docker.sock'\n"
        "    each = subprocess.Popen([*words, socket], executable=sys.executable, stdin=-1, stdout=-1)\n"
        "    each.stdout.readline()\n"
        "    try: each.terminate()\n"
        "    except guards.NotOurs: print('refused', name)\n"
        "    finally: each.communicate(b'end\\n')\n"),
        "", 0, "refused dockerd\n", "",
    ),
    "what a killed engine left, whoever's it was": (
        ("run = Path('{cache}/deadweight-0-1'); run.mkdir()\n"
        "made = ['sh', '-c', 'sh -c \"sleep 60; true\" $0 >/dev/null & echo $!', run]\n"
        "pid = int(subprocess.check_output(made, env={**os.environ, guards.VARIABLE: 'other'}))\n"
        "try: os.kill(pid, 9)\n"
        "except guards.NotOurs: print((run / 'engine.pid').write_text('0'))\n"
        "os.kill(pid, 9)\n"),
        "", 0, "1\n", "",
    ),
    "children, daemons and oneself are a test's own": (
        ("child = subprocess.Popen(['sleep', '60'], start_new_session=True)\n"
        "os.killpg(child.pid, 15); child.wait()\n"
        "made = ['sh', '-c', 'env -i setsid sleep 60 >/dev/null & echo $!']\n"
        "pid = int(subprocess.run(made, stdout=-1, text=True).stdout)\n"
        "os.kill(pid, 0); os.kill(pid, 15)\n"
        "signal.signal(15, lambda *_: print('told')); os.kill(os.getpid(), 15)\n"),
        "", 0, "told\n", "",
    ),
    "a lock of the shared home": (HELD.replace("{name}", "local/lock"), "tests", 1, "", "NotOurs: a test must not lock"),
    "a lock in a test's own folder": (HELD.replace("{name}", "tests-own/lock"), "tests", 0, "held\n", ""),
    "a lock elsewhere": (HELD.replace("{name}", "../lock"), "tests", 0, "held\n", ""),
    # for a test that has stand-ins made: whoever comes meanwhile waits, as users do
    "the product may lock the shared home": (HELD.replace("{name}", "local/lock"), "src", 0, "held\n", ""),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_what_a_test_may_end_and_lock(cache, case):
    code, folder, exit_code, output, refusal = CASES[case]
    done = guarded(cache, code.replace("{cache}", str(cache)), folder=str(ROOT / folder))
    assert (done.returncode, done.stdout) == (exit_code, output)
    assert refusal in done.stderr
    assert ("NotOurs" in done.stderr) is bool(refusal)


TEST = """
import contextlib, os
from tests.support import guards
guards.install()

def test_swallowed():
    with contextlib.suppress(BaseException):
        os.kill({pid}, 15)

def test_after(): pass
"""
CONFTEST = """
def pytest_configure(config):
    from tests.support import guards, red_summary
    config.pluginmanager.register(guards.Plugin())
    config.pluginmanager.register(red_summary)
"""


def run(folder, *words: str, **files: str) -> subprocess.CompletedProcess[str]:
    """A pytest of its own, with our plugins."""
    tests = {f"test_{name}.py": text for name, text in files.items()}
    written(folder, {"conftest.py": CONFTEST, **tests})
    alone = ("-p", "no:cacheprovider", "-c", os.devnull, "--confcutdir", folder)
    env = {"PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    return python("-m", "pytest", "-q", *alone, *words, folder, **env)


@pytest.mark.system
def test_whoever_swallows_the_refusal_fails_all_the_same_and_nobody_else(cache, theirs, tmp_path):
    done = run(tmp_path, it=TEST.format(pid=theirs.pid))
    shown = [text in done.stdout for text in ("1 failed, 1 passed", "NotOurs: a test must not end process")]
    assert (done.returncode, shown) == (1, [True, True])


def test_it_is_there_for_every_test():
    assert [process.pid for process in guards._run] == [os.getpid()]


@pytest.mark.system
def test_and_in_the_runs_of_invoke_that_tests_start(tmp_path):
    """A process of another run, as one worker of pytest is to the next."""
    pid = int(subprocess.check_output(DAEMON, env={**os.environ, guards.VARIABLE: "other"}))
    text = f"import os\nfrom invoke import task\n\n@task\ndef end(c):\n    os.kill({pid}, 15)\n"
    done = ended(written(tmp_path, {"tasks.py": text}), "end", env=dict(os.environ))
    subprocess.run(["kill", str(pid)], check=True)  # it is there still
    assert (done.returncode != 0, f"NotOurs: a test must not end process {pid}" in done.stderr) == (True, True)


UNIT = "import os, socket, subprocess\nfrom tests.support import guards\nguards.install(unit=True)\n"


@pytest.mark.parametrize(("code", "reason"), [
    ("socket.create_connection(('192.0.2.1', 80), 1)", "must not reach the network (192.0.2.1)"),
    ("socket.getaddrinfo('example.com', 443)", "must not reach the network (example.com)"),
    ("socket.socket(socket.AF_UNIX).connect('/run/x/docker.sock')", "must not ask a container engine (/run/x/docker.sock)"),
    ("subprocess.run(['docker', 'ps'])", "must not start docker"),
    ("subprocess.run(['/usr/bin/sudo', '-n', 'true'])", "must not start sudo"),
    ("subprocess.run([os.sys.executable, '-m', 'invoke', 'build'])", "must not start invoke"),
])  # fmt: skip
def test_what_is_no_units_is_refused(cache, code, reason):
    done = guarded(cache, code, text=UNIT)
    assert (done.returncode, f"NotAUnit: a unit test {reason}" in done.stderr) == (1, True)


def test_loopback_and_small_programs_are_anybodys(cache):
    code = "server = socket.create_server(('127.0.0.1', 0))\n"
    code += "socket.create_connection(('localhost', server.getsockname()[1]), 5).close()\n"
    done = guarded(cache, f"{code}subprocess.run(['true'], check=True)\n", text=UNIT)
    assert (done.returncode, done.stderr) == (0, "")


# How a red run ends.
FAULT = """
def test_first():
    raise ValueError("the first fault\\nof two lines")
"""
CASCADE = """
import pytest, time
from deadweight._errors import DeadweightError

@pytest.fixture(scope="module")
def registry():
    time.sleep({delay})
    raise DeadweightError("the local registry at 127.0.0.1:4711 does not answer: refused")

@pytest.mark.parametrize("number", range(11))
def test_pulls(registry, number): pass

def test_dials():
    raise OSError("Get http://127.0.0.1:4711/v2/: dial tcp 127.0.0.1:4711: connect: connection refused")

def test_well(): pass
"""


@pytest.mark.system
@pytest.mark.parametrize(("delay", "workers", "first"), [
    (0, ["no:xdist"], ["test_a.py::test_pulls[0] (setup)",
        "  deadweight_images.errors.DeadweightError: the local registry at 127.0.0.1:4711 does not answer: refused"]),
    (2, ["xdist.plugin", "-n", "2", "--dist", "loadfile"],
     ["test_b.py::test_first (call)", "  ValueError: the first fault", "  of two lines"]),
], ids=["one", "two"])  # fmt: skip
def test_a_cascade_is_one_cause_and_the_first_failure_in_time_is_told(tmp_path, delay, workers, first):
    done = run(tmp_path, "-p", *workers, a=CASCADE.format(delay=delay), b=FAULT)
    _, *lines = done.stdout.partition(" why it is red ")[2].splitlines()
    assert [lines[0].removeprefix("first: ")[-len(first[0]) :], *lines[1 : len(first)]] == first
    assert lines[len(first)].endswith((f"{tmp_path}/test_a.py:8", f"{tmp_path}/test_b.py:3"))
    causes = [line for line in lines[len(first) + 1 : -1] if "::" not in line]
    assert causes == [
        *("12 failed: nothing answers at 127.0.0.1:4711", "    and 9 more", "1 failed: ValueError: the first fault")
    ]
    assert (done.returncode, "2 failed, 1 passed, 11 errors in " in lines[-1]) == (1, True)


@pytest.mark.slow
@pytest.mark.system
def test_a_file_that_cannot_be_read_and_a_worker_that_dies_are_told_and_nothing_of_a_green_run(tmp_path):
    def reason(*words: str, **files: str) -> str:
        done = run(tmp_path, "-p", *words, **files)
        return done.stdout.partition(" why it is red ")[2] or f"exit code {done.returncode}"

    assert reason("no:xdist", green="def test_it(): pass\n") == "exit code 0"
    assert "nothing_of_that_name" in reason("no:xdist", broken="import nothing_of_that_name\n").partition("1 failed")[0]
    (tmp_path / "test_broken.py").unlink()
    assert "crashed" in reason("xdist.plugin", "-n", "1", dead="import os\ndef test_it(): os._exit(3)\n")


@pytest.mark.parametrize(("text", "expected"), [
    ("DeadweightError: the local registry at 127.0.0.1:5000 does not answer: [Errno 111]", "nothing answers at 127.0.0.1:5000"),
    ("Connect to 127.0.0.1:5000 [/127.0.0.1] failed: Connection refused", "nothing answers at 127.0.0.1:5000"),
    ("Cannot connect to the Docker daemon at unix:///x.sock. Is it running?", "nothing answers at unix:///x.sock"),
    ("MissingError: quadlet 5 is missing\n  hint: x", "MissingError: quadlet # is missing"),
    ("assert 0x7f12 in /tmp/one", "assert # in #"), ("", "no reason was given"),
])  # fmt: skip
def test_what_errors_say_is_known_by_their_cause(text, expected):
    assert cause(text) == expected


# Which tests ``--changed`` runs.
@pytest.mark.parametrize(("paths", "wanted"), [
    ([], list(ALWAYS)),
    (["src/deadweight_pool/pool.py"], ["tests/pool", *ALWAYS]),
    (["tests/images/test_main.py", "src/deadweight_init/__init__.py"], ["tests/images", "tests/init", *ALWAYS]),
    (["docs/how-to/attacks.md", "README.md"], [DOCS, *ALWAYS]),
    (["src/deadweight_attacks/harden/trial.py", "src/deadweight/_run.py"], ["tests"]),
    (["tests/support/changed.py"], ["tests"]),
    (["pyproject.toml"], ["tests"]),
])  # fmt: skip
def test_a_package_s_own_tests_run_and_all_for_the_core(paths, wanted):
    assert targets(paths) == wanted


@pytest.mark.parametrize("name", PACKAGES)
def test_every_package_has_a_folder_of_tests(name):
    assert list((TESTS / name).rglob("test_*.py"))


def test_what_is_committed_edited_moved_and_new_counts(tmp_path):
    written(tmp_path, {name: name for name in ("a", "b", "c", "same")})
    for words in ("init -q -b main", "add .", "commit -qm first", "switch -qc topic"):
        git(tmp_path, *words.split())
    assert selected(tmp_path) == list(ALWAYS)
    git(tmp_path, "mv", "a", "moved")
    git(tmp_path, "commit", "-qm", "moved")
    written(tmp_path, {"b": "edited", "new": ""})
    assert changed_paths(tmp_path) == ["a", "b", "moved", "new"]
    git(tmp_path, "branch", "-q", "-D", "main")
    assert (changed_paths(tmp_path), selected(tmp_path)) == (None, ["tests"])
