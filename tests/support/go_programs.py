"""Programs that some tests need beside the tools: each has a pinned ``go.mod``, and is built when it is first asked for."""

from __future__ import annotations

from pathlib import Path

from deadweight.toolchain import golang, tool_cache
from deadweight.toolchain.pins import Program
from tests.support import ROOT

_BUILDKIT = "github.com/moby/buildkit"
OLDER_BUILDKIT = Program(
    "buildkitd-older",
    "go",
    (),
    f"{_BUILDKIT}/cmd/buildkitd",
    module=_BUILDKIT,
    ldflags=f"-X {_BUILDKIT}/version.Version=v{{version}}",
    folder=str(ROOT / "tests/data/go/buildkit-older"),
)
"""The daemon of the minor release before the one that is pinned."""

S3_SERVER = Program(
    "gofakes3",
    "go",
    (),
    "github.com/johannesboyne/gofakes3/cmd/gofakes3",
    module="github.com/johannesboyne/gofakes3",
    folder=str(ROOT / "tests/data/go/gofakes3"),
)


def built(program: Program, log: Path) -> Path:
    """The program, built now where it is not there yet."""
    path = tool_cache.program_path(program)
    return path if path.is_file() else golang.build(program, log)
