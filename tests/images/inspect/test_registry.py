"""Images in a registry: layers are read as they come, known ones are not asked for, and nothing that comes is taken on trust."""

import contextlib
import io
import json
import os
import random
from dataclasses import asdict

import pytest

from deadweight._errors import ArchiveError, UsageError
from deadweight.toolchain.crane import Remote, push
from deadweight_images.inspect.analyse import analyse
from deadweight_images.inspect.registry import analyse_registry
from tests.support import image_samples as samples
from tests.support.codes import raises
from tests.support.http_servers import Answering, served
from tests.support.invoking import TASKS, invoke
from tests.support.secret_samples import github_token
from tests.support.trees import written

SECRET = b"token = " + github_token(random.Random(5)) + b"\n"
LOWER = samples.honest_layer({"etc/app.conf": SECRET, "bin": None})
DIGESTS = ("archive.diff_id", "archive.digest")
UPPER = samples.honest_layer({"etc/.wh.app.conf": b"", "srv/app": os.urandom(3000)})


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
    found = analyse_registry(registry, "r/app:1")
    told = analyse(written(tmp_path / "layout", samples.oci_members(made)))
    assert {**found.json(), "layers": None} == {**told.json(), "layers": None}
    known = {"compressed_bytes": None, "compressed_how": ""}  # of a plain layer only a second look tells
    assert [{**asdict(each), **known} for each in found.layers] == [{**asdict(each), **known} for each in told.layers]
    assert [mark.rule for mark in found.hidden[0].secrets] == ["github-pat"]
    assert layers_asked(registry, made) == [0, 1]


def test_a_layer_that_an_earlier_look_knows_is_not_asked_for(tmp_path):
    first = samples.build(LOWER, compression="gzip")
    second = samples.build(LOWER, UPPER, compression="gzip")
    analyse_registry(Registry(samples.oci_members(first)), "r/app:1", cache_dir=tmp_path)
    registry = Registry(samples.oci_members(second))
    found = analyse_registry(registry, "r/app:2", cache_dir=tmp_path)
    assert layers_asked(registry, second) == [1]
    again = Registry(samples.oci_members(second))
    assert analyse_registry(again, "r/app:2", cache_dir=tmp_path) == found
    assert layers_asked(again, second) == []


@pytest.mark.parametrize(
    ("which", "change", "codes"),
    [
        ("layer", lambda data: data[:-1], ("registry.truncated",)),
        ("layer", lambda data: data + b"\0", ("registry.too_large",)),
        ("layer", lambda data: bytes([data[0] ^ 1]) + data[1:], ("tar.checksum", *DIGESTS)),
        ("layer", lambda data: samples.layer(samples.file(b"x", b"y" * (len(data) - 1536 - 512))),
         (*DIGESTS, "registry.truncated", "registry.too_large")),
        ("config", lambda data: data.replace(b"step 0", b"step 1"), ("archive.digest",)),
    ],
)  # fmt: skip
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
    images = (samples.oci_members(each, platform=f"linux/{name}") for name, each in (("amd64", amd), ("arm64", arm)))
    registry = Registry(*images, index=True)
    found = analyse_registry(registry, "r/app:1", platform="linux/arm64")
    assert (found.config_digest, layers_asked(registry, amd)) == (samples.sha256(arm.config), [])
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
        found = analyse_registry(Remote(f"127.0.0.1:{server.server_port}/team/app:1", insecure=True), "r/app:1")
    assert [secret.rule for secret in found.secrets] == ["github-pat"]
    assert ranges == [f"bytes={len(made.stored[0]) // 2}-"]


@pytest.fixture
def project(tmp_path):
    (tmp_path / "tasks.py").write_text(TASKS)
    return tmp_path


@pytest.mark.tools
def test_a_reference_alone_is_looked_through_without_a_copy(project, local_registry):
    amd = samples.build(LOWER, UPPER, compression="gzip")
    arm = samples.build(UPPER, compression="gzip", architecture="arm64")
    reference = f"{local_registry}/team/streamed:1"
    both = [samples.oci_members(amd, platform="linux/amd64"), samples.oci_members(arm, platform="linux/arm64")]
    index = samples.index(samples.entries(*both))
    top = samples.index([samples.descriptor(index, samples.OCI_INDEX)])
    members = {**both[0], **both[1], **samples.blobs(index), "index.json": top}
    push(written(project / "layout", members), reference)
    # With no place for temporary files, a copy would fail.
    words = ("layers", "--archive", reference, "--json", "--platform")
    one = invoke(project, *words, "linux/amd64", env={"TMPDIR": "/nonexistent"})
    assert (one.returncode, json.loads(one.stdout)["config_digest"]) == (1, samples.sha256(amd.config)), one.stderr
    every = invoke(project, *words, "all")
    digests = {name: each["config_digest"] for name, each in json.loads(every.stdout)["platforms"].items()}
    assert digests == {"linux/amd64": samples.sha256(amd.config), "linux/arm64": samples.sha256(arm.config)}
    assert (every.returncode, f"{reference} (linux/amd64)".lower() in every.stderr.lower()) == (1, True)
    gone = invoke(project, "layers", "--archive", f"{local_registry}/team/absent:1")
    assert (gone.returncode, "Traceback" in gone.stderr) == (1, False)
    assert "hint:" in gone.stderr


@pytest.mark.system
@pytest.mark.parametrize("name", ["nowhere.tar", "a.example/team/app.tar", "folder/app", "./a.example/app:1", "app:1"])
def test_what_names_no_registry_is_a_file(project, name):
    done = invoke(project, "layers", "--archive", name)
    assert (done.returncode, "does not exist" in done.stderr) == (2, True), done.stderr


@pytest.mark.system
def test_every_platform_is_for_registries(project):
    archive = samples.saved(project, UPPER)
    done = invoke(project, "layers", "--archive", str(archive), "--platform", "all")
    assert done.returncode == 2, done.stderr
    assert "--platform all works only for images in a registry" in done.stderr
