"""Where requests come from, in which order, and what is left out."""

from deadweight_workload import settled, workload_of
from deadweight_workload.model import Workload
from tests.support.codes import parts

API = "checks: {api: [{name: about, request: {path: /about}, expect: {body_contains: about}}%s]%s}"


def collected(subject, container=None) -> Workload:
    return workload_of(subject, container if container is not None else subject.service.get())


def test_every_source_adds_what_earlier_ones_do_not_ask(service):
    subject = service(API % ("", ""))
    made = collected(subject)
    subject.service.close()
    sources = {step.operation: step.source for step in made.steps}
    assert sources == {
        "GET /about": "suite", "POST /items": "openapi", "GET /items/{id}": "openapi", "GET /random": "openapi",
        "GET /fickle": "openapi", "GET /stream": "openapi", "GET /login": "openapi", "GET /broken": "openapi",
        "GET /limited": "openapi", "GET /": "crawl", "GET /style.css": "crawl", "GET /search": "crawl",
        "POST /shutdown": "openapi",
    }  # fmt: skip
    assert set(made.known) - set(made.operations) == {"GET /logout", "GET /missing"}
    items = [(step.name, step.request.path, step.request.body) for step in made.steps if "/items" in step.operation]
    assert items[:3] == [
        ("POST /items (valid)", "/items", '{"name": ""}'),
        ("POST /items (boundary)", "/items", '{"name": "00000000"}'),
        ("POST /items (malformed)", "/items", "0"),
    ]
    assert (made.steps[0].name, made.steps[-1].name) == ("about", "POST /shutdown (valid)")
    assert [step.request.path for step in made.steps if step.operation == "GET /search"] == ["/search?q=x"]


def test_answers_that_are_alike_become_expectations_and_the_others_are_told(service):
    wrong = ", {name: wrong, request: {path: /about}, expect: {status: 404}}"
    subject = service(API % (wrong, ""))
    made = collected(subject)
    got = settled(subject, subject.service.options(), made)
    subject.service.close()
    expected = {step.name: step.expect for step in got.steps}
    assert (expected["about"].body_contains, expected["about"].status) == ("about", 200)
    assert (expected["POST /items (valid)"].status, expected["POST /items (malformed)"].status) == (201, 422)
    assert expected["GET /random (valid)"].json_subset == {"kind": "die"}
    assert expected["GET /search (crawl)"].body_contains == "found"
    assert expected["GET / (crawl)"].body_matches == "."
    told = {code: fields["names"] for code, fields in map(parts, got.notes)}
    assert told["left_out.ended"] == "POST /shutdown (valid)"
    assert told["left_out.no_answer"] == "GET /stream (valid)"
    assert (told["left_out.rate_limit"], told["left_out.login"]) == ("GET /limited (valid)", "GET /login (valid)")
    assert (told["left_out.suite_fails"], told["left_out.server_error"]) == ("wrong", "GET /broken (valid)")
    assert told["left_out.differs"] == "GET /fickle (valid)"
