"""Words behind a task are variants: their names, the beginning of one, one check of one, and words that the project remembers."""

import json

import pytest

from deadweight._errors import MissingError, UsageError, wording
from deadweight.project.workspace import Workspace
from deadweight.tasks import _words, namespace
from deadweight.tasks._words import meant, meant_one
from tests.support.codes import raises
from tests.support.fault_project import FaultProject
from tests.support.invoking import Terminal
from tests.support.small_project import write_suite

pytestmark = pytest.mark.system


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    names = ("alpine", "alpine-small", "jib", "cart")
    variants = ", ".join(f"{name}: {{}}" for name in names)
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    defaults = "defaults: {port: 8080, builder: dockerfile, dockerfile: Dockerfile}"
    write_suite(tmp_path, f"name: x\n{defaults}\nvariants: {{{variants}}}\n")
    return Workspace.open(print, tmp_path / "deadweight.yaml")


def named(workspace: Workspace, *words: str) -> list[str]:
    return [variant.name for variant in meant(workspace, words)]


def test_names_and_the_beginning_of_one_alone(workspace):
    assert named(workspace, "j") == ["jib"]
    assert named(workspace, "alpine") == ["alpine"], "the whole name of one is no beginning of another"
    assert named(workspace, "alpine-") == ["alpine-small"]
    with raises(UsageError, "suite.misspelt", kind="variant", name="alpin", near="alpine") as caught:
        named(workspace, "alpin")
    assert caught.value.hint == "choose one: alpine, alpine-small"


def test_what_was_named_last_is_remembered(workspace):
    with raises(MissingError, "tasks.none_recalled", word="@last"):
        named(workspace, "@last")
    named(workspace, "jib", "cart")
    assert (named(workspace), named(workspace, "@last")) == (["alpine", "alpine-small", "jib", "cart"], ["jib", "cart"])
    meant(workspace, ["alpine"], note=False)
    assert named(workspace, "@last") == ["jib", "cart"]


def test_what_failed_is_meant_and_what_the_report_says_to_ship(workspace, monkeypatch):
    with raises(MissingError, "tasks.none_recalled", word="@failed"):
        named(workspace, "@failed")
    monkeypatch.setattr(workspace, "failed", lambda name: "why" if name == "cart" else None)
    assert named(workspace, "@failed", "jib") == ["jib", "cart"]
    monkeypatch.setitem(_words.RECALLED, "@ship", lambda _: ["alpine"])
    assert meant_one(workspace, "@ship").name == "alpine"


def test_short_flags_are_those_of_every_task_that_has_them():
    flags = {name: task.get_arguments() for name, task in namespace.tasks.items()}
    letters = {name: {flag for one in ours for flag in one.names[1:]} for name, ours in flags.items()}
    assert (letters["build"], letters["verify"], letters["logs"]) == ({"v", "f", "j", "w"}, {"v", "w"}, {"v", "f"})


@pytest.mark.slow
def test_words_reach_the_task_and_a_check_is_named_with_its_variant(tmp_path):
    project = FaultProject.make(tmp_path, one="cp src/a.txt $OUT", other="cp src/a.txt $OUT")
    rows = json.loads(project.invoke("build", "on", "-f", "--plan", "--json", code=0).output)["steps"]
    assert [(row["variants"], row["run"]) for row in rows] == [(["one"], True)]
    done = project.invoke("verify", "ot/layers", code=2)
    assert wording("checks.not_asked_for", name="layers", variants="other") in done.errors


@pytest.mark.slow
@pytest.mark.parametrize(("keys", "code"), [("ca\r", 3), ("\x03", 130)])
def test_whoever_sits_at_a_terminal_picks_one(workspace, keys, code):
    """It is not built; Ctrl-C ends the choice."""
    with Terminal.invoke(workspace.suite.root, "layers") as terminal:
        terminal.shows("cart")
        terminal.type(keys)
        assert terminal.wait() == code, terminal.text
    assert (wording("project.image_missing", variant="cart") in terminal.text) == (code == 3)
