"""What is sent beside a service's own requests, and requests for what it made itself."""

from dataclasses import replace

import pytest

from deadweight.engine.http import Answer
from deadweight.suite.checks import HttpRequest
from deadweight_workload.ids import Ids
from deadweight_workload.model import Link, Prepared, Step
from deadweight_workload.openapi import links, operations
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
    link = Link("GET /items/{id}", "id", "$response.body#/id")
    assert {step.operation for step in work.steps if step.links == (link,)} == {"POST /items"}
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
    step, request = Step("x", operation, HttpRequest(), source="openapi"), Prepared("GET", f"{sent}?x=1", {}, None)
    ids.hear(step, Prepared("POST", "/items", {}, None), Answer(201, headers, body, 0.0))
    assert ids.filled(step, request).path == f"{path}?x=1"
    assert ids.filled(replace(step, source="suite"), request) == request
    assert (ids.hidden(value)[-4:], ids.hidden("17")) == ("<id>", "17")


@pytest.mark.parametrize(("method", "body", "status"), [
    ("POST", b"[1]", 201), ("POST", b'{"id": 7}', 400), ("GET", b'{"id": 7}', 200),
])  # fmt: skip
def test_what_made_nothing_names_nothing(method, body, status):
    ids, step = Ids(), Step("x", "GET /items/{id}", HttpRequest(), source="openapi")
    ids.hear(step, Prepared(method, "/items", {}, None), Answer(status, {}, body, 0.0))
    request = Prepared("GET", "/items/1", {}, None)
    assert (ids.filled(step, request), ids.hidden("7")) == (request, "7")


def test_what_was_deleted_is_named_no_more_and_what_is_made_at_once_is_not():
    ids, step = Ids(), Step("x", "GET /items/{id}/label", HttpRequest(), source="openapi")

    def hear(method: str, path: str, made: bytes = b"") -> str:
        ids.hear(step, Prepared(method, path, {}, None), Answer(200, {}, made, 0.0))
        return ids.filled(step, Prepared("GET", "/items/1/label", {}, None)).path

    assert hear("POST", "/items", b'{"id": "a b"}') == "/items/a%20b/label"
    assert hear("DELETE", "/items/a%20b?force=1") == "/items/1/label"
    delete = replace(step, operation="DELETE /items/{id}")
    assert ids.filled(delete, Prepared("DELETE", "/items/1", {}, None)).path == "/items/a%20b"
    assert hear("POST", "/items", b'{"id": "a b"}') == "/items/a%20b/label"
    ids.fixed = True
    assert hear("POST", "/items", b'{"id": 9}') == hear("DELETE", "/items/a%20b") == "/items/a%20b/label"


@pytest.mark.parametrize(("value", "filled"), [
    ("$response.body#/order/0/key", "/by/k%207"), ("{$response.body#/order/0/key}", "/by/k%207"),
    ("$response.header.Location", "/by/9"), ("$response.header.x-id", "/by/h"), ("$request.path.shop", "/by/s1"),
    ("fixed", "/by/fixed"), ("$request.body#/name", "/by/tea"), ("$request.body#/size", "/by/1"),
    ("$request.query.q", "/by/a"), ("$request.header.X-Shop", "/by/h2"), ("$method", "/by/PUT"), ("$statusCode", "/by/201"),
    ("no-{$request.path.shop}-{$request.query.q}", "/by/no-s1-a"), ("no-{$request.query.p}", "/by/1"),
    ("$response.body#/order/1/key", "/by/1"), ("$response.body#/order", "/by/1"), ("$response.body#/~0/x", "/by/1"),
    ("$url", "/by/1"), ("$response.query.q.x", "/by/1"),
])  # fmt: skip
def test_a_link_says_which_value_of_an_answer_fills_a_parameter(value, filled):
    ids, link = Ids(), Link("GET /by/{key}", "key", value)
    step = Step("x", "PUT /shops/{shop}", HttpRequest(), links=(link,))
    headers = {"location": "http://service/orders/9?x=1", "x-id": "h"}
    answer = Answer(201, headers, b'{"order": [{"key": "k 7"}]}', 0.0)
    ids.hear(step, Prepared("PUT", "/shops/s1?q=a", {"x-shop": "h2"}, b'{"name": "tea"}'), answer)
    later = Step("y", link.operation, HttpRequest(), source="openapi")
    assert ids.filled(later, Prepared("GET", "/by/1", {}, None)).path == filled
    assert ids.filled(later, Prepared("GET", "/by/1?key=2&z=", {}, None)).path.partition("?")[2] in {
        "key=2&z=",
        f"key={filled[4:].replace('%20', '+')}&z=",
    }


def test_links_are_read_from_a_document():
    """By name or reference, in place or in ``components``; what is damaged links nothing."""
    linked = {
        "a": {"operationId": "read", "parameters": {"path.id": "$response.body#/id", "query.n": 3}},
        "b": {"operationRef": "#/paths/~1items~1%7Bid%7D/delete", "parameters": {"id": "x"}},
        "c": {"$ref": "#/components/links/c"}, "d": {"operationId": "nobody", "parameters": {"id": "x"}},
        "e": {"operationId": ["read"], "parameters": []}, "f": None,
    }  # fmt: skip
    one = {"get": {"operationId": "read"}, "delete": {}}
    post = {"responses": {"201": {"links": linked}, "400": {"links": linked}, "default": {"links": []}, "2XX": 1}}
    document = {
        "paths": {"/items/{id}": one, "/items": {"post": post, "get": {"responses": [1]}}},
        "components": {"links": {"c": {"operationId": "read", "parameters": {"id": "c"}}}},
    }
    read, delete = "GET /v1/items/{id}", "DELETE /v1/items/{id}"
    expected = (
        Link(read, "id", "$response.body#/id"),
        Link(read, "n", "3"),
        Link(delete, "id", "x"),
        Link(read, "id", "c"),
    )
    assert links(list(operations(document, "/v1"))) == {"POST /v1/items": expected}
