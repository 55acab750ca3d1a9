"""A suite file with the keys of every builder judged: ours, and those of installed plug-ins."""

from __future__ import annotations

from pathlib import Path

from deadweight.builders import table
from deadweight.suite.load import read_suite
from deadweight.suite.model import Suite


def load_suite(file: Path) -> Suite:
    """Read and validate a suite file. Raises ConfigError (exit 2) with the places of all problems."""
    return read_suite(file, table)
