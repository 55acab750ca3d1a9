"""A unit test that needs an engine, the network or root fails: what ``pytest --unit`` leaves out, and what it refuses."""

import subprocess
import sys

import pytest

from tests.support import ROOT

GUARDED = "import os, socket, subprocess\nfrom tests.support import unit_guard\nunit_guard.install()\n"


def guarded(code: str) -> subprocess.CompletedProcess[str]:
    """Code in a process of its own: the guard cannot be taken out again."""
    return subprocess.run([sys.executable, "-c", GUARDED + code], cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("socket.create_connection(('192.0.2.1', 80), 1)", "must not reach the network (192.0.2.1)"),
        ("socket.getaddrinfo('example.com', 443)", "must not reach the network (example.com)"),
        ("socket.socket(socket.AF_UNIX).connect('/run/x/docker.sock')", "must not ask a container engine (/run/x/docker.sock)"),
        ("subprocess.run(['docker', 'ps'])", "must not start docker"),
        ("subprocess.run(['/usr/bin/sudo', '-n', 'true'])", "must not start sudo"),
        ("subprocess.run([os.sys.executable, '-m', 'invoke', 'build'])", "must not start invoke"),
    ],
)  # fmt: skip
def test_what_is_no_units_is_refused(code, told):
    done = guarded(code)
    assert done.returncode == 1
    assert f"NotAUnit: a unit test {told}" in done.stderr


def test_loopback_and_small_programs_are_anybodys():
    done = guarded(
        "server = socket.create_server(('127.0.0.1', 0))\n"
        "socket.create_connection(('localhost', server.getsockname()[1]), 5).close()\n"
        "subprocess.run(['true'], check=True)\n"
    )
    assert (done.returncode, done.stderr) == (0, "")
