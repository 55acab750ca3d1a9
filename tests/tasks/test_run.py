"""``shell``, ``logs`` and ``push`` as users call them: processes of their own, real containers, a real registry."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from deadweight._errors import wording
from deadweight.engine import foreground, labels
from deadweight.engine.client import Engine
from deadweight.engine.options import RunOptions
from deadweight.records.built_image import BUILT_FILE, FAILED_FILE, Base, BuiltImage, FailedBuild, kept_name
from deadweight.records.paths import State, user_cache
from deadweight.records.store import load, save
from deadweight.report.compare import compare
from deadweight.report.history import load_report
from deadweight.report.markdown import comparison_markdown
from deadweight.suite.model import Suite
from deadweight.toolchain import catalogue
from deadweight.toolchain.find import find
from deadweight.toolchain.registry import RegistryError, Remote
from tests.support.codes import codes, raises
from tests.support.fault_project import wait_for
from tests.support.invoking import Terminal, invoke, start
from tests.support.small_images import docker_archive, forget_image, in_engine, program, reference
from tests.support.small_project import put_built, write_suite
from tests.support.trees import written

pytestmark = pytest.mark.system

PROJECT = f"tasks-run-{os.getpid()}"
VARIANTS = "variants:\n  good: {builder: ko}\n  other: {builder: ko}\n"
SUITE = f"name: {PROJECT}\ndefaults: {{port: 8080, health: {{path: /healthz}}}}\n{VARIANTS}"
GONE = wording("builders.archive_gone", archive=".deadweight/images/good/image.tar", variant="good")


def task(root: Path, *words: str, stdin: str = "", code: int = 0, **environment: str):
    return invoke(root, *words, stdin=stdin, code=code, env=environment)


def all_built(root: Path, archive: Path, image: str = "x", text: str = SUITE) -> Suite:
    """The suite, every variant of it with this image."""
    suite = write_suite(root, text)
    for name in suite.names():
        put_built(suite, name, archive, image)
    return suite


@contextmanager
def running(root: Path, engine: Engine, variant: str) -> Iterator[str]:
    """``invoke run`` in another terminal; gives its container's id."""
    with start(root, "run", "--variant", variant, stdout=subprocess.DEVNULL, stderr=None) as process:
        mine = Engine(engine.api, engine.host, PROJECT, str(root))
        try:
            wait_for(lambda: foreground.running(mine, [variant]), 60)
            yield foreground.running(mine, [variant])[0][0]
        finally:
            process.terminate()
            process.wait(60)


def containers(engine: Engine) -> list[str]:
    listing = engine.api.containers(all=True, filters={"label": f"{labels.PROJECT}={PROJECT}"})
    return [one["Labels"][labels.PURPOSE] for one in listing]


@pytest.fixture(scope="module")
def shell_image(engine, tmp_path_factory) -> Iterator[tuple[str, Path]]:
    """A "service" that has a shell, says two things, and lives until it is told to end."""
    files = {"/bin/sh": "/usr/bin/dash", **program("dash"), **program("sleep"), **program("cat")}
    script = "trap 'exit 0' TERM; echo one; echo two; while :; do sleep 0.1; done"
    config = {"Entrypoint": ["/bin/sh", "-c", script], "Env": ["PATH=/usr/bin:/bin"], "User": "65534"}
    name = reference("shell")
    archive = docker_archive(tmp_path_factory.mktemp("shell") / "image.tar", name, [files], config)
    with in_engine(engine, archive, name):
        yield name, archive


@pytest.fixture
def project(tmp_path) -> Path:
    write_suite(tmp_path, SUITE)
    return tmp_path


@pytest.fixture
def with_shell(project, shell_image) -> Path:
    text = SUITE.replace("good: {builder: ko}", "good: {builder: ko, health: {within_seconds: 0.2}}")
    all_built(project, shell_image[1], shell_image[0], text)
    return project


@pytest.mark.slow
def test_a_shell_joins_the_container_that_run_started(with_shell, engine):
    with running(with_shell, engine, "good") as there:
        done = task(with_shell, "shell", "--variant", "good", stdin="cat /proc/1/cmdline; cat /etc/hostname\n")
        assert there[:12] in done.stdout, "a shell in another container than the one that runs"
        assert "echo one" in done.stdout
        assert containers(engine) == ["run"], "it was started anew, or ended"
    wait_for(lambda: containers(engine) == [], 20)


@pytest.mark.slow
@pytest.mark.parametrize(("purpose", "folder"), [("check", ""), (foreground.RUN, "-elsewhere")])
def test_a_shell_starts_its_own_where_none_of_ours_runs_and_leaves_nothing(with_shell, engine, purpose, folder):
    """A check's container ends without asking; one of another checkout of the suite is told apart by nothing but its folder."""
    built = load(BuiltImage, State(with_shell).image("good") / BUILT_FILE)
    owner = Engine(engine.api, engine.host, PROJECT, f"{with_shell}{folder}")
    with owner.start(built.reference, RunOptions(), purpose=purpose, variant="good") as other:
        if folder:
            assert wording("tasks.no_logs") in task(with_shell, "logs", code=3).stderr
        shell = task(with_shell, "shell", "--variant", "good", stdin="cat /etc/hostname\n")
        assert (len(shell.stdout.strip()), other.id[:12] in shell.stdout) == (12, False)
        assert other.name not in shell.stderr
    assert containers(engine) == []


def test_a_shell_beside_an_image_without_one_knows_where_it_is(project, playground_archive, playground_image):
    """On a terminal: getcwd(2) fails there, so a shell that asks for its prompt complains at each line."""
    put_built(write_suite(project, SUITE), "good", playground_archive, playground_image)
    with Terminal.invoke(project, "shell", "--variant", "good", environment={"DEADWEIGHT_SOURCE": "local"}) as terminal:
        terminal.type("cd etc; pwd; exit\n")
        assert terminal.wait() == 0, terminal.text
    assert wording("tasks.shell_beside", variant="good") in terminal.text
    assert "/proc/1/root/etc" in terminal.text.split("exit", 1)[1]
    assert "getcwd" not in terminal.text


@pytest.mark.slow
def test_a_service_that_dies_at_once_is_told_with_its_last_words(project, engine):
    config = {"Entrypoint": ["/bin/sh", "-c", "echo no configuration here; exit 7"], "User": "65534"}
    layer = {"/bin/sh": "/usr/bin/dash", **program("dash")}
    archive = docker_archive(project / "dies.tar", reference("dies"), [layer], config)
    built = put_built(write_suite(project, SUITE), "good", archive, reference("dies"))
    done = task(project, "run", "--variant", "good", code=7)
    assert done.stdout == "no configuration here\n"
    assert done.stderr.endswith(f"good: {wording('engine.ended', exit_code=7, why='')}\n")
    done = task(project, "shell", "--variant", "good", code=1)
    early = wording("engine.ended_early", outcome=wording("engine.ended", exit_code=7, why=""))
    problem = early + wording("engine.last_lines", lines="no configuration here")
    assert wording("tasks.not_started", variant="good", problem=problem) in done.stderr
    assert containers(engine) == []
    forget_image(engine, kept_name(built.reference, built.config_digest))


@pytest.mark.slow
def test_logs_show_what_runs_else_the_last_build(with_shell, engine):
    written(with_shell, {f".deadweight/logs/{name}.log": f"compiled {name}\n" for name in ("good", "other")})
    assert "compiled good\n" in task(with_shell, "logs").stdout
    with running(with_shell, engine, "good"):
        wait_for(lambda: task(with_shell, "logs").stdout == "one\ntwo\n", 20)
        assert task(with_shell, "logs", "--variant", "good").stdout == "one\ntwo\n"
        other = task(with_shell, "logs", "--variant", "other").stdout
        assert other.endswith("<==\ncompiled other\n")
        assert "one\n" not in other
        with start(with_shell, "logs", "--follow", stderr=None) as follower:
            assert [follower.stdout.readline() for _ in range(2)] == ["one\n", "two\n"]
            assert follower.poll() is None, "it did not wait for more"
            follower.terminate()
            follower.stdout.read()
    wait_for(lambda: containers(engine) == [], 20)
    none = task(with_shell, "logs", "--variant", "good", "--follow", code=1)
    assert wording("engine.none_running", owner="variant good") in none.stderr


def test_logs_of_builds_need_no_engine(project):
    written(project, {".deadweight/logs/good.log": "compiled\n"})
    assert "compiled\n" in task(project, "logs", DOCKER_HOST="unix:///nowhere.sock").stdout
    State(project).log("good").unlink()
    assert wording("tasks.no_logs") in task(project, "logs", code=3, DOCKER_HOST="unix:///nowhere.sock").stderr


def test_push_refuses_a_wrong_place_before_it_makes_an_archive(project, misbehaving_archive):
    digest = f"127.0.0.1:1/team/app@sha256:{'a' * 64}"
    done = task(project, "push", "--variant", "good", "--to", digest, "--insecure", code=2)
    assert wording("publish.to_digest", repository=digest) in done.stderr
    assert wording("project.image_missing", variant="good") not in done.stderr
    several = task(project, "push", "--to", "127.0.0.1:1/team/app:1.0", code=2)
    assert wording("publish.shared_tag", repository="127.0.0.1:1/team/app:1.0") in several.stderr


def test_push_writes_what_to_deploy(project, misbehaving_archive, local_registry):
    all_built(project, misbehaving_archive)
    repository = f"{local_registry}/team/deployed"
    task(project, "push", "--to", repository, "--insecure")
    words = (State(project).image("good") / "digest").read_text()
    assert words.startswith(f"{repository}@sha256:")
    assert tags(repository) == ["good", "other"]
    one = ("push", "--variant", "good", "--to", repository, "--insecure", "--digest-file", "deploy.txt", "--json")
    pushed = json.loads(task(project, *one).stdout)
    assert f"{pushed['good']['reference']}\n" == (project / "deploy.txt").read_text() == words
    assert tags(repository) == ["good", "latest", "other"]


def test_push_pushes_all_or_nothing(project, misbehaving_archive, local_registry):
    put_built(write_suite(project, SUITE), "good", misbehaving_archive, reference("misbehave"))
    done = task(project, "push", "--to", f"{local_registry}/team/half", "--insecure", code=3)
    message = wording("project.image_missing", variant="other")
    assert done.stderr == f"error: {message}\n  hint: {message.hint}\n"
    with raises(RegistryError, "registry.no_image"):
        tags(f"{local_registry}/team/half")


@pytest.mark.slow
def test_push_gets_the_program_that_it_pushes_with(project, misbehaving_archive, local_registry, tmp_path):
    """On a machine that has Go alone, and here the packages that it compiled before."""
    put_built(write_suite(project, SUITE), "good", misbehaving_archive, reference("misbehave"))
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / "go").symlink_to(user_cache() / "go")
    environment = {"DEADWEIGHT_CACHE_DIR": str(cache), "PATH": f"{find('go').path.parent}:/usr/bin:/bin"}
    words = ("push", "--variant", "good", "--to", f"{local_registry}/team/got")
    assert [task(project, *words, **environment).returncode for _ in range(2)] == [0, 0]
    assert (cache / "tools" / catalogue.program("crane").folder_name).is_dir()
    assert tags(f"{local_registry}/team/got") == ["latest"]


def test_a_ci_without_a_step_summary_gets_it_in_the_json(project, misbehaving_archive):
    put_built(write_suite(project, SUITE), "good", misbehaving_archive, reference("misbehave"))
    done = json.loads(task(project, "publish", "--to", "ci", "--json", GITHUB_STEP_SUMMARY="").stdout)
    assert done["output"].startswith("# ")
    assert "GITHUB_STEP_SUMMARY" in done["note"]


def tags(repository: str) -> list[str]:
    return sorted(Remote(repository).tags())


STANDING = Base("docker.io/library/alpine:3.18", "127.0.0.1:1/alpine", f"sha256:{'b' * 64}", stand_in=True)
FEW_ATTACKS = "checks: {api: [{name: json, request: {path: /json}}], attacks: {packs: [http]}}"


@pytest.mark.slow
def test_outputs_say_what_rests_on_a_stand_in(project, misbehaving_archive, misbehaving_image):
    """One line at the end of the text, a field in the JSON, for verify, attack, layers and scan; nothing where none does."""
    text = SUITE.replace("defaults: {", f"defaults: {{{FEW_ATTACKS}, ")
    for name in all_built(project, misbehaving_archive, misbehaving_image, text).names():
        built = load(BuiltImage, State(project).image(name) / BUILT_FILE)
        save(replace(built, base=replace(STANDING, stand_in=name == "good")), State(project).image(name) / BUILT_FILE)
    line = f"Stand-ins: {wording('report.on_stand_in', variant='good', page='|').partition('|')[0]}"
    for words in (("verify", "--check", "runs"), ("scan",), ("attack", "--posture", "hardened")):
        if words[0] != "attack":  # which is told by the same line, and takes long
            done = invoke(project, *words, "--variant", "good")
            assert line in done.stdout + done.stderr, words
        document = json.loads(invoke(project, *words, "--json").stdout)
        rows = document.get("evidence") or document["scans"]
        assert {(row["variant"], row["stand_in"]) for row in rows} == {("good", True), ("other", False)}, words
    for name, stand_in in (("good", True), ("other", False)):
        done = invoke(project, "layers", "--variant", name)
        assert (line in done.stdout + done.stderr) is stand_in
        assert json.loads(invoke(project, "layers", "--variant", name, "--json").stdout)["stand_in"] is stand_in
    document = json.loads(invoke(project, "layers", "--archive", str(misbehaving_archive), "--json").stdout)
    assert document["stand_in"] is None


@pytest.mark.slow
def test_a_report_against_the_last_one_keeps_stdout_for_the_json(project, misbehaving_archive, playground_archive):
    """The report that is compared with may be the one that is written anew; what changed is told with what rests on stand-ins."""
    suite = write_suite(project, SUITE)

    def put(archive: Path) -> None:
        save(replace(put_built(suite, "good", archive, "x"), base=STANDING), State(project).image("good") / BUILT_FILE)

    put(misbehaving_archive)
    task(project, "report")
    message = wording("publish.no_such_report", flag="--against", path="nowhere")
    assert task(project, "report", "--against", "nowhere", code=2).stderr.startswith(f"error: {message}\n")
    put(playground_archive)
    done = invoke(project, "report", "--against", ".deadweight/report", "--json")
    assert json.loads(done.stdout)["variants"]["good"]["base"]["stand_in"]
    text = (State(project).report / "comparison.md").read_text()
    assert text.strip() in done.stderr
    assert wording("report.on_stand_ins", count=1, total=2, page="|").partition("|")[0] in text
    again = task(project, "report", "--against", ".deadweight/report")
    assert again.stdout == (State(project).report / "comparison.md").read_text() + "\n" != text + "\n"


@pytest.mark.slow
def test_publish_keeps_the_marks_of_the_last_comparison(project, misbehaving_archive, playground_archive):
    """And the history beside them, also where a machine begins with an empty state folder; until a report compares with nothing."""
    suite = write_suite(project, SUITE)
    put_built(suite, "good", misbehaving_archive, "x")
    task(project, "publish", "--to", "site")
    put_built(suite, "good", playground_archive, "x")
    (project / "earlier.json").write_bytes((project / "site" / "report.json").read_bytes())
    invoke(project, "report", "--against", "earlier.json")
    page = project / "site" / "index.html"
    for words in ((), ("--against", "earlier.json")):
        State(project).history.unlink()
        task(project, "publish", "--to", "site", *words)
        assert "What changed since" in page.read_text()
        assert len((project / "site" / "history.jsonl").read_text().splitlines()) >= 2
        assert 'id="history"' in page.read_text()
        if not words:
            task(project, "report")
            assert not (State(project).report / "comparison.md").exists()
    task(project, "report")
    task(project, "publish", "--to", "site")
    assert "What changed since" not in page.read_text()


@pytest.mark.slow
def test_a_report_against_an_earlier_one_tells_what_failed_and_what_went(project, misbehaving_archive):
    """Nothing of it is "nothing changed", and nothing a traceback: by exit code 1 what failed, by 3 what nobody could look at."""
    all_built(project, misbehaving_archive)
    state = State(project)
    invoke(project, "verify", "--variant", "good", "--check", "runs")
    task(project, "report")
    (project / "before").mkdir()
    (state.report / "report.json").replace(project / "before" / "report.json")

    def against(code: int) -> tuple[list[tuple[str, bool]], tuple[str, ...]]:
        """What the task tells: its changes, and what is no longer measured."""
        done = task(project, "report", "--against", "before", code=code)
        comparison = compare(*(load_report(folder / "report.json") for folder in (project / "before", state.report)))
        assert comparison_markdown(comparison).strip() in done.stdout
        return [(change.kind, change.regression) for change in comparison.changes], comparison.unmeasured

    assert against(0) == ([], ())
    (state.image("good") / "image.tar").unlink()
    changes, lost = against(3)
    assert (changes, ["report.image_gone"] in list(map(codes, lost))) == ([], True)
    assert ({line.partition(":")[0] for line in lost}, f": {GONE}; " in " ".join(lost)) == ({"good"}, True)
    failed = FailedBuild("failed", "2026-01-02T00:00:00+00:00", ".deadweight/logs/good.log")
    save(failed, state.image("good") / FAILED_FILE)
    assert against(1)[0] == [("build", True)]
    (state.image("good") / BUILT_FILE).unlink()
    assert against(1) == ([("build", True)], ())
    (state.image("good") / FAILED_FILE).unlink()
    changes, lost = against(3)
    assert (changes, [line.partition(":")[0] for line in lost]) == ([], ["good"])
    (project / "deadweight.yaml").write_text((project / "deadweight.yaml").read_text().replace("good:", "better:"))
    assert against(1)[0][-1] == ("variant", True)
