"""Scans with the real scanner and small databases of our own: three states, gates, exceptions, and every bad input."""

import contextlib
import json
import os
import random
import shutil
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from deadweight._errors import ArchiveError, CheckFailed, CommandError, ConfigError, MissingError, UsageError, wording
from deadweight.checks import runner
from deadweight.checks.protocol import Subject
from deadweight.checks.scan import database, model, trivy
from deadweight.checks.scan.sbom import write_sboms
from deadweight.checks.vulnerabilities import CHECK, scanned
from deadweight.project.load_suite import load_suite
from deadweight.project.scan import scan_variants
from deadweight.project.workspace import Workspace
from deadweight.publish.push import ArtifactFile, lay_out
from deadweight.records.evidence import Evidence
from deadweight.report.collect import collect
from deadweight.report.history import write_report
from deadweight.report.sarif import scan_sarif
from deadweight.tasks.scan import _cells, _raise_if_bad as raise_if_scans_are_bad, total, unused
from deadweight.tasks.verify import raise_if_bad
from deadweight.toolchain import crane
from tests.support.codes import codes, raises
from tests.support.http_servers import Answering, served
from tests.support.invoking import invoke
from tests.support.json_schema import checked
from tests.support.scan_samples import DEBIAN, GO, WHOLE, debian_files, image, write_bolt, write_database
from tests.support.small_images import docker_archive
from tests.support.small_project import built_subject, write_suite
from tests.support.trees import shell_script, written, zipped as jar

pytestmark = pytest.mark.tools
SUITE = """\
name: demo
defaults: {{builder: ko, base: example.com/base, port: 8080, checks: {{vulnerabilities: {checks}}}}}
variants: {{debian: {{}}, odd: {{}}}}
"""


@pytest.fixture(scope="module")
def archives(tmp_path_factory, misbehaving_archive) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("images")
    app = misbehaving_archive.parent / "app"
    odd = {"/etc/os-release": b"ID=nobody-knows\nVERSION_ID=1\n"}
    return {"debian": image(folder / "debian.tar", app, debian_files()), "odd": image(folder / "odd.tar", app, odd)}


@pytest.fixture
def world(tmp_path, scanner_on_path, monkeypatch):
    """A project folder, and a user's cache with no database in it."""
    monkeypatch.setenv("DEADWEIGHT_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "project").mkdir()
    return tmp_path / "project"


@pytest.fixture
def subject(world, archives):
    """What is scanned, in a suite that asks for these ``checks`` of two images."""

    def made(checks: str = "{}", name: str = "debian") -> Subject:
        suite = write_suite(world, SUITE.format(checks=checks))
        subjects = {key: built_subject(suite, key, archives[key], "deadweight-tests/scan:1", None) for key in archives}
        return subjects[name]

    return made


@pytest.fixture
def use(world):
    """Take a database of this content from now on."""
    return lambda tree=WHOLE, **how: database.use(str(write_database(world / "db", tree, **how)))


@pytest.fixture
def scan(use, subject):
    """Scan an image by a database of this content."""

    def scanned_by(checks: str = "{}", tree=WHOLE, name: str = "debian", **how) -> Evidence:
        use(tree, **how)
        return CHECK.run(subject(checks, name))

    return scanned_by


def test_kinds_severities_and_what_is_fixable_are_counted_apart(scan):
    evidence = scan()
    data = evidence.data
    assert (evidence.status, data["status"]) == ("pass", "scanned")
    assert data["coverage"] == {"os": "covered", "language": "covered"}
    assert (data["total"], data["fixable"], data["kernel_headers"]["total"]) == (4, 3, 40)
    assert data["by_severity"] == {"critical": 1, "high": 1, "medium": 1, "low": 1, "unknown": 0}
    assert (data["by_kind"]["os"]["total"], data["by_kind"]["language"]["total"]) == (3, 1)
    assert data["database"]["updated_at"] == evidence.provenance.database_updated_at
    rows = [(row["id"], row["path"], row["package"]) for row in data["findings"] if row["kind"] == "language"]
    assert (rows, data["reachability"]["status"]) == ([("CVE-2030-0002", "app", "stdlib")], "not_measured")


def test_an_unknown_os_is_not_covered_and_its_go_binary_is_scanned(scan):
    data = scan(name="odd").data
    assert (data["status"], data["coverage"]) == ("scanned", {"os": "not_covered", "language": "covered"})
    assert (data["total"], [codes(gap) for gap in data["gaps"]]) == (1, [["scan.unknown_system"]])


def test_an_os_whose_data_the_database_lacks_is_not_covered(scan):
    """The scanner itself says nothing of this: it ends well, with no finding."""
    evidence = scan(tree={key: WHOLE[key] for key in (GO, "vulnerability", "data-source")})
    assert evidence.data["coverage"] == {"os": "not_covered", "language": "covered"}
    assert evidence.data["gaps"] == ["debian 12.5"]


def test_a_language_that_the_database_lacks_leaves_no_count(scan):
    """ "0 findings" would be of the operating system alone, and the service is not in it."""
    result = scan(tree={key: content for key, content in WHOLE.items() if key != GO})
    assert (result.data["status"], result.data["coverage"]) == ("scanned", {"os": "covered", "language": "not_covered"})
    assert (result.data["total"], result.data["fixable"], result.data["by_severity"]) == (None, None, {})
    assert total([result]) == f"1 image scanned: \u2013 findings, {wording('tasks.without_language', images='1 image')}"
    assert _cells(result.data)[:7] == ["\u2013"] * 7


def test_nothing_known_is_not_covered_and_has_no_counts(scan, subject):
    result = scan(tree={"alpine 3.18": {}, "vulnerability": {}, "data-source": {}})
    assert (result.status, result.data["status"], "total" in result.data) == ("not_measured", "not_covered", False)
    assert result.data["hint"].code == "scan.not_covered_hint"
    strict = runner.keep(subject(), scanned(subject(), may_run=False, strict=True))
    assert (strict.status, strict.ok) == ("fail", False)


def test_without_a_database_it_is_not_scanned_and_no_pass(subject):
    one = subject()
    evidence = runner.run_check(CHECK, one)
    assert (evidence.status, evidence.data["status"], evidence.ok) == ("not_measured", "not_scanned", True)
    assert evidence.data["hint"] == database.HINT
    with pytest.raises(MissingError, match="debian/vulnerabilities") as unmeasured:
        raise_if_bad([evidence])
    assert unmeasured.value.hint == evidence.data["hint"]
    with raises(MissingError, "scan.no_database", exit_code=3):
        scanned(one, may_run=False, strict=True)
    record = collect(one.suite, one.state).variants["debian"].vulnerabilities
    assert (record.status, record.total) == ("not_scanned", None)


def test_results_are_kept_by_image_and_database(use, subject, monkeypatch):
    use()
    one = subject()
    before = CHECK.run(one).data
    with monkeypatch.context() as patch:
        patch.setattr(trivy, "run", lambda *_a, **_k: pytest.fail("scanned again"))
        assert CHECK.run(one).data["findings"] == before["findings"]
        assert CHECK.run(replace(one, archive=lambda: pytest.fail("archive was asked for"))).status == "pass"
    use({**WHOLE, "debian 12": {}})
    assert CHECK.run(one).data["total"] == 1


@pytest.mark.parametrize(("checks", "broken"), [
    ("{max: {critical: 0}}", (1, "critical", ": CVE-2030-0001")), ("{max: {critical: 1, high: 1}}", None),
    ("{max: {low: 0}, fixable_only: true}", None), ("{max: {low: 0}}", (1, "low", ": CVE-2030-0003")),
    ("{max: {medium: 0}, fixable_only: true}", (1, "fixable medium", ": CVE-2030-0004")),
])  # fmt: skip
def test_gates(scan, checks, broken):
    evidence = scan(checks)
    assert (evidence.status, evidence.data["total"]) == ("fail" if broken else "pass", 4)
    reasons = [gate["reason"].fields for gate in evidence.data["gates"] if not gate["held"]]
    assert [(reason["count"], reason["kind"], reason["ids"]) for reason in reasons] == ([broken] if broken else [])
    assert evidence.data["kernel_headers"]["total"] == 40


def test_only_new_findings_count_against_an_earlier_report(scan, world, subject):
    one = subject()
    runner.keep(one, scan(tree={**WHOLE, "debian 12": {"unused": DEBIAN["unused"]}}))
    write_report(collect(one.suite, one.state), world / "earlier")
    checks = "{max: {critical: 0, medium: 0, high: 0}, new_only: true, baseline: earlier/report.json}"
    evidence = scan(checks)
    bad = [gate["name"] for gate in evidence.data["gates"] if not gate["held"]]
    assert (evidence.status, bad) == ("fail", ["max.critical"])
    (world / "earlier" / "report.json").write_text("[]")
    with raises(ConfigError, "report.not_a_report"):
        scan(checks)


def age_gate(evidence: Evidence) -> tuple[int, int, str]:
    (fields,) = [gate["reason"].fields for gate in evidence.data["gates"] if gate["name"] == "database_age"]
    return round(fields["age"]), fields["limit"], fields["command"]


def test_an_old_database_warns_and_fails_where_strict(scan, subject):
    evidence, one = scan("{max_database_age_days: 14}", age_days=30), subject("{max_database_age_days: 14}")
    assert (evidence.status, age_gate(evidence)) == ("warn", (30, 14, "invoke scan --database download"))
    assert scanned(one, may_run=False, strict=True).status == "fail"
    # No download is named for one that was made here.
    current = database.home() / "current.json"
    current.write_text(json.dumps({**json.loads(current.read_text()), "origin": database.LOCAL}))
    assert age_gate(CHECK.run(one))[2] == "invoke scan --database local"


ACCEPTED = "{{id: CVE-2030-0001, package: libfoo, reason: not reached, expires: '{day}'}}"
IGNORE = f"{{{{ignore: [{ACCEPTED}], max: {{{{critical: 0}}}}}}}}"


def test_an_accepted_finding_does_not_count_until_its_exception_expires(scan):
    evidence = scan(IGNORE.format(day="2999-01-01"))
    assert (evidence.status, evidence.data["total"], evidence.data["accepted"]) == ("pass", 3, 1)
    row = next(row for row in evidence.data["findings"] if row["id"] == "CVE-2030-0001")
    assert row["exception"] == "not reached"
    late = scan(IGNORE.format(day="2020-01-01"))
    assert (late.status, late.data["total"]) == ("fail", 4)
    (reason,) = [gate["reason"] for gate in late.data["gates"] if gate["name"] == "exceptions"]
    assert (reason.code, str(reason.fields["date"])) == ("scan.acceptance_expired", "2020-01-01")


def test_an_exception_that_matches_nothing_is_told(scan):
    debian, odd = (scan(IGNORE.format(day="2999-01-01"), name=name) for name in ("debian", "odd"))
    origin = "ignore list: CVE-2030-0001"
    assert [evidence.data["unused_exceptions"] for evidence in (debian, odd)] == [[], [origin]]
    assert (odd.status, unused([debian, odd]), unused([odd])) == ("pass", [], [origin])


def vex(folder: Path, **statement) -> str:
    usual = {"status": "not_affected", "justification": "vulnerable_code_not_in_execute_path"}
    what = {"vulnerability": {"name": "GO-2030-0002"}, "products": [{"@id": "pkg:golang/stdlib"}]}
    document = {"@context": "https://openvex.dev/ns/v0.2.0", "@id": "x", "statements": [what | usual | statement]}
    (folder / "our.vex.json").write_text(json.dumps(document, indent=2))
    return "{vex: [our.vex.json], max: {high: 0}}"


@pytest.mark.parametrize(("statement", "status"), [
    ({}, "pass"), ({"products": [{"@id": "pkg:oci/demo", "subcomponents": [{"@id": "pkg:golang/stdlib"}]}]}, "pass"),
    ({"products": [{"@id": "pkg:golang/stdlib@v1.0.0"}]}, "fail"), ({"products": [{"@id": "pkg:oci/another"}]}, "fail"),
    ({"status": "affected", "action_statement": "update"}, "fail"), ({"status": "under_investigation"}, "fail"),
    ({"status": "fixed"}, "pass"),
])  # fmt: skip
def test_openvex_statements(scan, world, statement, status):
    """A VEX statement names a flaw by any of its ids; only ``not_affected`` and ``fixed`` take it off the count."""
    assert scan(vex(world, **statement)).status == status


@pytest.mark.parametrize(("statement", "code"), [
    ({"justification": ""}, "scan.vex_no_reason"), ({"status": "fine"}, "scan.vex_status"),
    ({"products": []}, "scan.vex_incomplete"),
])  # fmt: skip
def test_wrong_openvex_statements_are_refused_with_their_line(world, subject, statement, code):
    with raises(ConfigError, code, exit_code=2, line=5):
        CHECK.run(subject(vex(world, **statement)))


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"statements": []}', b"\xff\xfe"])
def test_what_is_no_openvex_is_refused(world, subject, content):
    one = subject(vex(world))
    (world / "our.vex.json").write_bytes(content)
    with pytest.raises(ConfigError, match=r"our\.vex\.json"):
        CHECK.run(one)


# databases


@pytest.mark.parametrize(("file", "damaged", "code"), [
    ("trivy.db", lambda _: b"", "unreadable"), ("trivy.db", lambda whole: whole[: 3 * 4096], "unreadable"),
    ("trivy.db", lambda _: os.urandom(20_000), "unreadable"), ("trivy.db", None, "incomplete"),
    ("metadata.json", lambda _: b"{", "file_damaged"), ("metadata.json", lambda _: b'{"Version": 2}', "undated"),
    ("metadata.json", lambda whole: whole.replace(b'"Version": 2', b'"Version": 1'), "schema"),
])  # fmt: skip
def test_a_damaged_database_is_refused_and_not_scanned_by(world, use, subject, file, damaged, code):
    def damage(folder: Path) -> None:
        content = (folder / file).read_bytes()
        (folder / file).unlink() if damaged is None else (folder / file).write_bytes(damaged(content))

    used = use()
    damage(world / "db")
    fields = {"version": 1, "expected": 2} if code == "schema" else {"file": file}
    with raises(UsageError, f"scan.database_{code}", exit_code=2, **fields):
        database.use(str(world / "db"))
    assert database.current() == used
    damage(used.folder)
    data = CHECK.run(subject()).data
    assert (data["status"], data["reason"].code) == ("not_scanned", "scan.installed_database_damaged")


def test_a_database_out_of_an_archive_takes_nothing_else(world):
    write_database(world / "db")
    (world / "evil").write_text("x")
    with tarfile.open(world / "db.tar.gz", "w:gz") as tar:
        tar.add(world / "db" / "trivy.db", "./trivy.db")
        tar.add(world / "db" / "metadata.json", "metadata.json")
        tar.add(world / "evil", "../../evil-was-here")
    used = database.use(str(world / "db.tar.gz"))
    assert sorted(file.name for file in used.folder.iterdir()) == ["metadata.json", "trivy.db"]
    assert not list(world.parent.glob("**/evil-was-here"))
    with pytest.raises(UsageError):
        database.use(str(world / "evil"))
    assert used.identity == database.use(str(world / "db")).identity == database.current().identity


def test_a_database_from_a_registry_and_from_a_mirror(world, local_registry):
    write_database(world / "db")
    packed, kind = shutil.make_archive(world / "db", "gztar", world / "db"), "application/vnd.aquasec.trivy"
    layer = ArtifactFile("db.tar.gz", f"{kind}.db.layer.v1.tar+gzip", Path(packed).read_bytes())
    (world / "layout").mkdir()
    lay_out(world / "layout", f"{kind}.config.v1+json", (layer,))
    crane.push(world / "layout", f"{local_registry}/mirror/trivy-db:2")
    wanted = database.use(str(world / "db")).identity
    assert database.use(f"oci://{local_registry}/mirror/trivy-db:2").identity == wanted
    assert database.use("download", f"{local_registry}/mirror/trivy-db:2").identity == wanted
    with pytest.raises(CommandError) as caught:
        database.use(f"oci://{local_registry}/mirror/nothing:2")
    assert Path(caught.value.argv[0]).name == "trivy"


def test_names_in_a_bolt_file_of_many_kinds_or_of_none(tmp_path):
    names = {f"bucket {number:04}": {} for number in range(400)}
    write_bolt(tmp_path / "x.db", {**names, "=value": 1})
    assert database.buckets_of(tmp_path / "x.db") == frozenset(names)
    (tmp_path / "x.db").write_bytes(database.empty_bolt())
    assert database.buckets_of(tmp_path / "x.db") == frozenset()


def test_flipped_bits_in_a_bolt_file_are_one_error(tmp_path):
    write_bolt(tmp_path / "x.db", WHOLE)
    whole = (tmp_path / "x.db").read_bytes()
    draw = random.Random(7)
    for _ in range(300):
        data = bytearray(whole)
        data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
        (tmp_path / "y.db").write_bytes(data)
        with contextlib.suppress(database.NotBolt):
            database.buckets_of(tmp_path / "y.db")


@pytest.mark.parametrize(("family", "version", "bucket", "known"), [
    ("debian", "12.5", "debian 12", True), ("debian", "13.1", "debian 12", False),
    ("ubuntu", "22.04", "ubuntu 22.04", True), ("alpine", "3.18.4", "alpine 3.18", True),
    ("alpine", "3.19.1", "alpine 3.1", False), ("wolfi", "20230201", "wolfi", True), ("redhat", "9.4", "Red Hat", True),
    ("amazon", "2 (Karoo)", "amazon linux 2", False), ("none", "", "none", False), ("", "", "debian 12", False),
])  # fmt: skip
def test_which_bucket_covers_which_system(family, version, bucket, known):
    assert bool(model.buckets_of_os({bucket, "vulnerability"}, family, version)) is known


# the scanner


def fake_scanner(folder: Path, script: str) -> str:
    """A program in the scanner's place, for failures that the real one is hard to bring to."""
    known = "case $1 in --version|version) echo 'Version: 0.76.0'; exit 0;; esac"
    shell_script(folder / "trivy", f"{known}\n{script}")
    return f"{folder}:{os.environ['PATH']}"


def printing(text: str) -> str:
    return f"""while [ "$1" != --output ]; do shift; done; echo '{text}' > "$2\""""


@pytest.mark.parametrize(("script", "error", "word"), [
    ("echo boom >&2; exit 7", CommandError, "boom"), ("kill -SEGV $$", CommandError, "SIGSEGV"),
    ("exit 0", trivy.ScannerError, "scan.trivy_no_result"),
    (printing("oops"), trivy.ScannerError, "scan.trivy_not_json"),
    (printing("[]"), trivy.ScannerError, "scan.trivy_no_scan"),
    (printing('{"Metadata":{},"Results":[{"Class":"os-pkgs"}, 1]}'), trivy.ScannerError, "scan.trivy_unknown_format"),
    (printing('{"Metadata":{"ImageID":"sha256:0"}}'), ArchiveError, "scan.other_image"),
])  # fmt: skip
def test_a_scanner_that_breaks_down_is_one_error(world, use, subject, monkeypatch, script, error, word):
    monkeypatch.setenv("PATH", fake_scanner(world / "bin", script))
    use()
    with pytest.raises(error) as raised:
        CHECK.run(subject())
    assert word in (raised.value.code, *str(raised.value).split())
    assert raised.value.exit_code == 1
    assert runner.run_check(CHECK, subject()).status == "fail"


def test_a_scanner_that_runs_out_of_time_is_ended(world, archives, monkeypatch):
    monkeypatch.setenv("PATH", fake_scanner(world / "bin", "sleep 60"))
    with pytest.raises(CommandError) as caught:
        trivy.scan(archives["debian"], database=write_database(world / "db"), cache=world / "c", timeout=-4)
    assert caught.value.exit_code_of_command is None


def test_an_archive_that_disappears_or_is_none(world, use, subject):
    use()
    one = replace(subject(), archive=lambda: world / "bad.tar")
    with raises(ArchiveError, "scan.archive_gone", archive=world / "bad.tar", exit_code=1):
        CHECK.run(one)
    (world / "bad.tar").write_bytes(b"no archive")
    with pytest.raises(CommandError) as caught:
        CHECK.run(one)
    assert Path(caught.value.argv[0]).name == "trivy"


def test_no_file_beside_the_suite_changes_what_is_found(scan, world, monkeypatch):
    """The scanner reads ``.trivyignore`` and ``trivy.yaml`` where it stands, and its settings from the environment."""
    monkeypatch.chdir(written(world, {".trivyignore": "CVE-2030-0001\n", "trivy.yaml": "severity: [LOW]\n"}))
    monkeypatch.setenv("TRIVY_SEVERITY", "LOW")
    monkeypatch.setenv("TRIVY_IGNORE_UNFIXED", "true")
    assert scan().data["total"] == 4


def test_an_sbom_is_the_same_before_and_after_a_scan(scan, subject):
    """Of a vulnerability without an address the scanner writes half an external reference, and no SBOM was written for it."""

    def made() -> list[object]:
        spdx, cyclonedx = (json.loads(Path(file.path).read_text()) for file in write_sboms(subject()).files)
        references = {package["name"]: package.get("externalRefs") for package in spdx["packages"]}
        return [references, {part["name"] for part in cyclonedx["components"]}, cyclonedx.get("vulnerabilities") or []]

    before = made()
    assert scan().data["total"] == 4
    assert before == made()


def test_a_scan_calls_nobody(scan, subject, monkeypatch):
    """By default the scanner asks its maker for newer versions and tells it that it runs."""
    called = []

    class Trap(Answering):
        def do_CONNECT(self):
            called.append(self.path)
            self.send_error(403)

        do_GET = do_POST = do_CONNECT

    with served(Trap) as server:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("NO_PROXY", "")
        assert scan().data["total"] == 4
        write_sboms(subject())
    assert called == []


def test_a_jar_needs_no_index_of_its_own(world, tmp_path):
    properties = "groupId=org.example\nartifactId=lib\nversion=1.0\n"
    packed = jar({"META-INF/maven/org.example/lib/pom.properties": properties})
    made = docker_archive(tmp_path / "jar.tar", "x:1", [{"/lib/lib-1.0.jar": packed}], {})
    advisory = {"=CVE-2030-0007": {"PatchedVersions": ["1.1"], "VulnerableVersions": ["<1.1"]}}
    tree = {"maven::GitHub Security Advisory Maven": {"org.example:lib": advisory}, "vulnerability": {}}
    folder = write_database(world / "db", tree)
    report = trivy.parsed(trivy.scan(made, database=folder, cache=world / "c", timeout=60), "0", frozenset())
    assert [(row.id, row.path) for row in report.findings] == [("CVE-2030-0007", "lib/lib-1.0.jar")]


def test_a_go_binary_of_a_package_counts_where_nothing_else_speaks_for_it():
    """The scanner leaves it out by default; an image of an unknown distribution then looks clean."""
    binary = {"Class": "lang-pkgs", "Type": "gobinary", "Packages": [{"Name": "stdlib"}]}
    flaw = {"VulnerabilityID": "CVE-1", "PkgName": "stdlib", "Severity": "HIGH"}
    packages = [{"Name": "p", "InstalledFiles": ["/usr/bin/a", "/usr/bin/b"]}]
    owned = {"Class": "os-pkgs", "Type": "wolfi", "Target": "x", "Packages": packages}
    document = {
        "Metadata": {"OS": {"Family": "wolfi", "Name": "1"}, "ImageConfig": {"config": {"Entrypoint": ["/usr/bin/a"]}}},
        "Results": [owned, *({**binary, "Target": f"usr/bin/{name}", "Vulnerabilities": [flaw]} for name in "ab")],
    }
    for covered, paths in (({"wolfi"}, ["usr/bin/a"]), ((), ["usr/bin/a", "usr/bin/b"])):
        assert [row.path for row in trivy.parsed(document, "0", frozenset(covered)).findings] == paths


# the task


def test_the_task_ends_as_it_should(world, subject):
    """3 without a database, 0 with one, 1 for a broken gate, 2 for a wrong argument; the sum of all is JSON and SARIF."""
    subject()
    write_database(world / "db")
    assert database.HINT in invoke(world, "scan", code=3).stderr
    done = invoke(world, "scan", "--database", "db", "--sarif", "out.sarif", "--json", code=0)
    assert [entry["data"]["total"] for entry in json.loads(done.stdout)["scans"]] == [4, 1]
    assert [len(run["results"]) for run in checked((world / "out.sarif").read_text())["runs"]] == [44, 1]
    assert "not covered" in invoke(world, "scan", "--variant", "odd", code=0).stdout
    assert "coverage: " in invoke(world, "scan", "--strict", code=1).stderr
    subject("{max: {critical: 0}}")
    limit = wording("scan.severity_limit", count=1, kind="critical", limit=0, ids="")
    assert limit in invoke(world, "scan", code=1).stderr
    for wrong in (("--sbom", "pdf"), ("--variant", "odds"), ("--database", "nowhere")):
        invoke(world, "scan", *wrong, code=2)


def test_one_image_that_fails_keeps_none_of_the_others_back(world, use, subject):
    use()
    subject()
    odd = world / ".deadweight" / "images" / "odd" / "image.tar"
    odd.unlink()
    odd.write_bytes(b"damaged")
    with Workspace(load_suite(world / "deadweight.yaml"), print) as workspace:
        results, failed = scan_variants(workspace, workspace.suite.variants)
    assert ([result.variant for result in results], list(failed)) == (["debian"], ["odd"])


def test_scans_for_which_the_engine_is_missing_end_as_that():
    gone = MissingError("the engine does not answer", hint="start it")
    with pytest.raises(MissingError, match="\na: the engine does not answer\nb: ") as caught:
        raise_if_scans_are_bad([], {"a": gone, "b": gone}, strict=False)
    assert caught.value.hint == "start it"
    with pytest.raises(CheckFailed, match="\nb: damaged"):
        raise_if_scans_are_bad([], {"a": gone, "b": ArchiveError("damaged")}, strict=False)


def test_findings_as_sarif_are_the_same_in_every_run_and_valid(scan, subject):
    asked = IGNORE.format(day="2999-01-01")
    first = scan_sarif([scan(asked)])
    assert first == scan_sarif([CHECK.run(subject(asked))])
    results = checked(first)["runs"][0]["results"]
    assert len({result["partialFingerprints"]["deadweight/v1"] for result in results}) == len(results) == 44
    assert [result["ruleId"] for result in results if "suppressions" in result] == ["CVE-2030-0001"]
    assert {result["level"] for result in results} == {"error", "warning", "note"}
