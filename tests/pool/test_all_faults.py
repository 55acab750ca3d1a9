"""The whole demo ladder on a pool in which everything goes wrong at once, with the digests of one daemon.

Of seven endpoints one is killed in the midst of a build, one freezes, one has a full disk, one does not take the certificate, one
is of the minor release before, one is behind a bad line; one alone has nothing wrong with it.
"""

from __future__ import annotations

import re
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from deadweight_pool import wording
from tests.support.buildkit_world import Daemon, authority, daemons, disturbed
from tests.support.demo_ladder import built, ladder, project, same_secrets, way_out
from tests.support.go_programs import OLDER_BUILDKIT
from tests.support.go_programs import built as program
from tests.support.pool_project import endpoint

pytestmark = [pytest.mark.pool, pytest.mark.tools, pytest.mark.system]

NAMES = ("good", "line", "killed", "frozen", "full", "older", "here")
MIDST_SECONDS = 3.0


def when_it_builds(name: str, log: Path, do: Callable[[], None], done: threading.Event) -> threading.Thread:
    """Do something a moment after the pool gave that endpoint its first work."""

    def watch() -> None:
        while not done.wait(0.2):
            if log.is_file() and re.search(rf": goes to {name}\b", log.read_text()):
                time.sleep(MIDST_SECONDS)
                do()
                return

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


def up(found: dict[str, Daemon], log: Path) -> None:
    found["full"].disk_bytes = 64 * 2**20
    found["older"].program = program(OLDER_BUILDKIT, log)
    for each in found.values():
        each.start()
    for each in found.values():
        each.ready()
    found["full"].fill(left_bytes=2**20)


def test_the_ladder_is_built_whatever_becomes_of_the_machines(tmp_path):
    names = ladder()
    (tmp_path / "strange").mkdir()
    authority(tmp_path / "strange", {})
    with daemons(tmp_path / "bk", NAMES) as found:
        up(found, tmp_path / "build.log")
        with way_out(found["good"].home) as proxy, disturbed(found["line"], delay_seconds=0.02, loss=0.01) as line:
            endpoints = {name: endpoint(found[name], places=1) for name in NAMES[:-1]}
            endpoints["line"]["address"] = line
            strange = {"cert": str(tmp_path / "strange/client.pem"), "key": str(tmp_path / "strange/client.key")}
            endpoints["stranger"] = endpoint(found["good"], **strange)
            root = project(tmp_path / "far")
            log, done = root / ".deadweight/logs/pool.log", threading.Event()
            faults = [
                when_it_builds("killed", log, found["killed"].kill, done),
                when_it_builds("frozen", log, lambda: found["frozen"].signal(signal.SIGSTOP), done),
            ]
            try:
                far = built(root, {"endpoints": endpoints, "lost_after_seconds": 8.0}, names, proxy)
            finally:
                done.set()
                for each in faults:
                    each.join()
                found["frozen"].signal(signal.SIGCONT)
            here = {"here": {"address": f"unix://{found['here'].folder}/buildkitd.sock", "places": 2}}
            near = built(same_secrets(tmp_path / "near", root), {"endpoints": here}, names, proxy)
    text = log.read_text()
    print(text)
    assert set(far) == set(names)
    older = {name for name, each in far.items() if each["built_on"].startswith("older ")}
    differ = {name for name, each in far.items() if each["manifest_digest"] != near[name]["manifest_digest"]}
    print("built by the older release:", sorted(older), "with other bytes:", sorted(differ))
    assert differ <= older
    for name, why in (
        ("killed", "is lost: "),
        ("frozen", f"is lost: {wording('endpoint.silent')}"),
        ("full", f"is lost: {wording('endpoint.full')}"),
        ("stranger", f"is not used: {wording('endpoint.not_accepted')}"),
    ):
        assert re.search(rf" {name} (?:\(\S+\) )?{re.escape(why)}", text), (name, why)
    assert "endpoints are of different versions (0.33.1, " in text
    assert _twice(text) == {}


def _twice(log: str) -> dict[str, int]:
    """Variants that were begun more often than endpoints were lost under them, or were slow with them."""
    begun = Counter(re.findall(r" (\S+): goes to ", log))
    gone = Counter(re.findall(r" (\S+): (?:is lost on|found a full disk on|goes to \S+ \(too: )", log))
    return {name: times for name, times in begun.items() if times > 1 + gone[name]}
