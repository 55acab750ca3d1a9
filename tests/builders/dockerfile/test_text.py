"""Reading just enough of a Dockerfile."""

from pathlib import Path

import pytest

from deadweight._errors import ConfigError
from deadweight.sources.adapt_dockerfile import read_dockerfile, stage_bases
from tests.support.codes import details, raises

SAMPLES = Path(__file__).with_name("samples")
MULTI = (SAMPLES / "stages.Dockerfile").read_text()


def written(tmp_path, text):
    file = tmp_path / "Dockerfile"
    file.write_text(text)
    return read_dockerfile(file)


def test_arguments_stages_and_what_they_stand_on(tmp_path):
    dockerfile = written(tmp_path, MULTI)
    assert dict(dockerfile.args) == {"GO": "golang:1", "BASE": None, "OTHER": "x y"}
    assert [(stage.base, stage.name, stage.line) for stage in dockerfile.stages] == [
        ("${GO}", "build", 5),
        ("build", "tested", 9),
        ("$BASE", "final", 10),
        ("final", None, 14),
    ]
    assert stage_bases(MULTI, {}) == ["golang:1", "golang:1", "", ""]
    assert stage_bases(MULTI, {"BASE": "x:1", "GO": "y"}) == ["y", "y", "x:1", "x:1"]
    assert stage_bases("FROM ubuntu:23.10\nFROM scratch\nFROM a AS a\n", {}) == ["ubuntu:23.10", "", "a"]


def test_what_a_shell_writes_like_a_heredoc_swallows_nothing(tmp_path):
    text = "FROM \\\n  a AS b\nRUN cat <<<hello; echo $((1<<N))\nFROM b AS final\n"
    written(tmp_path, text).chain("final")


@pytest.mark.parametrize(
    ("stages", "target", "chain"),
    [
        ("a AS build|b", None, {1}),
        ("a AS build|build", None, {0, 1}),
        ("a AS one|one AS two|two", None, {0, 1, 2}),
        ("a AS one|b AS two|one", "two", {1}),
        ("a AS one|b", "0", {0}),
        ("a AS Build|build", None, {0, 1}),
        ("x AS x|y", "x", {0}),
    ],
)
def test_the_stages_that_an_image_is_made_of(tmp_path, stages, target, chain):
    text = "".join(f"FROM {stage}\n" for stage in stages.split("|"))
    assert chain == set(written(tmp_path, text).chain(target))


@pytest.mark.parametrize(
    ("text", "line", "code", "fields"),
    [
        ("ARG X\n", 1, "dockerfile.no_from", {}),
        ("# only a comment\n\nRUN x\n", 3, "dockerfile.before_from", {"name": "RUN"}),
        ("FROM a\nFORM b\n", 2, "dockerfile.unknown_instruction", {"name": "FORM"}),
        ("FROM\n", 1, "dockerfile.incomplete_from", {}),
        ("ARG X\nFROM alpine:3 # x\n", 2, "dockerfile.from_with_comment", {}),
        ("FROM a\nRUN <<EOF\nFROM b\n", 2, "dockerfile.open_heredoc", {"name": "EOF"}),
        ("{not: a dockerfile}\n", 1, "dockerfile.unknown_instruction", {}),
    ],
)
def test_what_is_no_dockerfile(tmp_path, text, line, code, fields):
    with raises(ConfigError, code, **fields) as caught:
        written(tmp_path, text)
    assert details(caught.value).line == line


def test_an_unknown_target_names_the_stages(tmp_path):
    with raises(ConfigError, "dockerfile.no_such_stage", name="finl", stages="build, tested, final"):
        written(tmp_path, MULTI).chain("finl")


def test_not_utf8(tmp_path):
    (tmp_path / "Dockerfile").write_bytes(b"FROM \xff\xfe\n")
    with raises(ConfigError, "dockerfile.not_utf8"):
        read_dockerfile(tmp_path / "Dockerfile")
