"""Content that is known by its digest is not unpacked again; with one byte changed it is."""

from __future__ import annotations

import bz2
import hashlib
import random

import pytest

from deadweight.image.look.analyse import analyse
from deadweight.image.secrets import known
from tests.support import image_samples as samples
from tests.support.secret_samples import github_token


@pytest.mark.parametrize("changed", [False, True])
def test_only_the_very_bytes_are_known(tmp_path, monkeypatch, changed):
    packed = bz2.compress(b"token = " + github_token(random.Random(3)) + b"\n")
    monkeypatch.setattr(known, "_KNOWN", {len(packed): hashlib.sha256(packed).hexdigest()})
    monkeypatch.setattr(known, "_SMALLEST", len(packed))
    content = packed[:-1] + bytes([packed[-1] ^ 1]) if changed else packed
    archive = samples.docker_save(tmp_path / "x.tar", samples.build(samples.honest_layer({"a.bz2": content})))
    assert len(analyse(archive).secrets) == changed


def test_plain_bytes_of_known_content_are_looked_at(tmp_path, monkeypatch):
    content = b"token = " + github_token(random.Random(3)) + b"\n"
    monkeypatch.setattr(known, "_KNOWN", {len(content): hashlib.sha256(content).hexdigest()})
    monkeypatch.setattr(known, "_SMALLEST", len(content))
    archive = samples.docker_save(tmp_path / "x.tar", samples.build(samples.honest_layer({"a": content})))
    assert len(analyse(archive).secrets) == 1
