"""Every rule: it compiles, it finds a text made for it, and the matcher never misses what the exact pattern would find."""

import contextlib
import hashlib
import json
import random
import re
import shutil
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import known_files, secret_rules
from bench.secret_rules import to_python
from deadweight_images.inspect.analyse import analyse
from deadweight_images.inspect.stream import analyse_stream
from deadweight_images.secrets import confirm, matcher, model, regions, rules
from deadweight_images.secrets.model import Budget
from tests.support import ROOT
from tests.support import image_samples as samples
from tests.support.secret_samples import github_token, sample
from tests.support.trees import written

RULES = rules.load_rules()
SEEDS = 60


@pytest.fixture(scope="module")
def engines():
    return matcher.HyperscanMatcher(RULES), matcher.PlainMatcher(RULES)


def _found_by(rule, number, engine, data):
    hits = [hit for hit in engine.hits(memoryview(data), decode=False) if hit.rule == number]
    path = "x/main.tf" if rule.path else "x/no-extension"
    return hits, [one.secret for one in confirm.confirmed(RULES, memoryview(data), path, hits, Budget(0, 0))[0]]


@pytest.mark.parametrize("number", range(len(RULES.rules)), ids=[rule.id for rule in RULES.rules])
def test_rule_finds_its_sample_with_both_engines(number, engines):
    rule = RULES.rules[number]
    found = 0
    for seed in range(SEEDS):
        data = b"\n" + sample(rule.id, rule.regex, random.Random(f"{rule.id} {seed}")) + b"\n"
        if not rule.pattern.search(data):
            continue  # the sample maker does not know about look-around
        fast_hits, fast = _found_by(rule, number, engines[0], data)
        assert fast_hits, "the matcher's pattern misses what the exact pattern matches"
        if fast:
            found += 1
            assert fast == _found_by(rule, number, engines[1], data)[1]
        if found >= 2:
            return
    pytest.fail(f"no sample of {rule.id} was found")


def test_shape_of_the_rule_set():
    assert len(RULES.rules) == len({rule.id for rule in RULES.rules}) > 400
    assert re.fullmatch(r"gitleaks-8\.\d+\.\d+\+betterleaks-\d+\.\d+\.\d+\+[0-9a-f]{12}", RULES.version)
    assert [rule.id for rule in RULES.rules if rule.path] == ["hashicorp-tf-password"]  # no file name without need


def test_own_rules_in_the_data_are_those_of_the_source():
    house = tomllib.loads((secret_rules.HERE / "house.toml").read_text())
    data = json.loads((secret_rules.HERE / "rules.json").read_text())
    assert secret_rules.house_rules(house) == [rule for rule in data["rules"] if rule["origin"] == "house"]


@pytest.mark.tools
def test_rules_are_what_the_conversion_of_the_pinned_module_gives(tmp_path, monkeypatch):
    """Fetches the pinned module (verified by its hash) and converts it again."""
    before = (secret_rules.HERE / "rules.json").read_text()
    monkeypatch.setattr(secret_rules, "OUTPUT", tmp_path / "rules.json")
    secret_rules.main()
    assert (tmp_path / "rules.json").read_text() == before


@pytest.mark.parametrize(
    ("go", "python"),
    [
        (r"a(?i)b|c", r"a(?i:b)|(?i:c)"), (r"(x(?i)y)z", r"(x(?i:y))z"), (r"a\z", r"a\Z"), (r"a$", r"a\Z"),
        (r"[[:alnum:]_]", r"[A-Za-z0-9_]"), (r"[^]a[]", r"[^]a\[]"), (r"(?-i:A)b", r"(?-i:A)b"),
        (r"\$(?:\d+|{\d+})", r"\$(?:\d+|{\d+})"),
    ],
)  # fmt: skip
def test_translation_from_go(go, python):
    assert to_python(go) == python


def test_unknown_constructs_of_go_are_refused():
    with pytest.raises(ValueError, match="unknown construct"):
        to_python(r"\pL+")


def test_this_project_holds_no_secret(scanner):
    """Sources, rule data and these tests themselves: what looks like a secret is made at run time."""
    found = [
        match
        for pattern in ("src/deadweight*/**/*", "tests/support/*secret*", "tests/images/secrets/*.py")
        for path in sorted(ROOT.glob(pattern))
        if path.is_file() and "__pycache__" not in path.parts
        for match in scanner.scan(path.read_bytes(), path=str(path.relative_to(ROOT))).matches
    ]
    assert found == []


WORDS = ("Access", "API", "aPi", "auth", "credential", "creds", "KEY", "passwd", "password", "secret", "secretoken", " = ", ": ",
         "'", "x9Q2k7Lm4P8w", "\n", "_", "0123456789ab", "=>", "\x80")  # fmt: skip


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_pattern_that_is_tried_at_its_words_alone_finds_all_that_it_finds_anywhere(seed):
    chosen = random.Random(seed)
    rule = RULES.by_id["generic-api-key"]
    text = "".join(chosen.choice(WORDS) for _ in range(400)).encode("latin-1")
    start = chosen.randrange(50)
    found = [match.span() for match in rule.matches(text, start)]
    assert found == [match.span() for match in rule.pattern.finditer(text, start)]
    assert found


LEADING = {
    "(?i:(?:rapid|[a-z0-9-]*?api[a-z0-9-]*?:jar:|author))": "(?i:(?:rapid|api[a-z0-9-]*?:jar:|author))",
    r"(?i:(?:[|)\]]*?x|a\|[b-]*?c|(?:y|[a-z]*?z){2}|[^]]*?q))": r"(?i:(?:x|a\|[b-]*?c|(?:y|[a-z]*?z){2}|q))",
    "(?i:(?:a|[b]*?c))(?:d))": "(?i:(?:a|[b]*?c))(?:d))",
    "(?:a|[b]*?c)": "(?:a|[b]*?c)",
}


@pytest.mark.parametrize("pattern", LEADING)
@given(text=st.text(alphabet="ap:jir-xzc|)]bqyd", max_size=24))
def test_what_is_optional_in_front_is_left_out_and_changes_no_search(pattern, text):
    assert rules.searched(pattern) == LEADING[pattern]
    with contextlib.suppress(re.error):
        told = re.search(pattern, text)
        assert bool(re.search(rules.searched(pattern), text)) == bool(told)


def test_stop_words_are_found_in_short_and_in_long_texts():
    allow = rules.AllowList(stopwords=("ab", "example", "xyzzy"))
    for text in (b"ab", b"1example", b"2xyzz", b"", b"." * 200 + b"ab", b"." * 200):
        told = any(word in text for word in (b"ab", b"example", b"xyzzy"))
        assert allow.covers(text, text, text, text) == told


def test_a_known_public_key_is_no_finding_and_others_are():
    known, other = b"A" * 64, b"B" * 64
    allow = rules.AllowList(sha256=frozenset({hashlib.sha256(known).hexdigest()}))
    assert allow.covers(b"raw", b"", b"", known)
    assert not allow.covers(b"raw", b"", b"", other)
    assert all(len(mark) == 64 for rule in RULES.rules for entry in rule.allow for mark in entry.sha256)


def test_redaction_never_shows_more_than_four_characters():
    assert model.redact(b"abcdefghijklmnopqrst") == "abcd… (20 bytes)"
    assert model.redact(b"abcdefghij") == "ab… (10 bytes)"
    assert model.redact(b"abcdefg") == "… (7 bytes)"
    assert model.redact(b"\x30\x82\x01\x02aaaaaaaaaaaaaaaa") == "… (20 bytes)"


def test_fingerprint_depends_on_rule_and_secret_alone():
    assert model.fingerprint("a", b"secret") == model.fingerprint("a", b"secret")
    assert len({model.fingerprint(*pair) for pair in (("a", b"x"), ("b", b"x"), ("a", b"y"))}) == 3


@pytest.mark.parametrize(
    "name", ["secrets/places.py", "secrets/config_text.py", "secrets/allow.py", "secrets/config.py", "layers/gaps.py"]
)
def test_a_change_of_what_decides_findings_is_another_version(tmp_path, monkeypatch, name):
    """Results are kept under the version: one that stayed the same would bring back what the older code found."""
    package = Path(rules.__file__).parent.parent
    shutil.copytree(package, tmp_path / "image")
    monkeypatch.setattr(model, "FOLDER", tmp_path / "image" / "secrets")
    assert model.rules_version.__wrapped__() == RULES.version
    with (tmp_path / "image" / name).open("a") as file:
        file.write("\n")
    assert model.rules_version.__wrapped__() != RULES.version


SECRET = b"token = " + github_token(random.Random(3)) + b"\n"
TABLE = json.loads((ROOT / "src/deadweight_images/secrets/known.json").read_text())


@pytest.fixture
def believed(monkeypatch):
    """Have this content known, whatever its size."""
    monkeypatch.setattr(regions, "LEAST_BYTES", 1)

    def believe(content: bytes) -> None:
        monkeypatch.setattr(regions, "table", lambda: {len(content): frozenset({hashlib.sha256(content).hexdigest()})})

    return believe


@pytest.mark.parametrize("changed", [False, True])
@pytest.mark.parametrize("compression", ["none", "gzip"])
@pytest.mark.parametrize("scan", ["plain", "deep"])
def test_only_the_very_bytes_are_known(tmp_path, believed, changed, compression, scan):
    believed(SECRET)
    content = SECRET[:-1] + b" " if changed else SECRET
    layer = samples.honest_layer({"a": b"nothing", "b": content, "c": b"nothing"})
    archive = samples.saved(tmp_path, layer, compression=compression)
    assert len(analyse(archive, scan=scan).secrets) == changed
    with archive.open("rb") as file:
        assert len(analyse_stream(file, scan=scan).secrets) == changed


def test_what_lies_around_known_content_is_looked_at(tmp_path, believed):
    believed(SECRET)
    other = b"token = " + github_token(random.Random(4)) + b"\n"
    archive = samples.saved(tmp_path, samples.honest_layer({"a": other, "b": SECRET, "c": SECRET, "d": other}))
    assert sorted(each.path for each in analyse(archive).secrets) == ["/a", "/d"]


def test_with_other_rules_nothing_is_known(monkeypatch):
    assert regions.table()
    monkeypatch.setattr(regions, "rules_digest", lambda: "0" * 64)
    regions.table.cache_clear()
    assert regions.table() == {}
    regions.table.cache_clear()


def test_the_table_is_of_these_rules_and_names_its_origins():
    """After a change of the rules: ``python -m bench.known_files FOLDER --fetch``."""
    assert TABLE["rules"] == regions.rules_digest()
    assert {name.partition(" ")[0] for name in TABLE["origins"]} == {"go", "debian", "pypi", "npm"}
    entries = [entry for origin in TABLE["origins"].values() for entry in origin.items()]
    assert all(re.fullmatch(r"[0-9a-f]{64}", digest) for digest, _ in entries)
    assert all(size >= regions.LEAST_BYTES and path for _, (size, path) in entries)
    assert len({digest for digest, _ in entries}) == len(entries) > 500


def test_what_holds_a_secret_never_enters_the_table(tmp_path, capsys):
    origin = tmp_path / "npm made-up 1.0"
    origin.mkdir()
    filling = b"x = 1\n" * (regions.LEAST_BYTES // 6 + 1)
    written(origin, {"clean.js": filling, "leaky.js": filling + SECRET, "small.js": SECRET})
    (origin / "link.js").symlink_to("clean.js")
    found = known_files.origin(origin)
    assert list(found.values()) == [(len(filling), "clean.js")]
    assert "left out: npm made-up 1.0: leaky.js: github-pat" in capsys.readouterr().err
    document = json.loads(known_files.written({origin.name: found, "pypi twin 2.0": found}))
    assert list(document["origins"]) == [origin.name]  # each once
