"""The demo's own Dockerfiles on pools of daemons: with stand-ins sent along, secrets, ssh and cache mounts, and the digests of one
daemon; also if everything goes wrong at once.
"""

import contextlib
import json
import re
import shutil
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from deadweight.project.load_suite import load_suite
from deadweight_pool.endpoint import wording
from tests.support import ROOT
from tests.support.builder_site import demo
from tests.support.buildkit_world import LOCAL, NETWORKS, OLDER_BUILDKIT, built as program, daemons, disturbed, up
from tests.support.certificates import authority
from tests.support.invoking import invoke
from tests.support.pool_project import endpoint, noted
from tests.support.relay import port_of, proxying, serving

pytestmark = [pytest.mark.pool, pytest.mark.tools, pytest.mark.system]

NAMES = ("good", "line", "killed", "frozen", "full", "older", "here")


def ladder() -> tuple[str, ...]:
    """The names of all of them."""
    return tuple(entry.name for entry in load_suite(ROOT / "deadweight.yaml").variants if entry.builder == "dockerfile")


def built(root: Path, pool: dict[str, Any], names: Iterable[str], proxy: str) -> dict[str, Any]:
    """``invoke build`` of these variants; ``proxy`` leads out of networks that lead nowhere, and no daemon is asked through it."""
    file = root.with_suffix(".yaml")
    file.write_text(yaml.safe_dump(pool))
    words = [word for name in names for word in ("--variant", name)]
    proxies = {"HTTPS_PROXY": proxy, "NO_PROXY": f"{NETWORKS},localhost,127.0.0.1"}
    env = {"DEADWEIGHT_POOL": str(file), "DEADWEIGHT_SOURCE": "local", **proxies}
    return dict(json.loads(invoke(root, "build", *words, "--json", code=0, env=env, timeout=3000).stdout)["variants"])


@contextlib.contextmanager
def way_out(host: str) -> Iterator[str]:
    """A proxy for HTTPS at this address, for networks that reach this machine and nothing else."""
    with serving(lambda: proxying(host)) as (server, _):
        yield f"http://{host}:{port_of(server)}"


def digests(variants: dict[str, Any]) -> dict[str, str]:
    return {name: variant["manifest_digest"] for name, variant in variants.items()}


def when_it_builds(name: str, log: Path, do: Callable[[], None], done: threading.Event) -> threading.Thread:
    """Do something a moment after the pool gave that endpoint its first work."""

    def watch() -> None:
        while not done.wait(0.2):
            if log.is_file() and re.search(noted("journal.goes", endpoint=name, why=".+"), log.read_text()):
                time.sleep(3.0)
                do()
                return

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


def test_the_ladder_is_built_whatever_becomes_of_the_machines(tmp_path):
    """Of seven endpoints one is killed in the midst of a build, one freezes, one has a full disk, one refuses the certificate,
    one is of the minor release before, one is behind a bad line; one alone has nothing wrong with it."""
    names = ladder()
    authority(tmp_path / "strange", {"client": [LOCAL]})
    with daemons(tmp_path / "bk", NAMES) as fleet:
        fleet["full"].disk_bytes = 64 * 2**20
        fleet["older"].program = program(OLDER_BUILDKIT, tmp_path / "build.log")
        up(fleet)["full"].fill(left_bytes=2**20)
        with way_out(fleet["good"].home) as proxy, disturbed(fleet["line"], delay_seconds=0.02, loss=0.01) as line:
            endpoints = {name: endpoint(fleet[name], places=1) for name in NAMES[:-1]}
            endpoints["line"]["address"] = line
            strange = {"cert": str(tmp_path / "strange/client.pem"), "key": str(tmp_path / "strange/client.key")}
            endpoints["stranger"] = endpoint(fleet["good"], **strange)
            root = demo(tmp_path / "far", "pool-ladder")
            log, done = root / ".deadweight/logs/pool.log", threading.Event()
            faults = [
                when_it_builds("killed", log, fleet["killed"].kill, done),
                when_it_builds("frozen", log, lambda: fleet["frozen"].signal(signal.SIGSTOP), done),
            ]
            try:
                far = built(root, {"endpoints": endpoints, "lost_after_seconds": 8.0}, names, proxy)
            finally:
                done.set()
                for fault in faults:
                    fault.join()
                fleet["frozen"].signal(signal.SIGCONT)
            # what one daemon of this machine builds, with the same generated secrets
            alone = demo(tmp_path / "near", "pool-ladder")
            shutil.copytree(root / ".deadweight/keys", alone / ".deadweight/keys")
            here = {"here": {"address": f"unix://{fleet['here'].folder}/buildkitd.sock", "places": 2}}
            same = digests(built(alone, {"endpoints": here}, names, proxy))
    text = log.read_text()
    print(text)
    assert set(far) == set(names)
    older = {name for name, variant in far.items() if variant["built_on"].startswith("older ")}
    differ = {name for name, digest in digests(far).items() if digest != same[name]}
    print("built by the older release:", sorted(older), "with other bytes:", sorted(differ))
    assert differ <= older
    for name, why in (("killed", ""), ("frozen", wording("endpoint.silent")), ("full", wording("endpoint.full"))):
        assert f" {wording('journal.is_lost', endpoint=name, reason=why)}" in text
    refused = wording("journal.unused", reason=wording("endpoint.not_accepted"))
    assert re.search(rf" stranger \(\S+\) {re.escape(refused)}", text)
    assert re.search(noted("journal.versions", versions=r"0\.33\.1, .+"), text)
    assert _twice(text) == {}


def _twice(log: str) -> dict[str, int]:
    """Variants that were begun more often than endpoints were lost under them, or were slow with them."""
    begun = Counter(re.findall(rf" (\S+): {noted('journal.goes', endpoint='.+', why='.+')}", log))
    slow = noted("journal.goes", endpoint=".+", why=noted("journal.slow", endpoint=".+", seconds=".+"))
    faults = (noted("journal.lost", endpoint=".+", reason=""), noted("journal.disk", endpoint=".+"), slow)
    gone = Counter(re.findall(rf" (\S+): (?:{'|'.join(faults)})", log))
    return {name: times for name, times in begun.items() if times > 1 + gone[name]}
