"""Fixes out of changelogs, in real packages that dpkg-deb packed."""

import gzip
import shutil
import subprocess
from pathlib import Path

import pytest

from deadweight_standins import changelogs
from tests.support.trees import written

TEXT = Path(__file__).with_name("libfoo.changelog").read_text()
FIXED = {"CVE-2031-0003": "2.0-2", "CVE-2031-0001": "2.0-1", "CVE-2031-12345": "2.0-1"}


def deb(folder: Path, name: str, *, log: str | None = TEXT, kind="xz", log_name="changelog.Debian.gz") -> Path:
    control = f"Package: {name}\nSource: libfoo (2.0-2)\nVersion: 2.0-2+b1\nArchitecture: all\n"
    control += "Maintainer: Somebody <a@example.com>\nDescription: made up\n"
    root, docs = written(folder / f"tree-{name}", {"DEBIAN/control": control}), Path("usr/share/doc")
    if log is None:
        (root / docs).mkdir(parents=True)
        (root / docs / name).symlink_to("libfoo")
    else:
        written(root / docs / name, {log_name: gzip.compress(log.encode())})
    made = folder / f"{name}_2.0-2+b1_all.deb"
    subprocess.run(["dpkg-deb", f"-Z{kind}", "--root-owner-group", "-b", root, made], check=True)
    shutil.rmtree(root)
    return made


def test_the_earliest_entry_that_names_a_cve_is_its_fix():
    fixed, newest = changelogs.parse(TEXT, "libfoo")
    assert (fixed, newest.isoformat()) == (FIXED, "2031-03-14T09:00:00+00:00")


@pytest.mark.parametrize("kind", ["xz", "gzip", "zstd", "none"])
def test_packages_however_they_are_packed(tmp_path, kind):
    contents = changelogs.read([deb(tmp_path, "libfoo2", kind=kind)])
    assert (contents.packages, contents.count) == ({"libfoo": FIXED}, 3)


def test_a_package_whose_documentation_is_a_link_to_another_is_passed_over(tmp_path):
    linking, real = deb(tmp_path, "libfoo-dev", log=None), deb(tmp_path, "libfoo2")
    assert changelogs.read([linking, real]).packages == {"libfoo": FIXED}
    assert changelogs.read([linking]).packages == {}


UPSTREAM = "Version 2\n  CVE-2031-0001 is fixed\n"


@pytest.mark.parametrize(("log", "fixes"), [(TEXT, {"libfoo": FIXED}), (UPSTREAM, {})], ids=["native", "upstream"])
def test_only_the_changelog_of_a_native_package_has_no_debian_in_the_name(tmp_path, log, fixes):
    assert changelogs.read([deb(tmp_path, "libfoo2", log=log, log_name="changelog.gz")]).packages == fixes


@pytest.mark.parametrize("keep", [0, 5, 70, 200, -40])
def test_what_is_no_whole_package_adds_nothing(tmp_path, keep):
    whole = deb(tmp_path, "libfoo2")
    cut = tmp_path / "cut.deb"
    cut.write_bytes(whole.read_bytes()[:keep])
    changelogs.read([cut])
    assert changelogs.read([cut, whole]).packages == {"libfoo": FIXED}
