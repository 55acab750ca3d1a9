"""Fingerprints change when and only when an input does."""

import os
import shutil
import time
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from deadweight._errors import DeadweightError
from deadweight.builders.protocol import Inputs
from deadweight.builders.shared.common import base_values
from deadweight.plan.graph import SETTLED_NS, Digests, Fingerprint
from deadweight.records.built_image import Base
from deadweight.records.ignore import Ignore, ignore_lines
from tests.support.codes import codes, parts, raises
from tests.support.trees import written

names = st.text("abc.", min_size=1, max_size=4).filter(lambda name: name.strip(".") != "")
trees = st.dictionaries(
    st.lists(names, min_size=1, max_size=3).map("/".join), st.binary(max_size=8), min_size=1, max_size=5
)


def lay(folder: Path, tree: dict[str, bytes]) -> bool:
    """Write a tree; False where a name is both a file and a folder."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        written(folder, tree)
    except OSError:
        return False
    return True


def digest(folder: Path, values: dict[str, str] | None = None, ignore: tuple[str, ...] = ()) -> str:
    return Digests().of(Inputs((folder,), ignore, values or {}), folder.parent).digest


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(first=trees, second=trees)
def test_same_tree_same_fingerprint_other_tree_other_fingerprint(tmp_path_factory, first, second):
    base = tmp_path_factory.getbasetemp()
    one, two = base / "one" / "src", base / "two" / "src"
    if lay(one, first) and lay(two, second):
        assert (digest(one) == digest(two)) == (first == second)


@settings(max_examples=200, deadline=None)
@given(
    first=st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3),
    second=st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3),
)
def test_values_count_by_name_and_cannot_run_together(tmp_path_factory, first, second):
    folder = tmp_path_factory.getbasetemp() / "values"
    folder.mkdir(exist_ok=True)
    assert (digest(folder, first) == digest(folder, second)) == (first == second)


def test_times_owners_and_the_place_of_the_checkout_do_not_count(tmp_path):
    lay(tmp_path / "a" / "src", {"main.go": b"package main"})
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    os.utime(tmp_path / "b" / "src" / "main.go", (1, 1))
    assert digest(tmp_path / "a" / "src") == digest(tmp_path / "b" / "src")


def test_content_mode_and_link_targets_count(tmp_path):
    src = tmp_path / "src"
    lay(src, {"run.sh": b"one"})
    seen = {digest(src)}
    for change in (
        lambda: (src / "run.sh").write_bytes(b"two"),  # same size, perhaps the same time stamp
        lambda: (src / "run.sh").chmod(0o755),
        lambda: (src / "link").symlink_to("run.sh"),
        lambda: [(src / "link").unlink(), (src / "link").symlink_to("elsewhere")],
    ):
        change()
        seen.add(digest(src))
    assert len(seen) == 5


def test_what_is_named_by_a_link_is_what_the_link_leads_to(tmp_path):
    (tmp_path / "src").mkdir()
    (tmp_path / "folder").symlink_to("src")
    (tmp_path / "file").symlink_to("src/a.go")
    seen = set()
    for content in ("1", "2"):
        (tmp_path / "src/a.go").write_text(content)
        seen |= {digest(tmp_path / "folder"), digest(tmp_path / "file")}
    assert len(seen) == 4


def test_one_run_reads_a_changed_file_again(tmp_path):
    lay(tmp_path / "src", {"a": b"1"})
    digests = Digests()
    before = digests.of(Inputs((tmp_path / "src" / "a",)), tmp_path)
    (tmp_path / "src" / "a").write_bytes(b"22")
    assert digests.of(Inputs((tmp_path / "src",)), tmp_path).difference(before) == "src/a changed"


@pytest.mark.slow
def test_what_was_read_is_not_read_again_unless_it_may_have_changed(tmp_path):
    lay(tmp_path / "src", {"old": b"1", "new": b"1"})
    os.utime(tmp_path / "src/old", (1, 1))
    digests = Digests()
    digests.of(Inputs((tmp_path / "src",)), tmp_path)
    assert not digests.settled, "both have just got these times: what is written now might get the same ones"
    time.sleep(SETTLED_NS / 1e9 + 0.1)
    digests = Digests()
    before = digests.of(Inputs((tmp_path / "src",)), tmp_path)
    assert len(digests.settled) == 2
    lay(tmp_path / "src", {"old": b"2", "new": b"1"})
    after = Digests(known=digests.settled).of(Inputs((tmp_path / "src",)), tmp_path)
    assert after.difference(before) == "src/old changed"


def test_ignored_files_do_not_count(tmp_path):
    src = tmp_path / "src"
    lay(src, {"main.go": b"x", "node_modules/a/b": b"y", "keep.log": b"k", "other.log": b"o"})
    rules = ("node_modules", "*.log", "!keep.log")
    before = digest(src, ignore=rules)
    written(src, {"other.log": b"changed", "node_modules/a/b": b"changed"})
    assert digest(src, ignore=rules) == before
    (src / "keep.log").write_bytes(b"changed")
    assert digest(src, ignore=rules) != before


def test_the_difference_is_told_in_words(tmp_path):
    def of(values, *above):
        return Digests().of(Inputs(values=values), tmp_path, [Fingerprint(value, {}) for value in above])

    base, named = (base_values({name: Base("x", "x", None, stand_in=False)}) for name in ("base", "BASE"))
    for now, earlier, what, how, others in (
        (of(base), of({"base base": "y"}), ["plan.base"], "changed", 0),
        (of(named), of({}), ["plan.named_base"], "is new", 0),
        (of({}), of(named), ["plan.named_base"], "is gone", 0),
        (of({"ignore": "a"}), of({"ignore": "b"}), ["plan.ignored_files"], "changed", 0),
        (of({}, "a"), of({}, "b"), ["plan.earlier_step"], "changed", 0),
        (of({"ko": "1"}), of({"ko": "2"}), "ko", "changed", 0),
        (of({}), Fingerprint("1", {"gone.go": "1"}), "gone.go", "is gone", 0),
        (Fingerprint("2", {"(ko)": "1", "z.go": "1"}), of({"ko": "2"}), "z.go", "is new", 1),
        # the rule is why the file is gone
        (of({"ignore": "*.md"}), Fingerprint("1", {"a.md": "x", "(ignore)": ""}), ["plan.ignored_files"], "changed", 1),
    ):
        diff = parts(now.difference(earlier))[1]
        assert (codes(diff["input"]) or diff["input"], diff["how"], diff.get("others", 0)) == (what, how, others)


def test_an_input_that_cannot_be_read_is_one_clear_error(tmp_path):
    nowhere = tmp_path / "nowhere"
    with raises(DeadweightError, "plan.unreadable", path=str(nowhere), problem="No such file or directory"):
        Digests().of(Inputs((nowhere,)), tmp_path)


@pytest.mark.parametrize(("patterns", "path", "out"), [
    (("*.md",), "README.md", True), (("*.md",), "docs/README.md", False), (("**/*.md",), "docs/a/README.md", True),
    (("**/*.md",), "README.md", True), (("docs",), "docs/a/b", True), (("/docs/",), "docs/a", True),
    (("docs/*",), "docs/a/b", True), (("doc?",), "docs", True), (("doc?",), "doc/x", False), (("a[0-9]",), "a5", True),
    (("a[^0-9]",), "a5", False), (("*", "!main.go"), "main.go", False), (("!main.go", "*"), "main.go", True),
    (("a/**",), "a/b/c", True), (("a/**/c",), "a/c", True), (("[",), "[", True), (("\\*",), "*", True),
    (("\\*",), "x", False), ((".git",), ".github", False),
])  # fmt: skip
def test_ignore_rules(patterns, path, out):
    assert Ignore(patterns).matches(path) is out


def test_ignore_files_are_read_as_docker_reads_them(tmp_path):
    (tmp_path / ".dockerignore").write_text("\ufeff# comment\n\n  spaced  \n*.tar\n", encoding="utf-8")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    rules = [ignore_lines(tmp_path / name) for name in (".dockerignore", "none", "pipe", "zero")]
    assert rules == [("spaced", "*.tar"), (), (), ()]
