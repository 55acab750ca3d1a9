"""What is in an image: packages, copies, the heaviest paths, shells and package managers wherever they lie."""

import random
import shutil
import struct
import zipfile
from pathlib import Path

import pytest

from deadweight_images.contents.gobuild import MAGIC, InPieces, program
from deadweight_images.errors import wording
from deadweight_images.findings import BY_CONTENT
from deadweight_images.inspect.analyse import analyse
from deadweight_images.layers.indexing import WHOLE
from tests.support.image_samples import honest_layer as layer, saved as image, sha256, small_pieces, streamed
from tests.support.processes import within
from tests.support.trees import zipped

ELF = b"\x7fELF" + bytes(200)
SCRIPT = b"#!/usr/bin/env python3\n"


def of(report) -> set[str]:
    return {item.path for item in (*report.shells, *report.package_managers)}


def paths(path: Path, **how) -> set[str]:
    return of(analyse(path, scan="no", **how))


def runnable(files: dict[str, bytes | str | None]) -> bytes:
    return layer(files, **dict.fromkeys({name.rpartition("/")[2] for name in files}, 0o755))


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_programs_outside_the_usual_folders_count(tmp_path, compression):
    files: dict[str, bytes | str | None] = {
        "busybox/busybox": ELF, "busybox/sh": "busybox", "busybox/ash": "=busybox/busybox", "sh": ELF, "opt/sh": "../tool",
        "tool": ELF,
        "opt/pip": SCRIPT, "usr/share/doc/dash": ELF, "srv/apk": "/busybox/busybox",
    }  # fmt: skip
    path = image(tmp_path, runnable(files), compression=compression)
    wanted = {f"/{name}" for name in files} - {"/tool"}
    assert paths(path, cache_dir=tmp_path / "cache") == wanted
    copy = shutil.copy(path, tmp_path / "copy.tar")
    assert paths(copy, cache_dir=tmp_path / "cache") == wanted  # layers come from the cache
    assert of(streamed(path, scan="no")) == wanted


def test_a_version_or_static_behind_the_name_makes_no_difference(tmp_path):
    """Who removes ``pip`` and leaves ``pip3.11`` has a package manager still."""
    names = ("usr/bin/pip3.11", "bin/zsh5", "bin/zsh-5.9", "bin/bash-static", "bin/busybox.static", "usr/bin/gem3.1")
    others = ("usr/bin/python3.11", "usr/bin/es2", "lib/libbash.so.5", "bin/7", "usr/bin/pip-audit2", "bin/static")
    assert paths(image(tmp_path, runnable(dict.fromkeys((*names, *others), ELF)))) == {f"/{name}" for name in names}


def test_what_only_has_the_name_does_not_count(tmp_path):
    files = {
        "etc/init.d/rc": SCRIPT, "etc/cron.daily/dpkg": SCRIPT, "usr/share/bash-completion/completions/npm": SCRIPT,
        "usr/share/locale/es": b"data", "opt/nu": b"no program", "usr/share/bug/dpkg": SCRIPT, "var/lib/fish": "/etc/hostname",
        "etc/hostname": b"box\n", "opt/doc/examples/snap": SCRIPT, "usr/lib/git-core/git-sh": SCRIPT, "opt/es/x": b"1",
        "empty/sh": b"",
        "usr/share/fish": None,
    }  # fmt: skip
    assert paths(image(tmp_path, runnable(files))) == set()
    assert paths(image(tmp_path, layer({"opt/sh": ELF, "opt/pip": SCRIPT}))) == set()  # none of them can be run


def test_a_program_that_comes_in_pieces_counts(tmp_path, monkeypatch):
    small_pieces(monkeypatch)
    data = runnable({"opt/small": b"x" * 3000, "opt/nu": ELF + bytes(6 << 20), "opt/fish": bytes(6 << 20)})
    assert paths(image(tmp_path, data, compression="gzip")) == {"/opt/nu"}


APPLETS = b"\0".join((b"", b"[", b"ash", b"awk", b"cat", b"dpkg", b"sh", b"wget", b""))
MULTI_CALL = ELF + b"BusyBox v1.36.1 multi-call binary.\n" + APPLETS + b"OPTIND=1\0" + bytes(70_000)


@pytest.mark.parametrize("compression", ["none", "gzip"])
@pytest.mark.parametrize("padding", [0, 3 << 20, 30 << 20])
def test_a_shell_counts_whatever_its_name(tmp_path, compression, padding):
    """A whole busybox at ``/usr/bin/awk`` is a shell for whoever starts it as ``sh``: "no shell" was said of it."""
    path = image(tmp_path, runnable({"usr/bin/awk": MULTI_CALL + bytes(padding)}), compression=compression)
    for _ in range(2):  # from the cache the second time
        report = analyse(path, scan="no", cache_dir=tmp_path / "cache")
        for programs in (report.shells, report.package_managers):
            assert [(tool.path, tool.kind) for tool in programs] == [("/usr/bin/awk", BY_CONTENT)]


def test_a_program_of_many_names_counts_once(tmp_path):
    """By the names that count, and not by those that a multi-call program has beside them."""
    files = {"bin/busybox": MULTI_CALL, "bin/ls": "=bin/busybox", "bin/cat": "busybox", "usr/bin/dpkg": "/bin/busybox"}
    report = analyse(image(tmp_path, runnable(files)), scan="no")
    assert [shell.path for shell in report.shells] == ["/bin/busybox"]
    assert [manager.path for manager in report.package_managers] == ["/usr/bin/dpkg"]


def test_every_shell_of_this_machine_is_known_by_its_content(tmp_path):
    """Bash and dash are on every machine that runs these tests; so are programs that only start a shell."""
    names = ("bash", "dash", "perl", "env", *["mawk"] * bool(shutil.which("mawk")))
    tools = {name: Path(shutil.which(name)).read_bytes() for name in names}
    path = image(tmp_path, runnable({f"opt/{name}-tool": content for name, content in tools.items()}))
    assert paths(path) == {"/opt/bash-tool", "/opt/dash-tool"}


TWO_APPLETS = b"multi-call binary\0awk\0sed\0/bin/sh\0sh\0-c\0"  # and what system(3) starts
TOYBOX, COREUTILS = (
    b"multicall binary (see toybox --help)\0[\0cat\0wget\0",
    b"coreutils --coreutils-prog=PROGRAM\0cat\0cp\0",
)


@pytest.mark.parametrize("content", [TWO_APPLETS, TOYBOX, COREUTILS])
def test_a_multi_call_program_without_a_shell_is_none(tmp_path, content):
    assert paths(image(tmp_path, runnable({"usr/bin/awk": ELF + content + bytes(70_000)}))) == set()


def test_setuid_shells_and_package_managers_of_the_final_view(tmp_path):
    first = layer(
        {"bin/su": b"x", "bin/bash": b"x", "bin/dash": b"x", "bin/sh": "dash", "usr/bin/apt-get": b"x", "usr/bin/zsh": "nowhere",
         "home/sh": b"x", "bin/fish": b"not executable", "usr/bin/pip3": b"x"},
        su=0o4755, bash=0o755, dash=0o755, sh=0o755, pip3=0o755, **{"apt-get": 0o755},
    )  # fmt: skip
    report = analyse(image(tmp_path, first, layer({"bin/.wh.bash": b""})), scan="no")
    assert [(item.path, item.mode) for item in report.setuid] == [("/bin/su", "4755")]
    assert {(item.path, item.target) for item in report.shells} == {("/bin/dash", None), ("/bin/sh", "/bin/dash")}
    managers = {item.path: item.kind for item in report.package_managers}
    assert managers == {"/usr/bin/apt-get": "os", "/usr/bin/pip3": "language"}


def test_duplicated_and_overwritten_bytes(tmp_path):
    data = random.Random(2).randbytes(20_000)
    layers = layer({"a": data}), layer({"a": data, "b": data, "small": b"x"})
    for compression in ("none", "gzip"):
        report = analyse(image(tmp_path, *layers, compression=compression, name=compression), scan="no")
        assert (report.overwritten_bytes, report.duplicated_bytes, report.hidden_bytes) == (20_000, 40_000, 20_000)
        assert [item.hidden_bytes for item in report.layers] == [20_000, 0]
        copies = [(file.path, file.index, file.group, file.copies) for file in report.duplicates]
        assert copies == [("/a", 0, 0, 3), ("/a", 1, 0, 3), ("/b", 1, 0, 3)]


def test_the_copies_that_waste_most_are_told_first_and_not_without_end(tmp_path):
    heavy, light = random.Random(3).randbytes(60_000), random.Random(4).randbytes(17_000)
    files = {f"light{number:03}": light for number in range(3)} | {"heavy1": heavy, "heavy2": heavy}
    report = analyse(image(tmp_path, layer(files)), scan="no")
    named = ["/heavy1", "/heavy2", "/light000", "/light001", "/light002"]
    assert (report.duplicated_bytes, [file.path for file in report.duplicates]) == (60_000 + 2 * 17_000, named)
    many = analyse(image(tmp_path, layer({f"f{number:03}": light for number in range(250)}), name="many"), scan="no")
    assert (many.duplicated_bytes, [file.copies for file in many.duplicates]) == (249 * 17_000, [250] * 200)


def test_removing_one_of_two_hard_links_hides_no_bytes(tmp_path):
    report = analyse(image(tmp_path, layer({"a": b"12345", "b": "=a"}), layer({".wh.a": b""})), scan="no")
    assert ([file.path for file in report.hidden], report.hidden_bytes) == (["/a"], 0)


def test_packages_of_the_os_are_weighed_by_their_file_lists(tmp_path):
    status = b"Package: tool\nStatus: install ok installed\nVersion: 1.2\nArchitecture: amd64\nInstalled-Size: 9\n\n"
    status += b"Package: gone\nStatus: deinstall ok config-files\nVersion: 1\n\n"
    status += b"Package: listless\nStatus: install ok installed\nVersion: 3\nInstalled-Size: 7\n"
    control = b"Package: base-files\nVersion: 12\nInstalled-Size: 3\n"
    data = layer({
        "bin": "usr/bin", "usr/bin/tool": b"x" * 1000, "usr/bin/busybox": b"y" * 700, "etc/os-release": b"12345",
        "var/lib/dpkg/status": status, "var/lib/dpkg/info/tool.list": b"/.\n/bin\n/bin/tool\n/usr/share/doc/tool\n",
        "var/lib/dpkg/status.d/base-files": control, "var/lib/dpkg/status.d/base-files.md5sums": b"d41d8  etc/os-release\n",
        "lib/apk/db/installed": b"P:busybox\nV:1.36-r0\nI:99\nF:bin\nR:busybox\na:0:0:755\n\nP:empty\nV:1\nI:5\nF:\n\n",
    })  # fmt: skip
    packages = analyse(image(tmp_path, data), scan="no").packages
    assert {(p.kind, p.name, p.version, p.size_bytes, p.how) for p in packages} == {
        ("deb", "tool", "1.2", 1000, "measured"), ("deb", "listless", "3", 7168, "declared"),
        ("deb", "base-files", "12", 5, "measured"), ("apk", "busybox", "1.36-r0", 700, "measured"),
        ("apk", "empty", "1", 0, "measured"),
    }  # fmt: skip


@pytest.mark.parametrize("compression", ["none", "zstd"])
def test_jars_are_named_with_those_inside(tmp_path, compression):
    pom, properties = "META-INF/maven/a/b/pom.properties", "groupId=org.example\nartifactId=core\nversion=4.2\n"
    core = zipped({pom: properties})
    app = zipped({"META-INF/MANIFEST.MF": "Implementation-Version: 9\n", "BOOT-INF/lib/core-4.2.jar": core})
    run = zipped({pom: properties.replace("core", "run"), "ballast": b"x" * 100_000}, zipfile.ZIP_STORED)
    data = layer({"app/app.jar": app, "app/bad.jar": b"PK nonsense", "run.jar": run}, **{"run.jar": 0o755})
    packages = analyse(image(tmp_path, data, compression=compression), scan="no").packages
    assert {(p.name, p.version, p.path) for p in packages} == {
        ("app", "9", "/app/app.jar"), ("org.example:run", "4.2", "/run.jar"),
        ("org.example:core", "4.2", "/app/app.jar!/BOOT-INF/lib/core-4.2.jar"),
    }  # fmt: skip


@pytest.mark.parametrize("pack", ["none", "gzip", "zstd"])
def test_what_lies_before_a_file_that_is_too_large_to_be_held_whole_is_looked_at(tmp_path, pack):
    status = b"Package: less\nStatus: install ok installed\nVersion: 1\n\n"
    same = random.Random(1).randbytes(20_000)
    members = {"var/lib/dpkg/status": status, "one": same, "two": same, "huge": bytes(WHOLE + 1), "last": same}
    report = analyse(image(tmp_path, layer(members), compression=pack), scan="no")
    assert ([package.name for package in report.packages], report.duplicated_bytes) == (["less"], 40_000)


@pytest.mark.slow
@pytest.mark.parametrize("scan", ["no", "hidden", "deep"])
@pytest.mark.parametrize("pack", ["none", "gzip", "zstd"])
def test_copies_of_a_file_that_is_read_in_pieces_are_copies(tmp_path, pack, scan, monkeypatch):
    small_pieces(monkeypatch)
    big = random.Random(1).randbytes(9_000_001)
    layers = layer({"a": big, "small": b"x", "b": big}), layer({"c": big + b"x"})
    assert analyse(image(tmp_path, *layers, compression=pack), scan=scan).duplicated_bytes == len(big)


@pytest.mark.parametrize("pack", ["none", "gzip"])
def test_files_of_the_view_tell_their_layer_at_the_first_look(tmp_path, pack):
    layers = layer({"bin/su": b"x"}, su=0o4755), layer({"bin/sh": b"x"}, sh=0o755)
    path = image(tmp_path, *layers, compression=pack)
    first = analyse(path, cache_dir=tmp_path / "cache")
    assert [first.setuid[0].layer, first.shells[0].layer] == list(map(sha256, layers))
    assert analyse(path, scan="plain", cache_dir=tmp_path / "cache").setuid == first.setuid


def test_what_is_too_large_to_be_held_whole_and_has_to_be_is_told(tmp_path, monkeypatch):
    small_pieces(monkeypatch)
    data = layer({"app.jar": b"PK" + bytes(5 << 20), "var/lib/dpkg/status": bytes(17 << 20), "small": b"x"})
    report = analyse(image(tmp_path, data, compression="gzip"), scan="no")
    skipped = {("/app.jar", "jar_too_large"), ("/var/lib/dpkg/status", "database_too_large")}
    skips = {(skip.path, skip.unread, skip.reason) for skip in report.skipped}
    assert skips == {(path, False, wording(f"skip.{code}")) for path, code in skipped}


def test_go_binaries_tell_module_and_version_though_stripped(tmp_path, playground_archive):
    (program,) = [package for package in analyse(playground_archive, scan="no").packages if package.kind == "go"]
    assert (program.path, program.name.rpartition("/")[2]) == ("/app", "vulnerable-awk-playground")
    assert (program.go_version.startswith("go1."), program.size_bytes > 1_000_000) == (True, True)


def test_folders_and_heaviest_paths(tmp_path):
    data = layer({"usr/lib/a": b"x" * 9000, "usr/lib/d/b": b"x" * 6000, "top": b"x" * 5000})
    report = analyse(image(tmp_path, data), scan="no")
    assert [(f.layer, f.folder, f.size_bytes) for f in report.folders] == [(0, "/usr/lib", 15000), (0, "/", 5000)]
    files = [("/usr/lib/a", "file"), ("/usr/lib/d/b", "file"), ("/top", "file")]
    assert [(h.path, h.kind) for h in report.heaviest[:4]] == [*files, ("/usr", "folder")]


# Go's build information in binaries that come in pieces: wherever it lies, and never outside what Go itself reads.

OVERLAP = 64 << 10
PIECE = 4 << 20


def text(value: bytes) -> bytes:
    """A string with its length in front, as Go writes it."""
    size, length = len(value), b""
    while size >= 0x80:
        length, size = length + bytes([size & 0x7F | 0x80]), size >> 7
    return length + bytes([size]) + value


def information(modules: int) -> bytes:
    lines = "".join(f"dep\texample.org/module{number}\tv1.0.{number}\n" for number in range(modules))
    info = bytes(16) + f"path\texample.org/shop\nmod\texample.org/shop\tv1\n{lines}".encode() + bytes(16)
    return MAGIC + b"\x08\x02" + bytes(16) + text(b"go1.27.2") + text(info)


def binary(place: int, info: bytes, *, segment: int, wide: bool = True, size: int = 3 * PIECE) -> bytes:
    """An ELF file whose writable segment begins at ``segment``, with the information at ``place``."""
    head = bytearray(64)
    head[:6] = b"\x7fELF" + bytes([2 if wide else 1, 1])
    struct.pack_into("<Q" if wide else "<I", head, 0x20 if wide else 0x1C, 64)
    struct.pack_into("<HH", head, 0x36 if wide else 0x2A, 56 if wide else 32, 2)
    for flags, at, held in ((5, 0, segment), (6, segment, size - segment)):
        places = (at, at, at, held, held)
        head += struct.pack("<II6Q", 1, flags, *places, 4096) if wide else struct.pack("<8I", 1, *places, flags, 4096)
    content = bytearray(random.Random(1).randbytes(size))
    content[: len(head)] = head
    content[place : place + len(info)] = info
    return bytes(content)


def sought(content: bytes):
    seeker, starts = InPieces(), range(0, len(content), PIECE - OVERLAP)
    answers = (seeker.take(memoryview(content)[start : start + PIECE], start) for start in starts)
    return next((answer for answer in answers if answer is not None), None)


PLACES = (1 << 20, PIECE - 20, PIECE - 3, PIECE - OVERLAP + 1, 2 * PIECE - OVERLAP - 7, 3 * PIECE - 40_000)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("modules", [3, 500])
def test_it_is_found_wherever_pieces_are_cut(place, modules):
    program = sought(binary(place, information(modules), segment=4096))
    assert (program.module, program.go_version, len(program.modules)) == ("example.org/shop", "go1.27.2", modules)


def test_more_of_it_than_two_pieces_share_is_put_together():
    info = information(5000)
    assert (len(sought(binary(PIECE - 100, info, segment=4096)).modules), len(info) > 2 * OVERLAP) == (5000, True)


@pytest.mark.parametrize("wide", [True, False])
def test_it_is_sought_where_go_seeks_it(wide):
    info = information(3)
    assert sought(binary(2 * PIECE, info, segment=PIECE, wide=wide)).module == "example.org/shop"
    assert sought(binary(PIECE // 2, info, segment=PIECE, wide=wide)) is None


@pytest.mark.parametrize("head", [b"MZ", b"\x7fELF\x02\x01" + b"\xff" * 90], ids=["another kind", "damaged"])
def test_without_a_list_of_segments_all_of_it_is_looked_at(head):
    content = bytearray(binary(2 * PIECE, information(3), segment=4096))
    content[: len(head)] = head
    assert sought(bytes(content)).module == "example.org/shop"


@pytest.mark.parametrize("table", [0, 64, 1 << 63, (1 << 64) - 64])
@pytest.mark.parametrize("names", [64, 1 << 63, (1 << 64) - 1])
def test_sections_that_lie_nowhere_are_no_build_information(table, names):
    head = bytearray(b"\x7fELF\x02\x01" + bytes(400))
    struct.pack_into("<Q", head, 0x28, table)
    struct.pack_into("<HHH", head, 0x3A, 64, 1, 0)
    struct.pack_into("<IIQQQQ", head, 64, 0, 0, 0, 0, names, names)
    assert program(memoryview(head)) is None


@pytest.mark.parametrize(("size", "count"), [(0, 65535), (56, 65535), (56, 1000), (1, 1000)])
def test_segments_one_over_another_are_looked_at_once(size, count):
    """One table entry, taken again and again, would have all of the file looked at as often."""
    content = bytearray(binary(2 * PIECE, b"", segment=4096))
    struct.pack_into("<HH", content, 0x36, size, count)
    content[64 : 64 + 56 * 1000] = struct.pack("<IIQQQQQQ", 1, 6, 0, 0, 0, 3 * PIECE, 3 * PIECE, 4096) * 1000
    with within(1, processor=True):
        assert sought(bytes(content)) is None


def test_marks_without_information_cost_no_more_than_the_rest():
    content = bytearray(binary(3 * PIECE - 40_000, information(3), segment=4096))
    for place in range(1 << 20, (1 << 20) + 40 * 64, 64):
        content[place : place + 16] = MAGIC + b"\x08\x02"
    assert sought(bytes(content)).module == "example.org/shop"
