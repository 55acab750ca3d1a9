"""Publishing: whole reports in the right places, nothing foreign touched, and out of a registry the same bytes as went in."""

import json
import socket
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from deadweight._errors import ArchiveError, CommandError, ConfigError, DeadweightError, UsageError
from deadweight.publish import push as publishing
from deadweight.publish.push import ArtifactFile, badges, destination, earlier, lay_out, publish, push
from deadweight.report.compare import compare
from deadweight.report.history import load_report, write_report
from deadweight.toolchain import crane
from deadweight.toolchain.registry import RegistryError, Remote
from tests.support import report_samples as samples, trees
from tests.support.codes import raises
from tests.support.small_images import docker_archive


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    write_report(samples.report(), folder)
    return folder


def test_a_folder_is_ready_for_static_hosting(written, tmp_path) -> None:
    target = tmp_path / "site" / "images"
    published = publish(written, str(target))
    names = {path.relative_to(target).as_posix() for path in target.rglob("*") if path.is_file()}
    assert {"index.html", "report.json", "report.md", ".nojekyll", "badges/apko.json"} <= names
    assert published.where == str(target / "index.html")
    badge = json.loads((target / "badges/multi-stage-ubuntu.json").read_text())
    words = {"label": "multi-stage-ubuntu image", "message": "98.4 MB (stand-in)", "color": "blue"}
    assert (badge, load_report(target)) == ({"schemaVersion": 1, **words}, load_report(written))
    assert (target / "index.html").read_bytes() == (written / "index.html").read_bytes()
    assert [path.name for path in target.parent.iterdir()] == ["images"], "nothing is left beside it"


@pytest.mark.parametrize("name", [".git", "CNAME", "index.php", "ladder-.txt", "index.html"])
def test_a_folder_with_anything_foreign_is_left_alone(written, tmp_path, name) -> None:
    """So is a page that no report stands beside."""
    if name != "index.html":
        publish(written, str(tmp_path / "site"))
    trees.written(tmp_path / "site", {name: "mine"})
    with raises(UsageError, "publish.foreign_file", folder=tmp_path / "site", file=name):
        publish(written, str(tmp_path / "site"))
    assert (tmp_path / "site" / name).read_text() == "mine"


@pytest.mark.parametrize("to", ["", "https://example.invalid/x", "s3://bucket"])
def test_other_places_are_refused(written, tmp_path, to) -> None:
    with raises(UsageError, "publish.destination", to=to):
        publish(written, to)
    with raises(ConfigError, "report.unreadable"):  # there must be a report
        publish(tmp_path, to)


@pytest.mark.parametrize("name", ["file", "link"])
def test_a_file_or_a_link_is_no_folder(written, tmp_path, name) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with raises(UsageError, "publish.no_folder", path=tmp_path / name):
        publish(written, str(tmp_path / name))
    assert not (tmp_path / "elsewhere").exists()


def test_the_step_summary_is_appended_to_and_without_one_it_goes_to_stdout(written, tmp_path, monkeypatch) -> None:
    summary = tmp_path / "summary.md"
    summary.write_text("before\n")
    changed = compare(samples.report(), load_report(written))
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    published = publish(written, "ci", changed=changed)
    text = summary.read_text()
    assert text.startswith("before\n## Container images: what changed\n")
    assert "multi-stage-ubuntu" in text
    assert "![" not in text, "the pictures are not there"
    assert published.output == ""
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path))
    with raises(DeadweightError, "records.unwritable", path=tmp_path):
        publish(written, "ci")
    monkeypatch.delenv("GITHUB_STEP_SUMMARY")
    published = publish(written, "ci")
    assert (published.where, "### Go ladder" in published.output) == ("stdout", True)


def test_a_report_goes_to_a_registry_and_comes_back(local_registry, written, tmp_path) -> None:
    where = f"oci://{local_registry}/team/report:latest"
    published = publish(written, where)
    assert published.where == where
    manifest = json.loads(Remote(f"{local_registry}/team/report:latest").manifest())
    assert manifest["artifactType"] == publishing.ARTIFACT_TYPE
    assert manifest["config"]["mediaType"] == "application/vnd.oci.empty.v1+json"
    types = {layer["annotations"]["org.opencontainers.image.title"]: layer["mediaType"] for layer in manifest["layers"]}
    assert types["index.html"] == "text/html"
    assert earlier(where, tmp_path) == load_report(written)
    assert earlier(f"oci://{local_registry}/team/report@{published.digest}", tmp_path) == load_report(written)
    assert publish(written, where).digest == published.digest, "the same report has the same digest"


def test_a_registry_that_refuses_is_one_clear_error(local_registry, written, tmp_path) -> None:
    with raises(RegistryError, "registry.no_image", host=local_registry):
        earlier(f"oci://{local_registry}/team/nothing:here", tmp_path)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        with raises(CommandError, "run.failed") as caught:
            publish(written, f"oci://127.0.0.1:{port}/x/y:1")
    assert "refused" in "".join(caught.value.tail)
    assert caught.value.hint == crane.HINTS["refused|no such host|no route|timeout"]


def test_a_variant_is_pushed_and_its_digest_written_down(local_registry, tmp_path) -> None:
    archive = docker_archive(tmp_path / "image.tar", "demo/app:1", [{"/app": b"x"}], {"User": "65532"})
    file = tmp_path / "digests" / "app"
    pushed = push(archive, f"{local_registry}/team/app:1.0", digest_file=file)
    assert file.read_text() == f"{pushed}\n"
    name, _, digest = pushed.partition("@")
    assert name == f"{local_registry}/team/app"
    assert Remote(f"{name}:1.0").manifest() == Remote(f"{name}@{digest}").manifest()


def test_an_oci_archive_is_pushed_as_its_layout_is_and_without_a_report_it_is_none(local_registry, tmp_path) -> None:
    layout = tmp_path / "layout"
    layout.mkdir()
    digest = lay_out(layout, "application/x", (ArtifactFile("a", "text/plain", b"a"),))
    subprocess.run(["tar", "-C", str(layout), "-cf", str(tmp_path / "oci.tar"), "."], check=True)
    assert push(layout, f"{local_registry}/team/layout:1").endswith(f"@{digest}")
    assert push(tmp_path / "oci.tar", f"{local_registry}/team/tar:1").endswith(f"@{digest}")
    with raises(UsageError, "publish.no_report", file="report.json"):
        earlier(f"oci://{local_registry}/team/layout:1", tmp_path)


@pytest.mark.parametrize("content", [b"", b"no archive", b"\x1f\x8b damaged"])
def test_what_is_no_archive_is_not_pushed(tmp_path, content) -> None:
    (tmp_path / "image.tar").write_bytes(content)
    with raises(ArchiveError, "toolchain.no_archive", path=tmp_path / "image.tar"):
        push(tmp_path / "image.tar", "127.0.0.1:1/x/y:1", digest_file=tmp_path / "digest")
    assert not (tmp_path / "digest").exists()


REFUSED = {
    "ghcr.io/me/app:1.0": "publish.shared_tag",
    f"ghcr.io/me/app@sha256:{'a' * 64}": "publish.to_digest",
    "user:hunter2@ghcr.io/app": "records.credentials",
    **dict.fromkeys(("GHCR.io/Me/App", "app", "-x/app"), "records.not_in_registry"),
}


def test_where_a_variant_goes_and_where_it_cannot() -> None:
    assert destination("ghcr.io/me/app", "apko", several=False) == "ghcr.io/me/app:latest"
    assert destination("ghcr.io/me/app:1.0", "apko", several=False) == "ghcr.io/me/app:1.0"
    assert destination("localhost:5000/app", "apko", several=True) == "localhost:5000/app:apko"
    for repository, code in REFUSED.items():
        with raises(UsageError, code) as raised:
            destination(repository, "apko", several=True)
        assert "hunter2" not in str(raised.value)


def test_a_badge_of_what_is_not_measured_is_grey_and_one_of_stand_ins_says_so() -> None:
    def badge(name: str, **records) -> dict:
        return json.loads(badges(samples.report(records))[name])

    def ratio(**records) -> str:
        return badge("ladder-go.json", **records)["message"]

    unknown = badge("one.json", one=replace(samples.variant(), image=None))
    assert (unknown["message"], unknown["color"]) == ("not measured", "lightgrey")
    record = samples.variant()
    own = replace(record, base=replace(record.base, stand_in=False))
    small = replace(own, image=replace(own.image, size_bytes=own.image.size_bytes // 2))
    middle = replace(record, image=replace(own.image, size_bytes=own.image.size_bytes * 3 // 4))
    assert (ratio(one=record, two=small), ratio(one=own, two=small)) == ("2 : 1 (stand-in)", "2 : 1")
    assert ratio(one=own, two=small, three=middle) == "2 : 1", "the ratio is of the largest and the smallest only"
