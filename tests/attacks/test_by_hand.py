"""Twenty-one attacks once more, by a program in C that shares nothing with the helper, cell by cell beside the matrix.

One technique that fails was told as an attack that is stopped. Whoever writes an attack a second time tries what the first did not.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from deadweight.engine.options import NON_ROOT
from deadweight_attacks.host import PURPOSE
from deadweight_attacks.lab import Lab
from deadweight_attacks.load import load_payloads
from deadweight_attacks.matrix import Runner
from deadweight_attacks.outcomes import Plan
from deadweight_attacks.walls import DEFAULT, HARDENED, OPEN
from tests.support import ROOT
from tests.support.attack_grounds import castle, left
from tests.support.small_images import PASSWD, Content, docker_archive, go_program, in_engine, program, reference

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


@pytest.fixture(scope="module")
def by_hand(tmp_path_factory) -> Path:
    made = tmp_path_factory.mktemp("by-hand") / "by-hand"
    subprocess.run(["gcc", "-static", "-O1", "-Wall", "-Wextra", "-Werror", "-o", made, SOURCE], check=True)
    return made


@pytest.fixture(scope="module")
def busybox(local_source) -> Path:
    """A whole busybox, linked with musl."""
    local_source.prepare(("busybox:1.36.1-musl",), apk=False, say=print)
    made: Path = local_source.folder / "busybox" / "busybox-static"
    return made


@pytest.fixture(scope="module", params=IMAGES)
def image(request, tmp_path_factory, engine, busybox) -> Iterator[tuple[str, Path]]:
    """The name of an image in the engine, and its archive."""
    name = f"by-hand-{request.param}"
    folder = tmp_path_factory.mktemp(name)
    more: dict[str, dict[str, Content]] = {
        "scratch": {},
        "glibc": program("dash", at="/bin/sh"),
        "busybox": {"/usr/bin/awk": busybox},
        "distroless": {**program("mawk", at="/usr/bin/awk"), "/etc/ssl/certs/ca-certificates.crt": b"none"},
    }
    files: dict[str, Content] = {
        "/service/app": go_program(ROOT / "tests" / "services" / "misbehave", folder / "app"),
        "/etc/passwd": PASSWD,
        "/etc/shadow": b"root:!password-of-nobody:19000::::::\n",
        "/tmp/": b"",
        **more[request.param],
    }
    config = {
        "Entrypoint": ["/service/app"],
        "Env": ["MODE=good", "PATH=/usr/bin:/bin"],
        "ExposedPorts": {"8080/tcp": {}},
        **({"User": "65532:65532"} if request.param == "distroless" else {}),
    }
    archive = docker_archive(folder / "image.tar", reference(name), [files], config)
    with in_engine(engine, archive, reference(name)) as loaded:
        yield loaded, archive
    assert left(engine) == []


def attacked(engine, image: str, program: Path) -> dict[str, dict[str, bool]]:
    """What the program in C finds, by posture and attack. Docker's own command starts the containers."""

    def docker(*words: str) -> str:
        environment = {**os.environ, "DOCKER_HOST": engine.host}
        return subprocess.run(["docker", *words], env=environment, capture_output=True, text=True, check=True).stdout

    labels = [f"--label={name}={value}" for name, value in engine.marks(PURPOSE).items()]
    common = ["run", "--detach", "--volume", f"{program}:{AT}:ro", *labels]
    found: dict[str, dict[str, bool]] = {}
    with engine.network(PURPOSE) as network:
        started = [docker(*common, "--network", network, "--entrypoint", AT, image, "listen", str(PORT)).strip()]
        try:
            (described,) = json.loads(docker("inspect", started[0]))
            host = described["NetworkSettings"]["Networks"][network]["IPAddress"]
            for posture, words in POSTURE_WORDS.items():
                where = [] if "--network" in words else ["--network", network]
                options = [*words.split(), *where, "--env", f"DEADWEIGHT_SECRET={SECRET}"]
                started.append(docker(*common, *options, image).strip())
                said = docker("exec", started[-1], AT, SECRET, host, str(PORT))
                found[posture] = {name: works == "1" for name, works in map(str.split, said.splitlines())}
        finally:
            docker("rm", "--force", *started)
    return found


def test_a_second_implementation_agrees_with_the_matrix_cell_by_cell(tmp_path, engine, image, by_hand):
    name, archive = image
    theirs = attacked(engine, name, by_hand)
    attacks = set(theirs["open"])
    assert len(attacks) >= 20, theirs
    whole = load_payloads(packs=["breach"])
    some = dataclasses.replace(whole, payloads=tuple(each for each in whole.payloads if each.id in attacks | {FETCH}))
    with Lab(castle(tmp_path, engine, archive, reference=name, awk=False)) as lab:
        ours = Runner(lab, some).run(Plan(POSTURES, alone=False)).cells
    assert {posture: set(cells) for posture, cells in ours.items()} == dict.fromkeys(theirs, attacks | {FETCH})
    differing = {
        f"{posture}: {attack}": (cell.outcome, cell.reason, cell.evidence, theirs[posture][attack])
        for posture, cells in ours.items()
        for attack, cell in cells.items()
        if attack != FETCH and (cell.outcome == "succeeded") is not theirs[posture][attack]
    }
    assert differing == {}
    if "busybox" in name:  # no program there is called a shell, and none a tool that fetches
        worked = {(posture, attack): ours[posture][attack].evidence.get("technique") for posture, attack in BY_ARGV0}
        assert worked == dict.fromkeys(BY_ARGV0, "argv0")
