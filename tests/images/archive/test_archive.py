"""Opening archives: every layout and compression, the choice of an image, what is verified, what is refused."""

import gzip
import json
import os
import random
import tarfile
from pathlib import Path
from typing import Any

import pytest
import zstandard

from deadweight._errors import ArchiveError, DeadweightError, UsageError
from deadweight_images.archive.archive import open_archive
from deadweight_images.archive.documents import valid
from deadweight_images.errors import wording
from deadweight_images.inspect.analyse import analyse
from deadweight_images.inspect.summary import summary
from tests.support import image_samples as samples
from tests.support.codes import raises
from tests.support.image_samples import place
from tests.support.trees import written

ONE = samples.honest_layer({"etc": None, "etc/a": b"hello"})
TWO = samples.honest_layer({"etc/b": b"more" * 1000, "bin/sh": "busybox"})


def oci_tar(path, made):
    return samples.tar(path, samples.oci_members(made))


WRITERS = (samples.docker_save, samples.both_layouts, samples.layout, oci_tar)


@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
def test_every_layout_gives_the_same_image(tmp_path, compression):
    made = samples.build(ONE, TWO, compression=compression, config={"User": "7:7", "Env": ["A=b"]})
    seen = [summary(write(tmp_path / write.__name__, made)) for write in WRITERS]
    assert {(s.config_digest, s.size_bytes, s.user) for s in seen} == {(samples.sha256(made.config), 4012, "7:7")}
    layers = zip(map(samples.sha256, made.layers), map(samples.sha256, made.stored), ("step 0", "step 1"), strict=True)
    assert {tuple((part.diff_id, part.digest, part.instruction) for part in s.layers) for s in seen} == {tuple(layers)}
    assert [s.manifest_digest is None for s in seen] == [True, False, False, False]
    if compression == "none":
        assert {s.compressed_how for s in seen} == {"gzip-6"}
    else:
        assert {s.compressed_bytes for s in seen} == {sum(map(len, made.stored))}


def test_gzip_size_is_that_of_gzip_and_is_kept(tmp_path):
    data = samples.honest_layer({f"f{n}": os.urandom(300) + b"text " * 2000 for n in range(50)})
    path = samples.saved(tmp_path, data)
    first = summary(path, cache_dir=tmp_path / "cache")
    assert first.compressed_bytes == pytest.approx(len(gzip.compress(data, 6)), rel=0.001)
    assert summary(path, cache_dir=tmp_path / "cache") == first
    assert summary(path, compressed=False).compressed_bytes is None


STEPS = [{"created_by": "FROM x"}, {"created_by": "ENV A=b", "empty_layer": True}, {"created_by": "COPY y /"}]
COMMENTED = [
    {"created_by": "jib-maven-plugin:3.5.2", "comment": "classes"},
    {"created_by": "RUN x", "comment": "buildkit.dockerfile.v0"},
]
INSTRUCTIONS = {
    "empty steps make no layer": ([*STEPS, {"created_by": "CMD z", "empty_layer": True}], ["FROM x", "COPY y /"]),
    "too short a history": (STEPS[:1], [None, None]),
    "the comment tells which layer it is": (COMMENTED, ["jib-maven-plugin:3.5.2 (classes)", "RUN x"]),
}


@pytest.mark.parametrize("case", INSTRUCTIONS)
def test_instructions_of_layers(tmp_path, case):
    history, instructions = INSTRUCTIONS[case]
    path = samples.saved(tmp_path, ONE, TWO, history=history)
    assert [layer.instruction for layer in summary(path).layers] == instructions


def test_a_layer_of_an_old_archive_may_be_a_link_to_another(tmp_path):
    made = samples.build(ONE, ONE)
    members = {"a/layer.tar": ONE, "c.json": made.config, **samples.listed("c.json", "a/layer.tar", "b/layer.tar")}
    link = samples.header(b"b/layer.tar", kind=b"2", link=b"../a/layer.tar")
    written(tmp_path, {"x.tar": link + samples.tar_of(members)})
    assert [layer.size_bytes for layer in summary(tmp_path / "x.tar").layers] == [5, 5]


ARM, AMD = samples.build(ONE, architecture="arm64"), samples.build(TWO)
PLATFORMS = [samples.oci_members(ARM, platform="linux/arm64"), samples.oci_members(AMD, platform="linux/amd64")]


def chosen(path: Path, **which: Any) -> str:
    """The digest of the config of the image that is meant."""
    return summary(path, **which).config_digest


def test_platform_is_chosen_and_attestations_are_passed_over(tmp_path):
    other = samples.oci_members(samples.build(samples.honest_layer({"note": b"x"})), platform="unknown/unknown")
    inner = samples.index(samples.entries(*PLATFORMS, other))
    outer = samples.index([samples.descriptor(inner, samples.OCI_INDEX)])
    held = samples.several(*PLATFORMS, other) | samples.blobs(inner)
    path = written(tmp_path / "layout", {**held, "index.json": outer})
    digests = [chosen(path, platform=f"linux/{name}") for name in ("arm64", "amd64")]
    assert digests == [samples.sha256(ARM.config), samples.sha256(AMD.config)]
    with raises(UsageError, "archive.platform_missing", platform="linux/s390x", known="linux/amd64, linux/arm64"):
        open_archive(path, platform="linux/s390x")


@pytest.mark.parametrize("order", [1, -1])
def test_the_platform_that_was_named_goes_before_a_variant_of_it(tmp_path, order):
    plain, fast = samples.build(ONE), samples.build(TWO)
    layouts = [samples.oci_members(made, platform="linux/amd64") for made in (plain, fast)]
    entries = samples.entries(*layouts)
    entries[1]["platform"]["variant"] = "v3"
    layout = written(tmp_path / "layout", {**layouts[0], **layouts[1], "index.json": samples.index(entries[::order])})
    for platform, made in (("linux/amd64", plain), ("linux/amd64/v3", fast)):
        assert chosen(layout, platform=platform) == samples.sha256(made.config)


@pytest.mark.parametrize("write", [samples.docker_save, samples.both_layouts])
def test_an_image_for_another_platform_is_not_taken_for_the_one_asked_for(tmp_path, write):
    made = samples.build(ONE, architecture="arm64", variant="v8")
    path = write(tmp_path / "x.tar", made)
    for fitting in ("linux/arm64", "linux/arm64/v8", None):
        assert chosen(path, platform=fitting) == samples.sha256(made.config)
    with raises(UsageError, "archive.platform_missing", platform="linux/amd64", known="linux/arm64/v8"):
        open_archive(path, platform="linux/amd64")


def test_the_other_platforms_of_an_engines_archive_are_reached(tmp_path):
    """An engine's manifest.json names one image; its index.json may name more."""
    members = {**samples.several(*PLATFORMS), **samples.listed(place(AMD.config), place(TWO))}
    path = written(tmp_path / "layout", members)
    for platform, made in ((None, AMD), ("linux/amd64", AMD), ("linux/arm64", ARM)):
        assert chosen(path, platform=platform) == samples.sha256(made.config)


def test_one_of_several_images_is_chosen_by_name(tmp_path):
    images = [samples.build(ONE), samples.build(TWO)]
    items = [{"Config": f"{n}.json", "RepoTags": [f"app:{n}"], "Layers": [f"{n}.tar"]} for n in range(2)]
    members = {"0.json": images[0].config, "1.json": images[1].config, "0.tar": ONE, "1.tar": TWO}
    saved = samples.tar(tmp_path / "x.tar", {**members, "manifest.json": json.dumps(items).encode()})
    named = [samples.oci_members(made, name=f"app:{n}") for n, made in enumerate(images)]
    for path in (saved, written(tmp_path / "layout", samples.several(*named))):
        image = summary(path, name="app:1")
        assert (image.config_digest, image.names) == (samples.sha256(images[1].config), ("app:1",))
        with raises(UsageError, "archive.name_missing", what=str(path), name="other", known="app:0, app:1"):
            summary(path, name="other")
    with raises(UsageError, "archive.name_ambiguous", what=str(saved), images=2, known="app:0, app:1"):
        summary(saved)


def broken(tmp_path, change):
    made = samples.build(ONE, TWO)
    members = samples.oci_members(made)
    change(members, made)
    return written(tmp_path / "layout", members)


def manifest(**fields):
    """Other fields of the manifest."""
    return lambda members, made: members.update(samples.oci_members(made, **fields))


def config_of(**fields):
    return lambda m, made: manifest(config={**samples.descriptor(made.config, "x"), **fields})(m, made)


def beside(**fields):
    """A manifest.json of another image."""
    other = samples.build(TWO)
    listed = samples.listed(place(other.config), place(TWO), **fields)
    return lambda members, _made: members.update({**samples.blobs(other.config, TWO), **listed})


def at_url(members, made):
    """The first layer is only named, with where to fetch it."""
    first, second = (samples.descriptor(data, samples.OCI_LAYER) for data in made.stored)
    manifest(layers=[{**first, "urls": ["http://127.0.0.1:1/x"]}, second])(members, made)
    del members[place(ONE)]


def index(text):
    return lambda members, _made: members.update({"index.json": text})


def changed(which, old, new):
    """The bytes of a blob, under the name that it had."""
    return lambda members, made: members.update({place(data := which(made)): data.replace(old, new)})


HARMS = {
    "missing layer": (lambda m, made: m.pop(place(TWO)), "archive.layer_missing", {"name": place(TWO)}),
    "missing config": (lambda m, made: m.pop(place(made.config)), "archive.config_missing"),
    "changed config": (changed(lambda made: made.config, b"amd64", b"amd65"), "archive.digest"),
    "changed layer": (changed(lambda made: TWO, b"more", b"less"), "archive.diff_id"),
    "longer layer": (lambda m, made: m.update({place(TWO): TWO + bytes(512)}), "archive.blob_size"),
    "index and manifest in one": (manifest(manifests=[]), "document.two_kinds"),
    "manifest that says it is an index": (manifest(mediaType=samples.OCI_INDEX), "document.media_type"),
    "too few layers": (manifest(layers=[]), "archive.layer_count", {"config": 2, "layers": 0}),
    "digest with a path in it": (config_of(digest="sha256:../../../../etc/passwd"), "document.digest"),
    "negative size": (config_of(size=-1), "document.size"),
    "no index": (lambda m, made: m.pop("index.json"), "archive.not_an_image"),
    "huge index": (index(b'{"a":"' + b"x" * (5 << 20) + b'"}'), "document.too_large"),
    "deep index": (index(b"[" * 100_000 + b"]" * 100_000), "document.not_json"),
    "index with a key twice": (index(b'{"manifests":[],"manifests":[]}'), "document.key_twice"),
    "index that is also a manifest": (index(b'{"manifests":[],"layers":[]}'), "document.two_kinds"),
    "index in another case": (index(b'{"manifests":[],"Manifests":[]}'), "document.key_case", {"key": "Manifests"}),
    "manifest with other layers in another case": (manifest(Layers=[]), "document.key_case", {"key": "Layers"}),
    "descriptor in another case": (config_of(Digest="x"), "document.key_case", {"key": "Digest", "expected": "digest"}),
    "a layer at a URL": (at_url, "archive.layer_missing", {"name": place(ONE)}),
    "manifest.json of another image": (beside(), "archive.two_images"),
    "manifest.json that Go reads as of another": (
        beside(config="d", layers=["m"]), "document.key_case", {"key": "config", "expected": "Config"},
    ),
    "config in a file of a name too long": (beside(Config="n" * 300), "archive.unreadable"),
    "config in a file of a name with a zero": (beside(Config="a\0b"), "archive.config_missing"),
}  # fmt: skip

# A reader written in Go takes either key of these for the one that is read here, and the last one counts.
TWINS = {
    "config": {"Config": {"User": "root"}}, "diff-ids": {"rootfs": {"type": "layers", "diff_ids": [], "Diff_IDs": []}},
    "user": {"config": {"User": "65532", "user": "root"}}, "user alone": {"config": {"user": "root"}},
    "letters that fold": {"config": {"U\u017fer": "root"}},
    "history": {"history": [{"created_by": "x", "Created_by": "y"}]},
}  # fmt: skip


@pytest.mark.parametrize("twin", TWINS)
def test_a_config_that_go_would_read_as_another_is_refused(tmp_path, twin):
    with raises(ArchiveError, "document.key_case"):
        summary(samples.saved(tmp_path, ONE, **{"config": {}, **TWINS[twin]}))


def test_keys_that_somebody_chose_may_be_any(tmp_path):
    config = {"Labels": {"user": "a", "User": "b"}, "Volumes": {"/a": {}, "/A": {}}}
    assert summary(samples.saved(tmp_path, ONE, config=config)).labels == (("user", "a"), ("User", "b"))


@pytest.mark.parametrize("harm", HARMS)
def test_a_harmed_layout_is_one_clear_error(tmp_path, harm):
    change, code, *fields = HARMS[harm]
    path = broken(tmp_path, change)
    with raises(DeadweightError, code, **dict(*fields)) as caught:
        analyse(path, scan="no")
    assert caught.value.exit_code in (1, 2)


@pytest.mark.parametrize("look", [analyse, samples.streamed])
def test_a_zstd_layer_that_needs_much_memory_is_not_called_damaged(tmp_path, look):
    """Other than a damaged one it is whole and can be packed anew."""
    data = ONE + bytes(1 << 16)
    path = samples.saved(tmp_path, data, stored=[samples.long_zstd(data)])
    with raises(ArchiveError, "compression.window", needed=128, most=64):
        look(path, scan="no")


def test_a_manifest_that_is_there_twice_is_refused(tmp_path):
    path = samples.saved(tmp_path, ONE)
    with tarfile.open(path, "a") as tar:
        tar.addfile(tarfile.TarInfo("manifest.json"))
    with raises(ArchiveError, "archive.name_twice", name="manifest.json"):
        summary(path)


def test_links_of_a_layout_folder_are_not_followed(tmp_path):
    path = samples.layout(tmp_path / "layout", samples.build(ONE))
    (path / place(ONE)).rename(tmp_path / "outside")
    (path / place(ONE)).symlink_to(tmp_path / "outside")
    with raises(ArchiveError, "archive.layout_link", what=path / place(ONE)):
        summary(path)


def test_what_is_no_archive_is_one_clear_error(tmp_path):
    whole, path = samples.saved(tmp_path, ONE, TWO).read_bytes(), tmp_path / "no.tar"
    truncated = [whole[:size] for size in (len(whole) // 2, 700, 1500, len(whole) - 3000)]
    others = [b"PK\x03\x04" + bytes(3000), b"\x7fELF" + bytes(2000), gzip.compress(b"x" * 9000, mtime=0)]
    for content in (b"", b"hello", os.urandom(4096), *others, *truncated):
        path.write_bytes(content)
        with pytest.raises(ArchiveError) as caught:
            summary(path)
        assert str(caught.value.fields["what"]).startswith(str(path))
    os.mkfifo(tmp_path / "fifo")
    for name in ("absent", "fifo", "."):
        with pytest.raises(ArchiveError):
            summary(tmp_path / name)


def test_digests_have_one_form():
    good = "sha256:" + "a" * 64
    for text in (good.upper(), "sha256:" + "A" * 64, good[:-1], "md5:" + "a" * 32, "a" * 64, good + "\n", None):
        with pytest.raises(ArchiveError):
            valid(text, "x")


NOISE = samples.honest_layer({"noise": os.urandom(300_000), "zeros": bytes(400_000)})
SKIPPABLE = b"\x53\x2a\x4d\x18" + (7).to_bytes(4, "little") + b"skipped"
HALVES = TWO[: len(TWO) // 2], TWO[len(TWO) // 2 :]
STREAMING = zstandard.ZstdCompressor(write_checksum=True, write_content_size=False).compressobj()
FRAMES = (b"", zstandard.compress(HALVES[0]), STREAMING.compress(HALVES[1]) + STREAMING.flush(), b"")
STORED = {
    "gzip and a block": (ONE, samples.packed(ONE, "gzip") + bytes(512), None),
    "gzip and many blocks": (ONE, samples.packed(ONE, "gzip") + bytes(70_000), None),
    "gzip and more than zeros": (ONE, samples.packed(ONE, "gzip") + b"\0\0rest", "compression.trailing_data"),
    "zstd frames of every form": (TWO, SKIPPABLE.join(FRAMES), None),
    **{
        f"zstd without its last {missing} bytes, checksum {checksum}": (
            NOISE, zstandard.ZstdCompressor(write_checksum=checksum).compress(NOISE)[:-missing], "compression.truncated",
        )
        for checksum in (False, True)
        for missing in (1, 3, 4, 100, 5000)
    },
}  # fmt: skip


@pytest.mark.parametrize("stored", STORED)
def test_a_packed_layer_is_whole_or_truncated(tmp_path, stored):
    data, blob, code = STORED[stored]
    path = samples.saved(tmp_path, data, stored=[blob])
    if code is None:
        assert [layer.diff_id for layer in summary(path).layers] == [samples.sha256(data)]
    else:
        with raises(ArchiveError, code, format=stored.split()[0]):
            summary(path)


def test_an_archive_that_docker_25_saved_without_a_name_is_read(tmp_path):
    made = samples.build(ONE)
    members = samples.oci_members(made) | {"index.json": samples.index(None)}
    members |= samples.listed(place(made.config), place(ONE), tag=None)
    image = summary(samples.tar(tmp_path / "x.tar", members))
    assert (image.config_digest, image.names) == (samples.sha256(made.config), ())


def referrer(subject: dict, **fields) -> dict[str, bytes]:
    """A manifest of something that lies beside an image, as ``oras attach`` and cosign write it."""
    empty, sbom = b"{}", b'{"spdxVersion": "SPDX-2.3"}'
    document = {
        "schemaVersion": 2, "mediaType": samples.OCI_MANIFEST, "subject": subject,
        "config": samples.descriptor(empty, "application/vnd.oci.empty.v1+json"),
        "layers": [samples.descriptor(sbom, "application/spdx+json")], **fields,
    }  # fmt: skip
    return samples.blobs(json.dumps(document).encode(), empty, sbom)


@pytest.mark.parametrize("where", ["in the descriptor", "in the manifest", "by its config", "by its subject"])
def test_what_refers_to_an_image_is_no_second_image(tmp_path, where):
    made, kind = samples.build(ONE), {"artifactType": "application/spdx+json"}
    members = samples.oci_members(made)
    (entry,) = samples.entries(members)
    own = {"config": samples.descriptor(made.config, samples.OCI_CONFIG)}
    beside = referrer(entry, **{"in the manifest": kind, "by its subject": own}.get(where, {}))
    manifest, more = next(iter(beside.values())), kind if where == "in the descriptor" else {}
    other = samples.descriptor(manifest, samples.OCI_MANIFEST, **more)
    members |= beside | {"index.json": samples.index([entry, other])}
    assert summary(written(tmp_path / "layout", members)).config_digest == samples.sha256(made.config)


@pytest.mark.parametrize("write", WRITERS[1:])
@pytest.mark.parametrize("extra", [{}, samples.blobs(b"nobody names this", b"nor this")])
def test_blobs_that_no_manifest_names_are_told(tmp_path, write, extra):
    path = write(tmp_path / "x", samples.build(ONE, TWO, compression="gzip"))
    written(path, extra) if path.is_dir() else samples.tar(path, samples.members_of(path.read_bytes()) | extra)
    skipped = [(item.reason, item.size_bytes) for item in analyse(path, scan="no").skipped]
    assert skipped == [(wording("skip.unreferenced_blobs", count=2), 25)] * bool(extra)


@pytest.mark.parametrize("write", [samples.docker_save, samples.layout])
def test_what_was_forgotten_is_read_again(tmp_path, write):
    data = samples.honest_layer({"a": random.Random(1).randbytes(300_000)})
    path = write(tmp_path / "x", samples.build(data, samples.honest_layer({"b": b"x"}), compression="gzip"))
    with open_archive(path) as archive:
        first, second = archive.image.layers
        before = bytes(archive.blob(first)), bytes(archive.blob(second))
        size = first.stored_bytes
        for start, stop in ((0, size), (5000, 5001), (4096, 200_000), (size - 10, size), (0, 0)):
            archive.forget(first, start, stop)
        archive.forget(second, 0, second.stored_bytes)
        assert (bytes(archive.blob(first)), bytes(archive.blob(second))) == before


SLSA = "https://slsa.dev/provenance/v1"
SPDX = "https://spdx.dev/Document"
STATEMENTS = {kind: json.dumps({"predicateType": kind}).encode() for kind in (SLSA, SPDX)}


def attested(path: Path, *, about: str | None = None, lacks: bytes = b"", wrong: bytes = b"") -> Path:
    """An image, and an attestation about it (or about another)."""
    image = samples.oci_members(samples.build(samples.honest_layer({"app": b"x"})), platform="linux/amd64")
    (entry,) = samples.entries(image)
    kinds = {text: {"in-toto.io/predicate-type": kind} for kind, text in STATEMENTS.items()}
    parts = [samples.descriptor(text, "application/vnd.in-toto+json", annotations=note) for text, note in kinds.items()]
    document = {"schemaVersion": 2, "mediaType": samples.OCI_MANIFEST, "layers": parts}
    manifest = json.dumps({**document, "config": samples.descriptor(b"{}", samples.OCI_CONFIG)}).encode()
    notes = {"vnd.docker.reference.type": "attestation-manifest"}
    notes["vnd.docker.reference.digest"] = about or entry["digest"]
    nowhere = {"os": "unknown", "architecture": "unknown"}
    beside = samples.descriptor(manifest, samples.OCI_MANIFEST, annotations=notes, platform=nowhere)
    held = samples.blobs(manifest, b"{}", *(text for text in STATEMENTS.values() if text != lacks))
    held |= {place(wrong): bytes([wrong[0] ^ 1]) + wrong[1:]} if wrong else {}
    return written(path / "layout", {**image, **held, "index.json": samples.index([entry, beside])})


def test_each_statement_is_named_by_its_type(tmp_path):
    attestations = summary(attested(tmp_path / "own")).attestations
    statements = {(kind, samples.sha256(text), len(text)) for kind, text in STATEMENTS.items()}
    assert {(entry.predicate, entry.digest, entry.size_bytes) for entry in attestations} == statements
    assert summary(attested(tmp_path / "other", about="sha256:" + "0" * 64)).attestations == ()


FAULTS = {"lacks": ("archive.statement_missing", "name"), "wrong": ("archive.digest", "digest")}


@pytest.mark.parametrize("fault", FAULTS)
def test_one_that_is_missing_or_changed_is_an_error(tmp_path, fault):
    code, field = FAULTS[fault]
    path, statement = attested(tmp_path, **{fault: STATEMENTS[SPDX]}), {field: samples.sha256(STATEMENTS[SPDX])}
    with open_archive(path) as archive, raises(ArchiveError, code, **statement):
        archive.attestations()


def test_a_manifest_that_names_a_lone_surrogate_is_one_error(tmp_path):
    path = samples.tar(tmp_path / "x.tar", samples.listed("\ud800", "\udc00", tag=None))
    with raises(ArchiveError, "archive.config_missing"):
        analyse(path)
