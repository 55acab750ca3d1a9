"""A draft on its way to be proved: what is built counts as long as its last build did not fail."""

import contextlib
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from deadweight._errors import CheckFailed, CommandError, DeadweightError, wording as core
from deadweight.builders.shared.diagnosis import Code
from deadweight_init.command import Outcome
from deadweight_init.draft import Draft, first_draft
from deadweight_init.prove import run
from deadweight_init.prove.observe import Down, NotUp, missing_variable
from deadweight_init.prove.proof import Proof, TimeLimit, Tools
from deadweight_init.records import wording
from deadweight_init.remedies import REMEDIES, Case, advice, next_remedy
from deadweight_init.services import find_services
from deadweight_init.task import _document, _show
from deadweight_init.tree import read_tree
from deadweight_init.write.suite import suite_text
from tests.init.test_found import recipe
from tests.support.codes import parts, raises
from tests.support.trees import written

GO = {"go.mod": "module x.org/y\n", "main.go": 'package main\n\nimport _ "net/http"\n\nfunc main() {}\n'}
PYTHON = {"app.py": "import flask\n", "requirements.txt": "flask\n"}


@pytest.fixture
def proof(request, tmp_path, monkeypatch):
    """A proof of recipes, the list of what their builds fail of in turn, and the rungs by name."""
    root = written(tmp_path, getattr(request, "param", PYTHON))
    fails: list[DeadweightError | None] = []

    def build(_workspace: object, _variant: object) -> None:
        if fails and (error := fails.pop(0)) is not None:
            raise error

    draft = first_draft(find_services(read_tree(root))[0], "build")
    subject = Proof(draft, SimpleNamespace(root=root), Tools(lambda line: None, build))
    rungs = {rung.name: rung for rung in subject.draft.ladder.rungs}
    opened = SimpleNamespace(suite=SimpleNamespace(variants=[SimpleNamespace(name=name) for name in rungs]))
    monkeypatch.setattr(Proof, "workspace", lambda self: contextlib.nullcontext(opened))
    monkeypatch.setattr("deadweight_init.prove.proof._engine_runs", lambda: False)
    return subject, fails, rungs


def failed(line: int | None, cause: Code = Code.LOCK, code: int | None = 7) -> CommandError:
    """A tool's, at this line of the Dockerfile."""
    error = CommandError(["x"], exit_code_of_command=code, reason="", log=Path("/shop/logs/a.log"))
    error = error.reworded(core("builders.tool_failed", what="debian", reason="no milk"), ["giving up"], None, cause)
    error.line = line
    return error


@pytest.mark.parametrize(("error", "reason"), [
    (DeadweightError("no such package"), "no such package"),
    (failed(None), "no milk (giving up)"),
    (failed(None, Code.UNKNOWN, None), "no milk (giving up)"),  # it took too long
    (failed(None, Code.UNKNOWN), f"{wording('refused.unknown', log='logs/a.log')} (giving up)"),
])  # fmt: skip
def test_a_rung_that_was_built_and_whose_next_build_fails_is_not_built(proof, error, reason):
    """The reason is its cause; where that is unknown, where its log is."""
    subject, fails, rungs = proof
    subject.written.root = Path("/shop")
    fails += [None, error]
    assert (subject.build(rungs["debian"]), subject.draft.left_out) == (True, {})
    assert (subject.build(rungs["debian"]), subject.draft.left_out) == (False, {"debian": reason})


@pytest.mark.parametrize("proof", [GO], indirect=True)
@pytest.mark.parametrize(("line", "built"), [(9, [False] * 4), (999, [False, True, True, True])])
def test_a_stage_that_fails_is_built_once_however_many_rungs_share_it(proof, line, built):
    """The last one is shared by none."""
    subject, fails, rungs = proof
    fails.append(failed(line))
    assert [subject.build(rungs[name]) for name in ("debian", "alpine", "chainguard", "distroless")] == built
    assert len(subject.draft.left_out) == built.count(False)


@pytest.mark.parametrize("proof", [dict.fromkeys(("Dockerfile", "Dockerfile.b"), "FROM scratch\n")], indirect=True)
def test_an_own_image_that_does_not_come_up_is_told_as_a_failure(proof, monkeypatch, capfd):
    subject, _, _ = proof
    monkeypatch.setattr(run, "_why_not_up", lambda _, rung: {"today": NotUp(Down.ENDED, "it ended")}.get(rung.name))
    down = {"today": wording("suite.not_up", reason="it ended")}
    assert (run.find_reference(subject), subject.draft.down) == ("today-b", down)
    draft = replace(subject.draft, accepted={"today-b": ()}, proven=True, is_tried=True)
    assert f"# {down['today']}\n" in suite_text(draft)
    assert _document(Outcome((draft,), ()))["services"][0]["verified"] == ["today-b"]
    for outcome in (Outcome((draft,), ()), Outcome((replace(draft, down={}),), (), left_out=down)):
        with raises(CheckFailed, "task.not_up", reasons=f"today: {down['today']}"):
            _show(outcome)
        assert wording("task.works_unknown", works=0, known=0) in capfd.readouterr().err


def test_the_clock_stands_still_while_bases_are_made():
    bound = TimeLimit(0.2 / 60)
    with bound.stopped():
        time.sleep(0.5)  # longer than the bound
    assert not bound.over()
    time.sleep(0.3)
    assert (bound.over(), TimeLimit(0).over()) == (True, False)


# The table of remedies: for which failure each is, what it changes, and that none is for another.
OWN = {"Dockerfile": 'FROM debian:12\nENV MODE=prod\nCMD ["/shop"]\n'}
COMPOSE = "services:\n  web:\n    build: .\n    environment: {MODE: debug, URL: 'http://db', LEVEL: '1'}\n"
NODE = {"package.json": '{"scripts": {"start": "node a.js"}}', "package-lock.json": "{}", "a.js": "x.listen(80)\n"}
SHOWN = {"shown": wording("advice.shown", place="README.md:3")}


def case(root, files, code, **more):
    tree = read_tree(written(root / "shop", files))
    (service,) = find_services(tree)
    draft = recipe(service) if "Dockerfile" not in files else first_draft(service, "build")
    return Case(draft, draft.rungs[0], code, tree, **more)


@pytest.mark.parametrize(("files", "code", "more", "name"), [
    (NODE, Code.LOCK, {"step": "RUN npm ci"}, None),
    (NODE, Code.COMPILER, {"step": "RUN npm ci"}, "compiler"),
    (PYTHON, Code.UNKNOWN, {"step": "RUN pip install -r requirements.txt"}, "compiler"),
    (PYTHON, Code.UNKNOWN, {"step": "RUN make"}, None),
    (PYTHON, Code.NETWORK, {"step": "RUN pip install -r requirements.txt"}, None),
    (PYTHON, Down.ENDED, {"log": ("ImportError: cannot import name 'Mapping' from 'collections'",)}, None),
    (PYTHON, Down.ENDED, {"log": ("sqlite3.OperationalError: unable to open database file",)}, "own_files"),
    (OWN, Down.ENDED, {"log": ("mkdir /data: permission denied",)}, None),
    ({**OWN, "compose.yaml": COMPOSE}, Down.ENDED, {}, "own_settings"),
    ({**OWN, "compose.yaml": COMPOSE}, Down.NOT_HARDENED, {}, None),
    ({**OWN, ".env.example": "LEVEL=3\nEMPTY=\n"}, Down.MISSING_VARIABLE, {}, "shown_environment"),
    (OWN, Code.COMPILER, {"step": "RUN pip install x"}, None),
])  # fmt: skip
def test_a_remedy_is_for_its_failure_and_is_recorded(tmp_path, files, code, more, name):
    again = next_remedy(case(tmp_path, files, code, **more))
    assert (again and again[0]) == name
    assert again is None or again[1].remedies == (name,)


def test_each_remedy_comes_to_an_end(tmp_path):
    def last(now: Case) -> Draft:
        while (again := next_remedy(now)) is not None:
            now = replace(now, draft=again[1])
        return now.draft

    draft = last(case(tmp_path, {**OWN, "compose.yaml": COMPOSE, ".env.example": "A=1\n"}, Down.ENDED))
    assert draft.remedies == ("own_settings", "shown_environment")
    assert draft.run["env"].value == {"URL": "http://db", "LEVEL": "1", "A": "1"}
    draft = last(case(tmp_path / "recipe", PYTHON, Down.ENDED, log=("permission denied",)))
    assert draft.remedies == ("own_files",)
    assert len({remedy.name for remedy in REMEDIES}) == len(REMEDIES)


@pytest.mark.parametrize(("line", "variable"), [
    ("KeyError: 'DATABASE_URL'", "DATABASE_URL"),
    ("panic: environment variable API_KEY is not set", "API_KEY"),
    ("Error: JWT_SECRET must be set", "JWT_SECRET"),
    ("Could not resolve placeholder 'shop.name' in value", "shop.name"),
    ("connection refused", ""),
    ("INFO listening", ""),
])  # fmt: skip
def test_the_variable_for_want_of_which_it_ended_is_a_field(line, variable):
    assert missing_variable([line]) == variable


@pytest.mark.parametrize(("down", "variable", "step", "fields"), [
    (Down.MISSING_VARIABLE, "TOKEN", "variable", {"variable": "TOKEN", "place": " (app.py:2)"}),
    (Down.MISSING_VARIABLE, "OTHER", "variable", {"variable": "OTHER", "place": ""}),
    (Down.ONLY_LOOPBACK, "", "loopback", {"place": " (app.py:3)"}),
    (Down.ENDED_WITH_0, "", "command", SHOWN),
    (Down.ENDED, "", "anything", SHOWN),
])  # fmt: skip
def test_what_is_missing_is_one_sentence_of_advice(tmp_path, down, variable, step, fields):
    code = 'import os\ntoken = os.environ["TOKEN"]\napp.run(host="127.0.0.1")\n'
    files = {**OWN, "app.py": code, "README.md": "# Shop\n\n    docker run shop\n"}
    given, error = case(tmp_path, files, down), NotUp(down, "x", (), variable)
    assert parts(advice(error, given.draft, given.tree, "make")) == (f"advice.{step}", {**fields, "program": "make"})
