"""Requests made from documents, and expectations made from answers."""

import json
import socket

import pytest

from deadweight.engine.http import Answer
from deadweight_workload.answers import alike
from deadweight_workload.examples import examples


def body(schema, **more):
    return {"requestBody": {"content": {"application/json": {"schema": schema, **more}}}, "responses": {}}


GROWING = {"allOf": [{"$ref": "#/components/schemas/x"}] * 100}
DOCUMENT = {
    "paths": {
        "/own": {"post": body({"type": "object"}, example={"a": 5})},
        "/grows": {"post": body({"$ref": "#/components/schemas/x"})},
        "/wrong": {"post": 7, "get": {"parameters": "nope"}},
        "/last/{id}": {
            "get": {"parameters": [{"in": "path", "name": "id", "required": True, "schema": {"type": "integer"}}]}
        },
    },
    "components": {"schemas": {"x": GROWING}},
}


def test_one_bad_operation_does_not_cost_the_others_and_requests_are_the_same_each_time(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = list(examples(DOCUMENT))
    assert made == list(examples(DOCUMENT))
    assert list(tmp_path.iterdir()) == [], "it left something in the project, which would be built again"
    valid = {operation: fields for operation, kind, fields in made if kind == "valid"}
    assert (valid["POST /own"]["path"], valid["POST /own"]["body"]) == ("/own", '{"a": 5}')
    assert valid["GET /last/{id}"]["path"].startswith("/last/")


def test_nothing_outside_of_a_document_is_read():
    """It is the service's: it names no file and no host for us."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/x.json"
        paths = {
            "/ref": {"post": body({"$ref": url})}, "/file": {"post": body({"$ref": "file:///etc/passwd"})},
            "/value": {"post": body({"type": "object"}, examples={"a": {"externalValue": url}})},
        }  # fmt: skip
        made = list(examples({"openapi": "3.0.3", "paths": paths, "servers": [{"url": url}]}))
        listener.settimeout(0.1)
        with pytest.raises(TimeoutError):
            listener.accept()
    assert {operation for operation, *_ in made} == {"POST /ref", "POST /file", "POST /value"}
    assert "root:" not in repr(made)


def answer(content, kind="application/json"):
    return Answer(
        200, {"content-type": kind}, (content if kind != "application/json" else json.dumps(content)).encode(), 0.0
    )


@pytest.mark.parametrize(("first", "second", "expected"), [
    (answer({"a": 1, "b": {"c": 2, "d": 3}}), answer({"a": 1, "b": {"c": 9, "d": 3}}), {"json_subset": {"a": 1, "b": {"d": 3}}}),
    (answer([{"a": 1}, {"a": 2}]), answer([{"a": 1}, {"a": 3}]), {"json_subset": [{"a": 1}, {}]}),
    (answer([1]), answer([2]), {"body_matches": "."}),
    (answer({"a": True}), answer({"a": 1}), {"json_subset": {}}),
    (answer({"uptime": 1, "a": 1}), answer({"uptime": 1, "a": 1}), {"json_subset": {"a": 1}}),
    (answer("ok\n", "text/plain"), answer("ok\n", "text/plain"), {"body_contains": "ok"}),
    (answer("12:01", "text/plain"), answer("12:02", "text/plain"), {"body_matches": "."}),
    (answer("", "text/plain"), answer("", "text/plain"), {}),
])  # fmt: skip
def test_what_two_answers_have_in_common_is_expected(first, second, expected):
    made = alike(first, second).model_dump(exclude_unset=True)
    assert made.pop("headers") == {"Content-Type": first.headers["content-type"]}
    assert made == {"status": 200, **expected}
