"""Which lines of a program's last words are told: the first exception, and the last lines without its frames."""

import time

import pytest

from deadweight._log_excerpt import coloured, cut, exceptions, last_lines, plain

GO = """\
2026/11/25 10:00:00 starting
panic: assignment to entry in nil map

goroutine 1 [running]:
main.main()
\t/s/main.go:11 +0x5a
runtime.main()
\t/usr/local/go/src/runtime/proc.go:267 +0x2bb
runtime.goexit()
\t/usr/local/go/src/runtime/asm_amd64.s:1650 +0x1
exit status 2"""

JAVA = """\
INFO starting
Exception in thread "main" org.springframework.BeanCreationException: Error creating bean 'redis'
\tat org.springframework.Factory.create(Factory.java:10)
Caused by: io.lettuce.RedisConnectionException: Unable to connect to redis:6379
\tat io.lettuce.Client.connect(Client.java:3)
\t... 12 more
Caused by: java.net.UnknownHostException: redis
\tat java.base/java.net.InetAddress.lookup(InetAddress.java:801)
\tat java.base/java.lang.Thread.run(Thread.java:840)
\t... 31 more"""

PYTHON = """\
Traceback (most recent call last):
  File "/app/main.py", line 3, in <module>
    import flask
ModuleNotFoundError: No module named 'flask'
waiting\nstill waiting\nwaiting no more\nbye\nthe end"""

NODE = """\
node:internal/modules/cjs/loader:1148
  throw err;
  ^

Error: Cannot find module 'express'
Require stack:
- /app/index.js
    at Module._resolveFilename (node:internal/modules/cjs/loader:1145:15)
    at Module._load (node:internal/modules/cjs/loader:986:27)

Node.js v20.15.1"""


@pytest.mark.parametrize(("log", "first"), [
    (GO, ("panic: assignment to entry in nil map",)),
    (JAVA, (JAVA.splitlines()[1], "Caused by: java.net.UnknownHostException: redis")),
    (PYTHON, ("ModuleNotFoundError: No module named 'flask'",)),
    (NODE, ("Error: Cannot find module 'express'",)),
    ("listening on :80\nno error: all is well\nErrors: 0", ()),
])  # fmt: skip
def test_the_first_exception_and_its_deepest_cause(log, first):
    assert exceptions(log.splitlines()) == first


MARKED = """\
Traceback (most recent call last):
  File "/app/app.py", line 10, in <module>
    token = os.environ['TOKEN']
            ~~~~~~~~~~^^^^^^^^^
  File "<frozen os>", line 685, in __getitem__
KeyError: 'TOKEN'"""


@pytest.mark.parametrize(("log", "count", "lines"), [
    (GO, 2, [1, -2, -1]),
    (PYTHON, 2, [3, -2, -1]),
    (PYTHON, 6, range(3, 9)),  # told once
    (JAVA, 5, [0, 1, 3, 6]),  # without frames
    (MARKED, 3, [1, 2, 5]),  # without marks below a line, and Python's own modules
])  # fmt: skip
def test_an_exception_stands_above_the_last_lines(log, count, lines):
    assert cut(log.splitlines(), count) == [log.splitlines()[number] for number in lines]


def test_colours_and_control_characters_are_no_part_of_what_was_said():
    lines = ["\x1b[31mValueError: no key\x1b[0m", "\x1b[33mPress CTRL+C to quit\x1b[0m\x07", "\x1b]0;title\x07a\tb"]
    assert exceptions(lines) == ("ValueError: no key",)
    assert last_lines(lines, 2) == ["Press CTRL+C to quit", "a\tb"]


HOSTILE = "a\x1b[2J\x1b]0;owned\x07b\x9b5m\u202ec\u2066d\u2028e\x7ff\ud800g\x1bh\x1b[31mi"


def test_what_a_terminal_or_a_page_could_obey_is_no_part_of_a_text():
    assert (plain(HOSTILE), coloured(HOSTILE)) == ("ab5mcdefghi", "ab5mcdefgh\x1b[31mi")
    assert plain("Füße\t東京 🍎\n‏שלום") == "Füße\t東京 🍎\n‏שלום"


def test_a_line_without_end_takes_no_time():
    """A service that prints one of a million letters would hold its own checks."""
    started = time.monotonic()
    assert exceptions(["x " * 10, "ERROR " + "aB." * 500_000]) == ()
    assert [len(line) for line in cut(["at " + "1:" * 500_000], 3)] == [300]
    assert time.monotonic() - started < 5
