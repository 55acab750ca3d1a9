"""How long a service is waited for, and what is told where it does not come up."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from deadweight_init.prove import observe as coming_up
from tests.support.codes import codes, parts


class Starting:
    """A container with a clock of its own. It listens after ``takes`` seconds, and says a line every ``every`` seconds."""

    def __init__(self, takes: float, says, every: float = 10.0) -> None:
        self.now, self.started, self.takes, self.says, self.every = 0.0, 0.0, takes, says, every
        self.name = "x"

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def state(self):
        return SimpleNamespace(running=True)

    def listeners(self):
        return [SimpleNamespace(loopback=False, port=8080, address="0.0.0.0")] if self.now >= self.takes else []

    def logs(self, lines=None):
        return [self.says(number) for number in range(int(self.now / self.every) + 1)]


@pytest.mark.parametrize(
    ("takes", "says", "until"),
    [
        (80.0, lambda _: "retrying", None),
        (200.0, lambda number: f"bean {'x' * number} is made", None),
        (1000.0, lambda number: f"bean {'x' * number} is made", 240),
        (200.0, lambda number: f"2026-11-28 10:00:{number} not there yet, try {number}", 90),
        (200.0, lambda number: "bean " + "x" * min(number, 6), 133),
    ],
)
def test_who_says_something_new_is_waited_for(monkeypatch, takes, says, until):
    container = Starting(takes, says)
    monkeypatch.setattr(coming_up, "time", container)
    if until is None:
        assert coming_up.wait_listening(container, (8080,)) == (8080,)
        return
    with pytest.raises(coming_up.NotUp) as caught:
        coming_up.wait_listening(container, (8080,))
    assert codes(caught.value.message) == ["down.said", "down.not_listening"]
    assert abs(container.now - until) < 3


def test_a_line_for_information_is_no_cause():
    said = [
        'INFO Mapped "{[/error]}" onto public BasicErrorController.error()',
        "WARN cannot connect to the database",
        "INFO Closing",
    ]
    code, fields = parts(coming_up.with_cause("it ended", said))
    assert (code, fields["reason"]) == ("down.said", "it ended")
    assert fields["lines"].startswith("WARN cannot connect to the database | INFO Mapped")


def test_the_exception_below_its_frames_is_the_cause():
    said = [
        "[1] [ERROR] Exception in worker process",
        "Traceback (most recent call last):",
        '  File "/app/run.py", line 1, in <module>',
        "ImportError: cannot import name 'escape' from 'jinja2'",
        *("Worker exiting", "Shutting down: Master", "Reason: Worker failed to boot."),
    ]
    lines = parts(coming_up.with_cause("it ended", said))[1]["lines"]
    assert lines.startswith("ImportError: cannot import name 'escape' from 'jinja2' | Worker exiting | ")
