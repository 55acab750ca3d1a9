"""What is looked into, wherever it lies, bytes of a layer that are no file's content too; and what is too big is listed."""

import base64
import gzip
import lzma
import random

import pytest
import zstandard

from deadweight_images.errors import wording
from deadweight_images.inspect.analyse import analyse
from deadweight_images.layers import indexing as portions
from deadweight_images.secrets import confirm, matcher
from deadweight_images.secrets.regions import text_ranges
from tests.support import image_samples as samples
from tests.support.image_samples import small_pieces
from tests.support.secret_samples import ALNUM, aws_key_id, aws_secret, docker_config, github_token, password, pem, text

TOKEN = github_token(random.Random(9)).decode()
CONFIG = f"github_token = {TOKEN}\n".encode()
TEXT = random.Random(2).randbytes(20_000).hex().encode() + b"\n" + CONFIG  # so that no packer leaves the token as it is
NEEDS = wording("skip.memory", megabytes=64)


LONG_XZ = lzma.compress(TEXT, filters=[{"id": lzma.FILTER_LZMA2, "dict_size": 128 << 20}])


NEEDY = {"xz@0": (LONG_XZ, lzma.compress), "zstd@5": (b"head " + samples.long_zstd(TEXT), zstandard.compress)}


@pytest.mark.parametrize("inner", NEEDY)
def test_a_stream_that_needs_much_memory_is_listed(scanner, inner):
    packed, plain = NEEDY[inner]
    assert [(item.inner, item.reason) for item in scanner.scan(packed, path="x").skipped] == [(inner, NEEDS)]
    assert [match.rule for match in scanner.scan(plain(TEXT), path="x").matches] == ["github-pat"]


def test_the_mark_of_zstd_in_a_program_is_no_frame(scanner):
    for number in range(200):
        noise = random.Random(number).randbytes(64)
        block = int.from_bytes(noise[2:5], "little")
        if (block >> 1) & 3 == 3 or block >> 3 > 128 << 10:  # what follows could be no block of a frame
            assert scanner.scan(b"\0\x28\xb5\x2f\xfd" + b"\0" + b"\xa0" + noise[2:], path="bin/zstd").skipped == ()


def test_a_packed_file_far_bigger_than_a_region_is_opened_to_its_end(tmp_path, monkeypatch):
    monkeypatch.setattr(portions, "SEGMENT", 1 << 20)
    packed = gzip.compress(random.Random(3).randbytes(12 << 20).hex().encode() + TEXT, 1)
    assert len(packed) > 8 * portions.SEGMENT
    data = samples.honest_layer({"before": b"x" * 5000, "big.gz": b"1234" + packed, "z": b"z"})
    report = analyse(samples.saved(tmp_path, data))
    secrets = [(secret.path, secret.rule, secret.inner) for secret in report.secrets]
    assert (secrets, report.skipped) == ([("/big.gz", "github-pat", "gzip@4")], ())


@pytest.mark.slow
def test_what_is_too_big_to_be_decoded_wholly_is_listed_in_either_kind_of_layer(tmp_path, monkeypatch):
    small_pieces(monkeypatch)
    packed = gzip.compress(bytes(300 << 20), 1)  # more than is decoded for one file
    data = samples.layer(samples.file(b"big.gz", packed + random.Random(4).randbytes(5 << 20)))
    for compression in ("none", "gzip"):
        report = analyse(samples.saved(tmp_path, data, compression=compression, name=compression))
        assert {item.path for item in report.skipped} == {"/big.gz"}, compression


@pytest.mark.parametrize("scan", ["plain", "deep"])
def test_a_secret_far_behind_in_a_big_file_has_its_line(tmp_path, monkeypatch, scan):
    """The file is cut into pieces that overlap; the secret stands on the seam and is told once."""
    monkeypatch.setattr(portions, "SEGMENT", 1 << 20)
    lines = b"all is well here\n" * (6 << 20 >> 4)
    seam = (4 << 20) - 512 - 20
    data = samples.layer(samples.file(b"big", lines[:seam] + b"\n" + CONFIG + lines))
    (secret,) = analyse(samples.saved(tmp_path, data), scan=scan).secrets
    assert (secret.path, secret.line) == ("/big", lines[:seam].count(b"\n") + 2)


def crowd(monkeypatch, most: int) -> None:
    monkeypatch.setattr(matcher, "MANY_HINTS", most)
    monkeypatch.setattr(matcher.HyperscanMatcher, "most_hints", most)


def test_many_encoded_files_of_one_region_are_all_looked_at(tmp_path, monkeypatch):
    """The matcher thins out what it reports of a region; then each file is asked for on its own."""
    crowd(monkeypatch, 50)
    words = [base64.b64encode(b"nothing to see in this line %04d" % number) for number in range(40)]
    files = [samples.file(b"f%d" % number, b" ".join(words)) for number in range(8)]
    files.append(samples.file(b"last", b" ".join([*words[:3], base64.b64encode(CONFIG)])))
    report = analyse(samples.saved(tmp_path, samples.layer(*files)))
    assert ([(hit.path, hit.rule) for hit in report.secrets], report.skipped) == ([("/last", "github-pat")], ())


@pytest.fixture
def fast(scanner):
    if scanner.engine != "hyperscan":
        pytest.skip("the other engine leaves none out")
    return scanner


def test_more_encoded_objects_in_one_file_than_are_counted_are_listed(fast, monkeypatch):
    crowd(monkeypatch, 50)
    words = b" ".join(base64.b64encode(b"nothing to see in this line %04d" % number) for number in range(60))
    assert [item.reason for item in fast.scan(words, path="x").skipped] == [wording("skip.encoded_uncounted")]
    assert fast.scan(words[: len(words) // 2], path="x").skipped == ()


@pytest.mark.parametrize("beginning", [b"%41", b"\0\x78\x9c", b"\x1f\x8b\x08\0\0\0\0\0\0\3"])
def test_beginnings_without_end_are_told_and_hide_no_plain_secret(fast, monkeypatch, beginning):
    """Each is a call back of a microsecond: 100 MB of them took up to 38 seconds of the processor."""
    events, take = [0], matcher._Collector.take

    def counted(self, *given):
        events[0] += 1
        return take(self, *given)

    monkeypatch.setattr(matcher._Collector, "take", counted)
    data = beginning * 700_000 + b"\n" + CONFIG
    hits = fast.block(data, decode=True)
    assert (events[0] < 2 * matcher.MOST_EVENTS, bool(fast.crowded(hits))) == (True, True)
    assert [match.rule for match in fast.confirm(data, "x", hits, decode=False).matches] == ["github-pat"]


def test_a_crowd_of_candidates_is_told_and_hides_no_other_file(tmp_path, monkeypatch):
    monkeypatch.setattr(matcher, "MOST_EVENTS", 2000)
    files = {"crowd": b"password=" * 50_000, "other": CONFIG, "crowd2": b"password=" * 50_000 + b"\n" + CONFIG}
    report = analyse(samples.saved(tmp_path, samples.honest_layer(files)))
    assert "/other" in {secret.path for secret in report.secrets if secret.rule == "github-pat"}
    reason = wording("skip.candidates_unread")
    unread = {skip.path: skip.unread for skip in report.skipped if skip.reason == reason}
    assert unread == {"/crowd": True, "/crowd2": True}


def test_a_window_looks_at_what_begins_in_it_and_no_further(scanner):
    spaced = memoryview((b"password=" * 40 + b"x" * 1000) * 300)
    rule = scanner._rule_set.by_id["configured-secret"]
    for low in range(0, len(spaced) - 2000, 1360):
        matches = confirm._matches(rule, spaced, low, low + 500)
        assert all(base + match.start() < low + 500 for match, base in matches)


HIDDEN_TOKEN = github_token(random.Random(5))
PROGRAM = b"\x7fELF" + random.Random(1).randbytes(3000) + bytes(5000)
LINE = b"a line of text that says nothing; " * 2000
FRONTS = (b"", b"x", b"xy", b"a longer text " * 400)
ENCODED = [
    *(base64.b64encode(front + HIDDEN_TOKEN + b" and some more") for front in FRONTS),
    # what stands before these is no part of it
    *(before + base64.b64encode(b"here is a token: " + HIDDEN_TOKEN) for before in (b"a", b"ab", b"abc")),
    *(digit + (b"some words before " + HIDDEN_TOKEN).hex().encode() for digit in (b"", b"7")),
    # a keyword by chance among letters is no base64
    base64.b64encode(random.Random(4).randbytes(300_000)) + base64.b64encode(b"some words: " + HIDDEN_TOKEN),
]
TWICE = LINE + base64.b64encode(b"words " + base64.b64encode(b"words " + HIDDEN_TOKEN)) + LINE
FILES = [*(PROGRAM + hidden + PROGRAM for hidden in ENCODED), TWICE, PROGRAM + TWICE + PROGRAM]


@pytest.mark.parametrize("content", FILES, ids=range(len(FILES)))
def test_base64_and_hexadecimal_digits_are_found_in_text_and_by_the_keyword_in_them_elsewhere(tmp_path, content):
    report = analyse(samples.saved(tmp_path, samples.honest_layer({"file": content})))
    assert [(secret.path, secret.rule) for secret in report.secrets] == [("/file", "github-pat")]


def test_text_ranges_join_neighbours_and_reach_into_other_files():
    contents = {"a": b"text", "b": b"more", "c": PROGRAM, "d": PROGRAM + LINE + PROGRAM, "e": b"", "f": b"last"}
    layer = samples.honest_layer(contents)
    entries = samples.walked(layer)
    a, b, _c, d, _e, f = entries.offsets
    ranges = text_ranges(entries, memoryview(layer), 0)
    assert [ranges[0], ranges[-1]] == [(a, b + 4), (f, f + 4)]
    _, (start, stop), _ = ranges
    text = d + len(PROGRAM)
    assert text <= start < text + (16 << 10) < text + len(LINE) - (16 << 10) < stop
    cut = text_ranges(entries, memoryview(layer)[b + 2 :], b + 2)
    assert cut == [(0, 2), *((start - b - 2, stop - b - 2) for start, stop in ranges[1:])]


RNG = random.Random(21)
SECRETS = {
    "PEM": pem(RNG), "docker auth": docker_config(RNG), "environment": b"DB_PASSWORD=" + password(RNG) + b"long0therTa1l",
    "AWS": b"aws_secret_access_key = " + aws_secret(RNG), "URL": b"https://robot:" + password(RNG) + b"@git.internal/x",
    "npm": b"npm_" + text(RNG, ALNUM, 36).encode(), "token": github_token(RNG),
}  # fmt: skip
FILE = samples.file(b"f", b"hello")


def places(tmp_path, layer, compression="none"):
    path = samples.saved(tmp_path, layer, compression=compression)
    secrets = analyse(path).secrets
    assert samples.streamed(path).secrets == secrets
    return [(secret.where, secret.path, secret.inner, secret.fingerprint) for secret in secrets]


def plain(tmp_path, secret):
    ((_where, _path, _inner, mark),) = places(tmp_path, samples.layer(samples.file(b"f", secret + b"\n")))
    return mark


@pytest.mark.parametrize("compression", ["none", "gzip"])
@pytest.mark.parametrize("kind", SECRETS)
def test_an_extended_attribute_and_what_is_behind_the_end_are_read_whole(tmp_path, kind, compression):
    """With the fingerprint that the same secret has in a file: a part of it would be another, or one for all."""
    secret = SECRETS[kind]
    mark = plain(tmp_path, secret)
    records = samples.pax_record(b"mtime", b"1.5") + samples.pax_record(b"SCHILY.xattr.user.k", secret)
    attribute = samples.layer(samples.file(b"e"), samples.pax_raw(records) + FILE, samples.file(b"g"))
    assert places(tmp_path, attribute, compression) == [("file", "/f", "extended header", mark)]
    behind = samples.layer(FILE) + samples.padded(secret + b"\n")
    assert places(tmp_path, behind, compression) == [("layer", None, "", mark)]


SHORT = [secret for secret in (*SECRETS.values(), aws_key_id(RNG)) if len(secret) < 90 and b"\n" not in secret]


@pytest.mark.parametrize("secret", SHORT, ids=range(len(SHORT)))
def test_a_link_target_and_a_name_are_texts_of_their_own(tmp_path, secret):
    mark = plain(tmp_path, secret)
    cut = samples.padded(secret) + samples.header(b"l", kind=b"2", link=b"cut")
    for link in (samples.header(b"l", kind=b"2", link=secret), samples.header(b"K", len(secret), b"K") + cut):
        assert places(tmp_path, samples.layer(FILE, link, FILE)) == [("file", "/l", "link target", mark)]
    ((where, path, inner, same),) = places(tmp_path, samples.layer(samples.file(secret, b"x"), FILE))
    assert (where, path is None, inner, same) == ("file", False, "name", mark)


def test_a_name_of_a_hidden_file_is_its_own(tmp_path):
    layers = samples.layer(samples.file(b"d/" + github_token(RNG), b"x")), samples.layer(samples.file(b".wh.d"))
    report = analyse(samples.saved(tmp_path, *layers))
    ((mark,),) = [file.secrets for file in report.hidden]
    assert (mark.rule, mark.inner, report.secrets) == ("github-pat", "name", ())


@pytest.mark.parametrize("way", ["none", "gzip", "stream"])
def test_headers_of_hidden_files_are_read_where_only_those_are_looked_at(tmp_path, way):
    """Empty files, links and attributes too; nothing of the visible neighbours, wherever they lie between."""
    tokens = [github_token(random.Random(number)) for number in range(6)]
    attribute = samples.pax_raw(samples.pax_record(b"SCHILY.xattr.user.k", tokens[0]))
    lower = samples.layer(
        attribute + samples.file(b"old/a"), samples.file(b"new/" + tokens[4], tokens[5]), samples.file(b"old/" + tokens[1]),
        samples.header(b"old/link", kind=b"2", link=b"/x/" + tokens[2]), samples.file(b"new/between", bytes(20_000)),
        samples.file(b"old/b", tokens[3] + b"\n"),
    )  # fmt: skip
    compression = "gzip" if way == "gzip" else "none"
    path = samples.saved(tmp_path, lower, samples.layer(samples.file(b".wh.old")), compression=compression)
    report = (samples.streamed if way == "stream" else analyse)(path, scan="hidden")
    hidden = {file.path: [mark.inner for mark in file.secrets] for file in report.hidden}
    name = f"/old/{tokens[1][:4].decode()}… (40 bytes)"
    expected = {"/old/a": ["extended header"], name: ["name"], "/old/link": ["link target"], "/old/b": [""]}
    assert (hidden, report.secrets) == (expected, ())


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_what_is_too_much_to_look_at_is_told_of_hidden_files_too(tmp_path, compression):
    lines = b"".join(github_token(random.Random(number)) + b"\n" for number in range(1100))
    files = {f"old/{number}": lines[number * 410 * 55 : (number + 1) * 410 * 55] for number in range(2)}
    layers = samples.tar_of(files | {"old/last": github_token(RNG)}), samples.layer(samples.file(b".wh.old"))
    report = analyse(samples.saved(tmp_path, *layers, compression=compression), scan="hidden")
    assert wording("skip.too_many_secrets", most=400) in [item.reason for item in report.skipped]
