"""A judge of settings: which requests it learns from, which it judges on, and what it takes for broken."""

from types import SimpleNamespace

import pytest

from deadweight.engine.options import RunOptions
from deadweight.suite.checks import ApiCheck
from deadweight.suite.model import Variant
from deadweight_workload import judge
from deadweight_workload.asking import Answers
from deadweight_workload.judge import Judge
from deadweight_workload.model import Workload
from deadweight_workload.sources import suite_steps

METHODS = {"make": "POST"}


def workload(*names: str, held_out: tuple[str, ...]) -> Workload:
    asked = {name: {"method": METHODS.get(name, "GET"), "path": f"/{name}"} for name in names}
    items = [ApiCheck.model_validate({"name": name, "request": request}) for name, request in asked.items()]
    steps = suite_steps(Variant.model_construct(checks=SimpleNamespace(api=items)))
    return Workload(steps, held_out=tuple(f"{METHODS.get(name, 'GET')} /{name}" for name in held_out))


@pytest.fixture
def asked(monkeypatch):
    """What was sent, in order: a service in which all works but what ``broken`` names."""
    sent, broken = [], set[str]()

    def passing(steps, _options, at_once=(), *_):
        names = [step.name for step in steps]
        sent.append((*names, *at_once))
        return Answers(frozenset(names) - broken, frozenset())

    monkeypatch.setattr(judge, "passing", passing)
    monkeypatch.setattr(judge, "asking", lambda _subject, steps: steps)
    return SimpleNamespace(sent=sent, broken=broken)


SUBJECT = SimpleNamespace(
    variant=SimpleNamespace(run=SimpleNamespace(needs={})),
    engine=lambda: SimpleNamespace(images=SimpleNamespace(need=lambda _: SimpleNamespace(user=""))),
    engine_image=lambda: "image",
)


def begun(monkeypatch, work: Workload) -> Judge:
    monkeypatch.setattr(judge, "_collected", lambda *_: work)
    monkeypatch.setattr(judge, "hardened_for", lambda *_: RunOptions())
    return Judge.begun(SUBJECT, print, {"bridge": {}})


def names(steps) -> list[str]:
    return [step.name for step in steps]


def test_what_cannot_be_done_twice_in_a_row_is_not_sent_at_once(monkeypatch, asked):
    """What is made once is not made again, and whether it was there is chance when eight are sent at once."""
    work = workload("up", "make", "read", held_out=("make",))
    assert begun(monkeypatch, work).at_once == ("up", "read", "make")
    asked.broken.add("make, again")
    assert begun(monkeypatch, work).at_once == ("up", "read")


def test_what_fails_in_the_suites_own_posture_is_not_judged(monkeypatch, asked):
    asked.broken.add("list")
    got = begun(monkeypatch, workload("up", "make", "list", held_out=("make", "list")))
    assert (names(got.workload.judge), got.workload.ledger().judged) == (["make"], 1)


def test_where_a_learned_request_fails_even_there_nothing_is_held_out(monkeypatch, asked):
    asked.broken.add("up")
    got = begun(monkeypatch, workload("up", "make", held_out=("make",)))
    assert (names(got.workload.learn), got.at_once) == (["up", "make"], ())


def test_only_held_out_requests_count_and_all_are_sent_in_their_order(asked):
    asked.broken |= {"up", "make"}
    judged = Judge(SUBJECT, workload("up", "make", "read", held_out=("make",)), ("read",))
    assert set(judged.failing(RunOptions())) == {"make"}
    assert judged.operations({"make"}) == ("POST /make",)
    assert asked.sent == [("up", "make", "read", "read")] * 2
