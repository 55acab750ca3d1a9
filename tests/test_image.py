"""Deadweight's own image: built by the suite in ``image/`` from the wheel, and used as a CI job uses it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from deadweight.engine import daemon
from deadweight.engine.api import Endpoint
from tests.support import ROOT
from tests.support.invoking import invoke

pytestmark = [pytest.mark.slow, pytest.mark.engine, pytest.mark.tools]


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("own") / "image"
    shutil.copytree(ROOT / "image", folder, ignore=shutil.ignore_patterns("dist", ".deadweight"))
    uv = Path(sys.executable).with_name("uv")
    subprocess.run([uv, "build", "-q", "--wheel", "--out-dir", folder / "dist", ROOT], check=True, timeout=180)
    return folder


def test_the_image_is_built_and_checked_by_its_own_suite_and_writes_a_suite_for_a_foreign_service(project, engine):
    """Its job tells the version and runs ``init``; then any user's number does the same in a mounted folder, with the engine's
    socket as a member of its group."""
    invoke(project, "build", "minimal", code=0)
    invoke(project, "verify", "minimal/runs", "minimal/layers", code=0)
    folder, socket = shutil.copytree(project / "try" / "service", project.parent / "service"), Path(engine.host[7:])
    for path in (folder, *folder.iterdir()):
        os.chown(path, 4321, 4321)
    user = ["--user", "4321:4321", "--group-add", str(socket.stat().st_gid), "--workdir", "/work"]
    mounts = ["--volume", f"{socket}:/var/run/docker.sock", "--volume", f"{folder}:/work"]
    cli = daemon.docker_cli(Endpoint(engine.host))
    for words in ("doctor", "init --no-prove"):
        command = cli.command("run", "--rm", *user, *mounts, "deadweight/deadweight/minimal", *words.split())
        done = subprocess.run(command, env={**os.environ, **cli.env}, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
    assert (folder / "deadweight.yaml").stat().st_uid == 4321
