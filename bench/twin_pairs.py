"""Compare 50 pairs of identical images of a noisy service, and count the differences that are told all the same.

python -m bench.twin_pairs [COUNT]
"""

import sys
import tempfile
from pathlib import Path

from deadweight.engine.client import Engine
from deadweight.engine.daemon import find_or_start
from deadweight_workload import compare, lines
from tests.support.small_images import forget_image
from tests.support.twins import image, subjects

PATHS = "/healthz /time /authorities /user /names /domains /sorted /picture /report /data /upload /plan /page /nowhere"


def main() -> None:
    count, wrong = int(sys.argv[1]) if len(sys.argv) > 1 else 50, 0
    with tempfile.TemporaryDirectory() as name, Engine.connect(find_or_start(print), project="twin-pairs") as engine:
        folder = Path(name)
        same = image(folder / "same", engine, "twin-pairs", {})
        for number in range(count):
            root = folder / str(number)
            root.mkdir()
            first, second = subjects(root, engine, folder / "same", folder / "same", (same, same), PATHS)
            result = compare(first, second, ("a", "b"))
            wrong += bool(result.differences)
            print(number + 1, *lines(result), sep="\n  ", flush=True)
        forget_image(engine, same)
    print(f"{wrong} of {count} identical pairs differ")


if __name__ == "__main__":
    main()
