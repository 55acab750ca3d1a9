"""Who builds what: pure judgement over endpoints that nobody asks."""

import contextlib
import threading
import time
from concurrent.futures import Future
from unittest.mock import Mock

import pytest

from deadweight._errors import CommandError, Interrupted
from deadweight.suite.model import PoolCache
from deadweight_pool import dispatch
from deadweight_pool.dockerfile import UNUSED, Listener, Notes, Uses, exports, words
from deadweight_pool.endpoint import Endpoint, Seen, ranked, wording
from deadweight_pool.pool import judge_fault
from tests.support.codes import codes, raises

AMD, ARM = "linux/amd64", "linux/arm64"


def member(name: str, *, places: int = 1, platforms=(AMD,), wanted=()) -> tuple[Endpoint, Seen]:
    return Endpoint(name, f"tcp://{name}:1", (), {}, wanted, places), Seen("0.34.2", platforms)


def made(*members: tuple[Endpoint, Seen], clock: Mock | None = None) -> dispatch.Dispatcher:
    return dispatch.Dispatcher({pair[0].name: pair for pair in members}, clock=clock or Mock(return_value=0.0))


def work(variant: str, key: str = "k", platform: str = AMD, seconds: float = 0.0) -> dispatch.Work:
    return dispatch.Work(variant, key, platform, seconds)


def key_of(home: str, after: str = "-1") -> str:
    """A key whose home is this one of ``two``."""
    return next(str(number) for number in range(int(after) + 1, 1000) if ranked(str(number), ("a", "b"))[0] == home)


BEGUN, OTHER = key_of("a"), key_of("b")
FRESH = key_of("a", after=BEGUN)


@pytest.fixture
def clock() -> Mock:
    return Mock(return_value=0.0)


@pytest.fixture
def two(clock) -> dispatch.Dispatcher:
    """Over two endpoints, with a place each."""
    return made(member("a"), member("b"), clock=clock)


def waiting(dispatcher: dispatch.Dispatcher, wanted: dispatch.Work) -> Future[str]:
    """Where somebody gets a place who waits for one from now on."""
    got = Future[str]()

    def take() -> None:
        with contextlib.suppress(Interrupted):  # it waits in vain, until another test ends all that waits
            got.set_result(dispatcher.take(wanted).endpoint.name)

    before = len(dispatcher._waiting)
    threading.Thread(target=take, daemon=True).start()
    while len(dispatcher._waiting) == before:
        time.sleep(0.01)
    return got


def test_only_the_keys_of_a_lost_endpoint_move():
    names = [f"e{number}" for number in range(7)]
    keys = [str(number) for number in range(700)]
    before = {key: ranked(key, names)[0] for key in keys}
    after = {key: ranked(key, names[1:])[0] for key in keys}
    assert {key for key in keys if before[key] != after[key]} == {key for key in keys if before[key] == "e0"}
    assert all(50 < list(before.values()).count(name) < 150 for name in names)


def test_what_shares_a_key_goes_home():
    dispatcher = made(member("a", places=3), member("b", places=3))
    assert {dispatcher.take(work(f"v{number}")).endpoint.name for number in range(3)} == {ranked("k", ["a", "b"])[0]}


def test_a_platform_is_matched_strictly():
    both = member("both", platforms=(AMD, ARM), wanted=(AMD,))
    dispatcher = made(member("amd", platforms=(AMD, "linux/amd64/v2")), both)
    with raises(dispatch.NobodyLeft, "build.no_endpoint", variant="v", platform=ARM):
        dispatcher.take(work("v", platform=ARM))
    dispatcher.regain(*member("arm", platforms=(ARM,)))
    assert dispatcher.take(work("v", platform=ARM)).endpoint.name == "arm"


def test_nobody_is_idle_while_another_has_more_than_its_share(two, clock):
    assert two.take(work("first", BEGUN)).endpoint.name == "a"
    second = waiting(two, work("second", BEGUN))
    time.sleep(0.3)
    assert not second.done()  # what comes in a burst has not all come
    clock.return_value = dispatch.SETTLE_SECONDS
    assert second.result(10) == "b"


def test_a_free_endpoint_takes_a_key_that_nobody_has_begun_first(two, clock):
    assert two.take(work("one", BEGUN)).endpoint.name == "a"
    assert two.take(work("other", OTHER)).endpoint.name == "b"
    warm, cold = (waiting(two, work(name, key)) for name, key in (("warm", BEGUN), ("cold", FRESH)))
    clock.return_value = 1.0
    two.free("b", work("other", OTHER), 1.0)
    assert (cold.result(10), warm.done()) == ("b", False)
    two.free("a", work("one", BEGUN), 1.0)
    assert warm.result(10) == "a"


def test_a_key_stays_where_it_was_taken(two, clock):
    """Its other variants find its layers there."""
    assert two.take(work("busy", BEGUN)).endpoint.name == "a"
    clock.return_value = 1.0
    one = waiting(two, work("one", FRESH))
    clock.return_value = 2.0
    assert one.result(10) == "b"
    two.free("b", work("one", FRESH), 1.0)
    two.free("a", work("busy", BEGUN), 1.0)
    assert two.take(work("two", FRESH)).endpoint.name == "b"
    two.lose("b", wording("endpoint.silent"))
    assert two.take(work("three", FRESH)).endpoint.name == "a"


def test_who_waits_for_a_lost_endpoint_goes_elsewhere(two):
    two.take(work("one", BEGUN))
    assert two.lose("a", wording("endpoint.full")) is True
    assert two.lose("a", wording("endpoint.silent")) is False
    assert (codes(two.lost["a"]), two.take(work("two", BEGUN)).endpoint.name) == (["endpoint.full"], "b")
    two.free("a", work("one", BEGUN), 1.0)  # it ends late, and nothing happens


def test_a_slow_endpoint_is_told_by_what_others_took(two):
    slow = work("slow", BEGUN, seconds=4.0)
    quick = work("quick", OTHER)
    two.take(slow)
    two.take(quick)
    two.free("b", quick, 0.5)
    assert two.second(slow, "a", 7.9) is None
    assert two.second(work("strange", BEGUN), "a", 29.0) is None  # of this one nobody knows better
    assert two.second(slow, "a", 8.1).endpoint.name == "b"
    assert two.second(slow, "a", 9.0) is None  # it has no place left


def test_nobody_builds_twice_while_others_wait(two):
    two.take(work("slow", BEGUN, seconds=1.0))
    waiting(two, work("next", BEGUN))
    assert two.second(work("slow", BEGUN, seconds=1.0), "a", 100.0) is None


# Whose fault a failed build is, by what buildctl really says (0.34.2).
RUN = 'error: failed to solve: process "/worker" did not complete successfully: exit code: 3'


@pytest.mark.parametrize(("tail", "fault"), [
    ([RUN], "build"),
    (["#7 0.1 error: rpc error: code = Unavailable desc = connection refused", RUN], "build"),
    (["#7 0.1 write /x: no space left on device", RUN], "perhaps disk"),
    (["error: failed to solve: write /root/x: no space left on device"], "disk"),
    (["error: failed to solve: ResourceExhausted: failed to copy files: write: no space left on device"], "disk"),
    (["error: failed to receive status: Unavailable: error reading from server: EOF"], "lost"),
    (['error: failed to list workers: Unavailable: connection error: desc = "transport: x"'], "lost"),
    (["error: failed to solve: Canceled: context canceled"], "lost"),
    (["error: failed to solve: dockerfile parse error on line 2: unknown instruction: RUNN"], "build"),
    (["error: failed to solve: go:x: failed to resolve source metadata: docker.io/library/go:x: not found"], "build"),
    ([], "build"),
    (None, "lost"),  # it was ended
])  # fmt: skip
def test_what_buildctl_says(tail, fault):
    code = None if tail is None else 1
    assert judge_fault(CommandError(["buildctl"], exit_code_of_command=code, reason="failed", tail=tail or [])) == fault


# Layers are exported only where what was exported is used.
WHERE = "type=registry,ref=r.example.com/c:{service}"
CACHE = PoolCache.model_validate({"import": [WHERE], "export": f"{WHERE},mode=max"})


def test_imports_are_always_there():
    imported = words(CACHE, variant="cart.today", service="cart", export=False)
    exported = "type=registry,ref=r.example.com/c:one"
    assert imported == ["--import-cache", "type=registry,ref=r.example.com/c:cart"]
    assert words(CACHE, variant="one", service="", export=True)[2:] == [
        "--export-cache", f"{exported},mode=max,ignore-error=true",
    ]  # fmt: skip
    assert words(PoolCache(), variant="one", service="", export=True) == []
    strict = CACHE.model_copy(update={"export": f"{exported},ignore-error=false"})  # a build is to fail with its cache
    assert words(strict, variant="one", service="", export=True)[-1] == strict.export


def test_exports_that_nothing_uses_end(tmp_path):
    notes = Notes(tmp_path)
    for _ in range(UNUSED):
        assert exports(CACHE, notes.of("v"), "a")
        notes.built("v", "a", cached=False, exported=True)
    assert not exports(CACHE, notes.of("v"), "a")
    assert exports(CACHE, notes.of("v"), "b")  # another endpoint builds it now
    notes.built("v", "b", cached=True, exported=False)  # and what a exported was there
    assert notes.of("v") == Uses(("a", "b"), unused=0, used=1)
    assert exports(CACHE, notes.of("v"), "a")


def test_layers_that_an_endpoint_has_itself_prove_nothing(tmp_path):
    notes = Notes(tmp_path)
    notes.built("v", "a", cached=False, exported=True)
    notes.built("v", "a", cached=True, exported=True)
    assert notes.of("v") == Uses(("a",), unused=2)


def test_always_and_never():
    assert exports(CACHE.model_copy(update={"when": "always"}), Uses(("a",), unused=99), "a")
    assert not exports(CACHE.model_copy(update={"when": "never"}), Uses(), "a")
    assert not exports(PoolCache(), Uses(), "a")


def test_why_a_cache_was_not_written_is_heard_among_all_lines():
    lines: list[str] = []
    heard = Listener(lines.append)
    output = [
        "#4 [2/2] RUN make", "#4 ERROR: canceled", "#7 exporting cache to Amazon S3", "#7 sending cache export",
        "#5 ERROR: not of the cache", "#7 ERROR: failed to check file presence in cache: connection refused",
    ]  # fmt: skip
    for line in output:
        heard(line)
    assert (lines, heard.failed) == (output, "failed to check file presence in cache: connection refused")
