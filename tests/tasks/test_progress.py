"""What a person sees while work goes on, on a terminal and in a pipe; whatever a service or a file says, none of it is obeyed.

A sign of life: never silent for more than two seconds, and no line runs into it.
"""

import io
import json
import re
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from deadweight._errors import DeadweightError
from deadweight.builders.protocol import Inputs, Step
from deadweight.plan.graph import Fingerprint, Task
from deadweight.plan.scheduler import Outcome
from deadweight.tasks import _progress
from deadweight.tasks._progress import Watcher, print_json, print_utf8, say
from deadweight.tasks._task import guard


def heard(capsys, times: int, words: str = "so far") -> str:
    """All of stderr once ``words`` were said so often; a machine under load may take its time."""
    text, ends = "", time.monotonic() + 30
    while text.count(words) < times and time.monotonic() < ends:
        time.sleep(0.02)
        text += capsys.readouterr().err
    return re.sub(r"\d+ s", "N s", text)


def test_the_first_sign_comes_within_two_seconds() -> None:
    assert _progress.QUIET_SECONDS <= 1.0, "and then it may be a second late"


@pytest.fixture(autouse=True)
def _beating(monkeypatch) -> None:
    monkeypatch.delenv(_progress.VARIABLE)  # which the tests set


def test_it_can_be_switched_off(monkeypatch, capsys, quick) -> None:
    monkeypatch.setenv(_progress.VARIABLE, "0")
    with _progress.report_progress("scan"):
        time.sleep(0.3)
    assert capsys.readouterr().err == ""


@pytest.fixture
def quick(monkeypatch) -> None:
    """Into a pipe."""
    monkeypatch.setattr(_progress, "redraws", lambda: False)
    monkeypatch.setattr(_progress, "QUIET_SECONDS", 0.05)
    monkeypatch.setattr(_progress, "LINES_APART_SECONDS", 0.0)


@pytest.mark.parametrize("terminal", [True, False], ids=["terminal", "pipe"])
def test_a_step_that_says_nothing_is_told_and_no_line_runs_into_it(monkeypatch, capsys, quick, terminal) -> None:
    monkeypatch.setattr(_progress, "redraws", lambda: terminal)
    with _progress.report_progress("scan"):
        output = heard(capsys, 1, "scan, ")
        monkeypatch.setattr(_progress, "LINES_APART_SECONDS", 1000.0)
        say("one: done")
    output += re.sub(r"\d+ s", "N s", capsys.readouterr().err)
    if terminal:
        sign = r"(\r\x1b\[Jscan, N s\r)"
        assert re.fullmatch(rf"{sign}+\r\x1b\[Jone: done\nscan, N s\r{sign}*\r\x1b\[J", output)
    else:
        assert re.fullmatch(r"(scan, N s so far\n)+one: done\n", output)


def test_a_quick_step_leaves_no_trace(capsys) -> None:
    with _progress.report_progress("scan"):
        pass
    assert capsys.readouterr().err == ""


def test_where_lines_stay_one_comes_only_after_a_long_silence(monkeypatch, capsys, quick) -> None:
    """A CI log is not filled."""
    monkeypatch.setattr(_progress, "LINES_APART_SECONDS", 1000.0)
    with _progress.report_progress(iter(f"step {number}" for number in range(9999)).__next__):
        time.sleep(0.3)
        assert capsys.readouterr().err == ""
        monkeypatch.setattr(_progress, "LINES_APART_SECONDS", 0.0)
        assert heard(capsys, 2).count("so far") >= 2


def test_of_steps_within_each_other_the_innermost_is_told(capsys, quick) -> None:
    with _progress.report_progress("outer"):
        assert "outer" in heard(capsys, 1)
        with _progress.report_progress("inner"):
            heard(capsys, 1, "inner")  # what the outer one had begun to say may still come
            assert "outer" not in heard(capsys, 3)
        assert "outer" in heard(capsys, 1, "outer")


@pytest.mark.parametrize("terminal", [True, False], ids=["terminal", "pipe"])
def test_the_block_names_what_runs_in_a_pipe_a_few(monkeypatch, capsys, quick, terminal) -> None:
    monkeypatch.setattr(_progress, "redraws", lambda: terminal)
    monkeypatch.setenv("COLUMNS", "30")
    with Watcher(3).showing() as watcher:
        for name in ("a", "b", "c" * 40):
            watcher.began(SimpleNamespace(step=SimpleNamespace(key=name, title=f"ko build {name}"), reason=""))  # type: ignore[arg-type]
        output = heard(capsys, 2, "ko build b")
    lines = re.split(r"[\r\n]+", output)
    assert max(map(len, lines)) < 30 + len("\x1b[3A")
    assert [("ko build ccc" in output), ("…" in output)] == [terminal, not terminal]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_log_is_named_in_one_piece_on_a_narrow_terminal(monkeypatch) -> None:
    """A path that a line's end breaks cannot be copied; the terminal wraps by itself."""
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setenv("COLUMNS", "40")
    task = Task(Step("image:v", "v", "ko build v", Inputs(), bool, print), Fingerprint("", {}), "why", ("v",))
    log = Path("/home/somebody/a folder/that is deep/.deadweight/logs/v.log")
    with Watcher().showing() as shown:
        shown.began(task)
        shown.ended(Outcome(task, "failed", 1.0, log, DeadweightError("it")))
    assert f" {log}\n" in sys.stderr.getvalue()


HOSTILE = "a\x1b[2J\x1b]0;owned\x07b\u202ec\u2066d\x9be\x7f"


@pytest.mark.parametrize("tell", [print, say], ids=["stdout", "progress"])
def test_no_text_is_obeyed(tell, capsys):
    """``harden`` told the keys of a JSON document raw: they cleared the screen and set its title."""
    assert guard(lambda: tell(f"{HOSTILE} \x1b[31mred\x1b[0m")) == 0
    assert "".join(capsys.readouterr()) == "abcde \x1b[31mred\x1b[0m\n"


@pytest.mark.parametrize("tell", [print_json, lambda document: print_utf8(json.dumps(document, ensure_ascii=False))])
def test_a_json_document_says_the_same_and_is_not_obeyed_either(tell, capsys):
    assert guard(lambda: tell({HOSTILE: HOSTILE})) == 0
    output = capsys.readouterr().out
    assert json.loads(output) == {HOSTILE: HOSTILE}
    assert output.replace("\n", "").isprintable()
