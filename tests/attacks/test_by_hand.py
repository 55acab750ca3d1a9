"""Twenty-one attacks once more, by a program in C that shares nothing with the helper, cell by cell beside the matrix.

One technique that fails was told as an attack that is stopped. Whoever writes an attack a second time tries what the first did not.
"""

import json
import os
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from deadweight.engine.options import NON_ROOT
from deadweight_attacks.host import PURPOSE
from deadweight_attacks.outcomes import Cell
from deadweight_attacks.walls import DEFAULT, HARDENED, OPEN
from tests.support.attack_grounds import castle, left, matrix, only
from tests.support.small_images import Content, in_engine, program, reference, service_archive

pytestmark = pytest.mark.tools

SOURCE = Path(__file__).with_name("by_hand") / "by_hand.c"
AT, SECRET, PORT = "/by-hand", "planted-by-hand", 9000
POSTURES = (OPEN, DEFAULT, HARDENED)
POSTURE_WORDS = {
    "open": "--user 0:0 --cap-add ALL --cap-drop SYS_RESOURCE --security-opt seccomp=unconfined "
    "--security-opt systempaths=unconfined",
    "default": "",
    "hardened": f"--user {NON_ROOT} --cap-drop ALL --security-opt no-new-privileges --read-only --network none "
    "--tmpfs /tmp:noexec,nosuid,nodev,mode=1777 --pids-limit 128 --memory 256m",
}
"""What a user types. A machine may have no CAP_SYS_RESOURCE to give, and no attack here needs it."""
FETCH = "breach-fetch-tool"
BY_ARGV0 = [*((posture.name, "breach-shell") for posture in POSTURES), ("open", FETCH), ("default", FETCH)]
IMAGES = ("scratch", "glibc", "busybox", "distroless")
Theirs = dict[str, dict[str, bool]]
Ours = dict[str, dict[str, Cell]]


@pytest.fixture(scope="module")
def by_hand(tmp_path_factory) -> Path:
    made = tmp_path_factory.mktemp("by-hand") / "by-hand"
    subprocess.run(["gcc", "-static", "-O1", "-Wall", "-Wextra", "-Werror", "-o", made, SOURCE], check=True)
    return made


@pytest.fixture(scope="module")
def busybox(local_source) -> Path:
    """A whole busybox, linked with musl."""
    local_source.prepare(("busybox:1.36.1-musl",), apk=False, say=print)
    return Path(local_source.folder, "busybox", "busybox-static")


@pytest.fixture(scope="module")
def cells(tmp_path_factory, engine, busybox, by_hand) -> Iterator[dict[str, tuple[Theirs, Ours]]]:
    """By image: what the program in C says, and the matrix. All are attacked side by side: attacks wait more than they work."""
    folder = tmp_path_factory.mktemp("by-hand-service")
    more: dict[str, dict[str, Content]] = {
        "scratch": {},
        "glibc": program("dash", at="/bin/sh"),
        "busybox": {"/usr/bin/awk": busybox},
        "distroless": {**program("mawk", at="/usr/bin/awk"), "/etc/ssl/certs/ca-certificates.crt": b"none"},
    }
    common = {"/etc/shadow": b"root:!password-of-nobody:19000::::::\n", "/tmp/": b""}

    def both(kind: str) -> tuple[Theirs, Ours]:
        name, user = f"by-hand-{kind}", "65532:65532" if kind == "distroless" else ""
        files = {**common, **more[kind]}
        archive = service_archive(folder / kind, name, "tests/services/misbehave", files, "MODE=good", user=user)
        with in_engine(engine, archive, reference(name)) as image:
            theirs = attacked(engine, image, by_hand)
            subject = castle(folder / kind, engine, archive, reference=image, awk=False)
            return theirs, matrix(subject, only(*theirs["open"], FETCH, packs=["breach"]), *POSTURES).cells

    with ThreadPoolExecutor(len(IMAGES)) as pool:
        yield dict(zip(IMAGES, pool.map(both, IMAGES), strict=True))
    assert left(engine) == []


def attacked(engine, image: str, program: Path) -> Theirs:
    """What the program in C finds, by posture and attack. Docker's own command starts the containers."""

    def docker(*words: str) -> str:
        environment = {**os.environ, "DOCKER_HOST": engine.host}
        return subprocess.run(["docker", *words], env=environment, capture_output=True, text=True, check=True).stdout

    labels = [f"--label={name}={value}" for name, value in engine.marks(PURPOSE).items()]
    common = ["run", "--detach", "--volume", f"{program}:{AT}:ro", *labels]
    outcomes: dict[str, dict[str, bool]] = {}
    with engine.network(PURPOSE) as network:
        started = [docker(*common, "--network", network, "--entrypoint", AT, image, "listen", str(PORT)).strip()]
        try:
            (described,) = json.loads(docker("inspect", started[0]))
            host = described["NetworkSettings"]["Networks"][network]["IPAddress"]
            for posture, words in POSTURE_WORDS.items():
                where = [] if "--network" in words else ["--network", network]
                options = [*words.split(), *where, "--env", f"DEADWEIGHT_SECRET={SECRET}"]
                started.append(docker(*common, *options, image).strip())
                output = docker("exec", started[-1], AT, SECRET, host, str(PORT))
                outcomes[posture] = {name: works == "1" for name, works in map(str.split, output.splitlines())}
        finally:
            docker("rm", "--force", *started)
    return outcomes


@pytest.mark.parametrize("image", IMAGES)
def test_a_second_implementation_agrees_with_the_matrix_cell_by_cell(cells, image):
    theirs, ours = cells[image]
    attacks = set(theirs["open"])
    assert len(attacks) >= 20, theirs
    assert {posture: set(row) for posture, row in ours.items()} == dict.fromkeys(theirs, attacks | {FETCH})
    assert {
        f"{posture}: {attack}": (cell.outcome, cell.reason, cell.evidence, theirs[posture][attack])
        for posture, row in ours.items()
        for attack, cell in row.items()
        if attack != FETCH and (cell.outcome == "succeeded") is not theirs[posture][attack]
    } == {}
    if image == "busybox":  # no program there is called a shell, and none a tool that fetches
        worked = {(posture, attack): ours[posture][attack].evidence.get("technique") for posture, attack in BY_ARGV0}
        assert worked == dict.fromkeys(BY_ARGV0, "argv0")
