"""Every rule finds a text made for it, and the matcher never misses what the exact pattern finds; how sure a finding is."""

import contextlib
import hashlib
import json
import random
import re
import shutil
import string
import tomllib
import uuid
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from bench import known_files, secret_rules
from bench.secret_rules import to_python
from deadweight.checks.layers import CHECK
from deadweight.report.sarif import layers_junit, layers_sarif
from deadweight_images.inspect.analyse import analyse
from deadweight_images.secrets import confirm, matcher, model, regions, rules
from deadweight_images.secrets.model import Budget
from deadweight_images.secrets.verify import SERVICES
from tests.support import ROOT, image_samples as samples
from tests.support.secret_samples import ALNUM, github_token, sample
from tests.support.small_project import put_built, subject_of, write_suite
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
    made = (b"\n" + sample(rule.id, rule.regex, random.Random(f"{rule.id} {seed}")) + b"\n" for seed in range(SEEDS))
    count = 0
    for data in filter(rule.pattern.search, made):  # the sample maker does not know about look-around
        fast_hits, fast = _found_by(rule, number, engines[0], data)
        assert fast_hits, "the matcher's pattern misses what the exact pattern matches"
        if fast:
            count += 1
            assert fast == _found_by(rule, number, engines[1], data)[1]
        if count >= 2:
            return
    pytest.fail(f"no sample of {rule.id} was found")


def test_shape_of_the_rule_set():
    assert len(RULES.rules) == len({rule.id for rule in RULES.rules}) > 400
    assert re.fullmatch(r"gitleaks-8\.\d+\.\d+\+betterleaks-\d+\.\d+\.\d+\+[0-9a-f]{12}", RULES.version)
    assert [rule.id for rule in RULES.rules if rule.path] == ["hashicorp-tf-password"]  # no file name without need


def test_own_rules_in_the_data_are_those_of_the_source():
    own = tomllib.loads((secret_rules.HERE / "own.toml").read_text())
    data = json.loads((secret_rules.HERE / "rules.json").read_text())
    assert secret_rules.own_rules(own) == [rule for rule in data["rules"] if rule["origin"] == "house"]


@pytest.mark.tools
def test_rules_are_what_the_conversion_of_the_pinned_module_gives(tmp_path, monkeypatch):
    """Fetches the pinned module (verified by its hash) and converts it again."""
    before = (secret_rules.HERE / "rules.json").read_text()
    monkeypatch.setattr(secret_rules, "OUTPUT", tmp_path / "rules.json")
    secret_rules.main()
    assert (tmp_path / "rules.json").read_text() == before


GO_PYTHON = {
    r"a(?i)b|c": r"a(?i:b)|(?i:c)", r"(x(?i)y)z": r"(x(?i:y))z", r"a\z": r"a\Z", r"a$": r"a\Z", r"[^]a[]": r"[^]a\[]",
    r"[[:alnum:]_]": r"[A-Za-z0-9_]", r"(?-i:A)b": r"(?-i:A)b", r"\$(?:\d+|{\d+})": r"\$(?:\d+|{\d+})",
}  # fmt: skip


def test_translation_from_go():
    assert {go: to_python(go) for go in GO_PYTHON} == GO_PYTHON
    with pytest.raises(ValueError, match="unknown construct"):
        to_python(r"\pL+")


def test_this_project_holds_no_secret(scanner):
    """Sources, rule data and these tests themselves: what looks like a secret is made at run time."""
    for pattern in ("src/deadweight*/**/*", "tests/support/*secret*", "tests/images/secrets/*.py"):
        for path in ROOT.glob(pattern):
            if path.is_file() and "__pycache__" not in path.parts:
                assert scanner.scan(path.read_bytes(), path=str(path.relative_to(ROOT))).matches == ()


WORDS = ("Access", "API", "aPi", "auth", "credential", "creds", "KEY", "passwd", "password", "secret", "secretoken", " = ", ": ",
         "'", "x9Q2k7Lm4P8w", "\n", "_", "0123456789ab", "=>", "\x80")  # fmt: skip


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_pattern_that_is_tried_at_its_words_alone_finds_all_that_it_finds_anywhere(seed):
    chosen = random.Random(seed)
    rule = RULES.by_id["generic-api-key"]
    text = "".join(chosen.choice(WORDS) for _ in range(400)).encode("latin-1")
    start = chosen.randrange(50)
    spans = [match.span() for match in rule.matches(text, start)]
    assert spans == [match.span() for match in rule.pattern.finditer(text, start)]
    assert spans


LEADING = {
    "(?i:(?:rapid|[a-z0-9-]*?api[a-z0-9-]*?:jar:|author))": "(?i:(?:rapid|api[a-z0-9-]*?:jar:|author))",
    r"(?i:(?:[|)\]]*?x|a\|[b-]*?c|(?:y|[a-z]*?z){2}|[^]]*?q))": r"(?i:(?:x|a\|[b-]*?c|(?:y|[a-z]*?z){2}|q))",
    "(?i:(?:a|[b]*?c))(?:d))": "(?i:(?:a|[b]*?c))(?:d))", "(?:a|[b]*?c)": "(?:a|[b]*?c)",
}  # fmt: skip


@pytest.mark.parametrize("pattern", LEADING)
@given(text=st.text(alphabet="ap:jir-xzc|)]bqyd", max_size=24))
def test_what_is_optional_in_front_is_left_out_and_changes_no_search(pattern, text):
    assert rules.searched(pattern) == LEADING[pattern]
    with contextlib.suppress(re.error):
        assert bool(re.search(rules.searched(pattern), text)) == bool(re.search(pattern, text))


def test_stop_words_are_found_in_short_and_in_long_texts():
    allow = rules.AllowList(stopwords=("ab", "example", "xyzzy"))
    for text in (b"ab", b"1example", b"2xyzz", b"", b"." * 200 + b"ab", b"." * 200):
        assert allow.covers(text, text, text, text) == any(word in text for word in (b"ab", b"example", b"xyzzy"))


def test_a_known_public_key_is_no_finding_and_others_are():
    known, other = b"A" * 64, b"B" * 64
    allow = rules.AllowList(sha256=frozenset({hashlib.sha256(known).hexdigest()}))
    assert [allow.covers(b"raw", b"", b"", key) for key in (known, other)] == [True, False]
    assert all(len(mark) == 64 for rule in RULES.rules for entry in rule.allow for mark in entry.sha256)


def test_redaction_never_shows_more_than_four_characters():
    texts = (b"abcdefghijklmnopqrst", b"abcdefghij", b"abcdefg", b"\x30\x82\x01\x02" + b"a" * 16)
    assert list(map(model.redact, texts)) == ["abcd… (20 bytes)", "ab… (10 bytes)", "… (7 bytes)", "… (20 bytes)"]


def test_fingerprint_depends_on_rule_and_secret_alone():
    assert model.fingerprint("a", b"secret") == model.fingerprint("a", b"secret")
    assert len({model.fingerprint(*pair) for pair in (("a", b"x"), ("b", b"x"), ("a", b"y"))}) == 3


DECIDING = ("secrets/places.py", "secrets/config_text.py", "secrets/allow.py", "secrets/config.py", "layers/gaps.py")


@pytest.mark.parametrize("name", DECIDING)
def test_a_change_of_what_decides_findings_is_another_version(tmp_path, monkeypatch, name):
    """Results are kept under the version: one that stayed the same would bring back what the older code found."""
    shutil.copytree(Path(rules.__file__).parent.parent, tmp_path / "image")
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
    layer = samples.honest_layer({"a": b"nothing", "b": SECRET[:-1] + b" " if changed else SECRET, "c": b"nothing"})
    archive = samples.saved(tmp_path, layer, compression=compression)
    assert [len(look(archive, scan=scan).secrets) for look in (analyse, samples.streamed)] == [changed] * 2


def test_what_lies_around_known_content_is_looked_at(tmp_path, believed):
    believed(SECRET)
    other = b"token = " + github_token(random.Random(4)) + b"\n"
    archive = samples.saved(tmp_path, samples.honest_layer({"a": other, "b": SECRET, "c": SECRET, "d": other}))
    assert sorted(secret.path for secret in analyse(archive).secrets) == ["/a", "/d"]


def test_with_other_rules_nothing_is_known(monkeypatch):
    assert regions.table()
    monkeypatch.setattr(regions, "rules_digest", lambda: "0" * 64)
    assert regions.table.__wrapped__() == {}


def test_the_table_is_of_these_rules_and_names_its_origins():
    """After a change of the rules: ``python -m bench.known_files FOLDER --fetch``."""
    assert TABLE["rules"] == regions.rules_digest()
    assert {name.partition(" ")[0] for name in TABLE["origins"]} == {"go", "debian", "pypi", "npm"}
    entries = [entry for origin in TABLE["origins"].values() for entry in origin.items()]
    assert all(re.fullmatch(r"[0-9a-f]{64}", digest) for digest, _ in entries)
    assert all(size >= regions.LEAST_BYTES and path for _, (size, path) in entries)
    assert len({digest for digest, _ in entries}) == len(entries) > 500


def test_what_holds_a_secret_never_enters_the_table(tmp_path, capsys):
    filling = b"x = 1\n" * (regions.LEAST_BYTES // 6 + 1)
    files = {"clean.js": filling, "leaky.js": filling + SECRET, "small.js": SECRET}
    origin = written(tmp_path / "npm made-up 1.0", files)
    (origin / "link.js").symlink_to("clean.js")
    entries = known_files.origin(origin)
    assert list(entries.values()) == [(len(filling), "clean.js")]
    assert "left out: npm made-up 1.0: leaky.js: github-pat" in capsys.readouterr().err
    document = json.loads(known_files.written({origin.name: entries, "pypi twin 2.0": entries}))
    assert list(document["origins"]) == [origin.name]  # each once


# How sure a finding is, and today's tokens: what their own shape tells is found wherever it stands.

NAMED, SHAPED = "db_password = kT9vQ2mX7" + "pL4wZ8rNc3B\n", "ghp" + "_" + "a8Kd0Zq1Lm2Np3Rs4Tu5Vw6Xy7Bc8Df9Gh0J"


def made(seed: str, alphabet: str, size: int) -> str:
    return "".join(random.Random(seed).choices(alphabet, k=size))


# What a token begins with, what it is made of, how long that is, what follows. None of them is one.
HEX, LOWER = "0123456789abcdef", string.digits + string.ascii_lowercase
SESSION = "-".join(["", made("s", string.digits, 12), made("t", string.digits, 12), made("u", HEX, 64)])
TOKENS = {
    "docker personal": ("dckr_" + "pat_", ALNUM, 27), "docker organization": ("dckr_" + "oat_", ALNUM, 32),
    "swarm join": ("SWM" + "TKN-1-", LOWER, 50, "-" + made("w", "abcdefghij0123456789", 25)),
    "swarm unlock": ("SWM" + "KEY-1-", ALNUM, 43), "groq": ("gsk" + "_", ALNUM, 52), "xai": ("xai" + "-", ALNUM, 80),
    "openrouter": ("sk-or-" + "v1-", HEX, 64), "replicate": ("r8" + "_", ALNUM, 37), "nvidia": ("nvapi" + "-", ALNUM, 64),
    "pinecone": ("pcsk" + "_", ALNUM, 5, "_" + made("p", ALNUM, 63)), "cerebras": ("csk" + "-", LOWER, 48),
    "together": ("tgp" + "_v1_", ALNUM, 43), "figma": ("figd" + "_", ALNUM, 40), "supabase": ("sbp" + "_", HEX, 40),
    "render": ("rnd" + "_", ALNUM, 28), "posthog": ("phx" + "_", ALNUM, 47), "buildkite": ("bkua" + "_", HEX, 40),
    "slack session": ("xoxc" + "-", string.digits, 12, SESSION), "openai, short": ("sk-" + "proj-", ALNUM, 48),
    "azure": ("", ALNUM, 52, "JQQ" + "J99" + made("z", ALNUM, 26)),
}  # fmt: skip


@pytest.mark.parametrize("name", TOKENS)
@pytest.mark.parametrize("form", ["{}", '{{"a": "{}"}}', "x={},", '(\\"{}\\")', "Bearer {}\r\n", "\0{}\0"])
def test_a_token_of_today_is_found_by_its_shape(scanner, name, form):
    front, alphabet, size, back = (*TOKENS[name], "")[:4]
    token = front + made(name, alphabet, size) + back
    matches = scanner.scan(form.format(token).encode(), path="usr/share/doc/x/README.md").matches
    assert [match.confidence for match in matches] == ["high"], token


@pytest.mark.parametrize(("path", "confidence"), [
    ("etc/app.conf", "medium"), ("srv/app/settings.py", "medium"), ("srv/app/docs/setup.conf", "low"),
    ("srv/app/tests/test_login.py", "low"), ("srv/app/login_test.go", "low"), ("README.md", "low"),
    ("usr/share/doc/x/examples/a.conf", "low"), ("usr/local/go/src/net/url/url.go", "low"),
    # headers of the OS, and of what is installed beside it
    ("usr/include/node/v8-internal.h", "low"), ("usr/local/include/node/v8-internal.h", "low"), ("srv/usr/include/v8.h", "medium"),
])  # fmt: skip
def test_a_value_that_only_its_name_makes_a_secret_is_unsure_among_examples(scanner, path, confidence):
    (match,) = scanner.scan(NAMED.encode(), path=path).matches
    assert match.confidence == confidence
    assert {match.confidence for match in scanner.scan(SHAPED.encode(), path=path).matches} == {"high"}


@pytest.mark.parametrize(("content", "counted"), [(NAMED, 0), (SHAPED, 1)])
def test_what_is_unsure_is_told_and_fails_nothing(tmp_path, content, counted):
    archive = samples.saved(tmp_path, samples.honest_layer({"srv/docs/a.conf": content.encode()}))
    report = analyse(archive)
    assert (len(report.secrets), report.counted_secrets) == (1, counted)
    suite = write_suite(tmp_path, "name: demo\nvariants: {v: {builder: ko, base: b, checks: {layers: {}}}}\n")
    subject = subject_of(suite, "v", put_built(suite, "v", archive, "demo/v:1"), archive, None)
    assert CHECK.run(subject).status == ("fail" if counted else "pass")
    assert ("<failure" in layers_junit(report, "x")) == bool(counted)
    assert ("suppressions" in layers_sarif(report, "x")) != bool(counted)


KEY = made("k", ALNUM, 40)
UUID = uuid.UUID(int=random.Random("u").getrandbits(128))
SERVER = f"<id>a</id><pass{'word'}>letmeinplease</password>"
SETTINGS = f"<settings><servers><server>\n{SERVER}\n</server></servers></settings>"
SAS = f"https://a.blob.core.windows.net/c?sv=2023-11-03&ss=b&srt=co&sp=r&se=2027-01-01&sig={made('a', ALNUM, 43)}%3D"
DSN = f'DSN = "https://{made("reports", "0123456789abcdef", 32)}@{{}}"'
COUNTING = "abcdef1234567890" * 2


@pytest.mark.parametrize(("text", "path", "rules"), [
    (SETTINGS, "root/.m2/settings.xml", ["maven-server-password"]),
    (SAS, "a", ["azure-sas-token"]),
    # the key of an address for reports is shown to everybody
    (DSN.format("o4506985151856640.ingest.us.sentry.io/4508449"), "srv/app.py", []),
    (DSN.format("o1.ingest.sentry.io/1"), "srv/app.py", []),
    (DSN.format("sentry.io/42"), "srv/app.py", []),
    (DSN.format("errors.shop.io/42"), "srv/app.py", ["url-token"]),
    (DSN.format("sentry.io.shop.io/42"), "srv/app.py", ["url-token"]),
    (DSN.format("o1.ingest.sentry.io.shop.io/1"), "srv/app.py", ["url-token"]),
    # what every image of Node holds is no secret
    ("//npm.example.com/:_authToken=MYTOKEN1", "usr/local/bin/node", []),  # in npm's own manual
    ("//npm.example.com/:_authToken=" + made("npm", ALNUM, 24), "usr/local/bin/node", ["npmrc-auth"]),
    ("  CONNECTION_TOKEN_CHARS: exports2.CONNECTION_TOKEN_CHARS,", "usr/local/bin/node", []),  # in node itself
    ("  TOKEN: constants_1.http.TOKEN,", "usr/local/bin/node", []),
    ("SHOP_TOKEN=" + made("x", "ab", 2) + "." + made("shop", ALNUM, 20), "usr/local/bin/node", ["environment-secret"]),
])  # fmt: skip
def test_a_secret_has_its_rule(scanner, text, path, rules):
    assert [match.rule for match in scanner.scan(f"{text}\n".encode(), path=path).matches] == rules


SURENESS = {
    "low": [  # what is named for a service and has not its shape
        f"DEEPGRAM_API_KEY={KEY}",  # theirs have 40 hexadecimal digits
        f"const netlifyToken = '{KEY}{KEY[:10]}'",
        f"app.token: bkua_{KEY}x",  # begins as Buildkite's, and is none
        f"CHECKOUT_SECRET_KEY=sk_{KEY}", f"fake_api_key = {KEY}",
    ],
    "medium": [
        f"CHECKOUT_TOKEN={KEY}",  # a shop's own
        f"DEEPGRAM_PASSWORD={KEY}", f"SLACK_SIGNING_SECRET={KEY}", f"GITLAB_TOKEN={KEY}", f"ORDERS_API_KEY={KEY}",
        # a service may give weak-looking keys, under a name that says whose it is; "key" alone is an example
        f"ORDERS_API_KEY={COUNTING}", f"orders_token = {UUID}",
    ],
    None: [  # what is public or made up is no finding
        f"csrf_token = {KEY}", f"publicKey: {KEY}", f"API_KEY={COUNTING}", f"token = {UUID}",
        "curl -u $USER:${API_KEY} https://example.net", "ICANVAS_Rought" + "gho_ICANVASRENDERINGVIACONTEXT2D3D5D7D8D",
        "h: 'Authorization: Basic " + "QWxhZGRpbjpvcGVuc2VzYW1l"[:10] + "QWxhZGRpbg" + "'",
    ],
}  # fmt: skip


@pytest.mark.parametrize(("confidence", "line"), [(how, line) for how, lines in SURENESS.items() for line in lines])
def test_how_sure_a_named_value_is(scanner, line, confidence):
    levels = [match.confidence for match in scanner.scan(line.encode(), path="srv/app.conf").matches]
    assert levels == ([confidence] if confidence else [])


def test_every_service_that_is_held_to_its_shape_has_a_rule():
    known = " ".join(f"{rule.id.replace('-', '')} {' '.join(rule.keywords)}" for rule in RULES.rules)
    assert [name for name in SERVICES if name.split("[")[0] not in known] == []
