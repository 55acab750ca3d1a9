"""ko, for real: no engine, a base from the local source."""

import json
import os
import shutil
import tarfile

import pytest

from deadweight._errors import CommandError, MissingError
from deadweight.builders.protocol import BuiltImage
from deadweight.records.built_image import BUILT_FILE, Base
from deadweight.sources.protocol import BuildEnvironment
from deadweight_images.archive.archive import open_archive
from tests.support.builder_site import BROKEN, MAIN, GivenSource, Project
from tests.support.codes import raises

pytestmark = pytest.mark.tools

STATIC = "gcr.io/distroless/static-debian12:nonroot"
SUITE = f"  v:\n    builder: ko\n    source: app\n    config: ko.yaml\n    base: {STATIC}\n"
KO = "builds:\n  - id: app\n    dir: .\n    main: .\n    flags: [-trimpath, -buildvcs=false]\n"
ELSEWHERE = "builds:\n  - id: app\n    dir: ./nowhere\n"
FILES = {"app/go.mod": "module example.invalid/app\n\ngo 1.21\n", "app/main.go": MAIN, "ko.yaml": KO}


@pytest.fixture(scope="module")
def base(local_source):
    local_source.prepare([STATIC], apk=False, say=print)
    return local_source.base(STATIC)


@pytest.fixture(scope="module")
def built(base, tmp_path_factory) -> tuple[Project, BuiltImage]:
    """One build that the tests look at; they do not change it."""
    project = Project(tmp_path_factory.mktemp("ko"), GivenSource({STATIC: base})).write(FILES).suite(SUITE)
    return project, project.build("v")


@pytest.fixture
def project(built, base, tmp_path):
    """A copy of that project with its compile cache, free to be broken."""
    shutil.copytree(built[0].root, tmp_path / "copy", symlinks=True)
    return Project(tmp_path / "copy", GivenSource({STATIC: base}))


def test_it_builds_without_an_engine_and_keeps_the_sbom(built):
    project, image = built
    assert image.reference == "deadweight/small/v:latest"
    assert not image.in_engine
    assert image.base.reference == STATIC
    assert image.base.stand_in
    assert image.tool.startswith("ko ")
    archive = project.archive("v", image)
    with open_archive(archive) as opened:
        assert opened.image.config_digest == image.config_digest
        assert opened.image.config.user.startswith("65532")
        assert "deadweight/small/v:latest" in str(opened.image)
    (sbom,) = image.sbom
    document = json.loads((project.site.state.image("v") / sbom).read_text())
    assert document["spdxVersion"].startswith("SPDX-")
    assert project.took[0] == "cold"
    assert any(line.startswith("Building example.invalid/app") for line in project.said)
    assert project.steps("v")[0].there()


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
    with raises(CommandError, "builders.not_compiled", what="v") as caught:
        project.build("v")
    assert "./main.go:4:10: undefined: nope" in str(caught.value)
    assert str(project.site.state.log("v")) in str(caught.value)
    assert (project.site.state.image("v") / "image.tar").stat().st_mtime_ns == before


def test_a_package_that_is_no_program(project):
    project.write({"app/lib/lib.go": "package lib\n"}).suite(f"{SUITE}    main: ./lib\n")
    with pytest.raises(CommandError) as caught:
        project.build("v")
    first, *rest = str(caught.value).splitlines()
    assert first == "ko v: the package is not a program (its package is not main)"
    assert rest[-1].startswith("  hint: set main: in the variant to the folder with package main, such as ./cmd/NAME")
    assert "{{.Name}}" in rest[-1]
    assert "failed to save" not in str(caught.value)


@pytest.mark.parametrize(
    ("base_at", "config", "words"),
    [("{}-nothing:1", KO, "-nothing"), ("127.0.0.1:9/a/b:1", KO, r"127\.0\.0\.1:9"), ("{}", ELSEWHERE, "nowhere")],
    ids=["no such base", "a registry that does not answer", "a ko file that ko refuses"],
)
def test_a_build_that_fails_says_what_it_is_about(project, base, base_at, config, words):
    repository, _, digest = base.resolved.partition("@")
    at = base.resolved if base_at == "{}" else base_at.format(repository)
    project.source.bases = {STATIC: Base(STATIC, at, digest if base_at == "{}" else None, stand_in=False)}
    project.write({"ko.yaml": config})
    with pytest.raises(CommandError, match=words):
        project.build("v")


def test_a_stray_ko_file_in_the_source_is_not_read(project):
    project.write({"app/.ko.yaml": ELSEWHERE})
    project.suite(SUITE.replace("    config: ko.yaml\n", ""))
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
    assert changed({"app/go.mod": f"{FILES['app/go.mod']}\n{use}", "app/main.go": main})
    first = project.build("v").config_digest
    assert changed({"lib/lib.go": "package lib\n\nvar Word = 2\n"})
    assert project.build("v").config_digest != first
    assert changed(
        {"go.work": "go 1.21\n\nuse ./app\nuse (\n\t./more\n)\n", "more/go.mod": "module example.invalid/more\n"}
    )
    assert changed({"more/more.go": "package more\n"})
    (project.root / "app" / "kodata").mkdir()
    (project.root / "app" / "kodata" / "notice").symlink_to("../../NOTICE")
    assert changed({"NOTICE": "one\n"})
    assert changed({"NOTICE": "two\n"})
    monkeypatch.setenv("GOFLAGS", "-tags=other")
    assert changed()
    monkeypatch.setenv("GOWORK", "off")
    project.write({"more/more.go": "package more // again\n"})
    changed()
    assert not changed({"more/more.go": "package more // and again\n"})


def last_layer(archive) -> dict[str, bytes]:
    """The files of an image's last layer, by name."""
    with tarfile.open(archive) as outer:
        (manifest,) = json.load(outer.extractfile("manifest.json"))
        with tarfile.open(fileobj=outer.extractfile(manifest["Layers"][-1])) as layer:
            return {each.name: layer.extractfile(each).read() for each in layer if each.isfile()}


@pytest.mark.slow
def test_files_beside_the_program_are_one_more_layer(built, project):
    files = {
        "app/pages/a.html": "<p>a</p>",
        "app/pages/.git/x": "",
        "app/.dockerignore": "pages\n",
        "shop.yml": "a: 1\n",
    }
    more = "    files: {/srv/pages: app/pages, /srv/shop.yml: shop.yml}\n    workdir: /srv\n"
    image = project.write(files).suite(f"{SUITE}{more}").build("v")
    archive = project.archive("v", image)
    with open_archive(archive) as opened, open_archive(built[0].archive("v", built[1])) as plain:
        assert opened.image.config_digest == image.config_digest
        assert opened.image.config.working_dir == "/srv"
        assert len(opened.image.layers) == len(plain.image.layers) + 1
    assert last_layer(archive) == {"srv/pages/a.html": b"<p>a</p>", "srv/shop.yml": b"a: 1\n"}
    assert project.build("v").config_digest == image.config_digest
    before = project.inputs().digest
    project.write({"app/pages/a.html": "<p>b</p>"})
    assert project.inputs().digest != before
