"""Secrets in an image's config and history, and in names: each is found, and printed and published nowhere."""

import base64
import gzip
import random
import re
import string
import tomllib
from pathlib import Path

import pytest

from deadweight.report.sarif import layers_junit, layers_sarif
from deadweight_images.inspect.analyse import analyse, document
from deadweight_images.inspect.extract import extract
from deadweight_images.secrets.config import shown_arguments, shown_instruction
from deadweight_images.secrets.config_text import scan_text
from tests.support import image_samples as samples
from tests.support.image_samples import honest_layer as L
from tests.support.processes import within
from tests.support.secret_samples import aws_secret, github_token, password, text

LINES = tomllib.loads(Path(__file__).with_name("config_lines.toml").read_text())
WEAK = text(random.Random(12), string.ascii_lowercase, 9)
RNG = random.Random(11)
ENV = {
    "AWS_SECRET_ACCESS_KEY": aws_secret(RNG).decode(), "POSTGRES_PASSWORD": "sup" + "erman1", "PIN_TOKEN": "73519" + "2846",
    "GITHUB_TOKEN": github_token(RNG).decode(), "DATABASE_URL": f"postgres://app:{password(RNG).decode()}@db/app",
    "SECRET_KEY": f"two words {WEAK}", "SERVICE_CREDENTIALS": f"a:{WEAK}",
    **dict.fromkeys(("DB_PASSWORD", "db.password", "MYSQL_ROOT_PASS"), WEAK),
}  # fmt: skip


@pytest.mark.parametrize("name", ENV)
def test_environment(name, scanner):
    scan = scan_text(scanner, where="config.Env[3]", text=f"{name}={ENV[name]}", kind="env")
    assert [match.where for match in scan.matches] == ["config.Env[3]"]
    assert ENV[name] not in repr(scan)


@pytest.mark.parametrize(("kind", "key"), [("env", "environment"), ("history", "history")])
def test_what_holds_no_secret(kind, key, scanner):
    for line in LINES[f"{key}_without_secret"]:
        assert (line, scan_text(scanner, where="x", text=line, kind=kind).matches) == (line, ())


HISTORY = [*(("{secret}", line) for line in LINES["history"]), *LINES["history_of_words"]]


@pytest.mark.parametrize(("secret", "line"), HISTORY, ids=range(len(HISTORY)))
def test_history(secret, line, scanner):
    secret, line = (text.replace("{secret}", WEAK) for text in (secret, line))
    scan = scan_text(scanner, where="history[1]", text=line, kind="history")
    assert (len(scan.matches), secret in repr(scan)) == (1, False)
    shown = shown_instruction(line, scanner)
    assert all(word not in shown for word in secret.split() if word != "two")
    assert shown.split()[0] == line.split()[0]


MEANING = ("mysql -pSECRET", "mysqldump -u root -pSECRET app", "sshpass -p SECRET ssh x", "docker login -p SECRET r.io")


@pytest.mark.parametrize("words", MEANING)
def test_a_short_flag_counts_behind_the_programs_that_mean_it(words, scanner):
    shown = shown_arguments(words.replace("SECRET", WEAK).split(), scanner)
    assert (shown[0], WEAK in " ".join(shown)) == (words.split()[0], False)
    assert shown_arguments(["mkdir", "-p", WEAK], scanner) == ("mkdir", "-p", WEAK)


@pytest.mark.slow
def test_idioms_without_end_take_no_time(scanner):
    idioms = ["echo a ", "<<EOF > secret.txt\n", "ENV A= ", "docker login -p", "echo 'a' | ", " " * 9, "> token echo x"]
    with within(20, processor=True):
        for idiom in idioms:
            scan_text(scanner, where="h", text="ENV TOKEN=a b " + idiom * ((1 << 20) // len(idiom)), kind="history")


WHOLE = (
    "ENV DB_PASSWORD={}", "RUN |1 DB_PASSWORD={} /bin/sh -c make # buildkit", "LABEL db.password={}",
    'CMD ["app" "--password={}"]', 'ENTRYPOINT ["app","--password","{}"]', "RUN /bin/sh -c export DB_PASSWORD='{}' && make",
    "RUN /bin/sh -c echo 'db_password = {}' > /etc/x.conf", "RUN /bin/sh -c printf 'db_password={}\\n' > /etc/x.conf",
)  # fmt: skip
SIGNS = ["Tr0ub4dor&3x!zzQ", "kT9vQ2mX7pL4;wZ8rNc3B", "kT9v,Q2mX7pL4", "a1(kT9vQ2mX7pL4)wZ8", "kT9vQ2mX|7pL4#wZ8"]


def cut(value):
    return f"{value[: 4 if len(value) >= 16 else 2]}… ({len(value)} bytes)"


# In a list "$p" is a reference, to programs that put variables in themselves.
FORMS = [(f, v) for f in WHOLE for v in (*SIGNS, "kT9vQ2mX7$pL4wZ8") if "$" not in v or "[" not in f]


@pytest.mark.parametrize(("form", "value"), FORMS)
def test_no_part_of_a_value_with_signs_is_left_to_be_printed(form, value, scanner):
    """A rule that ends at a sign takes half of it for the secret, and the other half was shown."""
    assert shown_instruction(form.format(value), scanner) == form.format(cut(value))


@pytest.mark.parametrize("value", SIGNS)
def test_an_argument_is_cut_whole(value, scanner):
    assert shown_arguments(["app", f"--password={value}"], scanner) == ("app", f"--password={cut(value)}")
    assert shown_arguments(["app", "--password", value], scanner) == ("app", "--password", cut(value))
    (match,) = scan_text(scanner, where="config.Env[0]", text=f"DB_PASSWORD={value}", kind="env").matches
    assert match.length == len(value)


def test_a_command_ends_where_the_shell_ends_it(scanner):
    for behind in (" && make", "; make", " | tee log"):
        text = f"RUN /bin/sh -c app --password={SIGNS[0][:9]}xy1{behind}"
        (match,) = scan_text(scanner, where="", text=text, kind="history").matches
        assert match.length == 12


TOKEN = github_token(random.Random(31)).decode()
WORD = "kT9vQ2mX7pL4wZ8r"


def look(tmp_path, *layers, **more):
    archive = samples.saved(tmp_path, *layers, **more)
    return archive, analyse(archive)


def output(report):
    return document(report) + layers_sarif(report, "x") + layers_junit(report, "x")


def test_a_secret_in_a_name_is_cut_wherever_the_name_stands(tmp_path):
    lower = {f"t/{TOKEN}/f": b"hello world\n", "bin/sh": f"/opt/{TOKEN}", f"opt/{TOKEN}": b"\x7fELF"}
    lower["a.tar"] = L({TOKEN: TOKEN.encode()})
    layers = L(lower, **{TOKEN: 0o4755}), L({f".wh.{TOKEN}": b"", f"t/{TOKEN}/.wh.f": b""})
    archive, report = look(tmp_path, *layers, config={"User": TOKEN, "Labels": {f"token={TOKEN}": "x"}})
    assert TOKEN not in output(report)
    shown = f"{TOKEN[:4]}… (40 bytes)"
    assert (report.user, report.hidden[0].path) == (shown, f"/t/{shown}/f")
    assert [figure.path for figure in report.setuid] == [f"/opt/{shown}"]
    done = extract(archive, report.hidden, tmp_path / "out")
    assert [item.written.read_bytes() for item in done if item.written] == [b"hello world\n"]
    assert not any(TOKEN in str(path) for path in (tmp_path / "out").rglob("*"))


@pytest.mark.parametrize("scan", ["deep", "hidden"])
def test_a_password_of_a_url_in_a_name_is_cut_though_paths_have_single_slashes(tmp_path, scan):
    """Of a mirror's folder, say: the layer has both slashes, a clean path one, and a rule for URLs wants two."""
    lower = {f"srv/https://robot:{WORD}@git.internal/x": b"hello\n", f"srv/ssh:///{TOKEN}@h.internal": b""}
    archive = samples.saved(tmp_path, L(lower), L({".wh.srv": b"", f"usr/ftp://me:{WORD}@h.internal/y": b"z" * 5000}))
    report = analyse(archive, scan=scan)
    assert not re.search(f"{WORD}|{TOKEN}", output(report))
    assert report.hidden[0].path == f"/srv/https:/robot:{WORD[:4]}… (16 bytes)@git.internal/x"
    done = extract(archive, report.hidden, tmp_path / "out")
    assert [item.written.read_bytes() for item in done if item.written] == [b"hello\n", b""]


def test_many_names_close_together_are_each_cut(tmp_path):
    names = [github_token(random.Random(number)).decode() for number in range(30)]
    links = {f"l{number}": f"/x/{name}" for number, name in enumerate(names)}
    _archive, report = look(tmp_path, L(links | dict.fromkeys(names, b"x")))
    assert not any(name in output(report) for name in names)
    assert sum(secret.inner == "link target" for secret in report.secrets) == 30


def test_ordinary_names_stay(tmp_path):
    hexadecimal = "opt/0123456789abcdef0123456789abcdef.key"
    names = ["etc/secret.txt", "usr/lib/password-store/token.py", "a=b;d/TOKEN=x", hexadecimal]
    _archive, report = look(tmp_path, L(dict.fromkeys(names, b"x")), L({".wh..wh..opq": b""}))
    assert {file.path for file in report.hidden} == {f"/{name}" for name in names}


PLACES = {
    "config.Labels[DB_PASSWORD=kT9v… (16 bytes)]": {"config": {"Labels": {f"DB_PASSWORD={WORD}": "x"}}},
    "config.Volumes": {"config": {"Volumes": {f"/x?password={WORD}": {}}}},
    "config.ExposedPorts": {"config": {"ExposedPorts": {f"token={WORD}": {}}}},
    "config.User": {"config": {"User": f"token={WORD}"}},
    "config.Env[0]": {"config": {"Env": [f"PASSPHRASE={WORD} battery staple"]}},
    "config.Env[1]": {"config": {"Env": ["A=b", f"MY_PASSWORD_URL=https://u:{WORD}@git.internal"]}},
    "config.Labels[key]": {"config": {"Labels": {"key": TOKEN}}},
    "config.Healthcheck.Test[1]": {"config": {"Healthcheck": {"Test": ["CMD", f"x token={WORD}"]}}},
    "history[0].created_by": {"history": [{"created_by": f"RUN |1 TOKEN={WORD} /bin/sh -c make"}]},
    "history[0].author": {"history": [{"created_by": "x", "author": f"token={WORD}"}]},
    # keys that nobody knows
    "history[0].env": {"history": [{"created_by": "x", "env": f"TOKEN={WORD}"}]},
    "container_config.Env[0]": {"container_config": {"Env": [f"TOKEN={WORD}"]}},
}


@pytest.mark.parametrize("place", PLACES)
def test_every_place_of_the_config_is_read_and_told_without_the_secret(tmp_path, place):
    _archive, report = look(tmp_path, L({"a": b"x"}), **PLACES[place])
    assert {secret.where for secret in report.secrets} == {place}
    assert not re.search(f"{WORD}|{TOKEN}|battery", output(report))


FLAG_WORD = "tr1cky" + "horse77"
CONTENTS = {
    "bare": TOKEN.encode(), "padded": f"token={TOKEN}\n".encode(), "packed": gzip.compress(f"token={TOKEN}".encode()),
    "twice": base64.b64encode(TOKEN.encode()), "wide": f"token={TOKEN}".encode("utf-16-le"),
}  # fmt: skip


@pytest.mark.parametrize("content", CONTENTS)
def test_an_encoded_secret_is_cut_out_of_an_instruction(scanner, content):
    encoded = base64.b64encode(CONTENTS[content]).decode()
    shown = shown_instruction(f"RUN echo {encoded} | base64 -d > x && echo {encoded}", scanner)
    assert re.fullmatch(rf"RUN echo (… \({len(encoded)} [^)]+\)) \| base64 -d > x && echo \1", shown), shown


def test_other_encoded_text_stays(scanner):
    text = "RUN echo " + base64.b64encode(b"nothing to see here, only some words").decode() + " | base64 -d > x"
    assert shown_instruction(text, scanner) == text


@pytest.mark.parametrize("words", [
    "/app|--db-password=SECRET", "/app|--db-password|SECRET|--port|8080", "sh|-c|run --token SECRET",
    "/app|--token|SECRET|--again=SECRET", "/app|--db-password-file|/run/secrets/db", "/app|-v|words",
])  # fmt: skip
def test_arguments(scanner, words):
    shown = shown_arguments(words.replace("SECRET", FLAG_WORD).split("|"), scanner)
    assert shown == tuple(words.replace("SECRET", cut(FLAG_WORD)).split("|"))


def test_a_secret_behind_its_flag_is_found_in_the_config(tmp_path):
    config = {"Entrypoint": ["/app", "--db-password", FLAG_WORD], "Cmd": ["--port", "80808080"]}
    _archive, report = look(tmp_path, samples.layer(), config=config)
    assert [(secret.rule, secret.where) for secret in report.secrets] == [("config-argument", "config.Entrypoint[2]")]
    assert FLAG_WORD not in document(report)
