"""Load the lists of names that tell what a file, folder, path or package is (``tables.toml``)."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from importlib import resources
from typing import Any

TABLES: Mapping[str, Any] = tomllib.loads(
    resources.files(__package__).joinpath("tables.toml").read_text(encoding="utf-8")
)
