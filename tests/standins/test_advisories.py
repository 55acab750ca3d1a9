"""The database that is made here: written by Trivy's own module, read by the real scanner, honest about what it lacks."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from deadweight._errors import wording
from deadweight.checks.scan import database
from deadweight.checks.scan.model import COVERAGE, Contents, Part
from deadweight.checks.vulnerabilities import CHECK
from deadweight.project import scan as providing
from deadweight.project.doctor import examine
from deadweight.project.workspace import Workspace
from deadweight.records.store import save
from deadweight.toolchain import catalogue, golang
from deadweight_standins import advisories
from tests.support import ROOT
from tests.support.scan_samples import GO, debian_files, image, write_database
from tests.support.small_images import go_program
from tests.support.small_project import put_built, subject_of, write_suite
from tests.support.trees import written

pytestmark = [pytest.mark.tools, pytest.mark.slow]
DEFAULTS = "{builder: ko, port: 8080, base: example.com/base, checks: {vulnerabilities: {}}}"
PARTS = (
    Part(GO, "all Go modules", "here", "2031-01-01", "CC-BY-4.0"),
    Part("debian 12", "3 CVEs", "changelogs", "2031-01-01", "own", advisories.FIXES_ONLY),
)


def record(name: str, package: str, fixed: str) -> dict:
    affected: dict = {"package": {"name": package, "ecosystem": "Go"}}
    affected["ranges"] = [{"type": "SEMVER", "events": [{"introduced": "0"}, {"fixed": fixed}]}]
    affected["ecosystem_specific"] = {"imports": [{"path": package, "goos": ["linux"]}]}
    return {
        **dict.fromkeys(("modified", "published"), "2030-01-01T00:00:00Z"),
        "schema_version": "1.3.1",
        "id": name,
        "aliases": [name.replace("GO", "CVE")],
        "affected": [affected],
        "summary": f"{package} is made up",
        "database_specific": {"url": f"https://pkg.go.dev/vuln/{name}"},
    }


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A database of two records and one changelog, by the real writer."""
    both = (record("GO-2030-0001", "stdlib", "1.99.0"), record("GO-2030-0002", "example.com/third", "2.0.0"))
    packages = {"libfoo": {"CVE-2030-0009": "1.0-2", "CVE-2030-0010": "1.0-1"}, "linux": {"CVE-2030-7": "9.0"}}
    fixes = {"bucket": "debian 12", "source": "debian", "name": "changelogs", "url": "https://example.com"}
    files = {**{f"osv/{entry['id']}.json": entry for entry in both}, "fixes.json": {**fixes, "packages": packages}}
    folder = written(tmp_path_factory.mktemp("made"), {name: json.dumps(content) for name, content in files.items()})
    writer = golang.build(catalogue.program("vulndb"), folder / "log")
    words = ["-osv", folder / "osv", "-fixes", folder / "fixes.json", "-date", "2030-01-02T03:04:05Z"]
    subprocess.run([writer, *words, "-out", folder / "db"], check=True)
    save(Contents("2030-01-02T03:04:05+00:00", PARTS), folder / "db" / COVERAGE)
    return folder / "db"


@pytest.fixture
def subject(tmp_path, scanner_on_path, monkeypatch):
    monkeypatch.setenv("DEADWEIGHT_CACHE_DIR", str(tmp_path / "cache"))
    suite = write_suite(tmp_path / "project", f"name: demo\ndefaults: {DEFAULTS}\nvariants: {{v: {{}}}}\n")
    app = go_program(ROOT / "tests" / "services" / "misbehave", tmp_path / "app")
    archive = image(tmp_path / "image.tar", app, debian_files())
    return subject_of(suite, "v", put_built(suite, "v", archive, "deadweight-tests/advisories:1"), archive, None)


def test_the_scanner_finds_what_is_in_it_and_coverage_says_what_is_not(made, subject):
    used = database.use(str(made))
    assert used.updated_at == "2030-01-02T03:04:05+00:00"
    data = CHECK.run(subject).data
    assert {(row["id"], row["package"], row["fixed_version"]) for row in data["findings"]} == {
        ("CVE-2030-0001", "stdlib", "1.99.0"),
        ("CVE-2030-0009", "libfoo", "1.0-2"),  # 1.0-1 is installed, which has the other fix
        ("CVE-2030-7", "linux-libc-dev", "9.0"),
    }
    assert data["coverage"] == {"os": "partly_covered", "language": "covered"}
    assert data["gaps"] == [f"debian 12 beyond what is in it ({advisories.FIXES_ONLY})"]
    assert data["database"]["contents"]["parts"][0]["licence"] == "CC-BY-4.0"
    assert data["by_severity"]["unknown"] == data["total"] == 2
    assert b"example.com/third" in (made / "trivy.db").read_bytes(), "every Go module, not only the standard library"
    assert used.buckets >= {GO, "debian 12", "vulnerability", "data-source"}


def test_doctor_says_which_one_is_used_and_what_it_covers(made, subject):
    assert wording("scan.no_database") in examine(()).database[0]
    database.use(str(made))
    lines = examine(()).database
    assert lines[0].startswith("database of 2030-01-02 (")
    assert any("debian 12: 3 CVEs" in line and advisories.FIXES_ONLY in line for line in lines)


def test_demo_takes_a_download_where_one_answers_and_keeps_what_a_user_chose(made, subject, monkeypatch):
    lines: list[str] = []
    monkeypatch.setattr(providing, "_answers", lambda *_: False)
    monkeypatch.setattr(advisories, "make", lambda target, *_: shutil.copytree(made, target))
    with Workspace.open(lines.append, subject.suite.root / "deadweight.yaml") as workspace:
        providing.provide_database(workspace)
        assert database.current().made_here, lines
        asked: list[str] = []
        monkeypatch.setattr(providing, "_answers", lambda *_: True)
        theirs = str(write_database(subject.suite.root / "theirs"))
        monkeypatch.setattr(database, "download", lambda *_a, **_k: asked.append("download") or database.use(theirs))
        providing.provide_database(workspace)
        assert asked == ["download"]
        assert not database.current().made_here
        providing.provide_database(workspace)
        assert asked == ["download"], "what is no database of ours is kept"


def test_a_real_one_is_made_of_what_registries_give(tmp_path, monkeypatch):
    """Go's proxy is asked; what a few of this machine's packages say is in it where there are stand-ins."""
    newest = advisories._newest
    monkeypatch.setattr(advisories, "_newest", lambda *given: newest(*given)[:20])  # to unpack all takes seconds
    part = advisories.make(tmp_path / "db", print, tmp_path / "log").parts[0]
    assert int(part.what.split(": ")[1].split(" ")[0]) > 4000
    assert part.source.startswith("Go module golang.org/x/vulndb v0.0.0-")
    assert (tmp_path / "db" / "go-vulndb-LICENSE").read_text().startswith("Creative Commons Attribution 4.0")
    opened = database._opened(tmp_path / "db", "x", "x")
    assert opened.updated_at[:10] == part.date
    assert GO in opened.buckets
