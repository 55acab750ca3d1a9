"""Programs that a Python project installs itself (``[project.scripts]``), as what the interpreter is given without them."""

from __future__ import annotations

import re

from deadweight_init.tree import Tree, joined

_CODE = "import sys; from {0} import {1}; sys.argv[0] = '{2}'; sys.exit({1}())"
_CALLED = re.compile(r"import sys; from ([\w.]+) import (\w+); sys\.argv\[0\] = ")


def started(tree: Tree, folder: str, program: str) -> tuple[str, ...]:
    """The package of that name, or of its script, that can be started as one; else its script's function. Nothing for a program
    of another package."""
    module, _, function = _script(tree, folder, program).partition(":")
    for package in sorted({program, module.partition(".")[0]} - {""}):
        if tree.has(joined(folder, f"{package}/__main__.py")):
            return ("-m", package)
    place = module.replace(".", "/")
    files = (f"{home}{place}{end}" for home in ("", "src/") for end in (".py", "/__init__.py"))
    if module and any(tree.has(joined(folder, each)) for each in files):
        return ("-c", _CODE.format(module, function, program))
    return ()


def named(start: tuple[str, ...], kind: str) -> tuple[str, ...]:
    """The words of a start with the module whose function is called as ``module:function``, as servers name theirs. A project that
    is installed itself is found from everywhere."""
    called = [(each, _CALLED.match(each)) for each in start]
    words = (f"{found[1]}:{found[2]}" if found else each for each, found in called)
    return tuple(words) if kind != "project" or not any(found for _, found in called) else ()


def _script(tree: Tree, folder: str, program: str) -> str:
    """What a program that the project itself installs is made of: ``package.module:function``."""
    for name in ("pyproject.toml", "setup.py", "setup.cfg"):
        found = re.search(
            rf"(?<![\w.-])[\"']?{re.escape(program)}[\"']?\s*=\s*[\"']?([\w.]+:\w+)", tree.text(joined(folder, name))
        )
        if found:
            return found[1]
    return ""
