"""Run ``python -m deadweight_images IMAGE.tar`` to print layers and hidden files."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from deadweight_images.cache_files import user_cache
from deadweight_images.errors import DeadweightError, UsageError, wording
from deadweight_images.inspect.analyse import analyse, document
from deadweight_images.show import print_layers, raise_for_findings

if TYPE_CHECKING:
    from deadweight_images.findings import LayersReport

STDIN = "-"
SCANS = ("deep", "plain", "hidden", "no")
EXAMPLES = """example: python -m deadweight_images image.tar
         docker image save IMAGE | python -m deadweight_images - --json

exit codes: 0 fine, 1 a secret is found or something could not be looked at, 2 wrong usage, 130 Ctrl-C
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Look at one image, print what is in it; gives the exit code."""
    given = _parser().parse_args(argv)
    try:
        report = _analysed(given)
        _print(report, given)
        raise_for_findings(report, _title(given.image), allow_unread=given.allow_unread)
    except DeadweightError as error:
        return _failed(str(error), error.exit_code)
    except KeyboardInterrupt:
        return 130
    except SystemExit:  # how rich says that the reader closed the pipe
        return 141
    except OSError as error:
        with contextlib.suppress(OSError):  # what waits in stdout would fail again at the end
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        if isinstance(error, BrokenPipeError):  # the reader closed the pipe
            return 141
        return _failed(f"standard output cannot be written: {error.strerror}", 1)
    return 0


def _print(report: LayersReport, given: argparse.Namespace) -> None:
    out = sys.stdout or open(os.devnull, "w")  # noqa: PTH123, SIM115 - stdout may be closed; it stays open to the end
    if given.json:
        if isinstance(out, io.TextIOWrapper):
            out.reconfigure(encoding="utf-8")  # JSON is UTF-8 whatever the locale says (RFC 8259, section 8.1)
        print(document(report, stand_in=None), file=out)
    else:
        from rich.console import Console

        if isinstance(out, io.TextIOWrapper):
            out.reconfigure(errors="backslashreplace")
        width = None if out.isatty() else 160
        print_layers(report, _title(given.image), Console(file=out, width=width, highlight=False, soft_wrap=False))
    out.flush()


def _failed(message: str, code: int) -> int:
    print(f"error: {message}", file=sys.stderr)
    return code


def _analysed(given: argparse.Namespace) -> LayersReport:
    asked = {"scan": given.scan, "platform": given.platform, "name": given.name, "cache_dir": user_cache() / "layers"}
    if given.image == STDIN:
        from deadweight_images.inspect.stream import analyse_stream

        return analyse_stream(sys.stdin.buffer, what=_title(STDIN), **asked)
    if not os.path.lexists(given.image):
        raise UsageError(wording("archive.no_such_file", what=given.image))
    return analyse(Path(given.image), **asked)


def _title(image: str) -> str:
    return "standard input" if image == STDIN else image


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m deadweight_images",
        description="Show each layer of an image with its instruction, what later layers hide, and secrets anywhere.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "image", help="an image archive (docker image save, OCI, also compressed), a layout folder, or -"
    )
    parser.add_argument("--scan", choices=SCANS, default="deep", help="where to look for secrets (default: deep)")
    parser.add_argument("--platform", help="which image of a multi-platform one, for example linux/arm64")
    parser.add_argument("--name", help="which image, if the archive contains several")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument(
        "--allow-unread", action="store_true", help="do not fail because something could not be scanned"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
