"""Disks that are full, read-only, or hold something else than was written; files that change under a build."""

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from deadweight import _disk, _run
from deadweight._errors import CommandError, wording
from deadweight.builders import apko
from deadweight.builders.shared.archive import work_folder
from deadweight.tasks._task import guard
from deadweight.toolchain.golang import OFFLINE_HINT
from tests.support.fault_project import meanwhile, mounted, read_only
from tests.support.marks import NEEDS_ROOT
from tests.support.trees import written

pytestmark = pytest.mark.system

SCRIPT = "cp src/a.txt $OUT"


def fill(folder: Path) -> None:
    """Leave no byte on a folder's disk."""
    with (folder / "ballast").open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"x" * 1024)


@NEEDS_ROOT
def test_the_only_disk_of_a_machine_is_full(tmp_path, monkeypatch, capsys):
    """Python then finds no temporary folder: neither an error's hint nor a task may end in a traceback for that."""
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: [str(tmp_path / "gone")])
    assert (_disk.hint(""), guard(lambda: print(tempfile.mkdtemp()))) == (wording("run.disk_full"), 1)
    assert capsys.readouterr().err.startswith(f"error: {wording('tasks.no_temporary_folder')}\n  hint: ")


def take_inodes(folder: Path) -> None:
    """Leave no place for a file on a folder's disk."""
    with contextlib.suppress(OSError):
        for number in range(100):
            (folder / f"ballast{number}").touch()


@NEEDS_ROOT
@pytest.mark.parametrize(("before", "script", "options"), [
    (fill, SCRIPT, ()), (bool, "head -c 3000000 /dev/zero > $OUT", ()),
    # the image is there, its record cannot be written: it does not count as built
    (bool, f"{SCRIPT}; dd if=/dev/zero of=.deadweight/ballast bs=1k || true", ()), (take_inodes, SCRIPT, ("-N", "64")),
], ids=["from the start", "while a build writes", "after the tool is done", "without free inodes"])  # fmt: skip
def test_a_full_disk(project, tmp_path, before, script, options):
    """The state folder is a file system of 1 MB, from a file."""
    disk = tmp_path / "disk"
    with disk.open("wb") as file:
        file.truncate(1 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", "-m", "0", "-O", "^has_journal", *options, str(disk)], check=True)
    with mounted(project.state, "-o", "loop", str(disk)):
        (project.state / "lost+found").rmdir()
        before(project.state)
        project.suite(v=script)
        done = project.fails(1, "No space left on device")
        assert before is not fill or str(project.state) in done.errors.partition("hint: ")[2]
        for ballast in project.state.glob("ballast*"):
            ballast.unlink()
        project.suite(v=SCRIPT)
        project.builds()


@NEEDS_ROOT
def test_a_read_only_state_folder(project):
    project.builds()
    with read_only(project.state):
        project.fails(1, "Read-only file system")
        assert (project.invoke("variants").code, project.invoke("build", "--plan").code) == (0, 0)


@pytest.mark.parametrize("place", [".deadweight", ".deadweight/lock", ".deadweight/images"])
def test_something_else_stands_where_the_state_belongs(project, place):
    path, is_lock = project.root / place, place.endswith("lock")
    path.parent.mkdir(exist_ok=True)
    path.mkdir() if is_lock else path.write_text("not a folder")
    project.fails(1, place.rpartition("/")[2])
    path.rmdir() if is_lock else path.unlink()


def test_the_state_folder_goes_while_a_build_runs(project):
    project.suite(v="rm -rf .deadweight; mkdir -p .deadweight/images/v; cp src/a.txt $OUT")
    done = project.invoke("build")
    assert done.code in (0, 1)
    assert "Traceback" not in done.errors


def test_a_file_changed_while_it_is_built_is_built_again(project):
    project.suite(v="cp src/a.txt $OUT; echo later > src/a.txt")
    assert project.invoke("build").code == 0
    project.suite(v=SCRIPT)
    assert "Built" in project.builds().errors
    assert project.out() == "later\n"


def test_a_clock_set_back(project):
    """The content changed, and its time goes back to what it was (or before): times prove nothing here."""
    project.builds()
    file = project.root / "src" / "a.txt"
    before = file.stat()
    file.write_text("b\n")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert "src/a.txt changed" in project.builds().errors
    file.write_text("c\n")
    os.utime(file, (0, 0))
    assert "src/a.txt changed" in project.builds().errors
    future = time.time() + 86400 * 3650
    for path in [*project.state.rglob("*"), file]:
        os.utime(path, (future, future))
    assert "Built" not in project.builds().errors


def test_a_source_file_that_cannot_be_read(project):
    (project.root / "src" / "loop").symlink_to("loop")  # a link is content, whatever it leads to
    project.builds()
    os.mkfifo(project.root / "src" / "pipe")  # reading it would wait for ever


def test_files_that_come_and_go_while_a_plan_reads_them(project):
    """Either the plan is right or one error says which file went; never a traceback."""
    folder = project.root / "src" / "busy"
    folder.mkdir()

    def churn() -> None:
        for number in range(50):
            (folder / f"{number}").write_text("x")
        for number in range(50):
            (folder / f"{number}").unlink()

    with meanwhile(churn):
        for _ in range(4):
            done = project.invoke("build", "--plan")
            assert (done.code in (0, 1), "Traceback" in done.errors) == (True, False)
            if done.code:
                gone = wording("plan.unreadable", path="|", problem="No such file or directory")
                assert gone.partition("|")[2] in done.errors
    assert not project.state.exists(), "a plan changes nothing"


def test_what_a_killed_melange_left_goes_with_the_next(tmp_path):
    packages = tmp_path / "packages"
    left = packages / ".work-1-abcdef" / "sandbox"
    left.mkdir(parents=True)
    left.chmod(0)
    with work_folder(packages) as first, work_folder(packages) as second:
        assert sorted(packages.iterdir()) == sorted((first, second))
    assert list(packages.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/shm").is_mount(), reason="no file system in memory")
def test_what_a_killed_run_left_in_memory_goes_with_the_next(tmp_path, monkeypatch):
    monkeypatch.setattr(apko, "ROOM_BYTES", 0)
    code = "import os, sys; from pathlib import Path; from deadweight.builders import apko\napko.ROOM_BYTES = 0\n"
    code += "(apko.memory_folder(Path(sys.argv[1])) / 'file').touch(); os.kill(os.getpid(), 9)"
    killed = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)])
    assert killed.wait() == -9
    (left,) = apko.MEMORY.glob(f"deadweight-*-{killed.pid}-*")
    mine = apko.memory_folder(tmp_path)
    assert (mine.is_dir(), left.exists()) == (True, False)
    mine.rmdir()
    monkeypatch.setattr(apko, "ROOM_BYTES", 2**60)
    assert apko.memory_folder(tmp_path) is None


@NEEDS_ROOT
@pytest.mark.parametrize("how", ["cat /dev/zero > cache/file", "go build -o /dev/null ."])
def test_a_full_disk_is_named_whatever_program_met_it(tmp_path, how):
    """A cache that was full was told as a module proxy that is not in reach."""
    main = 'package main\n\nimport "fmt"\n\nfunc main() { fmt.Println() }\n'
    written(tmp_path, {"go.mod": "module example.invalid/x\n\ngo 1.18\n", "main.go": main})
    cache = tmp_path / "cache"
    with mounted(cache, "-t", "tmpfs", "-o", "size=64k", "tmpfs"):
        env = {"GOCACHE": str(cache), "GOTMPDIR": str(cache)}
        with pytest.raises(CommandError) as caught:
            _run.run(["sh", "-c", how], cwd=tmp_path, env=env, hint=OFFLINE_HINT)
    assert f" {cache} " in str(caught.value.hint)
    assert "GOPROXY" not in str(caught.value)
