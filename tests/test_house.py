"""The house rules, held by tools: style, formatting, types, and who may import whom."""

import ast
import re
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import grimp
import pytest

from deadweight._packages import TABLE
from deadweight.records.paths import user_cache
from tests.support import ROOT
from tests.support.trees import written

pytestmark = pytest.mark.system


@pytest.mark.parametrize("command", [
    pytest.param(("ruff", "check"), id="style"),
    pytest.param(("ruff", "format", "--check"), id="formatting"),
    # a fresh clone's own cache would be empty
    pytest.param(("mypy", "--cache-dir", user_cache() / "mypy"), id="types", marks=pytest.mark.slow),
    pytest.param(("lint-imports", "--no-cache"), id="floors"),
])  # fmt: skip
def test_the_house_rules_hold(command):
    program = Path(sys.executable).with_name(command[0])
    done = subprocess.run([program, *command[1:]], cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]


def test_listing_tasks_imports_nothing_heavy():
    """``invoke --list`` must stay as fast as invoke itself: what a task needs is imported when it runs."""
    without = modules_after("import invoke.collection, invoke.tasks, invoke.context")
    ours = modules_after("import deadweight.tasks") - without
    heavy = {"pydantic", "docker", "rich", "jinja2", "hyperscan", "requests", "jsonschema", "pytest", "nox"}
    assert heavy.isdisjoint(ours), heavy & ours
    errors = {"deadweight._errors", "deadweight._packages", "deadweight_images", "deadweight_images.errors"}
    brought = {"deadweight_init", "deadweight_init.task"}
    own = {name for name in ours if name.startswith(("deadweight.", "deadweight_"))}
    assert {name for name in own if not name.startswith("deadweight.tasks")} <= errors | brought


def modules_after(code: str) -> set[str]:
    """The names of the modules that a fresh interpreter has after some code."""
    script = f"import sys; {code}; print(*sys.modules)"
    return set(subprocess.check_output([sys.executable, "-c", script], text=True, cwd=ROOT).split())


@pytest.mark.slow
def test_archives_are_unpacked_as_the_oldest_python_can():
    """Debian 12 has Python 3.11.2, whose tarfile knows no argument ``filter``: the README's line ended in a traceback there."""
    files, filters = (ROOT / "src").rglob("*.py"), re.compile(r"\.extract(all)?\(.*\bfilter=")
    assert [path for path in files if filters.search(ast.unparse(ast.parse(path.read_text())))] == []  # a line each


@pytest.mark.parametrize(("flags", "kept"), [((), True), (("-B",), False)])
def test_what_a_task_imports_is_kept_compiled_unless_the_user_says_no(flags, kept):
    """invoke forbids it before it reads tasks.py."""
    script = "import sys; sys.dont_write_bytecode = True; import deadweight.tasks; print(not sys.dont_write_bytecode)"
    words = ["env", "--unset", "PYTHONDONTWRITEBYTECODE", sys.executable, *flags, "-c", script]
    assert subprocess.check_output(words, text=True, cwd=ROOT).strip() == str(kept)


def house(*packages: str) -> dict[str, set[str]]:
    """The modules of ours that each module imports: at its top, inside functions and for types alike."""
    graph = grimp.build_graph(*packages, cache_dir=None)
    return {name: graph.find_modules_directly_imported_by(name) - {name} for name in graph.modules}


def loop(graph: dict[str, set[str]]) -> list[str]:
    """The modules of a loop, in order; none where there is no loop."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_no_two_modules_import_each_other():
    """Not even inside a function or for types alone: either is read with the other in mind, and neither moves without it.

    The table of packages is left out: it has their names as strings, and imports them for the type checker alone.
    """
    graph = house("deadweight", *TABLE.values())
    assert graph.pop("deadweight._packages") - {"deadweight"} == {name for name in graph if name in TABLE.values()}
    assert loop(graph) == []


@pytest.mark.parametrize("back", [
    pytest.param("def later():\n    from example import first\n", id="lazily"),
    pytest.param("import typing\nif typing.TYPE_CHECKING:\n    from example.first import X\n", id="for types"),
])  # fmt: skip
def test_a_loop_of_imports_is_found_wherever_it_hides(tmp_path, monkeypatch, back):
    written(tmp_path / "example", {"__init__.py": "", "first.py": "from example import second\n", "second.py": back})
    monkeypatch.syspath_prepend(tmp_path)
    assert set(loop(house("example"))) == {"example.first", "example.second"}
