"""SBOMs in both formats for images, builders' claims against what is in the image, and SBOMs attached to a pushed image."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import requests

from deadweight._errors import DeadweightError, UsageError
from deadweight.checks.scan.sbom import Part, SbomFile, forms, only_in, packages, parts, without_twins, write_sboms
from deadweight.publish.push import attach, push
from tests.support.codes import raises
from tests.support.scan_samples import debian_files, image
from tests.support.small_project import built_subject, write_suite
from tests.support.trees import zipped as jar

pytestmark = pytest.mark.tools
SUITE = "name: demo\ndefaults: {builder: ko, base: example.com/base}\nvariants:\n  app: {}\n"
APK = b"C:Q1AAAA\nP:own\nV:1.0-r0\nA:x86_64\nS:10\nI:10\nF:usr/share\nR:own\n\n"


@pytest.fixture(scope="module")
def app(misbehaving_archive) -> Path:
    return misbehaving_archive.parent / "app"


def subject(root: Path, app: Path, files, claimed: dict | None = None, entrypoint: str = "/app"):
    archive = image(root / "image.tar", app, files, entrypoint=entrypoint)
    made = built_subject(write_suite(root, SUITE), "app", archive, "x:1", None)
    if claimed is None:
        return made
    (root / ".deadweight" / "images" / "app" / "own.spdx.json").write_text(json.dumps(claimed))
    return replace(made, built=replace(made.built, sbom=("own.spdx.json",)))


@pytest.fixture
def written(tmp_path, app, scanner):
    """Each SBOM of an image with these files: the file's record, and the document."""

    def made(files, **image) -> list[tuple[SbomFile, dict]]:
        sboms = write_sboms(subject(tmp_path, app, files, **image))
        return [(file, json.loads(Path(file.path).read_text())) for file in sboms.files]

    return made


def spdx(*purls: str) -> dict:
    """A document that names these packages."""
    references = [{"referenceType": "purl", "referenceLocator": purl} for purl in purls]
    return {"spdxVersion": "SPDX-2.3", "packages": [{"externalRefs": [reference]} for reference in references]}


def judged(file: SbomFile) -> list[str]:
    """What the field's own strict validators say is wrong with a document that was written."""
    if file.form == "cyclonedx":
        from cyclonedx.schema import SchemaVersion
        from cyclonedx.validation.json import JsonStrictValidator

        text = Path(file.path).read_text()
        error = JsonStrictValidator(SchemaVersion.from_version(json.loads(text)["specVersion"])).validate_str(text)
        return [] if error is None else [repr(error)]
    from spdx_tools.spdx.parser.parse_anything import parse_file
    from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

    return [message.validation_message for message in validate_full_spdx_document(parse_file(str(file.path)))]


def loose_ends(document: dict) -> set[str]:
    """What a CycloneDX document refers to and does not list, and what it lists twice."""
    own = document.get("metadata", {}).get("component", {}).get("bom-ref")
    listed = Counter([own, *(component["bom-ref"] for component in document["components"])])
    needs = {ref for entry in document["dependencies"] for ref in (entry["ref"], *entry.get("dependsOn", []))}
    return needs - listed.keys() | {ref for ref, count in listed.items() if count > 1}


@pytest.mark.slow
def test_both_formats_name_every_package_and_need_no_database(tmp_path, written):
    files, both = zip(*written(debian_files()), strict=True)
    assert [(file.form, file.by.split()[0]) for file in files] == [("spdx", "trivy"), ("cyclonedx", "trivy")]
    for document in both:
        named = {(part.type, part.name, part.version) for part in parts(document)}
        assert {("deb", "libfoo", "1.0-1"), ("deb", "unused", "1.0"), ("deb", "linux-libc-dev", "6.1.1-1")} <= named
        assert any(name == "stdlib" for _, name, _ in named)
    assert both[0]["spdxVersion"].startswith("SPDX-2")
    assert (both[0]["name"], both[0]["creationInfo"]["created"]) == ("demo/app", "2026-01-01T00:00:00Z")
    assert both[1]["metadata"]["component"]["name"] == "demo/app"
    assert str(tmp_path) not in json.dumps(both)
    assert [judged(file) for file in files] == [[], []]


def test_packages_of_an_unknown_system_are_added(written):
    """The scanner writes no package of a distribution that it does not know into its SBOM."""
    files = {"/etc/os-release": b"ID=nobody-knows\n", "/lib/apk/db/installed": APK, "/usr/share/own": b"x"}
    for file, document in written(files):
        assert Part("apk", "own", "1.0-r0") in set(parts(document))
        assert file.added == 1


def test_a_builders_claims_are_held_against_the_image(tmp_path, app, scanner):
    names = ("apk/wolfi/own@1.0-r0?arch=x86_64", "apk/wolfi/ghost@2.0", "oci/image@sha256:0", "golang/stdlib")
    files = {"/lib/apk/db/installed": APK + APK.replace(b"P:own", b"P:hidden"), "/usr/share/own": b"x"}
    made = write_sboms(subject(tmp_path, app, files, spdx(*(f"pkg:{name}" for name in names))), ("spdx",))
    assert (made.compared, made.absent) == (True, ("apk ghost 2.0",))
    assert "apk hidden 1.0-r0" in made.unclaimed
    assert not any("stdlib" in package or "own" in package for package in made.unclaimed)
    assert "ghost" not in Path(made.files[0].path).read_text(), "what is written is made from the image"
    assert judged(made.files[0]) == []


def test_a_builders_sbom_that_is_damaged_is_one_error(tmp_path, app):
    target = subject(tmp_path, app, {}, {})
    (tmp_path / ".deadweight" / "images" / "app" / "own.spdx.json").write_text("{")
    with raises(DeadweightError, "scan.sbom_unreadable"):
        write_sboms(target)


def test_versions_that_one_side_lacks_match_all():
    claimed = [Part("golang", "a", ""), Part("deb", "b", "1"), Part("deb", "c", "1")]
    present = [Part("golang", "a", "v1"), Part("deb", "b", "2"), Part("deb", "c", "1"), Part("apk", "c", "1")]
    assert only_in(claimed, present) == [Part("deb", "b", "1")]
    assert only_in(present, claimed) == [Part("apk", "c", "1"), Part("deb", "b", "2")]


@pytest.mark.parametrize(("purl", "part"), [
    ("pkg:golang/github.com/a/b@v1.2.3?type=module", Part("golang", "github.com/a/b", "v1.2.3")),
    ("pkg:golang/example.com/app@(devel)", Part("golang", "example.com/app", "")),
    ("pkg:deb/debian/g%2B%2B@12%3A1?arch=amd64", Part("deb", "g++", "12:1")),
])  # fmt: skip
def test_package_urls(purl, part):
    assert list(parts(spdx(purl))) == [part]


def test_forms():
    assert forms("both") == forms(None) == ("spdx", "cyclonedx")
    assert forms("spdx") == ("spdx",)
    with pytest.raises(UsageError):
        forms("pdf")


def test_what_is_written_is_what_is_counted(written):
    """Also of kinds that are not compared, as npm's."""
    node = json.dumps({"name": "left-pad", "version": "1.3.0", "license": "WTFPL"}).encode()
    for file, document in written({**debian_files(), "/srv/node_modules/left-pad/package.json": node}):
        assert "pkg:npm/left-pad@1.3.0" in json.dumps(document)
        assert file.packages == packages(document) > len(set(parts(document)))
        assert judged(file) == []
        assert file.form == "spdx" or loose_ends(document) == set()


def test_packages_with_an_epoch_are_listed_once(written):
    """The scanner writes the epoch as a qualifier."""
    files, status = debian_files(), "/var/lib/dpkg/status"
    files[status] = bytes(files[status]).replace(b"Version: 1.0-1", b"Version: 1:1.0-1", 1)
    for file, document in written(files):
        named = [part for part in parts(document) if part.name == "libfoo"]
        assert (file.added, named) == (0, [Part("deb", "libfoo", "1:1.0-1")])


def bom(*components: tuple[str, str, str]) -> str:
    """As Spring Boot's plug-ins put it into an archive."""
    listed = [
        {"type": "library", "group": group, "name": name, "version": version, "bom-ref": purl, "purl": purl}
        for group, name, version in components
        for purl in (f"pkg:maven/{group}/{name}@{version}?type=jar",)
    ]
    own = {"component": {**listed[0], "type": "application"}}
    head = {"bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1}
    return json.dumps({**head, "metadata": own, "components": listed[1:]})


BOM = bom(("com.acme", "shop", "1.0"), ("org.springframework", "spring-core", "6.1.2"), ("ch.qos", "logback", "1.4"))


LOGBACK = jar({"META-INF/maven/ch.qos/logback/pom.properties": "groupId=ch.qos\nartifactId=logback\nversion=1.4\n"})


def test_jars_in_a_jar_are_all_listed(written):
    """The scanner leaves out those whose group it would have to ask a database for. Three jars in one, as Spring Boot packs them;
    one tells its group itself, one only the SBOM does, one nobody."""
    plain = jar({"META-INF/MANIFEST.MF": "Manifest-Version: 1.0\n"})
    own = {"META-INF/MANIFEST.MF": "Implementation-Version: 1.0\n", "META-INF/sbom/application.cdx.json": BOM}
    packed = {"logback-1.4": LOGBACK, "spring-core-6.1.2": plain, "nobody-knows-3": plain}
    fat = jar({**own, **{f"BOOT-INF/lib/{name}.jar": content for name, content in packed.items()}})
    for file, document in written({"/srv/shop-1.0.jar": fat}):
        purls = [part.purl.removeprefix("pkg:maven/") for part in parts(document) if part.type == "maven"]
        assert sorted(purls) == ["ch.qos/logback@1.4", "com.acme/shop@1.0", "org.springframework/spring-core@6.1.2"]
        key = "components" if file.form == "cyclonedx" else "packages"
        assert judged(file) == []
        assert "nobody-knows" in [entry["name"] for entry in document[key]], "listed, though without a package URL"


def test_the_java_that_runs_it_is_listed(app, written):
    files = {"/opt/java/bin/java": app, "/opt/java/release": b'JAVA_VERSION="21.0.4"\n'}
    for file, document in written(files, entrypoint="/opt/java/bin/java"):
        assert json.dumps("pkg:generic/openjdk@21.0.4") in json.dumps(document)
        assert judged(file) == []


def test_jars_beside_an_sbom_of_theirs_are_listed_once(written):
    """As Jib lays out a Spring Boot service."""
    files = {"/srv/libs/logback-1.4.jar": LOGBACK, "/srv/resources/META-INF/sbom/application.cdx.json": BOM.encode()}
    for _, document in written(files):
        assert [part.name for part in parts(document) if part.type == "maven"].count("logback") == 1


def bill(components: list[dict], dependencies: list[dict]) -> dict:
    """A CycloneDX document."""
    serial = "urn:uuid:00000000-0000-0000-0000-000000000000"
    head = {"bomFormat": "CycloneDX", "specVersion": "1.6", "serialNumber": serial, "version": 1}
    return {**head, "components": components, "dependencies": dependencies}


def component(reference: str, purl: str, *places: str) -> dict:
    properties = [{"name": "aquasecurity:trivy:FilePath", "value": place} for place in places]
    return {"bom-ref": reference, "type": "library", "name": "b", "purl": purl, "properties": properties}


def test_twins_leave_nothing_dangling():
    """What depends on one of two depends on the other then."""
    plain, twin, other = "pkg:maven/a/b@1", "pkg:maven/a/b@1?type=jar", "pkg:maven/a/c@1?type=jar"
    needs = [{"ref": other, "dependsOn": [twin, plain]}, {"ref": twin}, {"ref": plain, "dependsOn": [twin]}]
    document = bill([component(purl, purl) for purl in (twin, plain, other)], needs)
    once = without_twins(document)
    assert loose_ends(document) == loose_ends(once) == set()
    assert [component["bom-ref"] for component in once["components"]] == [plain, other]
    assert once["dependencies"] == [{"ref": other, "dependsOn": [plain]}, {"ref": plain, "dependsOn": []}]


def test_a_package_in_two_places_is_listed_once_with_both():
    components = [
        component("a", "pkg:npm/ms@2", "app/ms"),
        component("b", "pkg:npm/ms@2", "usr/ms", "app/ms"),
        component("c", "pkg:deb/debian/ms@1?arch=amd64&epoch=2"),
        component("d", "pkg:deb/debian/ms@1?arch=arm64"),
        component("e", "pkg:npm/ms@3"),
        component("f", "pkg:deb/debian/ms@2%3A1?arch=amd64"),
    ]
    once = without_twins(bill(components, [{"ref": "e", "dependsOn": ["a", "b"]}]))
    assert [component["bom-ref"] for component in once["components"]] == ["a", "c", "d", "e"]
    assert [prop["value"] for prop in once["components"][0]["properties"]] == ["app/ms", "usr/ms"]
    assert once["dependencies"] == [{"ref": "e", "dependsOn": ["a"]}]


def test_sboms_are_attached_to_a_pushed_image(tmp_path, app, scanner, local_registry):
    """Found through the registry's referrers, or the list under the fallback tag; and by a tag of their own."""
    made = write_sboms(subject(tmp_path, app, debian_files()))
    pushed = push(tmp_path / "image.tar", f"{local_registry}/team/app:1")
    digest = pushed.partition("@")[2]
    attached = attach(pushed, made.files)
    assert [artifact.form for artifact in attached] == ["spdx", "cyclonedx"]
    for artifact, file in zip(attached, made.files, strict=True):
        manifest = get(local_registry, f"team/app/manifests/{artifact.tag.rpartition(':')[2]}")
        assert (manifest["subject"]["digest"], manifest["artifactType"]) == (digest, manifest["layers"][0]["mediaType"])
        content = get(local_registry, f"team/app/blobs/{manifest['layers'][0]['digest']}")
        assert content == json.loads(Path(file.path).read_text())
    place = f"referrers/{digest}" if attached[0].found_by == "referrers" else f"manifests/{digest.replace(':', '-')}"
    listed = {entry["digest"] for entry in get(local_registry, f"team/app/{place}")["manifests"]}
    assert {artifact.reference.partition("@")[2] for artifact in attached} <= listed


def get(registry: str, path: str) -> dict:
    types = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json"
    return requests.get(f"http://{registry}/v2/{path}", headers={"Accept": types}, timeout=10).json()
