"""Dockerfiles as BuildKit reads them: one reader, for what plans a build and for what rewrites its copy."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deadweight.sources.adapt_dockerfile import (
    HEREDOCS,
    LINK,
    SINCE,
    START_INTERVAL,
    derived,
    downgraded,
    images,
    lacking,
    places,
)
from deadweight.sources.dockerfile_lines import arguments, heredocs, instructions


@pytest.mark.parametrize(
    ("instruction", "names"),
    [
        ("RUN cat <<EOF", ["EOF"]),
        ("RUN 3<<-'END of it' cat && cat <<\"B\"", ["END of it", "B"]),
        ("COPY <<a.txt <<b.txt /x/", ["a.txt", "b.txt"]),
        ("ONBUILD RUN <<EOF", ["EOF"]),
        ("RUN cat <<<hello", []),
        ("RUN echo $((1<<N))", []),
        ("RUN echo 'a <<EOF' \"<<EOF\"", []),
        ("RUN cat << EOF", []),
        ("RUN echo it's <<EOF", []),
        ("ENV X=<<EOF", []),
    ],
)
def test_a_heredoc_is_a_shell_word_of_its_own(instruction, names):
    assert [name for _, name in heredocs(instruction)] == names


def test_only_a_dash_lets_tabs_stand_before_the_end():
    text = "RUN <<-A\nx\n\tA\nRUN <<B\n\tB\nB\nUSER 1\n"
    assert [(each.line, each.text) for each in instructions(text)] == [(1, "RUN <<-A"), (4, "RUN <<B"), (7, "USER 1")]


def test_a_heredoc_without_an_end_is_told():
    (run,) = instructions("RUN <<EOF\nFROM x\n EOF\n")
    assert run.unended == "EOF"


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("FROM \\\n  golang:1 AS b\n", "FROM   golang:1 AS b"),
        ("FROM gol\\ \t\n\n# a comment\nang:1\n", "FROM golang:1"),
        ("# escape=`\nFROM x `\nAS b\n", "FROM x AS b"),
        ("#escape = `\r\nFROM x `\r\nAS b\r\n", "FROM x AS b"),
        ("# note\n# escape=`\nFROM x \\\nAS b\n", "FROM x AS b"),
        ("   FROM x # y", "FROM x # y"),
        ("FROM x\\", "FROM x"),
    ],
)
def test_a_logical_line(text, whole):
    assert [each.text for each in instructions(text)] == [whole]


def test_an_escaped_mark_goes_on_nowhere():
    assert [each.text for each in instructions("RUN a \\\\\nUSER 1\n")] == ["RUN a \\\\", "USER 1"]


def test_arguments():
    assert arguments("ARG\tA=1 B C='x y'") == {"A": "1", "B": None, "C": "x y"}
    assert arguments("ARG A='") == {"A": "'"}


WILD = """\
# syntax=docker/dockerfile:1
# escape=`
FROM `
  # the compiler
  golang:1.21 AS build
RUN <<EOF cat <<<hello && echo $((1<<N))
FROM ubuntu:9
EOF
RUN --mount=type=bind,from=alpine:`
3.18,target=/x echo --mount=from=nobody
COPY `
  --from=busybox:1 /bin/sh /sh
FROM build
"""


def test_images_are_found_and_replaced_wherever_lines_end():
    assert places(WILD) == {"golang:1.21": 3, "alpine:3.18": 9, "busybox:1": 11}
    made = derived(WILD, lambda name: f"here/{name}")
    assert made.splitlines()[:5] == ["# escape=`", "#", "FROM `", "  # the compiler", "  here/golang:1.21 AS build"]
    assert made.splitlines()[8:10] == [
        "RUN --mount=type=bind,from=`",
        "here/alpine:3.18,target=/x echo --mount=from=nobody",
    ]
    assert made.splitlines()[11] == "  --from=here/busybox:1 /bin/sh /sh"
    assert "\nFROM ubuntu:9\n" in made


NAMES = ("alpine:3", "registry.example.com:5000/a/b:1", "golang", "x@sha256:" + "0" * 64)
BODY = st.lists(st.sampled_from(["FROM ubuntu:9", "# x", "\\", "", "COPY --from=c d e", " END"]), max_size=3)


@st.composite
def said(draw):
    """A logical line, the lines that must follow it as they are, and the image in it, if any."""
    name = draw(st.sampled_from(NAMES))
    body = [*draw(BODY), "END"]
    return draw(
        st.sampled_from(
            [
                (f"FROM {name}", [], name),
                (f"FROM --platform=linux/amd64 {name} AS stage{draw(st.integers(0, 3))}", [], name),
                (f"COPY --chown=1:1 --from={name} /a /b", [], name),
                (f"RUN --network=none --mount=type=bind,from={name},target=/x true", [], name),
                ("RUN cat <<<hello && echo $((1<<N)) # FROM x", [], None),
                ("RUN cat <<END > /x", body, None),
                ('ENV A=1 B="FROM alpine"', [], None),
            ]
        )
    )


@st.composite
def dockerfile(draw):
    """A Dockerfile's text, and what it was made of: instructions broken anywhere, with comments and empty lines between."""
    escape = draw(st.sampled_from(["\\", "`"]))
    lines = [f"# escape={escape}"] if escape == "`" else draw(st.sampled_from([[], ["# syntax=a/b:1"], [""]]))
    made = draw(st.lists(said(), min_size=1, max_size=6))
    for text, body, _ in made:
        breaks = draw(st.sets(st.integers(1, len(text) - 1), max_size=4))
        # a part that looks like a comment, or like nothing, would be one
        at = [0, *sorted(place for place in breaks if text[place] not in " #"), len(text)]
        for start, end in itertools.pairwise(at):
            joined = end < len(text)
            lines.append(text[start:end] + (escape + draw(st.sampled_from(["", " ", "\t"])) if joined else ""))
            lines += draw(st.lists(st.sampled_from(["# FROM x", "", "  # y"]), max_size=2)) if joined else []
        lines += body
        lines += draw(st.lists(st.sampled_from(["# COPY --from=x a b", "", "\t"]), max_size=2))
    return "\n".join(lines) + "\n", made


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(dockerfile())
def test_a_rewritten_dockerfile_means_the_same_with_other_names(made):
    text, what = made
    read = [each.text for each in instructions(text)]
    assert read == [each for each, _, _ in what]
    assert set(images(text)) == {name for _, _, name in what if name}
    changed = derived(text, lambda name: f"here.example.com/{name}")
    renamed = [each.replace(name, f"here.example.com/{name}", 1) if name else each for each, _, name in what]
    assert [each.text for each in instructions(changed)] == renamed
    assert changed.count("\n") == text.count("\n")
    bodies = ["\n".join(body) for _, body, _ in what]
    assert all(body in changed for body in bodies)


# A Dockerfile in words that an older BuildKit knows. That they mean the same is tried with an engine (tests/builders).
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
