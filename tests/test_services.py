"""The two demo services: their own tests, and one table of requests that both must answer with the same bytes.

They run on loopback and get harmless scripts only.
"""

import base64
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings, strategies as st

from deadweight.builders.jib.projects import SHORT_LIVED
from deadweight.engine.http import Answer, direct
from deadweight.records.paths import content
from tests.support import ROOT, TESTS
from tests.support.fault_project import wait_for
from tests.support.small_images import go_program

GO_SOURCE = ROOT / "src" / "vulnerable-awk-playground"
CASES = json.loads((TESTS / "data" / "service_cases.json").read_text(encoding="utf-8"))
LISTENING = re.compile(r'^(?=.*"listening").*"address":"[^"]*:(\d+)".*\n', re.MULTILINE)
LIMITS = {"AWK_TIMEOUT": "2s", "AWK_MAX_OUTPUT_BYTES": "65536"}

# One worker builds each service once.
pytestmark = [pytest.mark.system, pytest.mark.xdist_group("services")]


@dataclass(frozen=True)
class Running:
    """A service that listens. ``process`` is the service itself or, in a namespace of its own, the program that holds it."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    def send(self, request: Mapping[str, Any]) -> Answer:
        """The time measured in the body of the answer is replaced by 0."""
        kind = {"Content-Type": "application/json"} if "json" in request else {}
        headers = {"Connection": "keep-alive", **request.get("headers", {}), **kind}
        route, words = direct("published", "127.0.0.1", self.port), (request["method"], request["path"])
        answer = route.request(*words, body=_body(request), headers=headers, timeout=20)
        return replace(answer, body=re.sub(rb'"duration_ms":\d+', b'"duration_ms":0', answer.body))

    def get(self, path: str) -> Answer:
        return self.send({"method": "GET", "path": path})

    def awk(self, script: str, **fields: Any) -> Answer:
        return self.send({"method": "POST", "path": "/api/v1/awk", "json": {"script": script, **fields}})

    def outputs(self, script: str, count: int) -> list[str]:
        """What a script prints of one number each, eight at a time."""
        with ThreadPoolExecutor(8) as pool:
            return list(pool.map(lambda n: self.awk(script, input=f"{n}\n").json()["stdout"], range(count)))

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]


@contextmanager
def running(argv: Sequence[str], log: Path, **env: str) -> Iterator[Running]:
    """Start a service on a free port of loopback; it is ended with everything it started, whatever happens."""
    with log.open("wb") as output:
        process = subprocess.Popen(argv, stdout=output, env=environment(env), start_new_session=True)
    try:
        wait_for(lambda: LISTENING.search(log.read_text()) or process.poll() is not None, 20)
        match = LISTENING.search(log.read_text())
        assert match, f"the service did not start, exit code {process.poll()}: {log.read_text()}"
        yield Running(process, int(match[1]), log)
    finally:
        if process.poll() is None:
            process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def environment(env: Mapping[str, str]) -> dict[str, str]:
    """Ours, with a free port and the locale that the Java service asks for, unless told otherwise."""
    return {**os.environ, "LISTEN_ADDR": "127.0.0.1:0", "LC_ALL": "C.UTF-8", **env}


def _body(request: Mapping[str, Any]) -> bytes | None:
    if "json" in request:
        fields = dict(request["json"])
        fields |= {"input": fields["input"] * request["repeat_input"]} if "repeat_input" in request else {}
        return json.dumps(fields).encode()
    if "base64" in request:
        return base64.b64decode(request["base64"])
    if "body" in request:
        text: str = request.get("before", "") + request["body"] * request.get("repeat", 1) + request.get("after", "")
        return text.encode()
    return None


@pytest.fixture(scope="session")
def go_argv(tmp_path_factory) -> list[str]:
    return [str(go_program(GO_SOURCE, tmp_path_factory.mktemp("go-service") / "service"))]


@pytest.fixture(scope="session")
def java_project(tmp_path_factory) -> Path:
    """The Java service, compiled in a copy: other tests build from the source folder."""
    if shutil.which("mvn") is None or shutil.which("javac") is None:
        pytest.skip("the Java service needs Maven and a JDK: invoke setup brings them if a suite has a Java variant")
    folder = tmp_path_factory.mktemp("java-service") / "project"
    shutil.copytree(ROOT / "src" / "vulnerable-awk-playground-java", folder, ignore=shutil.ignore_patterns("target"))
    maven(folder, "-DskipTests", "package", "dependency:copy-dependencies", "-DincludeScope=runtime")
    return folder


def maven(folder: Path, *goals: str) -> None:
    words = ["mvn", "-q", "-B", f"-DargLine={SHORT_LIVED}", *goals]
    env = {**os.environ, "MAVEN_OPTS": SHORT_LIVED}
    built = subprocess.run(words, cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr


@pytest.fixture(scope="session")
def java_argv(java_project) -> list[str]:
    jars = f"{java_project}/target/classes:{java_project}/target/dependency/*"
    # The option lets the service collect orphans as process 1.
    own = ["--add-opens", "java.base/java.lang=ALL-UNNAMED"]
    return ["java", *SHORT_LIVED.split(), *own, "-cp", jars, "deadweight.playground.Main"]


@pytest.fixture(scope="session", params=["go", "java"])
def argv(request) -> list[str]:
    return request.getfixturevalue(f"{request.param}_argv")


@pytest.fixture(scope="session")
def service(argv, tmp_path_factory) -> Iterator[Running]:
    with running(argv, tmp_path_factory.mktemp("service") / "log", **LIMITS) as started:
        yield started


@pytest.mark.slow
def test_go_service_passes_its_own_tests() -> None:
    # As every image compiles it; no C headers are asked for, and what tools were compiled of (trimmed) is compiled already.
    environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-trimpath"}
    for command in (["gofmt", "-l", "."], ["go", "vet", "./..."], ["go", "test", "-count=1", "./..."]):
        done = subprocess.run(command, cwd=GO_SOURCE, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert command[0] != "gofmt" or done.stdout == ""


@pytest.mark.slow
def test_java_service_passes_its_own_tests(java_project) -> None:
    maven(java_project, "-Dmaven.test.failure.ignore=true", "test")
    suites = [ElementTree.parse(file).getroot() for file in java_project.glob("target/surefire-reports/TEST-*.xml")]
    cases = [case for suite in suites for case in suite.iter("testcase")]
    wrong = {"failure", "error", "skipped"}
    assert [(case.attrib, part.attrib, part.text) for case in cases for part in case if part.tag in wrong] == []
    method = re.compile(r"@(?:Parameterized)?Test\b.*?void (\w+)\(", re.DOTALL)
    files = list(java_project.glob("src/test/**/*.java"))
    written = {(file.stem, name) for file in files for name in method.findall(file.read_text())}
    assert len(written) > 20
    ran = {(case.get("classname").rpartition(".")[2], re.findall(r"\w+", case.get("name"))[0]) for case in cases}
    assert written == ran


def test_go_service_needs_nothing_but_the_standard_library() -> None:
    module = (GO_SOURCE / "go.mod").read_text()
    assert ("require" in module, "\ngo 1.21\n" in module) == (False, True)


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_api(service, case) -> None:
    expected, answer = case["expect"], service.send(case["request"])
    assert expected["status"] == answer.status
    wanted = {"Content-Type": "application/json", **expected.get("headers", {})}
    assert wanted == {name: answer.headers.get(name.lower()) for name in wanted}
    if "body" in expected:
        assert expected["body"] == answer.text()
    else:
        fields = answer.json()
        assert expected["sizes"] == {name: len(fields[name].encode()) for name in expected["sizes"]}
        assert expected["json"].items() <= fields.items()


@pytest.mark.parametrize(("depth", "code"), [(10_000, "invalid_field"), (10_001, "invalid_json")])
def test_how_deep_a_document_may_be(service, depth, code) -> None:
    """The object around it counts too."""
    body = '{"script":' + "[" * (depth - 1) + "]" * (depth - 1) + "}"
    headers = {"Content-Type": "application/json"}
    answer = service.send({"method": "POST", "path": "/api/v1/awk", "headers": headers, "body": body})
    assert answer.json()["error"]["code"] == code


def test_version_tells_build_runtime_and_awk(service, argv) -> None:
    answer, awk = service.get("/version").json(), Path(shutil.which("awk") or "")
    assert list(answer) == ["name", "version", "revision", "runtime", "awk"]
    name, form = ("java", r"\d+\.\d+\.\d+.*") if argv[0] == "java" else ("go", r"go1\.\d+.*")
    assert (answer["name"], answer["runtime"]["name"]) == ("vulnerable-awk-playground", name)
    assert re.fullmatch(form, answer["runtime"]["version"])
    assert [str(awk), str(awk.resolve())] == [answer["awk"]["path"], answer["awk"]["target"]]
    assert answer["awk"]["dialect"] in {"gawk", "mawk", "busybox", "bwk"}
    assert answer["awk"]["version"]


def test_awks_own_words_are_the_same_from_both(go_argv, java_argv, tmp_path) -> None:
    """A script that does not parse: awk's message depends on the awk, so it is compared and not written down."""
    with running(go_argv, tmp_path / "go") as go, running(java_argv, tmp_path / "java") as java:
        ours, theirs = (one.awk("BEGIN { print ( }") for one in (go, java))
    assert ours.body == theirs.body
    assert ours.json()["stderr"]
    assert ours.json()["exit_code"] != 0


@settings(max_examples=25)
@given(text=st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=200))
def test_text_comes_back_as_it_went(service, text) -> None:
    assert service.awk("{ print }", input=f"{text}\n").json()["stdout"] == f"{text}\n"


def test_scripts_run_side_by_side_and_do_not_mix(service) -> None:
    outputs = service.outputs('{ print $1; fflush(); system("sleep 0.2"); print $1 }', 24)
    assert outputs == [f"{n}\n{n}\n" for n in range(24)]


@pytest.mark.slow
def test_no_output_is_lost_when_awk_ends_before_it_is_read(service) -> None:
    assert service.outputs("{ print $1 }", 300) == [f"{n}\n" for n in range(300)]


@pytest.mark.slow
def test_health_is_answered_while_scripts_run_and_wait(argv, tmp_path) -> None:
    """Two run, the others wait for their turn, and some callers are slow."""
    with running(argv, tmp_path / "log", AWK_CONCURRENCY="2") as one, ThreadPoolExecutor(18) as pool:
        slow = [socket.create_connection(("127.0.0.1", one.port)) for _ in range(6)]
        for client in slow:
            client.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n")
        waiting = [pool.submit(one.awk, 'BEGIN { system("sleep 1.5") }') for _ in range(18)]
        time.sleep(0.3)
        seconds = []
        for _ in range(5):
            started = time.monotonic()
            assert one.get("/healthz").status == 200
            seconds.append(time.monotonic() - started)
        answers = [future.result() for future in waiting]
        for client in slow:
            client.close()
    assert sorted(seconds)[2] < 1.4, "most of them waited for a script"
    codes = {(answer.status, answer.json().get("error", {}).get("code")) for answer in answers}
    assert codes == {(200, None), (503, "busy")}


@pytest.mark.parametrize(("count", "size", "taken"), [(1, 60_000, True), (1, 80_000, False), (300, 1, True)])
def test_how_large_a_header_may_be(service, argv, count, size, taken) -> None:
    """Java's server ends the connection, Go's says 431: neither reads on."""
    lines = [f"X-{number}: {'a' * size}" for number in range(count)]
    request = "\r\n".join(["GET /healthz HTTP/1.1", "Host: x", *lines, "", ""])
    with socket.create_connection(("127.0.0.1", service.port), 20) as stream:
        try:
            stream.sendall(request.encode())
            answer = stream.recv(12)
        except ConnectionError:
            answer = b""
    refused = b"" if argv[0] == "java" else b"HTTP/1.1 431"
    assert answer == (b"HTTP/1.1 200" if taken else refused)


@pytest.mark.parametrize(("target", "go", "java"), [
    ("/healthz?x=1", 200, (200,)),
    ("/healthz?x={1}", 200, (400,)),
    ("/healthz?x=a|b", 200, (400,)),
    ("/[x]", 404, (400,)),
    ("//healthz", 404, (404, 400)),  # up to JDK 17.0.15 at least, and from 17.0.21 at the latest
])  # fmt: skip
def test_targets_that_are_no_uri(service, argv, target, go, java) -> None:
    """The JDK's server answers them itself, and not in JSON; it answers, and the service goes on."""
    with socket.create_connection(("127.0.0.1", service.port), 20) as stream:
        stream.sendall(f"GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        with stream.makefile("rb") as answer:
            status, _, rest = answer.read().partition(b"\r\n")
    assert int(status.split()[1]) in (java if argv[0] == "java" else (go,))
    own = argv[0] != "java" or java == (200,)
    assert (b"content-type: application/json" in rest.lower()) is own
    assert service.get("/healthz").status == 200


def test_pipes_that_an_escaped_process_holds_are_given_up_together(service) -> None:
    """Half a second for both, not for each: the process left its group and took no environment along."""
    seconds: list[float] = []
    while len(seconds) < 12 and min(seconds, default=2.0) >= 1.1:  # a busy machine is slow now and then
        started = time.monotonic()
        assert service.awk('BEGIN { system("(env -i setsid sleep 3 &); sleep 0.2") }').status == 200
        seconds.append(time.monotonic() - started)
    assert 0.6 < min(seconds) < 1.1


def test_requests_are_logged_as_json_without_their_scripts(argv, tmp_path) -> None:
    with running(argv, tmp_path / "log") as service:
        service.awk('BEGIN { print "marker-of-a-script" }')
    last = [line for line in service.lines() if line["msg"] == "request"][-1]  # all are written once it has ended
    assert {"method": "POST", "path": "/api/v1/awk", "status": 200}.items() <= last.items()
    assert {"time", "level", "bytes", "duration_ms", "remote"} <= last.keys()
    assert "marker-of-a-script" not in service.log.read_text()


def ended(argv: Sequence[str], **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv, env=environment(env), capture_output=True, text=True, check=False)


def test_health_check_by_the_program_itself(service, argv) -> None:
    ask = [*argv, "-healthcheck"]
    assert ended(ask, LISTEN_ADDR=f":{service.port}").returncode == 0
    nobody = ended(ask, LISTEN_ADDR=":1")
    assert (nobody.returncode, "efused" in nobody.stderr) == (1, True)


@pytest.mark.parametrize(("arguments", "env", "code", "text"), [
    (["-version"], {}, 0, "vulnerable-awk-playground "),
    (["-nope"], {}, 2, "-nope"),
    (["stray"], {}, 2, "unexpected argument: stray"),
    *(
        ([], {"LISTEN_ADDR": place}, 2, f'LISTEN_ADDR: "{place}" is not HOST:PORT or :PORT')
        for place in ("8080", ":http", "127.0.0.1:", ":99999")
    ),
    ([], {"AWK_TIMEOUT": "5"}, 2, 'AWK_TIMEOUT: "5" is not a duration such as 500ms, 5s or 1m'),
    ([], {"AWK_CONCURRENCY": "0"}, 2, 'AWK_CONCURRENCY: "0" is not a whole number from 1 to 1024'),
])  # fmt: skip
def test_command_line(argv, arguments, env, code, text) -> None:
    done = ended([*argv, *arguments], **env)
    assert (done.returncode, text in done.stdout + done.stderr) == (code, True)
    assert "\tat " not in done.stderr, "a stack trace"


def test_port_in_use(service, argv) -> None:
    done = ended(argv, LISTEN_ADDR=f"127.0.0.1:{service.port}")
    shown = [text in done.stderr for text in (str(service.port), "already in use")]
    assert (done.returncode, shown) == (1, [True, True])


def test_java_refuses_a_locale_that_would_spoil_scripts(java_argv) -> None:
    done = ended(java_argv, LC_ALL="C", LANG="C")
    assert (done.returncode, "LC_ALL=C.UTF-8" in done.stderr) == (2, True)


@pytest.mark.slow
def test_as_process_one_it_collects_orphans_and_stops_on_sigterm(argv, tmp_path) -> None:
    """In a container there is often no init: the service is process 1 of its namespace."""
    new_namespace = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
    if subprocess.run([*new_namespace, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("this machine does not allow a process namespace")
    with running([*new_namespace, *argv], tmp_path / "log") as held:
        (first,) = _children(held.process.pid)
        for code in range(1, 6):
            answer = held.awk(f'BEGIN {{ system("sleep 0.1 & setsid true & sleep 0.2"); exit {code} }}')
            assert answer.json()["exit_code"] == code
        wait_for(lambda: _children(first) == [], 5)
        os.kill(first, signal.SIGTERM)
        assert held.process.wait(5) == 0


def _children(pid: int) -> list[int]:
    files = Path(f"/proc/{pid}/task").glob("*/children")  # a thread may end meanwhile
    return [int(word) for file in files for word in content(file).split()]
