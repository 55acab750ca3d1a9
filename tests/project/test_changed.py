"""Only what changed: which variants a commit reaches, told by what their fingerprints are made of."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from deadweight._errors import UsageError, wording
from deadweight.project import changed
from deadweight.project.build import plan
from deadweight.project.git import head
from deadweight.project.workspace import Workspace
from deadweight.records.runs import load_scope
from deadweight.report.model import BuildRecord, Report
from tests.support import report_samples as samples
from tests.support.codes import parts, raises
from tests.support.trees import git, shell_script, written

SUITE = """\
name: many
variants:
  one: {builder: dockerfile, source: one, dockerfile: one/Dockerfile}
  two: {builder: dockerfile, source: two, dockerfile: files/two.Dockerfile}
  slim: {builder: dockerfile, source: two, dockerfile: files/slim.Dockerfile}
defaults: {port: 8080}
"""
FILES = {
    "deadweight.yaml": SUITE, "one/Dockerfile": "FROM scratch\nCOPY . /\n", "one/main.c": "one",
    "one/notes.md": "notes", "one/.dockerignore": "*.md\n", "two/main.c": "two", "two/lib/a.c": "a",
    "files/two.Dockerfile": "FROM scratch\nCOPY . /\n", "files/slim.Dockerfile": "FROM scratch\nCOPY main.c /\n",
    "README.md": "hello",
}  # fmt: skip


def committed(root: Path, repository: Path) -> Path:
    written(root, {**FILES, ".deadweight/settings.json": '{"source": "registry"}'})
    git(repository, "init", "-q", "-b", "main")
    (repository / ".gitignore").write_text(".deadweight\n")
    git(repository, "add", "-A")
    git(repository, "commit", "-qm", "first")
    return root


@pytest.fixture
def root(tmp_path) -> Path:
    """A project in a folder of its repository, with one commit."""
    return committed(tmp_path / "repository" / "project", tmp_path / "repository")


def opened(root: Path) -> Workspace:
    return Workspace.open(lambda _line: None, root / "deadweight.yaml")


def since(root: Path, revision: str = "HEAD") -> dict[str, str]:
    workspace = opened(root)
    return changed.since(workspace, revision, workspace.suite.variants)


@pytest.mark.parametrize(("file", "reached"), [
    ("one/main.c", ["one"]), ("two/lib/a.c", ["two", "slim"]), ("two/new file.c", ["two", "slim"]),
    ("files/slim.Dockerfile", ["slim"]), ("one/notes.md", []), ("one/.dockerignore", ["one"]),
    ("files/two.Dockerfile.dockerignore", []), ("README.md", []), (".deadweight/images/one/built.json", []),
    ("-two/lib/a.c", ["two", "slim"]),
])  # fmt: skip
def test_a_changed_file_reaches_whom_it_is_input_of(root, file, reached):
    """Also one that is gone."""
    written(root, {file.lstrip("-"): "changed"})
    if file.startswith("-"):
        (root / (file := file[1:])).unlink()
    reasons = since(root)
    assert list(reasons) == reached
    assert all(file in why for why in reasons.values())


def test_a_project_below_a_state_folder_is_no_state(tmp_path):
    root = committed(tmp_path / ".deadweight" / "work", tmp_path / ".deadweight" / "work")
    (root / "one/main.c").write_text("new")
    assert list(since(root)) == ["one"]


def test_a_committed_change_counts_and_what_the_other_branch_did_does_not(root):
    git(root, "switch", "-qc", "feature")
    (root / "one/main.c").write_text("feature")
    git(root, "commit", "-qam", "feature")
    git(root, "switch", "-q", "main")
    (root / "two/main.c").write_text("main moves on")
    git(root, "commit", "-qam", "main")
    git(root, "switch", "-q", "feature")
    assert list(since(root, "main")) == ["one"]


ALL = dict.fromkeys(("one", "two", "slim"), wording("project.all_changed", file="deadweight.yaml"))
OWN_PORT = SUITE.replace("source: one,", "source: one, port: 8080,")


@pytest.mark.parametrize(("suite", "reasons"), [
    (SUITE, {}), (f"# words\n{SUITE}", {}),
    (SUITE.replace("source: one,", "source: one, port: 81,"), {"one": "deadweight.yaml changed"}),
    (OWN_PORT.replace("{port: 8080}", "{port: 9}"), dict.fromkeys(("two", "slim"), "deadweight.yaml changed")),
    (f"{SUITE}scan: {{timeout_seconds: 5}}\n", ALL),
], ids=["nothing", "a comment", "one", "defaults", "what holds for all"])  # fmt: skip
def test_variants_that_the_suite_says_something_else_of(root, suite, reasons):
    (root / "deadweight.yaml").write_text(suite)
    assert since(root) == reasons


NO_REVISIONS = {"nowhere": "no_common_commit", "-x": "no_revision", "": "no_revision", "HEAD~5": "no_common_commit"}


@pytest.mark.parametrize(("revision", "code"), NO_REVISIONS.items())
def test_a_revision_that_is_none_is_told(root, revision, code):
    with raises(UsageError, f"project.{code}", revision=revision):
        since(root, revision)


def test_outside_of_git_that_is_told(tmp_path):
    written(tmp_path, FILES)
    with raises(UsageError, "project.not_in_git", folder=tmp_path):
        since(tmp_path)
    assert head(tmp_path) is None


def test_from_a_report_those_with_other_inputs_and_those_that_it_does_not_tell(root):
    def chosen(before: Report) -> list[str]:
        return list(changed.changed_from(opened(root), before, opened(root).suite.variants))

    workspace = opened(root)
    digests = {task.step.key: task.fingerprint.digest for task in plan(workspace, workspace.suite.variants).tasks}
    names = [variant.name for variant in workspace.suite.variants]
    builds = (BuildRecord(1.0, False, samples.WHEN, "t", fingerprint=digests[f"image:{name}"]) for name in names)
    before = samples.report({name: samples.variant(build=build) for name, build in zip(names, builds, strict=True)})
    assert chosen(before) == []
    records = {name: record for name, record in before.variants.items() if name != "one"}
    records["two"] = replace(records["two"], build=None)
    assert chosen(replace(before, variants=records)) == ["one", "two"]
    (root / "two/main.c").write_text("more")
    assert chosen(before) == ["two", "slim"]


def test_a_run_notes_what_it_was_for(root):
    (root / "two/main.c").write_text("more")
    workspace = opened(root)
    choice = changed.choose(workspace, (), {"CI_NODE_INDEX": "1", "CI_NODE_TOTAL": "2"}, since="HEAD")
    scope = load_scope(workspace.state)
    assert (scope.chosen, scope.mine) == (("two", "slim"), tuple(variant.name for variant in choice.variants))
    assert (scope.index, scope.total, scope.why.split()[-1]) == (1, 2, "HEAD")
    assert scope.commit == git(root, "rev-parse", "HEAD")
    changed.choose(workspace, (), {})
    assert load_scope(workspace.state) is None


def test_shards_of_ci_do_not_divide_what_was_named(root):
    workspace = opened(root)
    ci = {"CI_NODE_INDEX": "1", "CI_NODE_TOTAL": "3"}
    named = changed.choose(workspace, ("one", "two"), ci)
    assert [variant.name for variant in named.variants] == ["one", "two"]
    code, fields = parts(named.lines[0])
    assert (code, fields["origin"]) == ("project.shard_ignored", "CI_NODE_INDEX/CI_NODE_TOTAL")
    shares = [changed.choose(workspace, ("one", "two"), ci, shard=f"{number}/2").variants for number in (1, 2)]
    assert sorted(variant.name for share in shares for variant in share) == ["one", "two"]


def test_a_pod_that_does_not_know_how_many_there_are_says_so(root):
    choice = changed.choose(opened(root), (), {"JOB_COMPLETION_INDEX": "1"})
    assert len(choice.variants) == 3
    names = {"index": "JOB_COMPLETION_INDEX", "total": "DEADWEIGHT_SHARDS"}
    assert parts(choice.lines[0]) == ("project.how_many_pods", names)
    assert changed.choose(opened(root), ("one",), {"JOB_COMPLETION_INDEX": "1"}).lines == ()


def test_what_a_budget_compares_with_is_built_beside(root):
    (root / "deadweight.yaml").write_text(SUITE.replace("slim: {", "slim: {checks: {budget: {smaller_than: one}}, "))
    parts = [changed.choose(opened(root), (), {}, shard=f"{number}/3") for number in (1, 2, 3)]
    mine = next(part for part in parts if "slim" in [variant.name for variant in part.variants])
    assert {"slim", "one"} <= {variant.name for variant in mine.to_build}


def test_links_are_followed_to_what_changed(root):
    (root / "three").symlink_to("two")
    (root / "files/three.Dockerfile").symlink_to("two.Dockerfile")
    three = "  three: {builder: dockerfile, source: three, dockerfile: files/three.Dockerfile}\n"
    (root / "deadweight.yaml").write_text(SUITE.replace("defaults:", f"{three}defaults:"))
    git(root, "add", "-A")
    git(root, "commit", "-qm", "links")
    (root / "two/lib/a.c").write_text("b")
    assert set(since(root)) == {"two", "slim", "three"}
    git(root, "commit", "-qam", "next")
    (root / "files/two.Dockerfile").write_text("FROM scratch\n")
    assert set(since(root)) == {"two", "three"}


def test_builders_of_variants_that_are_far_from_a_change_are_not_asked(root, monkeypatch):
    seen, builder = [], Workspace.builder
    monkeypatch.setattr(Workspace, "builder", lambda self, variant: seen.append(variant.name) or builder(self, variant))
    (root / "two/main.c").write_text("changed")
    assert (set(since(root)), set(seen)) == ({"two", "slim"}, {"two", "slim"})


def test_git_is_asked_before_the_suite_is_read(root):
    """What git says later is not waited for: its answers are those of the moment when the workspace was opened."""
    (root / "one/main.c").write_text("changed")
    workspace = Workspace.open(lambda _line: None, root / "deadweight.yaml", since="HEAD")
    workspace.asked.paths()
    (root.parent / ".git").rename(root.parent / "gone")
    assert set(changed.since(workspace, "HEAD", workspace.suite.variants)) == {"one"}
    with raises(UsageError, "project.not_in_git"):
        changed.since(workspace, "HEAD~1", workspace.suite.variants)


@pytest.mark.parametrize("place", ["./two", "two/", "two/../two", "{root}/two", "three/../two"])
def test_a_folder_may_be_written_in_any_way(root, place):
    (root / "three").symlink_to("one")
    text = SUITE.replace("two, dockerfile: files/two", f"{place.format(root=root)}, dockerfile: files/two")
    (root / "deadweight.yaml").write_text(text)
    git(root, "add", "-A")
    git(root, "commit", "-qm", "other words")
    (root / "two/lib/a.c").write_text("b")
    assert set(since(root)) == {"two", "slim"}


def test_an_older_git_is_asked_in_its_own_way(root, tmp_path, monkeypatch):
    """Before 2.30, ``git diff`` knows no ``--merge-base``."""
    real = shutil.which("git")
    refuses = 'case "$*" in "diff "*--merge-base*) exit 129;; esac'
    shim = shell_script(tmp_path / "bin" / "git", f'{refuses}\nexec {real} "$@"')
    monkeypatch.setenv("PATH", str(shim.parent), prepend=":")
    (root / "one/main.c").write_text("changed")
    assert set(since(root)) == {"one"}
