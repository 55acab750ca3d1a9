"""The whole look: hidden files with both instructions, secrets wherever they are, caches, streams, extraction."""

import dataclasses
import datetime
import gzip
import io
import json
import random
import shutil
from pathlib import Path
from unittest.mock import Mock

import pytest
from rich.console import Console

from deadweight._errors import ArchiveError
from deadweight_images.errors import wording
from deadweight_images.findings import from_json
from deadweight_images.inspect.analyse import analyse, document
from deadweight_images.inspect.cache import identity
from deadweight_images.inspect.extract import extract, safe_name
from deadweight_images.inspect.stream import analyse_stream
from deadweight_images.layers.index import members_pieces
from deadweight_images.secrets.model import AllowEntry
from deadweight_images.show import print_layers
from tests.support import image_samples as samples
from tests.support.codes import raises
from tests.support.image_samples import honest_layer as layer, saved as image
from tests.support.secret_samples import github_token
from tests.support.trees import written


def config(seed: int) -> bytes:
    return b"github_token = " + github_token(random.Random(seed)) + b"\n"


CONFIG = config(7)
TOKEN = CONFIG.split()[-1].decode()
ROOT = layer({"etc": None, "etc/hostname": b"box\n", "bin": None})
ADDS = layer({"etc/app.conf": CONFIG})
REMOVES = layer({"etc/.wh.app.conf": b""})
HISTORY = [{"created_by": text} for text in ("FROM scratch", "COPY app.conf /etc/", "RUN rm /etc/app.conf")]
LAYERS = (layer({"etc/seen.conf": config(1), "etc/gone.conf": config(2)}), layer({"etc/.wh.gone.conf": b""}))


@pytest.fixture
def deleted(tmp_path) -> Path:
    return image(tmp_path, ROOT, ADDS, REMOVES, history=HISTORY)


@pytest.mark.parametrize(("scan", "secrets"), [("deep", 1), ("plain", 1), ("hidden", 1), ("no", 0)])
def test_a_deleted_secret_is_found_with_both_instructions(deleted, scan, secrets):
    report = analyse(deleted, scan=scan)
    (file,) = report.hidden
    assert (file.path, file.how, file.size_bytes) == ("/etc/app.conf", "removed", len(CONFIG))
    assert (file.added_by, file.hidden_by) == ("COPY app.conf /etc/", "RUN rm /etc/app.conf")
    assert (file.layer, file.hidden_in) == (samples.sha256(ADDS), samples.sha256(REMOVES))
    assert [mark.rule for mark in file.secrets] == ["github-pat"] * secrets
    assert (report.hidden_bytes, report.counted_secrets, report.secrets) == (len(CONFIG), secrets, ())
    assert (report.scanned, report.rule_set is None) == (scan, scan == "no")
    data = json.loads(document(report))
    assert (document(from_json(data)), report.json()) == (document(report), dataclasses.asdict(report))
    assert TOKEN not in document(report)


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
@pytest.mark.parametrize("scan", ["deep", "hidden"])
def test_compressed_layers_give_the_same_findings(tmp_path, deleted, compression, scan):
    packed = image(tmp_path, ROOT, ADDS, REMOVES, history=HISTORY, name="packed.tar", compression=compression)
    plain, other = analyse(deleted, scan=scan), analyse(packed, scan=scan)
    assert other.hidden == plain.hidden
    assert other.layers[0].compressed_bytes == len(samples.packed(ROOT, compression))
    assert all(item.verified for item in other.layers)


def test_the_first_of_two_members_of_one_name_is_hidden(tmp_path):
    (file,) = analyse(image(tmp_path, samples.layer(samples.file(b"a", CONFIG), samples.file(b"a", b"clean")))).hidden
    assert (file.how, file.index, file.hidden_index, len(file.secrets)) == ("replaced", 0, 0, 1)


EVER, OLD = ("for ever", None), ("old", 2020)


SAMPLES = [([EVER, OLD], "for ever"), ([OLD, EVER], "for ever"), ([("x", 2030)], "x"), ([("x", 2029)], None)]


@pytest.mark.parametrize(("entries", "allowed"), SAMPLES)
def test_allow_list_entries_last_to_their_end(deleted, entries, allowed):
    mark = analyse(deleted).hidden[0].secrets[0].fingerprint.upper()
    allow = [AllowEntry(mark, why, year and datetime.date(year, 1, 1)) for why, year in entries]
    report = analyse(deleted, allow=allow, today=datetime.date(2030, 1, 1))
    assert (report.counted_secrets, report.hidden[0].secrets[0].allowed) == (not allowed, allowed)


def test_known_layers_are_not_read_again_and_those_of_another_archive_are_hashed_alone(tmp_path, deleted, monkeypatch):
    first = analyse(deleted, cache_dir=tmp_path / "cache")
    monkeypatch.setattr("deadweight_images.secrets.regions.Probe.region", None)
    assert analyse(shutil.copy(deleted, tmp_path / "copy.tar"), cache_dir=tmp_path / "cache") == first
    monkeypatch.setattr("deadweight_images.archive.archive.open_archive", None)
    assert analyse(deleted, cache_dir=tmp_path / "cache") == first


def test_a_known_name_on_other_content_is_noticed(tmp_path, deleted):
    analyse(deleted, cache_dir=tmp_path / "cache")
    forged = tmp_path / "forged.tar"
    forged.write_bytes(deleted.read_bytes().replace(TOKEN.encode(), TOKEN[::-1].encode()))
    with raises(ArchiveError, "archive.changed"):
        analyse(forged, cache_dir=tmp_path / "cache")


def test_a_damaged_cache_counts_as_none(tmp_path, deleted):
    cache = tmp_path / "cache"
    first = analyse(deleted, cache_dir=cache)
    for file in [path for path in cache.rglob("*") if path.is_file()]:
        file.write_bytes(file.read_bytes()[:-20])
    assert analyse(deleted, cache_dir=cache) == first


@pytest.mark.slow
def test_each_file_of_a_folder_is_part_of_its_identity(tmp_path):
    written(tmp_path, {f"{number}": b"" for number in range(5001)} | {"blobs/x": b"1"})
    first = identity(tmp_path)
    (tmp_path / "blobs" / "x").write_bytes(b"22")
    assert identity(tmp_path) != first


@pytest.mark.parametrize("scan", ["deep", "plain", "hidden", "no"])
@pytest.mark.parametrize("write", [samples.docker_save, samples.both_layouts])
@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_a_stream_gives_what_the_file_gives(tmp_path, scan, write, compression):
    path = write(tmp_path / "x.tar", samples.build(ROOT, ADDS, REMOVES, history=HISTORY, compression=compression))
    for pack in (bytes, gzip.compress):
        assert analyse_stream(io.BytesIO(pack(path.read_bytes())), scan=scan) == analyse(path, scan=scan)


@pytest.mark.parametrize("size", [0, 100, 700, 3000])
def test_a_stream_that_ends_early_is_an_error(deleted, size):
    with pytest.raises(ArchiveError):
        analyse_stream(io.BytesIO(deleted.read_bytes()[:size]))


@pytest.mark.slow
def test_big_files_are_looked_at_to_their_end_in_either_kind_of_layer(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "deadweight_images.layers.indexing.SEGMENT", 4 << 20
    )  # so that the big one is more than four of them, and cut
    noise = random.Random(1).randbytes(1 << 20) * 30
    files = layer({"after": b"x", "big": noise + b"\n" + CONFIG + noise[:100] + b"\n", "small.conf": CONFIG})
    for compression in ("none", "gzip"):
        report = analyse(image(tmp_path, files, compression=compression, name=compression), scan="plain")
        secrets = {(secret.path, secret.rule) for secret in report.secrets}
        assert secrets == {("/big", "github-pat"), ("/small.conf", "github-pat")}


@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
def test_extraction_proves_what_is_hidden(tmp_path, compression):
    path = image(tmp_path, ROOT, ADDS, REMOVES, compression=compression)
    (done,) = extract(path, analyse(path, scan="no").hidden, tmp_path / "out")
    assert done.written == tmp_path / "out" / "layer-2" / "etc" / "app.conf"
    assert (done.written.read_bytes(), done.written.stat().st_mode & 0o7777) == (CONFIG, 0o600)


def test_extraction_writes_no_links_and_stays_in_its_folder(tmp_path):
    odd = samples.header(b"link", kind=b"2", link=b"/etc/passwd"), samples.header(b"dev", kind=b"3")
    names = [b"a/...", b"a/ b\n\x1b[31m", b"a/_b__[31m", ("long/" * 40 + "x" * 300).encode()]
    longer = [samples.pax_raw(samples.pax_record(b"path", name)) for name in names]
    bad = samples.layer(*odd, *[name + samples.file(b"x", b"%d" % number) for number, name in enumerate(longer)])
    path = image(tmp_path, bad, layer({".wh..wh..opq": b""}))
    done = extract(path, analyse(path, scan="no").hidden, tmp_path / "out")
    written = {item.written for item in done if item.written}
    assert sorted(p.read_bytes() for p in written) == [b"0", b"1", b"2", b"3"]
    assert all(p.resolve().is_relative_to((tmp_path / "out").resolve()) and not p.is_symlink() for p in written)
    assert [item.problem for item in done if not item.written] == [wording("extract.no_content")] * 2


SAFE = {"/etc/x": "etc/x", "/../x": "__/x", "/.": "_", "/": "_", "/a b/\\xff": "a_b/_xff", "/.ssh/id": ".ssh/id"}


def test_safe_names():
    assert {path: str(safe_name(path)) for path in SAFE} == SAFE


def test_no_instruction_shows_a_secret_that_is_found_in_it(tmp_path):
    """Instructions are printed, published in the report and uploaded as SARIF."""
    step = f"RUN echo token={TOKEN} > /etc/app.conf && echo {TOKEN}"
    history = [{"created_by": text} for text in ("FROM scratch", step, "RUN rm /etc/app.conf")]
    report = analyse(image(tmp_path, ROOT, ADDS, REMOVES, history=history))
    assert TOKEN not in document(report)
    cut = f"ghp_… ({len(TOKEN)} bytes)"
    assert report.hidden[0].added_by == f"RUN echo token={cut} > /etc/app.conf && echo {cut}"
    assert "history[1].created_by" in {secret.where for secret in report.secrets}


@pytest.mark.parametrize("scan", ["deep", "hidden"])
def test_a_cache_that_cannot_be_written_costs_no_answer(tmp_path, scan):
    """In a container with a read-only file system, say."""
    archive = image(tmp_path, *LAYERS)
    expected = analyse(archive, scan=scan)
    assert [look(archive, scan=scan, cache_dir=archive) for look in (analyse, samples.streamed)] == [expected] * 2


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_hidden_content_is_the_same_after_a_deep_look(tmp_path, compression):
    archive = image(tmp_path, *LAYERS, compression=compression)
    fresh = analyse(archive, scan="hidden")
    assert analyse(archive, scan="deep", cache_dir=tmp_path / "used").counted_secrets == 2
    (tmp_path / "used" / "reports").rename(tmp_path / "reports-away")
    again = analyse(archive, scan="hidden", cache_dir=tmp_path / "used")
    assert (again, again.counted_secrets) == (fresh, 1)


def test_each_form_of_a_layer_is_known_for_itself(tmp_path):
    cache = tmp_path / "cache"
    packed, plain = (image(tmp_path, *LAYERS, name=form, compression=form) for form in ("gzip", "none"))
    for archive in (packed, plain, packed):
        assert analyse(archive, cache_dir=cache) == analyse(archive)
        shutil.rmtree(cache / "reports")
    assert samples.streamed(plain, cache_dir=cache) == analyse(plain)


def test_a_layer_that_is_there_twice_is_hidden_once_here_once_there(tmp_path):
    """The same layer twice: the first time one file of it is hidden, the second time another."""
    twice = layer({"a.conf": config(3), "b.conf": config(4)})
    archive = image(tmp_path, twice, layer({".wh.a.conf": b""}), twice, layer({".wh.b.conf": b""}))
    hidden, deep = (analyse(archive, scan=scan).hidden for scan in ("hidden", "deep"))
    assert (hidden, {file.path for file in hidden if file.secrets}) == (deep, {"/a.conf", "/b.conf"})


@pytest.mark.parametrize("scan", ["deep", "hidden", "no"])
def test_a_layer_that_only_claims_to_be_another_is_not_passed_over(tmp_path, scan):
    """One diff-id for two layers: neither is taken on trust, even where an earlier look knows that diff-id."""
    honest, forged = layer({"a.conf": b"nothing"}), layer({"a.conf": config(3)})
    cache = tmp_path / "cache"
    analyse(image(tmp_path, honest, honest), scan=scan, cache_dir=cache)
    for number, stored in enumerate(((forged, honest), (honest, forged))):
        path = image(tmp_path, honest, honest, stored=stored, name=str(number))
        with pytest.raises(ArchiveError) as caught:
            analyse(path, scan=scan, cache_dir=cache)
        assert caught.value.code in ("archive.diff_id", "archive.changed")
        assert caught.value.fields["what"] == f"{path}: layer {number + 1}"
    packed = [samples.packed(honest, "gzip"), samples.packed(honest, "zstd")]
    assert analyse(image(tmp_path, honest, honest, stored=packed), scan=scan).files == 1


def test_secrets_of_layers_read_side_by_side_stay_with_their_layer(tmp_path):
    """In a stream the next layer is read while threads still look through the one before."""
    layers = [layer({f"{number}.conf": config(number) + bytes(200_000)}) for number in range(12)]
    report = samples.streamed(image(tmp_path, *layers, compression="gzip"))
    where = {secret.path: secret.layer for secret in report.secrets}
    assert where == {f"/{number}.conf": samples.sha256(data) for number, data in enumerate(layers)}


@pytest.mark.parametrize("scan", ["deep", "plain", "hidden", "no"])
@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_a_wrong_digest_is_an_error_in_every_mode(tmp_path, scan, compression):
    stored = [samples.packed(data, compression) for data in (layer({"other": b"x"}), LAYERS[1])]
    archive = image(tmp_path, *LAYERS, stored=stored)
    with raises(ArchiveError, "archive.diff_id", diff_id=samples.sha256(LAYERS[0])):
        analyse(archive, scan=scan, cache_dir=tmp_path / "cache")
    assert not list((tmp_path / "cache").rglob("*.json"))


def test_lone_surrogates_of_a_config_are_carried_as_their_escapes(tmp_path):
    config = {"Env": [f"TOKEN={TOKEN}\ud800"], "Labels": {"\udfff": "\ud800 long enough"}}
    config |= {"User": "\ud800", "Cmd": ["\udcff12345678"]}
    path = image(tmp_path, layer({"a": b""}), config=config, history=[{"created_by": "RUN \ud800"}], tag="test:\ud800")
    report = analyse(path, cache_dir=tmp_path / "cache")
    fields = json.loads(document(report).encode("utf-8"))
    assert (fields["layers"][0]["instruction"], fields["user"]) == ("RUN \\ud800", "\\ud800")
    assert [secret.where for secret in report.secrets] == ["config.Env[0]"]
    assert analyse(path, cache_dir=tmp_path / "cache") == report


def test_an_image_does_not_command_the_terminal(tmp_path):
    escape = "\x1b]0;owned\x07\x9b2J\r"
    data = samples.layer(samples.file(b"bin/\x1b[31msu", b"x", 0o4755), samples.file(b"bin/sh\x1b", b"x"))
    config = {"User": f"me{escape}", "Env": [f"TOKEN={TOKEN}"], "Labels": {f"k{escape}": TOKEN}}
    gone = samples.layer(samples.file(b"bin/.wh.sh\x1b"))
    history = [{"created_by": f"RUN {escape} {number}"} for number in range(2)]
    report = analyse(image(tmp_path, data, gone, config=config, history=history))
    out = io.StringIO()
    print_layers(report, "x", Console(file=out, width=160, highlight=False))
    assert not {char for char in out.getvalue() if not char.isprintable()} - {"\n"}
    assert "\\x1b]0;owned" in out.getvalue()


def extracted(tmp_path, *layers, **more) -> list[tuple[str, bytes]]:
    path = image(tmp_path, *layers, **more)
    done = extract(path, analyse(path, scan="no").hidden, tmp_path / "out")
    assert len({item.written for item in done}) == len(done)
    return [(item.path, item.written.read_bytes()) for item in done]


@pytest.mark.parametrize("compression", ["none", "gzip"])
@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("names", [(b"d/x:y", b"d/x_y/b", b"d/x_y/b:"), (b"d/a", b"d/a")])
def test_names_that_meet_are_told_apart(tmp_path, compression, order, names):
    members = [samples.file(name, b"%d" % number) for number, name in enumerate(names)]
    gone = samples.layer(samples.file(b".wh.d"))
    files = extracted(tmp_path, samples.layer(*members[::order]), gone, compression=compression)
    assert sorted(files) == [("/" + name.decode(), b"%d" % number) for number, name in enumerate(names)]


def test_a_packed_layer_is_read_once_for_all_its_hidden_files(tmp_path, monkeypatch):
    members = [samples.file(b"d/%04d" % number, b"%d" % number) for number in range(300)]
    calls = Mock(wraps=members_pieces)
    monkeypatch.setattr("deadweight_images.inspect.extract.members_pieces", calls)
    files = extracted(tmp_path, samples.layer(*members), samples.layer(samples.file(b".wh.d")), compression="gzip")
    assert calls.call_count == 1
    assert sorted(files) == [(f"/d/{number:04}", b"%d" % number) for number in range(300)]


def test_json_does_not_command_the_terminal(tmp_path):
    """U+009B begins a command of a terminal, U+202E turns text round, U+E0001 and U+2066 are not seen at all."""
    name = "a\u009b31m\u202eexe\u2066.\U000e0001b\u0007\u00e9"
    report = analyse(image(tmp_path, samples.honest_layer({name: b"x" * 5000})))
    text = document(report)
    assert text.replace("\n", "").isprintable()
    assert json.loads(text) == json.loads(json.dumps(report.json()))
    assert json.loads(document(report, added=name))["added"] == name
    assert "\u00e9" in text  # what can be shown is
