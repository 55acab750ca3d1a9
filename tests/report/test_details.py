"""What a variant's own box on the page says."""

from dataclasses import replace

from deadweight.report.html import box
from deadweight.report.model import BuildRecord
from tests.support import report_samples as samples

PLAIN = ("goes to east (its home)", "was built on east in 4.6 s")


def facts(build: BuildRecord) -> dict[str, str]:
    report = samples.report()
    name, record = next(iter(report.variants.items()))
    return box(name, replace(record, build=build))[1]


def test_where_it_was_built():
    build = BuildRecord(
        1.0, False, "2027-01-31T00:00:00+00:00", "buildkit 0.34.2", built_on="east (tcp://h:1, BuildKit 0.34.2)"
    )
    assert "Built on" not in facts(replace(build, built_on=None))
    assert facts(replace(build, decisions=PLAIN))["Built on"] == "east (tcp://h:1, BuildKit 0.34.2)"
    moved = ("goes to near (its home)", "is lost on near: it gives no answer", "goes to east (again)", PLAIN[1])
    assert facts(replace(build, decisions=moved))["Built on"].endswith("; ".join(moved))
