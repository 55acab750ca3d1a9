"""The documentation as a site, with a search: ``nox -s docs`` builds it, without a network."""

from __future__ import annotations

import re
from pathlib import Path

project = "Deadweight"
release = re.findall(r'^version = "(.+)"', (Path(__file__).parents[1] / "pyproject.toml").read_text(), re.MULTILINE)[0]
extensions = ["myst_parser"]
exclude_patterns = ["_build"]
myst_heading_anchors = 4
suppress_warnings = ["misc.highlighting_failure"]
html_theme = "furo"
html_title = f"Deadweight {release}"
html_copy_source = False
