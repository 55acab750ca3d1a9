"""Which program of an image's own tells whether the service is well: its own health check, or what is there to ask with."""

from __future__ import annotations

import contextlib
from types import SimpleNamespace

import pytest

from deadweight.engine.images import _words
from deadweight.engine.options import RunOptions
from deadweight.suite.model import Health, Variant
from deadweight_attacks.harden import asks

URL = "http://127.0.0.1:8080/healthz"
WGET = ("wget", "-q", "-O", "/dev/null", URL)
OWN = ("/bin/sh", "-c", "test -e /tmp/up")


def subject(works, own=(), health=None) -> SimpleNamespace:
    """An image in which the commands ``works`` end with 0, under whatever it is started."""
    container = SimpleNamespace(
        wait_healthy=lambda *_: SimpleNamespace(healthy=True),
        exec=lambda words, seconds: SimpleNamespace(exit_code=0 if tuple(words) in works else 127),
    )
    engine = SimpleNamespace(
        images=SimpleNamespace(need=lambda _: SimpleNamespace(healthcheck=own)),
        start=lambda *_, **__: contextlib.nullcontext(container),
    )
    variant = Variant(name="v", builder="ko", port=8080, health=health or Health(path="/healthz"))
    return SimpleNamespace(variant=variant, engine=lambda: engine, engine_image=lambda: "image")


@pytest.mark.parametrize(
    ("works", "own", "found"),
    [
        ({WGET}, (), WGET),
        ({WGET, OWN}, OWN, OWN),
        ({WGET}, OWN, WGET),
        (set(), OWN, ()),
        (set(), (), ()),
    ],
)
def test_the_images_own_check_comes_first_where_it_works(works, own, found):
    """Under a seccomp profile it may not: an engine runs it all the same, where it is not told otherwise."""
    assert asks.found(subject(works, own), RunOptions()) == found


def test_what_says_yes_of_a_closed_port_too_tells_nothing():
    closed = tuple(word.replace(":8080", ":1") for word in WGET)
    assert asks.found(subject({WGET, closed}), RunOptions()) == ()


def test_the_command_that_the_suite_names_comes_before_the_images():
    health = Health(kind="exec", command=("/up",))
    assert asks.found(subject({("/up",), OWN}, OWN, health), RunOptions()) == ("/up",)


@pytest.mark.parametrize(
    ("test", "words"),
    [
        (["CMD", "/up", "-q"], ("/up", "-q")),
        (["CMD-SHELL", "test -e /tmp/up"], OWN),
        (["NONE"], ()),
        ([], ()),
    ],
)
def test_a_health_check_of_an_image_is_read_as_the_words_that_run(test, words):
    assert _words(test) == words
