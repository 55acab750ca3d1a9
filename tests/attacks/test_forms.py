"""Every form that harden writes, run as a user would paste or install it, until the service is healthy.

Kubernetes and ECS have no platform here: ``test_written.py`` holds their texts against the platforms' schemas.
"""

import codecs
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from deadweight.checks.service import started_dependencies
from deadweight.engine.options import RunOptions
from deadweight.engine.seccomp import profile
from deadweight.engine.seccomp.refused_calls import runtime_of
from deadweight.suite.model import Health, Need
from deadweight.toolchain.find import find
from deadweight_attacks.harden.health_command import OfNeeds
from deadweight_attacks.seccomp import floor
from tests.support.fault_project import wait_for
from tests.support.forms import LATE, TIGHT, Podman, given, held, laid, own_podman, problems, python_archive, shop
from tests.support.marks import NEEDS_ROOT
from tests.support.small_images import in_engine, reference

pytestmark = [pytest.mark.engine, pytest.mark.tools, NEEDS_ROOT]


@pytest.fixture(scope="module")
def archive(tmp_path_factory) -> Path:
    return python_archive(tmp_path_factory.mktemp("python"), reference("forms"))


@pytest.fixture(scope="module")
def image(engine, archive) -> Iterator[str]:
    with in_engine(engine, archive, reference("forms")) as name:
        yield name


@pytest.fixture(scope="module")
def podman(tmp_path_factory, archive) -> Iterator[Podman]:
    with own_podman(tmp_path_factory.mktemp("podman")) as ours:
        ours("load", "--input", str(archive))
        yield ours


@pytest.fixture
def name() -> str:
    """Of a suite that no other run has."""
    return f"shop{time.time_ns()}"


LOCAL = f"localhost/{reference('forms')}"
"""What Podman calls an image that was loaded into it by a name without a registry."""
OUTGOING = pytest.mark.parametrize("outgoing", [False, True], ids=["internal", "outgoing"])


def shell(text: str, folder: Path, *inside: str, **env: str) -> None:
    """The text as a user would paste it in that folder."""
    done = subprocess.run(
        [*inside, "sh"], input=text, cwd=folder, env={**os.environ, **env}, capture_output=True, text=True, timeout=180
    )
    assert done.returncode == 0, done.stderr[-2000:]


# docker run, Compose


@pytest.mark.slow
@OUTGOING
def test_the_docker_flags_run_with_what_it_needs_beside_it(image, engine, name, tmp_path, outgoing):
    there = laid(tmp_path, shop(name, image, outgoing=outgoing, asked=outgoing), "run")
    env = {"DOCKER_HOST": engine.host}
    try:
        shell((there / "run.sh").read_text(), there, **env)
        state = engine.api.inspect_container(name)
        _as_found(state["State"]["Pid"], state["NetworkSettings"]["Ports"], outgoing=outgoing)
        assert _after(state, engine.api.inspect_container(f"{name}-db")) >= LATE
    finally:
        removes = f"docker rm -f {name} {name}-db {name}-job; docker network rm {name}-internal {name}-network"
        subprocess.run(["sh", "-c", removes], env={**os.environ, **env}, check=False, capture_output=True)


def test_a_shell_can_be_opened_under_everyday_calls(image, engine, tmp_path):
    """``docker exec`` is the runtime's work under the container's profile, which no request of a service's needs."""
    runtime = runtime_of(engine)
    needed = floor.kept_floor(runtime) or floor.find_floor(runtime)
    document = floor.document({*needed.calls, *profile.EVERYDAY}, (), runtime.architecture)
    words = ("/usr/bin/python3", "-c")
    options = RunOptions(
        user="65532:65532", cap_drop=("ALL",), no_new_privileges=True, network="none",
        seccomp=str(profile.write(tmp_path / "p.json", document)), entrypoint=(*words, "import time; time.sleep(60)"),
    )  # fmt: skip
    with engine.start(image, options, purpose="harden") as container:
        assert container.exec([*words, "import os; os.mkdir('/tmp/x')"]).exit_code == 1, "its root is nobody's to write"
        assert container.exec([*words, "import subprocess; subprocess.run(['/usr/bin/python3', '-V'])"]).exit_code == 0


def _after(later: dict, earlier: dict) -> float:
    """Seconds between the starts of two containers."""
    times = (container["State"]["StartedAt"].replace("Z", "+00:00") for container in (later, earlier))
    ends = [datetime.fromisoformat(re.sub(r"(\.\d{6})\d*", r"\1", stamp)) for stamp in times]
    return (ends[0] - ends[1]).total_seconds()


def _as_found(pid: int, published: dict[str, object], *, outgoing: bool, needs: bool | None = True) -> None:
    """What a process is, and says of itself: on both ports, and where others reach it."""
    for port in (8080 if outgoing else 80, 9090):
        assert problems(given(pid, port), needs=needs) == []
    assert held(pid) == TIGHT
    assert {port for port, places in published.items() if places} == ({"8080/tcp", "9090/tcp"} if outgoing else set())


@pytest.mark.slow
@pytest.mark.parametrize(("outgoing", "asked"), [(False, True), (True, True), (False, False)])
def test_compose_waits_until_it_is_healthy(image, engine, name, tmp_path, outgoing, asked):
    """By docker-compose. Where its profile refuses what could ask, no check is written, and none calls it unhealthy."""
    tool = shutil.which("docker-compose")
    assert tool, "docker-compose is not installed (invoke setup --tests)"
    result = shop(name, image, outgoing=outgoing, asked=asked)
    there = laid(tmp_path, result, "compose")
    env = {**os.environ, "DOCKER_HOST": engine.host}

    def compose(*words: str) -> subprocess.CompletedProcess[str]:
        command = [tool, "--project-name", name, *words]
        return subprocess.run(command, cwd=there, env=env, capture_output=True, text=True, timeout=180)

    try:
        done = compose("up", "--detach")
        assert done.returncode == 0, done.stderr[-2000:]
        container, db, job = (compose("ps", "--all", "-q", service).stdout.strip() for service in (name, "db", "job"))
        wait_for(lambda: health(engine, container) != "starting", 90)
        assert health(engine, container) == ("healthy" if asked else None)
        inspected = engine.api.inspect_container(container)
        _as_found(inspected["State"]["Pid"], inspected["NetworkSettings"]["Ports"], outgoing=outgoing)
        assert _after(inspected, engine.api.inspect_container(db)) >= LATE
        ended = engine.api.inspect_container(job)
        assert ended["State"]["ExitCode"] == 0
        assert (ended["RestartCount"] == 0) == asked  # where nothing tells when the database is up, it is tried again
        host = inspected["HostConfig"]
        assert (host["ReadonlyRootfs"], host["CapDrop"], host["PidsLimit"]) == (True, ["ALL"], 64)
        assert host["Memory"] == host["MemorySwap"] == result.options.memory_bytes
    finally:
        compose("down", "--timeout", "2")


def health(engine, container: str) -> str | None:
    return engine.api.inspect_container(container)["State"].get("Health", {}).get("Status")


# Podman


@OUTGOING
def test_the_podman_flags_run(podman, archive, name, tmp_path, outgoing):
    result = replace(shop(name, LOCAL, outgoing=outgoing, names=podman.names), image=reference("forms"))
    there = laid(tmp_path, result, "podman")
    try:
        shell((there / "podman.sh").read_text(), there, *podman.inside, PATH=podman.path)
        _is_as_found(podman, name, outgoing=outgoing)
    finally:
        podman.forget(name)


def _is_as_found(podman: Podman, name: str, *, outgoing: bool) -> None:
    assert podman.healthy(name) == "healthy"
    inspected = podman.inspected(name)
    # without its plug-in for names, an older Podman finds nobody by name
    _as_found(inspected["State"]["Pid"], inspected["NetworkSettings"]["Ports"], outgoing=outgoing, needs=podman.names)
    host = inspected["HostConfig"]
    assert (host["ReadonlyRootfs"], host["PidsLimit"], host["Memory"]) == (True, 64, 256 * 2**20)
    beside = podman.inspected(f"{name}-db")
    assert beside["State"]["Running"]
    assert _after(inspected, beside) >= LATE
    assert list(beside["NetworkSettings"]["Networks"]) == list(inspected["NetworkSettings"]["Networks"])


# systemd


def generated(folder: Path, *more: str) -> dict[str, str]:
    """The services that Podman's own generator makes of the units in a folder: it has nothing to say against them."""
    env = {**os.environ, "QUADLET_UNIT_DIRS": str(folder)}
    done = subprocess.run([find("quadlet").path, *more, "-dryrun"], env=env, capture_output=True, text=True, timeout=60)
    lines = [line for line in done.stderr.splitlines() if "Loading source unit file" not in line]
    assert (done.returncode, lines) == (0, []), done.stderr
    parts = re.split(r"^---(.+\.service)---$", done.stdout, flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


@pytest.mark.slow
@OUTGOING
def test_the_units_run(podman, archive, name, tmp_path, outgoing):
    """Podman's generator reads them, and what it has systemd start is started, in systemd's order."""
    result = replace(shop(name, LOCAL, outgoing=outgoing, names=podman.names), image=reference("forms"))
    there = laid(tmp_path, result, "quadlet")
    installed = tmp_path / "containers" / "systemd"
    shutil.copytree(there, installed)
    shutil.copytree(tmp_path / "conf", installed / "conf")
    services = generated(installed)
    network = f"{name}-{'network' if outgoing else 'internal'}"
    beside = {f"{name}-db.service", f"{name}-job.service"}
    assert set(services) == {f"{network}-network.service", f"{name}.service", *beside}
    assert set(generated(installed, "-user")) == set(services)
    assert f"Wants={name}-db.service\nAfter={name}-db.service" in services[f"{name}.service"]
    assert "\nEnvironment=EMPTY_WORD=\n" in services[f"{name}.service"]
    try:
        for service in (f"{network}-network", f"{name}-db", f"{name}-job", name):
            specifiers = {"E": str(tmp_path), "n": f"{service}.service", "N": service, "t": "/run"}
            unit = services[f"{service}.service"]
            lines = (re.findall(f"^{key}=(.*)$", unit, re.M) for key in ("ExecStart", "ExecStartPost"))
            started, then = ([words(line, specifiers, {"EMPTY_WORD": ""}) for line in values] for values in lines)
            assert [command[0] for command in started] == ["/usr/bin/podman"]
            podman(*(word for word in started[0][1:] if word not in NOT_HERE))
            for command in then:
                env = {**os.environ, "PATH": podman.path}
                subprocess.run([*podman.inside, *command], env=env, check=True, timeout=90)
            assert bool(then) == (service in (f"{name}-db", f"{name}-internal-network"))
        _is_as_found(podman, name, outgoing=outgoing)
    finally:
        podman.forget(name)


TOKEN = re.compile(r"""(\\x..|\\.)|(["'])|(\s+)|([^\\"'\s]+)""")
"""An escape, a quote, blanks, other text."""


def words(command: str, specifiers: Mapping[str, str], variables: Mapping[str, str]) -> list[str]:
    """The words of a command as systemd starts it (systemd.service(5), "Command lines"): quotes, escapes, specifiers, variables.
    ``specifiers`` are by their letters. One that is not named, or a variable that is not, is refused: it is not known here."""
    args, word, quote = list[str](), list[str](), ""
    for escape, mark, blanks, text in TOKEN.findall(f"{command} "):
        if mark and quote in ("", mark):
            quote = "" if quote else mark
            word.append("")  # it may be all there is of a word
        elif blanks and not quote:
            args, word = [*args, *(["".join(word)] if word else [])], []
        else:
            word.append(codecs.decode(escape.replace(r"\s", " "), "unicode_escape") + mark + blanks + text)
    assert not quote, f"a quote is not closed: {command}"
    return [_expanded(arg, specifiers, variables) for arg in args]


def _expanded(word: str, specifiers: Mapping[str, str], variables: Mapping[str, str]) -> str:
    word = re.sub("%(.)", lambda match: {**specifiers, "%": "%"}[match[1]], word)
    return re.sub(r"\$(\$|\{\w+\}|)", lambda match: "$" if match[1] == "$" else variables[match[1].strip("{}")], word)


NOT_HERE = ("--cgroups=split", "--ignore")
"""The first takes the control group in which systemd started it, which only systemd makes; the second Podman 4.3 does not know of a
network."""


# What tells that a need is up


@pytest.mark.slow
def test_what_tells_of_a_container_beside_it_is_found_by_asking_there(image, engine, tmp_path):
    """Of a port that nobody listens on, it says no; where nothing in the image can ask, nothing is named."""
    needs = {
        "db": Need(image=image, port=8080, args=("as", "db"), env={"LATE": "1"}),
        "odd": Need(image=image, port=8080, health=Health(path="/healthz", status=("2xx", 401), within_seconds=60)),
        "own": Need(image=image, health=Health(kind="exec", command=("python3", "-c", ""), within_seconds=60)),
        "job": Need(image=image, args=("job",), health=Health(kind="exit", within_seconds=60)),
    }
    probes = OfNeeds(needs)
    with started_dependencies(lambda: engine, needs, lambda _name: image, root=tmp_path, up=probes.up):
        pass
    asks = probes.asks
    assert (set(asks), probes.stand_ins) == ({"db", "odd", "own"}, {})
    assert (asks["db"][0], "8080" in asks["db"][-1]) == ("python3", True)
    assert (asks["odd"], asks["own"]) == ((), ("python3", "-c", ""))
