"""Which tests ``pytest --changed`` runs."""

import pytest

from tests.support import TESTS
from tests.support.changed import ALWAYS, DOCS, PACKAGES, changed_paths, selected, targets
from tests.support.trees import git


@pytest.mark.parametrize(
    ("paths", "wanted"),
    [
        ([], [ALWAYS]),
        (["src/deadweight_pool/pool.py"], ["tests/pool", ALWAYS]),
        (
            ["tests/images/inspect/test_cost.py", "src/deadweight_init/__init__.py"],
            ["tests/images", "tests/init", ALWAYS],
        ),
        (["docs/how-to/attacks.md", "README.md"], [DOCS, ALWAYS]),
        (["src/deadweight_attacks/harden/trial.py", "src/deadweight/_run.py"], ["tests"]),
        (["tests/support/changed.py"], ["tests"]),
        (["pyproject.toml"], ["tests"]),
    ],
)
def test_a_package_s_own_tests_run_and_all_for_the_core(paths, wanted):
    assert targets(paths) == wanted


@pytest.mark.parametrize("name", PACKAGES)
def test_every_package_has_a_folder_of_tests(name):
    assert list((TESTS / name).rglob("test_*.py"))


def test_what_is_committed_edited_moved_and_new_counts(tmp_path):
    git(tmp_path, "init", "-q", "-b", "main")
    for name in ("a", "b", "c", "same"):
        (tmp_path / name).write_text(name)
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "first")
    git(tmp_path, "switch", "-qc", "topic")
    assert selected(tmp_path) == [ALWAYS]
    git(tmp_path, "mv", "a", "moved")
    git(tmp_path, "commit", "-qm", "moved")
    (tmp_path / "b").write_text("edited")
    (tmp_path / "new").write_text("")
    assert changed_paths(tmp_path) == ["a", "b", "moved", "new"]
    git(tmp_path, "branch", "-q", "-D", "main")
    assert changed_paths(tmp_path) is None
    assert selected(tmp_path) == ["tests"]
