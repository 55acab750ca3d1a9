"""Bytes of an archive that are let go of come back when they are read again."""

from __future__ import annotations

import random

import pytest

from deadweight_images.archive.archive import open_archive
from tests.support import image_samples as samples
from tests.support.trees import written


@pytest.mark.parametrize("kind", ["tar", "folder"])
def test_what_was_forgotten_is_read_again(tmp_path, kind):
    data = samples.honest_layer({"a": random.Random(1).randbytes(300_000)})
    made = samples.build(data, samples.honest_layer({"b": b"x"}), compression="gzip")
    saved = {
        "tar": samples.docker_save(tmp_path / "x.tar", made),
        "folder": written(tmp_path / "x", samples.oci_members(made)),
    }
    with open_archive(saved[kind]) as archive:
        first, second = archive.image.layers
        before = bytes(archive.blob(first)), bytes(archive.blob(second))
        size = first.stored_bytes
        for start, stop in ((0, size), (5000, 5001), (4096, 200_000), (size - 10, size), (0, 0)):
            archive.forget(first, start, stop)
        archive.forget(second, 0, second.stored_bytes)
        assert (bytes(archive.blob(first)), bytes(archive.blob(second))) == before
