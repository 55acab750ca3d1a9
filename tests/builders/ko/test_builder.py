"""ko, for real: no engine, a base from the local source."""

import json
import os
import shutil

import pytest

from deadweight._errors import MissingError
from deadweight.builders.protocol import BuiltImage
from deadweight.records.built_image import BUILT_FILE, Base
from deadweight.sources.protocol import BuildEnvironment
from tests.support import image_samples as samples
from tests.support.builder_site import BROKEN, COMPILERS, GO_FILES, HINTS, IMAGES, STATIC, GivenSource, Project
from tests.support.codes import raises

pytestmark = pytest.mark.tools

SUITE = f"  v:\n    builder: ko\n    source: app\n    config: ko.yaml\n    base: {STATIC}\n"
KO = "builds:\n  - id: app\n    dir: .\n    main: .\n    flags: [-trimpath, -buildvcs=false]\n"
ELSEWHERE = "builds:\n  - id: app\n    dir: ./nowhere\n"


@pytest.fixture(scope="module")
def built(static_base, tmp_path_factory) -> tuple[Project, BuiltImage]:
    """One build that the tests look at; they do not change it."""
    files = {**GO_FILES, "ko.yaml": KO}
    project = Project(tmp_path_factory.mktemp("ko"), GivenSource(static_base.bases)).write(files).suite(SUITE)
    return project, project.build("v")


@pytest.fixture
def project(built, static_base, tmp_path):
    """A copy of that project with its compile cache, free to be broken."""
    shutil.copytree(built[0].root, tmp_path / "copy", symlinks=True)
    return Project(tmp_path / "copy", GivenSource(static_base.bases))


def test_it_builds_without_an_engine_and_keeps_the_sbom(built):
    project, image = built
    assert (image.reference, image.in_engine) == (f"{IMAGES}v:latest", False)
    assert (image.base.reference, image.base.stand_in, image.tool[:3]) == (STATIC, True, "ko ")
    held = project.image(image)
    assert (held.config_digest, held.names) == (image.config_digest, (image.reference,))
    assert held.config.user.startswith("65532")
    (sbom,) = image.sbom
    assert json.loads((project.site.state.image("v") / sbom).read_text())["spdxVersion"].startswith("SPDX-")
    assert (project.took[0], project.steps("v")[0].there()) == ("cold", True)
    assert any(line.startswith("Building example.invalid/app") for line in project.lines)


def test_the_same_inputs_give_the_same_image_elsewhere(built, project):
    shutil.rmtree(project.site.state.image("v"))
    assert project.build("v").config_digest == built[1].config_digest
    assert project.took == ["warm"], "whether it compiled from nothing is told"


def test_an_archive_that_is_gone_or_changed_is_said(project, built):
    archive, record = project.archive("v", built[1]), project.site.state.image("v") / BUILT_FILE
    text = record.read_text()
    for other in (text.replace(built[1].config_digest, f"sha256:{'0' * 64}"), ""):
        record.write_text(other)
        assert not project.steps("v")[0].there()
    record.write_text(text)
    os.utime(archive)
    assert project.steps("v")[0].there(), "it was touched, so it is read, and is the same"
    content = archive.read_bytes()
    archive.write_bytes(bytes(len(content)))
    assert not project.steps("v")[0].there()
    archive.write_bytes(content[:5000])
    with raises(MissingError, "builders.archive_changed", archive=archive):
        project.archive("v", built[1])
    assert not project.steps("v")[0].there()
    archive.unlink()
    with raises(MissingError, "builders.archive_gone", variant="v"):
        project.archive("v", built[1])
    assert not project.steps("v")[0].there()


def test_a_compile_error_is_the_compilers_own_line(project):
    project.write({"app/main.go": BROKEN})
    before = project.archive("v", project.build_record("v")).stat().st_mtime_ns
    message = project.fails(key="builders.not_compiled", what="v")
    assert [words for words in (COMPILERS, str(project.site.state.log("v"))) if words not in message] == []
    assert (project.site.state.image("v") / "image.tar").stat().st_mtime_ns == before


def test_a_package_that_is_no_program(project):
    project.write({"app/lib/lib.go": "package lib\n"}).suite(f"{SUITE}    main: ./lib\n")
    message = project.fails(key="builders.tool_failed", what="v", hint=HINTS["not_a_main_package"])
    assert "failed to save" not in message


# no such base, a registry that does not answer, a ko file that ko refuses
WRONG = [("{}-nothing:1", KO, "-nothing"), ("127.0.0.1:9/a/b:1", KO, "127.0.0.1:9"), ("{}", ELSEWHERE, "nowhere")]


@pytest.mark.parametrize(("base_at", "config", "words"), WRONG)
def test_a_build_that_fails_says_what_it_is_about(project, base_at, config, words):
    base = project.source.bases[STATIC]
    repository, _, digest = base.resolved.partition("@")
    at = base.resolved if base_at == "{}" else base_at.format(repository)
    project.source.bases = {STATIC: Base(STATIC, at, digest if base_at == "{}" else None, stand_in=False)}
    assert words in project.write({"ko.yaml": config}).fails()


def test_a_stray_ko_file_in_the_source_is_not_read(project):
    project.write({"app/.ko.yaml": ELSEWHERE}).suite(SUITE.replace("    config: ko.yaml\n", ""))
    assert project.build("v").variant == "v"


def test_a_password_in_the_environment_is_not_written_down(project):
    project.source.build_environment = BuildEnvironment({"GOPROXY": "http://u:pass-word-77@127.0.0.1:9"})
    project.build("v")
    assert b"pass-word-77" not in project.everything()


def test_tests_of_the_service_are_no_input(project):
    before = project.inputs().digest
    project.write({"app/main_test.go": "package main\n"})
    assert project.inputs().digest == before
    project.write({"ko.yaml": KO + "    env: [A=b]\n"})
    assert project.inputs().digest != before


@pytest.mark.slow
def test_what_go_reads_elsewhere_is_an_input(project, monkeypatch):
    """A change beside the module must not pass for up to date: replaced modules, the workspace, links in kodata, flags."""

    def changed(files=None):
        project.write(files or {})
        seen.append(project.inputs().digest)
        return seen[-1] not in seen[:-1]

    seen: list[str] = []
    changed()
    lib = {"lib/go.mod": "module example.invalid/lib\n\ngo 1.21\n", "lib/lib.go": "package lib\n\nvar Word = 1\n"}
    assert not changed(lib), "nobody uses it yet"
    use = "require example.invalid/lib v0.0.0\n\nreplace (\n\texample.invalid/lib => ../lib // here\n)\n"
    main = 'package main\n\nimport "example.invalid/lib"\n\nfunc main() {\n\tprintln(lib.Word)\n}\n'
    assert changed({"app/go.mod": f"{GO_FILES['app/go.mod']}\n{use}", "app/main.go": main})
    first = project.build("v").config_digest
    assert changed({"lib/lib.go": "package lib\n\nvar Word = 2\n"})
    assert project.build("v").config_digest != first
    more = {"more/go.mod": "module example.invalid/more\n", "app/kodata/other": "x"}
    assert changed({**more, "go.work": "go 1.21\n\nuse ./app\nuse (\n\t./more\n)\n"})
    assert changed({"more/more.go": "package more\n"})
    (project.root / "app/kodata/notice").symlink_to("../../NOTICE")
    assert changed({"NOTICE": "one\n"})
    assert changed({"NOTICE": "two\n"})
    monkeypatch.setenv("GOFLAGS", "-tags=other")
    assert changed()
    monkeypatch.setenv("GOWORK", "off")
    project.write({"more/more.go": "package more // again\n"})
    changed()
    assert not changed({"more/more.go": "package more // and again\n"})


@pytest.mark.slow
def test_files_beside_the_program_are_one_more_layer(built, project):
    files = {"app/pages/a.html": "<p>a</p>", "app/pages/.git/x": "", "app/.dockerignore": "pages\n"}
    files["shop.yml"] = "a: 1\n"
    more = "    files: {/srv/pages: app/pages, /srv/shop.yml: shop.yml}\n    workdir: /srv\n"
    image = project.write(files).suite(f"{SUITE}{more}").build("v")
    held, plain = project.image(image), built[0].image(built[1])
    assert (held.config_digest, held.config.working_dir) == (image.config_digest, "/srv")
    assert len(held.layers) == len(plain.layers) + 1
    archived = samples.members_of(project.archive("v", image).read_bytes())
    last = archived[json.loads(archived["manifest.json"])[0]["Layers"][-1]]
    assert samples.members_of(last) == {"srv/pages/a.html": b"<p>a</p>", "srv/shop.yml": b"a: 1\n"}
    assert project.build("v").config_digest == image.config_digest
    before = project.inputs().digest
    project.write({"app/pages/a.html": "<p>b</p>"})
    assert project.inputs().digest != before
