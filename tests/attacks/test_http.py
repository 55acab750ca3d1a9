"""The pack http on a service that has every hole, and on the same service without: it finds what is there, and nothing else."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from deadweight.engine.http import Answer
from deadweight.suite.checks import ApiCheck
from deadweight_attacks import containers, deliver, matrix, resource
from deadweight_attacks import run as attacking
from deadweight_attacks.deliver import Shot
from deadweight_attacks.lab import Lab
from deadweight_attacks.load import Catalogue, load_payloads
from deadweight_attacks.matrix import Runner
from deadweight_attacks.outcomes import Plan
from deadweight_attacks.routes import MOST_AIMS, Aim, aims, documented, left_out, takes_nothing
from deadweight_attacks.targets import take_aim
from deadweight_attacks.walls import HARDENED, OPEN
from tests.support import ROOT
from tests.support.attack_grounds import castle, left
from tests.support.small_images import PASSWD, docker_archive, go_program, in_engine, program, reference

API = """
      api:
        - {name: file, request: {path: "/file?x=a"}}
        - {name: fetch, request: {path: "/fetch?x=a"}}
        - {name: render, request: {method: POST, path: /render, form: {x: a}}}
        - {name: ping, request: {path: "/ping?x=a"}}
"""


@pytest.fixture(scope="module")
def archive(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("vulnerable")
    files = {
        "/app": go_program(ROOT / "tests" / "services" / "vulnerable", folder / "app"),
        "/etc/passwd": PASSWD,
        "/data/": b"",
        **program("dash", at="/bin/sh"),
    }
    config = {"Entrypoint": ["/app"], "Env": ["PATH=/usr/bin:/bin"], "ExposedPorts": {"8080/tcp": {}}}
    return docker_archive(folder / "image.tar", reference("vulnerable"), [files], config)


@pytest.fixture(scope="module")
def image(engine, archive) -> Iterator[str]:
    with in_engine(engine, archive, reference("vulnerable")) as name:
        yield name
    assert left(engine) == []


@pytest.fixture(scope="module")
def without_users(engine, tmp_path_factory) -> Iterator[tuple[Path, str]]:
    """The same service in an image that has no ``/etc/passwd``, as one FROM scratch."""
    folder, name = tmp_path_factory.mktemp("scratch"), reference("vulnerable-scratch")
    files = {"/app": go_program(ROOT / "tests" / "services" / "vulnerable", folder / "app"), "/data/": b""}
    config = {"Entrypoint": ["/app"], "ExposedPorts": {"8080/tcp": {}}}
    saved = docker_archive(folder / "image.tar", name, [files], config)
    with in_engine(engine, saved, name):
        yield saved, name


def only(*names: str) -> Catalogue:
    return Catalogue(tuple(each for each in load_payloads(packs=["http"]).payloads if each.id in names), {})


BY_THE_NETWORK = {"http-ssrf", "http-metadata"}
"""What leads nowhere without a network. All else comes in the way that users come, and no wall is in it."""


@pytest.mark.slow
@pytest.mark.tools
@pytest.mark.parametrize(("safe", "outcome"), [("", "succeeded"), ("SAFE: '1'", "not_applicable")])
def test_every_hole_is_found_where_it_is_and_nowhere_else(tmp_path, engine, image, archive, monkeypatch, safe, outcome):
    monkeypatch.setattr(containers, "ANSWER_SECONDS", 3.0)
    monkeypatch.setattr(resource, "PATIENCE_SECONDS", 3.0)  # its service holds few connections, and falls at once
    packs = "{packs: [http], openapi: /openapi.json}"
    yaml = f"run: {{memory: 64MiB, env: {{{safe}}}}}\n    checks:\n      attacks: {packs}{API}"
    subject = castle(tmp_path, engine, archive, yaml, reference=image, awk=False)
    found = attacking.attack(subject, postures=("open", "hardened"))
    cells = found.data["postures"]["open"]
    outcomes = {name: cell["outcome"] for name, cell in cells.items()}
    if safe and "not_measured" not in outcomes.values():  # nothing to stop is no reason to have measured nothing
        assert found.status == "pass", found.reason
    if safe:  # a machine with other work may be too slow to tell that it resists 256 connections; it never says that it does not
        assert outcomes.pop("http-slow-bodies") in (outcome, "not_measured"), cells
    assert outcomes == dict.fromkeys(outcomes, outcome), cells
    assert set(cells) == {each.id for each in load_payloads(packs=["http"]).payloads}
    assert {each["delivery"] for each in found.data["payloads"].values()} == {"service"}
    if outcome == "succeeded":
        held = {name for name, cell in found.data["postures"]["hardened"].items() if cell["outcome"] == "blocked"}
        assert held == BY_THE_NETWORK, found.data["postures"]["hardened"]
        assert cells["http-command"]["evidence"]["at"].startswith("GET /ping query x: ")
        assert cells["http-error-page"]["evidence"]["at"] == "POST /upload json text: {{"
    else:
        assert cells["http-ssrf"]["reason"].startswith(
            "the service resists it even in a container without any protection: GET /file query x"
        )


@pytest.mark.slow
@pytest.mark.tools
@pytest.mark.parametrize(("safe", "outcome"), [("", "succeeded"), ("SAFE: '1'", "not_applicable")])
def test_a_way_to_files_is_found_in_an_image_without_users(tmp_path, engine, without_users, safe, outcome):
    """There is no /etc/passwd to read in it: what the kernel puts into every container is looked for."""
    saved, name = without_users
    yaml = f"run: {{env: {{{safe}}}}}\n    checks:\n      attacks: {{packs: [http]}}{API}"
    subject = castle(tmp_path, engine, saved, yaml, reference=name, awk=False)
    with Lab(subject) as lab:
        found = Runner(lab, only("http-traversal", "http-traversal-path")).run(Plan((OPEN, HARDENED), alone=False))
    for posture in ("open", "hardened"):
        cells = found.cells[posture]
        assert {each: cell.outcome for each, cell in cells.items()} == dict.fromkeys(cells, outcome), cells
    assert found.notes["canary"] == matrix.NOTE
    if not safe:
        assert found.cells["open"]["http-traversal"].evidence["proof"] == "the content of /proc/version came back"


def test_the_other_file_stands_in_every_value():
    lab = SimpleNamespace(notes={}, files=SimpleNamespace(telling_line=lambda _path: None))
    named = {each.id: each for each in matrix.with_fallback_file(lab, load_payloads(packs=["http"])).payloads}
    changed = [named[name] for name in ("http-traversal", "http-traversal-path")]
    assert {each.evidence.path for each in changed} == {"/proc/version"}
    values = [value for each in changed for value in each.each]
    assert len(values) == 12
    assert not [value for value in values if "passwd" in value or "proc" not in value]
    assert "passwd" not in "".join(each.text() for each in named.values())


@pytest.mark.slow
@pytest.mark.tools
def test_a_document_that_the_service_does_not_serve_is_told(tmp_path, engine, image, archive):
    yaml = f"checks:\n      attacks: {{packs: [http], openapi: /swagger.json}}{API}"
    subject = castle(tmp_path, engine, archive, yaml, reference=image, awk=False)
    with Lab(subject) as lab:
        found = Runner(lab, only("http-command")).run(Plan((OPEN,), alone=False))
    assert found.cells["open"]["http-command"].outcome == "succeeded"
    assert found.notes["openapi"] == (
        "/swagger.json is no OpenAPI document with paths: only the requests under checks.api were probed"
    )


@pytest.mark.slow
@pytest.mark.tools
def test_a_suite_that_names_no_value_leaves_nothing_to_aim_at(tmp_path, engine, image, archive):
    """Its routes may be full of holes: not looked at is not measured."""
    subject = castle(tmp_path, engine, archive, "checks: {attacks: {packs: [http]}}", reference=image, awk=False)
    with Lab(subject) as lab:
        found = Runner(lab, only("http-environment", "http-ssrf", "http-large-body")).run(Plan((OPEN,), alone=False))
    cells = found.cells["open"]
    assert cells["http-environment"].outcome == "succeeded"
    assert cells["http-ssrf"].outcome == cells["http-large-body"].outcome == "not_measured"
    assert cells["http-ssrf"].reason.startswith("no request under checks.api goes to the service's own port, and no")
    assert "there is no route to send a large body to" in cells["http-large-body"].reason


BARE = """
      api:
        - {name: ping, request: {path: /ping}}
        - {name: fetch, request: {path: /fetch}, expect: {status: %s}}
        - {name: upload, request: {path: /upload}}
"""


@pytest.mark.slow
@pytest.mark.tools
@pytest.mark.parametrize(("safe", "outcome"), [("", "succeeded"), ("SAFE: '1'", "not_applicable")])
def test_routes_whose_values_nobody_names_are_tried_in_places_that_are_guessed(
    tmp_path, engine, image, archive, safe, outcome
):
    """Eight attacks on a service without an OpenAPI document were not measured, whatever holes it had."""
    api = BARE % (200 if safe else 400)
    yaml = f"run: {{memory: 64MiB, env: {{{safe}}}}}\n    checks:\n      attacks: {{packs: [http]}}{api}"
    subject = castle(tmp_path, engine, archive, yaml, reference=image, awk=False)
    with Lab(subject) as lab:
        found = Runner(lab, only("http-command", "http-ssrf", "http-large-body")).run(Plan((OPEN,), alone=False))
    cells = found.cells["open"]
    assert {name: cell.outcome for name, cell in cells.items()} == dict.fromkeys(cells, outcome), cells
    assert "the parameters q, query, search" in found.notes["places"]
    if safe:
        said = "no such hole shows even in a container without any protection, in places that were guessed: "
        assert cells["http-command"].reason.startswith(f"{said}GET /ping added parameters, ")
    else:
        assert cells["http-command"].evidence["at"].startswith("GET /ping added parameters: ")
        assert cells["http-ssrf"].evidence["at"] == "GET /fetch added parameters"


def test_places_are_guessed_where_none_is_named():
    checks = [
        {"name": "a", "request": {"path": "/"}},
        {"name": "b", "request": {"path": "/v1/users/7/posts"}, "expect": {"status": 401}},
        {"name": "c", "request": {"path": "/v1/users/7", "method": "DELETE"}},
        {"name": "d", "request": {"path": "/metrics", "port": 9090}},
    ]
    found = aims([ApiCheck.model_validate(each) for each in checks])
    assert [str(each) for each in found] == [
        "GET / added parameters",
        "GET /{segment} path segment",
        "GET /{segment} path, not quoted segment",
        "GET /v1/users/7/posts added parameters",
        "GET /v1/users/7/{segment} path segment",
        "GET /v1/users/7/{segment} path, not quoted segment",
        "GET /{segment}/users/7/posts path segment",
        "GET /{segment}/users/7/posts path, not quoted segment",
        "GET /v1/users/{segment}/posts path segment",
        "GET /v1/users/{segment}/posts path, not quoted segment",
        "GET / added headers",
    ]
    assert {each.expects for each in found} == {200, 401}
    assert found[0].at("a b").path.startswith("/?q=a+b&query=a+b&")
    assert found[8].at("../x").path == "/v1/users/..%2Fx/posts"
    assert found[-1].at("x").headers["X-Forwarded-Host"] == found[-1].at("x").headers["User-Agent"] == "x"
    assert len(aims([ApiCheck.model_validate({"name": f"{n}", "request": {"path": f"/{n}"}}) for n in range(99)])) == 24


def test_one_place_that_is_named_leaves_only_parts_of_paths_to_guess():
    checks = [
        {"name": "a", "request": {"path": "/"}},
        {"name": "b", "request": {"path": "/b", "method": "POST", "body": "x"}},
    ]
    aim, *guessed = aims([ApiCheck.model_validate(each) for each in checks])
    assert (str(aim), aim.at("v").body, aim.expects) == ("POST /b body", "v", None)
    assert {each.name for each in guessed} == {"segment"}
    named = aims([ApiCheck.model_validate(each) for each in checks], [Aim(aim.request, "query", "q")])
    assert [str(each) for each in named] == ["POST /b body", "POST /b query q"]  # the document names the others


def test_texts_are_found_wherever_they_lie_in_a_body():
    body = {"a": {"b": "x", "n": 1}, "many": [{"c": "y"}, {"c": "z"}], "words": ["v", "w"]}
    check = {"name": "a", "request": {"method": "POST", "path": "/b", "json": body}}
    found = {str(aim): aim for aim in aims([ApiCheck.model_validate(check)]) if aim.kind == "json"}
    assert list(found) == ["POST /b json a.b", "POST /b json many.0.c", "POST /b json words.0"]
    assert found["POST /b json many.0.c"].at("!").json_body == {**body, "many": [{"c": "!"}, {"c": "z"}]}
    assert found["POST /b json a.b"].at("!").json_body == {**body, "a": {"b": "!", "n": 1}}


@pytest.mark.parametrize(("status", "seen"), [(200, "failed"), (400, "not_measured")])
def test_a_guess_that_is_never_answered_as_expected_shows_nothing(monkeypatch, status, seen):
    """A service that refuses whatever it does not know may well have the hole where it knows the name."""
    (attack,) = only("http-metadata").payloads
    places = aims([ApiCheck.model_validate({"name": "a", "request": {"path": "/a"}})])
    monkeypatch.setattr(deliver, "_once", lambda *_: Shot("failed", "said", {}, status))
    shot = deliver.fire(
        SimpleNamespace(aims=places, routes=(), worked={}, app_folder="/app"), SimpleNamespace(), attack
    )
    assert (shot.seen, shot.status) == (seen, status)
    assert shot.said.startswith(deliver.UNEXPECTED) is (seen == "not_measured")


def test_each_place_of_a_request_is_aimed_at_once():
    checks = [
        {"name": "a", "request": {"path": "/x?p=1&q=2"}},
        {"name": "b", "request": {"path": "/x?p=3"}},
        {
            "name": "c",
            "request": {"method": "POST", "path": "/y", "json": {"name": "n", "age": 3}, "repeat": {"name": 1000}},
        },
    ]
    found = aims([ApiCheck.model_validate(each) for each in checks])
    named = [str(each) for each in found if each.expects is None]
    assert named == ["GET /x query p", "GET /x query q", "POST /y json name"]
    assert found[1].at("a b&c").path == "/x?p=1&q=a+b%26c"
    assert found[2].at("v").json_body == {"name": "v", "age": 3}
    assert found[2].at("v").repeat == {}


def test_there_is_an_end_to_it():
    words = "&".join(f"p{number}=1" for number in range(99))
    checks = [ApiCheck.model_validate({"name": "a", "request": {"path": f"/x?{words}"}})]
    assert len([aim for aim in aims(checks) if aim.expects is None]) == MOST_AIMS
    assert left_out(checks) == 99 - MOST_AIMS


def test_a_document_names_places_in_paths_queries_headers_and_bodies():
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
            "/head": {
                "get": {"parameters": [{"name": "X-Tenant", "in": "header"}, {"name": "Accept", "in": "header"}]}
            },
        },
        "parameters": {"c": {"name": "c", "in": "path", "type": "string", "enum": ["left", "right"]}},
        "definitions": {
            "Body": {
                "properties": {
                    "name": {"type": "string"},
                    "many": {"type": "array", "items": {"$ref": "#/definitions/Body"}},
                    "id": {"type": "integer", "readOnly": True},
                }
            }
        },
    }
    found = {str(aim): aim for aim in documented(document)}
    assert list(found) == [
        "GET /v1/a/{b}/left path b", "GET /v1/a/{b}/left path, not quoted b",
        "GET /v1/a/a/{c} path c", "GET /v1/a/a/{c} path, not quoted c",
        "GET /v1/a/a/left query q", "PUT /v1/body json name", "GET /v1/head header X-Tenant",
    ]  # fmt: skip
    assert found["GET /v1/a/{b}/left path b"].at("../x").path == "/v1/a/..%2Fx/left?q=1"
    assert found["GET /v1/a/{b}/left path, not quoted b"].at("../x").path == "/v1/a/../x/left?q=1"
    assert found["PUT /v1/body json name"].at("v").json_body == {"name": "v", "many": [{}]}
    assert found["GET /v1/head header X-Tenant"].at("v").headers == {"X-Tenant": "v"}


@pytest.mark.parametrize(
    ("operation", "nothing"),
    [
        ({}, True),
        ({"parameters": []}, True),
        ({"parameters": [{"name": "q", "in": "cookie"}]}, False),
        ({"requestBody": {"content": {"multipart/form-data": {}}}}, False),
    ],
)
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
