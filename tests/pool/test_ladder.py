"""The demo's own Dockerfiles on a pool: with stand-ins sent along, secrets, ssh and cache mounts, and the digests of one daemon.

Some of them in every run, all of them in ``nox -s pool``.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from deadweight.project.suite_file import load_suite
from tests.support import ROOT
from tests.support.buildkit_world import daemons
from tests.support.invoking import invoke
from tests.support.pool_project import endpoint

pytestmark = [pytest.mark.tools, pytest.mark.system]

SOME = (
    "insecure-layer-sample",
    "insecure-layer-sample-history",
    "insecure-layer-sample-fixed",
    "insecure-layer-sample-ssh",
)
NEEDS_NETWORK = {"multi-stage-java"}
"""Maven asks its repository, which nobody reaches from the daemons' networks."""


def ladder() -> tuple[str, ...]:
    if os.environ.get("DEADWEIGHT_LADDER") != "whole":
        return SOME
    variants = load_suite(ROOT / "deadweight.yaml").variants
    return tuple(each.name for each in variants if each.builder == "dockerfile" and each.name not in NEEDS_NETWORK)


def project(root: Path) -> Path:
    """The demo under another name, with nothing built."""
    root.mkdir()
    for name in ("build", "src/vulnerable-awk-playground", "src/vulnerable-awk-playground-java"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("target"))
    for name in ("ko.yaml", "melange.yaml", "apko.yaml", "apko-alpine.yaml"):
        shutil.copy(ROOT / name, root / name)
    text = (ROOT / "deadweight.yaml").read_text().replace("name: playground\n", "name: pool-ladder\n")
    (root / "deadweight.yaml").write_text(text)
    (root / "tasks.py").write_text("from deadweight.tasks import namespace as ns\n")
    return root


def built(root: Path, pool: dict[str, Any]) -> dict[str, Any]:
    file = root.with_suffix(".yaml")
    file.write_text(yaml.safe_dump(pool))
    words = [word for name in ladder() for word in ("--variant", name)]
    env = {"DEADWEIGHT_POOL": str(file), "DEADWEIGHT_SOURCE": "local"}
    done = invoke(root, "build", *words, "--json", code=0, env=env, timeout=3000)
    found: dict[str, Any] = json.loads(done.stdout)["variants"]
    return found


def test_a_pool_gives_the_images_of_one_daemon(tmp_path):
    with daemons(tmp_path / "bk", ("a", "b", "c", "here")) as found:
        for each in found.values():
            each.start()
        for each in found.values():
            each.ready()
        far = built(project(tmp_path / "far"), {"endpoints": {name: endpoint(found[name]) for name in "abc"}})
        here = {"here": {"address": f"unix://{found['here'].folder}/buildkitd.sock", "places": 4}}
        shutil.copytree(tmp_path / "far/.deadweight/keys", tmp_path / "near-keys")
        near_root = project(tmp_path / "near")
        shutil.copytree(tmp_path / "near-keys", near_root / ".deadweight/keys")  # its own secrets
        near = built(near_root, {"endpoints": here})
    assert set(far) == set(ladder())
    assert {name: each["manifest_digest"] for name, each in far.items()} == {
        name: each["manifest_digest"] for name, each in near.items()
    }
    log = (tmp_path / "far/.deadweight/logs/pool.log").read_text()
    assert sum(" was built on " in line for line in log.splitlines()) == len(far)
