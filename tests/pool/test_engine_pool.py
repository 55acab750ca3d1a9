"""Checks on several engines: the tests' own one, reached by addresses of their own, which can be lost in the midst of it."""

import contextlib
from collections.abc import Callable, Iterator

import pytest

from deadweight._errors import ConfigError, MissingError
from deadweight.checks import api, runs
from deadweight.checks.protocol import evidence
from deadweight.project.workspace import Workspace
from deadweight.records.evidence import Evidence
from deadweight_attacks.check import Asked
from deadweight_pool import settings
from deadweight_pool.endpoint import ranked, wording
from tests.support.codes import raises
from tests.support.small_images import reference
from tests.support.small_project import own_leftovers, put_built, write_suite
from tests.support.tls_engine import cuttable, elsewhere

DEFAULTS = """\
defaults:
  port: 8080
  health: {path: /healthz}
  run: {memory: 256MiB}
  checks: {budget: {size_bytes: {soft: 1GB, hard: 2GB}}, api: [{name: json, request: {path: /json}}]}
"""
NAMES = ("one", "two", "three", "four")


@pytest.fixture
def relay(engine) -> Iterator[tuple[str, Callable[[], None]]]:
    """Another address of the engine, and what makes it be gone there."""
    with cuttable(engine.host.removeprefix("unix://")) as made:
        yield made


@pytest.fixture
def opened(tmp_path, misbehaving_archive, misbehaving_image, monkeypatch):
    """The workspace of a suite with this pool: ``opened({"a": "host: …"})``, each variant built; and what it says."""
    monkeypatch.setattr(runs, "STARTS", 1)
    monkeypatch.setattr(runs, "WATCH_SECONDS", 0.1)

    def build(engines: dict[str, str], names: tuple[str, ...] = NAMES) -> tuple[Workspace, list[str]]:
        pool = "".join(f"    {name}: {{{keys}}}\n" for name, keys in engines.items())
        variants = "".join(f"  {name}: {{builder: ko}}\n" for name in names)
        suite = write_suite(tmp_path, f"name: spread\npool:\n  engines:\n{pool}{DEFAULTS}variants:\n{variants}")
        for name in names:
            put_built(suite, name, misbehaving_archive, reference("misbehave"))
        said: list[str] = []
        return Workspace(suite, said.append), said

    return build


def verified(workspace: Workspace) -> list[Evidence]:
    """The evidence; each piece was told once."""
    told: list[tuple[str, str]] = []
    with workspace:
        assert workspace.spread is not None
        checked = workspace.suite.variants
        found = workspace.spread.verify(checked, (), None, lambda each: told.append((each.variant, each.check)))
    assert sorted(told) == sorted((each.variant, each.check) for each in found)
    return found


def places(found: list[Evidence]) -> dict[str, str | None]:
    return {each.variant: each.provenance.place for each in found if each.check == "runs"}


@pytest.mark.slow
def test_each_engine_checks_its_own(opened, engine, tmp_path):
    certificates = tmp_path / "certificates"
    certificates.mkdir()
    with elsewhere(engine.host.removeprefix("unix://"), certificates) as address:
        workspace, said = opened(
            {"near": f'host: "{engine.host}"', "far": f'host: "{address}", certificates: certificates, places: 4'}
        )
        found = verified(workspace)
    assert {each.status for each in found} == {"pass"}
    assert [each.variant for each in found if each.check == "runs"] == list(NAMES)
    homes = {name: ranked(name, ["near", "far"])[0] for name in NAMES}
    assert set(homes.values()) == {"near", "far"}
    assert places(found) == homes  # there is a free place for each at its home
    assert {each.provenance.place for each in found if each.check == "budget"} == {None}  # read off the archive, here
    log = (workspace.state.log("pool")).read_text()
    assert all(f"{name}: was checked on {home}" in log for name, home in homes.items())
    assert said == []
    assert own_leftovers(engine) == []


@pytest.mark.slow
def test_an_engine_where_nobody_listens_is_told_once_and_the_other_does_it_all(opened, engine):
    workspace, said = opened({"near": f'host: "{engine.host}"', "far": 'host: "tcp://127.0.0.1:9"'})
    found = verified(workspace)
    assert {each.status for each in found} == {"pass"}
    assert places(found) == dict.fromkeys(NAMES, "near")
    (line,) = said
    assert line.startswith("pool: far (tcp://127.0.0.1:9) is lost: ")
    assert "refused" in line.lower()


@pytest.mark.slow
@pytest.mark.parametrize("check", [runs.CHECK, api.CHECK], ids=lambda check: check.name)
def test_an_engine_lost_in_the_midst_fails_no_image(opened, relay, engine, monkeypatch, check):
    workspace, said = opened({"near": f'host: "{engine.host}"', "far": f'host: "{relay[0]}", places: 4'})
    run = type(check).run

    def cutting(self, subject):
        if subject.place == "far":
            with contextlib.suppress(MissingError):  # another variant's check was quicker
                subject.engine()
            relay[1]()
        return run(self, subject)

    monkeypatch.setattr(type(check), "run", cutting)
    found = verified(workspace)
    assert {each.status for each in found} == {"pass"}
    assert places(found) == dict.fromkeys(NAMES, "near")
    assert sum(" far (" in f" {line.removeprefix('pool: ')}" for line in said) == 1
    log = workspace.state.log("pool").read_text()
    lost = {line.split()[1].rstrip(":") for line in log.splitlines() if " is lost on far: " in line}
    assert lost == {name for name in NAMES if ranked(name, ["near", "far"])[0] == "far"}
    left = own_leftovers(engine)  # what ran on the lost one cannot be ended over a connection that is gone
    assert len(left) == 0 or check is api.CHECK
    for each in left:
        engine.api.remove_container(each.id, force=True)


def test_attacks_that_were_not_measured_for_want_of_an_engine_are_repeated(opened, relay, engine, monkeypatch):
    """What they find is not looked at here (``tests/pool/test_two_engines.py`` does): only where they are made."""
    asked: list[tuple[str, str]] = []

    def attack(self, subject):
        asked.append((subject.variant.name, subject.place))
        with contextlib.suppress(MissingError):
            subject.engine()
        if subject.place == "far":
            relay[1]()
        cell = {"outcome": "not_measured" if subject.place == "far" else "blocked"}
        return evidence(subject, "attacks", "pass", "", data={"postures": {"default": {"one": cell}}})

    monkeypatch.setattr(Asked, "run", attack)
    workspace, said = opened({"near": f'host: "{engine.host}"', "far": f'host: "{relay[0]}", places: 4'})
    with workspace:
        assert workspace.spread is not None
        found = workspace.spread.attack(workspace.suite.variants, ("default",), lambda _line: None)
    assert [each.variant for each in found] == list(NAMES)
    assert {each.data["postures"]["default"]["one"]["outcome"] for each in found} == {"blocked"}
    assert {name for name, place in asked if place == "near"} == set(NAMES)
    assert "far" in {place for _, place in asked}
    assert sum(" is lost: " in line for line in said) == 1


def test_without_any_engine_what_needs_none_is_measured(opened):
    workspace, said = opened({"a": 'host: "tcp://127.0.0.1:9"', "b": 'host: "unix:///nonexistent.sock"'}, NAMES[:1])
    found = {each.check: each for each in verified(workspace)}
    assert (found["budget"].status, found["runs"].status) == ("pass", "not_measured")
    assert found["runs"].reason.startswith(wording("pool.no_engine", engines="a: "))
    assert found["runs"].data["hint"] == wording("pool.no_engine", engines="").hint
    assert len(said) == 2


@pytest.mark.parametrize(
    ("wrong", "key", "code", "fields"),
    [
        ("host: 'http://x'", ".host", "engine_host", {"found": "http://x"}),
        ("host: 'ssh://me@big', certificates: c", "", "certificates_of_tcp", {}),
        ("host: 'ssh://me@big', places: 0", ".places", "number_between", {"low": 1, "high": 256, "found": 0}),
        ("hosts: 'ssh://me@big'", ".hosts", "misspelt_key", {"near": "host"}),
    ],
)
def test_what_is_written_wrongly(tmp_path, wrong, key, code, fields):
    text = f"name: s\npool:\n  engines:\n    east: {{{wrong}}}\nvariants:\n  v: {{builder: ko}}\n"
    with raises(ConfigError, f"suite.{code}", **fields, line=4, key=f"pool.engines.east{key}"):
        write_suite(tmp_path, text)


def test_certificates_that_are_not_there(tmp_path):
    (tmp_path / "certs").mkdir()
    (tmp_path / "certs" / "ca.pem").write_text("x")
    text = "name: s\npool:\n  engines:\n    east: {host: 'tcp://h:1', certificates: certs}\nvariants:\n  v: {builder: ko}\n"
    found, place = settings.chosen(write_suite(tmp_path, text)), "pool.engines.east.certificates"
    with raises(ConfigError, "pool.no_certificate", path=tmp_path / "certs/cert.pem", key=place):
        settings.engines(found)
