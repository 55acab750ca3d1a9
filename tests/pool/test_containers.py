"""Endpoints reached through other programs: a daemon in a container (``docker exec``), and one in a pod (``kubectl exec``).

No cluster runs here: ``kubectl`` is a small program of the tests that leads into the container, and keeps what it was asked.
"""

import os
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from deadweight._errors import MissingError
from deadweight.toolchain.find import find
from tests.support.buildkit_world import find_daemon, find_runc
from tests.support.codes import raises
from tests.support.pool_project import PoolProject, listening
from tests.support.small_images import docker_archive, forget_image
from tests.support.trees import shell_script

pytestmark = [pytest.mark.pool, pytest.mark.tools, pytest.mark.system]

IMAGE, NAME = "deadweight-tests/buildkit:1", "deadweight-tests-buildkit"
RIGHTS = ("--cap-add", "SYS_ADMIN", "--cap-add", "NET_ADMIN", "--security-opt", "seccomp=unconfined")
"""``--privileged`` gives all capabilities, which root itself does not have on every machine."""
FROM_HERE = ("/usr", "/bin", "/lib", "/lib64")
"""Folders of this machine that the container reads, for what runc is linked to."""


@pytest.fixture(scope="module")
def daemon(engine, tmp_path_factory) -> Iterator[str]:
    """A container that builds, on this machine's network; its name."""
    folder = tmp_path_factory.mktemp("container")
    tools = folder / "tools"
    tools.mkdir()
    for name, program in (("buildkitd", find_daemon()), ("buildctl", find("buildctl").path), ("runc", find_runc())):
        shutil.copy(program, tools / name)
    engine.images.load(docker_archive(folder / "image.tar", IMAGE, [{}], {}))
    volumes = [word for place in FROM_HERE if Path(place).exists() for word in ("-v", f"{place}:{place}:ro")]
    docker = [str(find("docker-cli").path), "--host", engine.host]
    subprocess.run([*docker, "rm", "-f", NAME], check=False, capture_output=True)
    start = [
        *docker, "run", "-d", "--name", NAME, *RIGHTS, "--network", "host", *volumes, "-v", f"{tools}:/tools:ro",
        "-v", "/sys/fs/cgroup:/sys/fs/cgroup", "-v", "/var/lib/buildkit", "--tmpfs", "/run", "--tmpfs", "/tmp",
        "-e", "PATH=/tools:/usr/bin:/usr/sbin:/bin", IMAGE,
        "/tools/buildkitd", "--oci-worker-net", "host", "--containerd-worker=false",
    ]  # fmt: skip
    subprocess.run(start, check=True, capture_output=True)
    yield NAME
    subprocess.run([*docker, "rm", "-f", "-v", NAME], check=True, capture_output=True)
    forget_image(engine, IMAGE)


@pytest.fixture
def docker(engine, tmp_path, monkeypatch) -> Path:
    """The ``docker`` on the PATH, which leads to the tests' engine."""
    program = find("docker-cli").path
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{program.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("DOCKER_HOST", engine.host)
    return program


@pytest.fixture
def project(docker, worker, tmp_path) -> Iterator[PoolProject]:
    with listening("127.0.0.1") as reports:
        yield PoolProject(tmp_path / "project", worker, reports)


def test_a_container_and_a_pod_build(daemon, docker, project, tmp_path):
    script = f'echo "$@" >> {tmp_path}/asked\nwhile [ "$1" != -- ]; do shift; done\nshift\nexec {docker} exec -i {daemon} "$@"'
    shell_script(tmp_path / "bin" / "kubectl", script)
    endpoints = {
        "box": {"address": f"docker-container://{daemon}", "places": 1},
        "pod": {"address": "kube-pod://buildkit-0?namespace=ci&container=buildkitd", "places": 1},
    }
    made = project.write({f"v{number}": 0.5 for number in range(4)}, {"endpoints": endpoints}).build()
    assert {outcome.result for outcome in made.values()} == {"built"}, project.log
    assert {outcome.image.built_on.split()[0] for outcome in made.values()} == {"box", "pod"}
    asked = (tmp_path / "asked").read_text()
    assert "--namespace ci" in asked.replace("=", " ")
    assert "buildkit-0" in asked
    assert asked.count("buildctl dial-stdio") >= 2


def test_layers_come_back_from_a_registry(daemon, docker, project, local_registry):
    """The daemon forgets all it has, and builds nothing again."""
    cache = f"type=registry,ref={local_registry}/cache-{os.getpid()}:{{variant}}"
    pool = {"endpoints": {"box": {"address": f"docker-container://{daemon}"}}}
    pool["cache"] = {"import": [cache], "export": f"{cache},mode=max"}
    first = project.write({"one": 0.1}, pool).build()["one"]
    subprocess.run([docker, "exec", daemon, "buildctl", "prune", "--all"], check=True, capture_output=True)
    shutil.rmtree(project.root / ".deadweight")
    second = project.build()["one"]
    assert project.reports.count("begin") == Counter({"one": 1}), project.log
    assert (first.result, second.result) == ("built", "built")
    assert first.image.manifest_digest == second.image.manifest_digest


def test_a_container_that_is_not_there_is_named(project):
    project.write({"one": 0.1}, {"endpoints": {"box": {"address": "docker-container://nobody-made-it"}}})
    with raises(MissingError, "pool.no_endpoint") as caught:
        project.build()
    endpoints = str(caught.value.fields["endpoints"])
    assert endpoints.startswith("  box: ")
    assert "No such container: nobody-made-it" in endpoints
