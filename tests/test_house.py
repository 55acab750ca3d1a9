"""The house rules, held by tools: style, formatting, types, and who may import whom."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(("ruff", "check"), id="style"),
        pytest.param(("ruff", "format", "--check"), id="formatting"),
        pytest.param(("mypy",), id="types"),
        pytest.param(("lint-imports", "--no-cache"), id="floors"),
    ],
)
def test_the_house_rules_hold(command):
    program = Path(sys.executable).with_name(command[0])
    done = subprocess.run([program, *command[1:]], cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]


def test_listing_tasks_imports_nothing_heavy():
    """``invoke --list`` must stay as fast as invoke itself: what a task needs is imported when it runs."""
    ours = modules_after("import deadweight.tasks") - modules_after(
        "import invoke.collection, invoke.tasks, invoke.context"
    )
    heavy = {"pydantic", "docker", "rich", "jinja2", "altair", "hyperscan", "requests", "jsonschema", "pytest", "nox"}
    assert heavy.isdisjoint(ours), heavy & ours
    assert {name for name in ours if name.startswith("deadweight.") and not name.startswith("deadweight.tasks")} <= {
        "deadweight._errors"
    }


def modules_after(code: str) -> set[str]:
    """The names of the modules that a fresh interpreter has after some code."""
    script = f"import sys; {code}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    return set(done.stdout.split())


@pytest.mark.parametrize(("flags", "kept"), [((), True), (("-B",), False)])
def test_what_a_task_imports_is_kept_compiled_unless_the_user_says_no(flags, kept):
    """invoke forbids it before it reads tasks.py."""
    script = "import sys; sys.dont_write_bytecode = True; import deadweight.tasks; print(not sys.dont_write_bytecode)"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    words = [sys.executable, *flags, "-c", script]
    done = subprocess.run(words, capture_output=True, text=True, check=True, cwd=ROOT, env=environment)
    assert done.stdout.strip() == str(kept)
