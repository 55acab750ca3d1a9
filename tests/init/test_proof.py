"""A draft on its way to be proved: what is built counts as long as its last build did not fail."""

import time
from types import SimpleNamespace

import pytest

from deadweight._errors import DeadweightError
from deadweight_init.draft import first_draft
from deadweight_init.prove.proof import Failure, Proof, TimeLimit, Tools
from deadweight_init.services import find_services
from deadweight_init.tree import read_tree
from tests.support.trees import written

GO = {"go.mod": "module x.org/y\n", "main.go": 'package main\n\nimport _ "net/http"\n\nfunc main() {}\n'}
PYTHON = {"app.py": "import flask\n", "requirements.txt": "flask\n"}


@pytest.fixture
def proof(request, tmp_path, monkeypatch):
    """A proof of recipes whose builds fail of what stands in its list ``fails``, in turn."""
    files = getattr(request, "param", PYTHON)
    root = written(tmp_path, files)
    fails: list[dict[str, Failure]] = []
    tools = Tools(lambda line: None, lambda workspace, variants: fails.pop(0))
    found = Proof(first_draft(find_services(read_tree(root))[0], "build"), SimpleNamespace(root=root), tools)
    variants = [SimpleNamespace(name=each.name) for each in found.draft.ladder.rungs]
    opened = SimpleNamespace(suite=SimpleNamespace(variants=variants))
    monkeypatch.setattr(Proof, "workspace", lambda self: _Opened(opened))
    monkeypatch.setattr("deadweight_init.prove.proof._engine_runs", lambda: False)
    return found, fails


class _Opened:
    def __init__(self, workspace: SimpleNamespace) -> None:
        self.workspace = workspace

    def __enter__(self) -> SimpleNamespace:
        return self.workspace

    def __exit__(self, *_: object) -> None:
        pass


def test_a_rung_that_was_built_and_whose_next_build_fails_is_not_built(proof):
    found, fails = proof
    rung = next(each for each in found.draft.ladder.rungs if each.name == "debian")
    fails += [{}, {"debian": Failure(DeadweightError("no such package"))}]
    assert found.build(rung)
    assert found.draft.left_out == {}
    assert not found.build(rung)
    assert found.draft.left_out == {"debian": "no such package"}


@pytest.mark.parametrize("proof", [GO], indirect=True)
def test_a_stage_that_fails_is_built_once_however_many_rungs_share_it(proof):
    found, fails = proof
    rungs = {each.name: each for each in found.draft.ladder.rungs}
    fails.append({"debian": Failure(DeadweightError("no such module"), 9)})
    names = ("debian", "alpine", "chainguard", "distroless")
    assert [found.build(rungs[name]) for name in names] == [False] * 4
    assert set(found.draft.left_out) == set(names)


@pytest.mark.parametrize("proof", [GO], indirect=True)
def test_a_last_stage_that_fails_is_none_of_the_others(proof):
    found, fails = proof
    rungs = {each.name: each for each in found.draft.ladder.rungs}
    fails += [{"debian": Failure(DeadweightError("no such user"), 999)}, {}]
    assert [found.build(rungs[name]) for name in ("debian", "distroless")] == [False, True]


def test_the_clock_stands_still_while_bases_are_made():
    bound = TimeLimit(0.2 / 60)
    with bound.stopped():
        time.sleep(0.5)  # longer than the bound
    assert not bound.over()
    time.sleep(0.3)
    assert bound.over()
    assert not TimeLimit(0).over()
