"""A draft on its way to be proved: what is built counts as long as its last build did not fail."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from deadweight._errors import DeadweightError
from deadweight.project.init.draft import first_draft
from deadweight.project.init.proof import Proof, Tools
from deadweight.project.init.services import find_services
from deadweight.project.init.tree import look
from tests.support.trees import written


@pytest.fixture
def proof(tmp_path, monkeypatch):
    """A proof whose builds fail of what stands in its list ``fails``, in turn."""
    files = {"Dockerfile": "FROM python:3.12\nCMD python app.py\n", "app.py": "", "requirements.txt": "flask\n"}
    root = written(tmp_path, files)
    fails: list[dict[str, DeadweightError]] = []
    tools = Tools(lambda line: None, lambda workspace, variants: fails.pop(0))
    found = Proof(first_draft(find_services(look(root))[0], "build"), SimpleNamespace(root=root), tools)
    variants = [SimpleNamespace(name=each.name) for each in found.draft.ladder.rungs]
    opened = SimpleNamespace(suite=SimpleNamespace(variants=variants))
    monkeypatch.setattr(Proof, "workspace", lambda self: _Opened(opened))
    monkeypatch.setattr("deadweight.project.init.proof._engine_runs", lambda: False)
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
    fails += [{}, {"debian": DeadweightError("no such package")}]
    assert found.build(rung)
    assert found.built == {"debian"}
    assert not found.build(rung)
    assert not found.built
    assert found.draft.left_out == {"debian": "no such package"}
