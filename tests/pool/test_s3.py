"""A cache in S3 between two daemons: read always, written while it is used.

The daemons have the credentials, no suite and no command line has any.
"""

import re
import shutil
import subprocess
import urllib.request
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from deadweight_pool.dockerfile import UNUSED, Notes, Uses
from deadweight_pool.endpoint import wording
from tests.support.buildkit_world import S3_SERVER, Daemon, built, daemons, up
from tests.support.pool_project import PoolProject, endpoint
from tests.support.processes import port_of

pytestmark = [pytest.mark.pool, pytest.mark.tools, pytest.mark.system]

BUCKET = "layers"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "tests", "AWS_SECRET_ACCESS_KEY": "tests-alone"}


@dataclass(frozen=True)
class Server:
    """An S3 server in memory, at an address that the daemons reach."""

    address: str
    process: subprocess.Popen[bytes]

    def objects(self) -> set[str]:
        """The names of all objects."""
        with urllib.request.urlopen(f"http://{self.address}/{BUCKET}", timeout=10) as answer:
            return set(re.findall(r"<Key>([^<]+)</Key>", answer.read().decode()))


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Iterator[dict[str, Daemon]]:
    with daemons(tmp_path_factory.mktemp("bk"), ("a", "b")) as fleet:
        for daemon in fleet.values():
            daemon.environment = CREDENTIALS
        yield up(fleet)


@pytest.fixture
def server(world, tmp_path) -> Iterator[Server]:
    host, log = world["a"].home, tmp_path / "s3.log"
    program = built(S3_SERVER, tmp_path / "s3-build.log")
    words = [program, "-backend", "memory", "-host", f"{host}:0", "-initialbucket", BUCKET]
    with log.open("ab") as out, subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=out, stderr=out) as process:
        try:
            yield Server(f"{host}:{port_of(process, log)}", process)
        finally:
            process.kill()


def write(project: PoolProject, server: Server, *places: Daemon) -> None:
    where = f"type=s3,region=none,bucket={BUCKET},endpoint_url=http://{server.address},use_path_style=true"
    cache = {"import": [f"{where},name={{variant}}"], "export": f"{where},name={{variant}},mode=max"}
    project.write({"one": 0.1}, {"endpoints": {daemon.name: endpoint(daemon) for daemon in places}, "cache": cache})


def again(project: PoolProject, *, change: str = "") -> str:
    """Build what is no longer there, with other inputs where there is a ``change``; gives the digest."""
    shutil.rmtree(project.root / ".deadweight/images", ignore_errors=True)
    if change:
        # a layer of its own: what only the command is called leaves the same files, in one second the same bytes
        (project.root / "one/change").write_text(change)
        file = project.root / "one/Dockerfile"
        file.write_text(file.read_text().replace("COPY change /\n", "").replace("RUN [", "COPY change /\nRUN [", 1))
    made = project.build()["one"]
    assert made.result == "built", made.error
    return str(made.image.manifest_digest)


def uses(project: PoolProject) -> Uses:
    return Notes(project.root / ".deadweight/cache/pool").of("one")


def test_what_one_daemon_built_another_takes_from_s3(world, project, server):
    write(project, server, world["a"])
    first = again(project)
    assert any(name.startswith("manifests/one") for name in server.objects())
    write(project, server, world["b"])
    assert again(project) == first
    assert project.reports.count("begin") == Counter({"one": 1}), "b built it itself"
    assert uses(project).used == 1
    logs = [path.read_text() for path in (project.root / ".deadweight/logs").iterdir() if path.is_file()]
    assert not any(CREDENTIALS["AWS_SECRET_ACCESS_KEY"] in log for log in logs)


def test_exports_that_nobody_uses_end_and_begin_again_where_it_is_new(world, project, server):
    write(project, server, world["a"])
    sizes = []
    for number in range(UNUSED + 2):
        again(project, change=f"c{number}" if number else "first")
        sizes.append(len(server.objects()))
    assert sorted(set(sizes)) == sizes[:UNUSED], sizes  # each wrote layers of its own, until three were never used
    write(project, server, world["b"])
    again(project, change="other")
    assert len(server.objects()) > sizes[-1]


def test_a_store_that_is_gone_costs_no_build(world, project, server):
    write(project, server, world["a"])
    server.process.kill()
    server.process.wait(10)
    again(project)
    why = wording("journal.not_cached", endpoint="a", reason="")
    (line,) = [line for line in project.lines if f"one: {why}" in line]
    assert "connection refused" in line
    assert uses(project).unused == 0, "what was not written was not left unused"
