"""One comment on a pull request, kept up to date through a forge that limits, fails, forgets, and has other writers."""

import contextlib
import email.utils
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from deadweight._errors import DeadweightError, MissingError, UsageError
from deadweight.publish.comment import Busy, NoRights, place, post
from deadweight.report.pull_request import MARKER
from tests.support.codes import raises
from tests.support.forge_server import ForgeServer, environment

START = f"{MARKER}app run "


def marker(suite: str, run: int) -> str:
    return f"{MARKER}{suite} run {run} -->"


@pytest.fixture
def server():
    with contextlib.closing(ForgeServer()) as made:
        yield made


@pytest.fixture(params=["github", "gitlab"])
def provider(request) -> str:
    return request.param


@dataclass
class Job:
    """Writes a verdict as a job of that run would; ``waited`` collects the seconds that it would have slept."""

    provider: str
    server: ForgeServer
    folder: Path
    waited: list[float] = field(default_factory=list)

    def __call__(self, words: str, *, run: int = 5, silent: bool = False, patience: float = 180.0) -> str:
        env = environment(self.provider, self.server.url, self.folder, run=run)
        where = place(self.provider, env, sleep=self.waited.append, patience_seconds=patience)
        return post(where.forge, where.run, START, f"{marker('app', run)}\n\n{words}\n", silent=silent)


@pytest.fixture
def job(provider, server, tmp_path):
    return Job(provider, server, tmp_path)


def bodies(server: ForgeServer) -> list[str]:
    return [body.split("\n\n", 1)[1].strip() for body in server.comments.values() if body.startswith(START)]


def test_one_comment_is_made_and_then_kept(job, server):
    server.add("a person's comment")
    assert (job("stop", run=1), job("stop", run=2)) == ("created", "unchanged")
    assert (job("fine", run=3), bodies(server)) == ("updated", ["fine"])
    assert len(server.comments) == 2


def test_it_is_found_on_a_later_page(job, server):
    for number in range(150):
        server.add(f"comment {number}")
    assert job("look") == "created"
    server.add("> <!-- deadweight verdict: app run 1 -->\n> quoted")
    assert (job("fine", run=6), bodies(server)) == ("updated", ["fine"])


def test_nothing_is_posted_when_nothing_changed_but_an_earlier_verdict_is_taken_back(job, server):
    assert (job("fine", silent=True), server.comments) == ("nothing", {})
    job("stop", run=1)
    assert (job("fine", run=3, silent=True), bodies(server)) == ("updated", ["fine"])
    assert job("old", run=2) == "newer"
    assert bodies(server) == ["fine"], "an older run does not write over a newer one"


@pytest.mark.parametrize(("status", "headers", "waits"), [
    (429, {"Retry-After": "7"}, 7.0),
    (429, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "@30"}, 30.0),
    (429, {}, 1.0), (403, {"Retry-After": "date"}, 20.0),
])  # fmt: skip
def test_a_rate_limit_is_waited_for(job, server, status, headers, waits):
    """GitHub's second kind of limit, a 403, is no lack of rights."""
    later = {"@30": str(int(time.time()) + 30), "date": email.utils.formatdate(time.time() + 20, usegmt=True)}
    server.faults = [None, (status, {name: later.get(value, value) for name, value in headers.items()})]
    assert (job("look"), job.waited) == ("created", [pytest.approx(waits, abs=2)])
    assert bodies(server) == ["look"]


def test_failures_of_the_forge_are_waited_out_and_one_that_stays_down_or_limits_too_long_is_told(job, server):
    server.faults = [(502, {}), (503, {}), None, (500, {}), (504, {})]
    job("look")
    assert bodies(server) == ["look"]
    job.waited.clear()
    server.faults = [(503, {})] * 50
    with raises(Busy, "publish.status", status=503):
        job("look")
    assert len(job.waited) <= 6
    server.faults, job.waited = [(429, {"Retry-After": "3600"})], []
    with raises(Busy, "publish.rate_limit"):
        job("look")
    assert job.waited == []


def test_a_comment_whose_answer_was_lost_is_not_made_twice(job, server):
    server.lost_answers = 1
    job("look")
    assert bodies(server) == ["look"]


def test_a_comment_deleted_in_between_is_made_anew(job, server, provider):
    job("old", run=1)
    server.before["PATCH" if provider == "github" else "PUT"] = server.comments.clear
    assert (job("new", run=2), bodies(server)) == ("created", ["new"])


def test_jobs_at_the_same_time_leave_one_comment(provider, server, tmp_path):
    env, gate = environment(provider, server.url, tmp_path), threading.Barrier(4)
    server.before["POST"] = lambda: time.sleep(0.05)

    def one(run: int) -> None:
        where = replace(place(provider, env, sleep=lambda _: None), run=run)
        gate.wait()
        post(where.forge, where.run, START, f"{marker('app', run)}\n\nrun {run}\n", silent=False)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(one, (1, 2, 3, 4)))
    assert len(bodies(server)) == 1


def test_a_token_without_rights_or_a_wrong_one_is_told_and_never_shown(job, provider, server, tmp_path):
    server.may_write = False
    with raises(NoRights, "publish.refused", status=403) as raised:
        job("look")
    assert (raised.value.exit_code, job.waited) == (3, [])
    env = {**environment(provider, server.url, tmp_path), "GITHUB_TOKEN": "wr0ng", "GITLAB_TOKEN": "wr0ng"}
    where = place(provider, env)
    with raises(NoRights, "publish.refused", status=401) as raised:
        post(where.forge, where.run, START, "x", silent=False)
    assert "wr0ng" not in str(raised.value) + repr(where)


@pytest.mark.parametrize(("token", "code"), [("", "no_token"), (" ", "no_token"), ("a\nb", "wrong_token")])
def test_no_token_is_told(provider, server, tmp_path, token, code):
    env = {**environment(provider, server.url, tmp_path), "GITHUB_TOKEN": token, "GITLAB_TOKEN": token}
    with raises(NoRights, f"publish.{code}", variable=f"{provider.upper()}_TOKEN"):
        place(provider, env)


def test_a_token_goes_to_no_other_host(job, server):
    with contextlib.closing(ForgeServer()) as other:
        server.faults = [(307, {"Location": f"{other.url}/elsewhere"})]
        with raises(DeadweightError, "publish.refused", status=307):
            job("look")
    assert other.asked == []


def test_a_forks_job_asks_nobody(provider, server, tmp_path):
    assert place(provider, environment(provider, server.url, tmp_path, fork=True)).forge is None
    assert server.asked == []


def test_outside_of_a_pull_request_that_is_told(provider):
    with raises(MissingError, {"github": "publish.no_pull_request", "gitlab": "publish.no_merge_request"}[provider]):
        place(provider, {})
    with raises(UsageError, "tasks.choice", flag="--post", choices="github, gitlab", value="bitbucket"):
        place("bitbucket", {})
