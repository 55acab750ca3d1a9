"""Where records and findings are written: whole or not at all, and never in the place of what is no file."""

import os
import stat
import threading

import pytest

from deadweight._errors import DeadweightError
from deadweight.records.store import write_where_told
from tests.support.codes import raises


def test_a_pipe_is_written_into_and_stays_one(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    got: list[str] = []
    reader = threading.Thread(target=lambda: got.append(pipe.read_text()), daemon=True)
    reader.start()

    write_where_told(pipe, "findings\n")

    reader.join(10)
    assert got == ["findings\n"]
    assert stat.S_ISFIFO(pipe.lstat().st_mode)
    assert list(tmp_path.iterdir()) == [pipe]


@pytest.mark.parametrize("there", [True, False])
def test_a_link_stays_one_and_what_it_names_is_written(tmp_path, there):
    target, link = tmp_path / "kept" / "out.sarif", tmp_path / "link.sarif"
    if there:
        target.parent.mkdir()
        target.write_text("before")
    link.symlink_to("kept/out.sarif")

    write_where_told(link, "now")

    assert (link.is_symlink(), target.read_text()) == (True, "now")
    assert list(target.parent.iterdir()) == [target]


def test_a_link_to_an_open_pipe_as_standard_output_is_one(tmp_path):
    """``/dev/stdout`` is such a link; what it leads to has no name of its own."""
    reading, writing = os.pipe()
    link = tmp_path / "stdout"
    link.symlink_to(f"/proc/self/fd/{writing}")

    write_where_told(link, "digest\n")

    os.close(writing)
    with os.fdopen(reading) as stream:
        assert stream.read() == "digest\n"
    assert link.is_symlink()


def test_a_folder_is_refused(tmp_path):
    with raises(DeadweightError, "records.unwritable", path=tmp_path, problem="Is a directory"):
        write_where_told(tmp_path, "x")
