"""Write ``rules.json`` from the pinned upstream rules and ours. For maintainers: ``python -m deadweight.image.secrets.convert``.

Fetches the module that ``upstream/go.mod`` pins through the Go toolchain, which verifies it against ``upstream/go.sum``.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
import tomllib
from pathlib import Path
from typing import Any

from deadweight._errors import DeadweightError
from deadweight._run import run
from deadweight.image.secrets.relax import relaxed, width
from deadweight.image.secrets.translate import to_python

HERE = Path(__file__).parent
OUTPUT = HERE / "rules.json"
MODULE = "github.com/zricethezav/gitleaks/v8"

# Upstream applies these to certain file names only; their patterns are distinct enough without.
_NAME_CONDITION_DROPPED = {"freemius-secret-key", "kubernetes-secret-yaml", "nuget-config-password"}
# Patterns with nested unbounded repeats, which Python's backtracking matcher must not get.
_BOUNDED = {"curl-auth-header", "curl-auth-user"}
# Upstream asks for these keywords anywhere in a file; here they must be part of the match, or the rule does without.
_KEYWORDS: dict[str, list[str]] = {
    "airtable-personnal-access-token": [],
    "facebook-access-token": [],
    "sidekiq-sensitive-url": ["contribsys"],
    "slack-config-access-token": ["xoxe"],
    "slack-webhook-url": ["hooks"],
}
_CHECKS = {"generic-api-key": "assigned_value", "square-access-token": "free_standing"}
# A lazy optional run in front of a pattern: costs Python's matcher much, finds nothing more. Allow lists see it all the same.
_LEAD = r"[\w.-]{0,50}?"
_LITERAL = re.compile(r"(?:[A-Za-z0-9_=]|-|\\-){20,}")


def main() -> None:
    """Convert and write. Raises DeadweightError or CommandError where upstream cannot be fetched."""
    folder = _upstream_folder()
    config = tomllib.loads((folder / "config" / "gitleaks.toml").read_text(encoding="utf-8"))
    house = tomllib.loads((HERE / "house.toml").read_text(encoding="utf-8"))
    document = {
        "upstream": {"module": MODULE, "version": _version(), "licence": "MIT", "licence_file": "upstream/LICENSE"},
        "allow": _allow([config["allowlist"]]),
        "rules": [*house_rules(house), *_upstream_rules(config, house)],
    }
    text = json.dumps(document, indent=1, ensure_ascii=True) + "\n"
    OUTPUT.write_text(text, encoding="utf-8")
    sys.stdout.write(f"{len(document['rules'])} rules\n")


def _upstream_folder() -> Path:
    answer = run(["go", "mod", "download", "-json", MODULE], cwd=HERE / "upstream", env={"GOFLAGS": "-mod=readonly"})
    folder = json.loads(answer.output).get("Dir")
    if not folder:
        raise DeadweightError(f"{MODULE} could not be fetched")
    return Path(folder)


def _version() -> str:
    found = re.search(rf"{re.escape(MODULE)} v(\S+)", (HERE / "upstream" / "go.mod").read_text(encoding="utf-8"))
    assert found is not None
    return found[1]


def house_rules(house: dict[str, Any]) -> list[dict[str, Any]]:
    """Our own rules as they stand in ``rules.json``."""
    return [
        _rule(
            rule["id"],
            rule["description"],
            rule["regex"],
            origin="house",
            prefilter=rule.get("prefilter"),
            entropy=rule.get("entropy", 0.0),
            keywords=rule.get("keywords", []),
            allow=_house_allow(rule),
            check=rule.get("check", ""),
        )
        for rule in house["rules"]
    ]


def _house_allow(rule: dict[str, Any]) -> list[dict[str, Any]]:
    kept = {"target": "secret", "regexes": rule.get("allow", []), "sha256": rule.get("known", [])}
    return [{key: value for key, value in kept.items() if value}] if len(kept["regexes"]) + len(kept["sha256"]) else []


def _upstream_rules(config: dict[str, Any], house: dict[str, Any]) -> list[dict[str, Any]]:
    replaced = {name for rule in house["rules"] for name in rule.get("replaces", [])}
    rules = []
    for rule in config["rules"]:
        if rule["id"] in replaced or "regex" not in rule:
            continue
        pattern = rule["regex"].replace(_LEAD, "")
        pattern = pattern.replace("-YmVk", "-[Y]mVk")  # a rule that is all literal would find itself in rules.json
        if rule["id"] in _BOUNDED:
            pattern = pattern.replace(".*?", ".{0,200}?").replace(".*", ".{0,200}")
        rules.append(
            _rule(
                rule["id"],
                rule["description"],
                to_python(pattern),
                origin="upstream",
                entropy=rule.get("entropy", 0.0),
                keywords=_KEYWORDS.get(rule["id"], rule.get("keywords", [])),
                allow=_allow(rule.get("allowlists", [])),
                path="" if rule["id"] in _NAME_CONDITION_DROPPED else to_python(rule.get("path", "")),
                lead=50 if _LEAD in rule["regex"] else 0,
                group=rule.get("secretGroup", 0),
                check=_CHECKS.get(rule["id"], ""),
            )
        )
    return rules


def _rule(
    name: str, description: str, regex: str, *, origin: str, prefilter: str | None = None, **more: Any
) -> dict[str, Any]:
    re.compile(regex.encode("latin-1"))
    derived, before, least = relaxed(prefilter or regex)
    rule: dict[str, Any] = {"id": name, "description": description, "origin": origin, "regex": regex}
    rule |= {"prefilter": derived, "before": before, "after": max(64, width(regex) - least), **more}
    return {key: value for key, value in rule.items() if value not in ("", [], None, 0)}


def _allow(lists: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Allow lists without their paths; literal example keys as hashes."""
    kept = []
    for entry in lists:
        if entry.get("condition") == "AND":
            continue  # needs a path as well: never applied here
        literals = [text for text in entry.get("regexes", []) if _LITERAL.fullmatch(text)]
        converted = {
            "target": entry.get("regexTarget", "secret"),
            "regexes": [to_python(text) for text in entry.get("regexes", []) if text not in literals],
            "stopwords": sorted({word.lower() for word in entry.get("stopwords", [])}),
            "sha256": [hashlib.sha256(text.replace("\\", "").encode()).hexdigest() for text in literals],
        }
        kept.append({key: value for key, value in converted.items() if value})
    return [entry for entry in kept if len(entry) > 1]


if __name__ == "__main__":
    main()
