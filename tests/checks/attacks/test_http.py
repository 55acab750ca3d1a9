"""The pack http on a service that has every hole, and on the same service without: it finds what is there, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from deadweight.checks.attacks import run as attacking
from deadweight.checks.attacks.load import load_payloads
from deadweight.checks.attacks.routes import MOST_AIMS, aims
from deadweight.suite.requests import ApiCheck
from tests.support import ROOT
from tests.support.attack_grounds import castle, left
from tests.support.small_images import PASSWD, docker_archive, forget_image, go_program, program, reference

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
    engine.images.load(archive)
    yield reference("vulnerable")
    forget_image(engine, reference("vulnerable"))
    assert left(engine) == []


@pytest.mark.tools
@pytest.mark.parametrize(("safe", "outcome"), [("", "succeeded"), ("SAFE: '1'", "not_applicable")])
def test_every_hole_is_found_where_it_is_and_nowhere_else(tmp_path, engine, image, archive, safe, outcome):
    yaml = f"run: {{env: {{{safe}}}}}\n    checks:\n      attacks: {{packs: [http]}}{API}"
    subject = castle(tmp_path, engine, archive, yaml, reference=image, awk=False)
    found = attacking.attack(subject, postures=("open",))
    cells = found.data["postures"]["open"]
    assert {name: cell["outcome"] for name, cell in cells.items()} == dict.fromkeys(cells, outcome), cells
    assert set(cells) == {each.id for each in load_payloads(packs=["http"]).payloads}
    assert {each["delivery"] for each in found.data["payloads"].values()} == {"service"}
    if outcome == "succeeded":
        assert cells["http-command"]["evidence"]["at"].startswith("GET /ping query x: ")
    else:
        assert cells["http-ssrf"]["reason"].startswith(
            "the service resists it even in a container without any protection: GET /file query x"
        )


@pytest.mark.tools
def test_a_suite_that_names_no_value_leaves_nothing_to_aim_at(tmp_path, engine, image, archive):
    """Its routes may be full of holes: not looked at is not measured."""
    subject = castle(tmp_path, engine, archive, "checks: {attacks: {packs: [http]}}", reference=image, awk=False)
    cells = attacking.attack(subject, postures=("open",)).data["postures"]["open"]
    assert cells["http-environment"]["outcome"] == "succeeded"
    assert cells["http-ssrf"]["outcome"] == "not_measured"
    assert (
        "no request under checks.api has a value (query, JSON or form) that an attack could replace"
        in cells["http-ssrf"]["reason"]
    )


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
    assert [str(each) for each in found] == ["GET /x query p", "GET /x query q", "POST /y json name"]
    assert found[1].at("a b&c").path == "/x?p=1&q=a+b%26c"
    assert found[2].at("v").json_body == {"name": "v", "age": 3}
    assert found[2].at("v").repeat == {}


def test_there_is_an_end_to_it():
    words = "&".join(f"p{number}=1" for number in range(99))
    assert len(aims([ApiCheck.model_validate({"name": "a", "request": {"path": f"/x?{words}"}})])) == MOST_AIMS
