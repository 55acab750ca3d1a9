"""What is held of a recorded answer after another build of the service answered otherwise."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from deadweight.checks.api import problems
from deadweight.engine.http import Answer
from deadweight.records.evidence import Evidence, Provenance
from deadweight.suite.requests import HttpExpect
from deadweight_init.draft import Recorded
from deadweight_init.reconciled import reconciled


def found(check: Recorded, status: int, body: str) -> Evidence:
    """The evidence of the check where a build answers so, in the check's own words."""
    said = {"status": check.status}
    said |= {"json": json.loads(check.json)} if check.json else {"body_contains": check.text}
    answer = Answer(status, {"content-type": "text/html"}, body.encode(), 0.0)
    reason = "; ".join(problems(HttpExpect.model_validate(said), answer))
    item = {"request": f"GET {check.path}", "status": "fail" if reason else "pass", "reason": reason}
    provenance = Provenance(image_digest="", tool="", tool_version="", at="")
    return Evidence("v", "api", "fail", reason, provenance, data={"items": [item]})


@pytest.mark.parametrize(
    ("text", "body", "held"),
    [
        (
            "<title>Redis Exporter [no-tag]</title>",
            "<html>\n<head><title>Redis Exporter <<< filled in by build >>></title></head>\n<body>",
            "<title>Redis Exporter",
        ),
        ("<title>v1.2 - Shop</title>", "<html><title>dev - Shop</title>", "- Shop</title>"),
        ("shop server 1.2", 'shop server "dev"\nmore', "shop server"),
        ("<title>Shop</title>", "<title>Error: no template</title>", None),
        ("<title>Shop</title>", "nothing", None),
        ("ok", "no", None),
    ],
)
def test_a_title_keeps_the_words_that_both_have(text, body, held):
    check = Recorded("/", 200, "text/html", text=text)
    now = reconciled([check], found(check, 200, body))
    assert now == (None if held is None else (replace(check, text=held, differs=True),))


@pytest.mark.parametrize(
    ("document", "other", "held"),
    [
        ({"name": "shop", "tag": "1.2"}, {"name": "shop", "tag": "dev"}, {"name": "shop"}),
        ({"a": {"name": "shop", "tag": "1.2"}}, {"a": {"name": "shop", "tag": ""}}, {"a": {"name": "shop"}}),
        ({"tag": "1.2"}, {"tag": "dev"}, None),
        ({"name": "shop", "stock": 3}, {"name": "shop", "stock": 4}, None),
        ({"name": "shop", "tag": "1.2"}, {"name": "shop"}, None),
    ],
)
def test_a_document_keeps_the_values_that_both_have(document, other, held):
    check = Recorded("/", 200, "application/json", json=json.dumps(document))
    now = reconciled([check], found(check, 200, json.dumps(other)))
    assert now == (None if held is None else (replace(check, json=json.dumps(held), differs=True),))


def test_another_status_is_another_answer():
    check = Recorded("/", 200, "text/html", text="shop 1.2")
    assert reconciled([check], found(check, 404, "shop dev")) is None


def test_two_builds_that_differ_in_the_same_value_are_both_reconciled():
    check = Recorded("/", 200, "application/json", json=json.dumps({"name": "shop", "tag": "1.2"}))
    evidence = found(check, 200, json.dumps({"name": "shop", "tag": "dev"}))
    once = reconciled([check], evidence)
    assert reconciled(once, evidence) == once
