"""Real endpoints, and what becomes of builds when they fail: daemons behind mTLS, each in a network of its own."""

import contextlib
import re
import shutil
import signal
import socketserver
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from deadweight._errors import MissingError
from deadweight_pool import dispatch
from deadweight_pool.endpoint import wording
from tests.support.buildkit_world import LOCAL, Daemon, daemons, disturbed, saying_version, up
from tests.support.certificates import authority
from tests.support.codes import raises
from tests.support.invoking import start
from tests.support.pool_project import PoolProject, endpoint, noted

pytestmark = [pytest.mark.pool, pytest.mark.tools, pytest.mark.system]


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Iterator[dict[str, Daemon]]:
    """Daemons that are not all started. What a test ends it starts again."""
    with daemons(tmp_path_factory.mktemp("bk"), ("a", "b", "c", "here", "full", "old", "other")) as fleet:
        yield fleet


class Web(socketserver.BaseRequestHandler):
    """A web server, as far as somebody sees who takes it for a daemon. It waits for the other side to hang up."""

    def handle(self) -> None:
        with contextlib.suppress(OSError):
            self.request.recv(4096)
            self.request.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
            while self.request.recv(4096):
                pass


def these(world: dict[str, Daemon], *names: str) -> dict[str, Daemon]:
    """These daemons, running."""
    return up({name: world[name] for name in names})


def endpoints(daemons: dict[str, Daemon]) -> dict[str, object]:
    return {name: endpoint(daemon) for name, daemon in daemons.items()}


def built_twice(project: PoolProject) -> set[str]:
    return {name for name, times in project.reports.count("begin").items() if times > 1}


def moved(project: PoolProject) -> set[str]:
    """The variants that were on an endpoint when it was lost, by the pool's own log."""
    return set(re.findall(rf" (\S+): {noted('journal.lost', endpoint='.+', reason='')}", project.log))


def said_of(name: str, log: str) -> str:
    """What the pool's log says first of an endpoint."""
    line = next(line for line in log.splitlines() if line.split()[1] == name)
    return line.partition(") ")[2]


def test_far_endpoints_give_the_digests_of_a_near_one(world, project):
    daemons = these(world, "a", "b", "c")
    variants = {f"v{number}": 0.5 for number in range(6)}
    with disturbed(daemons["b"], delay_seconds=0.02, loss=0.01) as address:
        pool = {**endpoints(daemons), "b": endpoint(daemons["b"], address=address)}
        far = project.write(variants, {"endpoints": pool}).build()
    assert {outcome.result for outcome in far.values()} == {"built"}
    assert {outcome.image.built_on.split()[0] for outcome in far.values()} == {"a", "b", "c"}
    here = these(world, "here")["here"]
    project.write(variants, {"endpoints": {"here": {"address": f"unix://{here.folder}/buildkitd.sock", "places": 3}}})
    shutil.rmtree(project.root / ".deadweight")
    near = project.build()
    digests = [{name: outcome.image.manifest_digest for name, outcome in made.items()} for made in (near, far)]
    assert digests[0] == digests[1]
    assert len({outcome.image.config_digest for outcome in near.values()}) == len(variants)
    assert {outcome.result for outcome in project.build().values()} == {"cached"}


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "frozen"])
def test_a_lost_endpoint_loses_only_its_work(world, project, monkeypatch, end):
    monkeypatch.setattr(dispatch, "STRANGE_SECONDS", 1000.0)  # by its silence alone
    daemons = these(world, "a", "b", "c")
    variants = {f"k{number}": 1.5 for number in range(7)}
    project.write(variants, {"endpoints": endpoints(daemons), "lost_after_seconds": 5.0})

    def lose() -> None:
        project.reports.wait(lambda reports: len(reports.on("begin")[daemons["a"].host]) == 2)
        daemons["a"].kill() if end == signal.SIGKILL else daemons["a"].signal(end)

    try:
        with ThreadPoolExecutor() as pool:
            pool.submit(lose)
            made = project.build()
    finally:
        if end == signal.SIGSTOP:
            daemons["a"].signal(signal.SIGCONT)
    assert {name: outcome.result for name, outcome in made.items()} == dict.fromkeys(made, "built")
    assert all(outcome.image.built_on[0] in "bc" for name, outcome in made.items() if name in moved(project))
    assert built_twice(project) <= moved(project) != set()
    assert end == signal.SIGSTOP or built_twice(project) == moved(project)
    reason = wording("endpoint.silent") if end == signal.SIGSTOP else ""
    assert f" {wording('journal.is_lost', endpoint='a', reason=reason)}" in project.log


def test_endpoints_that_cannot_be_used_are_named_and_the_others_do_the_work(world, project, tmp_path):
    """A full disk, a certificate of somebody else's, another protocol, another version, and one that is too old."""
    daemons = these(world, "a")
    world["full"].disk_bytes = 32 * 2**20
    world["old"].program = saying_version(tmp_path / "buildkitd", "0.12.5")
    world["other"].program = saying_version(tmp_path / "buildkitd-other", "0.33.9")
    full, old, other = these(world, "full", "old", "other").values()
    full.fill(left_bytes=2**20)
    authority(tmp_path, {"client": [LOCAL]})
    stranger = {"cert": str(tmp_path / "client.pem"), "key": str(tmp_path / "client.key")}
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Web) as web:
        threading.Thread(target=web.serve_forever, daemon=True).start()
        address = f"tcp://127.0.0.1:{web.server_address[1]}"
        pool = {
            "good": endpoint(daemons["a"]),
            "full": endpoint(full, places=8),
            "stranger": endpoint(daemons["a"], **stranger),
            "trusting": endpoint(daemons["a"], ca=str(tmp_path / "ca.pem")),
            "web": endpoint(daemons["a"], address=address),
            "plain": {"address": address},
            "old": endpoint(old),
            "other": endpoint(other),
            "nowhere": {"address": "unix:///nowhere/buildkitd.sock"},
        }
        made = project.write({f"u{number}": 0.2 for number in range(4)}, {"endpoints": pool}).build()
        web.shutdown()
    assert {outcome.image.built_on.split()[0] for outcome in made.values()} <= {"good", "other"}
    assert f"pool: {wording('journal.versions', versions='0.33.9, 0.34.2')}" in project.lines
    log = project.log
    assert wording("journal.is_lost", endpoint="full", reason=wording("endpoint.full")) in log
    for name, code in {"stranger": "not_accepted", "trusting": "ca", "web": "no_tls", "plain": "no_http2"}.items():
        assert said_of(name, log) == wording("journal.unused", reason=wording(f"endpoint.{code}"))
    too_old = wording("endpoint.too_old", version="0.12.5", least="0.16")
    assert said_of("old", log) == wording("journal.unused", reason=too_old)
    assert said_of("nowhere", log).startswith(wording("journal.unused", reason=wording("endpoint.missing", reason="")))


def test_a_build_error_is_never_tried_again(world, project):
    pool = {"endpoints": endpoints(these(world, "a", "c"))}
    made = project.write({"bad": 0.1, "good": 0.1}, pool, failing=["bad"]).build()
    assert (made["bad"].result, made["good"].result) == ("failed", "built")
    assert project.reports.count("begin") == Counter({"bad": 1, "good": 1})
    assert " 3 (bad/Dockerfile:3: RUN " in str(made["bad"].error)
    assert re.search(noted("journal.failed", endpoint="[ac]"), project.log)


def test_a_slow_endpoint_loses_its_last_work_to_a_quick_one(world, project, monkeypatch):
    monkeypatch.setattr(dispatch, "STRANGE_SECONDS", 1.0)
    daemons = these(world, "a", "c")
    project.reports.slow[daemons["c"].host] = 120.0
    project.write({f"s{number}": 0.3 for number in range(6)}, {"endpoints": endpoints(daemons)})
    started = time.monotonic()
    made = project.build()
    assert time.monotonic() - started < 100
    assert {outcome.image.built_on.split()[0] for outcome in made.values()} == {"a"}
    stopped = project.reports.on("begin")[daemons["c"].host]
    assert stopped
    project.reports.wait(lambda log: stopped <= set(log.count("gone")))  # and the slow one no longer works on it
    assert wording("journal.stopped", other="c", endpoint="a") in project.log


def test_ctrl_c_ends_the_work_far_away(world, project):
    project.write({f"c{number}": 300.0 for number in range(3)}, {"endpoints": endpoints(these(world, "a", "c"))})
    run = start(project.root, "build", session=True)
    try:
        project.reports.wait(lambda reports: len(reports.count("begin")) == 3)
        run.send_signal(signal.SIGINT)
        assert run.wait(60) == 130
        project.reports.wait(lambda reports: set(reports.count("gone")) == {"c0", "c1", "c2"})
    finally:
        run.kill()
        run.communicate()


def test_no_endpoint_for_the_platform(world, project):
    project.write({"one": 0.1}, {"endpoints": {"a": endpoint(these(world, "a")["a"], platforms=["linux/arm64"])}})
    with raises(MissingError, "pool.no_endpoint", platform="linux/amd64") as caught:
        project.build()
    name, _, builds = str(caught.value.fields["endpoints"]).strip().partition(": ")
    assert name == "a"
    assert builds.lower().index("linux/amd64, ") < builds.lower().index("linux/arm64")
    assert not project.reports.lines


def test_a_pool_that_cannot_be_reached(project):
    project.write({"one": 0.1}, {"endpoints": {"gone": {"address": "tcp://127.0.0.1:1"}}})
    with raises(MissingError, "pool.no_endpoint", endpoints=f"  gone: {wording('endpoint.no_listener')}", exit_code=3):
        project.build()
