"""Texts that look like secrets, made when a test runs: none is real, and none stands in this repository.

``sample`` walks Python's parse tree of a rule's pattern and makes a text that it matches. What a pattern cannot tell (a body
that is base64, a structure that must decode) has a maker of its own.
"""

import base64
import json
import random
import re._compiler as compiler  # type: ignore[import-not-found]
import re._constants as sre  # type: ignore[import-not-found]
import re._parser as parser  # type: ignore[import-not-found]
import string
from collections.abc import Iterable
from typing import Any

ALNUM = string.ascii_letters + string.digits
BASE64 = ALNUM + "+/"


def text(rng: random.Random, alphabet: str, size: int) -> str:
    return "".join(rng.choice(alphabet) for _ in range(size))


Groups = dict[int, str]
"""What each group of a pattern has matched."""


def _nodes(nodes: Iterable[tuple[Any, Any]], rng: random.Random, groups: Groups) -> str:
    return "".join(_node(kind, value, rng, groups) for kind, value in nodes)


def _node(kind: Any, value: Any, rng: random.Random, groups: Groups) -> str:
    if kind is sre.LITERAL:
        return chr(value)
    if kind is sre.NOT_LITERAL or kind is sre.ANY:
        return rng.choice([char for char in ALNUM if ord(char) != value])
    if kind is sre.IN:
        return rng.choice(_members(value))
    if kind is sre.BRANCH:
        return _nodes(rng.choice(value[1]), rng, groups)
    if kind is sre.SUBPATTERN:
        inner = _nodes(value[3], rng, groups)
        if value[0]:
            groups[value[0]] = inner
        return inner
    if kind is sre.GROUPREF:
        return groups.get(value, "")
    if kind in (sre.MAX_REPEAT, sre.MIN_REPEAT, sre.POSSESSIVE_REPEAT):
        least, most, inner = value
        count = rng.randint(least, int(min(most, max(least + 8, 24))))
        return "".join(_nodes(inner, rng, groups) for _ in range(count))
    return ""  # anchors and look-around take no text


def _members(items: Iterable[tuple[Any, Any]]) -> str:
    """The characters of a class, of which letters and digits go before others if there are enough of them."""
    one = compiler.compile(parser.SubPattern(parser.State(), [(sre.IN, list(items))]))
    alphabets = (sorted(ALNUM), string.printable, map(chr, range(256)))
    plain, shown, others = ("".join(filter(one.match, chars)) for chars in alphabets)
    return plain if len(plain) > 9 else shown or others


def github_token(rng: random.Random) -> bytes:
    return b"gh" + b"p_" + text(rng, ALNUM, 36).encode()


def aws_key_id(rng: random.Random) -> bytes:
    return b"AK" + b"IA" + text(rng, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 16).encode()


def aws_secret(rng: random.Random) -> bytes:
    return text(rng, BASE64, 38).encode() + b"7a"


def password(rng: random.Random) -> bytes:
    return text(rng, string.ascii_uppercase, 4).encode() + b"!" + text(rng, ALNUM, 8).encode() + b"9z"


def pem(rng: random.Random, kind: str = "RSA ", newline: str = "\n") -> bytes:
    body = newline.join(text(rng, BASE64, 64) for _ in range(12))
    dashes = "-" * 5
    name = f"{kind}PRIVATE KEY{' BLOCK' if kind == 'PGP ' else ''}"
    return f"{dashes}BEGIN {name}{dashes}{newline}{body}{newline}{dashes}END {name}{dashes}{newline}".encode()


def docker_config(rng: random.Random) -> bytes:
    auth = base64.b64encode(b"robot:" + password(rng)).decode()
    return json.dumps({"auths": {"registry.internal": {"auth": auth}}}, indent=2).encode()


def service_account_token(rng: random.Random) -> bytes:
    parts = [{"alg": "RS256", "kid": text(rng, ALNUM, 20)}, {"iss": "kubernetes.io/service" + "account", "sub": "x"}]
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in parts]
    return b".".join([*encoded, text(rng, ALNUM, 86).encode()])


def pkcs12(rng: random.Random) -> bytes:
    data, bag = bytes.fromhex("2a864886f70d010701"), bytes.fromhex("2a864886f70d010c0a0102")
    inner = b"\x06\x09" + data + rng.randbytes(60) + bag + rng.randbytes(200)
    return b"\x30\x82" + (len(inner) + 7).to_bytes(2) + b"\x02\x01\x03\x30\x82" + len(inner).to_bytes(2) + inner


def curl_header(rng: random.Random) -> bytes:
    return b"cu" + b'rl -s -H "Authorization: Bearer ' + text(rng, ALNUM, 40).encode() + b'" https://internal/v1'


def curl_user(rng: random.Random) -> bytes:
    return b"cu" + b'rl -s -u "deploy:' + password(rng) + b'" https://internal/v1'


def kubernetes_secret(rng: random.Random) -> bytes:
    value = base64.b64encode(password(rng))
    return b"apiVersion: v1\nkind: Secret\nmetadata:\n  name: db\ndata:\n  db: " + value + b"\n"


MAKERS = {
    "private-key": pem, "docker-config-auth": docker_config, "kubernetes-service-account-token": service_account_token,
    "pkcs12-private-key": pkcs12, "curl-auth-header": curl_header, "curl-auth-user": curl_user,
    "kubernetes-secret-yaml": kubernetes_secret,
}  # fmt: skip


def sample(rule_id: str, pattern: str, rng: random.Random) -> bytes:
    """A text that the rule should find: where it has no maker, one that its pattern matches as far as its tree tells."""
    if maker := MAKERS.get(rule_id):
        return maker(rng)
    return _nodes(parser.parse(pattern.encode("latin-1")), rng, {}).encode("latin-1")
