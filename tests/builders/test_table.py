"""Which builder a name means, and what a third party's builder may do to us."""

import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from deadweight._errors import ConfigError, DeadweightError, wording
from deadweight.builders import table
from deadweight.builders.protocol import Inputs, Step
from deadweight.builders.table import Guarded, _wrong_record
from deadweight.builders.variants import KoVariant
from tests.support.codes import codes
from tests.support.small_project import write_suite
from tests.support.trees import plug_in

PLUGIN = """
from typing import Any
from pydantic import ConfigDict
from deadweight.plugins import system_program
from deadweight.suite.model import Variant
from deadweight.suite.values import Flag, Text

class Keys(Variant):
    file: Text | None = None
    quick: Flag = False

class Ours(Keys):
    port: Text = "http"

class Loose(Keys):
    model_config = ConfigDict(frozen=False, extra="allow")

class Good:
    name = "good"
    record = Keys
    def needs(self, variant, root): ...
    def steps(self, variant, site): ...
    def archive(self, variant, built, site): ...

class Lame:
    name = "lame"
    def needs(self, variant, root): return None

class Broken:
    def __init__(self): raise RuntimeError("cannot start")

Keyless, Plain, Greedy, Sloppy = (type("Of", (Good,), {"record": record}) for record in (None, dict, Ours, Loose))
Thief = type("Thief", (Good,), {"programs": (system_program("ko", apt=("ko",)),)})
Vague = type("Vague", (Good,), {"programs": ("buildah",)})
"""
WRONG = {
    "lame": "plugins.lacks_methods", "broken": "RuntimeError: cannot start",
    "absent": "AttributeError: module 'their_plugin' has no attribute 'Absent'", "keyless": "builders.no_record",
    "plain": "builders.wrong_record", "greedy": "builders.reserved_keys", "sloppy": "builders.changed_config",
    "thief": "toolchain.name_taken", "vague": "toolchain.no_program", "twice": "plugins.registered_twice",
    "raising": "ModuleNotFoundError: No module named 'nowhere'",
}  # fmt: skip


def forget():
    table.builder.cache_clear()
    table.record.cache_clear()


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """Real installed distributions with entry points, as far as Python can tell."""
    folder = tmp_path / "installed"
    kinds = ("Good", "Lame", "Broken", "Absent", "Keyless", "Plain", "Greedy", "Sloppy", "Thief", "Vague")
    points = {kind.lower(): f"their_plugin:{kind}" for kind in kinds}
    points |= {"twice": "their_plugin:Good", "raising": "raising_plugin:Any"}
    modules = {"their_plugin": PLUGIN, "raising_plugin": "import nowhere\n"}
    plug_in(folder, "their-plugin", "builders", points, **modules)
    plug_in(folder, "other", "builders", {"twice": "other:Twice"})
    monkeypatch.syspath_prepend(folder)
    forget()
    yield folder
    forget()
    sys.modules.pop("their_plugin", None)


def test_ours_never_read_entry_points(monkeypatch):
    monkeypatch.setattr("importlib.metadata.entry_points", None)
    forget()
    assert table.record("ko") is KoVariant
    for name in table.names():
        builder = table.builder(name)
        assert (builder.name, builder.record) == (name, table.record(name))
        assert _wrong_record(builder.record) == "", "a key of its own is one that every variant has"


def test_nobody_registered_it():
    with pytest.raises(LookupError):
        table.builder("kaniko")


def returned(call: str, expected: str, actual: str) -> str:
    return wording("plugins.returned", call=call, expected=expected, found=actual)


DIVIDED = "v: ZeroDivisionError: division by zero"
RETURNS = {
    "needs": ({"needs": lambda *_: None}, returned("needs()", "Needs", "NoneType")),
    "steps": ({"steps": lambda *_: [1]}, returned("steps()", "tuple", "list")),
    "step": ({"steps": lambda *_: (1,)}, returned("steps()", "Step", "int")),
    "archive": ({"archive": lambda *_: "image.tar"}, returned("archive()", "Path", "str")),
    "no archive": ({"archive": lambda *_: Path("/no/such")}, "/no/such"),
    "no image": ({"work": lambda _: None}, returned("work()", "BuiltImage", "NoneType")),
    "work raises": ({"work": lambda _: 1 / 0}, DIVIDED), "needs raises": ({"needs": lambda *_: 1 / 0}, DIVIDED),
    "steps raises": ({"steps": lambda *_: 1 / 0}, DIVIDED),
    "archive raises": ({"archive": lambda *_: {"x": 1}["y"]}, "v: KeyError"),
    "no step": ({"steps": lambda *_: ()}, "'image:v'"),
}  # fmt: skip


@pytest.mark.parametrize(("made", "message"), RETURNS.values(), ids=RETURNS)
def test_what_a_plug_in_returns_wrongly_is_one_error_with_its_name(plugin, tmp_path, made, message):
    builder = table.builder("good")
    variant = builder.record(name="v", builder="good")
    step = Step("image:v", "v", "v", Inputs(), lambda: True, made.get("work", lambda _: None))
    assert isinstance(builder, Guarded)
    for method, answer in {"steps": lambda *_: (step,), **made}.items():
        setattr(builder.inner, method, answer)

    def use():
        if "needs" in made:
            builder.needs(variant, tmp_path)
        if "archive" in made:
            builder.archive(variant, None, None)
        builder.steps(variant, None)[-1].work(None)

    with pytest.raises(DeadweightError) as caught:
        use()
    assert "builder 'good' (their_plugin:Good, from their-plugin 1.0)" in str(caught.value)
    assert message in str(caught.value)
    assert caught.value.hint


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_plug_in_is_one_error_at_the_line_that_names_it(plugin, tmp_path, name):
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, f"  v:\n    builder: {name}\n    file: x\n  w: {{builder: {name}}}\n")
    assert (caught.value.exit_code, caught.value.key, caught.value.line) == (2, "variants.v.builder", 4)
    assert WRONG[name] in codes(caught.value.problem) or WRONG[name] in str(caught.value)
    assert "from their-plugin" in str(caught.value)
    assert (bool(caught.value.hint), caught.value.more) == (True, ())


def test_a_plug_in_with_the_name_of_one_of_ours(plugin, tmp_path):
    plug_in(plugin, "cuckoo", "builders", {"ko": "their_plugin:Good"})
    with pytest.raises(ConfigError, match=r"their_plugin:Good, from cuckoo 1\.0.*'ko'"):
        load(tmp_path, "  v: {builder: good}\n")
    forget()
    assert load(tmp_path, "  v: {builder: ko}\n").variants[0].builder == "ko"


def load(folder, variants, defaults=""):
    return write_suite(folder, f"name: demo\nvariants:\n{variants}{defaults}")


def test_a_plug_in_s_keys_are_read_like_ours(plugin, tmp_path):
    suite = load(tmp_path, "  v: {builder: good, file: x}\n  k: {builder: ko}\n", "defaults: {quick: true, base: a}\n")
    variant, ko = suite.variants
    assert (variant.file, variant.quick, variant.own_keys()) == ("x", True, ("file", "quick"))
    assert (type(ko), ko.base) == (KoVariant, "a")
    with pytest.raises(ValidationError, match="frozen"):
        variant.file = "y"


WRONG_KEYS = [
    ("  v: {builder: good, quick: yess}\n", "", 3, "variants.v.quick", "'yess'"),
    ("  v: {builder: good, quik: true}\n", "", 3, "variants.v.quik", "'quick'"),
    ("  v: {builder: good, base: a}\n", "", 3, "variants.v.base", " good "),
    ("  v: {builder: good}\n  k:\n    builder: ko\n    file: x\n", "", 6, "variants.k.file", " ko "),
    ("  k: {builder: ko}\n", "defaults: {file: x}\n", 4, "defaults.file", ""),
    ("  v: {builder: good}\n", "defaults: {tests: maybe}\n", 4, "defaults.tests", "'maybe'"),
    ("  v: {builder: good}\n", "defaults: {quick: 1}\n", 4, "defaults.quick", " 1"),
]


@pytest.mark.parametrize(("variants", "defaults", "line", "key", "named"), WRONG_KEYS)
def test_a_wrong_key_of_a_plug_in_is_told_with_its_place(plugin, tmp_path, variants, defaults, line, key, named):
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, variants, defaults)
    assert (caught.value.line, caught.value.key, named in caught.value.problem) == (line, key, True)
