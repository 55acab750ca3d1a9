"""What several test files share: samples, worlds of servers, projects that whole processes work on."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
"""The project's own folder."""

TESTS = ROOT / "tests"
