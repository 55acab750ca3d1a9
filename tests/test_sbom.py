"""SBOMs in both formats for images, builders' claims against what is in the image, and SBOMs attached to a pushed image."""

from __future__ import annotations

import json
import urllib.request
from dataclasses import replace
from pathlib import Path

import pytest
from scan_samples import debian_files, image
from small_images import go_program
from small_project import put_built, subject_of, write_suite

from deadweight._errors import DeadweightError, UsageError
from deadweight.checks.scan.sbom import Part, compare, forms, parts, write_sboms
from deadweight.publish.attach import attach
from deadweight.publish.push import push

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.tools
SUITE = "name: demo\ndefaults: {builder: ko, base: example.com/base}\nvariants:\n  app: {}\n"
APK = b"""C:Q1AAAA
P:own
V:1.0-r0
A:x86_64
S:10
I:10
F:usr/share
R:own

"""


@pytest.fixture(scope="module")
def app(tmp_path_factory) -> Path:
    return go_program(ROOT / "tests" / "services" / "misbehave", tmp_path_factory.mktemp("app") / "app")


def subject(root: Path, app: Path, files, claimed: dict | None = None):
    archive = image(root / "image.tar", app, files)
    suite = write_suite(root, SUITE)
    built = put_built(suite, "app", archive, "x:1")
    if claimed is not None:
        (root / ".deadweight" / "images" / "app" / "own.spdx.json").write_text(json.dumps(claimed))
        built = replace(built, sbom=("own.spdx.json",))
    return subject_of(suite, "app", built, archive, None)  # type: ignore[arg-type]


def spdx(*purls: str) -> dict:
    packages = [{"name": purl, "externalRefs": [{"referenceType": "purl", "referenceLocator": purl}]} for purl in purls]
    return {"spdxVersion": "SPDX-2.3", "packages": packages}


def test_both_formats_name_every_package_and_need_no_database(tmp_path, app, scanner):
    made = write_sboms(subject(tmp_path, app, debian_files()))
    documents = [json.loads(Path(file.path).read_text()) for file in made.files]
    assert [(file.form, file.by.split()[0]) for file in made.files] == [("spdx", "trivy"), ("cyclonedx", "trivy")]
    for document in documents:
        named = {(part.type, part.name, part.version) for part in parts(document)}
        assert {("deb", "libfoo", "1.0-1"), ("deb", "unused", "1.0"), ("deb", "linux-libc-dev", "6.1.1-1")} <= named
        assert any(name == "stdlib" for _, name, _ in named)
    assert documents[0]["spdxVersion"].startswith("SPDX-2")
    assert (documents[0]["name"], documents[0]["creationInfo"]["created"]) == ("demo/app", "2026-01-01T00:00:00Z")
    assert documents[1]["metadata"]["component"]["name"] == "demo/app"
    assert str(tmp_path) not in json.dumps(documents)
    assert not made.compared


def test_packages_of_an_unknown_system_are_added(tmp_path, app, scanner):
    """The scanner writes no package of a distribution that it does not know into its SBOM."""
    files = {"/etc/os-release": b"ID=nobody-knows\n", "/lib/apk/db/installed": APK, "/usr/share/own": b"x"}
    made = write_sboms(subject(tmp_path, app, files))
    for file in made.files:
        document = json.loads(Path(file.path).read_text())
        assert Part("apk", "own", "1.0-r0") in set(parts(document))
        assert file.added == 1


def test_a_builders_claims_are_held_against_the_image(tmp_path, app, scanner):
    claims = spdx(
        "pkg:apk/wolfi/own@1.0-r0?arch=x86_64", "pkg:apk/wolfi/ghost@2.0", "pkg:oci/image@sha256:0", "pkg:golang/stdlib"
    )
    files = {"/lib/apk/db/installed": APK + APK.replace(b"P:own", b"P:hidden"), "/usr/share/own": b"x"}
    made = write_sboms(subject(tmp_path, app, files, claims), ("spdx",))
    assert made.compared
    assert made.absent == ("apk ghost 2.0",)
    assert "apk hidden 1.0-r0" in made.unclaimed
    assert not any("stdlib" in each or "own" in each for each in made.unclaimed)
    assert json.loads(Path(made.files[0].path).read_text()) == claims
    assert made.files[0].by == "test"


def test_a_builders_sbom_that_is_damaged_is_one_error(tmp_path, app):
    found = subject(tmp_path, app, {}, {})
    (tmp_path / ".deadweight" / "images" / "app" / "own.spdx.json").write_text("{")
    with pytest.raises(DeadweightError, match="SBOM cannot be read"):
        write_sboms(found)


def test_versions_that_one_side_lacks_match_all():
    claimed = [Part("golang", "a", ""), Part("deb", "b", "1"), Part("deb", "c", "1")]
    present = [Part("golang", "a", "v1"), Part("deb", "b", "2"), Part("deb", "c", "1"), Part("apk", "c", "1")]
    assert compare(claimed, present) == ([Part("deb", "b", "1")], [Part("apk", "c", "1"), Part("deb", "b", "2")])


@pytest.mark.parametrize(
    ("purl", "part"),
    [
        ("pkg:golang/github.com/a/b@v1.2.3?type=module", Part("golang", "github.com/a/b", "v1.2.3")),
        ("pkg:golang/example.com/app@(devel)", Part("golang", "example.com/app", "")),
        ("pkg:deb/debian/g%2B%2B@12%3A1?arch=amd64", Part("deb", "g++", "12:1")),
        ("pkg:apk/wolfi/busybox@1.36-r0", Part("apk", "busybox", "1.36-r0")),
        ("pkg:maven/org.example/lib@1.0", Part("maven", "lib", "1.0")),
        ("pkg:oci/image@sha256:0", None),
        ("nothing", None),
    ],
)
def test_package_urls(purl, part):
    assert list(parts(spdx(purl))) == ([part] if part else [])


def test_forms():
    assert forms("both") == forms(None) == ("spdx", "cyclonedx")
    assert forms("spdx") == ("spdx",)
    with pytest.raises(UsageError):
        forms("pdf")


def test_sboms_are_attached_to_a_pushed_image(tmp_path, app, scanner, local_registry):
    """Found through the registry's referrers, or the list under the fallback tag; and by a tag of their own."""
    made = write_sboms(subject(tmp_path, app, debian_files()))
    pushed = push(tmp_path / "image.tar", f"{local_registry}/team/app:1")
    attached = attach(pushed.reference, made.files)
    assert [each.form for each in attached] == ["spdx", "cyclonedx"]
    for each, file in zip(attached, made.files, strict=True):
        manifest = get(local_registry, f"team/app/manifests/{each.tag.rpartition(':')[2]}")
        assert (manifest["subject"]["digest"], manifest["artifactType"]) == (
            pushed.digest,
            manifest["layers"][0]["mediaType"],
        )
        content = get(local_registry, f"team/app/blobs/{manifest['layers'][0]['digest']}")
        assert content == json.loads(Path(file.path).read_text())
    place = (
        "referrers/" + pushed.digest
        if attached[0].found_by == "referrers"
        else "manifests/" + pushed.digest.replace(":", "-")
    )
    listed = {entry["digest"] for entry in get(local_registry, f"team/app/{place}")["manifests"]}
    assert {each.reference.partition("@")[2] for each in attached} <= listed


def get(registry: str, path: str) -> dict:
    types = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json"
    request = urllib.request.Request(f"http://{registry}/v2/{path}", headers={"Accept": types})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)
