"""The table by which the core finds the other packages, and what each of them offers."""

import ast
import importlib

import pytest

from deadweight import _packages
from tests.support import ROOT


@pytest.mark.parametrize("name", _packages.TABLE)
def test_what_type_checkers_are_told_is_what_a_package_offers(name):
    package = getattr(_packages, name)
    folder = ROOT / "src" / _packages.TABLE[name]
    tree = ast.parse((folder / "__init__.py").read_text())
    told = {
        (each.asname or each.name): (node.module, each.name)
        for branch in tree.body
        if isinstance(branch, ast.If) and ast.unparse(branch.test) == "TYPE_CHECKING"
        for node in branch.body
        if isinstance(node, ast.ImportFrom)
        for each in node.names
    }
    offered = {name: getattr(package, name) for name in told}
    assert offered == {name: getattr(importlib.import_module(home), own) for name, (home, own) in told.items()}
    assert told
    # a submodule of that name would hide it once it is imported
    assert not [name for name in told if (folder / f"{name}.py").exists() or (folder / name).is_dir()]


@pytest.mark.parametrize("package", ["images", "attacks", "init", "pool", "standins"])
def test_every_package_has_a_short_readme(package):
    text = (ROOT / "src" / _packages.TABLE[package] / "README.md").read_text()
    assert text.startswith(f"# {_packages.TABLE[package]}\n")
    assert len(text.splitlines()) <= 30


def test_there_are_no_others():
    with pytest.raises(AttributeError):
        getattr(_packages, "nothing")  # noqa: B009
    with pytest.raises(AttributeError):
        getattr(_packages.images, "nothing")  # noqa: B009
