"""What is printed and published of an image shows no secret of it, not even one that is encoded or split in two."""

from __future__ import annotations

import base64
import gzip
import random
from pathlib import Path

import pytest

from deadweight.records.built_image import ARCHIVE_FILE, BuiltImage
from deadweight.records.paths import State
from deadweight.report.collect import image_figures
from deadweight_images.archive.documents import of
from deadweight_images.inspect.analyse import analyse, document
from deadweight_images.secrets.config import shown_arguments, shown_instruction
from deadweight_images.secrets.scanner import Scanner
from tests.support import image_samples as samples

TOKEN = "ghp_" + "".join(random.Random(6).choices("abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789", k=36))
WORD = "tr1cky" + "horse77"
ENCODED = {
    "bare": base64.b64encode(TOKEN.encode()).decode(),
    "padded": base64.b64encode(f"token={TOKEN}\n".encode()).decode(),
    "packed": base64.b64encode(gzip.compress(f"token={TOKEN}".encode())).decode(),
    "twice": base64.b64encode(base64.b64encode(TOKEN.encode())).decode(),
    "wide": base64.b64encode(f"token={TOKEN}".encode("utf-16-le")).decode(),
}


@pytest.fixture(scope="module")
def scanner():
    return Scanner.default()


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
        (("/app", f"--db-password={WORD}"), ("/app", "--db-password=tr… (13 bytes)")),
        (
            ("/app", "--db-password", WORD, "--port", "8080"),
            ("/app", "--db-password", "tr… (13 bytes)", "--port", "8080"),
        ),
        (("sh", "-c", f"run --token {WORD}"), ("sh", "-c", "run --token tr… (13 bytes)")),
        (("/app", "--token", WORD, f"--again={WORD}"), ("/app", "--token", "tr… (13 bytes)", "--again=tr… (13 bytes)")),
        (("/app", "--db-password-file", "/run/secrets/db"), ("/app", "--db-password-file", "/run/secrets/db")),
        (("/app", "-v", "words"), ("/app", "-v", "words")),
    ],
)
def test_arguments(scanner, given, told):
    assert shown_arguments(given, scanner) == told


def test_a_secret_behind_its_flag_is_found_in_the_config(tmp_path):
    report = analyse(
        samples.saved(
            tmp_path,
            samples.layer(),
            config={"Entrypoint": ["/app", "--db-password", WORD], "Cmd": ["--port", "80808080"]},
        )
    )
    assert [(each.rule, each.where) for each in report.secrets] == [("config-argument", "config.Entrypoint[2]")]
    assert WORD not in document(report)


def test_the_entry_point_in_the_report_is_redacted(tmp_path: Path):
    config = {"Entrypoint": ["/app", f"--db-password={WORD}"]}
    made = samples.build(samples.layer(samples.file(b"app", b"x")), config=config)
    state = State(tmp_path)
    folder = state.image("v")
    folder.mkdir(parents=True)
    samples.docker_save(folder / ARCHIVE_FILE, made)
    built = BuiltImage("v", "ko", "demo:v", of(made.config), False, None, 1.0, False, "f", "ko 1", "2026-01-01")
    image = image_figures(built, state, {}).image
    assert image.entrypoint == ("/app", "--db-password=tr… (13 bytes)")
