"""The verdict on a pull request: what this change did, apart from bases, the database, and measuring anew."""

from dataclasses import replace

from deadweight.records.runs import Scope
from deadweight.report import model
from deadweight.report.pull_request import SECTIONS, first_line, markdown, verdict
from tests.support import report_samples as samples
from tests.support.codes import parts

DOCKERFILE = "FROM alpine\nRUN apk add \\\n    curl\nCOPY --chown=1 app /app\n"


def image(size: int, seed: str, *layers: tuple[str, int]) -> model.VariantRecord:
    made = tuple(model.LayerRecord(weight, diff_id=f"sha256:{seed}{name}", instruction=name) for name, weight in layers)
    plain = samples.image(size, size // 2)
    return samples.variant(image=replace(plain, config_digest="sha256:" + seed * 64, layers=made or plain.layers))


def of(old: model.VariantRecord, new: model.VariantRecord, **more: object):
    return verdict(samples.report({"it": old}), samples.report({"it": new}), **more)


def test_nothing_changed_is_fine_and_silent():
    outcome = of(samples.variant(), samples.variant())
    assert (outcome.level, outcome.silent, *parts(first_line(outcome))) == ("fine", True, "report.fine", {"rest": ""})


def test_growth_beyond_the_ratchet_stops_and_names_the_line():
    old = image(10_000_000, "a", ("ADD rootfs /", 7_000_000), ("COPY app /app # buildkit", 3_000_000))
    new = image(
        30_000_000, "c", ("ADD rootfs /", 7_000_000), ("RUN /bin/sh -c apk add     curl # buildkit", 20_000_000),
        ("COPY app /app # buildkit", 3_000_000),
    )  # fmt: skip
    outcome = of(old, new, dockerfiles={"it": ("build/Dockerfile", DOCKERFILE)})
    line = "build/Dockerfile:2: RUN apk add curl (+20 MB)"
    assert (outcome.level, first_line(outcome).code, outcome.of("change")[0].by) == ("stop", "report.stop", (line,))
    assert f"`{line}`" in markdown(outcome)
    (before, now, _) = [
        line for line in markdown(outcome).splitlines() if "\N{FULL BLOCK}" in line or "\N{LIGHT SHADE}" in line
    ]
    assert before.split() == ["it,", "before", "\N{LIGHT SHADE}" * 13, "10", "MB"]
    assert now.split() == ["now", "\N{FULL BLOCK}" * 40, "30", "MB"]


def test_a_flag_of_copy_does_not_hide_its_line():
    old, new = (image(size, str(size)[0], ("COPY app /app # buildkit", size)) for size in (3_000_000, 23_000_000))
    outcome = of(old, new, dockerfiles={"it": ("Dockerfile", DOCKERFILE)})
    assert outcome.of("change")[0].by == ("Dockerfile:4: COPY app /app (+20 MB)",)


def test_a_secret_names_the_line_that_brought_it():
    text = "FROM alpine\nCOPY other.key /etc/\nCOPY secret.txt /etc/\nRUN rm /etc/secret.txt\n"
    passed, failed = model.CheckRecord("pass", True, ""), model.CheckRecord("fail", False, "2")
    old = replace(image(10_000_000, "a"), layers=samples.layers(1), checks={"layers": passed})
    new = replace(image(10_000_000, "c"), layers=samples.layers(0), checks={"layers": failed})
    outcome = of(old, new, dockerfiles={"it": ("Dockerfile", text)})
    (item,) = (entry for entry in outcome.of("change") if entry.change.kind == "checks")
    named = enumerate(("other.key", "secret.txt"), 2)
    assert item.by == tuple(f"Dockerfile:{line}: COPY {name} /etc/ (etc/{name})" for line, name in named)


def test_what_a_base_did_stops_nobody_and_is_told_apart_where_the_variant_was_touched():
    moved = model.BaseRecord("docker.io/library/alpine:latest", "sha256:" + "d" * 64, stand_in=True)
    old, new = image(10_000_000, "a"), replace(image(30_000_000, "c"), base=moved)
    outcome = of(old, new, touched={})
    causes = {item.cause for item in outcome.items}
    assert (outcome.level, first_line(outcome).code, causes) == ("look", "report.look", {"base"})
    assert SECTIONS[0][0] in markdown(outcome)
    touched = of(old, new, touched={"it": "main.c changed"})
    assert (touched.level, [item.change.kind for item in touched.of("base")]) == ("stop", ["base"])


def scanned(seed: str, day: str, *findings: model.Finding) -> model.VariantRecord:
    return replace(image(10_000_000, seed), vulnerabilities=samples.scanned(*findings, date=day))


def test_what_the_database_learnt_is_the_databases_and_a_vulnerable_package_of_this_change_stops():
    fresh = model.Finding("CVE-1", "openssl", "critical", "3.0")
    outcome = of(scanned("a", "2031-01-01"), scanned("a", "2031-02-01", fresh))
    assert (outcome.level, [item.cause for item in outcome.items]) == ("fine", ["database"])
    assert f"{SECTIONS[1][0]} (1)" in markdown(outcome)
    assert of(scanned("a", "2031-01-01"), scanned("c", "2031-01-01", fresh)).level == "stop"


def test_a_check_that_fails_in_an_image_nobody_touched_was_measured_otherwise():
    plain = samples.variant()
    failing = replace(plain, checks={"runs": model.CheckRecord("fail", False, "not healthy")})
    outcome = of(plain, failing, touched={})
    assert (outcome.level, [entry.cause for entry in outcome.items]) == ("look", ["measuring"])
    assert of(plain, failing).level == "stop"


def test_what_was_measured_and_is_not_any_more_is_looked_at():
    plain = samples.variant()
    outcome = of(plain, replace(plain, checks={"runs": model.CheckRecord("not_measured", True, "no engine")}))
    assert (outcome.level, outcome.silent) == ("look", False)
    assert "; 1 " in first_line(outcome).fields["rest"]


def test_a_better_image_is_fine_and_told():
    outcome = of(image(30_000_000, "a"), image(10_000_000, "c"))
    assert (outcome.level, outcome.silent, first_line(outcome).code) == ("fine", False, "report.fine_better")


def test_variants_that_the_run_was_not_for_are_left_out():
    old = samples.report(dict.fromkeys(("it", "other", "third"), samples.variant()))
    new = samples.report({"it": samples.variant(), "third": samples.variant(build=None)})
    scoped = replace(new, scope=Scope(1, 1, ("it",), ("it",), None, "changed since main"))
    assert [verdict(old, report).silent for report in (scoped, new)] == [True, False]


def test_words_of_others_call_nobody_and_hold_no_markup():
    failing = {"runs": model.CheckRecord("fail", False, "@babel/core <img src=x> `code` [a](b)")}
    text = markdown(of(samples.variant(), samples.variant(checks=failing)))
    assert ("@babel" in text, r"\<img" in text) == (False, True)


def test_a_comment_stays_below_what_forges_take():
    checks = {f"check-{number}": model.CheckRecord("fail", False, "x" * 600) for number in range(400)}
    outcome = of(samples.variant(), samples.variant(checks=checks))
    text = markdown(replace(outcome, unmeasured=("y*" * 300,) * 400, notes=("z" * 600,) * 400))
    assert (10_000 < len(text) < 65_000, "more: see the report" in text) == (True, True)
