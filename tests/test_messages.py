"""The catalogues of messages and the code agree: nothing is named that is not there, and nothing is there that nobody says.

So do the table by which the core finds the other packages, and what each of them offers.
"""

import ast
import importlib
import pickle
import tomllib
from collections.abc import Iterator
from string import Formatter

import pytest

from deadweight import _packages
from deadweight._errors import ConfigError, UsageError, wording
from deadweight._packages import TABLE, images
from tests.support import ROOT

PACKAGES = [name for name in ("deadweight", *TABLE.values()) if (ROOT / "src" / name / "messages.toml").is_file()]


def uses(package: str) -> Iterator[tuple[str, str, set[str] | None]]:
    """Each ``wording("code", field=…)`` of a package: where it is, its code, and its fields (None: handed on as ``**fields``)."""
    for path in sorted((ROOT / "src" / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "wording":
                names = {word.arg for word in node.keywords}
                place = f"{path.relative_to(ROOT)}:{node.lineno}"
                first = node.args[0]
                for choice in [first.body, first.orelse] if isinstance(first, ast.IfExp) else [first]:
                    code = choice.value if isinstance(choice, ast.Constant) else None
                    assert isinstance(code, str), f"{place}: a code is a literal, so that it can be found"
                    yield place, code, None if None in names else {name for name in names if name}


@pytest.mark.parametrize("package", PACKAGES)
def test_code_and_catalogue_agree(package):
    topics = tomllib.loads((ROOT / "src" / package / "messages.toml").read_text(encoding="utf-8"))
    catalogue = images.Catalogue(package)
    assert {topic: catalogue._sentences(topic) for topic in topics} == topics  # which reads no more than that topic
    templates = {
        f"{topic}.{name}": text if isinstance(text, str) else " ".join(text)
        for topic, names in topics.items()
        for name, text in names.items()
    }
    used = list(uses(package))
    assert [f"{place}: {code}" for place, code, _fields in used if code not in templates] == []
    assert sorted(set(templates) - {code for _place, code, _fields in used}) == []
    for place, code, fields in used:
        names = (name for _text, name, *_ in Formatter().parse(templates[code]) if name)
        wanted = {name.partition(".")[0].partition("[")[0] for name in names}
        assert fields is None or fields == wanted, f"{place}: {code}"


def test_a_message_is_text_that_knows_its_code():
    again = pickle.loads(pickle.dumps(images.Message("no layer 3", "archive.layer_missing", {"name": 3})))
    assert (again, again.code, again.fields) == ("no layer 3", "archive.layer_missing", {"name": 3})


def test_an_error_takes_the_hint_of_its_message():
    message = wording("engine.no_such_mount", path="x", root="/project")
    assert "/project" in (message.hint or "")
    assert UsageError(message).hint == ConfigError(message, file="f").hint == message.hint
    assert UsageError(message, hint="another").hint == "another"


@pytest.mark.parametrize("name", TABLE)
def test_what_type_checkers_are_told_is_what_a_package_offers(name):
    package = getattr(_packages, name)
    folder = ROOT / "src" / TABLE[name]
    branches = (node for node in ast.parse((folder / "__init__.py").read_text()).body if isinstance(node, ast.If))
    types = [node for branch in branches if ast.unparse(branch.test) == "TYPE_CHECKING" for node in branch.body]
    imports = [node for node in types if isinstance(node, ast.ImportFrom)]
    declared = {(alias.asname or alias.name): (node.module, alias.name) for node in imports for alias in node.names}
    offered = {name: getattr(package, name) for name in declared}
    assert offered == {name: getattr(importlib.import_module(home), own) for name, (home, own) in declared.items()}
    assert declared
    # a submodule of that name would hide it once it is imported
    assert not [name for name in declared if (folder / f"{name}.py").exists() or (folder / name).is_dir()]


@pytest.mark.parametrize("package", TABLE)
def test_every_package_has_a_short_readme(package):
    text = (ROOT / "src" / TABLE[package] / "README.md").read_text()
    assert text.startswith(f"# {TABLE[package]}\n")
    assert len(text.splitlines()) <= 30


def test_there_are_no_others():
    for module in (_packages, images):
        with pytest.raises(AttributeError):
            getattr(module, "nothing")  # noqa: B009
