"""What is sent beside a service's own requests, and requests for what it made itself."""

from dataclasses import replace

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
        ("GET / (probe HEAD)", "body"): "empty",
        ("GET / (probe unknown method)", "status"): "405",
        ("GET / (probe CONNECT)", "status"): "405",
        ("GET / (probe header of 40,000 bytes)", "status"): "200",
        ("GET / (probe unknown path)", "status"): "404",
        ("GET / (probe HTTP/1.0)", "end of body"): "by its length",
        ("POST /items (probe 100-continue)", "status"): "201",
        ("POST /items (probe cut JSON)", "status"): "422",
        ("GET /items/{id} (valid)", "status"): "200",
        ("GET /items/{id} (malformed)", "status"): "404",
        ("image", "shell"): "none",
        ("image", "/opt"): "none",
    }
    assert expected == {key: seen.get(key) for key in expected}
    assert work.steps[-1].operation == "POST /shutdown"
    assert {step.source for step in requests_of(subject, probing=False).steps} == {"openapi", "crawl"}


@pytest.mark.parametrize(("headers", "body", "operation", "path", "value"), [
    ({}, b'{"id": 7}', "GET /items/{id}", "/items/7", "7"),
    ({}, b'{"data": {"uuid": "a-b"}}', "GET /items/{item}/parts", "/items/a-b/parts", '"a-b"'),
    ({"location": "/items/12345678"}, b"", "DELETE /items/{}", "/items/12345678", "at /12345678"),
    ({}, b'{"slug": "tea", "id": 3}', "GET /items/{slug}", "/items/tea", "3"),
])  # fmt: skip
def test_what_a_post_made_is_what_later_requests_name(headers, body, operation, path, value):
    ids, sent = Ids(), "/".join(["/items/1", *path.split("/")[3:]])
    ids.hear(Prepared("POST", "/items", {}, None), Answer(201, headers, body, 0.0))
    step = Step("x", operation, HttpRequest(path=f"{sent}?x=1"), source="openapi")
    assert ids.filled(step).path == f"{path}?x=1"
    assert ids.filled(replace(step, source="suite")) == step.request
    assert (ids.hidden(value)[-4:], ids.hidden("17")) == ("<id>", "17")


@pytest.mark.parametrize(("method", "body", "status"), [
    ("POST", b"[1]", 201), ("POST", b'{"id": 7}', 400), ("GET", b'{"id": 7}', 200),
])  # fmt: skip
def test_what_made_nothing_names_nothing(method, body, status):
    ids, step = Ids(), Step("x", "GET /items/{id}", HttpRequest(path="/items/1"), source="openapi")
    ids.hear(Prepared(method, "/items", {}, None), Answer(status, {}, body, 0.0))
    assert (ids.filled(step), ids.hidden("7")) == (step.request, "7")
