"""What an earlier look left in the cache must not change what a later one says; and layers that are read side by side."""

import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from deadweight._errors import ArchiveError
from deadweight_images.archive.documents import Running
from deadweight_images.inspect.analyse import analyse
from deadweight_images.inspect.stream import analyse_stream
from tests.support import image_samples as samples
from tests.support.codes import raises
from tests.support.image_samples import honest_layer as layer
from tests.support.image_samples import saved as image
from tests.support.secret_samples import github_token


def token(seed: int) -> str:
    return github_token(random.Random(seed)).decode()


def config(seed: int) -> bytes:
    return f"github_token = {token(seed)}\n".encode()


LAYERS = (
    layer({"etc": None, "etc/seen.conf": config(1), "etc/gone.conf": config(2)}),
    layer({"etc/.wh.gone.conf": b""}),
)


@pytest.mark.parametrize("scan", ["deep", "hidden"])
def test_a_cache_that_cannot_be_written_costs_no_answer(tmp_path, scan):
    """In a container with a read-only file system, say."""
    archive = image(tmp_path, *LAYERS)
    (tmp_path / "file").write_bytes(b"where the cache should be")
    expected = analyse(archive, scan=scan)
    assert analyse(archive, scan=scan, cache_dir=tmp_path / "file") == expected
    with archive.open("rb") as stream:
        assert analyse_stream(stream, scan=scan, cache_dir=tmp_path / "file") == expected


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_hidden_content_is_the_same_after_a_deep_look(tmp_path, compression):
    archive = image(tmp_path, *LAYERS, compression=compression)
    fresh = analyse(archive, scan="hidden", cache_dir=tmp_path / "fresh")
    assert analyse(archive, scan="deep", cache_dir=tmp_path / "used").counted_secrets == 2
    (tmp_path / "used" / "reports").rename(tmp_path / "reports-away")
    again = analyse(archive, scan="hidden", cache_dir=tmp_path / "used")
    assert fresh.counted_secrets == again.counted_secrets == 1
    assert again == fresh


def test_each_form_of_a_layer_is_known_for_itself(tmp_path):
    cache = tmp_path / "cache"
    packed = image(tmp_path, *LAYERS, name="packed.tar", compression="gzip")
    plain = image(tmp_path, *LAYERS, name="plain.tar")
    for archive in (packed, plain, packed):
        known, fresh = analyse(archive, cache_dir=cache), analyse(archive)
        assert known == fresh
        (cache / "reports").rename(tmp_path / f"reports-{archive.name}-{random.random()}")
    with plain.open("rb") as stream:
        assert analyse_stream(stream, cache_dir=cache) == analyse(plain)


def test_a_layer_that_is_there_twice_is_hidden_once_here_once_there(tmp_path):
    """The same layer twice: the first time one file of it is hidden, the second time another."""
    twice = layer({"a.conf": config(3), "b.conf": config(4)})
    archive = image(tmp_path, twice, layer({".wh.a.conf": b""}), twice, layer({".wh.b.conf": b""}))
    found = analyse(archive, scan="hidden")
    deep = analyse(archive, scan="deep")
    assert found.hidden == deep.hidden
    assert {file.path for file in found.hidden if file.secrets} == {"/a.conf", "/b.conf"}


@pytest.mark.parametrize("scan", ["deep", "hidden", "no"])
def test_a_layer_that_only_claims_to_be_another_is_not_passed_over(tmp_path, scan):
    """One diff-id for two layers: neither is taken on trust, even where an earlier look knows that diff-id."""
    honest, forged = layer({"a.conf": b"nothing"}), layer({"a.conf": config(3)})
    two = samples.build(honest, honest)
    cache = tmp_path / "cache"
    analyse(samples.docker_save(tmp_path / "honest.tar", two), scan=scan, cache_dir=cache)
    for number, stored in enumerate(((forged, honest), (honest, forged))):
        path = samples.docker_save(tmp_path / f"{number}.tar", replace(two, stored=stored))
        with pytest.raises(ArchiveError) as caught:
            analyse(path, scan=scan, cache_dir=cache)
        assert caught.value.code in ("archive.diff_id", "archive.changed")
        assert caught.value.fields["what"] == f"{path}: layer {number + 1}"
    packed = replace(two, stored=(samples.packed(honest, "gzip"), samples.packed(honest, "zstd")))
    assert analyse(samples.docker_save(tmp_path / "packed.tar", packed), scan=scan).files == 1


def test_secrets_of_layers_read_side_by_side_stay_with_their_layer(tmp_path):
    """In a stream the next layer is read while threads still look through the one before."""
    layers = [layer({f"{number}.conf": config(number) + bytes(200_000)}) for number in range(12)]
    archive = image(tmp_path, *layers, compression="gzip")
    with archive.open("rb") as stream:
        report = analyse_stream(stream)
    where = {secret.path: secret.layer for secret in report.secrets}
    assert where == {f"/{number}.conf": samples.sha256(data) for number, data in enumerate(layers)}


@pytest.mark.parametrize("scan", ["deep", "plain", "hidden", "no"])
@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_a_wrong_digest_is_an_error_in_every_mode(tmp_path, scan, compression):
    built = samples.build(*LAYERS, compression=compression)
    other = samples.build(layer({"other": b"x"}), LAYERS[1], compression=compression)
    archive = samples.docker_save(tmp_path / "x.tar", replace(built, stored=other.stored))
    with raises(ArchiveError, "archive.diff_id", diff_id=samples.sha256(LAYERS[0])):
        analyse(archive, scan=scan, cache_dir=tmp_path / "cache")
    assert not list((tmp_path / "cache").rglob("*.json"))


@pytest.mark.parametrize("size", [0, 1, 1 << 20, (5 << 20) + 7])
def test_a_running_digest_is_that_of_the_whole(size):
    data = random.Random(5).randbytes(size)
    with ThreadPoolExecutor(1) as thread:
        running = Running(thread)
        for start in range(0, size, 100_003):
            running.add(data[start : start + 100_003])
        assert running.result() == samples.sha256(data)


def test_an_error_in_the_digests_thread_is_not_lost():
    with ThreadPoolExecutor(1) as thread:
        running = Running(thread)
        running.add(memoryview(bytearray(b"x" * 100))[::2])  # not contiguous: no digest can be made of it
        with pytest.raises(BufferError):
            running.result()
