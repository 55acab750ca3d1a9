"""The process that ``bench/layers.py`` measures: one look at one archive (``-``: a stream on standard input; an image id: in
the engine's folder ``root``). It imports nothing else."""

from __future__ import annotations

import json
import sys
from pathlib import Path

NOTHING_KNOWN = ", nothing known"
"""Behind the way to scan: look also into the large files that the table of known content names."""


def main(archive: str, scan: str, cache: str, root: str = "") -> None:
    folder = None if cache == "-" else Path(cache)
    if scan.endswith(NOTHING_KNOWN):
        from deadweight_images.secrets import regions

        scan, regions.table = scan.removesuffix(NOTHING_KNOWN), dict
    if archive == "-":
        from deadweight_images.inspect.stream import analyse_stream

        report = analyse_stream(sys.stdin.buffer, scan=scan, cache_dir=folder)
    elif archive.startswith("sha256:"):
        from deadweight_images.inspect.engine_store import analyse_engine_store

        report = analyse_engine_store(Path(root), archive, scan=scan, cache_dir=folder)
        assert report is not None, "the engine's folder is not ours to read"
    else:
        from deadweight_images.inspect.analyse import analyse

        report = analyse(Path(archive), scan=scan, cache_dir=folder)
    print(json.dumps(report.json()))


if __name__ == "__main__":
    main(*sys.argv[1:])
