"""Requests of the suite as bytes, and answers against what is expected of them."""

import json
import time
from dataclasses import replace

import pytest
from hypothesis import given, strategies as st

from deadweight._errors import UsageError
from deadweight.engine.http import Answer
from deadweight.suite.checks import HttpExpect, HttpRequest
from deadweight_workload.api import prepare, problems, subset_problems
from deadweight_workload.model import wording
from tests.support.codes import parts, raises


def answer(body: str | bytes = "{}", status: int = 200, **headers: str) -> Answer:
    raw = body.encode() if isinstance(body, str) else body
    return Answer(status, {name.replace("_", "-"): value for name, value in headers.items()}, raw, 0.01)


@pytest.mark.parametrize(("expected", "actual", "messages"), [
    ({"a": 1}, {"a": 1, "b": 2}, []),
    ({"a": {"b": [1, {"c": "x"}]}}, {"a": {"b": [1, {"c": "x", "d": 0}]}}, []),
    (1, 1.0, []),
    (None, None, []),
    ({"a": 1}, {"a": 2}, ["$.a: expected 1, got 2"]),
    ({"a": 1}, {"a": "1"}, ['$.a: expected 1, got "1"']),
    ({"a": True}, {"a": 1}, ["$.a: expected true, got 1"]),
    ({"a": 0}, {"a": False}, ["$.a: expected 0, got false"]),
    ({"a": None}, {}, [wording("checks.no_key", place="$.a", expected="null", keys="none")]),
    ({"a": {"b": 1}}, {"a": [1]}, ['$.a: expected {"b": 1}, got [1]']),
    ([1, 2], [1], ["$: expected 2 items, got 1: [1]"]),
    ([1, {"x": "ä"}], [1, {"x": "a"}], ['$[1].x: expected "ä", got "a"']),
    ({}, [], ["$: expected {}, got []"]),
])  # fmt: skip
def test_a_subset_of_json_is_compared_key_by_key(expected, actual, messages):
    assert messages == list(subset_problems(expected, actual))


@pytest.mark.slow
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_any_document_contains_itself(document):
    assert list(subset_problems(document, document)) == []


def test_a_long_text_shows_where_it_begins_to_differ():
    (message,) = subset_problems("x" * 500 + "expected end", "x" * 500 + "other")
    code, fields = parts(message)
    assert (code, fields["at"], fields["lengths"]) == ("checks.texts_differ", 501, (512, 505))
    assert len(message) < 300


def test_an_answer_as_expected_has_no_problems():
    headers = {"Content-Type": "application/json"}
    expect = HttpExpect(status=201, headers=headers, json={"a": 1}, body_contains='"a"', body_matches=r"^\{")
    assert problems(expect, answer('{"a": 1}', 201, content_type="application/json; charset=utf-8")) == []


@pytest.mark.parametrize(("expect", "got", "message"), [
    (HttpExpect(), answer("gone", 404), 'status: expected 200, got 404 ("gone")'),
    (HttpExpect(headers={"X-A": "1"}), answer(), wording("checks.no_header", name="X-A", expected="1")),
    (HttpExpect(headers={"X-A": "1"}), answer(x_a="2"), "header X-A: expected '1', got '2'"),
    (HttpExpect(json={}), answer("<"), 'body: expected JSON, got "<" (Expecting value: line 1 column 1 (char 0))'),
    (HttpExpect(body_contains="x"), answer("y"), wording("checks.not_in_body", expected='"x"', found='"y"')),
    # invalid UTF-8 is compared as well
    (HttpExpect(body_contains="x"), answer(b"\xff\xfe"), wording("checks.not_in_body", expected='"x"', found='"��"')),
    (HttpExpect(body_matches="^x$"), answer("y"), wording("checks.no_match", pattern="^x$", found='"y"')),
])  # fmt: skip
def test_each_difference_is_said_in_words(expect, got, message):
    assert [message] == problems(expect, got)


@pytest.mark.parametrize("body", [
    "[" * 200_000, "[" * 300 + "]" * 300, '{"a":' * 950 + "1" + "}" * 950, "[" + "1," * 9_000_000 + "1]", "1" * 5000,
], ids=["endless", "deep", "deep mappings", "large", "a long number"])  # fmt: skip
def test_a_document_that_may_not_be_parsed_is_a_problem_and_no_traceback(body):
    """An answer of 200,000 ``[`` ended the checks of all variants in a RecursionError."""
    (message,) = problems(HttpExpect(json={"a": 1}), answer(body))
    assert message.startswith("body: expected JSON, got ")


@pytest.mark.parametrize("pattern", ["^(a+)+$", "(a|aa)+$", "(.*)*x", "([a-z]+)*[0-9]"])
def test_a_pattern_takes_time_linear_in_the_answer(pattern):
    """``^(a+)+$`` hung for as long as anybody waited, and heard no signal."""
    started = time.monotonic()
    assert len(problems(HttpExpect(body_matches=pattern), answer("a" * 2_000_000 + "!"))) == 1
    assert time.monotonic() - started < 5


def test_lines_are_what_a_pattern_begins_and_ends_at():
    assert problems(HttpExpect(body_matches="^b$"), answer("a\nb\nc")) == []
    assert problems(HttpExpect(body_matches="(?i)FÜ.E"), answer("füße")) == []


def test_an_answer_that_was_cut_is_not_as_expected_and_many_problems_are_cut_short():
    assert len(problems(HttpExpect(), replace(answer('{"a": 1}'), truncated=True))) == 1
    assert len(problems(HttpExpect(json=dict.fromkeys(map(str, range(50)), 1)), answer("{}"))) == 10


# requests


def test_bodies_of_each_kind(tmp_path):
    (tmp_path / "data.bin").write_bytes(b"\x00\x01")
    as_json = prepare(HttpRequest(method="POST", json={"a": "é"}), tmp_path)
    assert (as_json.body, as_json.headers) == ('{"a": "é"}'.encode(), {"Content-Type": "application/json"})
    form = prepare(HttpRequest(method="POST", form={"a b": "c&d"}), tmp_path)
    assert (form.body, form.headers) == (b"a+b=c%26d", {"Content-Type": "application/x-www-form-urlencoded"})
    plain = {"content-type": "text/plain"}
    text = prepare(HttpRequest(method="POST", body="ab", repeat_body=3, headers=plain), tmp_path)
    assert (text.body, text.headers) == (b"ababab", plain)
    assert prepare(HttpRequest(method="PUT", body_file="data.bin", repeat_body=2), tmp_path).body == b"\x00\x01\x00\x01"
    read, quoted = (prepare(HttpRequest(path=path), tmp_path) for path in ("search?q=ä&x=1", "/search?q=%C3%A4&x=1"))
    assert read == quoted


def test_large_inputs_are_repeated(tmp_path):
    request = HttpRequest(method="POST", json={"script": "{}", "input": "ab\n"}, repeat={"input": 1000})
    assert json.loads(prepare(request, tmp_path).body)["input"] == "ab\n" * 1000


def test_a_body_file_that_has_gone(tmp_path):
    with raises(UsageError, "checks.body_file_unreadable", file=tmp_path / "absent"):
        prepare(HttpRequest(body_file="absent"), tmp_path)
