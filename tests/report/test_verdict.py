"""The verdict: what failed, what is not known, which variant to ship and what it costs; the same words in every form."""

import io
import re
from dataclasses import replace

import pytest
from rich.console import Console

from deadweight.report import figures
from deadweight.report.console import print_comparison
from deadweight.report.markdown import LIMIT_BYTES, render_markdown
from deadweight.report.model import AttackRecord, CheckRecord, Coverage, VariantRecord, VulnerabilitiesRecord
from deadweight.report.verdict import counted, stand_ins_said, verdict
from tests.support import report_demo as demo
from tests.support import report_samples as samples
from tests.support.report_samples import everywhere


def scanned(total: int, os: str = "covered") -> VulnerabilitiesRecord:
    return VulnerabilitiesRecord("scanned", Coverage(os, "covered"), total)


def attacked(stopped: int, tried: int) -> dict[str, dict[str, AttackRecord]]:
    cells = {str(n): AttackRecord("blocked" if n < stopped else "succeeded") for n in range(tried)}
    return {"default": cells}


def variant(size: int, total: int, stopped: int, *, shell: bool = False, **changes: object) -> VariantRecord:
    seen = replace(samples.layers(4), shells=samples.layers(0).shells if shell else ())
    return samples.variant(
        size, vulnerabilities=scanned(total), attacks=attacked(stopped, 31), layers=seen, **{"ladder": "go", **changes}
    )


def ladder() -> dict[str, VariantRecord]:
    return {
        "all-in-one": variant(480_000_000, 1729, 4, shell=True),
        "ko": variant(9_000_000, 15, 12, shell=True),
        "apko": variant(10_000_000, 14, 25),
    }


def test_the_winner_is_named_with_what_it_costs() -> None:
    (found,) = verdict(samples.report(ladder())).findings
    assert found.winner == "apko"
    assert found.text == (
        "apko (10 MB) is 48 times smaller than all-in-one, carries 14 findings instead of 1,729 and stops 25 of 31 attacks in a "
        "plain container; ko is smaller (9 MB), but keeps a shell; all are stand-ins."
    )


def test_a_smaller_count_of_what_was_looked_at_less_is_told_as_not_comparable() -> None:
    """Whoever reads the table sees the zero, and asks why another one is to be shipped."""
    alpine = replace(variant(11_000_000, 0, 20, shell=True), vulnerabilities=scanned(0, "not_covered"))
    records = {**ladder(), "alpine": alpine}
    (found,) = verdict(samples.report(records)).findings
    assert found.winner == "apko"
    assert found.text.endswith(
        "; alpine shows fewer findings, but not comparable ones (OS not covered); all are stand-ins."
    )


def test_a_language_that_the_database_lacks_is_told_with_the_count() -> None:
    unknown = VulnerabilitiesRecord("scanned", Coverage("partly_covered", "not_covered"), 0)
    records = {name: replace(record, vulnerabilities=unknown) for name, record in ladder().items()}
    (found,) = verdict(samples.report(records)).findings
    assert ", carries \u2013 findings (OS partly, language not covered) and stops " in found.text
    assert "instead of" not in found.text
    for text in everywhere(samples.report(records)):
        assert "language not covered" in text


def test_a_build_that_failed_is_told_in_the_variants_row_too() -> None:
    """Whatever columns there is room for."""
    for text in everywhere(demo.failing()):
        plain = " ".join(text.split())
        assert "FAILED: build; before it 5/5 ok" in plain


def test_where_there_are_two_ladders_each_winner_says_of_which_it_is() -> None:
    java = {f"{name}-java": replace(record, ladder="java") for name, record in ladder().items()}
    broken = {name: replace(record, failed="its last build failed") for name, record in java.items()}
    assert [each.head for each in verdict(samples.report(ladder())).findings] == ["Ship"]
    assert [each.head for each in verdict(samples.report(ladder() | java)).findings] == ["Ship (Go)", "Ship (Java)"]
    none = verdict(samples.report(ladder() | broken)).findings[1]
    assert (none.head, none.winner) == ("Nothing to ship (Java)", None)


def test_every_form_says_the_same() -> None:
    report = demo.failing()
    found = verdict(report)
    for text in everywhere(report):
        told = " ".join(text.split())
        assert f"{found.title}." in told
        assert found.counts in told
        for point in found.failures:
            assert point.reason[:60] in told
            assert f"{point.variant}/{point.check}" in told
        for each in found.findings:
            assert each.text in told
        assert "insecure-layer-sample (/etc/secret.txt, removed in layer 3," in told
        assert told.count("rest on local stand-ins") == 1, "said once"
        assert told.index(found.title) < told.index("Attacks stopped"), "the verdict stands first"


def test_the_winner_is_labelled_in_every_table() -> None:
    console, page, markdown = everywhere(demo.passing())
    assert "multi-stage-distroless (ship)" in console
    assert console.count("(ship)") == 2, "one for each ladder that has a winner"
    assert "| **multi-stage-distroless** (ship) |" in markdown
    assert "multi-stage-distroless* ship" in page


def test_what_failed_may_not_be_shipped() -> None:
    variants = ladder()
    broken = CheckRecord("fail", False, "runs as root")
    variants["apko"] = replace(variants["apko"], checks={"hardening": broken})
    found = verdict(samples.report(variants))
    assert (found.status, found.title) == ("fail", "1 check failed")
    assert str(found.failures[0]) == "apko/hardening: runs as root"
    assert found.findings[0].winner == "ko"
    everything = {name: replace(record, checks={"hardening": broken}) for name, record in variants.items()}
    (none,) = verdict(samples.report(everything)).findings
    assert none.winner is None
    assert (none.head, none.text) == ("Nothing to ship", "no variant is built, measured and free of failures.")


def test_what_is_not_measured_never_wins() -> None:
    """An image whose OS the database does not cover has no fewest findings, and what was not attacked held against nothing."""
    variants = ladder()
    assert counted(replace(variants["apko"], vulnerabilities=scanned(0, "not_covered"))) is None
    unknown = replace(variants["ko"], vulnerabilities=VulnerabilitiesRecord(), attacks={}, layers=None)
    assert verdict(samples.report({**variants, "ko": unknown})).findings[0].winner == "apko"
    alone = {name: replace(record, attacks={}) for name, record in variants.items()}
    assert "attacks" not in verdict(samples.report(alone)).findings[0].text


def test_a_winner_of_which_something_is_not_known_says_so() -> None:
    variants = ladder()
    stale = CheckRecord("not_measured", True, "stale", why_not="stale")
    variants["apko"] = replace(variants["apko"], checks={"api": stale, "runs": stale})
    assert (
        verdict(samples.report(variants)).findings[0].text.endswith("; its api, runs are not known; all are stand-ins.")
    )


def test_images_of_one_weight_are_no_ladder() -> None:
    pair = {"one": samples.variant(1_930_000), "two": samples.variant(1_930_100)}
    assert verdict(samples.report(pair)).findings == ()


def test_a_pass_that_was_to_fail_is_a_failure() -> None:
    odd = samples.variant(checks={"layers": CheckRecord("pass", False, "no secret found")})
    (point,) = verdict(samples.report({"leaky": odd})).failures
    assert str(point) == "leaky/layers: expected to fail, and did not: no secret found"


def test_samples_that_leak_tell_their_story_beside_the_fixed_ones() -> None:
    found = verdict(demo.passing())
    assert found.status == "pass"
    hidden = "insecure-layer-sample (/etc/secret.txt, removed in layer 3, can still be read in layer 2)"
    visible = "insecure-layer-sample-history (2 secrets in its environment and the instructions in its history)"
    beside = "insecure-layer-sample-fixed and insecure-layer-sample-ssh pass."
    assert found.stories == (f"{hidden} and {visible} fail the check layers on purpose; {beside}",)
    assert {each.ladder for each in found.findings} == {"go", "java"}, "samples have no winner"


def test_stale_is_no_pass() -> None:
    found = verdict(demo.stale())
    assert (found.status, found.title) == ("gaps", "Nothing failed, but 8 stale")
    assert found.counts.startswith("51 of 59 checks as expected, 8 stale.")
    (gap,) = found.gaps
    assert (gap.word, gap.count) == ("stale", 8)
    assert gap.text.startswith("api and runs of each of multi-stage-alpine, ko, apko and jib; measured before"), (
        "each variant once"
    )
    assert gap.text.endswith("next: invoke verify")


def test_what_could_not_be_measured_says_why() -> None:
    (gap,) = verdict(demo.failing()).gaps
    assert (gap.word, gap.text) == ("not measured", "api of jib (engine: the bridge is gone)")


def test_what_is_not_built_is_a_gap() -> None:
    never = samples.full_report().variants["never-built"]
    found = verdict(samples.report({"one": samples.variant(), "two": never}))
    assert (found.status, found.gaps[0].text) == ("gaps", "two; next: invoke build")


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (["a"], "a"),
        (["a", "b"], "a and b"),
        (list("abcde"), "a, b, c, d and e"),
        (list("abcdefg"), "a, b, c, d and 3 more"),
    ],
)
def test_lists_are_short(names, text) -> None:
    assert text == figures.listed(names)


def test_stand_ins_take_one_sentence() -> None:
    assert stand_ins_said((), 3) == ""
    assert stand_ins_said(("good",), 1).startswith("good rests on a local stand-in of its public base")
    assert len(stand_ins_said(tuple(demo.SHAPES), 15)) < 130


def test_an_attack_that_tells_no_variant_from_another_has_no_row_in_the_markdown() -> None:
    report = demo.passing()
    first = next(iter(report.variants.values()))
    same = {name: replace(record, attacks=first.attacks and {**record.attacks, **{
        posture: {**cells, "mount": first.attacks[posture]["mount"]} for posture, cells in record.attacks.items()
    }}) for name, record in report.variants.items()}  # fmt: skip
    text = render_markdown(replace(report, variants=same))
    assert "\n| mount, as told in the catalogue |" in render_markdown(report)
    assert "\n| mount, as told in the catalogue |" not in text
    assert re.search(r"\| \d+ alike: .*mount, as told in the catalogue.* \| \*\*\w+\*\* \|", text)


def test_the_markdown_of_fifteen_variants_fits_a_comment() -> None:
    for report in (demo.passing(), demo.failing(), demo.stale()):
        assert len(render_markdown(report).encode()) < 20_000


@pytest.mark.slow
def test_markdown_that_is_too_long_names_what_it_leaves_out() -> None:
    whole = demo.failing()
    many = {f"{name}-{n}": record for name, record in whole.variants.items() for n in range(20)}
    text = render_markdown(replace(whole, variants=many))
    assert len(text.encode()) <= LIMIT_BYTES
    left = re.search(r"Not shown, to fit a comment: (.*); see `index.html` for everything", text)
    assert left
    assert "Attacks" in left[1]
    assert "<b>Attacks</b>" not in text
    assert text.index("failed.") < 200, "the verdict stays"


def test_the_terminal_names_the_columns_that_have_no_room() -> None:
    out = io.StringIO()
    print_comparison(demo.failing(), Console(file=out, width=80, force_terminal=True, color_system=None))
    lines = out.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    told = " ".join(out.getvalue().split())
    assert "FAILED:" in told
    assert "Not enough room for " in told
    assert "Builder" in told[told.index("Not enough room for ") :]
