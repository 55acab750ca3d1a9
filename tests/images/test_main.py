"""``python -m deadweight_images``: what ``invoke layers --archive`` prints, without any other package of ours."""

import json
import subprocess
import sys

import pytest

from tests.support import image_samples as samples
from tests.support.invoking import invoke

pytestmark = pytest.mark.system

ALONE = """
import sys
for name in ("attacks", "init", "pool", "standins"):
    sys.modules[f"deadweight_{name}"] = None
sys.modules["deadweight"] = sys.modules["invoke"] = sys.modules["docker"] = None  # importing one of these fails
from deadweight_images.__main__ import main
sys.exit(main())
"""
KEY = "-----BEGIN RSA PRIVATE " + "KEY-----\n" + "MIIEowIBAAKCAQEAtest" * 20 + "\n-----END RSA PRIVATE " + "KEY-----\n"


def alone(folder, *words, stdin=None):
    line = [sys.executable, "-c", ALONE, *map(str, words)]
    return subprocess.run(line, cwd=folder, input=stdin, capture_output=True, check=False, timeout=120)


@pytest.fixture(params=["clean", "leaky"])
def archive(request, tmp_path):
    content = {"clean": b"nothing", "leaky": KEY.encode()}[request.param]
    layers = samples.honest_layer({"etc/key": content, "bin/sh": b"#!"}), samples.honest_layer({"etc/.wh.key": b""})
    return samples.saved(tmp_path, *layers, name="image.tar")


@pytest.mark.parametrize("words", [(), ("--json",), ("--scan", "no")])
def test_it_prints_and_ends_as_the_task_does(tmp_path, archive, words):
    task = invoke(tmp_path, "layers", "--archive", archive.name, *words)
    own = alone(tmp_path, archive.name, *words)
    assert (own.stdout.decode(), own.stderr.decode(), own.returncode) == (task.stdout, task.stderr, task.returncode)


def test_an_archive_on_standard_input_gives_the_same_report(tmp_path, archive):
    read, piped = (alone(tmp_path, name, "--json", stdin=archive.read_bytes()) for name in (archive.name, "-"))
    assert read.returncode == piped.returncode
    assert json.loads(read.stdout)["secrets"] == json.loads(piped.stdout)["secrets"]


CODES = [(("--help",), 0), ((), 2), (("gone.tar",), 2), (("damaged.tar",), 1), (("image.tar", "--scan", "all"), 2)]


@pytest.mark.parametrize(("words", "code"), CODES)
def test_exit_codes(tmp_path, words, code):
    (tmp_path / "damaged.tar").write_bytes(b"x" * 2000)
    done = alone(tmp_path, *words)
    assert (done.returncode, b"Traceback" in done.stderr) == (code, False)
    assert ("--help" in words) == (b"example: python -m deadweight_images image.tar" in done.stdout)


@pytest.mark.parametrize("archive", ["leaky"], indirect=True)
@pytest.mark.parametrize(("where", "code"), [(">/dev/full", 1), ("| true", 141), (">&-", 0)])
def test_output_that_cannot_be_written(tmp_path, archive, where, code):
    line = ["bash", "-o", "pipefail", "-c", f"{sys.executable} -m deadweight_images {archive} --scan no {where}"]
    done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr.count("Traceback"), "Exception ignored" in done.stderr) == (code, 0, False)
