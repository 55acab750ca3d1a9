"""The whole look: hidden files with both instructions, secrets wherever they are, packages, caches, streams, extraction."""

import dataclasses
import datetime
import gzip
import io
import json
import random
import zipfile
from pathlib import Path

import pytest

from deadweight._errors import ArchiveError, UsageError
from deadweight_images.errors import wording
from deadweight_images.findings import from_json
from deadweight_images.inspect.analyse import analyse, document
from deadweight_images.inspect.cache import identity
from deadweight_images.inspect.extract import extract, safe_name
from deadweight_images.inspect.stream import analyse_stream
from deadweight_images.layers import indexing as portions
from deadweight_images.secrets.model import AllowEntry
from tests.support import image_samples as samples
from tests.support.codes import raises
from tests.support.image_samples import honest_layer as layer
from tests.support.image_samples import saved as image
from tests.support.image_samples import small_pieces
from tests.support.secret_samples import github_token
from tests.support.trees import written, zipped

TOKEN = github_token(random.Random(7)).decode()
CONFIG = f"github_token = {TOKEN}\n".encode()

ROOT = layer({"etc": None, "etc/hostname": b"box\n", "bin": None})
ADDS = layer({"etc/app.conf": CONFIG})
REMOVES = layer({"etc/.wh.app.conf": b""})
HISTORY = [{"created_by": text} for text in ("FROM scratch", "COPY app.conf /etc/", "RUN rm /etc/app.conf")]


@pytest.fixture
def deleted(tmp_path) -> Path:
    return image(tmp_path, ROOT, ADDS, REMOVES, history=HISTORY)


@pytest.mark.parametrize("scan", ["deep", "plain", "hidden"])
def test_a_deleted_secret_is_found_with_both_instructions(deleted, scan):
    report = analyse(deleted, scan=scan)
    (file,) = report.hidden
    assert (file.path, file.how, file.size_bytes) == ("/etc/app.conf", "removed", len(CONFIG))
    assert (file.added_by, file.hidden_by) == ("COPY app.conf /etc/", "RUN rm /etc/app.conf")
    assert (file.layer, file.hidden_in) == (samples.sha256(ADDS), samples.sha256(REMOVES))
    assert [mark.rule for mark in file.secrets] == ["github-pat"]
    assert report.hidden_bytes == len(CONFIG)
    assert report.counted_secrets == 1
    assert report.secrets == ()
    assert TOKEN not in document(report)


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
@pytest.mark.parametrize("scan", ["deep", "hidden"])
def test_compressed_layers_give_the_same_findings(tmp_path, deleted, compression, scan):
    packed = image(tmp_path, ROOT, ADDS, REMOVES, history=HISTORY, name="packed.tar", compression=compression)
    plain, other = analyse(deleted, scan=scan), analyse(packed, scan=scan)
    assert other.hidden == plain.hidden
    assert other.layers[0].compressed_bytes == len(samples.packed(ROOT, compression))
    assert all(item.verified for item in other.layers)


def test_without_a_scan_there_are_no_secrets(deleted):
    report = analyse(deleted, scan="no")
    assert (report.scanned, report.rule_set, report.counted_secrets, len(report.hidden)) == ("no", None, 0, 1)


def test_the_document_has_the_shape_of_the_contract(deleted):
    data = json.loads(document(analyse(deleted)))
    assert {"layers", "hidden", "secrets", "setuid", "shells", "package_managers"} <= data.keys()
    assert {"digest", "diff_id", "size_bytes", "compressed_bytes", "instruction"} <= data["layers"][0].keys()
    wanted = {"path", "size_bytes", "layer", "added_by", "hidden_in", "hidden_by", "secrets"}
    assert wanted <= data["hidden"][0].keys()
    assert {"rule", "fingerprint"} <= data["hidden"][0]["secrets"][0].keys()
    assert document(from_json(data)) == document(analyse(deleted))
    assert analyse(deleted).json() == dataclasses.asdict(analyse(deleted))


def test_secrets_in_config_and_history_are_found_where_they_stand(tmp_path):
    config = {"Env": ["PATH=/bin", f"TOKEN={TOKEN}"], "Labels": {"key": TOKEN}}
    config["Healthcheck"] = {"Test": ["CMD", f"x {TOKEN}"]}
    history = [{"created_by": f"RUN |1 TOKEN={TOKEN} /bin/sh -c make"}]
    found = {secret.where for secret in analyse(image(tmp_path, ROOT, config=config, history=history)).secrets}
    assert found == {"config.Env[1]", "config.Labels[key]", "history[0].created_by", "config.Healthcheck.Test[1]"}


def test_a_visible_secret_names_its_layer(tmp_path):
    (secret,) = analyse(image(tmp_path, ROOT, ADDS, history=HISTORY[:2])).secrets
    assert (secret.where, secret.path, secret.added_by) == ("file", "/etc/app.conf", "COPY app.conf /etc/")
    assert secret.layer == samples.sha256(ADDS)


def test_a_secret_between_the_files_is_found(tmp_path):
    comment = samples.pax(comment=f" token={TOKEN} ") + samples.file(b"a", b"x")
    after = samples.layer(samples.file(b"b", b"x")) + samples.padded(b"\n" + CONFIG)
    report = analyse(image(tmp_path, samples.layer(comment), after))
    assert [(secret.where, secret.inner) for secret in report.secrets] == [("file", "extended header"), ("layer", "")]
    assert wording("skip.behind_end") in [skip.reason for skip in report.skipped]


def test_the_first_of_two_members_of_one_name_is_hidden(tmp_path):
    twice = samples.layer(samples.file(b"a", CONFIG), samples.file(b"a", b"clean"))
    (file,) = analyse(image(tmp_path, twice)).hidden
    assert (file.how, file.index, file.hidden_index, len(file.secrets)) == ("replaced", 0, 0, 1)


def test_of_several_allow_entries_the_lasting_one_holds(deleted):
    mark = analyse(deleted).hidden[0].secrets[0].fingerprint
    entries = [AllowEntry(mark.upper(), "for ever"), AllowEntry(mark, "old", datetime.date(2020, 1, 1))]
    for order in (1, -1):
        report = analyse(deleted, allow=entries[::order])
        assert (report.counted_secrets, report.hidden[0].secrets[0].allowed) == (0, "for ever")


def test_allow_list_entries_end(deleted):
    mark = analyse(deleted).hidden[0].secrets[0]
    entry = AllowEntry(mark.fingerprint, "a sample", datetime.date(2030, 1, 1))
    before = analyse(deleted, allow=[entry], today=datetime.date(2030, 1, 1))
    after = analyse(deleted, allow=[entry], today=datetime.date(2030, 1, 2))
    assert (before.counted_secrets, before.hidden[0].secrets[0].allowed) == (0, "a sample")
    assert (after.counted_secrets, after.hidden[0].secrets[0].allowed) == (1, None)


def test_known_layers_are_not_read_again_and_those_of_another_archive_are_hashed_alone(tmp_path, deleted, monkeypatch):
    from deadweight_images.archive import archive
    from deadweight_images.secrets.regions import Probe

    first = analyse(deleted, cache_dir=tmp_path / "cache")
    monkeypatch.setattr(Probe, "region", None)
    copy = tmp_path / "copy.tar"
    copy.write_bytes(deleted.read_bytes())
    assert analyse(copy, cache_dir=tmp_path / "cache") == first
    monkeypatch.setattr(archive, "open_archive", None)
    assert analyse(deleted, cache_dir=tmp_path / "cache") == first


def test_a_known_name_on_other_content_is_noticed(tmp_path, deleted):
    cache = tmp_path / "cache"
    analyse(deleted, cache_dir=cache)
    forged = tmp_path / "forged.tar"
    forged.write_bytes(deleted.read_bytes().replace(TOKEN.encode(), TOKEN[::-1].encode()))
    with raises(ArchiveError, "archive.changed"):
        analyse(forged, cache_dir=cache)


def test_a_damaged_cache_counts_as_none(tmp_path, deleted):
    cache = tmp_path / "cache"
    first = analyse(deleted, cache_dir=cache)
    for file in [path for path in cache.rglob("*") if path.is_file()]:
        file.write_bytes(file.read_bytes()[:-20])
    assert analyse(deleted, cache_dir=cache) == first


@pytest.mark.slow
def test_each_file_of_a_folder_is_part_of_its_identity(tmp_path):
    written(tmp_path, {f"{number}": b"" for number in range(5001)} | {"blobs/x": b"1"})
    first = identity(tmp_path)
    (tmp_path / "blobs" / "x").write_bytes(b"22")
    assert identity(tmp_path) != first


@pytest.mark.parametrize("scan", ["deep", "plain", "hidden", "no"])
@pytest.mark.parametrize("pack", [lambda data: data, lambda data: gzip.compress(data, 1)])
def test_a_stream_gives_what_the_file_gives(deleted, scan, pack):
    stream = io.BytesIO(pack(deleted.read_bytes()))
    assert analyse_stream(stream, scan=scan) == analyse(deleted, scan=scan)


def test_streams_of_oci_layouts_and_packed_layers(tmp_path):
    made = samples.build(ROOT, ADDS, REMOVES, history=HISTORY, compression="gzip")
    path = samples.both_layouts(tmp_path / "x.tar", made)
    assert analyse_stream(io.BytesIO(path.read_bytes())) == analyse(path)


@pytest.mark.parametrize("size", [0, 100, 700, 3000])
def test_a_stream_that_ends_early_is_an_error(deleted, size):
    with pytest.raises(ArchiveError):
        analyse_stream(io.BytesIO(deleted.read_bytes()[:size]))


@pytest.mark.slow
def test_big_files_are_looked_at_to_their_end_in_either_kind_of_layer(tmp_path, monkeypatch):
    monkeypatch.setattr(portions, "SEGMENT", 4 << 20)  # so that the big one is more than four of them, and cut
    noise = random.Random(1).randbytes(1 << 20) * 30
    big = noise + b"\n" + CONFIG + noise[:100] + b"\n"
    data = layer({"big": big, "after": b"x" * 100, "small.conf": CONFIG})
    for compression in ("none", "gzip"):
        report = analyse(image(tmp_path, data, compression=compression, name=f"{compression}.tar"), scan="plain")
        assert {secret.path: secret.rule for secret in report.secrets} == dict.fromkeys(
            ("/big", "/small.conf"), "github-pat"
        )


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
        copies = [(each.path, each.index, each.group, each.copies) for each in report.duplicates]
        assert copies == [("/a", 0, 0, 3), ("/a", 1, 0, 3), ("/b", 1, 0, 3)]


def test_the_copies_that_waste_most_are_told_first_and_not_without_end(tmp_path):
    heavy, light = random.Random(3).randbytes(60_000), random.Random(4).randbytes(17_000)
    files = {f"light{number:03}": light for number in range(3)} | {"heavy1": heavy, "heavy2": heavy}
    report = analyse(image(tmp_path, layer(files)), scan="no")
    assert report.duplicated_bytes == 60_000 + 2 * 17_000
    assert [each.path for each in report.duplicates] == ["/heavy1", "/heavy2", "/light000", "/light001", "/light002"]
    many = analyse(image(tmp_path, layer({f"f{number:03}": light for number in range(250)}), name="many"), scan="no")
    assert many.duplicated_bytes == 249 * 17_000
    assert len(many.duplicates) == 200
    assert {each.copies for each in many.duplicates} == {250}


def test_removing_one_of_two_hard_links_hides_no_bytes(tmp_path):
    report = analyse(image(tmp_path, layer({"a": b"12345", "b": "=a"}), layer({".wh.a": b""})), scan="no")
    assert [file.path for file in report.hidden] == ["/a"]
    assert report.hidden_bytes == 0


def test_debian_packages_are_weighed_by_their_file_lists(tmp_path):
    status = b"Package: tool\nStatus: install ok installed\nVersion: 1.2\nArchitecture: amd64\nInstalled-Size: 9\n\n"
    status += b"Package: gone\nStatus: deinstall ok config-files\nVersion: 1\n\n"
    status += b"Package: listless\nStatus: install ok installed\nVersion: 3\nInstalled-Size: 7\n"
    first = layer({"bin": "usr/bin", "usr/bin/tool": b"x" * 1000, "var/lib/dpkg/status": status,
                   "var/lib/dpkg/info/tool.list": b"/.\n/bin\n/bin/tool\n/usr/share/doc/tool\n"})  # fmt: skip
    packages = analyse(image(tmp_path, first), scan="no").packages
    found = {(p.kind, p.name, p.version, p.size_bytes, p.how) for p in packages}
    assert found == {("deb", "tool", "1.2", 1000, "measured"), ("deb", "listless", "3", 7168, "declared")}


@pytest.mark.parametrize("pack", ["none", "gzip", "zstd"])
def test_what_lies_before_a_file_that_is_too_large_to_be_held_whole_is_looked_at(tmp_path, pack):
    status = b"Package: less\nStatus: install ok installed\nVersion: 1\n\n"
    same = random.Random(1).randbytes(20_000)
    members = {"var/lib/dpkg/status": status, "one": same, "two": same, "huge": bytes(portions.WHOLE + 1), "last": same}
    report = analyse(samples.saved(tmp_path, layer(members), compression=pack), scan="no")
    assert [package.name for package in report.packages] == ["less"]
    assert report.duplicated_bytes == 40_000


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
    built = samples.build(layer({"bin/su": b"x"}, su=0o4755), layer({"bin/sh": b"x"}, sh=0o755), compression=pack)
    path = samples.docker_save(tmp_path / "x.tar", built)
    first = analyse(path, cache_dir=tmp_path / "cache")
    assert [first.setuid[0].layer, first.shells[0].layer] == list(map(samples.sha256, built.layers))
    assert analyse(path, scan="plain", cache_dir=tmp_path / "cache").setuid == first.setuid


def test_distroless_and_apk_packages(tmp_path):
    control = b"Package: base-files\nVersion: 12\nInstalled-Size: 3\n"
    apk = b"P:busybox\nV:1.36-r0\nI:99\nF:bin\nR:busybox\na:0:0:755\n\nP:empty\nV:1\nI:5\nF:\n\n"
    data = layer({
        "var/lib/dpkg/status.d/base-files": control, "var/lib/dpkg/status.d/base-files.md5sums": b"d41d8  etc/os-release\n",
        "etc/os-release": b"12345", "lib/apk/db/installed": apk, "bin/busybox": b"y" * 700,
    })  # fmt: skip
    found = {(p.kind, p.name, p.size_bytes) for p in analyse(image(tmp_path, data), scan="no").packages}
    assert found == {("deb", "base-files", 5), ("apk", "busybox", 700), ("apk", "empty", 0)}


def test_jars_are_named_with_those_inside(tmp_path):
    properties = "groupId=org.example\nartifactId=core\nversion=4.2\n"
    core = zipped({"META-INF/maven/org.example/core/pom.properties": properties})
    app = zipped({"META-INF/MANIFEST.MF": "Implementation-Version: 9\n", "BOOT-INF/lib/core-4.2.jar": core})
    data = layer({"app/app.jar": app, "app/bad.jar": b"PK nonsense"})
    inner = ("org.example:core", "4.2", "/app/app.jar!/BOOT-INF/lib/core-4.2.jar")
    for compression in ("none", "zstd"):
        report = analyse(image(tmp_path, data, compression=compression, name=compression), scan="no")
        assert {(p.name, p.version, p.path) for p in report.packages} == {("app", "9", "/app/app.jar"), inner}


def test_a_jar_that_may_be_run_is_a_jar_all_the_same(tmp_path):
    properties = {"META-INF/maven/a/b/pom.properties": "groupId=a\nartifactId=b\nversion=1\n"}
    jar = zipped({**properties, "ballast": b"x" * 100_000}, zipfile.ZIP_STORED)
    data = samples.layer(samples.file(b"b.jar", jar, mode=0o755))
    assert [package.name for package in analyse(image(tmp_path, data), scan="no").packages] == ["a:b"]


def test_what_is_too_large_to_be_held_whole_and_has_to_be_is_told(tmp_path, monkeypatch):
    small_pieces(monkeypatch)
    data = layer({"app.jar": b"PK" + bytes(5 << 20), "var/lib/dpkg/status": bytes(17 << 20), "small": b"x"})
    report = analyse(image(tmp_path, data, compression="gzip"), scan="no")
    assert [(skip.path, skip.unread, skip.reason) for skip in report.skipped] == [
        ("/app.jar", False, wording("skip.jar_too_large")),
        ("/var/lib/dpkg/status", False, wording("skip.database_too_large")),
    ]


def test_go_binaries_tell_module_and_version_though_stripped(tmp_path, playground_archive):
    report = analyse(playground_archive, scan="no")
    (program,) = [package for package in report.packages if package.kind == "go"]
    assert program.path == "/app"
    assert program.name.endswith("vulnerable-awk-playground")
    assert program.go_version.startswith("go1.")
    assert program.size_bytes > 1_000_000


def test_folders_and_heaviest_paths(tmp_path):
    data = layer({"usr/lib/a": b"x" * 9000, "usr/lib/d/b": b"x" * 6000, "top": b"x" * 5000})
    report = analyse(image(tmp_path, data), scan="no")
    assert [(f.layer, f.folder, f.size_bytes) for f in report.folders] == [(0, "/usr/lib", 15000), (0, "/", 5000)]
    files = [("/usr/lib/a", "file"), ("/usr/lib/d/b", "file"), ("/top", "file")]
    assert [(h.path, h.kind) for h in report.heaviest[:4]] == [*files, ("/usr", "folder")]


@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
def test_extraction_proves_what_is_hidden(tmp_path, compression):
    path = image(tmp_path, ROOT, ADDS, REMOVES, compression=compression)
    (done,) = extract(path, analyse(path, scan="no").hidden, tmp_path / "out")
    assert done.written == tmp_path / "out" / "layer-2" / "etc" / "app.conf"
    assert done.written.read_bytes() == CONFIG
    assert done.written.stat().st_mode & 0o7777 == 0o600


def test_extraction_writes_no_links_and_stays_in_its_folder(tmp_path):
    bad = samples.layer(
        samples.header(b"link", kind=b"2", link=b"/etc/passwd"),
        samples.header(b"dev", kind=b"3"),
        samples.file(b"a/...", b"1"),
        samples.file(b"a/ b\n\x1b[31m", b"2"),
        samples.file(b"a/_b__[31m", b"3"),
        samples.pax(path="long/" * 40 + "x" * 300) + samples.file(b"x", b"4"),
    )
    path = image(tmp_path, bad, layer({".wh..wh..opq": b""}))
    done = extract(path, analyse(path, scan="no").hidden, tmp_path / "out")
    written = [item.written for item in done if item.written]
    assert len(written) == len(set(written)) == 4
    assert sorted(p.read_bytes() for p in written) == [b"1", b"2", b"3", b"4"]
    assert all(p.resolve().is_relative_to((tmp_path / "out").resolve()) and not p.is_symlink() for p in written)
    assert [item.problem for item in done if not item.written] == [wording("extract.no_content")] * 2


def test_extraction_refuses_a_folder_with_content(tmp_path, deleted):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "layer-2").symlink_to("/")
    with raises(UsageError, "folder.not_empty", what=tmp_path / "out"):
        extract(deleted, analyse(deleted, scan="no").hidden, tmp_path / "out")


@pytest.mark.parametrize(
    ("path", "safe"),
    [
        ("/etc/x", "etc/x"), ("/../x", "__/x"), ("/.", "_"), ("/", "_"), ("/a b/\\xff", "a_b/_xff"),
        ("/.ssh/id", ".ssh/id"),
    ],
)  # fmt: skip
def test_safe_names(path, safe):
    assert safe_name(path) == Path(safe)


def test_no_instruction_shows_a_secret_that_is_found_in_it(tmp_path):
    """Instructions are printed, published in the report and uploaded as SARIF."""
    said = f"RUN echo token={TOKEN} > /etc/app.conf && echo {TOKEN}"
    history = [{"created_by": text} for text in ("FROM scratch", said, "RUN rm /etc/app.conf")]
    report = analyse(image(tmp_path, ROOT, ADDS, REMOVES, history=history))
    assert TOKEN not in document(report)
    cut = f"ghp_… ({len(TOKEN)} bytes)"
    assert report.hidden[0].added_by == f"RUN echo token={cut} > /etc/app.conf && echo {cut}"
    assert "history[1].created_by" in {each.where for each in report.secrets}
