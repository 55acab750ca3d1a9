"""An engine that takes requests and is silent, as a paused one does: it is waited for once, and no removal waits for it again."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from deadweight import _run
from deadweight._errors import MissingError
from deadweight.engine import client
from deadweight.engine.api import Endpoint
from deadweight.engine.client import Engine
from deadweight.engine.faults import translated
from tests.support.codes import raises
from tests.support.pretended_engine import Pretended, pretended

LONG = 20
"""Seconds: far more than a test may take."""


@pytest.fixture
def silent(tmp_path) -> Iterator[Pretended]:
    with pretended(tmp_path) as server:
        yield server


@pytest.fixture
def engine(silent, monkeypatch) -> Engine:
    monkeypatch.setattr(client, "PAUSED_SECONDS", 0.2)
    return Engine.connect(silent.host)


def ask(engine: Engine) -> None:
    with translated("list"):
        engine.api.containers()


def test_it_is_waited_for_once(engine, silent, monkeypatch):
    monkeypatch.setattr(client, "ANSWER_SECONDS", 0.5)
    silent.awake.clear()
    with raises(MissingError, "engine.no_answer_in_time", action="list"):
        ask(engine)
    monkeypatch.setattr(client, "ANSWER_SECONDS", LONG)
    before = time.monotonic()
    for _ in range(3):
        with raises(MissingError, "engine.no_answer_in_time", action="list"):
            ask(engine)
    assert time.monotonic() - before < LONG
    silent.awake.set()
    engine.ask()
    assert engine.api not in client._paused


@pytest.mark.parametrize("ending", [False, True], ids=["at any time", "after Ctrl-C"])
def test_one_look_keeps_removals_from_waiting(engine, silent, monkeypatch, ending):
    """An attack has dozens of containers, which are removed one after another: once the run is to end, each waits a moment only."""
    monkeypatch.setattr(client, "ANSWER_SECONDS", LONG)
    silent.awake.clear()
    client.look(engine.api)
    if ending:
        monkeypatch.setattr(client, "PAUSED_SECONDS", LONG)
        monkeypatch.setattr(client, "ENDING_SECONDS", 0.05)
        monkeypatch.setattr(_run, "_cancelled", True)
    before = time.monotonic()
    for name in ("x", "y", "z"):
        with raises(MissingError, "engine.no_answer_in_time", action="remove"), translated("remove"):
            engine.api.remove_container(name)
    assert time.monotonic() - before < LONG


def test_who_did_not_want_to_wait_calls_nobody_paused(engine, silent):
    silent.awake.clear()
    with raises(MissingError, "engine.no_answer_in_time", action="wait"), translated("wait"):
        engine.api.wait("x", timeout=0.2)
    assert engine.api not in client._paused


def test_a_worker_that_waits_is_let_go_of_soon_after_ctrl_c(engine, silent, monkeypatch):
    """The main thread is woken by the signal itself; nothing wakes another that reads."""
    monkeypatch.setattr(client, "ANSWER_SECONDS", LONG)
    silent.awake.clear()
    before = time.monotonic()
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(ask, engine)
        time.sleep(0.1)
        assert not asked.done()
        monkeypatch.setattr(_run, "cancelled", lambda: True)
        with raises(MissingError, "engine.no_answer_in_time", action="list"):
            asked.result()
    assert time.monotonic() - before < LONG
    assert engine.api not in client._paused, "removals then have their usual time"


@pytest.mark.engine
def test_a_client_whose_engine_falls_silent_is_ended(silent, monkeypatch):
    """As one that builds, and would wait for hours."""
    monkeypatch.setattr(client, "EVERY_SECONDS", 0.1)
    monkeypatch.setattr(client, "ANSWER_SECONDS", 0.2)
    monkeypatch.setattr(client, "PAUSED_SECONDS", 0.2)
    endpoint = Endpoint(silent.host, ours=False)
    with client.watch_engine(endpoint) as stop:
        _run.run(["sleep", "0.5"], stop=stop)
    silent.awake.clear()
    before = time.monotonic()
    with raises(MissingError, "engine.fell_silent", host=silent.host), client.watch_engine(endpoint) as stop:
        _run.run(["sleep", str(LONG)], stop=stop)
    assert time.monotonic() - before < LONG
