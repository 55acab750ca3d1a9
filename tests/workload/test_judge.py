"""A judge of settings: which requests it learns from, which it judges on, and what it takes for broken."""

import pytest

from deadweight.engine.options import hardened_for
from deadweight_workload.judge import Judge

UP = "{name: up, request: {path: /about}}"
WRONG = "{name: wrong, request: {path: /about}, expect: {status: 404}}"
ONCE = "{name: once, request: {method: POST, path: /once}, expect: {status: 201}}"
WRITE = "{name: write, request: {method: PUT, path: /notes}}"
READ = "{name: read, request: {path: /healthz}}"
ABSENT = "{name: absent, request: {path: /nowhere}}"
HELD_OUT = "['POST /once', 'PUT /notes', 'GET /nowhere']"


def names(steps) -> list[str]:
    return [step.name for step in steps]


@pytest.mark.slow
def test_held_out_requests_are_judged_that_work_and_sent_at_once_if_they_do_twice(service):
    """What fails in the suite's own posture is no wall's fault; what is made once is not made again."""
    subject = service(f"checks: {{api: [{UP}, {ONCE}, {WRITE}, {READ}, {ABSENT}], holdout: {HELD_OUT}}}")
    judge, options = Judge.begun(subject, print), hardened_for(subject.variant)
    assert (names(judge.workload.learn), names(judge.workload.judge)) == (["up", "read"], ["once", "write"])
    assert judge.at_once == ("up", "read", "write")
    assert judge.failing(options) == frozenset()
    assert judge.failing(options.but(tmpfs=())) == {"write"}
    assert judge.operations({"write", "up"}) == ("PUT /notes",)


@pytest.mark.slow
def test_where_a_learned_request_fails_even_there_nothing_is_held_out(service):
    subject = service(f"checks: {{api: [{UP}, {WRONG}, {ONCE}], holdout: ['POST /once']}}")
    got = Judge.begun(subject, print)
    assert (names(got.workload.learn), names(got.workload.judge)) == (["up", "wrong", "once"], [])
    assert got.at_once == ()


@pytest.mark.slow
def test_what_a_service_made_is_asked_for_by_the_name_that_it_gave(service):
    """Each container gives other names: those of one are in no other's requests."""
    subject = service("checks: {holdout: ['GET /items/{id}']}")
    judge, options = Judge.begun(subject, print), hardened_for(subject.variant)
    expected = {step.name: step.expect.status for step in judge.workload.judge if step.expect}
    assert expected == {
        "GET /items/{id} (valid)": 200,
        "GET /items/{id} (boundary)": 200,
        "GET /items/{id} (malformed)": 404,
    }
    assert judge.failing(options) == frozenset()
