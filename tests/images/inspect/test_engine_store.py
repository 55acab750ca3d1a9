"""Reading an image where the engine keeps it: the same report as from its archive, and no trust in what lies there."""

import contextlib
import gzip
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from deadweight._errors import ArchiveError, UsageError
from deadweight_images.inspect.analyse import analyse
from deadweight_images.inspect.engine_store import analyse_content_store, analyse_engine_store, content_folders
from tests.support import image_samples as samples
from tests.support.codes import raises
from tests.support.image_samples import honest_layer as layer
from tests.support.trees import written

FIRST = {"etc": None, "etc/a": b"hello" * 100_000, "etc/b": b"", "l": "etc/a", "h": "=etc/a", "d\u00e9/\u00ff": b"x"}
LAYERS = (
    layer(FIRST),
    layer({"d/" * 70 + "deep": b"y", "d/" * 69 + "e/deep": b"y", "d/f": b"z"}),  # deeper than folders are kept open
    layer({"etc/b": b"now longer", "gone.conf": b"token = ghp_" + b"x1Y2z3A4b5C6" * 3}),
    layer({".wh.gone.conf": b"", "etc/.wh.a": b""}),
)


@pytest.mark.slow
@pytest.mark.engine
def test_the_engines_store_gives_what_the_archive_gives(engine, tmp_path):
    root = Path(engine.api.info()["DockerRootDir"])
    if not os.access(root / "image" / "overlay2", os.R_OK):
        pytest.skip("the engine's folder is not ours to read, or it has another store")
    archive = samples.saved(tmp_path, *LAYERS, tag="deadweight-tests/store:1")
    engine.images.load(archive)
    try:
        image_id = engine.api.inspect_image("deadweight-tests/store:1")["Id"]
        for scan in ("deep", "hidden", "no"):
            found = analyse_engine_store(root, image_id, scan=scan)
            assert found == analyse(archive, scan=scan)
        assert len(analyse(archive).hidden) == 3
        copy_and_harm(root, image_id, tmp_path / "copy")
    finally:
        engine.images.remove("deadweight-tests/store:1", force=True)


def copy_and_harm(root: Path, image_id: str, copy: Path) -> None:
    """A copy of the image's part of the store: first as it is, then with a link in the place of a file."""
    config = Path("image/overlay2/imagedb/content/sha256", image_id.partition(":")[2])
    (copy / config).parent.mkdir(parents=True)
    shutil.copy(root / config, copy / config)
    with contextlib.suppress(shutil.Error):  # layers of other images may go meanwhile
        shutil.copytree(root / "image/overlay2/layerdb", copy / "image/overlay2/layerdb")
    for file in (copy / "image/overlay2/layerdb/sha256").glob("*/cache-id"):
        if (file.parent / "diff").read_text() in [samples.sha256(data) for data in LAYERS]:
            name = file.read_text()
            (copy / "overlay2" / name).mkdir(parents=True)
            subprocess.run(["cp", "-a", root / "overlay2" / name / "diff", copy / "overlay2" / name], check=True)
    assert analyse_engine_store(copy, image_id, scan="no") is not None
    (victim,) = [path for path in copy.glob("overlay2/*/diff/gone.conf") if path.is_file()]  # the other is the whiteout
    outside = copy / "outside"
    outside.write_bytes(victim.read_bytes())
    victim.unlink()
    victim.symlink_to(outside)
    with raises(ArchiveError, "engine_store.damaged"):
        analyse_engine_store(copy, image_id, scan="no")
    victim.unlink()
    victim.write_bytes(outside.read_bytes()[::-1])
    with raises(ArchiveError, "archive.diff_id"):
        analyse_engine_store(copy, image_id, scan="no")


def test_a_folder_that_is_no_store_is_none(tmp_path):
    assert analyse_engine_store(tmp_path, "sha256:" + "a" * 64) is None


def test_a_layer_that_describes_another_is_refused(tmp_path):
    made = samples.build(LAYERS[0])
    digest = samples.sha256(made.config)
    diff_id = samples.sha256(LAYERS[0])
    chain = f"layerdb/sha256/{diff_id[7:]}"
    split = gzip.compress(json.dumps({"type": 2, "payload": ""}).encode())
    described = {f"{chain}/diff": diff_id, f"{chain}/tar-split.json.gz": split, f"{chain}/cache-id": "../../../../etc"}
    written(tmp_path / "image/overlay2", {f"imagedb/content/sha256/{digest[7:]}": made.config, **described})
    with raises(ArchiveError, "engine_store.other_layer", diff_id=diff_id):
        analyse_engine_store(tmp_path, digest)


SMALL = (
    layer({"etc/a": b"hello" * 1000, "gone.conf": b"token = ghp_" + b"x1Y2z3A4b5C6" * 3}),
    layer({".wh.gone.conf": b"", "etc/.wh.a": b""}),
)


@pytest.fixture(params=["gzip", "none"])
def store(request, tmp_path) -> tuple[Path, str, Path]:
    """A content store with one image, the digest of its manifest, and the image's archive."""
    members = samples.oci_members(samples.build(*SMALL, compression=request.param))
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
    digests = {"manifest": target, "config": manifest["config"]["digest"], "layer": manifest["layers"][0]["digest"]}
    file = folder / place(digests[which])
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    with pytest.raises(ArchiveError):
        analyse_content_store([folder], target, cache_dir=tmp_path / "cache")


def test_names_lead_nowhere_else(store, tmp_path):
    folder, target, _ = store
    with raises(UsageError, "archive.platform_missing", platform="linux/s390x"):
        analyse_content_store([folder], target, platform="linux/s390x")
    with raises(ArchiveError, "document.digest", digest="sha256:../../../etc/passwd"):
        analyse_content_store([folder], "sha256:../../../etc/passwd")
    file = folder / place(target)
    file.rename(tmp_path / "outside")
    file.symlink_to(tmp_path / "outside")
    with raises(ArchiveError, "archive.layout_link", what=file):
        analyse_content_store([folder], target)


def place(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"


def test_it_lies_below_the_engines_folder_or_in_containerds_own(tmp_path):
    own, machines = content_folders(tmp_path)
    assert own.is_relative_to(tmp_path)
    assert machines.is_relative_to("/var/lib/containerd")
