"""Base64 and hexadecimal digits are decoded in text whatever they hold, elsewhere where they hold a keyword, anywhere in them."""

from __future__ import annotations

import base64
import random

import pytest

from deadweight_images.archive.entries import Entries
from deadweight_images.archive.tarwalk import TarWalker
from deadweight_images.inspect.analyse import analyse
from deadweight_images.secrets.regions import text_ranges
from tests.support import image_samples as samples
from tests.support.secret_samples import github_token

TOKEN = github_token(random.Random(5))
PROGRAM = b"\x7fELF" + random.Random(1).randbytes(3000) + bytes(5000)
LINE = b"a line of text that says nothing; " * 2000


def found(tmp_path, **files: bytes) -> list[tuple[str | None, str]]:
    archive = samples.saved(tmp_path, samples.honest_layer(files))
    return [(each.path, each.rule) for each in analyse(archive).secrets]


ENCODED = [
    *(
        base64.b64encode(front + TOKEN + b" and some more")
        for front in (b"", b"x", b"xy", b"a longer text in front of it " * 200)
    ),
    *(before + base64.b64encode(b"here is a token: " + TOKEN) for before in (b"a", b"ab", b"abc")),  # are no part of it
    *(digit + (b"some words before " + TOKEN).hex().encode() for digit in (b"", b"7")),
]


@pytest.mark.parametrize("hidden", ENCODED, ids=range(len(ENCODED)))
def test_base64_and_hexadecimal_digits_in_a_program_are_found_by_the_keyword_in_them(tmp_path, hidden):
    assert found(tmp_path, program=PROGRAM + hidden + PROGRAM) == [("/program", "github-pat")]


def test_a_keyword_by_chance_among_letters_is_no_base64(tmp_path):
    letters = base64.b64encode(random.Random(4).randbytes(300_000))
    assert found(tmp_path, program=PROGRAM + letters + base64.b64encode(b"some words: " + TOKEN) + PROGRAM) == [
        ("/program", "github-pat")
    ]


def test_base64_of_base64_is_found_in_text_and_in_text_within_other_files(tmp_path):
    twice = base64.b64encode(b"words " + base64.b64encode(b"words " + TOKEN))
    files = {"text": LINE + twice + LINE, "database": PROGRAM + LINE + twice + LINE + PROGRAM}
    assert sorted(found(tmp_path, **files)) == [("/database", "github-pat"), ("/text", "github-pat")]


def test_text_ranges_join_neighbours_and_reach_into_other_files():
    contents = {"a": b"text", "b": b"more", "c": PROGRAM, "d": PROGRAM + LINE + PROGRAM, "e": b"", "f": b"last"}
    layer = samples.honest_layer(contents)
    entries = Entries()
    TarWalker(entries, "x").walk(memoryview(layer), 0, final=True)
    a, b, _c, d, _e, f = entries.offsets
    ranges = text_ranges(entries, memoryview(layer), 0)
    assert [ranges[0], ranges[-1]] == [(a, b + 4), (f, f + 4)]
    (start, stop) = ranges[1]
    assert len(ranges) == 3
    text = d + len(PROGRAM)
    assert text <= start < text + (16 << 10) < text + len(LINE) - (16 << 10) < stop
    cut = text_ranges(entries, memoryview(layer)[b + 2 :], b + 2)
    assert cut == [(0, 2), *((start - b - 2, stop - b - 2) for start, stop in ranges[1:])]
