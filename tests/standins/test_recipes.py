"""What stand-ins are made of: languages, packages by other names, and what the configs say."""

import hashlib
import re
import subprocess
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest

from deadweight._errors import DeadweightError, MissingError
from deadweight_images.archive.pack import Layer
from deadweight_standins import catalogue, cross, downloads, java, languages, push, pythons, servers
from deadweight_standins.bases import bases, names
from deadweight_standins.build_cache import Settings
from deadweight_standins.machine import Machine, this_machine, wording
from deadweight_standins.recipes import RENAMED_FOLDER, fill_renamed, in_place_of, installs_renamed
from deadweight_standins.stand_in import stand_in
from tests.support.codes import raises
from tests.support.trees import shell_script, written, zipped


def test_a_variable_is_there_once_with_its_last_value():
    settings = Settings(env=("PATH=/bin", "A=1", "PATH=/opt/java/bin:/bin"))
    config = push._config([Layer(Path("x"), "sha256:a", "sha256:b", 1)], settings, "amd64")
    assert isinstance(config["config"], dict)
    assert config["config"]["Env"] == ["PATH=/opt/java/bin:/bin", "A=1"]


def _run(folder: Path, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": f"{folder}:/usr/bin:/bin", **more}
    return subprocess.run(words, env=environment, capture_output=True, text=True, check=False)


# Packages that are called otherwise now.
@pytest.mark.parametrize(("command", "answer"), [
    ("apt-get update && apt-get install -y netcat && rm -rf /var/lib/apt/lists/*", True),
    ("apt-get install -y netcat-openbsd", False), ("apt-get install -y python3 libncurses5-dev", False),
    ("apt-get install -y curl python", True),
])  # fmt: skip
def test_only_who_asks_by_an_old_name_gets_them(command, answer):
    assert installs_renamed(command) is answer


@pytest.mark.system
def test_each_is_an_empty_package_that_depends_on_what_it_is_called_now(tmp_path):
    fill_renamed(tmp_path, this_machine())
    stanzas = (tmp_path / RENAMED_FOLDER / "Packages").read_text().strip().split("\n\n")
    packages = [dict(line.split(": ", 1) for line in stanza.splitlines() if ": " in line) for stanza in stanzas]
    wanted = {name: entry.now for name, entry in names().renamed.items()}
    assert {package["Package"]: package["Depends"] for package in packages} == wanted
    assert all("stand-in" in package["Version"] for package in packages)
    python = next(tmp_path.glob(f"{RENAMED_FOLDER}/python_*.deb"))
    listed = subprocess.run(["dpkg-deb", "--contents", python], capture_output=True, text=True, check=True).stdout
    assert "./usr/bin/python -> python3" in listed


# What the stand-ins for Rust tell the compiler.
STATIC = ["-C", "target-feature=+crt-static"]


BIN, GNU = ["--crate-type", "bin"], ["--target", "x86_64-unknown-linux-gnu"]
MUSL = ["--target", "x86_64-unknown-linux-musl"]


@pytest.mark.parametrize(("alpine", "asked", "passed"), [
    (True, [*BIN, "a b"], [*BIN, "a b", *STATIC]), (True, ["--crate-type", "lib"], ["--crate-type", "lib"]),
    (True, [*BIN, "--crate-type", "proc-macro", "--print=cfg"], None),
    (True, [*BIN, "-C", "target-feature=-crt-static"], None), (True, MUSL, GNU),
    (True, ["--target=aarch64-unknown-linux-musl"], ["--target=aarch64-unknown-linux-gnu"]),
    (False, [*BIN, *MUSL], [*BIN, *GNU, *STATIC]),  # elsewhere only programs for musl are linked whole
    (False, [*BIN, *GNU], None),
])  # fmt: skip
def test_programs_are_linked_whole_and_the_target_of_musl_is_the_os_s(tmp_path, alpine, asked, passed):
    (tmp_path / "rustc").write_text(languages.wrapper(alpine=alpine))
    args = _run(tmp_path, "sh", str(tmp_path / "rustc"), "printf", "%s\\n", *asked).stdout.splitlines()
    assert args == (asked if passed is None else passed)


@pytest.mark.parametrize("alpine", [True, False])
def test_cargo_can_tell_a_compiler_for_musl_from_the_other(tmp_path, alpine):
    (tmp_path / "rustc").write_text(languages.wrapper(alpine=alpine))
    shell_script(tmp_path / "compiler", "echo rustc 1.90.0\necho host: x86_64-unknown-linux-gnu")
    lines = _run(tmp_path, "sh", *(str(tmp_path / name) for name in ("rustc", "compiler")), "-vV").stdout.splitlines()
    assert (lines[:2], len(lines)) == (["rustc 1.90.0", "host: x86_64-unknown-linux-gnu"], 3 if alpine else 2)


# Bun, Deno and Ruby: what their stand-ins are told.
AMD64 = Machine("amd64", "amd64", "x86_64", "x86_64-linux-gnu", "bookworm")


def _cache(version: str, authorities: tuple[bytes, ...] = ()) -> Any:
    return SimpleNamespace(
        machine=AMD64, authorities=authorities, get=lambda _name, _make: version,
        tree_layer=lambda name, _fill, **_more: name, rootfs_layer=lambda names, **more: (names, more),
    )  # fmt: skip


@pytest.mark.parametrize(("recipe", "setting"), [
    (languages.bun, "NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt"),
    (languages.deno, "DENO_TLS_CA_STORE=system,mozilla"),
])  # fmt: skip
def test_programs_with_cas_of_their_own_look_at_the_os_s_where_this_machine_trusts_others(recipe, setting):
    assert setting in recipe(_cache("1.3.5", (b"pem",)), "1-slim").settings.env
    assert setting not in recipe(_cache("1.3.5"), "1-slim").settings.env


RUBIES = [("", "3.3"), ("3", "3.3"), ("3.0", "3.1"), ("3.1.4", "3.1"), ("3.2", "3.3"), ("4.0", "3.3")]
PHPS = [("", "8.4"), ("8", "8.4"), ("7.4", "8.2"), ("8.2", "8.2"), ("8.3", "8.4"), ("9.0", "8.4")]


JAVAS = [("", "17"), ("8", "8"), ("11", "11"), ("12", "17"), ("19", "21"), ("24", "25"), ("99", "26")]
PYTHONS = [
    ("3.9", "3.9.6"), ("3.12", "3.12.1"), ("3.12.7", "3.12.1"), ("3.8", "3.9.6"), ("3.6", "3.7.9"), ("3", "3.14.3"),
    ("", "3.14.3"), ("3.99", "3.14.3"),
]  # fmt: skip


def python(wanted: str, machine: str = "amd64") -> str:
    return pythons.release(wanted, machine).version


@pytest.mark.parametrize(("release", "wanted", "made"), [
    *((bases()["ruby"].release, *case) for case in RUBIES), *((bases()["php"].release, *case) for case in PHPS),
    *((java.release, *case) for case in JAVAS), *((python, *case) for case in PYTHONS),
    (partial(python, machine="arm64"), "3.7", "3.9.6"), (partial(python, machine="arm64"), "3.13", "3.14.3"),
])  # fmt: skip
def test_a_release_that_is_not_there_gets_the_next_later_one(release, wanted, made):
    assert release(wanted) == made


# PHP and Apache: what their stand-ins are made of.
@pytest.mark.parametrize(("reference", "server", "headers", "suite"), [
    ("php:8.2-apache", "libapache2-mod-php8.2", True, "bookworm"),
    ("php:8.3-fpm-alpine3.20", "php8.4-fpm", False, "trixie"), ("php:8-cli-bookworm", "php8.4-cli", True, "trixie"),
])  # fmt: skip
def test_the_os_s_packages_of_a_php(reference, server, headers, suite):
    item = stand_in(reference)
    cache: Any = SimpleNamespace(rootfs_layer=lambda names, **more: (names, more), tree_layer=lambda name, _fill: name)
    layers: Any = servers.make(cache, "php", item.parameter).layers
    (names, more), _ = layers
    assert server in names
    assert ("libpq-dev" in names) is headers
    assert more["suite"] == suite == catalogue.suite_of(item)
    assert item.like_alpine is not headers
    assert item.has_apt is headers


def test_extensions_are_switched_on_and_one_that_is_not_there_is_told(tmp_path):
    script = bases()["php"].values["switch"].replace("@version@", "8.2")
    script = script.replace("/etc/php/8.2/mods-available", str(written(tmp_path / "mods-available", {"gd.ini": ""})))
    shell_script(tmp_path / "phpenmod", f'echo "$@" >> {tmp_path}/done')

    switched = partial(_run, tmp_path, "sh", "-c", script, "sh")
    assert switched("-j4", "gd", "-j", "2").returncode == 0
    assert (tmp_path / "done").read_text().splitlines()[-1] == "-v 8.2 gd"
    assert switched("install", "gd-1.2.3").returncode == 0
    missing = switched("oci8")
    assert missing.returncode == 1
    assert "has no extension oci8; it has: gd.ini" in missing.stderr


def test_what_a_stand_in_is_made_of_is_part_of_its_edition():
    """The headers of full images of languages, Alpine's time zones, what is old of a Python before 3.10."""
    references = ("python:3.12", "python:3.12-slim", "python:3.12-alpine", "python:3.8-slim", "golang:1.25")
    full, slim, alpine, old, go = (catalogue.edition_of(stand_in(reference)) for reference in references)
    assert full.startswith(f"{slim} headers ")
    assert alpine != slim
    assert (old, go) == (f"{slim} old {catalogue._OLD_PYTHONS}", catalogue.EDITION)


# Which CPython stands in for which, what is changed in it, and where its jar comes from.
SETTINGS = """<settings xmlns="http://maven.apache.org/SETTINGS/1.0.0"><mirrors>
<mirror><id>a</id><url>https://others.example.com/</url><mirrorOf>releases</mirrorOf></mirror>
<mirror><id>b</id><url>https://maven.example.com/all/</url><mirrorOf>{of}</mirrorOf></mirror>
</mirrors></settings>"""


def test_every_jar_is_known_by_its_digest():
    digests = [digest for release in pythons.RELEASES for digest in release.digests.values()]
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


OLD_PYTHON = wording("label.in_place", what="Python", made="3.9.6", wanted="3.8")


def test_modules_that_cannot_be_had_are_told(tmp_path, monkeypatch):
    there = dict.fromkeys((f"{name}.cpython-39.so" for name in ("_sqlite3", "_bz2", "_uuid")), "")
    written(tmp_path / "lib/python3.9/lib-dynload", there)
    monkeypatch.setattr(pythons, "_of_os", Mock(side_effect=DeadweightError("no such release")))
    lacking = pythons._fill_in(None, pythons.release("3.9"), tmp_path, tmp_path)
    assert lacking == ("_lzma", "readline", "_curses", "_curses_panel")
    label = in_place_of("Python", "3.9.6", "3.8", lacking)["org.opencontainers.image.description"]
    assert label == wording("label.without", made=OLD_PYTHON, names="_lzma, readline, _curses, _curses_panel")


def test_a_label_tells_of_another_version():
    assert in_place_of("Python", "3.12.1", "3.12") == in_place_of("Python", "3.12.1", "") == {}
    assert in_place_of("Python", "3.9.6", "3.8") == {"org.opencontainers.image.description": OLD_PYTHON}
    assert languages.bun(_cache("1.4.0"), "1.3.9-slim").settings.labels == in_place_of("Bun", "1.4.0", "1.3.9")


@pytest.mark.parametrize("of", ["central", "*", "external:*", "x, central", "*,!central", "snapshots"])
def test_a_user_s_mirror_of_maven_s_central_repository_is_asked_and_no_other(tmp_path, of):
    settings = tmp_path / "settings.xml"
    settings.write_text(SETTINGS.format(of=of))
    asked = None if of in ("*,!central", "snapshots") else "https://maven.example.com/all/"
    assert downloads.mirror_of_central(settings) == asked
    assert downloads.mirror_of_central(tmp_path / "none.xml") is None


def test_this_machine_s_maven_tells_which_repository_it_asks(tmp_path, monkeypatch):
    shell_script(tmp_path / "maven/bin/mvn", "")
    (tmp_path / "mvn").symlink_to("maven/bin/mvn")
    jar = zipped({downloads.SUPER_POM: "<project><url>https://repo.example.com/maven2</url></project>"})
    written(tmp_path, {"maven/lib/maven-model-builder-3.9.12.jar": jar})
    monkeypatch.setenv("PATH", str(tmp_path))
    assert downloads._programs_own(SimpleNamespace()) == "https://repo.example.com/maven2"


def test_a_jar_with_another_digest_is_refused_and_not_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(downloads, "central", lambda _cache: "https://maven.example.com")
    monkeypatch.setattr(downloads, "download", lambda url, _whose: url.encode())
    cache = SimpleNamespace(folder=tmp_path)
    with raises(MissingError, "download.digest", name="b-1.jar"):
        downloads.fetch_from_maven(cache, "a/b/b-1.jar", "0" * 64)
    assert not (tmp_path / "jars").exists()
    good = hashlib.sha256(b"https://maven.example.com/a/b/b-1.jar").hexdigest()
    kept = downloads.fetch_from_maven(cache, "a/b/b-1.jar", good)
    assert kept.read_bytes() == b"https://maven.example.com/a/b/b-1.jar"


# The table of Alpine's names of packages.
def test_names_are_names_of_packages():
    table = names()
    made_of = (package for packages in table.alpine.values() for package in packages)
    listed = {*table.alpine, *table.done_without, *made_of}
    assert [name for name in listed if not re.fullmatch(r"[a-z0-9][a-z0-9+.-]+", name)] == []


def test_what_public_dockerfiles_add_most_is_there_under_the_os_s_name():
    table = names()
    wanted = {"build-base", "ca-certificates", "gcompat", "gettext", "icu-libs", "libpq-dev", "mysql-client"}
    assert wanted | {"openssl-dev", "py3-pip", "protoc", "su-exec"} <= set(table.alpine)
    assert table.alpine["ca-certificates"] == ()
    assert "libssl-dev" in table.alpine["openssl-dev"]


ELF = bytes.fromhex("7f454c46" + "0" * 28 + "3e00")


@pytest.fixture
def bin_folder(tmp_path) -> Path:
    cross.xx(SimpleNamespace(machine=AMD64, tree_layer=lambda _name, fill: fill(tmp_path)), "")
    for name, text in (("go", "echo go:$GOFLAGS: $@"), ("apk", "echo apk $@")):
        shell_script(tmp_path / "usr/bin" / name, text)
    return tmp_path / "usr/bin"


def test_programs_are_called_as_they_are(bin_folder):
    assert _run(bin_folder, "xx-go", "build", "-o", "/x", ".").stdout == "go:: build -o /x .\n"
    assert _run(bin_folder, "xx-apk", "add", "--no-cache", "git").stdout == "apk add --no-cache git\n"
    assert _run(bin_folder, "xx-go", "--wrap").returncode == 0
    assert _run(bin_folder, "xx-info", "arch", TARGETPLATFORM="linux/amd64").stdout == "amd64\n"
    assert "TARGETARCH=amd64" in _run(bin_folder, "xx-info", "env").stdout


@pytest.mark.parametrize("platform", [{"TARGETPLATFORM": "linux/arm64"}, {"TARGETARCH": "s390x"}])
def test_another_platform_is_refused(bin_folder, platform):
    done = _run(bin_folder, "xx-go", "build", **platform)
    assert done.returncode == 1
    assert "builds for linux/amd64 only" in done.stderr


@pytest.mark.parametrize(("content", "words", "message"), [
    (ELF, ["xx-verify"], ""), (ELF, ["xx-verify", "--static"], ""),
    (ELF + b"\0/lib64/ld-linux-x86-64.so.2\0", ["xx-verify"], ""),
    (ELF + b"\0/lib64/ld-linux-x86-64.so.2\0", ["xx-verify", "--static"], "is not statically linked"),
    (ELF.replace(b"\x3e", b"\xb7"), ["xx-verify"], "no program for linux/amd64"),
    (b"#!/bin/sh\n", ["xx-verify"], "no program for linux/amd64"),
])  # fmt: skip
def test_a_program_is_verified_by_its_header(bin_folder, tmp_path, content, words, message):
    (tmp_path / "program").write_bytes(content)
    done = _run(bin_folder, *words, str(tmp_path / "program"))
    assert done.returncode == (1 if message else 0)
    assert message in done.stderr
