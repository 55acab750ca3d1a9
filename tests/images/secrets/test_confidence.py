"""How sure a finding is, and today's tokens: what their own shape tells is found wherever it stands."""

import random
import string
import uuid

import pytest

from deadweight.checks.layers import CHECK
from deadweight.report.sarif import layers_junit, layers_sarif
from deadweight_images.inspect.analyse import analyse
from deadweight_images.secrets.locations import judged_confidence
from deadweight_images.secrets.rules import load_rules
from deadweight_images.secrets.verify import SERVICES
from tests.support import image_samples as samples
from tests.support.small_project import put_built, subject_of, write_suite

ALNUM = string.ascii_letters + string.digits
NAMED, SHAPED = "db_password = kT9vQ2mX7" + "pL4wZ8rNc3B\n", "ghp" + "_" + "a8Kd0Zq1Lm2Np3Rs4Tu5Vw6Xy7Bc8Df9Gh0J"


def made(seed: str, alphabet: str, size: int) -> str:
    return "".join(random.Random(seed).choices(alphabet, k=size))


# What a token begins with, what it is made of, how long that is, what follows. None of them is one.
TOKENS = {
    "docker personal": ("dckr_" + "pat_", ALNUM, 27, ""),
    "docker organization": ("dckr_" + "oat_", ALNUM, 32, ""),
    "swarm join": ("SWM" + "TKN-1-", string.digits + "abcdefghijklmnopqrstuvwxyz", 50, "-" + made("w", "abcdefghij0123456789", 25)),
    "swarm unlock": ("SWM" + "KEY-1-", ALNUM, 43, ""),
    "groq": ("gsk" + "_", ALNUM, 52, ""),
    "xai": ("xai" + "-", ALNUM, 80, ""),
    "openrouter": ("sk-or-" + "v1-", "0123456789abcdef", 64, ""),
    "replicate": ("r8" + "_", ALNUM, 37, ""),
    "nvidia": ("nvapi" + "-", ALNUM, 64, ""),
    "pinecone": ("pcsk" + "_", ALNUM, 5, "_" + made("p", ALNUM, 63)),
    "cerebras": ("csk" + "-", "abcdefghijklmnopqrstuvwxyz0123456789", 48, ""),
    "together": ("tgp" + "_v1_", ALNUM, 43, ""),
    "figma": ("figd" + "_", ALNUM, 40, ""),
    "supabase": ("sbp" + "_", "0123456789abcdef", 40, ""),
    "render": ("rnd" + "_", ALNUM, 28, ""),
    "posthog": ("phx" + "_", ALNUM, 47, ""),
    "buildkite": ("bkua" + "_", "0123456789abcdef", 40, ""),
    "slack session": ("xoxc" + "-", string.digits, 12, "-" + made("s", string.digits, 12) + "-" + made("t", string.digits, 12)
                      + "-" + made("u", "0123456789abcdef", 64)),
    "openai, short": ("sk-" + "proj-", ALNUM, 48, ""),
    "azure": ("", ALNUM, 52, "JQQ" + "J99" + made("z", ALNUM, 26)),
}  # fmt: skip


@pytest.mark.parametrize("name", TOKENS)
@pytest.mark.parametrize("form", ["{}", '{{"a": "{}"}}', "x={},", '(\\"{}\\")', "Bearer {}\r\n", "\0{}\0"])
def test_a_token_of_today_is_found_by_its_shape(scanner, name, form):
    front, alphabet, size, back = TOKENS[name]
    token = front + made(name, alphabet, size) + back
    found = scanner.scan(form.format(token).encode(), path="usr/share/doc/x/README.md").matches
    assert [match.confidence for match in found] == ["high"], token


@pytest.mark.parametrize(
    ("path", "confidence"),
    [
        ("etc/app.conf", "medium"), ("srv/app/settings.py", "medium"), ("srv/app/docs/setup.conf", "low"),
        ("srv/app/tests/test_login.py", "low"), ("srv/app/login_test.go", "low"), ("README.md", "low"),
        ("usr/share/doc/x/examples/a.conf", "low"), ("usr/local/go/src/net/url/url.go", "low"),
    ],
)  # fmt: skip
def test_a_value_that_only_its_name_makes_a_secret_is_unsure_among_examples(scanner, path, confidence):
    (match,) = scanner.scan(NAMED.encode(), path=path).matches
    assert match.confidence == confidence
    assert {each.confidence for each in scanner.scan(SHAPED.encode(), path=path).matches} == {"high"}


@pytest.mark.parametrize(("content", "counted"), [(NAMED, 0), (SHAPED, 1)])
def test_what_is_unsure_is_told_and_fails_nothing(tmp_path, content, counted):
    archive = samples.saved(tmp_path, samples.honest_layer({"srv/docs/a.conf": content.encode()}))
    report = analyse(archive)
    assert (len(report.secrets), report.counted_secrets) == (1, counted)
    variants = "{v: {builder: ko, base: example.com/base, checks: {layers: {}}}}"
    suite = write_suite(tmp_path, f"name: demo\nvariants: {variants}\n")
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


@pytest.mark.parametrize(
    ("text", "path", "rules"),
    [
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
    ],
)  # fmt: skip
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
    found = [match.confidence for match in scanner.scan(line.encode(), path="srv/app.conf").matches]
    assert found == ([confidence] if confidence else [])


def test_every_service_that_is_held_to_its_shape_has_a_rule():
    rules = load_rules().rules
    known = " ".join(f"{rule.id.replace('-', '')} {' '.join(rule.keywords)}" for rule in rules)
    assert [name for name in SERVICES if name.split("[")[0] not in known] == []


@pytest.mark.parametrize("folder", ["usr/include", "usr/local/include"])
def test_headers_of_the_os_and_of_what_is_installed_beside_it_are_unsure(folder):
    (rule,) = (each for each in load_rules().rules if each.id == "generic-api-key")
    assert judged_confidence(rule, f"{folder}/node/v8-internal.h") == "low"
    assert judged_confidence(rule, f"srv/{folder}/v8.h") == "medium"
