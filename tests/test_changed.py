"""Which tests ``pytest --changed`` runs."""

import subprocess

import pytest

from tests.support import TESTS
from tests.support.changed import ALWAYS, DOCS, PACKAGES, changed_paths, selected, targets


@pytest.mark.parametrize(
    ("paths", "wanted"),
    [
        ([], [ALWAYS]),
        (["src/deadweight_pool/pool.py"], ["tests/pool", ALWAYS]),
        (
            ["tests/images/inspect/test_cost.py", "src/deadweight_init/__init__.py"],
            ["tests/images", "tests/init", ALWAYS],
        ),
        (["docs/how-to/attacks.md", "README.md"], [*DOCS, ALWAYS]),
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
    def git(*words):
        subprocess.run(["git", "-c", "user.name=x", "-c", "user.email=x@example.com", *words], cwd=tmp_path, check=True)

    git("init", "-q", "-b", "main")
    for name in ("a", "b", "c", "same"):
        (tmp_path / name).write_text(name)
    git("add", ".")
    git("commit", "-qm", "first")
    git("switch", "-qc", "topic")
    assert selected(tmp_path) == [ALWAYS]
    git("mv", "a", "moved")
    git("commit", "-qm", "moved")
    (tmp_path / "b").write_text("edited")
    (tmp_path / "new").write_text("")
    assert changed_paths(tmp_path) == ["a", "b", "moved", "new"]
    git("branch", "-q", "-D", "main")
    assert changed_paths(tmp_path) is None
    assert selected(tmp_path) == ["tests"]
