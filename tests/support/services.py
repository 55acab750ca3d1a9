"""Small services with real third-party dependencies, as people write them (``tests/services/apps``): what ``init`` has to bring in
without an edit. Their lock files come from the language's own tool.
"""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.support import TESTS

TIDY = (("go", "mod", "tidy"),)
NPM_LOCK = ("npm", "install", "--package-lock-only", "--ignore-scripts", "--no-audit", "--no-fund")


@dataclass(frozen=True)
class Kind:
    """``locked`` are the commands that write its lock files. ``port``, ``health`` and ``needs`` are what init has to find out."""

    name: str
    port: int
    health: str
    locked: tuple[tuple[str, ...], ...] = ()
    needs: tuple[str, ...] = ()
    rungs: int = 2
    """As many are built at least."""

    def write(self, root: Path) -> Path:
        """Write it, lock its dependencies, give the folder."""
        shutil.copytree(TESTS / "services" / "apps" / self.name, root, dirs_exist_ok=True)
        for words in self.locked:
            environment = {**os.environ, "GOFLAGS": "-mod=mod"} if words[:2] == ("go", "mod") else dict(os.environ)
            subprocess.run(words, cwd=root, env=environment, check=True, capture_output=True, timeout=300)
        return root


KINDS = (
    Kind("chi", 8081, "/health", TIDY),
    Kind("gin", 8080, "/ping", TIDY),
    Kind("grpc", 9000, "grpc", TIDY),
    Kind("replaced", 7000, "/readyz", (("go", "-C", "ids", "mod", "tidy"), *TIDY)),
    Kind("vendored", 6060, "/livez", (*TIDY, ("go", "mod", "vendor"))),
    Kind("spring", 8080, "/actuator/health", needs=("db",)),
    Kind("fastapi", 8000, "/openapi.json"),
    Kind("flask", 5000, "/health", needs=("cache",)),
    Kind("express", 3000, "/healthz", (NPM_LOCK,)),
    Kind("axum", 4000, "/healthz", (("cargo", "generate-lockfile"),)),
    Kind("ruby", 4567, "/health", rungs=1),  # no stand-in has Ruby on Alpine
    Kind("php", 8080, "/"),
)
ALL = {each.name: each for each in KINDS}
