"""melange and apko, for real: no engine, packages from the local source."""

import json
import re
import shutil
import stat
import subprocess
import tarfile
import threading
from pathlib import Path

import pytest

from deadweight._errors import CommandError, DeadweightError
from deadweight.builders import apko
from deadweight.builders.protocol import BuiltImage
from deadweight.builders.shared.inputs import melange_cache
from deadweight.plan.graph import record_file
from deadweight.records.paths import State, user_cache
from deadweight.sources.protocol import BuildEnvironment
from deadweight_images.archive.archive import open_archive
from deadweight_standins.source import LocalSource
from tests.support.builder_site import BROKEN, MAIN, GivenSource, Project
from tests.support.caches import hard_linked
from tests.support.codes import raises

pytestmark = pytest.mark.tools

SUITE = "  v:\n    builder: apko\n    source: app\n    config: apko.yaml\n    packages: [melange.yaml]\n"
MELANGE, APKO, KO = (
    Path(__file__).with_name("sample").joinpath(f"{name}.yaml").read_text() for name in ("melange", "apko", "ko")
)
FILES = {"app/go.mod": "module example.invalid/app\n\ngo 1.21\n", "app/main.go": MAIN, "ko.yaml": KO}
FILES |= {"melange.yaml": MELANGE, "apko.yaml": APKO, "app/.melangeignore": "*_test.go\n"}


class Packages(GivenSource):
    """The local source's packages, as a project at ``root`` reaches them."""

    def __init__(self, root: Path, bases=None) -> None:
        self.local = LocalSource(State(root))
        self.local.prepare([], apk=True, say=print)
        super().__init__(bases or {}, self.local.apk)


@pytest.fixture(scope="module")
def packages(local_source):
    local_source.prepare([], apk=True, say=print)


@pytest.fixture(scope="module")
def built(packages, tmp_path_factory) -> tuple[Project, BuiltImage]:
    """One build that the tests look at; they do not change it."""
    root = tmp_path_factory.mktemp("apko")
    project = Project(root, Packages(root)).write(FILES).suite(SUITE)
    cache, kept = melange_cache(project.site.state) / "go-build", user_cache() / "tests" / "go-build-of-apko"
    kept.mkdir(parents=True, exist_ok=True)
    hard_linked(kept, cache)  # Go's own library, which earlier runs compiled
    image = project.build("v")
    hard_linked(cache, kept)
    return project, image


@pytest.fixture
def project(built, tmp_path):
    """A copy of that project with its compile cache, free to be broken."""
    root = tmp_path / "copy"
    shutil.copytree(built[0].root, root, symlinks=True)
    return Project(root, Packages(root))


def test_the_image_holds_the_packages_and_no_shell(built):
    project, image = built
    archive = project.archive("v", image)
    with open_archive(archive) as opened:
        assert opened.image.config_digest == image.config_digest
        assert opened.image.config.user == "65534"
        assert opened.image.config.entrypoint == ("/usr/bin/app",)
        assert len(opened.image.layers) == 1
    with tarfile.open(archive) as outer:
        manifest = json.load(outer.extractfile("manifest.json"))
        (member,) = [each for each in outer if each.name.endswith(".tar.gz")]
        with tarfile.open(fileobj=outer.extractfile(member), mode="r:gz") as layer:
            held, repositories = set(layer.getnames()), layer.extractfile("etc/apk/repositories").read().decode()
    assert manifest[0]["RepoTags"] == ["deadweight/small/v:latest"] == [image.reference], "and not -amd64"
    assert "usr/bin/app" in held
    assert not held & {"bin/sh", "usr/bin/sh", "usr/bin/busybox"}
    assert re.fullmatch(r"\.deadweight/packages/melange-[0-9a-f]{8}\n", repositories), "no path of this machine"
    assert not image.in_engine
    assert image.base.stand_in
    assert image.base.reference == "wolfi packages"
    assert image.tool.startswith("apko ")


def test_what_a_build_leaves(built):
    """SBOMs, one folder of packages, and a private key that is private."""
    project, image = built
    state = project.site.state
    assert image.sbom
    for sbom in image.sbom:
        document = json.loads((state.image("v") / sbom).read_text())
        assert document["spdxVersion"].startswith("SPDX-")
    assert stat.S_IMODE(apko.private_key(state).stat().st_mode) == 0o600
    assert stat.S_IMODE(state.keys.stat().st_mode) == 0o700
    assert sorted(path.name for path in state.keys.iterdir()) == [apko.KEY, f"{apko.KEY}.pub"]
    assert [path.name[:8] for path in state.packages.iterdir()] == ["melange-"]
    assert not list(state.image("v").glob(".work-*"))


def test_variants_share_packages_only_where_they_say_the_same_of_them(project):
    """One step for equal ones; for others a step, a folder and a record of its own, also where only signs differ."""
    lines = "  {}:\n    builder: apko\n    config: apko.yaml\n    packages: [{}]\n    source: {}\n    runner: {}\n"
    ways = {
        "a": ("x/y.yaml", "app", "bubblewrap"),
        "same": ("x/y.yaml", "app", "bubblewrap"),
        "other-file": ("x-y.yaml", "app", "bubblewrap"),
        "other-source": ("x/y.yaml", "app/other", "bubblewrap"),
        "other-runner": ("x/y.yaml", "app", "docker"),
    }
    project.suite("".join(lines.format(name, *way) for name, way in ways.items()))
    project.write({"x/y.yaml": MELANGE, "x-y.yaml": MELANGE, "app/other/main.go": MAIN})
    keys = {name: project.steps(name)[0].key for name in ways}
    assert keys["a"] == keys["same"]
    files = {record_file(project.site.state, key) for key in keys.values()}
    folders = {apko.repository(project.site.state, project.variant(name), way[0]) for name, way in ways.items()}
    assert len(set(keys.values())) == len(files) == len(folders) == 4


def test_derived_copies_of_two_files_are_two(project):
    own = MELANGE.replace("    packages: [", "    repositories: [https://apk.example.com]\n    packages: [")
    project.write({"x/y.yaml": own, "x-y.yaml": own})
    assert len({apko.usable(project.site, name) for name in ("x/y.yaml", "x-y.yaml")}) == 2


def test_what_an_apko_file_starts_from_is_an_input_and_names_no_repository_either(project):
    """``include:`` names another file; apko would ask the repositories that stand there, too."""
    more = "accounts:" + APKO.partition("accounts:")[2]
    contents = "contents:\n  repositories: [https://127.0.0.1:9/os]\n  packages: [wolfi-baselayout, app]\n"
    project.write({"apko.yaml": "include: shared/a.yaml\n" + more, "shared/a.yaml": "include: shared/b.yaml\n"})
    project.write({"shared/b.yaml": contents})
    first = project.inputs(step=-1).digest
    assert project.build("v", last_step_only=True).config_digest.startswith("sha256:")
    assert "include: shared/a.yaml" in (project.root / "apko.yaml").read_text()
    project.write({"shared/b.yaml": contents.replace("app]", "app, gawk]")})
    assert project.inputs(step=-1).digest != first
    project.write({"shared/b.yaml": "contents: {packages: [musl]}\n"})
    assert apko.apk_of(project.site, "apko.yaml").flavour == "alpine"
    project.write({"shared/b.yaml": "include: shared/a.yaml\n"})
    assert apko.usable(project.site, "apko.yaml") == "apko.yaml", "it ends, though apko may not"


@pytest.mark.slow
def test_the_same_inputs_and_key_give_the_same_image_elsewhere(built, project):
    shutil.rmtree(project.site.state.packages)
    shutil.rmtree(project.site.state.image("v"))
    assert project.build("v").config_digest == built[1].config_digest


def test_only_what_changed_is_built_again(project):
    package, image = project.steps("v")
    assert image.after == (package.key,)
    assert package.there()
    assert image.there()
    apko.public_key(project.site.state).unlink()
    assert not package.there()


@pytest.mark.slow
def test_a_version_that_goes_down_is_what_you_get(project):
    project.write({"melange.yaml": MELANGE.replace("version: 1.0.0", "version: 0.9.0")})
    image = project.build("v")
    sbom = next(name for name in image.sbom if "index" not in name)
    assert "app-0.9.0-r0" in (project.site.state.image("v") / sbom).read_text()


@pytest.mark.slow
def test_a_compile_error_is_the_compilers_own_line(project):
    project.write({"app/main.go": BROKEN})
    with raises(CommandError, "builders.not_compiled", what="v: melange.yaml") as caught:
        project.build("v")
    assert "./main.go:4:10: undefined: nope" in str(caught.value)
    assert str(project.site.state.log("v")) in str(caught.value)
    assert [path.name[:8] for path in project.site.state.packages.iterdir()] == ["melange-"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "old", "new", "words"),
    [
        ("melange.yaml", "epoch: 0", "epok: 0", "epok"),
        ("melange.yaml", "busybox, ", "busybocks, ", "busybocks"),
        ("apko.yaml", "entrypoint:", "entrypont:", "entrypont"),
        ("apko.yaml", "wolfi-baselayout, app", "wolfi-baselayout, ap", 'nothing provides "ap"'),
        ("apko.yaml", "uid: 65534", "uid: many", "many"),
    ],
)
def test_a_wrong_file_is_refused_in_the_tools_own_words(project, file, old, new, words):
    project.write({file: FILES[file].replace(old, new)})
    with pytest.raises(CommandError) as caught:
        project.build("v", last_step_only=file == "apko.yaml")
    assert file in str(caught.value)
    assert words in str(caught.value)


CHECK = """  - runs: |
      for name in .git .venv .deadweight other/.deadweight deadweight.yaml README.md; do
        test ! -e "$name" || { echo "$name is in the workspace"; exit 1; }
      done
"""
EMBEDDING = (
    'package main\n\nimport _ "embed"\n\n//go:embed openapi.yaml\nvar api string\n\nfunc main() { println(api) }\n'
)


@pytest.mark.slow
def test_melange_gets_what_it_needs_and_reads_nothing_that_others_write(project):
    """The source is the whole repository, where another step makes and removes folders all the time."""
    project.suite(SUITE.replace("source: app", "source: ."))
    project.write({"main.go": EMBEDDING, "go.mod": FILES["app/go.mod"], "openapi.yaml": "openapi: 3.0.0\n"})
    project.write({".dockerignore": "*.yaml\n*.md\n", "README.md": "x", ".git/HEAD": "x", ".venv/pyvenv.cfg": ""})
    project.write({f".venv/lib/{number}.py": "" for number in range(300)})
    project.write({"melange.yaml": MELANGE + CHECK, "other/.deadweight/keys/key": "secret"})
    stop = threading.Event()

    def another_step() -> None:
        while not stop.is_set():
            for number in range(20):
                (project.site.state.image("k") / f".work-{number}/tmp/go-build").mkdir(parents=True)
            shutil.rmtree(project.site.state.image("k"))

    thread = threading.Thread(target=another_step)
    thread.start()
    try:
        project.build("v")
    finally:
        stop.set()
        thread.join()


def test_ko_and_melange_compile_once(project, local_source):
    base = "gcr.io/distroless/static-debian12:nonroot"
    project.source.bases = {base: local_source.base(base)}
    project.suite(SUITE + f"  k:\n    builder: ko\n    source: app\n    config: ko.yaml\n    base: {base}\n")
    assert project.steps("v")[0].behind == ("image:k",)
    # a text that no cache has seen
    project.write({"app/main.go": f'package main\n\nfunc main() {{ println("{project.root}") }}\n'})
    project.build("k")
    assert project.steps("v")[0].behind == (), (
        "the cache is warm: what ko compiles anew, melange finds when it gets there"
    )
    cache = project.site.state.cache / "melange" / "go-build"
    before = objects(cache)
    project.build("v")
    assert objects(cache) == before


def objects(cache: Path) -> set[str]:
    """The compiled packages (Go's archives) in a compile cache."""
    found = set()
    for file in cache.rglob("*-d"):
        with file.open("rb") as opened:
            if opened.read(8) == b"!<arch>\n":
                found.add(file.name)
    return found


@pytest.mark.slow
def test_a_password_for_the_module_proxy_is_in_no_package(project):
    proxy = "http://u:pass-word-77@127.0.0.1:9"
    project.source.build_environment = BuildEnvironment(
        {"GOPROXY": proxy, "HTTPS_PROXY": proxy, "NO_PROXY": "localhost"}
    )
    told = f'test "$(go env GOPROXY | wc -c)" = {len(proxy) + 1} && test "$NO_PROXY" = localhost'
    project.write({"melange.yaml": f"{MELANGE}  - runs: {json.dumps(told)}\n"})
    project.build("v")
    (package,) = project.site.state.packages.rglob("app-*.apk")
    unpacked = subprocess.run(["gzip", "-dc", package], capture_output=True, check=False).stdout
    assert b"GOENV" in unpacked
    assert b"pass-word-77" not in unpacked
    assert b"HTTPS_PROXY" not in unpacked
    assert "pass-word-77" not in project.log("v")
    assert any("HTTPS_PROXY" in line for line in project.said)


@pytest.mark.slow
def test_the_docker_runner_leaves_no_image_behind(project, engine):
    project.suite(SUITE + "    runner: docker\n")
    project.engine = lambda: engine
    before = melange_images(engine)
    project.build("v")
    assert melange_images(engine) == before
    assert "tagging local image" in project.log("v")


def melange_images(engine):
    return {tag for image in engine.api.images() for tag in image.get("RepoTags") or () if tag.startswith("melange:")}


def test_a_key_that_cannot_be_made_leaves_none(tmp_path):
    state = State(tmp_path)
    with pytest.raises(DeadweightError):
        apko.ensure_keys(state, Path("/bin/false"), tmp_path / "log")
    assert list(state.keys.iterdir()) == []
