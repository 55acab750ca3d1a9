"""Under which digest an archive arrives in a registry: that of the manifest that was looked at, where its layers are packed."""

from __future__ import annotations

import pytest

from deadweight.toolchain import crane
from deadweight_images.archive.archive import open_archive
from tests.support import image_samples as samples
from tests.support.image_samples import honest_layer as layer


@pytest.mark.tools
@pytest.mark.parametrize(("compression", "kept"), [("gzip", True), ("none", False)])
def test_an_archive_of_both_layouts_keeps_its_manifest_if_its_layers_are_packed(
    tmp_path, local_registry, monkeypatch, compression, kept
):
    """As engines from 25 on save: packed with containerd's store, plain with overlay2. crane packs plain layers."""
    monkeypatch.setattr(samples, "OCI_LAYER", samples.OCI_LAYER + ("+gzip" if compression == "gzip" else ""))
    archive = samples.both_layouts(
        tmp_path / "x.tar", samples.build(layer({"a": b"x" * 5000}), compression=compression)
    )
    with open_archive(archive) as opened:
        looked_at = opened.image
    digest = crane.push(archive, f"{local_registry}/push/{compression}:1")
    assert (digest == looked_at.manifest_digest) is kept
    pushed = crane.manifest(f"{local_registry}/push/{compression}@{digest}")
    assert pushed["config"]["digest"] == looked_at.config_digest
