"""Which builder a name means, and what a third party's builder may do to us."""

from __future__ import annotations

import sys

import pytest

from deadweight._errors import DeadweightError
from deadweight.builders import table
from deadweight.suite.model import Variant

PLUGIN = """
class Good:
    name = "good"
    def needs(self, variant, root): raise ZeroDivisionError("a bug of theirs")
    def steps(self, variant, site): return ()
    def archive(self, variant, built, site): raise KeyError("no archive")

class Lame:
    name = "lame"
    def needs(self, variant, root): return None

class Broken:
    def __init__(self): raise RuntimeError("cannot start")
"""


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """A real installed distribution with entry points, as far as Python can tell."""
    (tmp_path / "their_plugin.py").write_text(PLUGIN)
    info = tmp_path / "their_plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-plugin\nVersion: 1.0\n")
    points = "".join(f"{kind.lower()} = their_plugin:{kind}\n" for kind in ("Good", "Lame", "Broken", "Absent"))
    (info / "entry_points.txt").write_text(f"[deadweight.builders]\n{points}")
    monkeypatch.syspath_prepend(tmp_path)
    table.builder.cache_clear()
    yield
    table.builder.cache_clear()
    sys.modules.pop("their_plugin", None)


def test_ours_are_there_by_name():
    assert [table.builder(name).name for name in table.names()] == list(table.names())


def test_ours_never_read_entry_points(monkeypatch):
    import importlib.metadata

    def refuse(**_):
        raise AssertionError("entry points were read")

    monkeypatch.setattr(importlib.metadata, "entry_points", refuse)
    table.builder.cache_clear()
    assert table.builder("ko").name == "ko"


def test_nobody_registered_it():
    with pytest.raises(LookupError):
        table.builder("kaniko")


def test_their_errors_carry_their_name(plugin, tmp_path):
    builder = table.builder("good")
    variant = Variant(name="v", builder="good")
    with pytest.raises(DeadweightError, match=r"'good' \(their_plugin:Good, from their-plugin\).*v: ZeroDivisionError"):
        builder.needs(variant, tmp_path)
    with pytest.raises(DeadweightError, match="KeyError"):
        builder.archive(variant, None, None)
    assert builder.steps(variant, None) == ()


@pytest.mark.parametrize(
    ("name", "words"),
    [("lame", "lacks steps, archive"), ("broken", "RuntimeError: cannot start"), ("absent", "Absent")],
)
def test_a_builder_that_is_none(plugin, name, words):
    with pytest.raises(DeadweightError, match=words) as caught:
        table.builder(name)
    assert "their-plugin" in str(caught.value) or "their_plugin" in str(caught.value)
