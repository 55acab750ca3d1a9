"""The optional parts: what each holds, what ``doctor`` says of one that is missing, and a real environment without any."""

import re
import subprocess
import sys
from importlib.metadata import metadata
from pathlib import Path

import pytest

import deadweight_images as images
from deadweight._errors import MissingError
from deadweight.builders import table
from deadweight.project import doctor
from deadweight.suite.load import read_suite
from deadweight_images import parts
from tests.support import ROOT, image_samples as samples
from tests.support.codes import raises
from tests.support.trees import written

SUITE = "name: s\nvariants: {v: {builder: ko, base: x, runnable: false, checks: {layers: {secrets: none}}}}\n"


@pytest.fixture
def without_lz4(monkeypatch):
    there = parts._is_installed
    monkeypatch.setattr(parts, "_is_installed", lambda name: name != "lz4" and there(name))
    parts.lacking.cache_clear()
    yield
    parts.lacking.cache_clear()


def test_every_part_has_a_purpose_and_is_locked_for_the_tests():
    """The lock's group cannot name an extra."""
    assert {*doctor.PARTS, "all"} == set(metadata("deadweight").get_all("Provides-Extra") or ())
    locked = set(re.findall(r"^([\w-]+)==", (ROOT / "requirements/tests.lock").read_text(), re.MULTILINE))
    wanted = [line for line in metadata("deadweight").get_all("Requires-Dist") or () if "extra == 'all'" in line]
    assert {re.split(r"[^\w-]", line)[0] for line in wanted} - locked == set()


def test_what_needs_a_part_names_the_command_that_installs_it(without_lz4, tmp_path):
    archive = samples.docker_save(tmp_path / "image.tar", samples.build(samples.layer(samples.file(b"a", b"a"))))
    with raises(MissingError, "parts.missing", part="images", names="lz4") as caught:
        images.analyse(archive)
    assert (caught.value.exit_code, caught.value.hint) == (3, "pip install 'deadweight[images]'")
    assert len(images.analyse(archive, scan="no").layers) == 1


def test_doctor_tells_which_missing_part_the_suite_uses(without_lz4, tmp_path):
    suite = read_suite(written(tmp_path, {"deadweight.yaml": SUITE}) / "deadweight.yaml", table)
    for variants, used in ((), False), (suite.variants, True):
        seen = {part.name: (part.missing, part.used) for part in doctor.examine((), variants).parts}
        assert seen == {"images": (("lz4",), used), "init": (("lz4",), False)}


def deadweight(venv: Path, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [venv / "bin" / "deadweight", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.slow
def test_the_base_alone_says_what_is_missing_and_the_parts_are_enough(tmp_path):
    """A wheel, installed as a user does it: first without extras, then with all."""
    uv = Path(sys.executable).with_name("uv")
    venv, folder = tmp_path / "venv", written(tmp_path / "no-service", {"a.txt": ""})

    def run(*words: object) -> None:
        subprocess.run([uv, *words], check=True, timeout=300)

    run("build", "-q", "--wheel", "--out-dir", tmp_path / "dist", ROOT)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    run("venv", "-q", "--python", sys.executable, venv)
    samples.docker_save(folder / "image.tar", samples.build(samples.layer(samples.file(b"a", b"a"))))
    seen = {}
    asked = (("doctor",), ("layers", "--archive", "image.tar"), ("init", "--yes"))
    for extra in ("", "[all]"):
        run("pip", "install", "-q", "--python", venv, f"{wheel}{extra}")
        done = [deadweight(venv, folder, *words) for words in asked]
        assert "Traceback" not in "".join(one.stderr for one in done)
        hints = [re.findall(r"pip\s+install\s+'(.+)'", one.stdout + one.stderr) for one in done]
        seen[extra] = ([one.returncode for one in done], hints)
    layers, init, requests = (f"deadweight[{name}]" for name in ("images", "init", "requests"))
    assert seen == {"": ([0, 3, 3], [[layers, init, requests], [layers], [init]]), "[all]": ([0, 0, 2], [[], [], []])}
