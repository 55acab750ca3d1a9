"""What init writes and what it never touches."""

import contextlib
import re
import runpy

import pytest

from deadweight._errors import DeadweightError, UsageError
from deadweight_init.drift import drift
from deadweight_init.records import wording
from deadweight_init.services import find_services
from deadweight_init.tree import read_tree
from deadweight_init.write.files import WrittenFiles
from tests.init.test_found import GO, brought_in, shops
from tests.support.codes import parts, raises
from tests.support.trees import written


def contents(root):
    return {str(path.relative_to(root)): path.read_text() for path in root.rglob("*") if path.is_file()}


def test_broken_off_work_leaves_everything_as_it_was(tmp_path):
    before = contents(written(tmp_path, {".gitignore": "*.log\n", "main.go": ""}))
    with contextlib.suppress(KeyboardInterrupt), WrittenFiles(tmp_path) as files:
        files.write({"deadweight.yaml": "a", "build/deep/Dockerfile": "b"})
        files.append(".gitignore", [".deadweight/"], "state")
        files.write({"deadweight.yaml": "c"})
        assert contents(tmp_path)["deadweight.yaml"] == "c"
        raise KeyboardInterrupt
    assert (contents(tmp_path), (tmp_path / "build").exists()) == (before, False)


def test_nothing_is_overwritten_unless_it_is_named(tmp_path):
    written(tmp_path, {**GO, "deadweight.yaml": "mine"})
    with raises(UsageError, "files.already_there", files="deadweight.yaml", flags="--force deadweight.yaml"):
        brought_in(tmp_path, {})
    assert set(contents(tmp_path)) == {*GO, "deadweight.yaml"}
    brought_in(tmp_path, {}, force=("deadweight.yaml",))
    with raises(UsageError, "command.no_such_file", file="nothing.yaml"):
        brought_in(tmp_path, {}, force=("nothing.yaml",))
    flags = "--force deadweight.yaml --force deadweight-build/Dockerfile"  # what an earlier run wrote
    for force in ((), ("deadweight.yaml",)):  # the line that it shows can be run as it is
        with raises(UsageError, "files.already_there") as caught:
            brought_in(tmp_path, {}, force=force)
        assert flags in str(caught.value.fields["flags"])
    brought_in(tmp_path, {}, force=tuple(re.findall(r"--force (\S+)", str(caught.value.fields["flags"]))))


def test_tasks_of_the_users_own_stay(tmp_path):
    _, outcome, _ = brought_in(tmp_path, {**GO, "tasks.py": "import celery\n"})
    assert (tmp_path / "tasks.py").read_text() == "import celery\n"
    assert [parts(message)[0] for message in outcome.notes] == ["files.to_add"]
    assert (outcome.program, brought_in(tmp_path / "other", GO)[1].program) == ("deadweight", "invoke")


@pytest.mark.parametrize("own", [
    "from invoke import task\n\n@task(\n    help={}\n)\ndef hello(c):\n    print('hi')\n",
    "from invoke import Collection, task\n\n@task\ndef hello(c):\n    print('hi')\n\nns = Collection(hello)\n",
])  # fmt: skip
def test_the_lines_for_a_tasks_file_that_is_there_keep_its_tasks(tmp_path, own):
    _, outcome, _ = brought_in(tmp_path, {**GO, "tasks.py": own})
    (message,) = (text for text in outcome.notes if text.startswith("tasks.py"))
    first, last = re.findall(r"`(.*?)`", message)[:2]
    (tmp_path / "tasks.py").write_text(f"{first}\n{own}{last}\n")
    namespace = runpy.run_path(str(tmp_path / "tasks.py"))["ns"]
    assert {"hello", "build", "verify"} <= {name.removeprefix("deadweight.") for name in namespace.task_names}
    namespace.tasks.pop("hello")  # Deadweight's namespace is one for all


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    written(tmp_path, {"blocked": ""})
    with raises(DeadweightError, "files.cannot_be_written"), WrittenFiles(tmp_path) as files:
        files.write({"deadweight.yaml": "a", "blocked/Dockerfile": "b"})
    assert set(contents(tmp_path)) == {"blocked"}


def drifted(root):
    tree = read_tree(root)
    return [parts(change) for change in drift(tree, find_services(tree))]


def test_drift_is_told(tmp_path):
    dockerfile = 'FROM ruby:3.3\nCOPY . .\nEXPOSE 9090\nCMD ["/shop"]\n'
    brought_in(tmp_path, {**GO, "Dockerfile": dockerfile})
    assert drifted(tmp_path) == []
    changed = {"Dockerfile": dockerfile.replace("9090", "7070"), "Dockerfile.slim": "FROM alpine\n"}
    written(tmp_path, {"go.mod": GO["go.mod"].replace("1.22.1", "1.24"), **changed})
    drifts = drifted(tmp_path)
    assert ("drift.port", {"suite": 9090, "place": "Dockerfile:3", "port": 7070}) in drifts
    assert ("drift.new_way", {"name": "today-slim", "what": wording("rung.as_it_is", file="Dockerfile.slim")}) in drifts
    assert ("drift.older", {"name": "slim", "file": "deadweight-build/Dockerfile", "own": "Dockerfile"}) in drifts
    (tmp_path / "Dockerfile").unlink()
    assert ("drift.file_gone", {"name": "today", "file": "Dockerfile"}) in drifted(tmp_path)


def test_an_older_language_that_trials_chose_is_no_drift(tmp_path):
    brought_in(tmp_path, {"requirements.txt": "flask\n", "app.py": "app = Flask(__name__)\n"})
    older, count = re.subn(r"python:3\.\d+-slim", "python:3.9", (tmp_path / "deadweight.yaml").read_text())
    (tmp_path / "deadweight.yaml").write_text(older)
    assert (count > 0, drifted(tmp_path)) == (True, [])
    (tmp_path / ".python-version").write_text("3.12\n")
    suites = {(fields["name"], fields["key"]): fields["suite"] for _, fields in drifted(tmp_path)}
    assert suites["debian", "bases"].startswith("BUILD python:3.9")


def test_drift_of_what_it_needs_is_told(tmp_path):
    compose = "services:\n  web: {build: ., depends_on: [db]}\n  db: {image: 'postgres:15', ports: ['5432:5432']}\n"
    brought_in(tmp_path, {**GO, "Dockerfile": 'FROM golang:1.22\nCMD ["/shop"]\n', "compose.yaml": compose})
    assert drifted(tmp_path) == []
    more = compose.replace("[db]", "[db, cache]").replace(":15", ":17") + "  cache: {image: 'redis:7'}\n"
    (tmp_path / "compose.yaml").write_text(more)
    assert drifted(tmp_path) == [
        ("drift.need", {"name": "db", "suite": "postgres:15", "place": "compose.yaml:3", "image": "postgres:17"}),
        ("drift.new_need", {"place": "compose.yaml:4", "name": "cache", "image": "redis:7"}),
    ]


def test_drift_of_one_of_several_services_is_told_with_its_name(tmp_path):
    brought_in(tmp_path, shops("cart", "mail", Dockerfile="FROM python:3.12\nCOPY . .\nEXPOSE 80\n"), service="all")
    assert drifted(tmp_path) == []
    (tmp_path / "mail/Dockerfile").write_text("FROM python:3.12\nCOPY . .\nEXPOSE 81\n")
    drifts = drifted(tmp_path)
    assert {(code, fields["service"]) for code, fields in drifts} == {("drift.of", "mail")}
    older = {"file": "deadweight-build/mail/Dockerfile", "own": "mail/Dockerfile"}
    assert [parts(fields["what"]) for _, fields in drifts] == [
        ("drift.older", {"name": "slim", **older}),
        ("drift.older", {"name": "alpine", **older}),
        ("drift.port", {"suite": 80, "place": "mail/Dockerfile:3", "port": 81}),
    ]
