"""init proves what it writes: a service is built, watched, hardened and verified for real."""

import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from deadweight.__main__ import main
from deadweight._errors import DeadweightError, wording
from deadweight.engine.options import RunOptions
from deadweight.project.load_suite import load_suite
from deadweight.records.paths import State
from deadweight.report.collect import collect
from deadweight.suite.model import Health as HealthSettings, RunSettings
from deadweight_init.command import Options, init
from deadweight_init.draft import first_draft
from deadweight_init.prove import observe as coming_up, posture
from deadweight_init.prove.observe import Down, Health, NotUp, Observation, observe
from deadweight_init.prove.proof import Tools
from deadweight_init.prove.recording import Recorder
from deadweight_init.services import find_services
from deadweight_init.task import _build, wording as task_wording
from deadweight_init.tree import read_tree
from tests.support.codes import codes, raises
from tests.support.processes import wait_for
from tests.support.small_images import forget_images
from tests.support.trees import written

SERVER = """\
FROM alpine:3.18
COPY www /www
EXPOSE 8099
ENTRYPOINT ["/bin/sh", "-c", "httpd -p 8099 -h /www && trap 'exit 0' TERM && while :; do sleep 0.2; done"]
"""
FILES = {
    "Dockerfile": SERVER,
    "Dockerfile.stubborn": 'FROM alpine:3.18\nCOPY www /www\nENTRYPOINT ["busybox", "httpd", "-f", "-p", "8099", "-h", "/www"]\n',
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


def run(*words: str) -> int:
    try:
        main(["deadweight", *words])
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


@pytest.fixture
def brought_in(capfd, monkeypatch):
    """What ``init`` says as it brings in a folder, which it leaves with this exit code; its suite, and the text of that."""

    def made(root: Path, *words: str, code: int = 0):
        monkeypatch.chdir(root)
        ended, output = run("init", "--yes", *words), capfd.readouterr().err
        assert ended == code, output
        return output, load_suite(root / "deadweight.yaml"), (root / "deadweight.yaml").read_text()

    return made


def test_a_repository_is_brought_in_and_proved(folder, brought_in, monkeypatch):
    """A service with three Dockerfiles."""
    monkeypatch.setattr(coming_up, "STOP_SECONDS", 2.0)  # one of them never ends on SIGTERM
    output, suite, text = brought_in(written(folder, FILES))
    today, stubborn, minimal = suite.variants
    assert "dockerfile: deadweight-build/minimal.Dockerfile\n" in text
    assert (minimal.name, today.name, today.port, today.health.path) == ("minimal", "today", 8099, "/")
    assert "port: 8099                                                  # seen" in text
    assert f"# {task_wording('suite.left_out', name='today-broken (dockerfile)', reason='')}" in text
    assert re.search(rf"attacks: \{{openapi: /openapi\.json\}} +# seen: {task_wording('origin.serves_document')}", text)
    assert [f"today: {check}: pass: " in output for check in ("attacks", "runs")] == [True, True]
    assert today.checks.budget.size_bytes.hard > 1_000_000
    home, prices = today.checks.api
    assert (home.name, home.expect.body_contains) == ("GET /", "<title>A small shop</title>")
    assert (prices.name, prices.expect.json_subset) == ("GET /prices.json", {"tea": 3, "milk": [1, 2]})
    assert (today.checks.runs.if_killed, stubborn.checks.runs.if_killed) == ("fail", "warn")
    assert task_wording("task.accepted", variants=stubborn.name, what=task_wording("gates.killed")) in output
    assert task_wording("task.works", works=3, known=3) in output
    waits = {"start": {"seconds": 90, "most": 240}, "watch": {"seconds": 20}, "attacks": {}}
    assert [key for key in waits if task_wording(f"progress.{key}", name="today", **waits[key]) not in output] == []
    assert output.rstrip().endswith("next: invoke report")
    checks = ("runs", "api", "budget", "layers")
    records = collect(suite, State(folder), asked={variant.name: checks for variant in suite.variants}).variants
    assert {check.why_not for record in records.values() for check in record.checks.values()} == {None}
    sooner = text.replace("stops_within_seconds: 10", "stops_within_seconds: 2")
    assert sooner != text
    (folder / "deadweight.yaml").write_text(sooner)
    assert run("build") == 0
    assert run("verify", *(word for name in checks for word in ("--check", name))) == 0


@pytest.mark.slow
def test_a_service_that_does_not_come_up_is_a_failure_with_a_suite_to_go_on_with(folder, brought_in):
    script = "echo error: DATABASE_URL is not set >&2; exit 3"
    written(folder, {"Dockerfile": f'FROM alpine:3.18\nEXPOSE 80\nCMD ["/bin/sh", "-c", "{script}"]\n'})
    output, suite, _ = brought_in(folder, code=1)
    assert "set DATABASE_URL under run.env in deadweight.yaml" in output
    (today,) = suite.variants
    assert (today.name, today.runnable, today.tried) == ("today", True, False)
    assert (run("build"), run("verify")) == (0, 1)


@pytest.mark.slow
def test_what_runs_and_proves_little_is_told_by_exit_code_3(folder, brought_in, capfd):
    listens = SERVER.replace("httpd -p", "echo '[error] no database' && httpd -p").replace("EXPOSE 8099", "EXPOSE 8098")
    _, suite, _ = brought_in(written(folder, {"Dockerfile": listens, "www/.keep": ""}), "--minutes", "0", code=3)
    codes = ("error_in_log", "undeclared_port", "health_is_an_error", "no_operation")
    assert {variant.unproven for variant in suite.variants} == {codes}
    assert run("verify", "--variant", "today", "--check", "runs") == 3
    assert wording("tasks.unproven", doubts="\n".join(f"{code}: today" for code in codes)) in capfd.readouterr().err


def tightest(engine, image, mode="good", **changes):
    """The posture of a service of this mode that was seen with these ``changes``."""
    seen = Observation(Health("http", 8080, "/healthz", 200), (8080,), "0:0", 10**7, 4, (), 1.0, 0.1)
    return posture.tightest(engine, image, replace(seen, **changes), RunSettings(env={"MODE": mode}), "v")


@pytest.mark.slow
@pytest.mark.parametrize(("declared", "paths", "env", "ports", "port", "path"), [
    ((9, 8080), ("/json",), {}, (8080,), 8080, "/json"),
    ((8080,), (), {"MODE": "late"}, (8080,), 8080, "/healthz"),  # it listens long before it answers
    ((9000, 8080), (), {"ALSO": ":9000"}, (9000, 8080), 9000, "/healthz"),
    ((), (), {"ALSO": ":9000"}, (8080, 9000), 8080, "/healthz"),
])  # fmt: skip
def test_what_a_service_does_is_seen(engine, misbehaving_image, monkeypatch, declared, paths, env, ports, port, path):
    """Of two ports the one that was told is the service's."""
    monkeypatch.setattr(coming_up, "DECLARED_SECONDS", 1.0)
    seen = observe(engine, misbehaving_image, declared, paths, env, "v", declared=declared)
    assert (seen.ports, {*seen.closed}, seen.health) == (ports, {*declared} - {*ports}, Health("http", port, path, 200))
    assert (seen.memory_bytes > 100_000, seen.stop_seconds < 9) == (True, True)


@pytest.mark.slow
def test_a_service_that_speaks_tls_is_found_healthy_and_recorded(engine, misbehaving_image, tmp_path):
    tree = read_tree(written(tmp_path, {"Dockerfile": "FROM scratch\n"}))
    recorder = Recorder(tree, None)
    seen = observe(engine, misbehaving_image, (8080,), (), {"MODE": "tls"}, "v", while_up=recorder.ask_first)
    assert (seen.health.path, seen.health.status, seen.health.tls) == ("/healthz", 200, True)
    assert posture.health_of(seen).tls
    settings = RunSettings(env={"MODE": "tls"})
    posture.tightest(engine, misbehaving_image, seen, settings, "v", while_up=recorder.ask_again)
    recorded = recorder.recorded(first_draft(find_services(tree)[0], "build"), seen).api
    assert "/healthz" in [request.path for request in recorded]


@pytest.mark.slow
def test_what_ends_by_itself_with_0_is_a_job(engine, tools_image):
    seen = observe(engine, tools_image, (), (), {}, "v")
    assert (seen.health.kind, posture.health_of(seen).kind, seen.ports) == ("exit", "exit", ())
    assert posture.tightest(engine, tools_image, seen, RunSettings(), "v") == {}
    prints = RunSettings(entrypoint=("/bin/sh", "-c", "echo; echo 6 x 7"))
    job = observe(engine, tools_image, (), (), {}, "v", run=prints)
    assert (job.health.kind, job.printed) == ("exit", "6 x 7")


@pytest.mark.parametrize(("env", "down", "line"), [
    ({"MODE": "dies-at-once"}, "ended", "^misbehave: cannot open /etc/absent.conf"),
    pytest.param({"MODE": "speechless", "DIES_AFTER": "3s"}, "listened", "misbehave: giving up", marks=pytest.mark.slow),
])  # fmt: skip
def test_a_service_that_dies_is_told_with_its_cause(engine, misbehaving_image, env, down, line):
    """So is one whose workers die."""
    with pytest.raises(NotUp) as caught:
        observe(engine, misbehaving_image, (8080,), (), env, "v")
    assert codes(caught.value.message) == ["down.said", f"down.{down}", "engine.ended"]
    assert re.search(line, str(caught.value.fields["lines"]))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("env", "reasons"),
    [({"LISTEN": "127.0.0.1:8080"}, ["down.only_loopback"]), ({"MODE": "deaf"}, ["down.said", "down.not_listening"])],
)
def test_a_service_that_cannot_be_reached_is_told_why(engine, misbehaving_image, monkeypatch, env, reasons):
    monkeypatch.setattr(coming_up, "LOOPBACK_SECONDS", 1.0)
    with engine.start(misbehaving_image, coming_up.PLAIN.but(env=env)) as container, pytest.raises(NotUp) as caught:
        coming_up.wait_listening(container, (8080,), seconds=2)
    assert codes(caught.value.message) == reasons


@pytest.mark.slow
def test_an_interruption_leaves_a_suite_that_can_be_built(engine, tmp_path):
    root = written(tmp_path / "initbroken", {"Dockerfile": "FROM alpine:3.18\nRUN sleep 60\n", ".gitignore": "*.log\n"})
    words = [sys.executable, "-m", "deadweight", "init", "--yes"]
    with subprocess.Popen(words, cwd=root, stderr=subprocess.PIPE, text=True) as process:
        wait_for((root / ".deadweight" / "logs" / "today.log").exists, 60)  # the build has begun
        process.send_signal(signal.SIGINT)
        errors = process.stderr.read()
    assert process.returncode == 130, errors
    assert tried(root) == {"today": False}
    assert not list(root.glob(".deadweight.yaml.*"))


def tried(root: Path) -> dict[str, bool]:
    """Of each variant of a suite."""
    return {variant.name: variant.tried for variant in load_suite(root / "deadweight.yaml").variants}


@pytest.mark.slow
def test_the_posture_is_as_tight_as_the_service_allows(engine, misbehaving_image, monkeypatch):
    assert tightest(engine, misbehaving_image) == {}
    assert tightest(engine, misbehaving_image, "wants-disk")["read_only"].value is False
    assert tightest(engine, misbehaving_image, writes=("/state",))["tmpfs"].value == ["/tmp", "/state"]
    # in memory it would hide something that is needed, here the whole service, which does without what it wrote there
    assert tightest(engine, misbehaving_image, writes=("/app",)) == {}
    settings = tightest(engine, misbehaving_image, "wants-root")
    assert (settings["user"].value, settings["user"].origin) == ("0:0", f"seen: {task_wording('origin.as_root')}")
    assert "capabilities" not in settings
    # root keeps what it needs to become another user
    settings = tightest(engine, misbehaving_image, "changes-user")
    assert ("read_only" in settings, settings["user"].value) == (False, "0:0")
    assert settings["capabilities"].value == ["CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID"]
    monkeypatch.setattr(posture, "LEAST_SECONDS", 0.5)
    with raises(NotUp, "down.not_hardened", down=Down.NOT_HARDENED):
        tightest(engine, misbehaving_image, "never-healthy", started_seconds=0.01)


def test_no_way_to_build_ends_with_all_reasons_and_a_suite_to_go_on_with(engine, tmp_path):
    root = written(tmp_path / "initbroken", {"Dockerfile": "FROM alpine:3.18\nRUN echo no milk today >&2; exit 7\n"})
    with pytest.raises(DeadweightError, match="no milk today"):
        init(root, Options(), lambda *_: None, print, Tools(print, _build))
    assert tried(root) == {"today": False}


@pytest.mark.slow
def test_after_so_many_minutes_no_further_variant_is_begun_and_none_is_lost(engine, tmp_path):
    file = 'FROM alpine:3.18\nENTRYPOINT ["/bin/sh", "-c", "echo done"]\n'
    root = written(tmp_path / "initproved", {f"Dockerfile.{name}": file for name in ("a", "b", "c")})
    (draft,) = init(root, Options(), lambda *_: None, print, Tools(print, _build, minutes=0.001)).drafts
    done = tried(root)
    assert {"today", "today-b", "today-c"} <= set(done)
    assert (done["today"], sum(done.values())) == (True, 2)
    assert set(draft.untried) == {name for name in done if not done[name]}


@pytest.mark.slow
def test_a_variant_that_was_not_compared_is_not_called_verified(folder, brought_in):
    root = written(folder, {**{f"Dockerfile.{name}": SERVER for name in "ab"}, "www/index.html": "<html>shop</html>"})
    output, _, text = brought_in(root, "--minutes", "0.001")
    late = task_wording("change.with_own", own="today", reason=task_wording("refused.no_time", minutes=0.001))
    assert f"# {task_wording('change.not_compared')}: {late}" in " ".join(text.split())
    assert task_wording("task.not_compared", variants="minimal") in output
    assert "verified: today\n" in output


PATH = task_wording("task.expected", flag="--health-path", expected=wording("suite.plain_url_path"), value="up")


@pytest.mark.parametrize(
    ("flag", "value", "message"),
    [("--minutes", "ten", task_wording("task.minutes", value="ten")), ("--health-path", "up", PATH)],
)
def test_a_flag_that_makes_no_sense_is_refused(tmp_path, capfd, flag, value, message):
    assert run("init", "--dir", str(tmp_path), flag, value) == 2
    assert message in capfd.readouterr().err


# Variants that are derived from a repository's own Dockerfile, in languages that have no recipe.


OPERATIONS = ("/health", "/prices", "/file", "/late", "/version", "/save", "/user")
"""What each service answers: data of its own, a file of its image, a module that is loaded when it is first asked for, a variable
of a build argument, a folder that it may write to."""


def copied(language: str, root: Path) -> Path:
    """A service in a language without a recipe."""
    for name in ("common", language):
        shutil.copytree(Path(__file__).parent / "corpus" / "no_recipe" / name, root, dirs_exist_ok=True)
    return root


@pytest.mark.slow
def test_the_user_of_the_own_base_stays_on_another_one(engine, folder, brought_in):
    """So does the working folder."""
    root = copied("cpp", folder)
    own = (root / "Dockerfile").read_text().partition("FROM debian:12\n")[0].replace("g++ -O1", "g++ -static")
    own += "FROM gcr.io/distroless/static-debian12:nonroot\nENV SHOP_VERSION=7 GREETING=hi\n"
    (root / "Dockerfile").write_text(own + 'COPY --from=build /server /\nCMD ["/server"]\n')
    brought_in(root, "--minutes", "0")
    images = (engine.api.inspect_image(f"deadweight/{root.name}/{name}:latest") for name in ("today", "chainguard"))
    settings = [(image["Config"]["User"], image["Config"]["WorkingDir"]) for image in images]
    assert settings == [("65532", "/home/nonroot")] * 2


def answers(engine, image: str) -> dict[str, tuple[int, bytes]]:
    """What every operation answers, also those that no suite has recorded."""
    with engine.start(image, RunOptions(publish=8080)) as container:
        container.wait_healthy(HealthSettings(path="/health", within_seconds=60))
        got = {path: container.http(8080).request("GET", path, timeout=20) for path in OPERATIONS}
    return {path: (answer.status, answer.body) for path, answer in got.items()}


@pytest.mark.slow
@pytest.mark.parametrize(
    "language", ["cpp", *(pytest.param(name, marks=pytest.mark.services) for name in ("elixir", "lua", "perl"))]
)
def test_a_service_without_a_recipe_runs_on_its_own_files_alone(engine, folder, brought_in, language):
    output, suite, text = brought_in(copied(language, folder), "--minutes", "0")
    assert {"today", "minimal", "slim"} <= set(suite.names()), output
    prefix = f"deadweight/{suite.name}"
    own, minimal = (engine.api.inspect_image(f"{prefix}/{name}:latest") for name in ("today", "minimal"))
    for key in ("User", "WorkingDir", "Entrypoint", "Cmd", "ExposedPorts", "Volumes", "StopSignal", "Labels", "Env"):
        assert minimal["Config"].get(key) == own["Config"].get(key), key
    assert minimal["Size"] < own["Size"] * 0.8
    today, *others = (answers(engine, f"{prefix}/{name}:latest") for name in ("today", "minimal", "slim"))
    assert {status for status, _ in today.values()} == {200}
    assert others == [today, today]
    assert yaml.safe_load(text)["variants"]["slim"]["bases"] == {"BASE": "debian:12-slim"}
    assert "#   another base image: debian:12 -> debian:12-slim (Dockerfile:" in text
    assert re.search(r"^    #   missing: [^\n]*\bapt-get\b", text, re.MULTILINE)
