"""Content that is known by its digest is not looked into again; with one byte changed it is."""

from __future__ import annotations

import hashlib
import json
import random
import re

import pytest

from bench import known_files
from deadweight_images.inspect.analyse import analyse
from deadweight_images.inspect.stream import analyse_stream
from deadweight_images.secrets import regions
from tests.support import ROOT
from tests.support import image_samples as samples
from tests.support.secret_samples import github_token

SECRET = b"token = " + github_token(random.Random(3)) + b"\n"
TABLE = json.loads((ROOT / "src/deadweight_images/secrets/known.json").read_text())


@pytest.fixture
def believed(monkeypatch):
    """Have this content known, whatever its size."""
    monkeypatch.setattr(regions, "LEAST_BYTES", 1)

    def believe(content: bytes) -> None:
        monkeypatch.setattr(regions, "table", lambda: {len(content): frozenset({hashlib.sha256(content).hexdigest()})})

    return believe


@pytest.mark.parametrize("changed", [False, True])
@pytest.mark.parametrize("compression", ["none", "gzip"])
@pytest.mark.parametrize("scan", ["plain", "deep"])
def test_only_the_very_bytes_are_known(tmp_path, believed, changed, compression, scan):
    believed(SECRET)
    content = SECRET[:-1] + b" " if changed else SECRET
    layer = samples.honest_layer({"a": b"nothing", "b": content, "c": b"nothing"})
    archive = samples.saved(tmp_path, layer, compression=compression)
    assert len(analyse(archive, scan=scan).secrets) == changed
    with archive.open("rb") as file:
        assert len(analyse_stream(file, scan=scan).secrets) == changed


def test_what_lies_around_known_content_is_looked_at(tmp_path, believed):
    believed(SECRET)
    other = b"token = " + github_token(random.Random(4)) + b"\n"
    layer = samples.honest_layer({"a": other, "b": SECRET, "c": SECRET, "d": other})
    archive = samples.saved(tmp_path, layer)
    assert sorted(each.path for each in analyse(archive).secrets) == ["/a", "/d"]


def test_with_other_rules_nothing_is_known(monkeypatch):
    assert regions.table()
    monkeypatch.setattr(regions, "rules_digest", lambda: "0" * 64)
    regions.table.cache_clear()
    assert regions.table() == {}
    regions.table.cache_clear()


def test_the_table_is_of_these_rules_and_names_its_origins():
    """After a change of the rules: ``python -m bench.known_files FOLDER --fetch``."""
    assert TABLE["rules"] == regions.rules_digest()
    assert {name.partition(" ")[0] for name in TABLE["origins"]} == {"go", "debian", "pypi", "npm"}
    entries = [entry for origin in TABLE["origins"].values() for entry in origin.items()]
    assert all(re.fullmatch(r"[0-9a-f]{64}", digest) for digest, _ in entries)
    assert all(size >= regions.LEAST_BYTES and path for _, (size, path) in entries)
    assert len({digest for digest, _ in entries}) == len(entries) > 500


def test_what_holds_a_secret_never_enters_the_table(tmp_path, capsys):
    origin = tmp_path / "npm made-up 1.0"
    origin.mkdir()
    filling = b"x = 1\n" * (regions.LEAST_BYTES // 6 + 1)
    (origin / "clean.js").write_bytes(filling)
    (origin / "leaky.js").write_bytes(filling + SECRET)
    (origin / "small.js").write_bytes(SECRET)
    (origin / "link.js").symlink_to("clean.js")
    found = known_files.origin(origin)
    assert list(found.values()) == [(len(filling), "clean.js")]
    assert "left out: npm made-up 1.0: leaky.js: github-pat" in capsys.readouterr().err
    document = json.loads(known_files.written({origin.name: found, "pypi twin 2.0": found}))
    assert list(document["origins"]) == [origin.name]  # each once
