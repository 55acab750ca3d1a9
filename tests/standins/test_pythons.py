"""Which CPython stands in for which, what is changed in it, and where its jar comes from."""

from __future__ import annotations

import hashlib
import zipfile
from types import SimpleNamespace

import pytest

from deadweight._errors import DeadweightError, MissingError
from deadweight_standins import catalogue, downloads, pythons
from deadweight_standins.recipes import in_place_of
from deadweight_standins.stand_in import stand_in

SETTINGS = """<settings xmlns="http://maven.apache.org/SETTINGS/1.0.0"><mirrors>
<mirror><id>a</id><url>https://others.example.com/</url><mirrorOf>releases</mirrorOf></mirror>
<mirror><id>b</id><url>https://maven.example.com/all/</url><mirrorOf>{of}</mirrorOf></mirror>
</mirrors></settings>"""


@pytest.mark.parametrize(
    ("wanted", "machine", "made"),
    [
        ("3.9", "amd64", "3.9.6"),
        ("3.12", "amd64", "3.12.1"),
        ("3.12.7", "amd64", "3.12.1"),
        ("3.8", "amd64", "3.9.6"),
        ("3.6", "amd64", "3.7.9"),
        ("3.7", "arm64", "3.9.6"),
        ("3", "amd64", "3.14.3"),
        ("", "amd64", "3.14.3"),
        ("3.99", "amd64", "3.14.3"),
        ("3.13", "arm64", "3.14.3"),
    ],
)
def test_each_minor_number_has_its_own_python_and_the_others_get_the_next_later_one(wanted, machine, made):
    assert pythons.release(wanted, machine).version == made


def test_every_jar_is_known_by_its_digest():
    digests = [digest for each in pythons.RELEASES for digest in each.digests.values()]
    assert all(len(digest) == 64 and int(digest, 16) for digest in digests)
    assert len(set(digests)) == len(digests)


def test_what_names_the_folder_it_was_made_in_names_usr_local_then():
    data = b"'prefix': '/home/runner/a.b/cpython/cppbuild/linux-x86_64/lib',"
    assert pythons._moved("lib/python3.12/_sysconfigdata.py", data) == b"'prefix': '/usr/local/lib',"
    script = b"#!/__w/x/cppbuild/linux-x86_64/bin/python3.9\nimport sys\n"
    assert pythons._moved("bin/pip3", script) == b"#!/usr/local/bin/python3.9\nimport sys\n"


def test_openssl_in_a_module_looks_at_the_os_s_authorities_and_the_module_keeps_its_size():
    made_on = b"/home/runner/work/javacpp-presets/javacpp-presets/cpython/cppbuild/linux-x86_64"
    module = b"\x7fELF\0" + made_on + b"/ssl/cert.pem\0" + made_on + b"/ssl/certs\0" + made_on + b"/ssl/private\0"
    moved = pythons._moved("lib/python3.12/lib-dynload/_ssl.cpython-312-x86_64-linux-gnu.so", module)
    assert len(moved) == len(module)
    assert b"\0/etc/ssl/certs/ca-certificates.crt\0" in moved
    assert b"\0/etc/ssl/certs\0" in moved
    assert made_on + b"/ssl/private\0" in moved


def test_modules_that_cannot_be_had_are_told(tmp_path, monkeypatch):
    (tmp_path / "lib/python3.9/lib-dynload").mkdir(parents=True)
    for name in ("_sqlite3", "_bz2", "_uuid"):
        (tmp_path / f"lib/python3.9/lib-dynload/{name}.cpython-39.so").touch()

    def gone(*_):
        raise DeadweightError("no such release")

    monkeypatch.setattr(pythons, "_of_os", gone)
    lacking = pythons._fill_in(None, pythons.release("3.9"), tmp_path, tmp_path)
    assert lacking == ("_lzma", "readline", "_curses", "_curses_panel")
    told = in_place_of("Python", "3.9.6", "3.8", lacking)["org.opencontainers.image.description"]
    assert told == "Python 3.9.6 in place of 3.8, without _lzma, readline, _curses, _curses_panel"


@pytest.mark.parametrize(
    ("made", "wanted", "told"),
    [
        ("3.12.1", "3.12", None),
        ("3.12.1", "", None),
        ("3.9.6", "3.8", "Python 3.9.6 in place of 3.8"),
    ],
)
def test_a_label_tells_of_another_version(made, wanted, told):
    assert in_place_of("Python", made, wanted).get("org.opencontainers.image.description") == told


@pytest.mark.parametrize("of", ["central", "*", "external:*", "x, central"])
def test_a_user_s_mirror_of_maven_s_central_repository_is_asked(tmp_path, of):
    settings = tmp_path / "settings.xml"
    settings.write_text(SETTINGS.format(of=of))
    assert downloads.mirror_of_central(settings) == "https://maven.example.com/all/"


@pytest.mark.parametrize("of", ["*,!central", "snapshots"])
def test_other_mirrors_are_not(tmp_path, of):
    settings = tmp_path / "settings.xml"
    settings.write_text(SETTINGS.format(of=of))
    assert downloads.mirror_of_central(settings) is None
    assert downloads.mirror_of_central(tmp_path / "none.xml") is None


def test_this_machine_s_maven_tells_which_repository_it_asks(tmp_path, monkeypatch):
    (tmp_path / "maven/bin").mkdir(parents=True)
    (tmp_path / "maven/lib").mkdir()
    (tmp_path / "maven/bin/mvn").write_text("#!/bin/sh\n")
    (tmp_path / "maven/bin/mvn").chmod(0o755)
    (tmp_path / "mvn").symlink_to("maven/bin/mvn")
    with zipfile.ZipFile(tmp_path / "maven/lib/maven-model-builder-3.9.12.jar", "w") as jar:
        jar.writestr(downloads.SUPER_POM, "<project><url>https://repo.example.com/maven2</url></project>")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert downloads._programs_own(SimpleNamespace()) == "https://repo.example.com/maven2"


def test_a_jar_with_another_digest_is_refused_and_not_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(downloads, "central", lambda _shop: "https://maven.example.com")
    monkeypatch.setattr(downloads, "download", lambda url, _whose: url.encode())
    shop = SimpleNamespace(folder=tmp_path)
    with pytest.raises(MissingError, match="was changed on the way"):
        downloads.fetch_from_maven(shop, "a/b/b-1.jar", "0" * 64)
    assert not (tmp_path / "jars").exists()
    good = hashlib.sha256(b"https://maven.example.com/a/b/b-1.jar").hexdigest()
    assert (
        downloads.fetch_from_maven(shop, "a/b/b-1.jar", good).read_bytes() == b"https://maven.example.com/a/b/b-1.jar"
    )


def test_a_python_on_alpine_is_made_anew_with_its_time_zones():
    assert catalogue.edition_of(stand_in("python:3.12-alpine")) != catalogue.edition_of(stand_in("python:3.12-slim"))


def test_a_python_before_3_10_has_an_edition_of_its_own():
    old, now = catalogue.edition_of(stand_in("python:3.8-slim")), catalogue.edition_of(stand_in("python:3.10-slim"))
    assert old == f"{now} old {catalogue._OLD_PYTHONS}"
