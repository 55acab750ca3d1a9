"""Images in a registry or an engine's store: the same report as from an archive, and nothing that lies there is taken on trust."""

import contextlib
import gzip
import io
import json
import os
import random
import shutil
import subprocess
from dataclasses import asdict
from pathlib import Path

import pytest

from deadweight._errors import ArchiveError, UsageError, wording
from deadweight.toolchain.crane import push
from deadweight.toolchain.registry import Remote
from deadweight_images.inspect.analyse import analyse
from deadweight_images.inspect.engine_store import analyse_content_store, analyse_engine_store, content_folders
from deadweight_images.inspect.registry import analyse_registry
from tests.support import image_samples as samples
from tests.support.codes import raises
from tests.support.http_servers import Answering, served
from tests.support.image_samples import honest_layer as layer
from tests.support.invoking import invoke
from tests.support.secret_samples import github_token
from tests.support.trees import written

SECRET = b"token = " + github_token(random.Random(5)) + b"\n"
LOWER = layer({"etc/app.conf": SECRET, "bin": None})
DIGESTS = ("archive.diff_id", "archive.digest")
UPPER = layer({"etc/.wh.app.conf": b"", "srv/app": os.urandom(3000)})


class Registry:
    """A repository in memory, that notes what is asked of it."""

    def __init__(self, *images: dict[str, bytes], index: bool = False) -> None:
        self.content = {f"sha256:{name.rpartition('/')[2]}": data for made in images for name, data in made.items()}
        listed = samples.entries(*images)
        self.top = samples.index(listed) if index else self.content[listed[0]["digest"]]
        self.asked: list[str] = []

    def manifest(self, digest=None):
        return self.top if digest is None else self.content[digest]

    @contextlib.contextmanager
    def blob(self, digest):
        self.asked.append(digest)
        yield io.BytesIO(self.content[digest])

    @contextlib.contextmanager
    def rest(self, digest, offset):
        yield io.BytesIO(self.content[digest][offset:])


def layers_asked(registry: Registry, made: samples.Made) -> list[int]:
    stored = [samples.sha256(data) for data in made.stored]
    return [stored.index(digest) for digest in registry.asked if digest in stored]


@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
def test_a_registry_gives_what_the_archive_gives(tmp_path, compression):
    """A layer is what its bytes say, whatever its media type (here that of a plain tar)."""
    made = samples.build(LOWER, UPPER, compression=compression, config={"User": "7"})
    registry = Registry(samples.oci_members(made))
    remote = analyse_registry(registry, "r/app:1")
    local = analyse(written(tmp_path / "layout", samples.oci_members(made)))
    assert {**remote.json(), "layers": None} == {**local.json(), "layers": None}
    known = {"compressed_bytes": None, "compressed_how": ""}  # of a plain layer only a second look tells
    assert [asdict(layer) | known for layer in remote.layers] == [asdict(layer) | known for layer in local.layers]
    assert [mark.rule for mark in remote.hidden[0].secrets] == ["github-pat"]
    assert layers_asked(registry, made) == [0, 1]


def test_a_layer_that_an_earlier_look_knows_is_not_asked_for(tmp_path):
    first, second = (samples.build(*layers, compression="gzip") for layers in ((LOWER,), (LOWER, UPPER)))
    analyse_registry(Registry(samples.oci_members(first)), "r/app:1", cache_dir=tmp_path)
    registry, again = Registry(samples.oci_members(second)), Registry(samples.oci_members(second))
    report = analyse_registry(registry, "r/app:2", cache_dir=tmp_path)
    assert analyse_registry(again, "r/app:2", cache_dir=tmp_path) == report
    assert (layers_asked(registry, second), layers_asked(again, second)) == ([1], [])


@pytest.mark.parametrize(("which", "change", "codes"), [
    ("layer", lambda data: data[:-1], ("registry.truncated",)),
    ("layer", lambda data: data + b"\0", ("registry.too_large",)),
    ("layer", lambda data: bytes([data[0] ^ 1]) + data[1:], ("tar.checksum", *DIGESTS)),
    ("layer", lambda data: samples.layer(samples.file(b"x", b"y" * (len(data) - 1536 - 512))),
     (*DIGESTS, "registry.truncated", "registry.too_large")),
    ("config", lambda data: data.replace(b"step 0", b"step 1"), ("archive.digest",)),
])  # fmt: skip
def test_what_comes_is_verified(which, change, codes):
    made = samples.build(LOWER)
    registry = Registry(samples.oci_members(made))
    digest = samples.sha256(made.config if which == "config" else made.stored[0])
    registry.content[digest] = change(registry.content[digest])
    with pytest.raises(ArchiveError) as caught:
        analyse_registry(registry, "r/app:1")
    assert caught.value.code in codes


@pytest.mark.parametrize("answer", [b"", b"[]", b"{}", b"null", b'{"layers": 1}', b"\xff", b"{" * 5000])
def test_an_answer_that_is_no_manifest_is_one_error(answer):
    registry = Registry(samples.oci_members(samples.build(LOWER)))
    registry.top = answer
    with pytest.raises((ArchiveError, UsageError)):
        analyse_registry(registry, "r/app:1")


def test_the_platform_is_chosen_and_no_other_is_fetched():
    amd, arm = samples.build(LOWER), samples.build(UPPER, architecture="arm64")
    images = (samples.oci_members(made, platform=f"linux/{name}") for name, made in (("amd64", amd), ("arm64", arm)))
    registry = Registry(*images, index=True)
    report = analyse_registry(registry, "r/app:1", platform="linux/arm64")
    assert (report.config_digest, layers_asked(registry, amd)) == (samples.sha256(arm.config), [])
    with raises(UsageError, "archive.platform_missing", platform="linux/s390x"):
        analyse_registry(registry, "r/app:1", platform="linux/s390x")


@pytest.mark.tools
def test_a_broken_transfer_goes_on_where_it_broke_off():
    made = samples.build(samples.layer(samples.file(b"big", os.urandom(3 << 20)), samples.file(b"s", SECRET)))
    registry, ranges = Registry(samples.oci_members(made)), []

    class Breaking(Answering):
        """Breaks off a layer's first transfer in the middle, and gives ranges."""

        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            data, start = registry.content.get(self.path.rpartition("/")[2], registry.top), 0
            if wanted := self.headers.get("Range"):
                ranges.append(wanted)
                start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            headers = {
                "Content-Length": str(len(data) - start),
                "Content-Type": samples.OCI_MANIFEST if "/manifests/" in self.path else "application/octet-stream",
                "Docker-Content-Digest": samples.sha256(data),
                **({"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"} if start else {}),
            }
            breaks = len(data) > 1_000_000 and not start
            self.answer(206 if start else 200, data[: len(data) // 2] if breaks else data[start:], headers)
            self.close_connection = breaks

        do_HEAD = do_GET

    with served(Breaking) as server:
        report = analyse_registry(Remote(f"127.0.0.1:{server.server_port}/team/app:1", insecure=True), "r/app:1")
    assert [secret.rule for secret in report.secrets] == ["github-pat"]
    assert ranges == [f"bytes={len(made.stored[0]) // 2}-"]


@pytest.mark.tools
def test_a_reference_alone_is_looked_through_without_a_copy(tmp_path, local_registry):
    amd = samples.build(LOWER, UPPER, compression="gzip")
    arm = samples.build(UPPER, compression="gzip", architecture="arm64")
    reference = f"{local_registry}/team/streamed:1"
    both = [samples.oci_members(amd, platform="linux/amd64"), samples.oci_members(arm, platform="linux/arm64")]
    index = samples.index(samples.entries(*both))
    top = samples.index([samples.descriptor(index, samples.OCI_INDEX)])
    push(written(tmp_path / "layout", {**both[0], **both[1], **samples.blobs(index), "index.json": top}), reference)
    # With no place for temporary files, a copy would fail.
    words = ("layers", "--archive", reference, "--json", "--platform")
    one = invoke(tmp_path, *words, "linux/amd64", env={"TMPDIR": "/nonexistent"})
    assert (one.returncode, json.loads(one.stdout)["config_digest"]) == (1, samples.sha256(amd.config)), one.stderr
    every = invoke(tmp_path, *words, "all")
    digests = {name: image["config_digest"] for name, image in json.loads(every.stdout)["platforms"].items()}
    assert digests == {"linux/amd64": samples.sha256(amd.config), "linux/arm64": samples.sha256(arm.config)}
    assert (every.returncode, f"{reference} (linux/amd64)".lower() in every.stderr.lower()) == (1, True)
    assert "hint:" in invoke(tmp_path, "layers", "--archive", f"{local_registry}/team/absent:1", code=1).stderr


@pytest.mark.system
@pytest.mark.parametrize("name", ["nowhere.tar", "a.example/t/app.tar", "folder/app", "./a.example/app:1", "app:1", ""])
def test_what_names_no_registry_is_a_file_which_has_one_platform(tmp_path, name):
    archive = name or samples.saved(tmp_path, UPPER)
    done = invoke(tmp_path, "layers", "--archive", archive, *([] if name else ["--platform", "all"]), code=2)
    assert (wording("tasks.no_archive", file=Path(name)) if name else wording("tasks.all_platforms")) in done.stderr


# In an engine's own store: the same report as from its archive, and no trust in what lies there.

FIRST = {"etc": None, "etc/a": b"hello" * 100_000, "etc/b": b"", "l": "etc/a", "h": "=etc/a", "d\u00e9/\u00ff": b"x"}
GONE = layer({".wh.gone.conf": b"", "etc/.wh.a": b""})
LEAK = b"token = ghp_" + b"x1Y2z3A4b5C6" * 3
DEEP = layer({"d/" * 70 + "deep": b"y", "d/" * 69 + "e/deep": b"y", "d/f": b"z"})  # deeper than folders are kept open
STACK = (layer(FIRST), DEEP, layer({"etc/b": b"now longer", "gone.conf": LEAK}), GONE)


@pytest.mark.slow
@pytest.mark.engine
def test_the_engines_store_gives_what_the_archive_gives(engine, tmp_path):
    root = Path(engine.api.info()["DockerRootDir"])
    if not os.access(root / "image" / "overlay2", os.R_OK):
        pytest.skip("the engine's folder is not ours to read, or it has another store")
    archive = samples.saved(tmp_path, *STACK, tag="deadweight-tests/store:1")
    engine.images.load(archive)
    try:
        image_id = engine.api.inspect_image("deadweight-tests/store:1")["Id"]
        for scan in ("deep", "hidden", "no"):
            expected = analyse(archive, scan=scan)
            assert analyse_engine_store(root, image_id, scan=scan) == expected
        assert len(expected.hidden) == 3
        copy_and_harm(root, image_id, tmp_path / "copy")
    finally:
        engine.images.remove("deadweight-tests/store:1", force=True)


def copy_and_harm(root: Path, image_id: str, copy: Path) -> None:
    """A copy of the image's part of the store: first as it is, then with a link in the place of a file."""
    config = Path("image/overlay2/imagedb/content/sha256", image_id.partition(":")[2])
    written(copy, {str(config): (root / config).read_bytes()})
    with contextlib.suppress(shutil.Error):  # layers of other images may go meanwhile
        shutil.copytree(root / "image/overlay2/layerdb", copy / "image/overlay2/layerdb")
    for file in (copy / "image/overlay2/layerdb/sha256").glob("*/cache-id"):
        if (file.parent / "diff").read_text() in [samples.sha256(data) for data in STACK]:
            subprocess.run(["cp", "-a", "--parents", f"overlay2/{file.read_text()}/diff", copy], cwd=root, check=True)
    assert analyse_engine_store(copy, image_id, scan="no") is not None
    (victim,) = [path for path in copy.glob("overlay2/*/diff/gone.conf") if path.is_file()]  # the other is the whiteout
    outside = victim.rename(copy / "outside")
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
    made = samples.build(STACK[0])
    digest, diff_id = samples.sha256(made.config), samples.sha256(STACK[0])
    chain = f"layerdb/sha256/{diff_id[7:]}"
    split = gzip.compress(json.dumps({"type": 2, "payload": ""}).encode())
    described = {f"{chain}/diff": diff_id, f"{chain}/tar-split.json.gz": split, f"{chain}/cache-id": "../../../../etc"}
    written(tmp_path / "image/overlay2", {f"imagedb/content/sha256/{digest[7:]}": made.config, **described})
    with raises(ArchiveError, "engine_store.other_layer", diff_id=diff_id):
        analyse_engine_store(tmp_path, digest)


SMALL = (layer({"etc/a": b"hello" * 1000, "gone.conf": LEAK}), GONE)


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
    for _ in range(2):  # from the cache the second time
        assert analyse_content_store([folder], target, cache_dir=tmp_path / "cache") == analyse(archive)


def test_a_store_that_lacks_the_image_or_a_layer_of_it_is_none(store, tmp_path):
    folder, target, _ = store
    assert [analyse_content_store(folders, target) for folders in ([], [tmp_path])] == [None, None]
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
    assert (own.is_relative_to(tmp_path), machines.is_relative_to("/var/lib/containerd")) == (True, True)
