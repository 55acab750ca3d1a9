"""Users' files as they are in the wild, made fit for another source in a copy."""

import itertools
import json
import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings, strategies as st

from deadweight._errors import ConfigError
from deadweight.sources import adapt, adapt_dockerfile as parser
from tests.support.codes import raises
from tests.support.trees import written

SAMPLES = Path(__file__).with_name("samples")
APKO = (SAMPLES / "apko.yaml").read_text()


@pytest.fixture
def file(tmp_path):
    return lambda text: written(tmp_path, {"file.yaml": text}) / "file.yaml"


def test_an_apko_file_loses_its_repositories_keys_and_architectures(file):
    path = file(APKO)
    made = yaml.safe_load(adapt.derived(path))
    assert made["contents"] == {"packages": ["wolfi-baselayout", "app", "gawk=5.3.0-r1"]}
    assert "archs" not in made
    assert (made["accounts"], path.read_text()) == ({"run-as": 65532}, APKO)
    assert adapt.derived(file("contents: {packages: [gawk]}\n")) is None, "one that names none is used as it is"


def test_a_melange_file_keeps_its_scalars_as_they_are_written(file):
    text = adapt.derived(file((SAMPLES / "melange.yaml").read_text()))
    assert "version: 1.10\n" in text
    made = yaml.safe_load(text)
    assert made["environment"]["contents"] == {"packages": ["busybox", "go"]}
    assert made["package"] == {"name": "app", "version": 1.1, "epoch": 0}
    assert made["pipeline"] == [{"runs": 'echo "repositories: $x"\n'}]


@pytest.mark.parametrize(("packages", "flavour"), [
    ("[wolfi-baselayout, gawk]", "wolfi"), ("[alpine-baselayout, busybox]", "alpine"),
    ("['musl=1.2.3-r0', busybox]", "alpine"), ("['alpine-base@edge']", "alpine"), ("[musl-dev-tools]", "wolfi"),
])  # fmt: skip
def test_the_flavour_is_told_by_package_names(file, packages, flavour):
    path = file(f"contents: {{packages: {packages}}}\n")
    assert adapt.flavour_of(path, path.parent) == flavour


@pytest.mark.parametrize(("text", "code"), [
    ("", "sources.no_mapping"), ("- a\n", "sources.no_mapping"), ("a: [\n", "suite.not_yaml"), ("\x00", "suite.binary"),
])  # fmt: skip
def test_a_damaged_file_is_an_error_with_its_name(file, text, code):
    path = file(text)
    assert adapt.flavour_of(path, path.parent) == "wolfi"
    with raises(ConfigError, code, file=str(path)):
        adapt.derived(path)


DOCKERFILE = (SAMPLES / "Dockerfile").read_text()


@pytest.mark.parametrize(("text", "given", "images"), [
    (DOCKERFILE, {}, ["golang:1.21.3-bookworm", "alpine:3.18", "busybox:1.36", "ubuntu:23.10"]),
    (DOCKERFILE, {"BASE": "debian:12"}, ["golang:1.21.3-bookworm", "alpine:3.18", "busybox:1.36", "debian:12"]),
    ("ARG BASE\nFROM ${BASE}\n", {}, []),  # a base without a value is left to the builder
    ("ARG ARCH=\nARG TAG=20-alpine\nFROM ${ARCH}node:$TAG\n", {}, ["node:20-alpine"]),  # an empty one has a value
    ('ARG ARCH=""\nARG TAG=20-alpine\nFROM ${ARCH}node:$TAG\n', {}, ["node:20-alpine"]),
    ("ARG ARCH\nARG TAG=20-alpine\nFROM ${ARCH}node:$TAG\n", {}, []),
    ("ARG ARCH=$ABSENT\nARG TAG=20-alpine\nFROM ${ARCH}node:$TAG\n", {}, []),
])  # fmt: skip
def test_images_of_a_dockerfile(text, given, images):
    assert list(parser.places(text, given)) == images


RUNS = (SAMPLES / "runs.Dockerfile").read_text()


def test_a_run_gets_the_flags_that_its_base_needs_and_no_other_run_does():
    asked = []

    def add(run):
        asked.append((run.stage, run.base, run.plain))
        wanted = re.search(r"\b(?:apk|apt-get)\b", run.command) and run.base
        return parser.Added(("--mount=a", "--mount=b") if wanted else ())

    assert parser.derived(RUNS, lambda reference: f"mirror.example.com/{reference}", add=add).splitlines() == [
        "ARG BASE=alpine:3",
        "FROM mirror.example.com/golang:1 AS build",
        "RUN go build",
        "RUN \\",
        "  # a comment",
        "  --mount=a --mount=b --network=none apt-get update",
        "FROM mirror.example.com/alpine:3 AS last",
        "run --mount=a --mount=b --mount=type=cache,target=/c,from=build apk add x",
        "FROM last",
        "RUN --mount=a --mount=b <<END",
        "apk add y",
        "END",
        "FROM scratch",
        "RUN apk add z",
    ]
    assert asked == [
        (0, "golang:1", True), (0, "golang:1", True), (1, "alpine:3", True), (2, "alpine:3", False), (3, "", True),
    ]  # fmt: skip


def test_words_stand_before_the_command_where_a_shell_reads_it():
    text = (
        'FROM a\nRUN x\nRUN --mount=type=cache,target=/c \\\n  y && z\nRUN ["x"]\nRUN <<E\nx\nE\n'
        'SHELL ["/bin/bash", "-c"]\nRUN b\nSHELL ["pwsh"]\nRUN p\nFROM c\nRUN again\n'
    )

    def add(run):
        return parser.Added(("--f",), ". /e; ") if run.plain else parser.Added(("--f",))

    assert parser.derived(text, str, add=add) == (
        'FROM a\nRUN --f . /e; x\nRUN --f --mount=type=cache,target=/c \\\n  . /e; y && z\nRUN --f ["x"]\nRUN --f <<E\nx\nE\n'
        'SHELL ["/bin/bash", "-c"]\nRUN --f . /e; b\nSHELL ["pwsh"]\nRUN --f p\nFROM c\nRUN --f . /e; again\n'
    )


@pytest.mark.parametrize(("instruction", "names"), [
    ("RUN cat <<EOF", ["EOF"]),
    ("RUN 3<<-'END of it' cat && cat <<\"B\"", ["END of it", "B"]),
    ("COPY <<a.txt <<b.txt /x/", ["a.txt", "b.txt"]), ("ONBUILD RUN <<EOF", ["EOF"]), ("RUN cat <<<hello", []),
    ("RUN echo $((1<<N))", []), ("RUN echo 'a <<EOF' \"<<EOF\"", []), ("RUN cat << EOF", []),
    ("RUN echo it's <<EOF", []), ("ENV X=<<EOF", []),
])  # fmt: skip
def test_a_heredoc_is_a_shell_word_of_its_own(instruction, names):
    assert [name for _, name in parser.heredocs(instruction)] == names


@pytest.mark.parametrize(("text", "expected"), [
    ("FROM \\\n  golang:1 AS b\n", [(1, "FROM   golang:1 AS b")]),
    ("FROM gol\\ \t\n\n# a comment\nang:1\n", [(1, "FROM golang:1")]),
    ("# escape=`\nFROM x `\nAS b\n", [(2, "FROM x AS b")]),
    ("#escape = `\r\nFROM x `\r\nAS b\r\n", [(2, "FROM x AS b")]),
    ("# note\n# escape=`\nFROM x \\\nAS b\n", [(3, "FROM x AS b")]),
    ("   FROM x # y", [(1, "FROM x # y")]), ("FROM x\\", [(1, "FROM x")]),
    ("RUN a \\\\\nUSER 1\n", [(1, "RUN a \\\\"), (2, "USER 1")]),  # an escaped mark goes on nowhere
    # only a dash lets tabs stand before the end of a heredoc
    ("RUN <<-A\nx\n\tA\nRUN <<B\n\tB\nB\nUSER 1\n", [(1, "RUN <<-A"), (4, "RUN <<B"), (7, "USER 1")]),
])  # fmt: skip
def test_logical_lines_and_where_they_begin(text, expected):
    assert [(step.line, step.text) for step in parser.instructions(text)] == expected


def test_arguments():
    assert parser.arguments("ARG\tA=1 B C='x y'") == {"A": "1", "B": None, "C": "x y"}
    assert parser.arguments("ARG A='") == {"A": "'"}


WILD = (SAMPLES / "wild.Dockerfile").read_text()


def test_images_are_found_and_replaced_wherever_lines_end():
    assert parser.places(WILD) == {"golang:1.21": 3, "alpine:3.18": 9, "busybox:1": 11}
    made = parser.derived(WILD, lambda name: f"here/{name}")
    lines = made.splitlines()
    assert lines[:5] == ["# escape=`", "#", "FROM `", "  # the compiler", "  here/golang:1.21 AS build"]
    assert lines[8:10] == ["RUN --mount=type=bind,from=`", "here/alpine:3.18,target=/x echo --mount=from=nobody"]
    assert lines[11] == "  --from=here/busybox:1 /bin/sh /sh"
    assert "\nFROM ubuntu:9\n" in made


BODY = st.lists(st.sampled_from(["FROM ubuntu:9", "# x", "\\", "", "COPY --from=c d e", " END"]), max_size=3)


@st.composite
def statement(draw):
    """A logical line, the lines that must follow it as they are, and the image in it, if any."""
    name = draw(st.sampled_from(("alpine:3", "registry.example.com:5000/a/b:1", "golang", "x@sha256:" + "0" * 64)))
    body = [*draw(BODY), "END"]
    choices = [
        (f"FROM {name}", [], name),
        (f"FROM --platform=linux/amd64 {name} AS stage{draw(st.integers(0, 3))}", [], name),
        (f"COPY --chown=1:1 --from={name} /a /b", [], name),
        (f"RUN --network=none --mount=type=bind,from={name},target=/x true", [], name),
        ("RUN cat <<<hello && echo $((1<<N)) # FROM x", [], None),
        ("RUN cat <<END > /x", body, None),
        ('ENV A=1 B="FROM alpine"', [], None),
    ]
    return draw(st.sampled_from(choices))


@st.composite
def dockerfile(draw):
    """A Dockerfile's text, and what it was made of: instructions broken anywhere, with comments and empty lines between."""
    escape = draw(st.sampled_from(["\\", "`"]))
    lines = [f"# escape={escape}"] if escape == "`" else draw(st.sampled_from([[], ["# syntax=a/b:1"], [""]]))
    made = draw(st.lists(statement(), min_size=1, max_size=6))
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
    assert [step.text for step in parser.instructions(text)] == [line for line, _, _ in what]
    assert set(parser.places(text)) == {name for _, _, name in what if name}
    changed = parser.derived(text, lambda name: f"here.example.com/{name}")
    renamed = [line.replace(name, f"here.example.com/{name}", 1) if name else line for line, _, name in what]
    assert [step.text for step in parser.instructions(changed)] == renamed
    assert changed.count("\n") == text.count("\n")
    assert all("\n".join(body) in changed for _, body, _ in what)


# A Dockerfile in words that an older BuildKit knows. That they mean the same is tried with an engine (tests/builders).
ALL = frozenset(parser.SINCE)


@pytest.mark.parametrize(("version", "unknown"), [
    ((20, 10, 24), ALL), ((23, 0, 1), {parser.START_INTERVAL}), ((24, 0), {parser.START_INTERVAL}), ((25, 0), set()),
    ((29, 1), set()),
])  # fmt: skip
def test_what_an_engine_does_not_know_yet(version, unknown):
    assert parser.unknown_features(version) == unknown


@pytest.mark.parametrize(("written", "made"), [
    ("COPY --link a b", "COPY a b"),
    ("COPY --from=x --link=true \\\n  --chown=1 a b", "COPY --from=x \\\n  --chown=1 a b"),
    ("HEALTHCHECK --interval=1s --start-interval=1s CMD x", "HEALTHCHECK --interval=1s CMD x"),
    ("RUN echo --link x", "RUN echo --link x"),
    ("RUN <<EOF\na $B\n\\'c\nEOF", 'RUN ["/bin/sh", "-c", "a $B\\n\\\\\'c\\n"]\n#\n#\n#'),
    ("RUN <<-'E'\n\ta\n\tE", 'RUN ["/bin/sh", "-c", "a\\n"]\n#\n#'),
    ("RUN --network=none py - <<E\nx\nE", 'RUN --network=none ["/bin/sh", "-c", "py - <<E\\nx\\nE\\n"]\n#\n#'),
    ("COPY <<E /a/b\nx\nE", 'RUN ["/bin/sh", "-c", "set -e\\n[ -d /a ] || mkdir -p /a\\ncat <<E > /a/b\\nx\\nE\\n"]\n#\n#'),
    ("COPY a <<E /b/\nx\nE", "COPY a <<E /b/\nx\nE"), ("COPY <<E /b\nx", "COPY <<E /b\nx"),
])  # fmt: skip
def test_it_is_said_otherwise_and_numbers_of_lines_stay_true(written, made):
    text, features = parser.downgraded(f"FROM x\n{written}\nRUN last\n", ALL)
    assert text == f"FROM x\n{made}\nRUN last\n"
    assert bool(features) is (written != made)
    assert parser.downgraded(f"FROM x\n{written}\n", frozenset()) == (f"FROM x\n{written}\n", ())


def test_the_stages_own_shell_and_user_count():
    before = 'FROM a\nSHELL ["/bin/bash", "-ec"]\nUSER 7\n'
    text, _ = parser.downgraded(f"{before}RUN <<E\nx\nE\nCOPY <<E /b\nx\nE\nFROM b\nRUN <<E\nx\nE\n", ALL)
    lines = text.splitlines()
    assert lines[3] == 'RUN ["/bin/bash", "-ec", "x\\n"]'
    assert (lines[6], lines[8]) == ("USER 0", "USER 7")
    assert lines[10] == 'RUN ["/bin/sh", "-c", "x\\n"]'


def test_a_script_with_a_first_line_of_its_own_is_run_by_its_interpreter():
    text, _ = parser.downgraded("FROM x\nRUN <<E\n#!/usr/bin/python3\nprint(1)\nE\n", ALL)
    words = json.loads(text.splitlines()[1].removeprefix("RUN "))
    assert words[-1] == "#!/usr/bin/python3\nprint(1)\n"
    assert '"$f"' in words[2]


@given(st.lists(st.sampled_from(
    ["FROM x", "RUN <<E", "E", "a", "# c", "", "COPY <<A <<B /d/", "A", "B", "COPY --link a b", "RUN a \\", "  b", "USER 5"]
), max_size=14))  # fmt: skip
def test_nothing_moves_whatever_stands_in_it(lines):
    text = "\n".join(["FROM x", *lines])
    made, features = parser.downgraded(text, frozenset((parser.HEREDOCS, parser.LINK)))
    assert made.count("\n") == text.count("\n")
    assert features or made == text
    kept = {step.line: step.word for step in parser.instructions(made)}
    assert all(kept.get(step.line) in (step.word, "RUN", "USER", None) for step in parser.instructions(text))
