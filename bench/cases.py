"""The cases that peers test their own rules with: what they call a secret, and what they call none.

gitleaks' and betterleaks' are made at run time by their own programs, from the Go modules that
``deadweight_images/secrets/upstream`` pins (both MIT): their tests make tokens anew in each run. Trivy's (Apache-2.0) are the
files of its scanner's test, read from its Go module; kingfisher's (Apache-2.0) the examples in its rules up to 1.10
(later ones have next to none), read from a checkout.

A bounded part of all of them is data of this repository's tests: ``python -m bench.cases KINGFISHER_CHECKOUT`` writes it anew.
There every few characters are parted by a mark, so that no scanner of this repository finds a token in it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import yaml

from bench.secret_rules import BETTERLEAKS, GITLEAKS

ROOT = Path(__file__).parents[1]
DATA = ROOT / "tests" / "data" / "secret-cases"
UPSTREAM = ROOT / "src" / "deadweight_images" / "secrets" / "upstream"
MODULES = {"gitleaks": GITLEAKS, "betterleaks": BETTERLEAKS}
TRIVY = "github.com/aquasecurity/trivy@v0.74.0"
MARK, STEP, LONGEST = "<|", 4, 1500  # characters
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
# Of trivy's files, those in which its test wants nothing to be found.
_CLEAN = (
    "invalid-aws-secrets.txt",
    "wrapped-secrets.txt",
    "openai-invalid.txt",
    "settings-encrypted.xml",
    "settings-security.xml",
)
_LINES = r'RuleID: +"([^"]+)".*?StartLine: +(\d+),\s+EndLine: +(\d+)'
_WANTED = re.compile(r"^\t(want\w+) := types\.SecretFinding\{\n\t\t" + _LINES, re.M | re.S)
_INLINE = re.compile(_LINES, re.S)
_WANTED_FIRST = re.compile(r'^\t(want\w+) := openAIFinding\("([^"]+)"', re.M)
_TEST = re.compile(r'configPath: +([^\n]*),\n\t+inputFilePath: +[^\n]*?([\w.-]+)"\)?,\n(.*?)\n\t\t\},', re.S)


class Case(NamedTuple):
    """One text of a peer: the rule that it is of, whether it is a secret."""

    rule: str
    true: bool
    text: str


def all_cases(work: Path) -> dict[str, list[Case]]:
    """The whole corpus by peer. What one peer calls none and any calls one (another rule's token) is no false case."""
    corpus = {name: made(name, work) for name in MODULES} | {name: stored(name) for name in ("trivy", "kingfisher")}
    return without_contradictions(corpus)


def without_contradictions(corpus: dict[str, list[Case]]) -> dict[str, list[Case]]:
    true = {case.text for cases in corpus.values() for case in cases if case.true}
    return {name: [case for case in cases if case.true or case.text not in true] for name, cases in corpus.items()}


def made(name: str, work: Path) -> list[Case]:
    """Those of gitleaks or betterleaks, by their own program."""
    module = MODULES[name]
    copy, written = work / name, work / f"{name}.jsonl"
    shutil.copytree(module_folder(module), copy, copy_function=shutil.copyfile)
    for folder in (copy, *(path for path in copy.rglob("*") if path.is_dir())):
        folder.chmod(0o755)
    start = copy / "cmd" / "generate" / "config"
    (start / "utils" / "validate.go").write_text(DUMP.replace("MODULE", module))
    env = {**os.environ, "CASES": str(written), "GOFLAGS": "-mod=mod"}
    run = ["go", "run", ".", "/dev/null"]
    done = subprocess.run(run, cwd=start, env=env, capture_output=True, text=True, check=False)
    if not written.exists():
        raise SystemExit(f"{name}: its cases could not be made: {done.stderr[-500:]}")
    cases = []
    for line in written.read_text(encoding="utf-8").splitlines():
        item = json.loads(line)
        cases += [Case(item["rule"], good, text) for good in (True, False) for text in item[str(good).lower()] or ()]
    return list(dict.fromkeys(cases))


def module_folder(module: str) -> Path:
    """Where Go keeps a module; without a version, that of ``upstream/go.mod``."""
    answer = subprocess.run(
        ["go", "mod", "download", "-json", module], cwd=UPSTREAM, capture_output=True, text=True, check=True
    )
    return Path(json.loads(answer.stdout)["Dir"])


def trivys() -> Iterator[Case]:
    """The lines of its test files in which its scanner's test wants one of its built-in rules to find something."""
    folder = module_folder(TRIVY) / "pkg" / "fanal" / "secret"
    text = (folder / "scanner_test.go").read_text(encoding="utf-8")
    wanted = {match[1]: match.groups()[1:] for match in _WANTED.finditer(text)}
    wanted |= {match[1]: (match[2], "1", "1") for match in _WANTED_FIRST.finditer(text)}
    for config, file, rest in _TEST.findall(text):
        if "skip-test" not in config and not config.endswith('"config.yaml")'):
            continue
        lines = (folder / "testdata" / file).read_bytes().decode("utf-8", "surrogateescape").splitlines(keepends=True)
        named = [wanted[name] for name in re.findall(r"\bwant\w+", rest) if name in wanted]
        for rule, first, last in (*named, *_INLINE.findall(rest)):
            if not rule.startswith(("rule", "generic")):  # rules of its test's own
                yield Case(rule, True, "".join(lines[int(first) - 1 : int(last)]))
    for file in _CLEAN:
        yield Case(file, False, (folder / "testdata" / file).read_text(encoding="utf-8"))


def kingfishers(checkout: Path) -> Iterator[Case]:
    for file in sorted((checkout / "data" / "rules").glob("*.yml")):
        for rule in yaml.safe_load(file.read_text(encoding="utf-8"))["rules"]:
            yield from (Case(rule["id"], True, str(text)) for text in rule.get("examples") or ())
            yield from (Case(rule["id"], False, str(text)) for text in rule.get("negative_examples") or ())


def stored(name: str) -> list[Case]:
    """A peer's cases as this repository keeps them, put together again."""
    cases = []
    for line in (DATA / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()[1:]:
        rule, true, text = json.loads(line)
        cases.append(Case(rule, true, text.replace(MARK, "")))
    return cases


def store(name: str, about: dict[str, str], cases: Iterable[Case]) -> None:
    lines = [json.dumps(about)]
    for case in dict.fromkeys(cases):
        if len(case.text) <= LONGEST:
            parted = MARK.join(case.text[at : at + STEP] for at in range(0, len(case.text), STEP))
            assert parted.replace(MARK, "") == case.text
            lines.append(json.dumps([case.rule, case.true, parted]))
    DATA.mkdir(parents=True, exist_ok=True)
    (DATA / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def bounded(cases: list[Case]) -> list[Case]:
    """One true case of each rule (the middle one: plain at first, in odd assignments at last), and all false ones."""
    by_rule: dict[str, list[Case]] = {}
    for case in cases:
        if case.true:
            by_rule.setdefault(case.rule, []).append(case)
    return [*(group[len(group) // 2] for group in by_rule.values()), *(case for case in cases if not case.true)]


def main(checkout: Path) -> None:
    """Write ``tests/data/secret-cases``."""
    commit = subprocess.run(
        ["git", "-C", str(checkout), "rev-parse", "HEAD"], capture_output=True, text=True, check=True
    )
    versions = dict(re.findall(r"^\t(\S+) (v\S+)", (UPSTREAM / "go.mod").read_text(encoding="utf-8"), re.M))
    about = {
        name: (f"{module}@{versions[module]}", "cmd/generate/config/rules", "MIT") for name, module in MODULES.items()
    }
    about["trivy"] = (TRIVY, "pkg/fanal/secret", "Apache-2.0")
    about["kingfisher"] = (f"github.com/mongodb/kingfisher@{commit.stdout.strip()}", "data/rules", "Apache-2.0")
    with tempfile.TemporaryDirectory(prefix="deadweight-cases-") as work:
        corpus = {name: made(name, Path(work)) for name in MODULES}
    corpus |= {"trivy": list(trivys()), "kingfisher": list(kingfishers(checkout))}
    for name, cases in without_contradictions(corpus).items():
        source, folder, licence = about[name]
        kept = bounded(cases) if name in MODULES else cases
        store(name, {"source": source, "folder": folder, "licence": licence}, kept)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
