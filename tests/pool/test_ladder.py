"""The demo's own Dockerfiles on a pool: with stand-ins sent along, secrets, ssh and cache mounts, and the digests of one daemon."""

from __future__ import annotations

import pytest

from tests.support.buildkit_world import daemons, disturbed
from tests.support.demo_ladder import built, ladder, project, same_secrets, way_out
from tests.support.pool_project import endpoint

pytestmark = [pytest.mark.pool, pytest.mark.tools, pytest.mark.system]


def test_a_pool_gives_the_images_of_one_daemon(tmp_path):
    """One of the three is behind a line that is slow and loses packets."""
    names = ladder()
    with daemons(tmp_path / "bk", ("a", "b", "c", "here")) as found:
        for each in found.values():
            each.start()
        for each in found.values():
            each.ready()
        with (
            way_out(found["a"].home) as proxy,
            disturbed(found["b"], delay_seconds=0.02, loss=0.01) as line,
        ):
            three = {name: endpoint(found[name]) for name in "abc"}
            three["b"] = endpoint(found["b"], address=line)
            far = built(project(tmp_path / "far"), {"endpoints": three}, names, proxy)
            here = {"here": {"address": f"unix://{found['here'].folder}/buildkitd.sock", "places": 4}}
            near = built(same_secrets(tmp_path / "near", tmp_path / "far"), {"endpoints": here}, names, proxy)
    assert set(far) == set(names)
    assert {name: each["manifest_digest"] for name, each in far.items()} == {
        name: each["manifest_digest"] for name, each in near.items()
    }
    log = (tmp_path / "far/.deadweight/logs/pool.log").read_text()
    assert sum(" was built on " in line for line in log.splitlines()) == len(far)
