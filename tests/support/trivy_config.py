"""What Trivy says of a file for a cluster, with the checks that it brings along."""

import json
import subprocess
from pathlib import Path

from deadweight.toolchain.find import find


def misconfigured(file: Path, cache: Path) -> set[str]:
    """The ids of what it finds; fails where it looked at nothing."""
    words = ["config", "--quiet", "--skip-check-update", "--cache-dir", str(cache), "--format", "json", str(file)]
    done = subprocess.run([find("trivy").path, *words], check=True, capture_output=True, text=True, timeout=120)
    results = json.loads(done.stdout)["Results"]
    assert sum(result["MisconfSummary"]["Successes"] for result in results) > 80, "trivy looked at nothing"
    return {finding["ID"] for result in results for finding in result.get("Misconfigurations", [])}
