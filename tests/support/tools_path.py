"""The tools that set-up installed, on PATH."""

import os

from deadweight.toolchain.find import inspect_tool

OURS = ("go", "ko", "apko", "melange", "crane", "trivy", "docker-registry")
"""Tools that tests call by name, or find on PATH with a cache of their own, so that no test builds them again."""


def put_ours_on_path() -> None:
    paths = [tool.path.parent for tool in (inspect_tool(name).tool for name in OURS) if tool is not None]
    os.environ["PATH"] = os.pathsep.join([*dict.fromkeys(str(folder) for folder in paths), os.environ.get("PATH", "")])
