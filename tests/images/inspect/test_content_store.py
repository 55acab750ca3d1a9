"""Reading an image in a containerd content store: the same report as from its archive, and no trust in what lies there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deadweight._errors import ArchiveError, UsageError
from deadweight_images.inspect.analyse import analyse
from deadweight_images.inspect.engine_store import analyse_content_store, content_folders
from tests.support import image_samples as samples
from tests.support.codes import raises
from tests.support.image_samples import honest_layer as layer
from tests.support.trees import written

LAYERS = (
    layer({"etc/a": b"hello" * 1000, "gone.conf": b"token = ghp_" + b"x1Y2z3A4b5C6" * 3}),
    layer({".wh.gone.conf": b"", "etc/.wh.a": b""}),
)


@pytest.fixture(params=["gzip", "none"])
def store(request, tmp_path) -> tuple[Path, str, Path]:
    """A content store with one image, the digest of its manifest, and the image's archive."""
    members = samples.oci_members(samples.build(*LAYERS, compression=request.param))
    archive = written(tmp_path / "layout", members)
    blobs = {name: data for name, data in members.items() if name.startswith("blobs/")}
    return (written(tmp_path / "content", blobs), samples.entries(members)[0]["digest"], archive)


def test_it_gives_what_the_archive_gives(store, tmp_path):
    folder, target, archive = store
    for scan in ("deep", "hidden", "no"):
        expected = analyse(archive, scan=scan)
        assert analyse_content_store([tmp_path / "absent", folder], target, scan=scan) == expected
    assert len(expected.hidden) == 2
    cache = tmp_path / "cache"
    assert analyse_content_store([folder], target, cache_dir=cache) == analyse(archive)
    assert analyse_content_store([folder], target, cache_dir=cache) == analyse(archive)


def test_a_store_that_lacks_the_image_or_a_layer_of_it_is_none(store, tmp_path):
    folder, target, _ = store
    assert analyse_content_store([], target) is None
    assert analyse_content_store([tmp_path], target) is None
    (folder / place(json.loads((folder / place(target)).read_bytes())["layers"][1]["digest"])).unlink()
    assert analyse_content_store([folder], target) is None, "containerd may have let go of what it unpacked"


@pytest.mark.parametrize("which", ["manifest", "config", "layer"])
def test_a_blob_that_is_not_what_its_name_says_is_refused(store, which, tmp_path):
    folder, target, _ = store
    analyse_content_store([folder], target, cache_dir=tmp_path / "cache")  # what the cache knows is hashed again
    manifest = json.loads((folder / place(target)).read_bytes())
    digest = {"manifest": target, "config": manifest["config"]["digest"], "layer": manifest["layers"][0]["digest"]}[
        which
    ]
    file = folder / place(digest)
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    with pytest.raises(ArchiveError):
        analyse_content_store([folder], target, cache_dir=tmp_path / "cache")


def test_names_lead_nowhere_else(store, tmp_path):
    folder, target, _ = store
    with raises(ArchiveError, "document.digest", digest="sha256:../../../etc/passwd"):
        analyse_content_store([folder], "sha256:../../../etc/passwd")
    file = folder / place(target)
    file.rename(tmp_path / "outside")
    file.symlink_to(tmp_path / "outside")
    with raises(ArchiveError, "archive.layout_link", what=file):
        analyse_content_store([folder], target)


def test_an_image_of_another_platform_is_told(store):
    folder, target, _ = store
    with raises(UsageError, "archive.platform_missing", platform="linux/s390x"):
        analyse_content_store([folder], target, platform="linux/s390x")


def test_it_lies_below_the_engines_folder_or_in_containerds_own(tmp_path):
    own, machines = content_folders(tmp_path)
    assert own.is_relative_to(tmp_path)
    assert machines.is_relative_to("/var/lib/containerd")


def place(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"
