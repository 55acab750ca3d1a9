"""Compile what Deadweight would compile on first use, so that who runs the image needs no Go."""

import platform
from pathlib import Path

from deadweight.engine import sidecars
from deadweight.toolchain import catalogue, golang, tool_cache
from deadweight_attacks import helper

LOG = Path("/tmp/tools.log")  # noqa: S108 - the build stage's own

tool_cache.get_wheel(catalogue.program("go"), LOG)
golang.build(catalogue.program("crane"), LOG)
for source in (sidecars.SOURCE, helper.SOURCE):
    golang.built(golang.go_architecture(platform.machine()), source)
