"""What a builder states of an image, as BuildKit lays it beside the image."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from deadweight._errors import ArchiveError
from deadweight_images.archive.archive import open_archive
from deadweight_images.inspect.summary import summary
from tests.support import image_samples as samples
from tests.support.codes import raises
from tests.support.trees import written

SLSA = "https://slsa.dev/provenance/v1"
SPDX = "https://spdx.dev/Document"
STATEMENTS = {
    SLSA: b'{"predicateType": "https://slsa.dev/provenance/v1"}',
    SPDX: b'{"predicateType": "https://spdx.dev/Document"}',
}


def layout(path: Path, *, about: str | None = None, lacks: bytes = b"", wrong: bytes = b"") -> Path:
    """An image, and an attestation about it (or about another)."""
    image = samples.oci_members(samples.build(samples.honest_layer({"app": b"x"})), platform="linux/amd64")
    (entry,) = samples.entries(image)
    parts = [
        samples.descriptor(text, "application/vnd.in-toto+json", annotations={"in-toto.io/predicate-type": kind})
        for kind, text in STATEMENTS.items()
    ]
    config = b"{}"
    document: dict[str, Any] = {"schemaVersion": 2, "mediaType": samples.OCI_MANIFEST, "layers": parts}
    document["config"] = samples.descriptor(config, samples.OCI_CONFIG)
    manifest = json.dumps(document).encode()
    notes = {
        "vnd.docker.reference.type": "attestation-manifest",
        "vnd.docker.reference.digest": about or entry["digest"],
    }
    told = samples.descriptor(
        manifest, samples.OCI_MANIFEST, annotations=notes, platform={"os": "unknown", "architecture": "unknown"}
    )
    index = samples.index([entry, told])
    held = samples.blobs(manifest, config, *STATEMENTS.values())
    held = {
        name: bytes([content[0] ^ 1]) + content[1:] if content == wrong else content for name, content in held.items()
    }
    held = {name: content for name, content in held.items() if content != lacks}
    return written(path / "layout", {**image, **held, "index.json": index})


def test_each_statement_is_named_by_its_type(tmp_path):
    found = summary(layout(tmp_path)).attestations
    assert [(each.predicate, each.digest, each.size_bytes) for each in found] == [
        (kind, samples.sha256(text), len(text)) for kind, text in STATEMENTS.items()
    ]


def test_one_about_another_image_is_none_of_ours(tmp_path):
    with open_archive(layout(tmp_path, about="sha256:" + "0" * 64)) as archive:
        assert archive.attestations() == ()


@pytest.mark.parametrize(
    ("fault", "code", "field"), [("lacks", "archive.statement_missing", "name"), ("wrong", "archive.digest", "digest")]
)
def test_one_that_is_missing_or_changed_is_an_error(tmp_path, fault, code, field):
    statement = {field: samples.sha256(STATEMENTS[SPDX])}
    with (
        open_archive(layout(tmp_path, **{fault: STATEMENTS[SPDX]})) as archive,
        raises(ArchiveError, code, **statement),
    ):
        archive.attestations()
