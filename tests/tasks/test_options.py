"""Options of tasks: a wrong value ends with 2 and says what is expected, before anything is done."""

import subprocess
from pathlib import Path

import pytest

from deadweight._errors import UsageError, wording
from deadweight.tasks._task import MAX_JOBS, parse_days, parse_jobs
from tests.support.codes import raises
from tests.support.invoking import invoke

pytestmark = pytest.mark.system

SUITE = "name: p\nvariants:\n  v: {builder: dockerfile, dockerfile: Dockerfile}\n"


def called(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    (folder / "deadweight.yaml").write_text(SUITE)
    (folder / "Dockerfile").write_text("FROM alpine\n")
    return invoke(folder, *words)


@pytest.mark.parametrize("jobs", ["abc", "0", "-1", "257", "1.5", ""])
def test_a_number_of_jobs_that_is_none(jobs):
    with raises(UsageError, "tasks.jobs", most=256, value=jobs):
        parse_jobs(jobs)


def test_a_task_refuses_it_before_anything_is_done(tmp_path):
    done = called(tmp_path, "build", "--jobs=")
    said = f"error: {wording('tasks.jobs', most=256, value='')}\n"
    assert (done.returncode, done.stderr, done.stdout) == (2, said, "")
    assert not (tmp_path / ".deadweight").exists()


@pytest.mark.parametrize("task", ["demo", "scan"])
def test_every_task_with_jobs_refuses_it_alike(tmp_path, task):
    done = called(tmp_path, task, "--jobs=abc")

    assert done.returncode == 2
    assert f"error: {wording('tasks.jobs', most=256, value='abc')}\n" in done.stderr


def test_numbers_of_jobs():
    assert (parse_jobs("1"), parse_jobs(7), parse_jobs("256")) == (1, 7, MAX_JOBS)
    assert parse_jobs(None) >= 1


def test_ages():
    assert (parse_days(None), parse_days("36h"), parse_days("7d")) == (None, 1.5, 7.0)
    with raises(UsageError, "tasks.older_than", value="old"):
        parse_days("old")
