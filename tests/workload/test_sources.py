"""Where requests come from, in which order, and what is left out."""

import json

import pytest

from deadweight_workload import examples, settled, workload_of
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
    assert set(made.known) - set(made.operations) == {"GET /logout"}
    items = [(step.name, step.request.path, step.request.body) for step in made.steps if "/items" in step.operation]
    assert items[:3] == [
        ("POST /items (valid)", "/items", '{"name": ""}'),
        ("POST /items (boundary)", "/items", '{"name": "00000000"}'),
        ("POST /items (malformed)", "/items", "0"),
    ]
    assert (made.steps[0].name, made.steps[-1].name) == ("about", "POST /shutdown (valid)")
    assert [step.request.path for step in made.steps if step.operation == "GET /search"] == ["/search?q=x"]


@pytest.mark.slow
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
    told = {
        fields["why"].code: fields["names"] for code, fields in map(parts, got.notes) if code == "left_out.requests"
    }
    assert told["left_out.ended"] == "POST /shutdown (valid)"
    assert told["left_out.no_answer"] == "GET /stream (valid)"
    assert (told["left_out.rate_limit"], told["left_out.login"]) == ("GET /limited (valid)", "GET /login (valid)")
    assert (told["left_out.suite_fails"], told["left_out.server_error"]) == ("wrong", "GET /broken (valid)")
    assert told["left_out.differs"] == "GET /fickle (valid)"


HAR = {"log": {"entries": [
    {"request": {"method": "POST", "url": "http://app/items", "postData": {"text": '{"name": "a", "token": "t"}'}}},
    {"request": {"method": "GET", "url": "http://app/items/1"}}, {"request": {"method": "GET", "url": "http://app/about"}},
]}}  # fmt: skip
FOREIGN = {"openapi": "3.0.3", "paths": {"/pets": {"get": {}}, "/pets/{id}": {"get": {}}}}


def test_files_of_the_suite_are_read_and_what_is_none_of_this_service_is_told(service, tmp_path):
    files = {
        "traffic.har": HAR,
        "pets.json": FOREIGN,
        "pets.har": {"log": {"entries": [entry("/pets"), entry("/dogs")]}},
    }
    for name, content in files.items():
        (tmp_path / name).write_text(json.dumps(content))
    (tmp_path / "empty.json").write_text("[]")
    (tmp_path / "empty.har").write_text("no")
    subject = service(API % ("", f", requests: [{', '.join([*files, 'empty.json', 'empty.har', '/nowhere.json'])}]"))
    made = collected(subject)
    subject.service.close()
    named = [(step.name, step.source, step.request.body) for step in made.steps if step.source != "crawl"]
    assert named == [
        ("about", "suite", None), ("POST /items (har)", "har", '{"name": "a", "token": "masked"}'),
        ("GET /items/{} (har)", "har", None),
    ]  # fmt: skip
    told = [(code, fields["name"]) for code, fields in map(parts, made.notes)]
    assert told == [
        ("source.of_another", "pets.json"), ("source.no_document", "empty.json"), ("source.no_document", "/nowhere.json"),
        ("source.har_masked", "traffic.har"), ("source.of_another", "pets.har"), ("source.no_har", "empty.har"),
    ]  # fmt: skip


@pytest.mark.slow
def test_an_expired_login_and_a_rate_limit_are_told_and_left_out(service, tmp_path):
    """Nothing of it is sent again: a login that was masked does not come back."""
    login = {
        "method": "POST",
        "url": "http://app/session",
        "postData": {"text": '{"user": "bob", "password": "hunter2"}'},
    }
    recorded = [entry(path) for path in ("/private/a", "/private/b", "/quota?x=1", "/quota?x=2", "/quota?x=3")]
    har = {"log": {"entries": [{"request": login}, *recorded]}}
    (tmp_path / "traffic.har").write_text(json.dumps(har))
    subject = service("checks: {requests: traffic.har}")
    made = collected(subject)
    got = settled(subject, subject.service.options(), made)
    subject.service.close()
    bodies = [step.request.body for step in made.steps if step.operation == "POST /session"]
    assert bodies == ['{"user": "bob", "password": "masked"}']
    told = {fields["why"].code: fields["names"] for code, fields in map(parts, got.notes) if "requests" in code}
    assert told["left_out.login"] == "GET /login (valid), GET /private/a (har), GET /private/b (har)"
    assert told["left_out.rate_limit"] == "GET /limited (valid), GET /quota (har) 3"
    kept = {step.name for step in got.steps if step.source == "har"}
    assert kept == {"GET /quota (har)", "GET /quota (har) 2", "POST /session (har)"}


def entry(path):
    return {"request": {"method": "GET", "url": f"http://app{path}"}}


@pytest.mark.parametrize("installed", [True, False])
@pytest.mark.parametrize(
    ("name", "checks"), [("pets.json", "requests: pets.json"), ("openapi.json", ""), ("docs/swagger.json", "")]
)
def test_operations_are_known_without_a_service_and_without_schemathesis(
    service, tmp_path, monkeypatch, installed, name, checks
):
    """A document in its usual place need not be listed."""
    monkeypatch.setattr(examples, "installed", lambda: installed)
    (tmp_path / "docs").mkdir()
    (tmp_path / name).write_text(json.dumps(FOREIGN))
    got = workload_of(service(f"checks: {{{checks}}}"))
    assert got.known == ("GET /pets", "GET /pets/{id}")
    assert [step.name for step in got.steps if step.operation == "GET /pets"] == ["GET /pets (valid)"]
    assert [parts(note) for note in got.notes] == ([] if installed else [("source.no_schemathesis", {"name": name})])


def test_a_job_has_one_operation_its_command_line(service):
    got = workload_of(service("health: {kind: exit}\n    port: null\n    run: {args: [--all]}"))
    assert (got.steps, got.known, parts(str(got.ledger()))[0]) == ((), ("/app --all",), "ledger.job")
    assert (got.ledger().known, got.ledger().unasked) == (1, ())


@pytest.mark.slow
def test_operations_that_need_what_a_held_out_one_makes_are_held_out_too(service):
    """What learns sends its own alone; who judges sends all in order."""
    item = "{name: %s, request: {%s}, expect: {status: %s}}"
    api = [item % ("make", "method: POST, path: /items, json: {name: a}", 201), item % ("read", "path: /items/77", 200)]
    subject = service(f"checks: {{api: [{', '.join(api)}], holdout: ['POST /items', 'GET /about']}}")
    got = settled(subject, subject.service.options(), collected(subject))
    subject.service.close()
    assert {"make", "read"} <= {step.name for step in got.judge}
    assert got.held_out == ("GET /about", "GET /items/{id}", "POST /items")
    assert {code: fields["names"] for code, fields in map(parts, got.notes)}[
        "left_out.held_out_too"
    ] == "GET /items/{id}"
