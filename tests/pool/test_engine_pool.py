"""Checks and attacks on several engines, one of which is lost in the midst of it: cut off, or killed."""

import contextlib
import os
import re
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

import pytest

from deadweight._errors import MissingError
from deadweight.checks import runs
from deadweight.checks.protocol import evidence
from deadweight.engine.api import Endpoint
from deadweight.engine.client import Engine
from deadweight.engine.own import machine
from deadweight.project.workspace import Workspace
from deadweight.records.evidence import Evidence
from deadweight.records.paths import State
from deadweight.sources.settings import record
from deadweight_attacks.check import Attacks
from deadweight_pool.endpoint import ranked, wording
from deadweight_workload import api
from tests.support.attack_grounds import ADDS, left
from tests.support.pool_project import noted
from tests.support.small_images import reference
from tests.support.small_project import own_leftovers, put_built, write_suite
from tests.support.tls_engine import apart_engine, cuttable, elsewhere

DEFAULTS = """\
  run: {memory: 256MiB}
  checks: {budget: {size_bytes: {soft: 1GB, hard: 2GB}}, api: [{name: json, request: {path: /json}}]}
"""
ATTACKED = f"  checks: {{attacks: {{packs: [breach]}}, api: [{ADDS}]}}\n"
NAMES = ("one", "two", "three", "four")
HOMES = {name: ranked(name, ["near", "far"])[0] for name in NAMES}


def pooled(
    root: Path, archive: Path, image: str, defaults: str, engines: Mapping[str, str], names: tuple[str, ...] = NAMES
) -> tuple[Workspace, list[str]]:
    """The workspace of a suite with this pool (``{"a": "host: …"}``), each variant built; and what it says."""
    pool = "".join(f"    {name}: {{{keys}}}\n" for name, keys in engines.items())
    variants = "".join(f"  {name}: {{builder: ko}}\n" for name in names)
    defaults = f"defaults:\n  port: 8080\n  health: {{path: /healthz}}\n{defaults}"
    suite = write_suite(root, f"name: spread\npool:\n  engines:\n{pool}{defaults}variants:\n{variants}")
    record(State(suite.root), source="local")
    for name in names:
        put_built(suite, name, archive, reference(image))
    lines: list[str] = []
    return Workspace(suite, lines.append), lines


@pytest.fixture
def relay(engine) -> Iterator[tuple[str, Callable[[], None]]]:
    """Another address of the engine, and what makes it be gone there."""
    with cuttable(engine.host.removeprefix("unix://")) as made:
        yield made


@pytest.fixture
def opened(tmp_path, misbehaving_archive, misbehaving_image, monkeypatch):
    monkeypatch.setattr(runs, "STARTS", 1)
    monkeypatch.setattr(runs, "WATCH_SECONDS", 0.1)
    return partial(pooled, tmp_path, misbehaving_archive, "misbehave", DEFAULTS)


def verified(workspace: Workspace) -> list[Evidence]:
    """The evidence; each piece was told once."""
    keys: list[tuple[str, str]] = []
    with workspace:
        assert workspace.engine_pool is not None
        verify = workspace.engine_pool.verify
        results = verify(workspace.suite.variants, (), None, lambda result: keys.append((result.variant, result.check)))
    assert sorted(keys) == sorted((result.variant, result.check) for result in results)
    return results


def places(results: list[Evidence], check: str = "runs") -> dict[str, str | None]:
    return {result.variant: result.provenance.place for result in results if result.check == check}


@pytest.mark.slow
def test_each_engine_checks_its_own(opened, engine, tmp_path):
    with elsewhere(engine.host.removeprefix("unix://"), tmp_path / "certificates") as address:
        far = f'host: "{address}", certificates: certificates, places: 4'
        workspace, lines = opened({"near": f'host: "{engine.host}"', "far": far})
        results = verified(workspace)
    assert {result.status for result in results} == {"pass"}
    assert [result.variant for result in results if result.check == "runs"] == list(NAMES)
    assert set(HOMES.values()) == {"near", "far"}
    assert places(results) == HOMES  # there is a free place for each at its home
    assert {result.provenance.place for result in results if result.check == "budget"} == {None}  # read off the archive
    log = (workspace.state.log("pool")).read_text()
    assert all(f"{name}: {wording('journal.checked', engine=home)}" in log for name, home in HOMES.items())
    assert (lines, own_leftovers(engine)) == ([], [])


@pytest.mark.slow
def test_an_engine_where_nobody_listens_is_told_once_and_the_other_does_it_all(opened, engine):
    workspace, lines = opened({"near": f'host: "{engine.host}"', "far": 'host: "tcp://127.0.0.1:9"'})
    results = verified(workspace)
    assert ({result.status for result in results}, places(results)) == ({"pass"}, dict.fromkeys(NAMES, "near"))
    (line,) = lines
    assert line.startswith(f"pool: {wording('journal.is_lost', endpoint='far (tcp://127.0.0.1:9)', reason='')}")
    assert "refused" in line.lower()


@pytest.mark.slow
@pytest.mark.parametrize("check", [runs.CHECK, api.CHECK], ids=lambda check: check.name)
def test_an_engine_lost_in_the_midst_fails_no_image(opened, relay, engine, monkeypatch, check):
    workspace, lines = opened({"near": f'host: "{engine.host}"', "far": f'host: "{relay[0]}", places: 4'})
    run = type(check).run

    def cutting(self, subject):
        if subject.place == "far":
            with contextlib.suppress(MissingError):  # another variant's check was quicker
                subject.engine()
            relay[1]()
        return run(self, subject)

    monkeypatch.setattr(type(check), "run", cutting)
    results = verified(workspace)
    assert ({result.status for result in results}, places(results)) == ({"pass"}, dict.fromkeys(NAMES, "near"))
    assert sum(" far (" in f" {line.removeprefix('pool: ')}" for line in lines) == 1
    log = workspace.state.log("pool").read_text()
    lost = re.findall(rf" (\S+): {wording('journal.lost', endpoint='far', reason='')}", log)
    assert set(lost) == {name for name in NAMES if HOMES[name] == "far"}
    leftovers = own_leftovers(engine)  # what ran on the lost one cannot be ended over a connection that is gone
    assert not leftovers or check is api.CHECK
    for leftover in leftovers:
        engine.api.remove_container(leftover.id, force=True)


def test_attacks_that_were_not_measured_for_want_of_an_engine_are_repeated(opened, relay, engine, monkeypatch):
    """What they find is not looked at here (the engine that is killed does): only where they are made."""
    asked: list[tuple[str, str]] = []

    def attack(self, subject):
        asked.append((subject.variant.name, subject.place))
        with contextlib.suppress(MissingError):
            subject.engine()
        if subject.place == "far":
            relay[1]()
        cell = {"outcome": "not_measured" if subject.place == "far" else "blocked"}
        return evidence(subject, "attacks", "pass", "", data={"postures": {"default": {"one": cell}}})

    monkeypatch.setattr(Attacks, "run", attack)
    workspace, lines = opened({"near": f'host: "{engine.host}"', "far": f'host: "{relay[0]}", places: 4'})
    with workspace:
        assert workspace.engine_pool is not None
        results = workspace.engine_pool.attack(workspace.suite.variants, ("default",), lambda _line: None)
    assert [result.variant for result in results] == list(NAMES)
    assert {result.data["postures"]["default"]["one"]["outcome"] for result in results} == {"blocked"}
    assert {name for name, place in asked if place == "near"} == set(NAMES)
    assert "far" in {place for _, place in asked}
    assert sum(wording("journal.is_lost", endpoint="", reason="") in line for line in lines) == 1


def test_without_any_engine_what_needs_none_is_measured(opened):
    workspace, lines = opened({"a": 'host: "tcp://127.0.0.1:9"', "b": 'host: "unix:///nonexistent.sock"'}, NAMES[:1])
    results = {result.check: result for result in verified(workspace)}
    assert (results["budget"].status, results["runs"].status) == ("pass", "not_measured")
    assert results["runs"].reason.startswith(wording("pool.no_engine", engines="a: "))
    assert (results["runs"].data["hint"], len(lines)) == (wording("pool.no_engine", engines="").hint, 2)


@pytest.fixture
def apart(engine, tmp_path, tmp_path_factory, playground_archive, playground_image):
    """A workspace at two engines that share nothing: the tests' own one, and one apart, behind TLS; and that one's folder, address
    and certificates."""
    folder, keys = tmp_path_factory.mktemp("apart"), tmp_path_factory.mktemp("keys")
    with apart_engine(folder) as host, elsewhere(host.removeprefix("unix://"), keys) as address:
        engines = {"near": f"host: '{engine.host}'", "far": f"host: '{address}', certificates: '{keys}'"}
        workspace, lines = pooled(tmp_path, playground_archive, "playground", ATTACKED, engines)
        yield workspace, lines, folder, Endpoint(address, ours=False, certificates=str(keys))


@pytest.mark.pool
@pytest.mark.system
def test_two_engines_that_share_nothing_find_the_same(apart, engine):
    workspace, lines, _folder, endpoint = apart
    one_each = {HOMES[name]: name for name in NAMES}.values()
    variants = [variant for variant in workspace.suite.variants if variant.name in one_each]
    with workspace:
        checked = workspace.engine_pool.verify(variants, ("runs", "api"), None, lambda _each: None)
        attacked = workspace.engine_pool.attack(variants, ("default",), lambda _line: None)
    with Engine.connect(endpoint) as there:
        assert left(there) == left(engine) == []
    assert {result.status for result in (*checked, *attacked)} == {"pass"}
    assert places(checked) == places(attacked, "attacks") == {variant.name: HOMES[variant.name] for variant in variants}
    near, far = (
        {name: cell["outcome"] for name, cell in result.data["postures"]["default"].items()}
        for result in sorted(attacked, key=lambda result: HOMES[result.variant], reverse=True)
    )
    both = [name for name in near if "not_measured" not in (near[name], far[name])]
    print(f"{len(both)} of {len(near)} attacks were measured at both engines")
    assert len(both) > len(near) / 2
    assert ({name: near[name] for name in both}, lines) == ({name: far[name] for name in both}, [])


@pytest.mark.pool
@pytest.mark.system
@pytest.mark.parametrize("what", ["verify", "attack"])
def test_an_engine_killed_in_the_midst_loses_nothing(apart, engine, what):
    workspace, lines, folder, endpoint = apart
    away, begun = next(name for name in NAMES if HOMES[name] == "far"), threading.Event()

    def kill() -> None:
        assert begun.wait(120)
        for process in machine.everyone():
            program, *words = process.command.split() or [""]  # the kernel's have none
            if program.endswith("dockerd") and str(folder / "data") in words:
                os.kill(process.pid, signal.SIGKILL)

    def checked(evidence: Evidence) -> None:
        if evidence.variant == away:  # its first check is done, the next one begins
            begun.set()

    def attacked(line: str) -> None:
        if line.startswith(f"{away}: ") and "/" in line:
            begun.set()

    killer = threading.Thread(target=kill)
    killer.start()
    with workspace:
        try:
            if what == "verify":
                results = workspace.engine_pool.verify(workspace.suite.variants, ("runs", "api"), None, checked)
            else:
                results = workspace.engine_pool.attack(workspace.suite.variants, ("default",), attacked)
        finally:
            begun.set()
            killer.join()
    assert {result.status for result in results} == {"pass"}
    assert places(results, "runs" if what == "verify" else "attacks")[away] == "near"
    (line,) = [line for line in lines if re.search(noted("journal.is_lost", endpoint=".+", reason=""), line)]
    assert line.startswith(f"pool: {wording('journal.is_lost', endpoint=f'far ({endpoint.host})', reason='')}")
    assert f"{away}: {wording('journal.lost', endpoint='far', reason='')}" in workspace.state.log("pool").read_text()
    assert left(engine) == []
