"""``python -m bench [NAME ...]``: run the benchmarks of those names (default: all), one after another."""

from __future__ import annotations

import importlib
import sys
import time

from bench import _bench
from deadweight._errors import MissingError

NAMES = ("start", "watch", "demo", "plan", "builds", "layers", "attacks", "scan", "jib", "pool", "sbom")


def main(wanted: list[str]) -> int:
    unknown = [name for name in wanted if name not in NAMES]
    if unknown:
        print(f"no benchmark {', '.join(unknown)}; there are {', '.join(NAMES)}", file=sys.stderr)
        return 2
    failed = missing = 0
    for name in wanted or NAMES:
        try:
            module = importlib.import_module(f"bench.{name}")
        except ModuleNotFoundError as error:
            if error.name != f"bench.{name}":
                raise
            continue
        if not hasattr(module, "run"):
            print(f"{name}: runs by itself: python bench/{name}.py --help", file=sys.stderr)
            continue
        print(f"{name} …", file=sys.stderr, flush=True)
        on, started = _bench.machine(), time.monotonic()
        try:
            results = module.run()
        except (_bench.NotMeasured, MissingError) as error:
            print(f"{name}: not measured: {error}", file=sys.stderr)
            missing += 1
            continue
        _bench.save(name, results, on, time.monotonic() - started)
        failed += sum(result.met is False for result in results)
        for result in results:
            print(_bench._row(name, {**result.__dict__, "met": result.met}))
    (_bench.RESULTS / "README.md").write_text(_bench.table())
    return 1 if failed else 3 if missing else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
