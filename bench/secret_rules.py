"""Write ``rules.json`` from the pinned upstream rules and ours. For maintainers: ``python -m bench.secret_rules``.

Fetches the modules that ``upstream/go.mod`` pins through the Go toolchain, which verifies them against ``upstream/go.sum``.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import re._constants as sre  # type: ignore[import-not-found]
import re._parser as parser  # type: ignore[import-not-found]
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import deadweight_images
from deadweight_images.errors import DeadweightError

# Go's regular expressions (RE2 syntax, as gitleaks writes them) in Python's words.
#
# Python's ``re`` differs in three things that rules use: a flag in mid-pattern (``a(?i)b``) must be scoped, the end of the text is
# ``\Z`` and not ``\z``, and POSIX classes are unknown. Patterns are applied to bytes, so that ``\w``, ``\d``, ``\s`` and ``\b``
# are ASCII, as in RE2.

_POSIX = {
    "[:alnum:]": "A-Za-z0-9",
    "[:alpha:]": "A-Za-z",
    "[:digit:]": "0-9",
    "[:xdigit:]": "A-Fa-f0-9",
    "[:upper:]": "A-Z",
}
_FLAG = re.compile(r"\(\?([ims]+)\)")


def to_python(pattern: str) -> str:
    """The same pattern for Python's ``re``. Raises ValueError where a construct is not known here."""
    out: list[str] = []
    opened: list[list[str]] = [[]]  # per open group: the flag scopes that we opened inside it
    at = 0
    while at < len(pattern):
        flag = _FLAG.match(pattern, at)
        char = pattern[at]
        if flag:
            opened[-1].append(flag[1])
            out.append(f"(?{flag[1]}:")
            at = flag.end()
            continue
        if char == "[":
            piece, at = _char_class(pattern, at)
            out.append(piece)
            continue
        if char == "\\":
            out.append(_escape(pattern[at : at + 2]))
            at += 2
            continue
        out.append(_structure(char, opened))
        at += 1
    out.append(")" * len(opened[0]))
    translated = "".join(out)
    re.compile(translated.encode("latin-1"))
    return translated


def _structure(char: str, opened: list[list[str]]) -> str:
    """A character outside classes and escapes: groups and alternatives carry the scoped flags along."""
    if char == "(":
        opened.append([])
    elif char == ")":
        return ")" * len(opened.pop()) + ")"
    elif char == "|":
        scopes = opened[-1]
        return ")" * len(scopes) + "|" + "".join(f"(?{flags}:" for flags in scopes)
    elif char == "$":
        return r"\Z"  # Python's $ also matches before a last newline
    return char


def _escape(pair: str) -> str:
    if pair == r"\z":
        return r"\Z"
    if pair in (r"\Q", r"\E", r"\p", r"\P", r"\C"):
        raise ValueError(f"unknown construct {pair}")
    return pair


def _char_class(pattern: str, start: int) -> tuple[str, int]:
    """A bracketed class from ``start``: POSIX names written out, a bare ``[`` escaped. Returns it and where it ends."""
    at, out = start + 1, ["["]
    if pattern[at] == "^":
        out.append("^")
        at += 1
    first = True
    while pattern[at] != "]" or first:
        first = False
        name = next((name for name in _POSIX if pattern.startswith(name, at)), None)
        if name:
            out.append(_POSIX[name])
            at += len(name)
        elif pattern[at] == "\\":
            out.append(pattern[at : at + 2])
            at += 2
        else:
            out.append(r"\[" if pattern[at] == "[" else pattern[at])
            at += 1
    return "".join([*out, "]"]), at + 1


# From a rule's exact pattern to the simpler one that the multi-pattern matcher looks for.
#
# The simpler pattern finds at least every end that the exact one can have; what it finds too much is refused by the exact
# pattern afterwards. It is made so that
#
# - it does not depend on what stands outside the file (many files lie behind one another in one buffer): ``^``, ``$``, ``\Z``,
#   look-around and a word boundary at the end are gone,
# - it reports few ends: repeats at either edge are cut to their least count.
#
# Works on Python's own parse tree of the pattern, when rules are converted, never when images are scanned.

Node = tuple[Any, Any]
UNBOUNDED = 4096  # bytes that a pattern without an upper bound is taken to need before its end

_CATEGORIES = {
    sre.CATEGORY_DIGIT: r"\d",
    sre.CATEGORY_NOT_DIGIT: r"\D",
    sre.CATEGORY_SPACE: r"\s",
    sre.CATEGORY_NOT_SPACE: r"\S",
    sre.CATEGORY_WORD: r"\w",
    sre.CATEGORY_NOT_WORD: r"\W",
}
_FLAGS = {re.IGNORECASE: "i", re.DOTALL: "s"}


def relaxed(pattern: str) -> tuple[str, int, int]:
    """The matcher's pattern, how many bytes at most it can reach back from an end that it reports, and at least."""
    tree = parser.parse(pattern.encode("latin-1"))
    nodes = _trim_front(_trim_back(list(tree)))
    text = "".join(_text(node) for node in nodes)
    flags = "".join(letter for flag, letter in _FLAGS.items() if tree.state.flags & flag)
    prefilter = f"(?{flags}:{text})" if flags else text
    least, most = parser.parse(prefilter.encode("latin-1")).getwidth()
    return prefilter, int(min(most, UNBOUNDED)), int(least)


def width(pattern: str) -> int:
    """The most bytes that a match can have, ``UNBOUNDED`` where it has no bound."""
    most = parser.parse(pattern.encode("latin-1")).getwidth()[1]
    return int(most) if most < 1 << 20 else UNBOUNDED


def _may_be_empty(node: Node) -> bool:
    kind, value = node
    if kind in (sre.AT, sre.ASSERT, sre.ASSERT_NOT):
        return True
    if kind in (sre.MAX_REPEAT, sre.MIN_REPEAT, sre.POSSESSIVE_REPEAT):
        return bool(value[0] == 0) or all(_may_be_empty(inner) for inner in value[2])
    if kind is sre.SUBPATTERN:
        return all(_may_be_empty(inner) for inner in value[3])
    if kind is sre.BRANCH:
        return any(all(_may_be_empty(inner) for inner in branch) for branch in value[1])
    return False


def _trim_back(nodes: list[Node]) -> list[Node]:
    return _trim(nodes, back=True)


def _trim_front(nodes: list[Node]) -> list[Node]:
    return _trim(nodes, back=False)


def _trim(nodes: list[Node], *, back: bool) -> list[Node]:
    """Without what may be empty at that edge; a repeat at the edge at its least count; groups and branches likewise."""
    edge = -1 if back else 0
    while nodes and _may_be_empty(nodes[edge]) and not (not back and _is_boundary(nodes[edge])):
        nodes.pop(edge)
    if not nodes:
        return nodes
    kind, value = nodes[edge]
    if kind in (sre.MAX_REPEAT, sre.MIN_REPEAT, sre.POSSESSIVE_REPEAT):
        nodes[edge] = (sre.MAX_REPEAT, (value[0], value[0], value[2]))
    elif kind is sre.SUBPATTERN:
        group, add, remove, inner = value
        nodes[edge] = (sre.SUBPATTERN, (group, add, remove, _trim(list(inner), back=back)))
    elif kind is sre.BRANCH:
        nodes[edge] = (sre.BRANCH, (None, [_trim(list(branch), back=back) for branch in value[1]]))
    return nodes


def _is_boundary(node: Node) -> bool:
    """A word boundary in front is kept: the byte before a file's content is never a word character (see ``scanner.block``)."""
    return node[0] is sre.AT and node[1] is sre.AT_BOUNDARY


def _text(node: Node) -> str:
    kind, value = node
    if kind is sre.LITERAL:
        return _byte(value)
    if kind is sre.NOT_LITERAL:
        return f"[^{_byte(value)}]"
    if kind is sre.ANY:
        return "."
    if kind is sre.IN:
        return _set(value)
    if kind is sre.AT:
        return {sre.AT_BOUNDARY: r"\b", sre.AT_NON_BOUNDARY: r"\B"}.get(value, "")
    if kind in (sre.ASSERT, sre.ASSERT_NOT):
        return ""
    return _compound(kind, value)


def _compound(kind: Any, value: Any) -> str:
    if kind is sre.BRANCH:
        return "(?:" + "|".join(_texts(branch) for branch in value[1]) + ")"
    if kind is sre.SUBPATTERN:
        _, add, remove, inner = value
        on = "".join(letter for flag, letter in _FLAGS.items() if add & flag)
        off = "".join(letter for flag, letter in _FLAGS.items() if remove & flag)
        return f"(?{on}{'-' + off if off else ''}:{_texts(inner)})"
    if kind in (sre.MAX_REPEAT, sre.MIN_REPEAT, sre.POSSESSIVE_REPEAT):
        least, most, inner = value
        if most == 0:
            return ""
        upper = "" if most is sre.MAXREPEAT else str(most)
        count = f"{{{least}}}" if least == most else f"{{{least},{upper}}}"
        return f"(?:{_texts(inner)}){count}"
    raise ValueError(f"unknown construct {kind}")


def _texts(nodes: Any) -> str:
    return "".join(_text(node) for node in nodes)


def _set(items: Any) -> str:
    parts = []
    for kind, value in items:
        if kind is sre.NEGATE:
            parts.append("^")
        elif kind is sre.LITERAL:
            parts.append(_byte(value))
        elif kind is sre.RANGE:
            parts.append(f"{_byte(value[0])}-{_byte(value[1])}")
        else:
            parts.append(_CATEGORIES[value])
    return "[" + "".join(parts) + "]"


def _byte(value: int) -> str:
    char = chr(value)
    return char if char.isascii() and char.isalnum() else f"\\x{value:02x}"


HERE = Path(deadweight_images.__file__).parent / "secrets"
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
    own = tomllib.loads((HERE / "own.toml").read_text(encoding="utf-8"))
    upstream = [
        {"module": module, "version": _version(module), "licence": "MIT", "licence_file": f"upstream/{file}"}
        for module, file in ((GITLEAKS, "LICENSE"), (BETTERLEAKS, "LICENSE.betterleaks"))
    ]
    document = {
        "upstream": upstream,
        "allow": [*_allow([config["allowlist"]]), *_known(config["rules"])],
        "rules": [*own_rules(own), *_upstream_rules(config, own), *_newer_rules(newer, config, own)],
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
    match = re.search(rf"{re.escape(module)} v(\S+)", (HERE / "upstream" / "go.mod").read_text(encoding="utf-8"))
    assert match is not None
    return match[1]


def own_rules(own: dict[str, Any]) -> list[dict[str, Any]]:
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
            allow=_own_allow(rule),
            check=rule.get("check", ""),
            confidence=rule.get("confidence", ""),
        )
        for rule in own["rules"]
    ]


def _own_allow(rule: dict[str, Any]) -> list[dict[str, Any]]:
    kept = {"target": "secret", "regexes": rule.get("allow", []), "sha256": rule.get("known", [])}
    return [{key: value for key, value in kept.items() if value}] if len(kept["regexes"]) + len(kept["sha256"]) else []


def _upstream_rules(config: dict[str, Any], own: dict[str, Any]) -> list[dict[str, Any]]:
    replaced = {name for rule in own["rules"] for name in rule.get("replaces", [])}
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


def _newer_rules(newer: dict[str, Any], older: dict[str, Any], own: dict[str, Any]) -> list[dict[str, Any]]:
    """What betterleaks has and gitleaks has not, or has in another form."""
    replaced = {name for rule in own["rules"] for name in rule.get("replaces", [])}
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
            allow.append({"target": "secret", "stopwords": sorted({word.lower() for word in texts})})
        else:
            allow.append({"target": match[2], "regexes": [to_python(regex) for regex in texts]})
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
