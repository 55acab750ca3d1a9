"""Reject candidates of rules without a format (passwords, generic keys) that are placeholders, ids, paths or names.

Tokens and keys that have a format of their own are checked in ``formats``. A check returns a secret's normal form, or None to
reject it.
"""

from __future__ import annotations

import math
import re
import string
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

# What the name and the first characters of a value say of a finding that goes by its name alone.
#
# Shape first, names second: where a value is named for a service whose tokens have a shape that a rule knows, or begins as such a
# token does, that rule has looked at it and found no token. It is told all the same, but as unsure: cut off, made up, of a test.

# Services all of whose keys and tokens have a shape that some rule knows. Left out are those that give others too: older ones,
# those of self-hosted servers, secrets to sign with (GitHub, GitLab, AWS, Slack, Stripe, …).
_SERVICES = """
adafruit adobe aikido airtable algolia amplitude anthropic apify asaas asana assemblyai authress beamer bitly bitrise
bittrex brave[_-]?search buildkite canva cerebras circleci civo clickhouse clickup clojars cloudinary cloudsmith
cockroachlabs codecov cohere configcat confluent contentful couchbase coveralls cursor databento databricks datadog
datastax deepgram deepseek disqus doppler dropbox duffel dynatrace easypost ebay elastic elevenlabs endorlabs etsy
fastly figma finicity finnhub flickr flutterwave flyio frameio freemius freshbooks fullstory
gitea[_-]?(?:access[_-]?)?token gitter gocardless greptile groq gumroad highnote honeycomb hubspot huggingface
influxdb infomaniak infracost jumpcloud kagi kimi klaviyo kraken kucoin langchain langsmith lichess lighton mailchimp
mailersend mapbox maxmind meraki mergify messagebird midtrans minimax mistral moonshot netlify newrelic nytimes
octopus ollama onesignal onfido openrouter openweather paddle perplexity pinecone pinterest plaid planetscale plivo
postman prefect pulumi rainforest rapidapi replicate rootly rubygems runpod salesforce[_-]?access[_-]?token samsara
scaleway scalingo sendbird sendgrid sendinblue settlemint shippo snyk squarespace sslmate stability sumo tableau
tailscale telegram telnyx thunderstore togetherai travisci twitch typeform unkey upcloud upstage vercel wakatime wandb
weatherstack workato workos yandex zuplo
"""
SERVICES = tuple(_SERVICES.split())
# Called as what programs have of their own: they count where the value has a token's beginning too (``sk_…``).
AMBIGUOUS = ("checkout", "linear", "mercury", "notion", "persona", "render")
_NAME = re.compile(rb"(?:(?<![A-Za-z])|(?<=[a-z])(?=[A-Z]))(?i:" + "|".join(SERVICES).encode() + rb")")
_OWN = re.compile(rb"(?i)(?:" + "|".join((*SERVICES, *AMBIGUOUS)).encode() + rb")[_-]")
_MAYBE = re.compile(rb"(?i)(?<![a-z])(?:" + "|".join(AMBIGUOUS).encode() + rb")[a-z0-9_.-]*[\"']?\s*[:=]\s*[\"']?\Z")
_BEGINS = re.compile(rb"[a-z]{2,5}_")
_PREFIX = re.compile(r"[a-z][a-z0-9]+[_.~-]|[a-z]{2,}\d")
_NO_PREFIX = ("secret", "private", "client", "auth", "token", "api-", "api_", "key", "access", "pat.")
_SAYS_NOTHING = frozenset(
    b"access api apikey auth bearer client const export final key keys let my oauth personal private public secret static string"
    b" the token user value var your".split()
)
# What people and programs choose themselves, for whatever service.
_CHOSEN = re.compile(
    rb"(?i)passw|passphrase|pwd|_pass|credential|signing|webhook|jwt|session|cookie|encrypt|hmac|salt|_base\b"
)
# Names that say of their value that it is made up.
_MADE_UP = re.compile(
    rb"(?i)(?:fake|dummy|mock(?:ed)?|example|invalid|wrong|bogus|placeholder|non[_-]?matching)[A-Za-z_-]{0,20}[\"']?\s*[:=]"
)
# Names whose values are meant to be seen. Source: gitleaks' generic-api-key, its allowed names.
_SEEN = re.compile(rb"(?i)(?:[cx]srf[_.-]?token|public[_.-]?(?:key|token)|pub[_.-]?key)")


def misshapen(front: bytes, name: bytes, value: bytes) -> bool:
    """Whether a value that no rule of a service knows is named for one, or begins as one's tokens do; or its name says "made up".

    ``front`` is what stands before it on its line. A password is never: services give their tokens a
    shape, people choose those.
    """
    if _CHOSEN.search(name):
        return False
    if _MADE_UP.search(front) or _NAME.search(front):
        return True
    if value.lower().startswith(_prefixes()) or _OWN.match(value):
        return True
    return _MAYBE.search(front) is not None and _BEGINS.match(value) is not None


def meant_to_be_seen(name: bytes) -> bool:
    """Whether a value is public by its name: a public key, a token against forged requests."""
    return _SEEN.search(name) is not None


def says_whose(name: bytes) -> bool:
    """Whether a name says more than that this is a key, a token or a secret."""
    words = re.findall(rb"[A-Za-z0-9]+?(?=[A-Z][a-z]|[^A-Za-z0-9]|\Z)", name)
    return any(len(word) > 2 and word.lower() not in _SAYS_NOTHING for word in words)


@cache
def _prefixes() -> tuple[bytes, ...]:
    """What tokens of the rules' services begin with."""
    from deadweight_images.secrets.rules import load_rules

    return tuple(prefixes(word for rule in load_rules().rules if rule.confidence == "high" for word in rule.keywords))


def prefixes(keywords: Iterable[str]) -> list[bytes]:
    """Those of some keywords that are the beginning of a token, not a word."""
    return sorted({word.encode() for word in keywords if _PREFIX.match(word) and not word.startswith(_NO_PREFIX)})


@dataclass(frozen=True)
class Candidate:
    """What a rule matched: the secret, the whole match with the name in front, and what stands around the secret.

    ``front`` is the byte before the secret (empty at the start), ``tail`` the buffer from the secret on, ``line`` what
    stands before it on its line (some of it).
    """

    secret: bytes
    match: bytes
    front: bytes
    tail: memoryview
    line: bytes = b""

    @property
    def name(self) -> bytes:
        """What the match has in front of the secret."""
        return self.match.split(self.secret)[0]


def entropy(data: bytes) -> float:
    """Shannon entropy in bits per byte; 0 for nothing."""
    size = len(data)
    return -sum(count / size * math.log2(count / size) for count in Counter(data).values()) if size else 0.0


_PLACEHOLDER = re.compile(
    rb"""(?ix)^(?:
      (?:your|my|the|some|an?|insert|enter|put|set|use|replace|change|add)[-_ .]?.*
          (?:here|pass(?:word|wd)?|secret|token|key|me|this|it|yours?)\d?
    | ["'(]*[-_.]?(?:user(?:name)?|anon[a-z]*|pass(?:w(?:or)?d|phrase)?|pwd?|secret|token|key|login|guest|example|sample|dummy
          |placeholder|fake|mock|test(?:ing)?|change[-_]?(?:me|it|this)|redacted|hidden|removed|masked|none|null|nil|true|false
          |undefined|unknown|empty|default|todo|fixme|foo(?:bar)?|bar|baz|qux|string|text|value|required|optional
          |password[-_]?123?4?|[-_]|\d){1,4}["',.;)]*
    | (.)\1*
    | [x*.\-_#?]{3,}
    | .*(?:example|placeholder|changeme|xxxx|\*\*\*\*|redacted|\.\.\.).*
    | (?:\\{1,2}u(?!00[0-7])[0-9a-f]{4}[^\\\w]*)+
    | @[a-z_]+@ | %.* | .*%[sdvq(].* | .*\$[{(a-z_].* | .*\{.*\}.* | <.*> | \[.*\]
    )$"""
)
_COUNTING = re.compile(rb"(?i)(?:0?123(?:4(?:5(?:6(?:7(?:8(?:90?)?)?)?)?)?)?|abc(?:def(?:gh[a-z]*)?)?)+")
_ALPHABET = string.ascii_lowercase.encode()
_IDENTIFIER = re.compile(rb"^(?:[A-Za-z_][A-Za-z_]*|[A-Za-z_][A-Za-z0-9_]*(?:(?:\.|::|->|/)[A-Za-z_][A-Za-z0-9_]*)+)$")
_PATHLIKE = re.compile(rb"^(?:[./~]|[a-z]{1,6}://|[A-Za-z]:\\)")
_DIGEST_NAME = re.compile(
    rb"(?i)(?:sha\d*|md5|digest|checksum|hash|integrity|fingerprint|commit|revision|uuid|guid|etag)"
)
_UUID = re.compile(rb"(?i)^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$")


def is_placeholder(value: bytes) -> bool:
    """Whether documentation uses such a value."""
    return _PLACEHOLDER.match(value) is not None


def not_placeholder(candidate: Candidate) -> bytes | None:
    """A value that documentation does not use: no variable, no "changeme", no row of one character.

    Nor a word in another script, as translated messages have it in their escapes (``PASSWORD=\\u5bc6\\u7801``).
    """
    secret = candidate.secret
    if _PLACEHOLDER.match(secret) or secret.startswith((b"$", b"<", b"{", b"%")):
        return None
    if _COUNTING.fullmatch(secret) and len(secret) < 32:
        return None
    if _counts_up(secret) and not says_whose(candidate.line or candidate.name):
        return None  # a service's key may be as weak as that; under "key" alone it is an example
    return secret


def _counts_up(secret: bytes) -> bool:
    """Whether characters count up: ``abcdef1234567890`` somewhere, or letters that run through the alphabet, digits left out."""
    run = _COUNTING.search(secret)
    while run is not None and len(run[0]) < 16:
        run = _COUNTING.search(secret, run.end())
    letters = re.sub(rb"[^a-z]", b"", secret.lower())
    return run is not None or (len(letters) >= 10 and letters[:10] in _ALPHABET)


def _is_id(candidate: Candidate) -> bool:
    """A UUID, unless its name says whose key or token it is: many services give such ones."""
    if not _UUID.match(candidate.secret):
        return False
    ends_so = re.search(rb"(?i)(?:id|name|type)[\s\"'=:>]*\Z", candidate.name) is not None
    return ends_so or not says_whose(candidate.line or candidate.name)


_EXAMPLE_HOST = re.compile(
    rb"@(?:[a-z0-9-]+\.)*(?:example(?:\.(?:com|org|net))?|invalid|test)(?![a-z0-9.-])", re.IGNORECASE
)


def url_password(candidate: Candidate) -> bytes | None:
    """No placeholder, and no short word for a host that exists in documentation only (RFC 2606)."""
    secret = candidate.secret
    if len(secret) < 8 and _EXAMPLE_HOST.match(bytes(candidate.tail[len(secret) : len(secret) + 200])):
        return None
    return not_placeholder(candidate)


_REPORTS_TO = re.compile(rb"@(?:o\d+\.ingest\.(?:[a-z]{2}\.)?)?sentry\.io/", re.IGNORECASE)
"""Where Sentry takes reports. The key before it may do nothing else, and every page that reports from a browser shows it."""


def letters_and_digits(candidate: Candidate) -> bytes | None:
    """Both letters and digits: random text of that length always has both. No key that is made for being shown."""
    secret = candidate.secret
    if _REPORTS_TO.match(bytes(candidate.tail[len(secret) : len(secret) + 100])):
        return None
    return not_placeholder(candidate) if re.search(rb"[A-Za-z]", secret) and re.search(rb"\d", secret) else None


def environment_value(candidate: Candidate) -> bytes | None:
    """The value of a variable in capitals: anything that is no placeholder, path, number or mere name."""
    secret = candidate.secret
    if not_placeholder(candidate) is None or _PATHLIKE.match(secret) or secret.isdigit() or _is_id(candidate):
        return None
    if _is_key_id(candidate) or _names_itself(candidate) or _is_handed_on(candidate):
        return None
    name = re.split(rb"[ \t]*[=:]", candidate.match, maxsplit=1)[0]
    if re.search(rb"(?:_FILE|_PATH|_DIR|_URL|_URI|_NAME|_ID|_TYPE|_LEN(?:GTH)?|_SIZE|_MAX|_MIN)\W*$", name):
        return None
    if re.fullmatch(rb"[A-Z][A-Z0-9_.]*|[A-Za-z_]+(?:[._:][A-Za-z_]+)+", secret):
        return None
    spaced = re.search(rb"[ \t][=:]|[=:][ \t]", candidate.match) is not None
    quoted = re.search(rb"[=:][ \t]*[\"']", candidate.match) is not None
    if (spaced and not quoted) or b":" in candidate.name:
        return configured_value(candidate)
    return secret if entropy(secret) >= 2.0 else None


def _names_itself(candidate: Candidate) -> bool:
    """``USE_CREDENTIALS = "use-credentials"``: a constant that is called as its value."""
    name = re.sub(rb"[^a-z0-9]", b"", candidate.name.lower())
    value = re.sub(rb"[^a-z0-9]", b"", candidate.secret.lower())
    return bool(value) and name.endswith(value)


def _is_handed_on(candidate: Candidate) -> bool:
    """``API_TOKEN: exports2.API_TOKEN,``: another thing that has the same name."""
    match = re.fullmatch(rb"[A-Za-z_$][\w$]*(?:\.[\w$]+)*\.([A-Za-z_$][\w$]+)[,;)\]}]*", candidate.secret)
    name = re.split(rb"[ \t]*[=:]", candidate.match, maxsplit=1)[0].strip(b"\"' \t")
    return match is not None and name.endswith(match[1])


_KEY_ID_NAME = re.compile(rb"(?i)(?:gpg|pgp|public|signing)[_-]?keys?[_-]?(?:id|fingerprint)?[\s\"'=:]*$")


def _is_key_id(candidate: Candidate) -> bool:
    """The id of a public key (``GPG_KEY`` in many base images): 40 hex digits, and the name says so."""
    front = candidate.name
    return re.fullmatch(rb"[0-9A-Fa-f]{40}", candidate.secret) is not None and _KEY_ID_NAME.search(front) is not None


def configured_value(candidate: Candidate) -> bytes | None:
    """A value in a configuration file or in code: must look like a password, not like a name, a path or a digest."""
    secret = candidate.secret
    if letters_and_digits(candidate) is None or _IDENTIFIER.match(secret) or _PATHLIKE.match(secret):
        return None
    if _is_id(candidate):
        return None
    if _DIGEST_NAME.search(candidate.name) or _is_reference(candidate) or _names_itself(candidate):
        return None
    mixed = sum(bool(re.search(kind, secret)) for kind in (rb"[a-z]", rb"[A-Z]", rb"\d", rb"[^A-Za-z0-9]"))
    if mixed < 3 and len(secret) < 16:
        return None
    return secret if entropy(secret) >= 2.8 else None


_SIGN = re.compile(rb"[!#$%&*()+,;:?<>{}|^~`@\[\]]")
_IN_CODE = re.compile(rb"\$[\w{(]|%[\w{(]|[({\[<][^)}\]>]*[)}\]>]|://|[=,:;|]{2}")


def quoted_value(candidate: Candidate) -> bytes | None:
    """A value in quotes that ``configured_value`` cannot see whole: with signs that end an unquoted one, or with escaped quotes.

    None of a call, a pattern or a template.
    """
    secret = candidate.secret
    if _IN_CODE.search(secret) or not (_SIGN.search(secret) or b"\\" in candidate.match):
        return None
    return configured_value(candidate)


def _is_reference(candidate: Candidate) -> bool:
    """Whether an unquoted value is a name or a number in program text: no language has bare strings there."""
    secret = candidate.secret
    if re.search(rb"[=:][ \t]*[\"']", candidate.match) or not re.fullmatch(rb"\w+", secret):
        return False
    behind = bytes(candidate.tail[len(secret) : len(secret) + 1])
    camel = re.fullmatch(rb"[a-z]+[A-Z0-9]\w*(?:[Kk]ey|[Ss]ecret|[Tt]oken|[Pp]assword)\w*", secret)
    return behind in (b",", b";", b"}") or camel is not None or re.fullmatch(rb"0x[0-9a-fA-F_]+", secret) is not None


def assigned_value(candidate: Candidate) -> bytes | None:
    """Upstream's widest rule, held to values that look random and stand on the line of their name."""
    secret = candidate.secret
    if letters_and_digits(candidate) is None or _IDENTIFIER.match(secret) or _is_id(candidate):
        return None
    front = candidate.name
    if _DIGEST_NAME.search(front) or front.endswith(b"h1:") or b"\n" in front or _is_key_id(candidate):
        return None  # h1: is Go's module hash
    if re.search(rb"\s>\s", front) or re.fullmatch(rb"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+", secret):
        return None  # a shell redirection; the name of a constant
    words = re.findall(rb"[A-Za-z][a-z]{3,}", secret)
    return None if 2 * sum(map(len, words)) >= len(secret) else secret
