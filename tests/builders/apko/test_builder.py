"""melange and apko, for real: no engine, packages from the local source."""

import json
import re
import shutil
import stat
import subprocess
import tarfile
from pathlib import Path

import pytest

from deadweight._errors import CommandError, DeadweightError
from deadweight.builders import apko
from deadweight.builders.protocol import BuiltImage
from deadweight.builders.shared.inputs import melange_cache
from deadweight.plan.graph import record_file
from deadweight.records.paths import State, user_cache
from deadweight.sources.protocol import BuildEnvironment
from deadweight_standins.source import LocalSource
from tests.support.builder_site import BROKEN, COMPILERS, GO_FILES, IMAGES, MAIN, STATIC, GivenSource, Project
from tests.support.caches import hard_linked
from tests.support.fault_project import meanwhile

pytestmark = pytest.mark.tools

SUITE = "  v:\n    builder: apko\n    source: app\n    config: apko.yaml\n    packages: [melange.yaml]\n"
SAMPLE = Path(__file__).with_name("sample")
MELANGE, APKO, KO = ((SAMPLE / f"{name}.yaml").read_text() for name in ("melange", "apko", "ko"))
FILES = {**GO_FILES, "ko.yaml": KO, "melange.yaml": MELANGE, "apko.yaml": APKO, "app/.melangeignore": "*_test.go\n"}


def made_at(root: Path) -> Project:
    """The project at ``root``, with the local source's packages as it reaches them."""
    local = LocalSource(State(root))
    local.prepare([], apk=True, say=print)
    return Project(root, GivenSource({}, local.apk))


@pytest.fixture(scope="module")
def built(local_source, tmp_path_factory) -> tuple[Project, BuiltImage]:
    """One build that the tests look at; they do not change it."""
    project = made_at(tmp_path_factory.mktemp("apko")).write(FILES).suite(SUITE)
    cache, kept = melange_cache(project.site.state) / "go-build", user_cache() / "tests" / "go-build-of-apko"
    hard_linked(kept, cache)  # Go's own library, which earlier runs compiled
    image = project.build("v")
    hard_linked(cache, kept)
    return project, image


@pytest.fixture
def project(built, tmp_path):
    """A copy of that project with its compile cache, free to be broken."""
    return made_at(shutil.copytree(built[0].root, tmp_path / "copy", symlinks=True))


def test_the_image_holds_the_packages_and_no_shell(built):
    project, image = built
    held = project.image(image)
    assert (held.config_digest, held.config.user, len(held.layers)) == (image.config_digest, "65534", 1)
    assert held.config.entrypoint == ("/usr/bin/app",)
    assert held.names == (f"{IMAGES}v:latest",) == (image.reference,), "and not -amd64"
    with tarfile.open(project.archive("v", image)) as outer:
        (member,) = [member for member in outer if member.name.endswith(".tar.gz")]
        with tarfile.open(fileobj=outer.extractfile(member), mode="r:gz") as layer:
            names = set(layer.getnames())
    assert names & {"usr/bin/app", "bin/sh", "usr/bin/sh", "usr/bin/busybox"} == {"usr/bin/app"}
    repositories, _ = project.read(image, "/etc/apk/repositories")
    assert re.fullmatch(rb"\.deadweight/packages/melange-[0-9a-f]{8}\n", repositories), "no path of this machine"
    assert (image.in_engine, image.base.stand_in, image.base.reference) == (False, True, "wolfi packages")
    assert image.tool.startswith("apko ")
    state = project.site.state
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (apko.private_key(state), state.keys)]
    assert (modes, {path.name for path in state.keys.iterdir()}) == ([0o600, 0o700], {apko.KEY, f"{apko.KEY}.pub"})
    assert not list(state.image("v").glob(".work-*"))


def test_variants_share_packages_only_where_they_say_the_same_of_them(project):
    """One step for equal ones; for others a step, a folder and a record of its own, also where only signs differ."""
    lines = "  {}: {{builder: apko, config: apko.yaml, packages: [{}], source: {}, runner: {}}}\n"
    ways = {
        "a": ("x/y.yaml", "app", "bubblewrap"), "same": ("x/y.yaml", "app", "bubblewrap"),
        "other-file": ("x-y.yaml", "app", "bubblewrap"), "other-source": ("x/y.yaml", "app/other", "bubblewrap"),
        "other-runner": ("x/y.yaml", "app", "docker"),
    }  # fmt: skip
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
    files = {"apko.yaml": "include: shared/a.yaml\n" + more, "shared/a.yaml": "include: shared/b.yaml\n"}
    project.write({**files, "shared/b.yaml": contents})
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
    assert (image.after, package.there(), image.there()) == ((package.key,), True, True)
    apko.public_key(project.site.state).unlink()
    assert not package.there()


@pytest.mark.slow
def test_a_version_that_goes_down_is_what_you_get(project):
    image = project.write({"melange.yaml": MELANGE.replace("version: 1.0.0", "version: 0.9.0")}).build("v")
    sbom = next(name for name in image.sbom if "index" not in name)
    assert "app-0.9.0-r0" in (project.site.state.image("v") / sbom).read_text()


@pytest.mark.slow
def test_a_compile_error_is_the_compilers_own_line(project):
    message = project.write({"app/main.go": BROKEN}).fails(key="builders.not_compiled", what="v: melange.yaml")
    assert [words for words in (COMPILERS, str(project.site.state.log("v"))) if words not in message] == []
    assert [path.name[:8] for path in project.site.state.packages.iterdir()] == ["melange-"]


WRONG = [
    ("melange.yaml", "epoch: 0", "epok: 0", "epok"), ("melange.yaml", "busybox, ", "busybocks, ", "busybocks"),
    ("apko.yaml", "entrypoint:", "entrypont:", "entrypont"),
    ("apko.yaml", "wolfi-baselayout, app", "wolfi-baselayout, ap", 'nothing provides "ap"'),
    ("apko.yaml", "uid: 65534", "uid: many", "many"),
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("file", "old", "new", "words"), WRONG)
def test_a_wrong_file_is_refused_in_the_tools_own_words(project, file, old, new, words):
    project.write({file: FILES[file].replace(old, new)})
    with pytest.raises(CommandError) as caught:
        project.build("v", last_step_only=file == "apko.yaml")
    assert [word for word in (file, words) if word not in str(caught.value)] == []


CHECK = """  - runs: |
      for name in .git .venv .deadweight other/.deadweight deadweight.yaml README.md; do
        test ! -e "$name" || { echo "$name is in the workspace"; exit 1; }
      done
"""
EMBEDDING = (
    f'package main\n\nimport _ "embed"\n\n//go:embed openapi.yaml\nvar api string\n{MAIN.removeprefix("package main")}'
)


@pytest.mark.slow
def test_melange_gets_what_it_needs_and_reads_nothing_that_others_write(project):
    """The source is the whole repository, where another step makes and removes folders all the time."""
    project.suite(SUITE.replace("source: app", "source: ."))
    files = {
        "main.go": EMBEDDING, "go.mod": FILES["app/go.mod"], "openapi.yaml": "openapi: 3.0.0\n", "README.md": "x",
        ".dockerignore": "*.yaml\n*.md\n", ".git/HEAD": "x", ".venv/pyvenv.cfg": "", "melange.yaml": MELANGE + CHECK,
        "other/.deadweight/keys/key": "secret",
    }  # fmt: skip
    project.write(files | {f".venv/lib/{number}.py": "" for number in range(300)})
    theirs = project.site.state.image("k")

    def another_step() -> None:
        for number in range(20):
            (theirs / f".work-{number}/tmp/go-build").mkdir(parents=True)
        shutil.rmtree(theirs)

    with meanwhile(another_step):
        project.build("v")


def test_ko_and_melange_compile_once(project, static_base):
    project.source.bases = static_base.bases
    project.suite(SUITE + f"  k: {{builder: ko, source: app, config: ko.yaml, base: '{STATIC}'}}\n")
    assert project.steps("v")[0].behind == ("image:k",)
    # a text that no cache has seen
    project.write({"app/main.go": f'package main\n\nfunc main() {{ println("{project.root}") }}\n'})
    project.build("k")
    warm = "the cache is warm: what ko compiles anew, melange finds when it gets there"
    assert project.steps("v")[0].behind == (), warm
    cache = project.site.state.cache / "melange" / "go-build"
    before = objects(cache)
    project.build("v")
    assert objects(cache) == before


def objects(cache: Path) -> set[str]:
    """The compiled packages (Go's archives) in a compile cache."""
    return {file.name for file in cache.rglob("*-d") if file.read_bytes().startswith(b"!<arch>\n")}


@pytest.mark.slow
def test_a_password_for_the_module_proxy_is_in_no_package(project):
    proxy = "http://u:pass-word-77@127.0.0.1:9"
    ours = {"GOPROXY": proxy, "HTTPS_PROXY": proxy, "NO_PROXY": "localhost"}
    project.source.build_environment = BuildEnvironment(ours)
    script = f'test "$(go env GOPROXY | wc -c)" = {len(proxy) + 1} && test "$NO_PROXY" = localhost'
    project.write({"melange.yaml": f"{MELANGE}  - runs: {json.dumps(script)}\n"}).build("v")
    (package,) = project.site.state.packages.rglob("app-*.apk")
    unpacked = subprocess.run(["gzip", "-dc", package], capture_output=True, check=False).stdout
    assert [word for word in (b"GOENV", b"pass-word-77", b"HTTPS_PROXY") if word in unpacked] == [b"GOENV"]
    assert "pass-word-77" not in project.log("v")
    assert any("HTTPS_PROXY" in line for line in project.lines)


@pytest.mark.slow
def test_the_docker_runner_leaves_no_image_behind(project, engine):
    def images() -> set[str]:
        tags = (tag for image in engine.api.images() for tag in image.get("RepoTags") or ())
        return {tag for tag in tags if tag.startswith("melange:")}

    project.suite(SUITE + "    runner: docker\n").engine = lambda: engine
    before = images()
    project.build("v")
    assert images() == before
    assert "tagging local image" in project.log("v")


def test_a_key_that_cannot_be_made_leaves_none(tmp_path):
    state = State(tmp_path)
    with pytest.raises(DeadweightError):
        apko.ensure_keys(state, Path("/bin/false"), tmp_path / "log")
    assert list(state.keys.iterdir()) == []
