"""What is sent beside a service's own requests, and requests for what it made itself."""

import pytest

from deadweight.engine.http import Answer
from deadweight.suite.checks import HttpRequest
from deadweight_workload.api import Prepared
from deadweight_workload.asking import Ids
from deadweight_workload.model import Step
from deadweight_workload.twin.sides import requests_of, run


@pytest.mark.slow
def test_probes_are_sent_and_later_requests_name_what_the_service_made(service):
    subject = service()
    work = requests_of(subject, probing=True)
    seen = run(subject, work.steps).facts
    expected = {
        ("GET / (probe: HEAD)", "body"): "empty",
        ("GET / (probe: unknown method)", "status"): "405",
        ("GET / (probe: CONNECT)", "status"): "405",
        ("GET / (probe: header of 40,000 bytes)", "status"): "200",
        ("GET / (probe: unknown path)", "status"): "404",
        ("GET / (probe: HTTP/1.0)", "end of body"): "by its length",
        ("POST /items (probe: 100-continue)", "status"): "201",
        ("POST /items (probe: cut JSON)", "status"): "422",
        ("GET /items/{id} (valid)", "status"): "200",
        ("GET /items/{id} (malformed)", "status"): "404",
        ("image", "shell"): "none",
        ("image", "/opt"): "none",
    }
    assert expected == {key: seen.get(key) for key in expected}
    assert work.steps[-1].operation == "POST /shutdown"
    assert {step.source for step in requests_of(subject, probing=False).steps} == {"openapi", "crawl"}


@pytest.mark.parametrize(("headers", "body", "operation", "path", "hidden"), [
    ({}, b'{"id": 7}', "GET /items/{id}", "/items/7?x=1", "<id>"),
    ({}, b'{"data": {"uuid": "a-b"}}', "GET /items/{item}/parts", "/items/a-b/parts?x=1", "<id>"),
    ({"location": "/items/12345678"}, b"", "DELETE /items/{}", "/items/12345678?x=1", "see <id>"),
    ({}, b'{"slug": "tea", "id": 3}', "GET /items/{slug}", "/items/tea?x=1", "<id>"),
    ({}, b"[1]", "GET /items/{id}", "/items/1?x=1", "1"),
    ({}, b'{"id": 7}', "GET /other/{id}", "/other/1?x=1", "<id>"),
])  # fmt: skip
def test_what_a_post_made_is_what_later_requests_name(headers, body, operation, path, hidden):
    ids, parts = Ids(), path.partition("?")[0].split("/")
    ids.hear(Prepared("POST", "/items", {}, None), Answer(201, headers, body, 0.0))
    sent = "/".join(["", parts[1], "1", *parts[3:]])
    step = Step("x", operation, HttpRequest(path=f"{sent}?x=1"))
    assert ids.filled(step).path == path
    value = hidden.replace(
        "<id>", ids.filled(Step("x", "GET /items/{id}", HttpRequest(path="/items/1"))).path.split("/")[2]
    )
    assert ids.hidden(value) == hidden
