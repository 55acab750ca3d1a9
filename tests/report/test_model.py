"""``report.json``: what is written validates against the published schema, and what is not a report is refused."""

import contextlib
import json
import runpy
from dataclasses import replace
from importlib import resources

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deadweight._errors import ConfigError
from deadweight.report import history as written
from tests.support import ROOT
from tests.support import report_samples as samples
from tests.support.codes import raises
from tests.support.json_schema import refusal, validator

PUBLISHED = json.loads(resources.files("deadweight.report").joinpath("report.schema.json").read_bytes())


def test_the_schema_in_the_package_is_the_one_of_the_records() -> None:
    """Printed anew by ``python docs/report.py``."""
    assert runpy.run_path(str(ROOT / "docs" / "report.py"))["generated"]() == PUBLISHED
    assert refusal(PUBLISHED, {})


@pytest.mark.parametrize("report", [samples.report(), samples.full_report()], ids=["plain", "full"])
def test_what_is_written_validates_and_reads_back_equal(report) -> None:
    content = written.to_json(report)
    assert refusal(PUBLISHED, json.loads(content)) == ""
    assert report == written.parse_report(content, origin="x")


FULL = written.to_json(replace(samples.full_report(), variants={"one": samples.full_report().variants["all-in-one"]}))
CONTRACT = {
    "base": "reference digest stand_in",
    "image": "config_digest manifest_digest size_bytes compressed_bytes layers user entrypoint", "build": "seconds cached",
    "checks.runs": "status expected reason evidence", "vulnerabilities": "status coverage total by_severity database",
    "vulnerabilities.coverage": "os language", "vulnerabilities.database": "updated_at",
    "attacks.hardened.system": "outcome walls", "layers": "layers hidden secrets setuid shells package_managers",
    "layers.hidden.0": "path size_bytes layer added_by hidden_in hidden_by secrets",
    "layers.hidden.0.secrets.0": "rule fingerprint", "layers.layers.0": "digest diff_id size_bytes compressed_bytes instruction",
}  # fmt: skip


@pytest.mark.parametrize("place", CONTRACT)
def test_every_field_of_the_contract_is_there(place: str) -> None:
    """Others read these names; they may be joined by more, never renamed."""
    document = json.loads(FULL)
    record = document["variants"]["one"]
    assert (document["schema"], {"builder", "startup_seconds"} <= record.keys()) == (1, True)
    for key in place.split("."):
        record = record[int(key) if key.isdigit() else key]
    assert set(CONTRACT[place].split()) <= record.keys()


def test_not_measured_is_null_and_the_schema_refuses_a_zero_for_it() -> None:
    document = json.loads(written.to_json(samples.full_report()))
    never = document["variants"]["never-built"]
    assert (never["image"], never["startup_seconds"], never["vulnerabilities"]["total"]) == (None, None, None)
    for record, key in ((never["vulnerabilities"], "total"), (never, "startup_seconds")):
        record[key] = 0
        assert refusal(PUBLISHED, document)
        record[key] = None


@pytest.mark.parametrize("key", ["schema", "suite", "generated_at", "tool_version", "variants"])
def test_a_missing_key_is_named(key: str) -> None:
    document = json.loads(written.to_json(samples.report()))
    del document[key]
    with raises(ConfigError, "report.not_of_schema", key=key):
        written.parse_report(json.dumps(document).encode(), origin="old.json")
    assert refusal(PUBLISHED, document)


NO_REPORTS = [b"", b"{}", b"[]", b"null", b"\xff\xfe", b'{"schema": 2}', b"[" * 100_000, b'{"variants": NaN}']
NO_REPORTS.append(FULL.replace(b'"schema": 1', b'"schema": 2'))


@pytest.mark.parametrize("content", NO_REPORTS, ids=range(9))
def test_what_is_no_report_is_one_clear_error(content: bytes, tmp_path) -> None:
    file = tmp_path / "report.json"
    file.write_bytes(content)
    with raises(ConfigError, "report.not_of_schema", schema=1, file=str(file)):
        written.load_report(file)


def test_a_missing_or_huge_file_is_one_clear_error(tmp_path) -> None:
    with raises(ConfigError, "report.unreadable"):
        written.load_report(tmp_path / "none.json")
    huge = tmp_path / "huge.json"
    with huge.open("wb") as file:
        file.truncate(written.MAX_REPORT_BYTES + 1)
    with raises(ConfigError, "report.too_large", limit=written.MAX_REPORT_BYTES):
        written.load_report(huge)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.floats(0.1, 0.9) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=3),
    max_leaves=8,
)


def paths(node, prefix=()):
    """Every place in a document, as the keys that lead there."""
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in items:
        yield (*prefix, key)
        yield from paths(value, (*prefix, key))


@pytest.mark.slow
@settings(max_examples=80)
@given(place=st.sampled_from(list(paths(json.loads(FULL)))), value=JSON)
def test_reader_and_schema_agree_on_damaged_reports(place, value) -> None:
    """A value replaced at random, anywhere: what the reader takes, the schema allows, and the other way round."""
    document = json.loads(FULL)
    node = document
    for key in place[:-1]:
        node = node[key]
    node[place[-1]] = value
    # The counts of a scan that did not happen are the schema's own rule; the collector drops them before a report is made.
    errors = [error for error in validator(PUBLISHED).iter_errors(document) if "then" not in error.schema_path]
    with pytest.raises(ConfigError) if errors else contextlib.nullcontext():
        written.parse_report(json.dumps(document).encode(), origin="x")
