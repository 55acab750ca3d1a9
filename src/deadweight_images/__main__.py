"""``python -m deadweight_images IMAGE.tar``: what the layers of an image hold and hide."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from deadweight_images.cache_files import user_cache
from deadweight_images.errors import DeadweightError, UsageError
from deadweight_images.look.analyse import analyse, document
from deadweight_images.show import judge, print_layers

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
        if given.json:
            sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr]  # JSON is UTF-8 whatever the locale says
            print(document(report))
        else:
            from rich.console import Console

            width = None if sys.stdout.isatty() else 160
            print_layers(report, _title(given.image), Console(width=width, highlight=False, soft_wrap=False))
        sys.stdout.flush()
        judge(report, _title(given.image), allow_unread=given.allow_unread)
    except DeadweightError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader closed the pipe: nothing more can be printed
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 141
    return 0


def _analysed(given: argparse.Namespace) -> LayersReport:
    asked = {"scan": given.scan, "platform": given.platform, "name": given.name, "cache_dir": user_cache() / "layers"}
    if given.image == STDIN:
        from deadweight_images.look.stream import analyse_stream

        return analyse_stream(sys.stdin.buffer, what=_title(STDIN), **asked)
    if not os.path.lexists(given.image):
        raise UsageError(f"{given.image}: no such file", hint="name an image archive, a layout folder, or - for stdin")
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
        "--allow-unread", action="store_true", help="do not fail because something could not be looked at"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
