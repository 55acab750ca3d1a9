"""A secret in a name or in a place is printed and published nowhere; what only looks like one stays as it is."""

import base64
import gzip
import random
from pathlib import Path

import pytest

from deadweight.records.built_image import ARCHIVE_FILE, BuiltImage
from deadweight.records.paths import State
from deadweight.report.collect import image_figures
from deadweight.report.sarif import layers_junit, layers_sarif
from deadweight_images.archive.documents import of
from deadweight_images.inspect.analyse import analyse, document
from deadweight_images.inspect.extract import extract
from deadweight_images.secrets.config import shown_arguments, shown_instruction
from tests.support import image_samples as samples
from tests.support.image_samples import honest_layer as L
from tests.support.secret_samples import github_token

TOKEN = github_token(random.Random(31)).decode()
WORD = "kT9vQ2mX7pL4wZ8r"


def look(tmp_path, *layers, **more):
    archive = samples.saved(tmp_path, *layers, **more)
    return archive, analyse(archive)


def said(report):
    return document(report) + layers_sarif(report, "x") + layers_junit(report, "x")


def test_a_secret_in_a_name_is_cut_wherever_the_name_stands(tmp_path):
    lower = {
        f"t/{TOKEN}/f": b"hello world\n",
        "bin/sh": f"/opt/{TOKEN}",
        f"opt/{TOKEN}": b"\x7fELF",
        "a.tar": L({TOKEN: TOKEN.encode()}),
    }
    layers = L(lower, **{TOKEN: 0o4755}), L({f".wh.{TOKEN}": b"", f"t/{TOKEN}/.wh.f": b""})
    archive, report = look(tmp_path, *layers, config={"User": TOKEN, "Labels": {f"token={TOKEN}": "x"}})
    assert TOKEN not in said(report)
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
    assert WORD not in said(report)
    assert TOKEN not in said(report)
    assert report.hidden[0].path == f"/srv/https:/robot:{WORD[:4]}… (16 bytes)@git.internal/x"
    done = extract(archive, report.hidden, tmp_path / "out")
    assert [item.written.read_bytes() for item in done if item.written] == [b"hello\n", b""]


def test_many_names_close_together_are_each_cut(tmp_path):
    names = [github_token(random.Random(number)).decode() for number in range(30)]
    links = {f"l{number}": f"/x/{name}" for number, name in enumerate(names)}
    _archive, report = look(tmp_path, L(links | dict.fromkeys(names, b"x")))
    assert not any(name in said(report) for name in names)
    assert sum(each.inner == "link target" for each in report.secrets) == 30


def test_ordinary_names_stay(tmp_path):
    names = ["etc/secret.txt", "usr/lib/password-store/token.py", "a=b;d/TOKEN=x"]
    names += ["opt/0123456789abcdef0123456789abcdef.key"]
    _archive, report = look(tmp_path, L(dict.fromkeys(names, b"x")), L({".wh..wh..opq": b""}))
    assert {file.path for file in report.hidden} == {f"/{name}" for name in names}


PLACES = {
    "a label's key": (
        {"config": {"Labels": {f"DB_PASSWORD={WORD}": "x"}}},
        "config.Labels[DB_PASSWORD=kT9v… (16 bytes)]",
    ),
    "a volume": ({"config": {"Volumes": {f"/x?password={WORD}": {}}}}, "config.Volumes"),
    "a port": ({"config": {"ExposedPorts": {f"token={WORD}": {}}}}, "config.ExposedPorts"),
    "an author": ({"history": [{"created_by": "x", "author": f"token={WORD}"}]}, "history[0].author"),
    "a key of the history that nobody knows": (
        {"history": [{"created_by": "x", "env": f"TOKEN={WORD}"}]},
        "history[0].env",
    ),
    "a key of the config that nobody knows": (
        {"container_config": {"Env": [f"TOKEN={WORD}"]}},
        "container_config.Env[0]",
    ),
    "a user": ({"config": {"User": f"token={WORD}"}}, "config.User"),
    "words": ({"config": {"Env": [f"PASSPHRASE={WORD} battery staple"]}}, "config.Env[0]"),
    "a URL's password": ({"config": {"Env": [f"MY_PASSWORD_URL=https://u:{WORD}@git.internal"]}}, "config.Env[0]"),
}


@pytest.mark.parametrize("place", PLACES)
def test_every_place_of_the_config_is_read_and_told_without_the_secret(tmp_path, place):
    given, where = PLACES[place]
    _archive, report = look(tmp_path, L({"a": b"x"}), **given)
    assert {secret.where for secret in report.secrets} == {where}
    assert WORD not in said(report)
    assert "battery" not in said(report)


OTHER_TOKEN = github_token(random.Random(6)).decode()
FLAG_WORD = "tr1cky" + "horse77"
ENCODED = {
    "bare": base64.b64encode(OTHER_TOKEN.encode()).decode(),
    "padded": base64.b64encode(f"token={OTHER_TOKEN}\n".encode()).decode(),
    "packed": base64.b64encode(gzip.compress(f"token={OTHER_TOKEN}".encode())).decode(),
    "twice": base64.b64encode(base64.b64encode(OTHER_TOKEN.encode())).decode(),
    "wide": base64.b64encode(f"token={OTHER_TOKEN}".encode("utf-16-le")).decode(),
}


@pytest.mark.parametrize("text", ENCODED.values(), ids=ENCODED)
def test_an_encoded_secret_is_cut_out_of_an_instruction(scanner, text):
    said = shown_instruction(f"RUN echo {text} | base64 -d > x && echo {text}", scanner)
    cut = f"… ({len(text)} bytes, base64, with a secret in it)"
    assert said == f"RUN echo {cut} | base64 -d > x && echo {cut}"


def test_other_encoded_text_stays(scanner):
    text = "RUN echo " + base64.b64encode(b"nothing to see here, only some words").decode() + " | base64 -d > x"
    assert shown_instruction(text, scanner) == text


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (("/app", f"--db-password={FLAG_WORD}"), ("/app", "--db-password=tr… (13 bytes)")),
        (
            ("/app", "--db-password", FLAG_WORD, "--port", "8080"),
            ("/app", "--db-password", "tr… (13 bytes)", "--port", "8080"),
        ),
        (("sh", "-c", f"run --token {FLAG_WORD}"), ("sh", "-c", "run --token tr… (13 bytes)")),
        (
            ("/app", "--token", FLAG_WORD, f"--again={FLAG_WORD}"),
            ("/app", "--token", "tr… (13 bytes)", "--again=tr… (13 bytes)"),
        ),
        (("/app", "--db-password-file", "/run/secrets/db"), ("/app", "--db-password-file", "/run/secrets/db")),
        (("/app", "-v", "words"), ("/app", "-v", "words")),
    ],
)
def test_arguments(scanner, given, told):
    assert shown_arguments(given, scanner) == told


def test_a_secret_behind_its_flag_is_found_in_the_config(tmp_path):
    config = {"Entrypoint": ["/app", "--db-password", FLAG_WORD], "Cmd": ["--port", "80808080"]}
    _archive, report = look(tmp_path, samples.layer(), config=config)
    assert [(each.rule, each.where) for each in report.secrets] == [("config-argument", "config.Entrypoint[2]")]
    assert FLAG_WORD not in document(report)


def test_the_entry_point_in_the_report_is_redacted(tmp_path: Path):
    config = {"Entrypoint": ["/app", f"--db-password={FLAG_WORD}"]}
    made = samples.build(samples.layer(samples.file(b"app", b"x")), config=config)
    state = State(tmp_path)
    folder = state.image("v")
    folder.mkdir(parents=True)
    samples.docker_save(folder / ARCHIVE_FILE, made)
    built = BuiltImage("v", "ko", "demo:v", of(made.config), False, None, 1.0, False, "f", "ko 1", "2026-01-01")
    image = image_figures(built, state, {}, None, None).image
    assert image.entrypoint == ("/app", "--db-password=tr… (13 bytes)")
