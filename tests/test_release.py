"""A release as a pushed tag builds it: the version is the tag's, and the wheel holds the packages and nothing else."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TOOLS = Path(sys.executable).parent


def run(*words: object, cwd: Path) -> str:
    return subprocess.run(words, cwd=cwd, check=True, capture_output=True, text=True, timeout=180).stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    clone = tmp_path_factory.mktemp("release") / "clone"
    run("git", "clone", "-q", ROOT, clone, cwd=ROOT)
    run("git", "-c", "user.name=a", "-c", "user.email=a@example.com", "tag", "-m", "", "v9.8.7", cwd=clone)
    run(TOOLS / "uv", "build", "-q", "--out-dir", "dist", cwd=clone)
    return clone / "dist"


@pytest.mark.slow
def test_the_version_is_the_tags_and_the_metadata_is_what_an_index_takes(built):
    files = sorted(path for path in built.iterdir() if path.name != ".gitignore")
    assert [file.name for file in files] == ["deadweight-9.8.7-py3-none-any.whl", "deadweight-9.8.7.tar.gz"]
    assert run(TOOLS / "twine", "check", "--strict", *files, cwd=built).count("PASSED") == 2


@pytest.mark.slow
def test_the_wheel_holds_the_packages_and_nothing_else(built):
    tracked = run("git", "ls-files", "src/deadweight*", cwd=built.parent).split()
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert names == {name.removeprefix("src/") for name in tracked}
