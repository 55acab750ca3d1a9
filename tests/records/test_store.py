"""Where records and findings are written: whole or not at all, and never in the place of what is no file."""

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import make_dataclass

from deadweight._errors import DeadweightError
from deadweight.records.store import adapter, write_where_told
from tests.support.codes import raises
from tests.support.trees import written


def test_a_link_stays_one_and_what_it_names_is_replaced(tmp_path):
    target, link = tmp_path / "kept" / "out.sarif", tmp_path / "link.sarif"
    written(tmp_path, {"kept/out.sarif": "before"})
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


def test_threads_that_meet_a_record_first_leave_the_environment_as_it_was(monkeypatch):
    monkeypatch.setenv("PYDANTIC_DISABLE_PLUGINS", "one")
    kinds = [make_dataclass(f"Kind{number}", [("name", str)]) for number in range(400)]
    often = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as threads:
            assert all(threads.map(adapter, kinds))
    finally:
        sys.setswitchinterval(often)
    assert os.environ["PYDANTIC_DISABLE_PLUGINS"] == "one"
