"""A service that fails some of its starts proves nothing: how often a search notices, counted over thousands of pretended ones."""

import itertools
import random
import signal
import threading
import time
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest

from deadweight import _run, _signals
from deadweight._errors import CheckFailed, Interrupted
from deadweight.checks.runner import in_worker
from deadweight.engine.images import _words
from deadweight.engine.options import RunOptions
from deadweight.suite.checks import HttpRequest
from deadweight.suite.model import Health, Variant
from deadweight_attacks.harden import health_command, search, trial
from deadweight_attacks.harden.trial import NOTHING, Trial
from deadweight_workload.judge import Judge
from deadweight_workload.model import Step, Workload
from tests.support.codes import raises

SEARCHES = 500
REFERENCES = 4
"""Containers in the suite's own posture, before the search."""
NEEDED_BYTES, NEEDED_PIDS = 16 * 2**20, 8


@pytest.fixture
def subject(monkeypatch):
    """A variant whose engine starts nothing."""
    monkeypatch.setattr(health_command, "find_command", lambda *_: ())
    monkeypatch.setattr(search, "asking", lambda subject, _steps: subject)
    monkeypatch.setattr(search, "unenforced", lambda _engine: ())
    monkeypatch.setattr(search, "trial_network", lambda *_: nullcontext("net"))
    images = SimpleNamespace(need=lambda _image: SimpleNamespace(user="", healthcheck=()))
    engine = SimpleNamespace(
        images=images, info=SimpleNamespace(podman=False), owned=lambda _, options: options, dialect=SimpleNamespace(cut_off={})
    )  # fmt: skip
    service = SimpleNamespace(dependencies=lambda _network, _up=None: nullcontext({}))
    return SimpleNamespace(
        variant=Variant(name="v", builder="ko"), engine=lambda: engine, engine_image=lambda: "image", service=service,
        suite=SimpleNamespace(name="s", root=Path()),
    )  # fmt: skip


def searched(subject, monkeypatch, fails: float, seed: int, *, root: bool) -> tuple[str, int]:
    """What it came to (empty: something was found), and how many trials that took."""
    chance, trials = random.Random(seed), []
    steady = REFERENCES if all(chance.random() >= fails for _ in range(REFERENCES)) else 0
    monkeypatch.setattr(
        Judge, "begun", lambda _subject, say, hosts: Judge(subject, Workload(()), (), hosts, say, steady)
    )

    def attempt(_subject, options, _exits, **_more):
        trials.append(options)
        if (options.memory_bytes or 2**40) < NEEDED_BYTES or (options.pids or 2**20) < NEEDED_PIDS:
            return Trial("too little")
        if root and options.user != trial.ROOT:
            return Trial("only as root")
        return Trial("wavers" if chance.random() < fails else "", str(options.user), NOTHING)

    monkeypatch.setattr(search, "attempt", attempt)
    try:
        search._tightest(subject, lambda _line: None)
    except CheckFailed as error:
        return error.code, len(trials)
    return "", len(trials)


@pytest.mark.slow
@pytest.mark.parametrize("root", [False, True])
def test_a_service_that_fails_three_starts_of_ten_is_told_so(subject, monkeypatch, root):
    codes = [searched(subject, monkeypatch, 0.3, seed, root=root)[0] for seed in range(SEARCHES)]
    assert sum(not code for code in codes) < 0.02 * SEARCHES
    assert codes.count("harden.wavers") > 0.96 * SEARCHES


@pytest.mark.parametrize(("root", "most"), [(False, 12), (True, 16)])
def test_a_steady_service_costs_few_trials_more(subject, monkeypatch, root, most):
    code, trials = searched(subject, monkeypatch, 0.0, 1, root=root)
    assert (code, trials) == ("", most)


def asked_for(subject, monkeypatch, source: str, problems, enough_bytes: int = 2**40) -> None:
    """One request for metrics, with these problems one after another where a trial has less memory than ``enough_bytes``."""
    step = Step("metrics", "GET /metrics", HttpRequest(path="/metrics"), source=source)
    api = [step.check()]

    def asking(subject, steps):
        api[:] = [one.check() for one in steps]
        return subject

    def attempt(_subject, options, _exits, **_more):
        problem = next(problems) if api and options.memory_bytes < enough_bytes else ""
        return Trial(problem, "1:1", request=problem and "metrics")

    subject.variant = subject.variant.model_copy(update={"checks": SimpleNamespace(api=api)})
    monkeypatch.setattr(search, "asking", asking)
    monkeypatch.setattr(search, "attempt", attempt)
    monkeypatch.setattr(Judge, "begun", lambda _subject, say, hosts: Judge(subject, Workload((step,)), (), hosts, say))


def test_a_request_that_fails_for_want_of_memory_is_not_left_out(subject, monkeypatch):
    memory = subject.variant.run.memory
    asked_for(subject, monkeypatch, "openapi", itertools.cycle(["metrics: no memory", ""]), memory)
    with raises(CheckFailed, "harden.wavers"):
        search._tightest(subject, lambda _line: None)


@pytest.mark.parametrize("source", ["openapi", "suite"])
@pytest.mark.parametrize("problems", [["", "metrics: 29"], ["metrics: 29", "", "metrics: 29"]])
def test_a_request_of_no_suite_that_is_not_answered_alike_is_left_out(subject, monkeypatch, source, problems):
    """One of the suite's is not: nothing can be proven then."""
    asked_for(subject, monkeypatch, source, itertools.cycle(problems))
    if source == "suite":
        with raises(CheckFailed, "harden.wavers"):
            search._tightest(subject, lambda _line: None)
    else:
        result, work = search._tightest(subject, lambda _line: None)
        assert (work.steps, result.options.read_only) == ((), True)


@pytest.mark.usefixtures("cancelling")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_that_another_thread_took_ends_the_search(number):
    """The kernel may choose any thread for it; Python's main thread slept on, and seventeen more containers were made."""
    waited: list[float] = []

    def work() -> None:
        time.sleep(0.5)  # the main thread waits for us by now
        started = time.monotonic()
        signal.pthread_kill(threading.get_ident(), number)
        while not _run.cancelled() and time.monotonic() - started < 20:
            time.sleep(0.05)
        waited.append(time.monotonic() - started)

    with _signals.heeded(), pytest.raises(KeyboardInterrupt):
        in_worker(work)
    assert waited[0] < 2


@pytest.mark.usefixtures("cancelling")
def test_of_many_trials_at_once_none_is_begun_after_an_interrupt(subject, monkeypatch):
    """An engine ends the containers that it has; the next trial would start one more."""
    begun = []

    def attempt(_subject, options, _exits, **_more):
        begun.append(options)
        _run.cancel_all()
        return Trial("it was removed")

    monkeypatch.setattr(search, "attempt", attempt)
    with pytest.raises(Interrupted):
        search.Tries(subject, lambda _line: None).believed("all together", RunOptions())
    assert 1 <= len(begun) <= search.AT_ONCE


# Which program of an image's own tells whether the service is well: its own health check, or what is there to ask with.


WGET = ("wget", "-q", "-O", "/dev/null", "http://127.0.0.1:8080/healthz")
OWN = ("/bin/sh", "-c", "test -e /tmp/up")
HTTP = Health(path="/healthz")


@pytest.mark.parametrize(("works", "own", "health", "command"), [
    ({WGET}, (), HTTP, WGET), ({WGET, OWN}, OWN, HTTP, OWN), ({WGET}, OWN, HTTP, WGET), (set(), OWN, HTTP, ()),
    (set(), (), HTTP, ()),
    ({WGET, tuple(word.replace(":8080", ":1") for word in WGET)}, (), HTTP, ()),  # it says yes of a closed port too
    ({("/up",), OWN}, OWN, Health(kind="exec", command=("/up",)), ("/up",)),  # what the suite names comes first
])  # fmt: skip
def test_the_images_own_check_comes_first_where_it_works(works, own, health, command):
    """Under a seccomp profile it may not: an engine runs it all the same, where it is not told otherwise. In this image the
    commands ``works`` end with 0, under whatever it is started."""
    container = SimpleNamespace(
        wait_healthy=lambda *_: SimpleNamespace(healthy=True),
        exec=lambda words, seconds: SimpleNamespace(exit_code=0 if tuple(words) in works else 127),
    )
    images = SimpleNamespace(need=lambda _: SimpleNamespace(healthcheck=own))
    engine = SimpleNamespace(images=images, start=lambda *_, **__: nullcontext(container))
    variant = Variant(name="v", builder="ko", port=8080, health=health)
    subject = SimpleNamespace(variant=variant, engine=lambda: engine, engine_image=lambda: "image")
    assert health_command.find_command(subject, RunOptions()) == command


READ = [(["CMD", "/up", "-q"], ("/up", "-q")), (["CMD-SHELL", "test -e /tmp/up"], OWN), (["NONE"], ()), ([], ())]


@pytest.mark.parametrize(("test", "words"), READ)
def test_a_health_check_of_an_image_is_read_as_the_words_that_run(test, words):
    assert _words(test) == words
