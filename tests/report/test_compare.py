"""What changed since an earlier report: nothing out of noise, nothing out of what was not measured, every regression."""

import re
from dataclasses import replace

import pytest
from hypothesis import given, settings, strategies as st

from deadweight._errors import ConfigError, UsageError, wording
from deadweight.publish.push import earlier
from deadweight.records.evidence import Status
from deadweight.report import model
from deadweight.report.compare import Comparison, compare
from deadweight.report.history import to_json
from deadweight.report.markdown import comparison_markdown
from deadweight.suite.model import ReportThresholds
from deadweight_images import findings
from tests.support import report_samples as samples
from tests.support.codes import codes, parts, raises
from tests.support.trees import git, written


def between(old: model.VariantRecord, new: model.VariantRecord, thresholds: ReportThresholds | None = None):
    return compare(samples.report({"it": old}), samples.report({"it": new}), thresholds)


def headline(diff: Comparison) -> str:
    """What is said of all changes together."""
    return comparison_markdown(diff).split("\n\n")[1]


NO_CHANGE = headline(between(samples.variant(), samples.variant()))


def sized(size: int, compressed: int | None = None, layers: int = 2) -> model.VariantRecord:
    return samples.variant(size, image=samples.image(size, compressed or size // 2, layers=layers))


SIZES = st.integers(1_000, 2_000_000_000)


@pytest.mark.parametrize("report", [samples.report(), samples.full_report()], ids=["plain", "full"])
def test_a_report_differs_not_from_itself(report) -> None:
    diff = compare(report, report)
    assert (diff.changes, diff.notes) == ((), ())
    assert headline(diff) == NO_CHANGE


@settings(max_examples=200)
@given(before=SIZES, after=SIZES)
def test_a_size_change_is_beyond_noise_and_a_regression_beyond_the_ratchet(before: int, after: int) -> None:
    limits, grown = ReportThresholds(), after - before
    changes = {change.kind: change for change in between(sized(before, 1), sized(after, 1), limits).changes}
    noisy = abs(grown) <= limits.noise_bytes or abs(grown) * 100 <= before * limits.noise_percent
    assert ("size" not in changes) == noisy
    if "size" in changes:
        ratchet = grown > limits.ratchet_bytes and grown * 100 > before * limits.ratchet_percent
        assert (changes["size"].regression, changes["size"].direction) == (ratchet, "worse" if grown > 0 else "better")


@pytest.mark.parametrize("missing", ["old", "new"])
def test_a_figure_that_one_report_lacks_is_a_note_and_no_change(missing: str) -> None:
    unknown = replace(samples.image(10_000_000, 5_000_000), size_bytes=None, compressed_bytes=None)
    both = sized(10_000_000), samples.variant(image=unknown, startup_seconds=None)
    diff = between(*both[:: -1 if missing == "old" else 1])
    assert (diff.changes, {note.code for note in diff.notes}) == ((), {"report.measured_in_one"})
    assert bool(diff.unmeasured) is (missing == "new")
    assert headline(diff) != NO_CHANGE


def test_variants_that_came_and_went() -> None:
    old, new = samples.report({"a": sized(1)}), samples.report({"b": sized(2)})
    diff = compare(old, new)
    assert list(map(str, diff.changes)) == ["b: new variant, 2 B", f"a: {wording('report.variant_removed')}"]
    assert [change.variant for change in diff.regressions] == ["a"]
    assert compare(old, replace(new, suite="another")).regressions == ()


@pytest.mark.parametrize(("before", "after", "regression", "direction"), [
    ("pass", "fail", True, "worse"), ("pass", "warn", False, "worse"), ("warn", "pass", False, "better"),
    ("fail", "pass", False, "better"), ("fail as expected", "pass", True, "better"),
])  # fmt: skip
def test_checks(before, after, regression, direction) -> None:
    """An expected failure that now passes is a regression, too."""
    check = samples.variant().checks["runs"]
    meant = before == "fail as expected"
    old = samples.variant(checks={"runs": replace(check, status=before[:4], expected=before != "fail")})
    new = samples.variant(checks={"runs": replace(check, status=after, expected=after != "fail" and not meant)})
    (change,) = between(old, new).changes
    assert (change.kind, change.regression, change.direction) == ("checks", regression, direction)


@pytest.mark.parametrize(("why_not", "word"), [(None, "not measured: "), ("stale", ""), ("not_run", "not run: ")])
def test_a_check_that_could_not_be_measured_any_more_is_told_as_that(why_not, word) -> None:
    """The reason of a stale one begins with the word."""
    gone = replace(samples.variant().checks["runs"], status="not_measured", reason="no engine", why_not=why_not)
    never = samples.variant(checks={"runs": gone})
    diff = between(samples.variant(), never)
    assert (diff.changes, diff.unmeasured) == ((), (f"it: check runs: pass → {word}no engine",))
    assert (re.findall(r"\d+", headline(diff)), NO_CHANGE in headline(diff)) == (["1"], False)
    assert (between(never, never).unmeasured, between(never, NO_CHECKS).changes) == ((), ())


UNBUILT = samples.variant(build=None, image=None, checks={}, startup_seconds=None)


@pytest.mark.parametrize("before", [samples.variant(), UNBUILT], ids=["built", "not built"])
def test_a_build_that_failed_since_is_a_regression_whatever_lies_there(before) -> None:
    """The image of the build before has the figures that it had."""
    new = replace(before, failed="its last build failed (then, log x)")
    diff = between(samples.variant(), new)
    (change,) = diff.changes
    assert (change.kind, change.regression, diff.unmeasured) == ("build", True, ())
    assert re.match(rf"its last build failed \(then, log x\){'$' if before is UNBUILT else '.*;'}", change.text)
    assert re.findall(r"\d+", headline(diff)) == ["1", "1"]


def test_a_build_that_failed_before_too_is_not_measured() -> None:
    old = replace(UNBUILT, failed="its last build failed (then, log x)")
    diff = between(old, replace(old, failed="its last build failed (now, log y)"))
    assert (diff.changes, diff.unmeasured) == ((), ("it: its last build failed (now, log y); it failed before, too",))


def test_a_variant_that_is_not_built_here_is_not_measured_any_more() -> None:
    diff = between(samples.variant(), UNBUILT)
    assert (diff.changes, diff.unmeasured) == ((), ("it: not built; `invoke build --variant it` builds it",))
    assert between(UNBUILT, UNBUILT).unmeasured == ()


def test_an_image_that_was_pruned_is_told_where_a_check_kept_its_size() -> None:
    """Its evidence has the size, and not one layer: pairing the layers ended in a traceback."""
    image, why = samples.image(10_000_000, 5_000_000), "the engine no longer has it"
    diff = between(sized(10_000_000), samples.variant(image=replace(image, layers=()), notes=(why,)))
    assert (diff.changes, diff.unmeasured) == ((), (wording("report.image_gone", variant="it", reason=why),))


@pytest.mark.parametrize(("posture", "before", "after", "regression"), [
    ("hardened", "blocked", "succeeded", True), ("hardened", "blocked", "crashed", True),
    ("open", "blocked", "succeeded", False), ("hardened", "succeeded", "blocked", False),
    ("hardened", "blocked", "not_applicable", False),
])  # fmt: skip
def test_attacks(posture, before, after, regression) -> None:
    cells = ({posture: {"system": model.AttackRecord(outcome)}} for outcome in (before, after, "not_measured"))
    old, new, silent = (samples.variant(attacks=cell) for cell in cells)
    (change,) = between(old, new).changes
    assert change.regression == regression
    lacking = {"variant": "it", "posture": posture, "attacks": "system"}
    for unmeasured in (between(old, silent), between(old, samples.variant(attacks={}))):
        assert (unmeasured.changes, *map(parts, unmeasured.notes)) == ((), ("report.attacks_not_measured", lacking))
        assert headline(unmeasured) != NO_CHANGE


def scan(*vulns: model.Finding, date: str = "2031-01-01", copies: int | None = None) -> model.VariantRecord:
    return samples.variant(vulnerabilities=replace(samples.scanned(*vulns, date=date), copies=copies))


def reimaged(record: model.VariantRecord) -> model.VariantRecord:
    assert record.image is not None
    return replace(record, image=replace(record.image, config_digest="sha256:" + "9" * 64))


HIGH = model.Finding("CVE-1", "libc6", "high", "2.36")
LOW = model.Finding("CVE-2", "zlib", "low", "1.3")
NEW = "regression: new: CVE-1 (high) in libc6 2.36"


def weighing(size: int, *packages: findings.Package) -> model.VariantRecord:
    return replace(sized(size), layers=replace(samples.layers(1), packages=packages))


def glibc(version: str, size: int) -> findings.Package:
    return samples.package("glibc", version, size)


def layered(**changes: object) -> model.VariantRecord:
    """An image of three layers, the second of them with these changes."""
    image = samples.image(1_000_000, 500_000, layers=3)
    first, second, third = (replace(layer, diff_id=layer.digest) for layer in image.layers)
    return samples.variant(image=replace(image, layers=(first, replace(second, **changes), third)))


def checked(status: Status) -> model.VariantRecord:
    return samples.variant(checks={"runs": model.CheckRecord(status, status == "pass", "")})


def started(seconds: float) -> model.VariantRecord:
    return samples.variant(startup_seconds=seconds)


ALPINE = "docker.io/library/alpine:latest"
OLD_BASE, NEW_BASE = (model.BaseRecord(ALPINE, f"sha256:{letter * 64}", stand_in=True) for letter in "ab")
CLASSES = "jib-maven-plugin:3.5.2 (classes)"
X, Y, NO_CHECKS = samples.package("x", "1", 10), samples.package("y", "2", 900_000), samples.variant(checks={})
SLOWER = "start-up 1 s → 3 s (+2 s, +200.0 %)"
CASES: dict[str, tuple[model.VariantRecord, model.VariantRecord, list[str]]] = {
    "grown package": (weighing(20_000_000, glibc("2.38", 5_800_000), X), weighing(37_200_000, glibc("2.39", 23_000_000), X), [
        "regression: size 20 MB → 37.2 MB (+17.2 MB, +86.0 %)",
        "regression: compressed size 10 MB → 18.6 MB (+8.6 MB, +86.0 %)",
        "worse: package glibc 2.38 → 2.39 (+17.2 MB)",
    ]),
    "packages, heaviest first": (weighing(10, X, glibc("2.38", 5)), weighing(10, Y, glibc("2.38", 7)), [
        "worse: package y 2 added (+900 kB)",
        "better: package x 1 removed (-10 B)",
        "worse: package glibc changed size (+2 B)",
    ]),
    "base that moved": (samples.variant(base=OLD_BASE), samples.variant(base=NEW_BASE), [
        f"changed: base {ALPINE} moved: {OLD_BASE.digest} → {NEW_BASE.digest}",
    ]),
    "more layers": (sized(10), sized(10, layers=4), ["regression: layers 2 → 4"]),
    "allowed layers": (sized(10), sized(10, layers=4), ["worse: layers 2 → 4"]),
    "fewer layers": (sized(10, layers=4), sized(10), ["better: layers 4 → 2"]),
    "another layer": (layered(), layered(diff_id="sha256:" + "e" * 64, instruction=CLASSES), [
        f"changed: 1 of 3 layers changed: {CLASSES} sha256:a1a1a1a10000 → sha256:eeeeeeeeeeee",
    ]),
    "dropped": (checked("pass"), NO_CHECKS, ["regression: check runs: pass → not asked"]),
    "dropped, failed": (checked("fail"), NO_CHECKS, ["worse: check runs: fail → not asked"]),
    "slower": (started(1), started(3), [f"worse: {SLOWER}"]),
    "slower, with a ratchet": (started(1), started(3), [f"regression: {SLOWER}"]),
    "noise": (started(1), started(1.2), []),
    "fixed and new": (scan(LOW), reimaged(scan(HIGH)), ["better: fixed: CVE-2 (low) in zlib 1.3", NEW]),
    "only the database learnt of it": (scan(), scan(HIGH, date="2031-02-02"), ["worse: newly known: CVE-1 (high) in libc6 2.36"]),
    "a new package and a new database": (scan(LOW), reimaged(scan(LOW, HIGH, date="2031-02-02")), [NEW]),
    "moved, with its flaw": (scan(HIGH), reimaged(scan(replace(HIGH, version="2.37"))), []),
    "more places": (scan(HIGH, copies=1), scan(HIGH, copies=2), [f"worse: {wording('report.places', before=1, after=2)}"]),
}  # fmt: skip
LIMITS = {
    "slower, with a ratchet": {"ratchet_startup_percent": 100}, "noise": {"ratchet_startup_percent": 10},
    "allowed layers": {"ratchet_layers": 2},
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_changes(case) -> None:
    old, new, changes = CASES[case]
    diff = between(old, new, ReportThresholds(**LIMITS.get(case, {})))
    assert [f"{change.word}: {change.text}" for change in diff.changes] == changes


def test_no_stand_in_is_compared_with_the_real_base() -> None:
    diff = between(sized(10_000_000), replace(sized(90_000_000), base=replace(NEW_BASE, stand_in=False)))
    assert [(change.kind, change.regression) for change in diff.changes] == [("base", False)]
    assert codes(diff.notes[0]) == ["report.one_on_stand_in"]


@pytest.mark.parametrize("status", ["not_scanned", "not_covered"])
def test_a_scan_that_did_not_happen_fixes_nothing(status) -> None:
    diff = between(scan(HIGH), samples.variant(vulnerabilities=model.VulnerabilitiesRecord(status)))
    assert (diff.changes, codes(diff.notes[0])) == ((), ["report.scans_not_compared"])


def test_a_comparison_for_a_pull_request_shows_regressions_first() -> None:
    old = replace(sized(10_000_000), startup_seconds=9.0)
    new = {"a|b": replace(old, startup_seconds=1.0), "c": sized(20_000_000)}
    markdown = comparison_markdown(compare(samples.report({"a|b": old, "c": old}), samples.report(new)))
    assert markdown.startswith("## Container images: what changed\n\n**2 regressions** among")
    rows = [line for line in markdown.splitlines() if line.startswith("- ")]
    assert rows == sorted(rows, key=lambda row: not row.startswith("- **regression** "))
    assert any(row.startswith(r"- better a\|b: ") for row in rows)


def test_an_earlier_report_from_a_file_a_folder_and_git(tmp_path, monkeypatch) -> None:
    report = samples.report()
    folder = written(tmp_path / "public", {"report.json": to_json(report)})
    for words in (["init", "-q", "-b", "main"], ["add", "public"], ["commit", "-q", "-m", "a report"]):
        git(tmp_path, *words)
    named = ["public", "public/report.json", str(folder), "main:public/report.json", "HEAD:public/report.json"]
    assert [earlier(against, tmp_path) for against in named] == [report] * 5
    monkeypatch.chdir(folder)
    named = [".", "report.json", "../public", "public"]  # as completed there, else as the suite has it
    assert [earlier(against, tmp_path) for against in named] == [report] * 4


@pytest.mark.parametrize(("against", "error", "code"), [
    ("nowhere", UsageError, "publish.no_such_report"), ("", UsageError, "publish.no_report_given"),
    (".", ConfigError, "report.unreadable"), ("main:none.json", UsageError, "publish.not_in_git"),
    ("--output=x:y", UsageError, "publish.no_such_report"),
    ("oci://user:secret@registry/x", UsageError, "records.credentials"),
    ("oci://not a reference", UsageError, "records.not_in_registry"),
])  # fmt: skip
def test_what_names_no_report_is_one_clear_error(tmp_path, against, error, code) -> None:
    git(tmp_path, "init", "-q")
    with raises(error, code, exit_code=2) as raised:
        earlier(against, tmp_path)
    assert "secret" not in str(raised.value)
