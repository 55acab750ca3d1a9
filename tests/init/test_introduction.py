"""The bare command in a folder without a suite: what it sees, what it would do, and nothing written."""

import subprocess
import sys

import pytest

from deadweight_init.introduction import look
from tests.support.codes import codes, parts

DOCKERFILE = 'FROM golang:1.26\nCOPY . .\nRUN go build -o /app .\nEXPOSE 8080\nCMD ["/app"]\n'


def test_a_service_is_told_with_the_ways_to_build_it(tmp_path):
    (tmp_path / "Dockerfile").write_text(DOCKERFILE)
    lines, able = look(tmp_path)
    assert (able, [codes(line) for line in lines]) == (True, [["look.folder"], ["look.service"], ["look.would"]])
    assert str(parts(lines[1])[1]["rungs"]).startswith("today")


def test_a_folder_without_one_is_told_too(tmp_path):
    lines, able = look(tmp_path)
    assert ([codes(line) for line in lines], able) == ([["look.nothing"]], False)


@pytest.mark.system
def test_the_bare_command_asks_nobody_where_nobody_can_answer(tmp_path):
    (tmp_path / "Dockerfile").write_text(DOCKERFILE)
    done = subprocess.run(
        [sys.executable, "-m", "deadweight"], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.endswith("next: deadweight init\n")
    assert [path.name for path in tmp_path.iterdir()] == ["Dockerfile"]
