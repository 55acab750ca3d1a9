"""Which places the pack http looks into: those that are there and let in who asks as the suite does."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from deadweight.engine.http import Answer
from deadweight.suite.requests import ApiCheck
from deadweight_attacks import deliver
from deadweight_attacks.aiming import take_aim
from deadweight_attacks.load import load_payloads

KEY = {"X-Key": "k"}


class Service:
    """Answers by path: a status, or one for who has the key and one for who has not. ``asked`` is what it was asked."""

    def __init__(self, answers: Mapping[str, Any], document: Any = None) -> None:
        self.answers, self.document, self.asked = answers, document, list[str]()
        self.route = self

    def get(self) -> None:
        pass

    def request(self, method: str, path: str, headers: Mapping[str, str] = KEY, **_: Any) -> Answer:
        if path == "/openapi.json":
            return Answer(200, {}, json.dumps(self.document).encode(), 0.0)
        self.asked.append(f"{method} {path}")
        status = self.answers.get(path.partition("?")[0], 404)
        if isinstance(status, tuple):
            status = status["X-Key" not in headers]
        return Answer(status, {}, b"", 0.0)


def looked(tmp_path, service: Service, *checks: Mapping[str, Any], openapi: str | None = None) -> SimpleNamespace:
    api = tuple(ApiCheck.model_validate({"name": str(number), **each}) for number, each in enumerate(checks))
    attacks = SimpleNamespace(openapi=openapi)
    health = SimpleNamespace(path="/healthz")
    variant = SimpleNamespace(checks=SimpleNamespace(api=api, attacks=attacks), health=health)
    subject = SimpleNamespace(suite=SimpleNamespace(root=tmp_path))
    lab = SimpleNamespace(variant=variant, subject=subject, notes={}, aims=(), routes=(), worked={}, app_folder="/app")
    take_aim(lab, service)
    return lab


def document(*paths: str, **more: Any) -> dict[str, Any]:
    get = {"get": {"parameters": [{"name": "q", "in": "query", "required": True}]}}
    return {"openapi": "3.1.0", "paths": dict.fromkeys(paths, get), **more}


def test_what_lets_nobody_in_is_not_looked_into_and_told(tmp_path):
    """Every hole may lie behind a 401: it was said that the service resists them all."""
    service = Service({"/closed": 401, "/b": 200})
    lab = looked(tmp_path, service, {"request": {"path": "/closed?x=1"}}, {"request": {"path": "/b?x=1"}})
    assert [str(each) for each in lab.aims if each.expects is None] == ["GET /b query x"]
    assert lab.notes["closed"].startswith(
        "not looked into by the pack http: GET /closed: the service answers 401 or 403 there"
    )
    assert [str(each) for each in lab.routes] == ["GET /b as it is"]


def test_where_nobody_is_let_in_anywhere_nothing_is_measured(tmp_path):
    lab = looked(tmp_path, Service({"/a": 401}), {"request": {"path": "/a?x=1"}})
    assert lab.aims == ()
    (attack,) = (each for each in load_payloads(packs=["http"]).payloads if each.id == "http-ssrf")
    shot = deliver.fire(lab, SimpleNamespace(), attack)
    assert (shot.seen, shot.said) == ("not_measured", lab.notes["closed"])


def test_a_guess_does_not_count_where_the_suite_expects_to_be_refused(tmp_path):
    check = {"request": {"path": "/a/b"}, "expect": {"status": 401}}
    service = Service(dict.fromkeys(("/a/b", "/a/a", "/a"), 401))
    assert not looked(tmp_path, service, check).aims


def test_the_health_and_what_is_not_there_are_no_places_to_look_into(tmp_path):
    """A service with three holes had none, as far as was told: its suite named these two requests."""
    checks = [{"request": {"path": "/healthz"}}, {"request": {"path": "/"}, "expect": {"status": 404}}]
    service = Service({"/healthz": 200, "/own": 200})
    lab = looked(tmp_path, service, *checks)
    (attack,) = (each for each in load_payloads(packs=["http"]).payloads if each.id == "http-ssrf")
    shot = deliver.fire(lab, SimpleNamespace(), attack)
    assert shot.seen == "not_measured"
    assert shot.said.startswith("the pack http found no place to look into: checks.api names no route of the service's")
    assert "GET /own added parameters" in map(
        str, looked(tmp_path, service, *checks, {"request": {"path": "/own"}}).aims
    )


def test_a_documents_routes_are_opened_with_the_headers_of_the_suites_requests(tmp_path):
    service = Service({"/a": (200, 401), "/b": (200, 200), "/own": 200}, document("/a", "/b"))
    lab = looked(tmp_path, service, {"request": {"path": "/own", "headers": KEY}}, openapi="/openapi.json")
    assert {str(each): each.at("v").headers for each in lab.aims} == {"GET /a query q": KEY, "GET /b query q": {}}
    assert {str(each) for each in lab.routes} == {"GET /own as it is", "GET /a as it is", "GET /b as it is"}
    assert "closed" not in lab.notes


def test_a_request_without_a_key_is_opened_where_another_of_the_route_has_one(tmp_path):
    """The key of the first let in the second as well, which then went without one to a closed door."""
    first, second = {"path": "/a?x=1", "headers": KEY}, {"path": "/a?y=1"}
    lab = looked(tmp_path, Service({"/a": (200, 401)}), {"request": first}, {"request": second})
    named = [each for each in lab.aims if each.expects is None]
    assert {str(each): each.at("v").headers for each in named} == {"GET /a query x": KEY, "GET /a query y": KEY}


@pytest.mark.parametrize(
    ("there", "said", "found"),
    [
        ("/a", {"servers": [{"url": "https://shop.example.com/api"}]}, "/a"),  # a proxy takes it away
        ("/api/a", {"servers": [{"url": "https://shop.example.com/api"}]}, "/api/a"),
        ("/api/a", {"basePath": "/api"}, "/api/a"),
        ("/a", {}, "/a"),
    ],
)
def test_a_documents_routes_are_looked_for_below_the_path_that_it_names_and_without(tmp_path, there, said, found):
    lab = looked(tmp_path, Service({there: 200}, document("/a", **said)), openapi="/openapi.json")
    assert [str(each) for each in lab.aims] == [f"GET {found} query q"]
    assert "openapi" not in lab.notes


def test_a_document_of_which_no_route_is_there_shows_nothing(tmp_path):
    lab = looked(tmp_path, Service({}, document("/a", "/b")), openapi="/openapi.json")
    assert not lab.aims
    assert lab.notes["openapi"].startswith("none of the routes in /openapi.json is there (404), of 2 that were asked")


def test_routes_without_a_parameter_show_that_a_documents_are_there(tmp_path):
    """Nothing is behind an example of an id: eight such routes, and the document was taken for another service's."""
    paths = [f"/p{number}/{{id}}" for number in range(12)]
    lab = looked(tmp_path, Service({"/all": 200}, document(*paths, "/all")), openapi="/openapi.json")
    assert "GET /all query q" in map(str, lab.aims)
    assert "openapi" not in lab.notes


def test_how_many_places_are_too_many_is_told(tmp_path):
    paths = [f"/p{number}" for number in range(40)]
    lab = looked(tmp_path, Service(dict.fromkeys(paths, 200), document(*paths)), openapi="/openapi.json")
    assert lab.notes["left-out"] == "of 40 places that take a value, the pack http tried the first 24"
    query = "&".join(f"p{number}=1" for number in range(20))
    lab = looked(tmp_path, Service({"/a/b": 200}), {"request": {"path": f"/a/b?{query}"}})
    assert lab.notes["left-out"] == "of 20 places that take a value, the pack http tried the first 12"


@pytest.mark.parametrize(("status", "seen"), [(401, "not_measured"), (404, "failed")])
def test_a_search_that_is_refused_everywhere_is_none(monkeypatch, status, seen):
    attack = next(each for each in load_payloads(packs=["http"]).payloads if each.id == "http-environment")
    monkeypatch.setattr(deliver, "_once", lambda *_: deliver.Shot("failed", "said", {}, status))
    lab = SimpleNamespace(aims=(), routes=(), worked={}, app_folder="/app")
    assert deliver.fire(lab, SimpleNamespace(), attack).seen == seen


@pytest.mark.parametrize(("statuses", "told"), [((502, 404), 404), ((503, 503), 503), ((200, 0), 0)])
def test_a_service_that_cannot_fetch_what_it_was_to_fetch_has_looked(monkeypatch, tmp_path, statuses, told):
    """One place that answers 502 to what it cannot fetch made all others count as unlooked at."""
    lab = looked(tmp_path, Service({"/a": 200}), {"request": {"path": "/a?x=1&y=2"}})
    lab.aims = lab.aims[:2]
    attack = next(each for each in load_payloads(packs=["http"]).payloads if each.id == "http-metadata")
    answers = iter(statuses)
    monkeypatch.setattr(deliver, "_once", lambda *_: deliver.Shot("failed", "said", {}, next(answers)))
    assert deliver.fire(lab, SimpleNamespace(), attack).status == told


def test_the_named_routes_are_asked_for_the_environment_too(monkeypatch, tmp_path):
    lab = looked(tmp_path, Service({"/status": 200}), {"request": {"path": "/status"}})
    attack = next(each for each in load_payloads(packs=["http"]).payloads if each.id == "http-environment")
    sent: list[str] = []

    def once(_lab, _yard, _payload, value, aim=None):
        sent.append(str(aim or value))
        return deliver.Shot("succeeded" if aim else "failed", "said", {}, 200)

    monkeypatch.setattr(deliver, "_once", once)
    assert deliver.fire(lab, SimpleNamespace(), attack).detail == {"at": "GET /status as it is"}
    assert sent[:-1] == list(attack.each)


def test_a_named_route_that_cannot_answer_leaves_the_others_looked_at(monkeypatch, tmp_path):
    """A route of the suite's that answers 503, as it is to, made all well-known paths count as unlooked at."""
    lab = looked(tmp_path, Service({"/ready": 503}), {"request": {"path": "/ready"}, "expect": {"status": 503}})
    attack = next(each for each in load_payloads(packs=["http"]).payloads if each.id == "http-environment")
    assert [str(each) for each in lab.routes] == ["GET /ready as it is"]
    monkeypatch.setattr(deliver, "_once", lambda *given: deliver.Shot("failed", "said", {}, 503 if given[4] else 404))
    assert deliver.fire(lab, SimpleNamespace(), attack).status == 404
