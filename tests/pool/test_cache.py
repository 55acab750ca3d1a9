"""Layers are exported only where what was exported is used."""

from __future__ import annotations

from deadweight.suite.pool import PoolCache
from deadweight_pool.dockerfile import UNUSED, Listener, Notes, Uses, after, exports, words

CACHE = PoolCache.model_validate(
    {
        "import": ["type=registry,ref=r.example.com/c:{service}"],
        "export": "type=registry,ref=r.example.com/c:{service},mode=max",
    }
)


def test_imports_are_always_there():
    assert words(CACHE, variant="cart.today", service="cart", export=False) == [
        "--import-cache", "type=registry,ref=r.example.com/c:cart",
    ]  # fmt: skip
    assert words(CACHE, variant="one", service="", export=True)[2:] == [
        "--export-cache", "type=registry,ref=r.example.com/c:one,mode=max,ignore-error=true",
    ]  # fmt: skip
    assert words(PoolCache(), variant="one", service="", export=True) == []


def test_exports_that_nothing_uses_end(tmp_path):
    notes = Notes(tmp_path)
    for _ in range(UNUSED):
        assert exports(CACHE, notes.of("v"), "a")
        notes.built("v", "a", found=False, exported=True)
    assert not exports(CACHE, notes.of("v"), "a")
    assert exports(CACHE, notes.of("v"), "b")  # another endpoint builds it now
    notes.built("v", "b", found=True, exported=False)  # and what a exported was there
    assert notes.of("v") == Uses(("a", "b"), unused=0, used=1)
    assert exports(CACHE, notes.of("v"), "a")


def test_layers_that_an_endpoint_has_itself_prove_nothing():
    uses = after(Uses(("a",), unused=2), "a", found=True, exported=True)
    assert uses == Uses(("a",), unused=3)


def test_always_and_never():
    used_up = Uses(("a",), unused=99)
    assert exports(CACHE.model_copy(update={"when": "always"}), used_up, "a")
    assert not exports(CACHE.model_copy(update={"when": "never"}), Uses(), "a")
    assert not exports(PoolCache(), Uses(), "a")


def test_whoever_wants_a_build_to_fail_with_its_cache_says_so():
    strict = CACHE.model_copy(update={"export": "type=s3,region=r,bucket=b,ignore-error=false"})
    assert words(strict, variant="one", service="", export=True)[-1] == "type=s3,region=r,bucket=b,ignore-error=false"


def test_why_a_cache_was_not_written_is_heard_among_all_lines():
    lines: list[str] = []
    heard = Listener(lines.append)
    said = [
        "#4 [2/2] RUN make", "#4 ERROR: canceled", "#7 exporting cache to Amazon S3", "#7 sending cache export",
        "#5 ERROR: not of the cache", "#7 ERROR: failed to check file presence in cache: connection refused",
    ]  # fmt: skip
    for line in said:
        heard(line)
    assert lines == said
    assert heard.failed == "failed to check file presence in cache: connection refused"
