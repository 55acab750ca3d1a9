"""Secrets in image configs, and the allow list."""

from __future__ import annotations

import datetime
import random
import string

import pytest
from secret_samples import aws_secret, github_token, password, text

from deadweight.image.secrets.allow import AllowEntry, judge, says
from deadweight.image.secrets.model import Match
from deadweight.image.secrets.scanner import Scanner

DAY = datetime.date(2026, 6, 1)


@pytest.fixture(scope="module")
def scanner():
    return Scanner.default()


def _weak(rng):
    return text(rng, string.ascii_lowercase, 9)


RNG = random.Random(11)
ENV = [
    ("AWS_SECRET_ACCESS_KEY", aws_secret(RNG).decode()),
    ("DB_PASSWORD", _weak(RNG)),
    ("db.password", _weak(RNG)),
    ("POSTGRES_PASSWORD", "sup" + "erman1"),
    ("MYSQL_ROOT_PASS", _weak(RNG)),
    ("GITHUB_TOKEN", github_token(RNG).decode()),
    ("SECRET_KEY", "two words " + _weak(RNG)),
    ("SERVICE_CREDENTIALS", "a:" + _weak(RNG)),
    ("PIN_TOKEN", "73519" + "2846"),
    ("DATABASE_URL", "postgres://app:" + password(RNG).decode() + "@db/app"),
]


@pytest.mark.parametrize(("name", "value"), ENV, ids=[name for name, _ in ENV])
def test_environment(name, value, scanner):
    scan = scanner.scan_text(where="config.Env[3]", text=f"{name}={value}", kind="env")
    assert len(scan.matches) == 1
    assert scan.matches[0].where == "config.Env[3]"
    assert value not in repr(scan)


@pytest.mark.parametrize(
    "pair",
    [
        "PATH=/usr/local/sbin:/usr/bin",
        "DB_PASSWORD=",
        "DB_PASSWORD=changeme",
        "DB_PASSWORD=${DB_PASSWORD}",
        "DB_PASSWORD_FILE=/run/secrets/db",
        "SECRET=/run/secrets/db",
        "TOKEN_TTL=360000",
        "GPG_KEY=" + "E3FF2839C048B25C084DEBE9B26995E310250568",
        "PYTHON_SHA256=" + "8fb5f9fbc7609fa822cb31549884575db7fd9657cbffb89510b5d7975963a83a",
        "MONKEY=banana12345",
        "KEYCLOAK_URL=https://sso.internal/auth",
    ],
)
def test_environment_without_secret(pair, scanner):
    assert scanner.scan_text(where="config.Env[0]", text=pair, kind="env").matches == ()


def _history(rng):
    secret = _weak(rng)
    yield secret, f"|1 TOKEN={secret} /bin/sh -c make"
    yield secret, f"|2 VERSION=1.2 NPM_TOKEN={secret} /bin/sh -c npm ci # buildkit"
    yield secret, f"/bin/sh -c #(nop)  ENV API_TOKEN={secret}"
    yield secret, f"ENV API_TOKEN={secret}"
    yield secret, f"ENV API_TOKEN {secret}"
    yield secret, f"ARG DB_PASSWORD={secret}"
    yield secret, f'/bin/sh -c echo "PASSWORD={secret}" > /etc/secret.txt'
    yield secret, f"/bin/sh -c mysql --password={secret} -e 'select 1'"
    yield secret, f"/bin/sh -c login --token {secret}"
    yield secret, f"/bin/sh -c echo '{secret}' > /etc/secret.txt"
    yield secret, f'RUN /bin/sh -c printf "{secret} and more" >>/run/db_password # buildkit'


@pytest.mark.parametrize(("secret", "line"), list(_history(random.Random(12))), ids=range(11))
def test_history(secret, line, scanner):
    scan = scanner.scan_text(where="history[1]", text=line, kind="history")
    assert len(scan.matches) == 1
    assert secret not in repr(scan)


@pytest.mark.parametrize(
    "line",
    [
        "RUN /bin/sh -c --mount=type=secret,id=token cat /run/secrets/token",
        "|1 TOKEN= /bin/sh -c true",
        "/bin/sh -c TOKEN=$(cat /run/secrets/token) npm ci",
        '/bin/sh -c TOKEN="$(cat /run/secrets/token)" npm ci',
        "/bin/sh -c #(nop) COPY file:5e1a7e0c2d3b4f5a6978 in /etc/secret.txt",
        "/bin/sh -c rm /etc/secret.txt",
        "/bin/sh -c echo hello-world > /etc/motd",
        "/bin/sh -c echo $TOKEN > /etc/secret.txt",
        "COPY --from=build --chown=0:0 /token /token # buildkit",
        "/bin/sh -c passwd --lock root && chage --maxdays 99 root",
    ],
)
def test_history_without_secret(line, scanner):
    assert [match.description for match in scanner.scan_text(where="h", text=line, kind="history").matches] == []


def test_entrypoint_arguments(scanner):
    secret = _weak(random.Random(13))
    scan = scanner.scan_text(where="config.Entrypoint", text=f"serve --api-key={secret} --port 80", kind="text")
    assert [match.rule for match in scan.matches] == ["config-argument"]


# The allow list.


def _match(mark):
    return Match("rule", "what", "path", "", 0, 1, "ab… (9 bytes)", mark)


def test_allowed_expired_and_unused():
    entries = [
        AllowEntry("aa", "a test key"),
        AllowEntry("bb", "until the rotation", DAY - datetime.timedelta(days=1)),
        AllowEntry("cc", "lasts to the end of its day", DAY),
        AllowEntry("dd", "long gone"),
    ]
    judged = judge([_match(mark) for mark in ("aa", "bb", "cc", "ee")], entries, today=DAY)
    assert [match.fingerprint for match in judged.counted] == ["bb", "ee"]
    assert [entry.reason for _, entry in judged.allowed] == ["a test key", "lasts to the end of its day"]
    assert [entry.fingerprint for _, entry in judged.expired] == ["bb"]
    assert [entry.fingerprint for entry in judged.unused] == ["dd"]
    assert says(*judged.expired[0]) == "bb was allowed until 2026-05-31 (until the rotation) and counts again"


def test_of_two_entries_the_lasting_one_holds():
    entries = [AllowEntry("AA", "for ever"), AllowEntry("aa", "old", DAY - datetime.timedelta(days=9))]
    judged = judge([_match("aa")], entries, today=DAY)
    assert (judged.counted, judged.unused) == ((), ())
