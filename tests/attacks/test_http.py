"""The pack http on a service that has every hole, and on the same service without: it finds what is there, and nothing else."""

import json
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from deadweight.engine.http import Answer
from deadweight.suite.checks import ApiCheck
from deadweight_attacks import containers, deliver, matrix as matrix_module, resource, run
from deadweight_attacks.load import Catalogue, load_payloads
from deadweight_attacks.routes import Aim, aims, documented, takes_nothing
from deadweight_attacks.targets import take_aim
from deadweight_attacks.walls import HARDENED, OPEN
from tests.support.attack_grounds import castle, matrix, only, payload, service_image
from tests.support.codes import codes, parts
from tests.support.small_images import program

API = """
      api:
        - {name: file, request: {path: "/file?x=a"}}
        - {name: fetch, request: {path: "/fetch?x=a"}}
        - {name: render, request: {method: POST, path: /render, form: {x: a}}}
        - {name: ping, request: {path: "/ping?x=a"}}
"""


SERVICE = "tests/services/vulnerable"
SAFE = pytest.mark.parametrize(("safe", "outcome"), [("", "succeeded"), ("SAFE: '1'", "not_applicable")])


@pytest.fixture(scope="module")
def built(engine, tmp_path_factory):
    files, folder = {"/data/": b"", **program("dash", at="/bin/sh")}, tmp_path_factory.mktemp("vulnerable")
    with service_image(engine, folder, "vulnerable", SERVICE, files, at="/app") as made:
        yield made


def http(*names: str) -> Catalogue:
    return only(*names, packs=["http"])


@SAFE
def test_every_hole_is_found_where_it_is_and_nowhere_else(service, monkeypatch, safe, outcome):
    monkeypatch.setattr(containers, "ANSWER_SECONDS", 3.0)
    monkeypatch.setattr(resource, "PATIENCE_SECONDS", 3.0)  # its service holds few connections, and falls at once
    packs = "{packs: [http], openapi: /openapi.json}"
    subject = service(f"run: {{memory: 64MiB, env: {{{safe}}}}}\n    checks:\n      attacks: {packs}{API}")
    evidence = run.attack(subject, postures=("open", "hardened"))
    cells = evidence.data["postures"]["open"]
    outcomes = {name: cell["outcome"] for name, cell in cells.items()}
    if safe and "not_measured" not in outcomes.values():  # nothing to stop is no reason to have measured nothing
        assert evidence.status == "pass", evidence.reason
    if safe:  # a machine with other work may be too slow to tell that it resists 256 connections; it never says that it does not
        assert outcomes.pop("http-slow-bodies") in (outcome, "not_measured"), cells
    assert outcomes == dict.fromkeys(outcomes, outcome), cells
    assert set(cells) == {payload.id for payload in load_payloads(packs=["http"]).payloads}
    assert {payload["delivery"] for payload in evidence.data["payloads"].values()} == {"service"}
    if outcome == "succeeded":
        held = {name for name, cell in evidence.data["postures"]["hardened"].items() if cell["outcome"] == "blocked"}
        # what leads nowhere without a network; all else comes in the way that users come, and no wall is in it
        assert held == {"http-ssrf", "http-metadata"}, evidence.data["postures"]["hardened"]
        assert cells["http-command"]["evidence"]["at"].startswith("GET /ping query x: ")
        assert cells["http-error-page"]["evidence"]["at"] == "POST /upload json text: {{"
    else:
        code, fields = parts(cells["http-ssrf"]["reason"])
        assert (code, fields["said"].startswith("GET /file query x")) == ("cell.resisted", True)


@pytest.mark.slow
@SAFE
def test_a_way_to_files_is_found_in_an_image_without_users(tmp_path, engine, safe, outcome):
    """There is no /etc/passwd to read in it, as in one FROM scratch: what the kernel puts into every container is looked for."""
    image, files = (engine, tmp_path / "image", "vulnerable-scratch", SERVICE), {"/data/": b"", "/etc/passwd": None}
    yaml = f"run: {{env: {{{safe}}}}}\n    checks:\n      attacks: {{packs: [http]}}{API}"
    with service_image(*image, files, at="/app") as (saved, name):
        subject = castle(tmp_path, engine, saved, yaml, reference=name, awk=False)
        results = matrix(subject, http("http-traversal", "http-traversal-path"), OPEN, HARDENED)
    for posture in ("open", "hardened"):
        cells = results.cells[posture]
        assert {attack: cell.outcome for attack, cell in cells.items()} == dict.fromkeys(cells, outcome), cells
    assert results.notes["canary"] == matrix_module.NOTE
    if not safe:
        assert results.cells["open"]["http-traversal"].evidence["proof"] == "the content of /proc/version came back"


def test_the_other_file_stands_in_every_value():
    lab = SimpleNamespace(notes={}, files=SimpleNamespace(telling_line=lambda _path: None))
    payloads = matrix_module.with_fallback_file(lab, load_payloads(packs=["http"])).payloads
    changed = [payload for payload in payloads if payload.id in ("http-traversal", "http-traversal-path")]
    assert {payload.evidence.path for payload in changed} == {"/proc/version"}
    values = [value for payload in changed for value in payload.each]
    assert len(values) == 12
    assert not [value for value in values if "passwd" in value or "proc" not in value]
    assert "passwd" not in "".join(payload.text() for payload in payloads)


def test_a_suite_that_names_no_value_leaves_nothing_to_aim_at(service):
    """Its routes may be full of holes: not looked at is not measured."""
    attacks = http("http-environment", "http-ssrf", "http-large-body")
    cells = matrix(service("checks: {attacks: {packs: [http]}}"), attacks, OPEN).cells["open"]
    assert cells["http-environment"].outcome == "succeeded"
    assert cells["http-ssrf"].outcome == cells["http-large-body"].outcome == "not_measured"
    assert cells["http-ssrf"].reason.startswith(deliver.NO_PLACE)
    assert resource.UNSENDABLE in cells["http-large-body"].reason


BARE = """
      api:
        - {name: ping, request: {path: /ping}}
        - {name: fetch, request: {path: /fetch}, expect: {status: %s}}
        - {name: upload, request: {path: /upload}}
"""


@SAFE
def test_routes_whose_values_nobody_names_are_tried_in_places_that_are_guessed(service, safe, outcome):
    """Eight attacks on a service without an OpenAPI document were not measured, whatever holes it had."""
    api = BARE % (200 if safe else 400)
    subject = service(f"run: {{memory: 64MiB, env: {{{safe}}}}}\n    checks:\n      attacks: {{packs: [http]}}{api}")
    results = matrix(subject, http("http-command", "http-ssrf", "http-large-body"), OPEN)
    cells = results.cells["open"]
    assert {name: cell.outcome for name, cell in cells.items()} == dict.fromkeys(cells, outcome), cells
    assert "the parameters q, query, search" in results.notes["places"]
    if safe:
        reason = "no such hole shows even in a container without any protection, in places that were guessed: "
        assert cells["http-command"].reason.startswith(f"{reason}GET /ping added parameters, ")
    else:
        assert cells["http-command"].evidence["at"].startswith("GET /ping added parameters: ")
        assert cells["http-ssrf"].evidence["at"] == "GET /fetch added parameters"


def checks_of(*checks: Mapping[str, Any]) -> tuple[ApiCheck, ...]:
    return tuple(ApiCheck.model_validate({"name": str(number), **check}) for number, check in enumerate(checks))


def test_places_are_guessed_where_none_is_named():
    checks = checks_of(
        {"request": {"path": "/"}},
        {"request": {"path": "/v1/users/7/posts"}, "expect": {"status": 401}},
        {"request": {"path": "/v1/users/7", "method": "DELETE"}},
        {"request": {"path": "/metrics", "port": 9090}},
    )
    guesses = aims(checks)
    deeper = ("/v1/users/7/{segment}", "/{segment}/users/7/posts", "/v1/users/{segment}/posts")
    assert [str(aim) for aim in guesses] == [
        "GET / added parameters", "GET /{segment} path segment", "GET /{segment} path, not quoted segment",
        "GET /v1/users/7/posts added parameters",
        *(f"GET {path} {kind} segment" for path in deeper for kind in ("path", "path, not quoted")),
        "GET / added headers",
    ]  # fmt: skip
    assert {aim.expects for aim in guesses} == {200, 401}
    assert guesses[0].at("a b").path.startswith("/?q=a+b&query=a+b&")
    assert guesses[8].at("../x").path == "/v1/users/..%2Fx/posts"
    assert guesses[-1].at("x").headers["X-Forwarded-Host"] == guesses[-1].at("x").headers["User-Agent"] == "x"
    assert len(aims(checks_of(*({"request": {"path": f"/{number}"}} for number in range(99))))) == 24


def test_one_place_that_is_named_leaves_only_parts_of_paths_to_guess():
    checks = checks_of({"request": {"path": "/"}}, {"request": {"path": "/b", "method": "POST", "body": "x"}})
    aim, *guessed = aims(checks)
    assert (str(aim), aim.at("v").body, aim.expects) == ("POST /b body", "v", None)
    assert {guess.name for guess in guessed} == {"segment"}
    named = aims(checks, [Aim(aim.request, "query", "q")])
    assert [str(place) for place in named] == ["POST /b body", "POST /b query q"]  # the document names the others


def test_each_place_of_a_request_is_aimed_at_once_wherever_it_lies():
    body = {"a": {"b": "x", "n": 1}, "many": [{"c": "y"}, {"c": "z"}], "words": ["v", "w"]}
    checks = checks_of(
        {"request": {"path": "/x?p=1&q=2"}},
        {"request": {"path": "/x?p=3"}},
        {"request": {"method": "POST", "path": "/y", "json": {"name": "n", "age": 3}, "repeat": {"name": 1000}}},
        {"request": {"method": "POST", "path": "/b", "json": body}},
    )
    named = {str(aim): aim for aim in aims(checks) if aim.expects is None}
    places = ["GET /x query p", "GET /x query q", "POST /y json name"]
    assert list(named) == [*places, "POST /b json a.b", "POST /b json many.0.c", "POST /b json words.0"]
    assert named["GET /x query q"].at("a b&c").path == "/x?p=1&q=a+b%26c"
    assert named["POST /y json name"].at("v").json_body == {"name": "v", "age": 3}
    assert named["POST /y json name"].at("v").repeat == {}
    assert named["POST /b json many.0.c"].at("!").json_body == {**body, "many": [{"c": "!"}, {"c": "z"}]}
    assert named["POST /b json a.b"].at("!").json_body == {**body, "a": {"b": "!", "n": 1}}


@pytest.mark.parametrize(("status", "seen"), [(200, "failed"), (400, "not_measured")])
def test_a_guess_that_is_never_answered_as_expected_shows_nothing(monkeypatch, status, seen):
    """A service that refuses whatever it does not know may well have the hole where it knows the name."""
    monkeypatch.setattr(deliver, "_deliver", lambda *_: deliver.Shot("failed", "said", {}, status))
    shot = fired("http-metadata", aims(checks_of({"request": {"path": "/a"}})))
    assert (shot.seen, shot.status) == (seen, status)
    assert shot.text.startswith(deliver.UNEXPECTED) is (seen == "not_measured")


def test_a_document_names_places_in_paths_queries_headers_and_bodies():
    body = {
        "name": {"type": "string"},
        "many": {"type": "array", "items": {"$ref": "#/definitions/Body"}},
        "id": {"type": "integer", "readOnly": True},
    }
    headers = [{"name": "X-Tenant", "in": "header"}, {"name": "Accept", "in": "header"}]
    document = {
        "swagger": "2.0",
        "basePath": "/v1",
        "paths": {
            "/a/{b}/{c}": {
                "parameters": [{"name": "b", "in": "path", "type": "string"}, {"$ref": "#/parameters/c"}],
                "get": {"parameters": [{"name": "q", "in": "query", "required": True, "type": "integer"}]},
                "delete": {},
            },
            "/body": {"put": {"parameters": [{"name": "x", "in": "body", "schema": {"$ref": "#/definitions/Body"}}]}},
            "/odd\x00": {"get": {"parameters": [{"name": "q", "in": "query"}]}},
            "/head": {"get": {"parameters": headers}},
        },
        "parameters": {"c": {"name": "c", "in": "path", "type": "string", "enum": ["left", "right"]}},
        "definitions": {"Body": {"properties": body}},
    }
    places = {str(aim): aim for aim in documented(document)}
    assert list(places) == [
        "GET /v1/a/{b}/left path b", "GET /v1/a/{b}/left path, not quoted b",
        "GET /v1/a/a/{c} path c", "GET /v1/a/a/{c} path, not quoted c",
        "GET /v1/a/a/left query q", "PUT /v1/body json name", "GET /v1/head header X-Tenant",
    ]  # fmt: skip
    assert places["GET /v1/a/{b}/left path b"].at("../x").path == "/v1/a/..%2Fx/left?q=1"
    assert places["GET /v1/a/{b}/left path, not quoted b"].at("../x").path == "/v1/a/../x/left?q=1"
    assert places["PUT /v1/body json name"].at("v").json_body == {"name": "v", "many": [{}]}
    assert places["GET /v1/head header X-Tenant"].at("v").headers == {"X-Tenant": "v"}


@pytest.mark.parametrize(("operation", "nothing"), [
    ({}, True), ({"parameters": []}, True), ({"parameters": [{"name": "q", "in": "cookie"}]}, False),
    ({"requestBody": {"content": {"multipart/form-data": {}}}}, False),
])  # fmt: skip
def test_a_document_may_say_that_a_service_takes_nothing(operation, nothing):
    """Then there is nothing to look into: a service with two fixed answers had nine attacks that could not be measured."""
    assert takes_nothing({"openapi": "3.1.0", "paths": {"/": {"get": {}}, "/a": {"delete": operation}}}) is nothing
    assert takes_nothing({"openapi": "3.1.0", "paths": {"/": {"parameters": [{"name": "q"}], "get": {}}}}) is False
    assert takes_nothing({"paths": {}}) is False


@pytest.mark.parametrize("nonsense", [None, [], "x", {"paths": 3}, {"paths": {"/": {"get": []}}}])
def test_what_is_no_document_names_nothing(nonsense):
    assert list(documented(nonsense)) == []


# Which places the pack http looks into: those that are there and let in who asks as the suite does.


KEY = {"X-Key": "k"}


class Service:
    """Answers by path: a status, or one for who has the key and one for who has not."""

    def __init__(self, answers: Mapping[str, Any], document: Any = None) -> None:
        self.answers, self.document, self.route, self.get = answers, document, self, lambda: None

    def request(self, _method: str, path: str, headers: Mapping[str, str] = KEY, **_: Any) -> Answer:
        if path == "/openapi.json" and self.document:
            return Answer(200, {}, json.dumps(self.document).encode(), 0.0)
        status = self.answers.get(path.partition("?")[0], 404)
        if isinstance(status, tuple):
            status = status["X-Key" not in headers]
        return Answer(status, {}, b"", 0.0)


def looked(tmp_path, service: Service, *checks: Mapping[str, Any], openapi: str | None = None) -> SimpleNamespace:
    judged = SimpleNamespace(api=checks_of(*checks), attacks=SimpleNamespace(openapi=openapi))
    variant = SimpleNamespace(checks=judged, health=SimpleNamespace(path="/healthz"))
    subject = SimpleNamespace(suite=SimpleNamespace(root=tmp_path))
    lab = SimpleNamespace(variant=variant, subject=subject, notes={}, aims=(), routes=(), worked={}, app_folder="/app")
    take_aim(lab, service)
    return lab


def fired(name: str, places: Sequence[Aim] = (), lab: SimpleNamespace | None = None) -> deliver.Shot:
    """What comes of one of our attacks, in that laboratory or in one of these places."""
    lab = lab or SimpleNamespace(aims=places, routes=(), worked={}, app_folder="/app")
    return deliver.fire(lab, SimpleNamespace(), payload(name))


def document(*paths: str, **more: Any) -> dict[str, Any]:
    get = {"get": {"parameters": [{"name": "q", "in": "query", "required": True}]}}
    return {"openapi": "3.1.0", "paths": dict.fromkeys(paths, get), **more}


PROXIED = {"servers": [{"url": "https://shop.example.com/api"}]}
FORTY = [f"/p{number}" for number in range(40)]
TWENTY = "&".join(f"p{number}=1" for number in range(20))


@pytest.mark.parametrize(("answers", "checks", "described", "places", "notes"), [
    pytest.param(
        {"/closed": 401, "/b": 200}, ["/closed?x=1", "/b?x=1"], None, {"GET /b query x": {}},
        {"closed": ("untried.closed", {"routes": "GET /closed"})},
        id="every hole may lie behind a 401: it was said that the service resists them all",
    ),
    pytest.param(
        {"/a": (200, 401), "/b": 200, "/own": 200}, [{"request": {"path": "/own", "headers": KEY}}], document("/a", "/b"),
        {"GET /a query q": KEY, "GET /b query q": {}}, {},
        id="a document's routes are opened with the headers of the suite's requests",
    ),
    pytest.param(
        {"/a": (200, 401)}, [{"request": {"path": "/a?x=1", "headers": KEY}}, "/a?y=1"], None,
        {"GET /a query x": KEY, "GET /a query y": KEY}, {},
        id="the key of the first let in the second as well, which then went without one to a closed door",
    ),
    pytest.param(
        {"/b": 200}, ["/b?x=1"], {}, {"GET /b query x": {}}, {"openapi": ("untried.no_openapi", {"name": "/openapi.json"})},
        id="a document that the service does not serve",
    ),
    pytest.param({"/a": 200}, [], document("/a", **PROXIED), {"GET /a query q": {}}, {}, id="a proxy takes it away"),
    pytest.param({"/api/a": 200}, [], document("/a", **PROXIED), {"GET /api/a query q": {}}, {}, id="below its path"),
    pytest.param({"/api/a": 200}, [], document("/a", basePath="/api"), {"GET /api/a query q": {}}, {}, id="base path"),
    pytest.param({"/a": 200}, [], document("/a"), {"GET /a query q": {}}, {}, id="no path is named"),
    pytest.param(
        {}, [], document("/a", "/b"), {},
        {"openapi": ("untried.no_route", {"name": "/openapi.json", "asked": 2})},
        id="no route of a document is there",
    ),
    pytest.param(
        dict.fromkeys(FORTY, 200), [], document(*FORTY), {f"GET {path} query q": {} for path in FORTY[:24]},
        {"left-out": ("untried.places", {"all": 40, "tried": 24})}, id="too many of a document",
    ),
    pytest.param(
        {"/a/b": 200}, [f"/a/b?{TWENTY}"], None, {f"GET /a/b query p{number}": {} for number in range(12)},
        {"left-out": ("untried.places", {"all": 20, "tried": 12})}, id="too many of a request",
    ),
])  # fmt: skip
def test_what_is_there_and_lets_in_who_asks_is_looked_into(tmp_path, answers, checks, described, places, notes):
    requests = [check if isinstance(check, dict) else {"request": {"path": check}} for check in checks]
    openapi = None if described is None else "/openapi.json"
    lab = looked(tmp_path, Service(answers, described), *requests, openapi=openapi)
    assert {str(aim): aim.at("v").headers for aim in lab.aims if aim.expects is None} == places
    assert {name: parts(lab.notes[name]) for name in ("closed", "openapi", "left-out") if name in lab.notes} == notes


def test_routes_without_a_parameter_show_that_a_documents_are_there(tmp_path):
    """Nothing is behind an example of an id: eight such routes, and the document was taken for another service's."""
    paths = [f"/p{number}/{{id}}" for number in range(12)]
    lab = looked(tmp_path, Service({"/all": 200}, document(*paths, "/all")), openapi="/openapi.json")
    assert "GET /all query q" in map(str, lab.aims)
    assert "openapi" not in lab.notes


def test_a_guess_does_not_count_where_the_suite_expects_to_be_refused(tmp_path):
    check = {"request": {"path": "/a/b"}, "expect": {"status": 401}}
    assert not looked(tmp_path, Service(dict.fromkeys(("/a/b", "/a/a", "/a"), 401)), check).aims


def test_the_routes_that_let_in_are_asked_as_they_are(tmp_path):
    service = Service({"/a": (200, 401), "/b": 200, "/own": 200, "/closed": 401}, document("/a", "/b"))
    own = {"request": {"path": "/own", "headers": KEY}}
    lab = looked(tmp_path, service, own, {"request": {"path": "/closed"}}, openapi="/openapi.json")
    assert {str(route) for route in lab.routes} == {"GET /own unchanged", "GET /a unchanged", "GET /b unchanged"}


def test_where_nobody_is_let_in_anywhere_nothing_is_measured(tmp_path):
    lab = looked(tmp_path, Service({"/a": 401}), {"request": {"path": "/a?x=1"}})
    assert lab.aims == ()
    shot = fired("http-ssrf", lab=lab)
    assert (shot.seen, shot.text) == ("not_measured", lab.notes["closed"])


def test_the_health_and_what_is_not_there_are_no_places_to_look_into(tmp_path):
    """A service with three holes had none, as far as was told: its suite named these two requests."""
    checks = [{"request": {"path": "/healthz"}}, {"request": {"path": "/"}, "expect": {"status": 404}}]
    service = Service({"/healthz": 200, "/own": 200})
    shot = fired("http-ssrf", lab=looked(tmp_path, service, *checks))
    assert (shot.seen, codes(shot.text)) == ("not_measured", ["untried.nowhere"])
    places = looked(tmp_path, service, *checks, {"request": {"path": "/own"}}).aims
    assert "GET /own added parameters" in map(str, places)


@pytest.mark.parametrize(("status", "seen"), [(401, "not_measured"), (404, "failed")])
def test_a_search_that_is_refused_everywhere_is_none(monkeypatch, status, seen):
    monkeypatch.setattr(deliver, "_deliver", lambda *_: deliver.Shot("failed", "said", {}, status))
    assert fired("http-environment").seen == seen


@pytest.mark.parametrize(("statuses", "status"), [((502, 404), 404), ((503, 503), 503), ((200, 0), 0)])
def test_a_service_that_cannot_fetch_what_it_was_to_fetch_has_looked(monkeypatch, tmp_path, statuses, status):
    """One place that answers 502 to what it cannot fetch made all others count as unlooked at."""
    lab = looked(tmp_path, Service({"/a": 200}), {"request": {"path": "/a?x=1&y=2"}})
    lab.aims = lab.aims[:2]
    answers = iter(statuses)
    monkeypatch.setattr(deliver, "_deliver", lambda *_: deliver.Shot("failed", "said", {}, next(answers)))
    assert fired("http-metadata", lab=lab).status == status


def test_the_named_routes_are_asked_for_the_environment_too(monkeypatch, tmp_path):
    lab = looked(tmp_path, Service({"/status": 200}), {"request": {"path": "/status"}})
    sent: list[str] = []

    def once(_lab, _yard, _payload, value, aim=None):
        sent.append(str(aim or value))
        return deliver.Shot("succeeded" if aim else "failed", "said", {}, 200)

    monkeypatch.setattr(deliver, "_deliver", once)
    assert fired("http-environment", lab=lab).detail == {"at": "GET /status unchanged"}
    assert sent[:-1] == list(payload("http-environment").each)


def test_a_named_route_that_cannot_answer_leaves_the_others_looked_at(monkeypatch, tmp_path):
    """A route of the suite's that answers 503, as it is to, made all well-known paths count as unlooked at."""
    lab = looked(tmp_path, Service({"/ready": 503}), {"request": {"path": "/ready"}, "expect": {"status": 503}})
    assert [str(route) for route in lab.routes] == ["GET /ready unchanged"]
    monkeypatch.setattr(deliver, "_deliver", lambda *got: deliver.Shot("failed", "said", {}, 503 if got[4] else 404))
    assert fired("http-environment", lab=lab).status == 404
