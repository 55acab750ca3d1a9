"""Secrets in image configs."""

import random
import string
import time
import tomllib
from pathlib import Path

import pytest

from deadweight_images.secrets.config import shown_arguments, shown_instruction
from deadweight_images.secrets.config_text import scan_text
from tests.support.secret_samples import aws_secret, github_token, password, text


def _weak(rng):
    return text(rng, string.ascii_lowercase, 9)


LINES = tomllib.loads(Path(__file__).with_name("config_lines.toml").read_text())
WEAK = _weak(random.Random(12))
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
    scan = scan_text(scanner, where="config.Env[3]", text=f"{name}={value}", kind="env")
    assert len(scan.matches) == 1
    assert scan.matches[0].where == "config.Env[3]"
    assert value not in repr(scan)


@pytest.mark.parametrize("pair", LINES["environment_without_secret"])
def test_environment_without_secret(pair, scanner):
    assert scan_text(scanner, where="config.Env[0]", text=pair, kind="env").matches == ()


HISTORY = [*(("{secret}", line) for line in LINES["history"]), *LINES["history_of_words"]]


@pytest.mark.parametrize(("secret", "line"), HISTORY, ids=range(len(HISTORY)))
def test_history(secret, line, scanner):
    secret, line = (text.replace("{secret}", WEAK) for text in (secret, line))
    scan = scan_text(scanner, where="history[1]", text=line, kind="history")
    assert len(scan.matches) == 1
    assert secret not in repr(scan)
    shown = shown_instruction(line, scanner)
    assert all(word not in shown for word in secret.split() if word != "two")
    assert shown.split()[0] == line.split()[0]


@pytest.mark.parametrize("line", LINES["history_without_secret"])
def test_history_without_secret(line, scanner):
    assert [match.description for match in scan_text(scanner, where="h", text=line, kind="history").matches] == []


def test_entrypoint_arguments(scanner):
    secret = _weak(random.Random(13))
    scan = scan_text(scanner, where="config.Entrypoint", text=f"serve --api-key={secret} --port 80", kind="text")
    assert [match.rule for match in scan.matches] == ["config-argument"]


@pytest.mark.parametrize(
    "words",
    [["mysql", "-pSECRET"], ["mysqldump", "-u", "root", "-pSECRET", "app"], ["sshpass", "-p", "SECRET", "ssh", "x"],
     ["docker", "login", "-p", "SECRET", "r.io"]],
)  # fmt: skip
def test_a_short_flag_counts_behind_the_programs_that_mean_it(words, scanner):
    secret = _weak(random.Random(14))
    shown = shown_arguments([word.replace("SECRET", secret) for word in words], scanner)
    assert secret not in " ".join(shown)
    assert shown[0] == words[0]
    assert shown_arguments(["mkdir", "-p", secret], scanner) == ("mkdir", "-p", secret)


@pytest.mark.slow
def test_idioms_without_end_take_no_time(scanner):
    started = time.process_time()
    for idiom in (
        "echo a ",
        "<<EOF > secret.txt\n",
        "ENV A= ",
        "docker login -p",
        "echo 'a' | ",
        " " * 9,
        "> token echo x",
    ):
        scan_text(scanner, where="h", text="ENV TOKEN=a b " + idiom * ((1 << 20) // len(idiom)), kind="history")
    assert time.process_time() - started < 20


WHOLE = {
    "ENV": "ENV DB_PASSWORD={}",
    "build argument": "RUN |1 DB_PASSWORD={} /bin/sh -c make # buildkit",
    "label": "LABEL db.password={}",
    "list": 'CMD ["app" "--password={}"]',
    "list of JSON": 'ENTRYPOINT ["app","--password","{}"]',
    "in single quotes": "RUN /bin/sh -c export DB_PASSWORD='{}' && make",
    "echo": "RUN /bin/sh -c echo 'db_password = {}' > /etc/x.conf",
    "printf": "RUN /bin/sh -c printf 'db_password={}\\n' > /etc/x.conf",
}
SIGNS = ["Tr0ub4dor&3x!zzQ", "kT9vQ2mX7pL4;wZ8rNc3B", "kT9v,Q2mX7pL4", "a1(kT9vQ2mX7pL4)wZ8", "kT9vQ2mX|7pL4#wZ8"]


@pytest.mark.parametrize(
    ("form", "value"),
    # In a list "$p" is a reference, to programs that put variables in themselves.
    [(f, v) for f in WHOLE for v in (*SIGNS, "kT9vQ2mX7$pL4wZ8") if "$" not in v or not f.startswith("list")],
)
def test_no_part_of_a_value_with_signs_is_left_to_be_printed(form, value, scanner):
    """A rule that ends at a sign takes half of it for the secret, and the other half was shown."""
    shown = shown_instruction(WHOLE[form].format(value), scanner)
    assert shown == WHOLE[form].format(f"{value[: 4 if len(value) >= 16 else 2]}… ({len(value)} bytes)")


@pytest.mark.parametrize("value", SIGNS)
def test_an_argument_is_cut_whole(value, scanner):
    told = f"{value[: 4 if len(value) >= 16 else 2]}… ({len(value)} bytes)"
    assert shown_arguments(["app", f"--password={value}"], scanner) == ("app", f"--password={told}")
    assert shown_arguments(["app", "--password", value], scanner) == ("app", "--password", told)
    (match,) = scan_text(scanner, where="config.Env[0]", text=f"DB_PASSWORD={value}", kind="env").matches
    assert match.length == len(value)


def test_a_command_ends_where_the_shell_ends_it(scanner):
    for behind in (" && make", "; make", " | tee log"):
        text = f"RUN /bin/sh -c app --password={SIGNS[0][:9]}xy1{behind}"
        (match,) = scan_text(scanner, where="", text=text, kind="history").matches
        assert match.length == 12
