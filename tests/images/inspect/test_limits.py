"""What an image could do to its reader: work without end, numbers and texts that are none, names that command a terminal."""

import io
import json
import random
import time
from unittest.mock import Mock

import pytest
from rich.console import Console

from deadweight._errors import ArchiveError
from deadweight_images.archive.entries import Entries
from deadweight_images.inspect.analyse import analyse, document
from deadweight_images.inspect.extract import extract
from deadweight_images.layers.index import members_pieces
from deadweight_images.layers.merge import Merged
from deadweight_images.show import print_layers
from tests.support import image_samples as samples
from tests.support.codes import raises
from tests.support.secret_samples import github_token

TOKEN = github_token(random.Random(8)).decode()


def entries(*members: bytes) -> Entries:
    return samples.walked(samples.layer(*members))


def doubling(count: int) -> list[bytes]:
    """Links of which each is the last one twice: to follow the n-th takes 2 ** n steps."""
    links = [samples.header(b"l0", kind=b"2", link=b".")]
    for number in range(1, count + 1):
        links.append(samples.header(b"l%d" % number, kind=b"2", link=b"l%d/l%d" % (number - 1, number - 1)))
    return links


@pytest.mark.slow
def test_links_that_double_the_work_are_refused():
    started = time.process_time()
    with raises(ArchiveError, "layer.too_many_steps", what="layer 1"):
        Merged([entries(*doubling(35), samples.file(b"l35/x", b"1"))])
    assert time.process_time() - started < 30


def test_a_few_such_links_are_followed():
    view = Merged([entries(*doubling(8), samples.file(b"l8/x", b"1"))])
    assert b"x" in view.view
    assert view.resolve(b"l8/x") is None  # more links than a kernel would follow
    assert view.resolve(b"l4/x") == b"x"


@pytest.mark.slow
def test_asking_for_long_links_again_and_again_ends():
    target = b"/".join([b"a/.."] * 2000) + b"/nowhere"
    link = samples.header(b"L", len(target), b"K") + samples.padded(target) + samples.header(b"l", kind=b"2")
    view = Merged([entries(samples.header(b"a/", kind=b"5"), link)])
    with raises(ArchiveError, "layer.too_many_steps"):
        list(map(view.resolve, [b"l"] * 100_000))


def test_a_name_of_thousands_of_parts_makes_no_folder_of_each():
    name = b"a/" * 30_000 + b"x"
    long_name = samples.header(b"l", len(name), b"L") + samples.padded(name) + samples.file(b"x")
    with raises(ArchiveError, "layer.too_many_steps"):
        Merged([entries(long_name)])


@pytest.mark.parametrize("text", [b"-0000001", b"+0000001", b"000_0001", b"0o000001", b"\t0000001"])
@pytest.mark.parametrize(("field", "width"), [(100, 8), (108, 8), (116, 8), (124, 12)])
@pytest.mark.parametrize("name", [b"a", b"a/" * 60 + b"long"])
def test_numbers_that_only_python_reads_are_refused(text, field, width, name):
    block = bytearray(samples.header(name[-90:], prefix=name[:20]) if len(name) > 90 else samples.header(name))
    block[field : field + width] = text.ljust(width, b"\0")
    with raises(ArchiveError, "tar.number", field={100: "mode", 108: "owner", 116: "group", 124: "size"}[field]):
        entries(samples.summed(block))


def test_owners_in_base_256_are_read():
    block = bytearray(samples.header(b"a"))
    block[108:116] = b"\x80" + (3_000_000_000).to_bytes(7, "big")
    assert list(entries(samples.summed(block)).uids) == [3_000_000_000]


def test_lone_surrogates_of_a_config_are_carried_as_their_escapes(tmp_path):
    config = {
        "Env": [f"TOKEN={TOKEN}\ud800"], "Labels": {"\udfff": "\ud800 long enough"}, "User": "\ud800", "Cmd": ["\udcff12345678"],
    }  # fmt: skip
    layer, history = samples.layer(samples.file(b"a")), [{"created_by": "RUN \ud800"}]
    path = samples.saved(tmp_path, layer, config=config, history=history, tag="test:\ud800")
    report = analyse(path, cache_dir=tmp_path / "cache")
    told = json.loads(document(report).encode("utf-8"))
    assert (told["layers"][0]["instruction"], told["user"]) == ("RUN \\ud800", "\\ud800")
    assert [each.where for each in report.secrets] == ["config.Env[0]"]
    assert analyse(path, cache_dir=tmp_path / "cache") == report


def test_a_manifest_that_names_a_lone_surrogate_is_one_error(tmp_path):
    path = samples.tar(tmp_path / "x.tar", samples.listed("\ud800", "\udc00", tag=None))
    with raises(ArchiveError, "archive.config_missing"):
        analyse(path)


def test_an_image_does_not_command_the_terminal(tmp_path):
    escape = "\x1b]0;owned\x07\x9b2J\r"
    data = samples.layer(samples.file(b"bin/\x1b[31msu", b"x", 0o4755), samples.file(b"bin/sh\x1b", b"x"))
    config = {"User": f"me{escape}", "Env": [f"TOKEN={TOKEN}"], "Labels": {f"k{escape}": TOKEN}}
    gone = samples.layer(samples.file(b"bin/.wh.sh\x1b"))
    history = [{"created_by": f"RUN {escape} {number}"} for number in range(2)]
    report = analyse(samples.saved(tmp_path, data, gone, config=config, history=history))
    out = io.StringIO()
    print_layers(report, "x", Console(file=out, width=160, highlight=False))
    assert not {char for char in out.getvalue() if not char.isprintable()} - {"\n"}
    assert "\\x1b]0;owned" in out.getvalue()


def extracted(tmp_path, *layers, **image) -> list[tuple[str, bytes]]:
    path = samples.saved(tmp_path, *layers, **image)
    done = extract(path, analyse(path, scan="no").hidden, tmp_path / "out")
    assert len({item.written for item in done}) == len(done)
    return [(item.path, item.written.read_bytes()) for item in done]


@pytest.mark.parametrize("compression", ["none", "gzip"])
@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("names", [(b"d/x:y", b"d/x_y/b", b"d/x_y/b:"), (b"d/a", b"d/a")])
def test_names_that_meet_are_told_apart(tmp_path, compression, order, names):
    members = [samples.file(name, b"%d" % number) for number, name in enumerate(names)]
    gone = samples.layer(samples.file(b".wh.d"))
    found = extracted(tmp_path, samples.layer(*members[::order]), gone, compression=compression)
    assert sorted(found) == [("/" + name.decode(), b"%d" % number) for number, name in enumerate(names)]


def test_a_packed_layer_is_read_once_for_all_its_hidden_files(tmp_path, monkeypatch):
    members = [samples.file(b"d/%04d" % number, b"%d" % number) for number in range(300)]
    calls = Mock(wraps=members_pieces)
    monkeypatch.setattr("deadweight_images.inspect.extract.members_pieces", calls)
    found = extracted(tmp_path, samples.layer(*members), samples.layer(samples.file(b".wh.d")), compression="gzip")
    assert calls.call_count == 1
    assert sorted(found) == [(f"/d/{number:04}", b"%d" % number) for number in range(300)]


def test_json_does_not_command_the_terminal(tmp_path):
    """U+009B begins a command of a terminal, U+202E turns text round, U+E0001 and U+2066 are not seen at all."""
    name = "a\u009b31m\u202eexe\u2066.\U000e0001b\u0007\u00e9"
    path = samples.saved(tmp_path, samples.honest_layer({name: b"x" * 5000}))
    report = analyse(path)
    text = document(report)
    assert text.replace("\n", "").isprintable()
    assert json.loads(text) == json.loads(json.dumps(report.json()))
    assert json.loads(document(report, added=name))["added"] == name
    assert "\u00e9" in text  # what can be shown is
