"""Shells and package managers wherever they lie, and nothing that only has their name."""

from pathlib import Path
from shutil import which

import pytest

from deadweight_images.findings import BY_CONTENT
from deadweight_images.inspect.analyse import analyse
from deadweight_images.inspect.stream import analyse_stream
from tests.support.image_samples import honest_layer as layer
from tests.support.image_samples import saved as image
from tests.support.image_samples import small_pieces

ELF = b"\x7fELF" + bytes(200)
SCRIPT = b"#!/usr/bin/env python3\n"


def found(path: Path, **how) -> set[str]:
    report = analyse(path, scan="no", **how)
    return {item.path for item in (*report.shells, *report.package_managers)}


def runnable(files: dict[str, bytes | str | None]) -> bytes:
    names = {name.rpartition("/")[2] for name in files}
    return layer(files, **dict.fromkeys(names, 0o755))


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_programs_outside_the_usual_folders_count(tmp_path, compression):
    files: dict[str, bytes | str | None] = {
        "busybox/busybox": ELF, "busybox/sh": "busybox", "busybox/ash": "=busybox/busybox", "sh": ELF, "opt/sh": "../tool",
        "tool": ELF,
        "opt/pip": SCRIPT, "usr/share/doc/dash": ELF, "srv/apk": "/busybox/busybox",
    }  # fmt: skip
    path = image(tmp_path, runnable(files), compression=compression)
    wanted = {f"/{name}" for name in files} - {"/tool"}
    assert found(path, cache_dir=tmp_path / "cache") == wanted
    copy = tmp_path / "copy.tar"
    copy.write_bytes(path.read_bytes())
    assert found(copy, cache_dir=tmp_path / "cache") == wanted  # layers come from the cache
    with path.open("rb") as stream:
        report = analyse_stream(stream, scan="no")
    assert {item.path for item in (*report.shells, *report.package_managers)} == wanted


def test_a_version_or_static_behind_the_name_makes_no_difference(tmp_path):
    """Who removes ``pip`` and leaves ``pip3.11`` has a package manager still."""
    names = ("usr/bin/pip3.11", "bin/zsh5", "bin/zsh-5.9", "bin/bash-static", "bin/busybox.static", "usr/bin/gem3.1")
    others = ("usr/bin/python3.11", "usr/bin/es2", "lib/libbash.so.5", "bin/7", "usr/bin/pip-audit2", "bin/static")
    path = image(tmp_path, runnable(dict.fromkeys((*names, *others), ELF)))
    assert found(path) == {f"/{name}" for name in names}


def test_what_only_has_the_name_does_not_count(tmp_path):
    files = {
        "etc/init.d/rc": SCRIPT, "etc/cron.daily/dpkg": SCRIPT, "usr/share/bash-completion/completions/npm": SCRIPT,
        "usr/share/locale/es": b"data", "opt/nu": b"no program", "usr/share/bug/dpkg": SCRIPT, "var/lib/fish": "/etc/hostname",
        "etc/hostname": b"box\n", "opt/doc/examples/snap": SCRIPT, "usr/lib/git-core/git-sh": SCRIPT, "opt/es/x": b"1",
        "empty/sh": b"",
        "usr/share/fish": None,
    }  # fmt: skip
    assert found(image(tmp_path, runnable(files))) == set()
    assert found(image(tmp_path, layer({"opt/sh": ELF, "opt/pip": SCRIPT}))) == set()  # none of them can be run


def test_a_program_that_comes_in_pieces_counts(tmp_path, monkeypatch):
    small_pieces(monkeypatch)
    data = runnable({"opt/small": b"x" * 3000, "opt/nu": ELF + bytes(6 << 20), "opt/fish": bytes(6 << 20)})
    assert found(image(tmp_path, data, compression="gzip")) == {"/opt/nu"}


APPLETS = b"\0".join((b"", b"[", b"ash", b"awk", b"cat", b"dpkg", b"sh", b"wget", b""))
MULTI_CALL = ELF + b"BusyBox v1.36.1 multi-call binary.\n" + APPLETS + b"OPTIND=1\0" + bytes(70_000)


@pytest.mark.parametrize("compression", ["none", "gzip"])
@pytest.mark.parametrize("padding", [0, 3 << 20, 30 << 20])
def test_a_shell_counts_whatever_its_name(tmp_path, compression, padding):
    """A whole busybox at ``/usr/bin/awk`` is a shell for whoever starts it as ``sh``: "no shell" was said of it."""
    path = image(tmp_path, runnable({"usr/bin/awk": MULTI_CALL + bytes(padding)}), compression=compression)
    for _ in range(2):  # from the cache the second time
        report = analyse(path, scan="no", cache_dir=tmp_path / "cache")
        assert [(each.path, each.kind) for each in report.shells] == [("/usr/bin/awk", BY_CONTENT)]
        assert [(each.path, each.kind) for each in report.package_managers] == [("/usr/bin/awk", BY_CONTENT)]


def test_a_program_of_many_names_counts_once(tmp_path):
    """By the names that count, and not by those that a multi-call program has beside them."""
    files = {"bin/busybox": MULTI_CALL, "bin/ls": "=bin/busybox", "bin/cat": "busybox", "usr/bin/dpkg": "/bin/busybox"}
    report = analyse(image(tmp_path, runnable(files)), scan="no")
    assert [each.path for each in report.shells] == ["/bin/busybox"]
    assert [each.path for each in report.package_managers] == ["/usr/bin/dpkg"]


def test_every_shell_of_this_machine_is_known_by_its_content(tmp_path):
    """Bash and dash are on every machine that runs these tests; so are programs that only start a shell."""
    tools = {name: Path(file).read_bytes() for name in ("bash", "dash", "mawk", "perl", "env") if (file := which(name))}
    assert {"bash", "dash", "perl", "env"} <= set(tools)
    path = image(tmp_path, runnable({f"opt/{name}-tool": content for name, content in tools.items()}))
    assert found(path) == {"/opt/bash-tool", "/opt/dash-tool"}


@pytest.mark.parametrize(
    "content",
    [
        b"multi-call binary\0awk\0sed\0/bin/sh\0sh\0-c\0",  # two applets, and what system(3) starts
        b"multicall binary (see toybox --help)\0[\0cat\0wget\0",
        b"coreutils --coreutils-prog=PROGRAM\0cat\0cp\0",
    ],
)
def test_a_multi_call_program_without_a_shell_is_none(tmp_path, content):
    assert found(image(tmp_path, runnable({"usr/bin/awk": ELF + content + bytes(70_000)}))) == set()
