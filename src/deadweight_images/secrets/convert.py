"""Write ``rules.json`` from the pinned upstream rules and ours. For maintainers: ``python -m deadweight_images.secrets.convert``.

Fetches the modules that ``upstream/go.mod`` pins through the Go toolchain, which verifies them against ``upstream/go.sum``.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

from deadweight_images.errors import DeadweightError
from deadweight_images.secrets.relax import UNBOUNDED, relaxed, width
from deadweight_images.secrets.translate import to_python

HERE = Path(__file__).parent
OUTPUT = HERE / "rules.json"
GITLEAKS, BETTERLEAKS = "github.com/zricethezav/gitleaks/v8", "github.com/betterleaks/betterleaks"

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
    "snowflake-programmatic-access-token": ["snowflake", "sf"],
}
_CHECKS = {
    **dict.fromkeys(("github-app-token", "github-oauth", "github-pat", "github-refresh-token"), "not_capitals"),
    **dict.fromkeys(("curl-auth-user", "stripe-access-token"), "not_placeholder"),
    "generic-api-key": "assigned_value",
    "square-access-token": "free_standing",
}
# A lazy optional run in front of a pattern: costs Python's matcher much, finds nothing more. Allow lists see it all the same.
_LEAD = r"[\w.-]{0,50}?"
# What may stand behind a token: gitleaks', betterleaks', and ours, which has what ends a text in a program or a document too.
_TAILS = (r"""(?:[\x60'"\s;]|\\[nr]|$)""", r"""(?:\\?['"\x60]|[\s;]|\\[nr]|$)""")
_TAIL = r"""(?:\\?['"\x60]|[\s;,)\]}<&\x00]|\\[nr]|$)"""
# Repeats that need give nothing back, for what follows them holds none of their characters: the same matches, found with far
# fewer tries. Between a name and what assigns to it only the operator can follow; behind a value only what may end it.
_EAGER = {
    r"""(?:[ \t\w.-]{0,20})[\s'"]{0,3}(?:=|""": r"""(?:[ \t\w.-]{0,20}+)[\s'"]{0,3}+(?:=|""",
    r"([\w.=-]{10,150}|[a-z0-9][a-z0-9+/]{11,}={0,3})": r"([\w.=-]{10,150}+|[a-z0-9][a-z0-9+/]{11,}+={0,3}+)",
}
_NAMED = re.compile(r"\[ \\t\\w\.-\]\{0,20\}|\{0,(?:20|32|40)\}\??\\b\(")
_LIKE_CODE = (
    r"\b((?:hvs\.",
    r"\b((?:s\.",
)  # Vault's tokens look like a call of a method in Go
_ALLOWS = re.compile(
    r"(?<![!\w.])(?:filter\.)?(matchesAny|containsAny)\(finding\[\"(secret|match|line)\"\], \[(.*?)\]\)", re.DOTALL
)
_TEXTS = re.compile(r"`([^`]*)`|(\"(?:[^\"\\]|\\.)*\")")
# Of betterleaks: ids and public parts of credentials, and what ours find more strictly.
_LEFT_OUT = {
    "aiven-auth-token",
    "alibaba-secret-key",
    "alibaba-sts-access-key-secret",
    "azure-storage-account-key",
    "gcp-service-account",
    "generic-api-key",
    "jwt",
    "kubernetes-secret-yaml",
    "mongodb-connection-string",
    "polymarket-address",
    "posthog-project-api-key",
    "segment-public-api-token",
    "supabase-project-url",
}
_AFTER = 256  # bytes
_EXAMPLE_KEY = re.compile(r"(?=.*[0-9])[0-9a-z]{24,}")
_LITERAL = re.compile(r"(?:[A-Za-z0-9_=]|-|\\-){20,}")


def main() -> None:
    """Convert and write. Raises DeadweightError where upstream cannot be fetched."""
    config = _upstream(GITLEAKS, "gitleaks.toml")
    newer = _upstream(BETTERLEAKS, "betterleaks.toml")
    house = tomllib.loads((HERE / "house.toml").read_text(encoding="utf-8"))
    upstream = [
        {"module": module, "version": _version(module), "licence": "MIT", "licence_file": f"upstream/{file}"}
        for module, file in ((GITLEAKS, "LICENSE"), (BETTERLEAKS, "LICENSE.betterleaks"))
    ]
    document = {
        "upstream": upstream,
        "allow": [*_allow([config["allowlist"]]), *_known(config["rules"])],
        "rules": [*house_rules(house), *_upstream_rules(config, house), *_newer_rules(newer, config, house)],
    }
    text = json.dumps(document, indent=1, ensure_ascii=True) + "\n"
    OUTPUT.write_text(text, encoding="utf-8")
    sys.stdout.write(f"{len(document['rules'])} rules\n")


def _upstream(module: str, file: str) -> dict[str, Any]:
    """The rule data of a pinned module."""
    words = ["go", "mod", "download", "-json", module]
    env = {**os.environ, "GOFLAGS": "-mod=readonly"}
    answer = subprocess.run(words, cwd=HERE / "upstream", env=env, capture_output=True, text=True, check=False)
    folder = json.loads(answer.stdout or "{}").get("Dir")
    if not folder:
        raise DeadweightError(f"{module} could not be fetched")
    return tomllib.loads((Path(folder) / "config" / file).read_text(encoding="utf-8"))


def _version(module: str) -> str:
    found = re.search(rf"{re.escape(module)} v(\S+)", (HERE / "upstream" / "go.mod").read_text(encoding="utf-8"))
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
            confidence=rule.get("confidence", ""),
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
        pattern = _shared_form(rule["regex"])
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
                confidence=_confidence(rule["regex"]),
            )
        )
    return rules


def _newer_rules(newer: dict[str, Any], older: dict[str, Any], house: dict[str, Any]) -> list[dict[str, Any]]:
    """What betterleaks has and gitleaks has not, or has in another form."""
    replaced = {name for rule in house["rules"] for name in rule.get("replaces", [])}
    known = {rule["id"]: _shared_form(rule.get("regex", "")) for rule in older["rules"]}
    rules: dict[str, dict[str, Any]] = {}
    for rule in newer["rules"]:
        name = re.sub(r"\.\d+\Z", "", rule["id"])
        pattern = _shared_form(rule.get("regex", ""))
        if not pattern or rule.get("skipReport") or name in replaced | _LEFT_OUT:
            continue
        if _plain(pattern) == _plain(known.get(name, "")):
            continue
        while name in known or name in rules:
            name = f"{name}-2"
        entropy, allow = filters(rule.get("filter", ""))
        rules[name] = _rule(
            name,
            rule["description"],
            to_python(pattern),
            origin="upstream",
            entropy=entropy,
            keywords=_KEYWORDS.get(name) or _own_words(rule),
            allow=allow,
            group=rule.get("secretGroup", 0),
            confidence=_confidence(rule["regex"]),
        )
    return list(rules.values())


def _own_words(rule: dict[str, Any]) -> list[str]:
    """Those of a rule's keywords that its pattern has."""
    pattern = rule["regex"].lower().replace("\\", "")
    return [word for word in rule.get("keywords", []) if word in pattern]


def _shared_form(pattern: str) -> str:
    """A pattern in the words that both upstreams are compared in, with our list of what may stand behind a token."""
    narrow = _NAMED.search(pattern) is not None or pattern.startswith(_LIKE_CODE)
    for tail in _TAILS:
        pattern = pattern.replace(tail, _TAILS[-1] if narrow else _TAIL)
    # a rule that is all literal would find itself in rules.json
    return pattern.replace(_LEAD, "").replace("-YmVk", "-[Y]mVk")


def _plain(pattern: str) -> str:
    return pattern.replace("(?i:", "(?:").replace("(?i)", "")


def _confidence(pattern: str) -> str:
    """Medium where it is a name in front that makes a value a secret; empty for the default, high."""
    return "medium" if _NAMED.search(pattern) else ""


def filters(text: str) -> tuple[float, list[dict[str, Any]]]:
    """Least entropy and allow lists of a betterleaks filter; other conditions of it are left out."""
    bound = re.search(r"(?:filter\.)?entropy\(finding\[\"secret\"\]\) <=? ([\d.]+)", text)
    allow = []
    for match in _ALLOWS.finditer(text):
        texts = [quoted or json.loads(plain) for quoted, plain in _TEXTS.findall(match[3])]
        if match[1] == "containsAny":
            allow.append({"target": "secret", "stopwords": sorted({each.lower() for each in texts})})
        else:
            allow.append({"target": match[2], "regexes": [to_python(each) for each in texts]})
    return float(bound[1]) if bound else 0.0, allow


def _rule(
    name: str, description: str, regex: str, *, origin: str, prefilter: str | None = None, **more: Any
) -> dict[str, Any]:
    derived, before, least = relaxed(prefilter or regex)
    for slow, eager in _EAGER.items():
        regex = regex.replace(slow, eager)
    re.compile(regex.encode("latin-1"))
    rule: dict[str, Any] = {"id": name, "description": description, "origin": origin, "regex": regex}
    # The window grows where a match touches its end, and one that may end there does so at any cut: a short one will do.
    longest = _AFTER if regex.endswith(("|\\Z)", "|\\Z))")) else UNBOUNDED
    rule |= {"prefilter": derived, "before": before, "after": max(64, min(longest, width(regex) - least)), **more}
    return {key: value for key, value in rule.items() if value not in ("", [], None, 0)}


def _known(rules: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Example keys that upstream has among the stop words of one rule: they are none under any other either."""
    words = {word for rule in rules for entry in rule.get("allowlists", []) for word in entry.get("stopwords", [])}
    known = sorted(hashlib.sha256(word.encode()).hexdigest() for word in words if _EXAMPLE_KEY.fullmatch(word))
    return [{"target": "secret", "sha256": known}] if known else []


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
