"""What several test files share: samples, worlds of servers, projects that whole processes work on."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]
"""The project's own folder."""

TESTS = ROOT / "tests"
