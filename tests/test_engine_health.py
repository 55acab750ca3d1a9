"""How a service is asked whether it is up, and what it listens on: against real containers."""

from __future__ import annotations

import pytest

from deadweight.engine.listening import Listener, parse, told
from deadweight.engine.options import RunOptions, hardened
from deadweight.suite.model import Health, RunSettings, status_matches

TABLE = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
   1: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
   2: 0B00007F:A001 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
   3: 0100007F:0051 00000000:0000 01 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
  sl  local_address                         remote_address                        st
   0: 00000000000000000000000000000000:1F91 00000000000000000000000000000000:0000 0A 0:0 0:0 0 0 0 1 1 0 1 0
   1: 00000000000000000000000001000000:1F92 00000000000000000000000000000000:0000 0A 0:0 0:0 0 0 0 1 1 0 1 0
"""


def service(mode: str = "good", port: int = 8080) -> RunOptions:
    return hardened(RunSettings(env={"MODE": mode}), port=port)


def test_the_kernels_tables_are_read():
    found = set(parse(TABLE))
    assert found == {
        Listener(8080, "127.0.0.1"),
        Listener(80, "0.0.0.0"),
        Listener(8081, "::"),
        Listener(8082, "::1"),
    }
    assert {each.port for each in found if each.loopback} == {8080, 8082}


@pytest.mark.parametrize(
    ("wanted", "status", "right"),
    [(("2xx",), 204, True), (("2xx",), 404, False), ((404, 503), 503, True), (("2xx", "4xx"), 405, True)],
)
def test_a_status_is_named_by_number_or_class(wanted, status, right):
    assert status_matches(wanted, status) is right


def test_any_status_that_is_named_is_healthy(engine, misbehaving_image):
    with engine.start(misbehaving_image, service("never-healthy")) as container:
        assert container.wait_healthy(Health(status=(200, 503), within_seconds=15)).healthy


def test_a_port_that_takes_connections_is_healthy(engine, misbehaving_image):
    with engine.start(misbehaving_image, service("never-healthy")) as container:
        assert container.wait_healthy(Health(kind="tcp", within_seconds=15)).healthy


def test_a_published_port_behind_which_nobody_listens_is_not(engine, misbehaving_image):
    """The engine's own proxy takes the connection: that is no sign of life."""
    with engine.start(misbehaving_image, service("deaf")) as container:
        found = container.wait_healthy(Health(kind="tcp", within_seconds=1))
    assert not found.healthy
    assert "it listens on no TCP port" in found.reason


def test_a_program_in_the_container_tells_its_health(engine, tools_image):
    options = RunOptions(entrypoint=("/bin/sh", "-c", "sleep 0.3; : > /ready; exec sleep 30"))
    with engine.start(tools_image, options) as container:
        good = Health(kind="exec", command=("/bin/sh", "-c", "ls /ready"), within_seconds=15)
        assert container.wait_healthy(good).healthy
        bad = container.wait_healthy(
            Health(kind="exec", command=("/bin/sh", "-c", "echo no >&2; exit 3"), within_seconds=0.5)
        )
    assert bad.reason == "not healthy within 0.5 s (/bin/sh ended with 3 (no))"


def test_the_port_that_it_really_listens_on_is_told(engine, misbehaving_image):
    with engine.start(misbehaving_image, service(port=9000)) as container:
        assert container.wait_healthy(Health(within_seconds=1)).reason.endswith(
            "; it listens on 8080, port: says 9000: set port: 8080"
        )
        assert [each.port for each in container.listeners()] == [8080]


def test_an_entrypoint_of_the_suite_replaces_the_images_own(engine, tools_image):
    settings = RunSettings(entrypoint=("/bin/sh", "-c", 'echo "$0"'), args=("hello",))
    with engine.start(tools_image, hardened(settings)) as container:
        container.wait_ended(10)
        assert container.logs() == ["hello"]


def test_health_by_a_program_names_one():
    with pytest.raises(ValueError, match="a program to run beside kind: exec"):
        Health(kind="exec")


def test_an_address_that_only_the_container_reaches_is_told(engine, misbehaving_image):
    options = hardened(RunSettings(env={"LISTEN": "127.0.0.1:8080"}), port=8080)
    with engine.start(misbehaving_image, options) as container:
        # through the published port, as everybody but root on this very machine comes
        found = container.wait_healthy(Health(kind="exec", command=("/nothing",), within_seconds=1))
        assert not found.healthy
        assert told(container.listeners(), 8080) == (
            "it listens on 127.0.0.1:8080 only, which nobody outside of the container reaches: bind it to 0.0.0.0"
        )
        assert told(container.listeners(), 80, (80,)).endswith(
            "it listens on 8080, port: says 80: set port: 8080, and bind it to 0.0.0.0 instead of 127.0.0.1"
        )


@pytest.mark.parametrize(
    ("port", "exposed", "said"),
    [
        (8080, (80,), "it listens on 80, 9090, port: says 8080, EXPOSE says 80: set port: 80"),
        (8080, (9090,), "it listens on 80, 9090, port: says 8080, EXPOSE says 9090: set port: 9090"),
        (8080, (), "it listens on 80, 9090, port: says 8080: set port: 80"),
        (9090, (80,), ""),
    ],
)
def test_of_several_ports_the_exposed_one_is_proposed(port, exposed, said):
    assert told([Listener(80, "0.0.0.0"), Listener(9090, "::")], port, exposed) == said


def test_what_expose_says_is_told_where_listeners_cannot_be_seen():
    assert told(None, 8080, (80,)) == "EXPOSE says 80, port: says 8080"
    assert told(None, 8080, (8080,)) == ""


@pytest.mark.parametrize(
    ("mode", "path", "said"),
    [
        ("good", "/no/such/route", "GET /no/such/route answers 404); health.path names another route"),
        ("speechless", "/healthz", "; if it speaks no HTTP: health: {kind: tcp}"),
    ],
)
def test_an_open_port_with_a_wrong_answer_has_a_next_step(engine, misbehaving_image, mode, path, said):
    with engine.start(misbehaving_image, service(mode)) as container:
        assert said.partition(")")[0] in container.wait_healthy(Health(path=path, within_seconds=1)).reason
        assert said.rpartition("; ")[2] in container.wait_healthy(Health(path=path, within_seconds=1)).reason
