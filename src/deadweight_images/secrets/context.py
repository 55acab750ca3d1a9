"""What the name and the first characters of a value say of a finding that goes by its name alone.

Shape first, names second: where a value is named for a service whose tokens have a shape that a rule knows, or begins as such a
token does, that rule has looked at it and found no token. It is told all the same, but as unsure: cut off, made up, of a test.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache

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
