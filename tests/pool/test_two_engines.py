"""Two engines that share nothing check and attack a suite, and one of them is killed in the midst of it."""

import os
import signal
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from deadweight.engine.api import Endpoint
from deadweight.engine.client import Engine
from deadweight.project.workspace import Workspace
from deadweight.records.evidence import Evidence
from deadweight.records.paths import State
from deadweight.sources.choose import remember
from deadweight_pool.endpoint import ranked
from tests.support.attack_grounds import left
from tests.support.processes import everyone
from tests.support.small_images import reference
from tests.support.small_project import put_built, write_suite
from tests.support.tls_engine import apart_engine, elsewhere

pytestmark = [pytest.mark.pool, pytest.mark.engine, pytest.mark.tools, pytest.mark.system]

API = "{name: adds, request: {method: POST, path: /api/v1/awk, json: {script: 'BEGIN { print 6 * 7 }'}}}"
NAMES = ("one", "two", "three", "four")


@pytest.fixture
def opened(engine, tmp_path, playground_archive, playground_image):
    """The workspace of four variants at two engines: the tests' own and one apart, behind TLS; both are homes."""

    def build(host: str, keys: Path, names: Sequence[str] = NAMES) -> tuple[Workspace, list[str]]:
        engines = f"near: {{host: '{engine.host}'}}, far: {{host: '{host}', certificates: '{keys}'}}"
        variants = ", ".join(f"{name}: {{builder: ko}}" for name in names)
        suite = write_suite(
            tmp_path,
            f"""\
            name: pooled
            pool: {{engines: {{{engines}}}}}
            defaults: {{port: 8080, health: {{path: /healthz}}, checks: {{attacks: {{packs: [breach]}}, api: [{API}]}}}}
            variants: {{{variants}}}
            """,
        )
        remember(suite, State(suite.root), "local")
        for name in names:
            put_built(suite, name, playground_archive, reference("playground"))
        said: list[str] = []
        return Workspace(suite, said.append), said

    return build


def places(found: list[Evidence], check: str) -> dict[str, str | None]:
    return {each.variant: each.provenance.place for each in found if each.check == check}


def killed_while(work: Callable[[], list[Evidence]], begun: threading.Event, folder: Path) -> list[Evidence]:
    """What comes of the work, while which the engine of that folder is killed."""

    def kill() -> None:
        assert begun.wait(120)
        for pid, words in everyone():
            program, *_ = words.split(b"\0")
            if program.endswith(b"dockerd") and os.fsencode(folder / "data") in words.split(b"\0"):
                os.kill(pid, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        return work()
    finally:
        begun.set()
        killer.join()


def test_each_engine_has_its_variants(opened, engine, tmp_path_factory):
    folder, keys = tmp_path_factory.mktemp("apart"), tmp_path_factory.mktemp("keys")
    homes = {ranked(name, ["near", "far"])[0]: name for name in NAMES}
    with apart_engine(folder) as host, elsewhere(host.removeprefix("unix://"), keys) as address:
        workspace, said = opened(address, keys, list(homes.values()))
        with workspace:
            assert workspace.spread is not None
            checked = workspace.spread.verify(workspace.suite.variants, ("runs", "api"), None, lambda _each: None)
            attacked = workspace.spread.attack(workspace.suite.variants, ("default",), lambda _line: None)
        with Engine.connect(Endpoint(address, ours=False, certificates=str(keys))) as there:
            assert left(there) == left(engine) == []
    assert {each.status for each in (*checked, *attacked)} == {"pass"}
    assert places(checked, "runs") == places(attacked, "attacks") == {name: home for home, name in homes.items()}
    outcomes = {
        each.variant: {name: cell["outcome"] for name, cell in each.data["postures"]["default"].items()}
        for each in attacked
    }
    near, far = outcomes[homes["near"]], outcomes[homes["far"]]
    both = [name for name in near if "not_measured" not in (near[name], far[name])]
    print(f"{len(both)} of {len(near)} attacks were measured at both engines")
    assert len(both) > len(near) / 2
    assert {name: near[name] for name in both} == {name: far[name] for name in both}
    assert said == []


@pytest.mark.parametrize("what", ["verify", "attack"])
def test_an_engine_killed_in_the_midst_loses_nothing(opened, engine, tmp_path_factory, what):
    folder, keys = tmp_path_factory.mktemp("apart"), tmp_path_factory.mktemp("keys")
    begun = threading.Event()
    with apart_engine(folder) as host, elsewhere(host.removeprefix("unix://"), keys) as address:
        workspace, said = opened(address, keys)
        away = next(name for name in NAMES if ranked(name, ["near", "far"])[0] == "far")
        with workspace:
            assert workspace.spread is not None
            spread, variants = workspace.spread, workspace.suite.variants
            if what == "verify":
                found = killed_while(lambda: _verified(spread, variants, away, begun), begun, folder)
            else:
                heard = lambda line: begun.set() if line.startswith(f"{away}: ") and "/" in line else None  # noqa: E731
                found = killed_while(lambda: spread.attack(variants, ("default",), heard), begun, folder)
        log = workspace.state.log("pool").read_text()
    assert {each.status for each in found} == {"pass"}
    assert places(found, "runs" if what == "verify" else "attacks")[away] == "near"
    (line,) = [line for line in said if " is lost: " in line]
    assert line.startswith(f"pool: far ({address}) is lost: ")
    assert f"{away}: is lost on far: " in log
    assert left(engine) == []


def _verified(spread, variants, away: str, begun: threading.Event) -> list[Evidence]:
    place = spread._places["far"]
    subject = place.here.subject

    def told(variant):
        found = subject(variant)
        if variant.name == away:
            threading.Timer(1.0, begun.set).start()  # in the midst of its first check
        return found

    place.here.subject = told
    return spread.verify(variants, ("runs", "api"), None, lambda _each: None)
