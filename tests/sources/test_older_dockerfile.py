"""A Dockerfile in words that an older BuildKit knows. That they mean the same is tried with an engine (tests/builders)."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deadweight.sources.adapt_dockerfile import HEREDOCS, LINK, SINCE, START_INTERVAL, downgraded, lacking
from deadweight.sources.dockerfile_lines import instructions

ALL = frozenset(SINCE)


@pytest.mark.parametrize(
    ("version", "unknown"),
    [
        ((20, 10, 24), ALL),
        ((23, 0, 1), {START_INTERVAL}),
        ((24, 0), {START_INTERVAL}),
        ((25, 0), set()),
        ((29, 1), set()),
    ],
)
def test_what_an_engine_does_not_know_yet(version, unknown):
    assert lacking(version) == unknown


@pytest.mark.parametrize(
    ("written", "made"),
    [
        ("COPY --link a b", "COPY a b"),
        ("COPY --from=x --link=true \\\n  --chown=1 a b", "COPY --from=x \\\n  --chown=1 a b"),
        ("HEALTHCHECK --interval=1s --start-interval=1s CMD x", "HEALTHCHECK --interval=1s CMD x"),
        ("RUN echo --link x", "RUN echo --link x"),
        ("RUN <<EOF\na $B\n\\'c\nEOF", 'RUN ["/bin/sh", "-c", "a $B\\n\\\\\'c\\n"]\n#\n#\n#'),
        ("RUN <<-'E'\n\ta\n\tE", 'RUN ["/bin/sh", "-c", "a\\n"]\n#\n#'),
        ("RUN --network=none py - <<E\nx\nE", 'RUN --network=none ["/bin/sh", "-c", "py - <<E\\nx\\nE\\n"]\n#\n#'),
        ("COPY <<E /a/b\nx\nE", 'RUN ["/bin/sh", "-c", "set -e\\n[ -d /a ] || mkdir -p /a\\ncat <<E > /a/b\\nx\\nE\\n"]\n#\n#'),
        ("COPY a <<E /b/\nx\nE", "COPY a <<E /b/\nx\nE"),
        ("COPY <<E /b\nx", "COPY <<E /b\nx"),
    ],
)  # fmt: skip
def test_it_is_said_otherwise_and_numbers_of_lines_stay_true(written, made):
    text, said = downgraded(f"FROM x\n{written}\nRUN last\n", ALL)
    assert text == f"FROM x\n{made}\nRUN last\n"
    assert bool(said) is (written != made)
    assert downgraded(f"FROM x\n{written}\n", frozenset()) == (f"FROM x\n{written}\n", ())


def test_the_stages_own_shell_and_user_count():
    before = 'FROM a\nSHELL ["/bin/bash", "-ec"]\nUSER 7\n'
    text, _ = downgraded(f"{before}RUN <<E\nx\nE\nCOPY <<E /b\nx\nE\nFROM b\nRUN <<E\nx\nE\n", ALL)
    lines = text.splitlines()
    assert lines[3] == 'RUN ["/bin/bash", "-ec", "x\\n"]'
    assert (lines[6], lines[8]) == ("USER 0", "USER 7")
    assert lines[10] == 'RUN ["/bin/sh", "-c", "x\\n"]'


def test_a_script_with_a_first_line_of_its_own_is_run_by_its_interpreter():
    text, _ = downgraded("FROM x\nRUN <<E\n#!/usr/bin/python3\nprint(1)\nE\n", ALL)
    words = json.loads(text.splitlines()[1].removeprefix("RUN "))
    assert words[-1] == "#!/usr/bin/python3\nprint(1)\n"
    assert '"$f"' in words[2]


@given(st.lists(st.sampled_from(
    ["FROM x", "RUN <<E", "E", "a", "# c", "", "COPY <<A <<B /d/", "A", "B", "COPY --link a b", "RUN a \\", "  b", "USER 5"]
), max_size=14))  # fmt: skip
def test_nothing_moves_whatever_stands_in_it(lines):
    text = "\n".join(["FROM x", *lines])
    made, said = downgraded(text, frozenset((HEREDOCS, LINK)))
    assert made.count("\n") == text.count("\n")
    assert said or made == text
    kept = {each.line: each.word for each in instructions(made)}
    assert all(kept.get(each.line) in (each.word, "RUN", "USER", None) for each in instructions(text))
