"""A draft on its way to be proved: what is built counts as long as its last build did not fail."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from deadweight._errors import DeadweightError
from deadweight_init import gates, prove
from deadweight_init.draft import first_draft
from deadweight_init.proof import Failure, Proof, Tools
from deadweight_init.prove import _once_more
from deadweight_init.records import Known
from deadweight_init.services import find_services
from deadweight_init.tree import look
from tests.support.trees import written


@pytest.fixture
def proof(tmp_path, monkeypatch):
    """A proof of recipes whose builds fail of what stands in its list ``fails``, in turn."""
    files = {"app.py": "import flask\n", "requirements.txt": "flask\n"}
    root = written(tmp_path, files)
    fails: list[dict[str, DeadweightError]] = []
    tools = Tools(lambda line: None, lambda workspace, variants: fails.pop(0))
    found = Proof(first_draft(find_services(look(root))[0], "build"), SimpleNamespace(root=root), tools)
    variants = [SimpleNamespace(name=each.name) for each in found.draft.ladder.rungs]
    opened = SimpleNamespace(suite=SimpleNamespace(variants=variants))
    monkeypatch.setattr(Proof, "workspace", lambda self: _Opened(opened))
    monkeypatch.setattr("deadweight_init.proof._engine_runs", lambda: False)
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
    assert found.built == {"debian"}
    assert not found.build(rung)
    assert not found.built
    assert found.draft.left_out == {"debian": "no such package"}


def test_a_stage_that_fails_is_built_once_however_many_rungs_share_it(proof):
    found, fails = proof
    rungs = {each.name: each for each in found.draft.ladder.rungs}
    shared = Failure(DeadweightError("no such package"), 9)
    fails += [{"debian": shared}, {"alpine": shared}]
    assert [found.build(rungs[name]) for name in ("debian", "distroless", "alpine")] == [False, False, False]
    assert not fails  # distroless is made in the same stage as debian, and alpine in one of its own
    assert set(found.draft.left_out) == {"debian", "distroless", "alpine"}


def test_a_last_stage_that_fails_is_none_of_the_others(proof):
    found, fails = proof
    rungs = {each.name: each for each in found.draft.ladder.rungs}
    fails += [{"debian": Failure(DeadweightError("no such user"), 999)}, {}]
    assert [found.build(rungs[name]) for name in ("debian", "distroless")] == [False, True]


def test_the_newest_version_of_a_language_is_built_last(proof, monkeypatch):
    found, _ = proof
    monkeypatch.setattr(Proof, "_to_wait", lambda self, workspace, name: 0 if name == "chainguard" else 40)
    rungs = [each for each in found.draft.rungs if each.is_made]
    assert [each.name for each in found.soonest(rungs)] == ["debian", "alpine", "distroless", "chainguard"]


@pytest.mark.parametrize(
    ("died", "again"),
    [
        ("OSError: [Errno 30] Read-only file system: '/var/log/shop'", ["debian"]),
        ("ModuleNotFoundError: No module named 'requests'", ["debian", "chainguard"]),
    ],
)
def test_what_did_not_build_is_tried_again_only_where_its_file_is_another_one(proof, died, again):
    found, _ = proof
    found.bound = SimpleNamespace(over=lambda: False)
    found.died["debian"] = died
    for name in ("debian", "chainguard"):
        found.leave_out(name, died if name == "debian" else "RUN failed with exit code 1")
    rungs = [each for each in found.draft.ladder.rungs if each.name in ("debian", "chainguard")]
    assert [each.name for each in _once_more(found, rungs)] == again
    assert set(found.draft.left_out) == {"debian", "chainguard"} - set(again)


def test_what_no_remedy_builds_otherwise_stays_left_out(proof, monkeypatch):
    found, _ = proof
    found.bound = SimpleNamespace(over=lambda: False)
    found.leave_out("debian", "RUN failed with exit code 1")
    # a remedy for generated files, which changes nothing of this one
    monkeypatch.setattr(prove, "with_what_installs", lambda draft, *_: replace(draft, left_out={}))
    said = []
    found.say = said.append
    assert _once_more(found, [each for each in found.draft.ladder.rungs if each.name == "debian"]) == []
    assert (found.draft.left_out, said) == ({"debian": "RUN failed with exit code 1"}, [])


@pytest.mark.parametrize("ends", [True, False])
def test_generated_rungs_that_ignore_sigterm_are_built_once_more_to_end_at_it(proof, monkeypatch, ends):
    found, fails = proof
    found.verified[:] = ["today", "debian"]
    own = {"debian": {"checks": Known("{layers: {secrets: allow}}")}}
    found.draft = replace(found.draft, accepted={"debian": (gates.IGNORES,)}, own=own)
    tried = []

    def again(proof, rung):
        tried.append([rung.name])
        assert not proof.draft.own["debian"]  # a gate that allows what was found would find nothing
        proof.verified += ["debian"] if ends else []

    monkeypatch.setattr(prove, "_try", again)
    fails.append({})
    for _ in range(2):  # once is enough
        prove._end(found)
        assert tried == [["debian"]]
    assert found.verified == ["today", "debian"]
    assert ("signal.SIGTERM" in found.draft.ladder.files["build/Dockerfile"]) is ends


def test_a_generated_rung_that_ends_is_left_as_it_is_beside_one_that_does_not(proof, monkeypatch):
    found, _ = proof
    found.bound = SimpleNamespace(over=lambda: False)
    monkeypatch.setattr(prove, "_try", lambda *_: pytest.fail("tried"))
    found.verified[:] = ["today", "debian", "alpine"]
    found.draft = replace(found.draft, accepted={"debian": (gates.IGNORES,)})
    prove._end(found)
    found.verified.remove("alpine")
    found.bound = SimpleNamespace(over=lambda: True)
    prove._end(found)  # no time is left
