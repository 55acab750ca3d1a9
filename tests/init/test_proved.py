"""init proves what it writes: a service is built, watched, hardened and verified for real."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from deadweight.__main__ import main
from deadweight._errors import DeadweightError, wording
from deadweight.engine.options import RunOptions
from deadweight.project.load_suite import load_suite
from deadweight.records.paths import State
from deadweight.report.collect import collect
from deadweight.suite.model import Health as HealthSettings
from deadweight.suite.model import RunSettings
from deadweight_init.command import Wanted, init
from deadweight_init.draft import first_draft
from deadweight_init.prove import observe as coming_up
from deadweight_init.prove import posture
from deadweight_init.prove.observe import Down, Health, NotUp, Observation, observe
from deadweight_init.prove.proof import Tools
from deadweight_init.prove.recording import Recorder
from deadweight_init.services import find_services
from deadweight_init.task import _build
from deadweight_init.task import wording as task_wording
from deadweight_init.tree import read_tree
from tests.support.codes import codes, raises
from tests.support.small_images import forget_images
from tests.support.trees import written

SERVER = """\
FROM alpine:3.18
COPY www /www
EXPOSE 8099
ENTRYPOINT ["/bin/sh", "-c", "httpd -p 8099 -h /www && trap 'exit 0' TERM && while :; do sleep 0.2; done"]
"""
STUBBORN = 'FROM alpine:3.18\nCOPY www /www\nENTRYPOINT ["/bin/busybox", "httpd", "-f", "-p", "8099", "-h", "/www"]\n'
FILES = {
    "Dockerfile": SERVER,
    "Dockerfile.stubborn": STUBBORN,
    "Dockerfile.broken": "FROM alpine:3.18\nRUN exit 7\n",
    "www/index.html": "<html><title>A small shop</title></html>\n",
    "www/openapi.json": (
        '{"paths": {"/prices.json": {"get": {"parameters": [{"name": "q", "in": "query"}]}}, "/prices.json/{id}": {"get": {}}}}'
    ),
    "www/prices.json": '{"tea": 3, "milk": [1, 2]}',
}


@pytest.fixture
def folder(engine, tmp_path):
    """For a project; the images that were built of it go at the end, and nothing else."""
    root = tmp_path / f"initproved{os.getpid()}"  # others may run the same tests on the same engine
    yield root
    forget_images(engine, f"deadweight/{root.name}/")


@pytest.fixture
def project(folder):
    """A service with three Dockerfiles."""
    return written(folder, FILES)


def run(*words: str) -> int:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["deadweight", *words])
        try:
            main()
        except SystemExit as ended:
            return int(ended.code or 0)
    return 0


def test_a_repository_is_brought_in_and_proved(engine, project, capfd, monkeypatch):
    monkeypatch.chdir(project)
    monkeypatch.setattr(coming_up, "STOP_SECONDS", 2.0)  # one of them never ends on SIGTERM
    code, said = run("init", "--yes"), capfd.readouterr().err
    assert code == 0, said
    suite, text = load_suite(project / "deadweight.yaml"), (project / "deadweight.yaml").read_text()
    today, stubborn, minimal = suite.variants
    assert minimal.name == "minimal"
    assert "dockerfile: deadweight-build/minimal.Dockerfile\n" in text
    assert (today.name, today.port, today.health.path) == ("today", 8099, "/")
    assert "port: 8099                                                  # seen" in text
    assert f"# {task_wording('suite.left_out', name='today-broken (dockerfile)', reason='')}" in text
    assert re.search(rf"attacks: \{{openapi: /openapi\.json\}} +# seen: {task_wording('origin.serves_document')}", text)
    assert "today: attacks: pass: " in said
    assert today.checks.budget.size_bytes.hard > 1_000_000
    assert [item.name for item in today.checks.api] == ["GET /", "GET /prices.json"]
    assert today.checks.api[0].expect.body_contains == "<title>A small shop</title>"
    assert today.checks.api[1].expect.json_subset == {"tea": 3, "milk": [1, 2]}
    assert (today.checks.runs.if_killed, stubborn.checks.runs.if_killed) == ("fail", "warn")
    assert "today: runs: pass: " in said
    killed = task_wording("gates.killed")
    assert task_wording("task.accepted", variants=stubborn.name, what=killed) in said
    assert task_wording("task.works", works=2, known=3) in said
    assert said.rstrip().endswith("next: invoke report")
    checks = ("runs", "api", "budget", "layers")
    records = collect(suite, State(project), asked={each.name: checks for each in suite.variants}).variants
    assert {each.why_not for record in records.values() for each in record.checks.values()} == {None}
    sooner = text.replace("stops_within_seconds: 10", "stops_within_seconds: 2")
    assert sooner != text
    (project / "deadweight.yaml").write_text(sooner)
    assert run("build") == 0
    assert run("verify", *(word for name in ("runs", "api", "budget", "layers") for word in ("--check", name))) == 0


@pytest.mark.slow
def test_a_service_that_does_not_come_up_is_a_failure_with_a_suite_to_go_on_with(engine, project, capfd, monkeypatch):
    script = "echo error: DATABASE_URL is not set >&2; exit 3"
    shutil.rmtree(project / "www")
    for name in ("broken", "stubborn"):
        (project / f"Dockerfile.{name}").unlink()
    (project / "Dockerfile").write_text(f'FROM alpine:3.18\nEXPOSE 80\nCMD ["/bin/sh", "-c", "{script}"]\n')
    monkeypatch.chdir(project)
    code, said = run("init", "--yes"), capfd.readouterr().err
    assert code == 1, said
    assert "set DATABASE_URL under run.env in deadweight.yaml" in said
    (today,) = load_suite(project / "deadweight.yaml").variants
    assert (today.name, today.runnable, today.tried) == ("today", True, False)
    assert run("build") == 0
    assert run("verify") == 1


@pytest.mark.slow
def test_what_runs_and_proves_little_is_told_by_exit_code_3(engine, project, capfd, monkeypatch):
    for name in ("Dockerfile.broken", "Dockerfile.stubborn", "www/index.html", "www/openapi.json", "www/prices.json"):
        (project / name).unlink()
    (project / "www/.keep").write_text("")
    listens = SERVER.replace("httpd -p", "echo '[error] no database' && httpd -p").replace("EXPOSE 8099", "EXPOSE 8098")
    (project / "Dockerfile").write_text(listens)
    monkeypatch.chdir(project)
    code, said = run("init", "--yes", "--minutes", "0"), capfd.readouterr().err
    assert code == 3, said
    variants = load_suite(project / "deadweight.yaml").variants
    codes = ("error_in_log", "undeclared_port", "health_is_an_error", "no_operation")
    assert {each.unproven for each in variants} == {codes}
    assert run("verify", "--variant", "today", "--check", "runs") == 3
    assert wording("tasks.unproven", doubts="\n".join(f"{each}: today" for each in codes)) in capfd.readouterr().err


def seen(**changes) -> Observation:
    fields = {
        "health": Health("http", 8080, "/healthz", 200), "ports": (8080,), "user": "0:0", "memory_bytes": 10**7, "pids": 4,
        "writes": (), "started_seconds": 1.0, "stop_seconds": 0.1,
    }  # fmt: skip
    return Observation(**{**fields, **changes})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("told", "paths", "env", "ports", "port", "path"),
    [
        ((9, 8080), ("/json",), {}, (8080,), 8080, "/json"),
        ((8080,), (), {"MODE": "late"}, (8080,), 8080, "/healthz"),  # it listens long before it answers
        ((9000, 8080), (), {"ALSO": ":9000"}, (9000, 8080), 9000, "/healthz"),
        ((), (), {"ALSO": ":9000"}, (8080, 9000), 8080, "/healthz"),
    ],
)
def test_what_a_service_does_is_seen(engine, misbehaving_image, told, paths, env, ports, port, path):
    """Of two ports the one that was told is the service's."""
    found = observe(engine, misbehaving_image, told, paths, env, "v")
    assert (found.ports, found.health) == (ports, Health("http", port, path, 200))
    assert found.memory_bytes > 100_000
    assert found.stop_seconds < 9


@pytest.mark.slow
def test_a_service_that_speaks_tls_is_found_healthy_and_recorded(engine, misbehaving_image, tmp_path):
    tree = read_tree(written(tmp_path, {"Dockerfile": "FROM scratch\n"}))
    recorder = Recorder(tree, None)
    found = observe(engine, misbehaving_image, (8080,), (), {"MODE": "tls"}, "v", while_up=recorder.ask_first)
    assert (found.health.path, found.health.status, found.health.tls) == ("/healthz", 200, True)
    assert posture.health_of(found).tls
    settings = RunSettings(env={"MODE": "tls"})
    posture.tightest(engine, misbehaving_image, found, settings, "v", while_up=recorder.ask_again)
    recorded = recorder.recorded(first_draft(find_services(tree)[0], "build"), found).api
    assert "/healthz" in [each.path for each in recorded]


@pytest.mark.slow
def test_what_ends_by_itself_with_0_is_a_job(engine, tools_image):
    found = observe(engine, tools_image, (), (), {}, "v")
    assert (found.health.kind, found.ports) == ("exit", ())
    assert posture.health_of(found).kind == "exit"
    assert posture.tightest(engine, tools_image, found, RunSettings(), "v") == {}
    said = observe(
        engine, tools_image, (), (), {}, "v", run=RunSettings(entrypoint=("/bin/sh", "-c", "echo; echo 6 x 7"))
    )
    assert (said.health.kind, said.printed) == ("exit", "6 x 7")


@pytest.mark.parametrize(
    ("env", "down", "line"),
    [
        ({"MODE": "dies-at-once"}, "ended", "^misbehave: cannot open /etc/absent.conf"),
        pytest.param(
            {"MODE": "speechless", "DIES_AFTER": "3s"}, "listened", "misbehave: giving up", marks=pytest.mark.slow
        ),
    ],
)
def test_a_service_that_dies_is_told_with_its_cause(engine, misbehaving_image, env, down, line):
    """So is one whose workers die."""
    with pytest.raises(NotUp) as caught:
        observe(engine, misbehaving_image, (8080,), (), env, "v")
    assert codes(caught.value.message) == ["down.said", f"down.{down}", "engine.ended"]
    assert re.search(line, str(caught.value.fields["lines"]))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("env", "said"),
    [({"LISTEN": "127.0.0.1:8080"}, ["down.only_loopback"]), ({"MODE": "deaf"}, ["down.said", "down.not_listening"])],
)
def test_a_service_that_cannot_be_reached_is_told_why(engine, misbehaving_image, monkeypatch, env, said):
    monkeypatch.setattr(coming_up, "LOOPBACK_SECONDS", 1.0)
    options = coming_up.PLAIN.but(env=env)
    with engine.start(misbehaving_image, options) as container, pytest.raises(NotUp) as caught:
        coming_up.wait_listening(container, (8080,), seconds=2)
    assert codes(caught.value.message) == said


@pytest.mark.slow
def test_an_interruption_leaves_a_suite_that_can_be_built(engine, tmp_path):
    root = written(tmp_path / "initbroken", {"Dockerfile": "FROM alpine:3.18\nRUN sleep 60\n", ".gitignore": "*.log\n"})
    words = [sys.executable, "-m", "deadweight", "init", "--yes"]
    with subprocess.Popen(words, cwd=root, stderr=subprocess.PIPE, text=True) as process:
        said = []
        for line in process.stderr:
            said.append(line)
            if f"building ({wording('plan.not_built')})" in line:
                process.send_signal(signal.SIGINT)
    assert process.returncode == 130, "".join(said)
    (today,) = load_suite(root / "deadweight.yaml").variants
    assert (today.name, today.tried) == ("today", False)
    assert not list(root.glob(".deadweight.yaml.*"))


@pytest.mark.slow
def test_the_posture_is_as_tight_as_the_service_allows(engine, misbehaving_image):
    assert posture.tightest(engine, misbehaving_image, seen(), RunSettings(), "v") == {}
    found = posture.tightest(engine, misbehaving_image, seen(), RunSettings(env={"MODE": "wants-disk"}), "v")
    assert found["read_only"].value is False
    found = posture.tightest(engine, misbehaving_image, seen(writes=("/state",)), RunSettings(), "v")
    assert found["tmpfs"].value == ["/tmp", "/state"]
    # in memory it would hide something that is needed, here the whole service, which does without what it wrote there
    found = posture.tightest(engine, misbehaving_image, seen(writes=("/app",)), RunSettings(), "v")
    assert found == {}
    found = posture.tightest(engine, misbehaving_image, seen(), RunSettings(env={"MODE": "wants-root"}), "v")
    assert (found["user"].value, found["user"].origin) == ("0:0", f"seen: {task_wording('origin.as_root')}")
    assert "capabilities" not in found


@pytest.mark.slow
def test_root_keeps_what_it_needs_to_become_another_user(engine, misbehaving_image):
    found = posture.tightest(engine, misbehaving_image, seen(), RunSettings(env={"MODE": "changes-user"}), "v")
    assert ("read_only" in found, found["user"].value) == (False, "0:0")
    assert found["capabilities"].value == ["CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID"]


@pytest.mark.slow
def test_a_service_that_gets_healthy_in_no_posture_is_a_problem(engine, misbehaving_image, monkeypatch):
    monkeypatch.setattr(posture, "LEAST_SECONDS", 0.5)
    settings = RunSettings(env={"MODE": "never-healthy"})
    with raises(NotUp, "down.not_hardened") as caught:
        posture.tightest(engine, misbehaving_image, seen(started_seconds=0.01), settings, "v")
    assert caught.value.down is Down.NOT_HARDENED


def prove(root, **limits):
    return init(root, Wanted(), lambda *_: None, print, Tools(print, _build, **limits))


def test_no_way_to_build_ends_with_all_reasons_and_a_suite_to_go_on_with(engine, tmp_path):
    root = written(tmp_path / "initbroken", {"Dockerfile": "FROM alpine:3.18\nRUN echo no milk today >&2; exit 7\n"})
    with pytest.raises(DeadweightError, match="no milk today"):
        prove(root)
    (today,) = load_suite(root / "deadweight.yaml").variants
    assert (today.name, today.tried) == ("today", False)


@pytest.mark.slow
def test_after_so_many_minutes_no_further_variant_is_begun_and_none_is_lost(engine, tmp_path):
    file = 'FROM alpine:3.18\nENTRYPOINT ["/bin/sh", "-c", "echo done"]\n'
    root = written(tmp_path / "initproved", {f"Dockerfile.{name}": file for name in ("a", "b", "c")})
    (draft,) = prove(root, minutes=0.001).drafts
    tried = {each.name: each.tried for each in load_suite(root / "deadweight.yaml").variants}
    assert {"today", "today-b", "today-c"} <= set(tried)
    assert tried["today"]
    assert sum(tried.values()) == 2
    assert set(draft.untried) == {name for name, done in tried.items() if not done}


PATH = task_wording("task.expected", flag="--health-path", expected=wording("suite.plain_url_path"), value="up")


@pytest.mark.parametrize(
    ("flag", "value", "told"),
    [("--minutes", "ten", task_wording("task.minutes", value="ten")), ("--health-path", "up", PATH)],
)
def test_a_flag_that_makes_no_sense_is_refused(tmp_path, capfd, flag, value, told):
    assert run("init", "--dir", str(tmp_path), flag, value) == 2
    assert told in capfd.readouterr().err


# Variants that are derived from a repository's own Dockerfile, in languages that have no recipe.
SETTINGS = ("User", "WorkingDir", "Entrypoint", "Cmd", "ExposedPorts", "Volumes", "StopSignal", "Labels", "Env")


OPERATIONS = ("/health", "/prices", "/file", "/late", "/version", "/save", "/user")
"""What each service answers: data of its own, a file of its image, a module that is loaded when it is first asked for, a variable
of a build argument, a folder that it may write to."""
SERVICES = Path(__file__).parent / "corpus" / "no_recipe"


def copied(language: str, root: Path) -> Path:
    """A service in a language without a recipe."""
    for name in ("common", language):
        shutil.copytree(SERVICES / name, root, dirs_exist_ok=True)
    return root


@pytest.mark.slow
def test_the_user_of_the_own_base_stays_on_another_one(engine, folder, capfd, monkeypatch):
    """So does the working folder."""
    root = copied("cpp", folder)
    own = (root / "Dockerfile").read_text().partition("FROM debian:12\n")[0].replace("g++ -O1", "g++ -static")
    own += "FROM gcr.io/distroless/static-debian12:nonroot\nENV SHOP_VERSION=7 GREETING=hi\n"
    (root / "Dockerfile").write_text(own + 'COPY --from=build /server /\nCMD ["/server"]\n')
    monkeypatch.chdir(root)
    assert run("init", "--yes", "--minutes", "0") == 0, capfd.readouterr().err
    images = (engine.api.inspect_image(f"deadweight/{root.name}/{name}:latest") for name in ("today", "chainguard"))
    settings = [(each["Config"]["User"], each["Config"]["WorkingDir"]) for each in images]
    assert settings == [("65532", "/home/nonroot")] * 2


def answers(engine, image: str) -> dict[str, tuple[int, bytes]]:
    """What every operation answers, also those that no suite has recorded."""
    with engine.start(image, RunOptions(publish=8080)) as container:
        container.wait_healthy(HealthSettings(path="/health", within_seconds=60))
        got = {path: container.http(8080).request("GET", path, timeout=20) for path in OPERATIONS}
    return {path: (each.status, each.body) for path, each in got.items()}


@pytest.mark.slow
@pytest.mark.parametrize(
    "language", ["cpp", *(pytest.param(name, marks=pytest.mark.services) for name in ("elixir", "lua", "perl"))]
)
def test_a_service_without_a_recipe_runs_on_its_own_files_alone(engine, folder, capfd, monkeypatch, language):
    project = copied(language, folder)
    monkeypatch.chdir(project)
    code, said = run("init", "--yes", "--minutes", "0"), capfd.readouterr().err
    assert code == 0, said
    suite = load_suite(project / "deadweight.yaml")
    assert {"today", "minimal", "slim"} <= set(suite.names()), said
    prefix = f"deadweight/{suite.name}"
    own, minimal = (engine.api.inspect_image(f"{prefix}/{name}:latest") for name in ("today", "minimal"))
    for key in SETTINGS:
        assert minimal["Config"].get(key) == own["Config"].get(key), key
    assert minimal["Size"] < own["Size"] * 0.8
    expected = answers(engine, f"{prefix}/today:latest")
    assert {status for status, _ in expected.values()} == {200}
    assert answers(engine, f"{prefix}/minimal:latest") == expected
    assert answers(engine, f"{prefix}/slim:latest") == expected
    text = (project / "deadweight.yaml").read_text()
    assert yaml.safe_load(text)["variants"]["slim"]["bases"] == {"BASE": "debian:12-slim"}
    assert "#   another base: debian:12 -> debian:12-slim (Dockerfile:" in text
    assert re.search(r"^    #   not there: [^\n]*\bapt-get\b", text, re.MULTILINE)
