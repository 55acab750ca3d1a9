"""One missing base stops only its own variants, and all that are missing are named at once."""

import pytest

from deadweight._errors import wording
from deadweight.builders.protocol import Needs
from deadweight.project.needs import split_by_base
from deadweight.sources.protocol import APK, NoBase
from deadweight_standins.machine import wording as standins
from tests.support.fault_project import FaultProject
from tests.support.small_project import write_suite
from tests.support.trees import written

pytestmark = pytest.mark.system

MORE = """
  one: {builder: dockerfile, source: src, dockerfile: one.Dockerfile}
  two: {builder: dockerfile, source: src, dockerfile: two.Dockerfile}
  three: {builder: ko, source: src, base: "mcr.microsoft.com/dotnet/sdk:8.0"}
"""
FILES = {
    "one.Dockerfile": "FROM golang:0.9 AS build\nFROM scratch\nCOPY --from=build /a /a\n",
    "two.Dockerfile": "# two\nFROM mcr.microsoft.com/dotnet/sdk:8.0\nFROM eclipse-temurn:17\n",
    "src/go.mod": "module a\n",
}


@pytest.fixture
def project(tmp_path, monkeypatch) -> FaultProject:
    """``v`` stands on nothing; the others on images that the local source has no stand-in for."""
    monkeypatch.setenv("DEADWEIGHT_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("DEADWEIGHT_SOURCE", "local")
    project = FaultProject.make(tmp_path, v='cp src/a.txt "$OUT"')
    written(project.root, FILES)
    project.add(MORE)
    return project


def check_errors(text: str) -> None:
    """Each with its variants, its place and what comes nearest; what to do about it once."""
    for line in (
        f"one.Dockerfile:1: {standins('stand_in.none', reference='golang:0.9', near='golang:')}",
        f"two.Dockerfile:3: {standins('stand_in.none', reference='eclipse-temurn:17', near='eclipse-temurin:')}",
        standins("stand_in.none_near", reference="mcr.microsoft.com/dotnet/sdk:8.0"),
        standins("hint.rebase"),
    ):
        assert text.count(line) == 1, line


def test_the_others_are_built(project):
    first = wording("project.not_built", failed=1, total=2, failures="three: build: base: ")
    done = project.fails(3, first, "build", "--variant", "v,three")
    assert project.out() == "a\n"
    assert wording("project.left_for_base", variant="three") in done.errors
    assert "mcr.microsoft.com/dotnet/sdk:8.0" in done.errors.partition(first)[2]
    rows = project.document("build", "--variant", "v,three")["variants"]
    assert (rows["v"]["result"], rows["three"]["result"]) == ("cached", "failed")


def test_a_plan_shows_the_others_and_names_all_that_are_missing(project):
    done = project.invoke("build", "--plan", code=3)
    skipped = (f"skip  {name}  ({wording('plan.no_base')})\n" for name in ("one", "two", "three"))
    assert done.output == f"run   v  ({wording('plan.not_built')})\n{''.join(skipped)}"
    check_errors(done.errors)
    assert "two: two.Dockerfile:2; three: base: " in done.errors
    document = project.document("build", "--plan")
    assert [step["key"] for step in document["steps"]] == ["image:v"]
    assert set(document["lacking"]) == {"one", "two", "three"}
    assert not project.state.exists()


def test_a_misspelt_stage_is_told_beside_the_image_that_docker_takes_it_for(project):
    text = "FROM golang:1.21.3-bookworm AS build\nFROM scratch\nCOPY --from=biuld /a /a\n"
    written(project.root, {"one.Dockerfile": text})
    done = project.fails(3, "", "build", "--plan", "--variant", "one")
    near = wording("suite.did_you_mean", near="build")
    (line,) = (line for line in done.errors.splitlines() if "one.Dockerfile:3, " in line)
    assert f"'biuld'{near}: " in line


def test_doctor_and_setup_name_all_that_are_missing(project):
    for words in (("doctor",), ("setup", "--plan")):
        check_errors(project.invoke(*words, code=3).errors)
        document = project.document(*words)
        assert len(document["lacking"]) == 3
        assert document["tools"]


def test_a_build_of_what_stands_on_missing_bases_alone_tells_of_all_of_them(project, engine, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", engine.host)
    check_errors(project.fails(3, "golang:0.9", "build", "--variant", "one,two,three").errors)


def test_what_is_about_no_base_of_a_variant_leaves_it_alone(tmp_path):
    suite = write_suite(tmp_path, "name: s\nvariants: {a: {builder: ko}, b: {builder: apko}, c: {builder: ko}}\n")
    error = NoBase(("x", "x: gone"), (APK, "https://apk: silent"), ("other", "o"), hint="look")
    split = split_by_base(suite.variants, [Needs(bases=("x", "y")), Needs(apk=True), Needs(bases=("z",))], error)
    assert [variant.name for variant in split.able] == ["c"]
    assert str(split.lacking["a"]) == "its base: x: gone\n  hint: look"
    assert str(split.lacking["b"]) == "its packages: https://apk: silent\n  hint: look"
