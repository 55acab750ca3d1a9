"""Run ``python -m deadweight_init FOLDER``: the same as ``deadweight init --dir FOLDER``, same flags."""

from __future__ import annotations

import sys

from deadweight.__main__ import main

if __name__ == "__main__":
    given = sys.argv[1:]
    if given and not given[0].startswith("-"):
        given = ["--dir", *given]
    main(["deadweight", "init", *given])
