"""Suite files: what is accepted, and that every error names file, line and key."""

import json
import os
import runpy
from importlib.resources import files
from pathlib import Path

import pytest
import yaml

from deadweight._errors import ConfigError, UsageError
from deadweight.project.load_suite import check_suite, load_suite
from deadweight.suite.load import find_suite_file, merge, select, select_one
from deadweight.suite.values import format_bytes, parse_bytes
from tests.support import ROOT
from tests.support.codes import raises
from tests.support.json_schema import refusal
from tests.support.small_project import write_suite
from tests.support.trees import written


def write(folder: Path, text: str | bytes) -> Path:
    return written(folder, {"deadweight.yaml": text}) / "deadweight.yaml"


@pytest.mark.parametrize(("defaults", "ladder"), [("{}", "demo"), ("{ladder: all}", "all")])
def test_variants_stand_in_the_ladder_of_their_suite_whatever_builds_them(tmp_path, defaults, ladder):
    variants = "{a: {builder: jib}, b: {builder: ko}, c: {builder: ko, ladder: java}}"
    suite = write_suite(tmp_path, f"name: demo\ndefaults: {defaults}\nvariants: {variants}\n")
    assert [variant.ladder for variant in suite.variants] == [ladder, ladder, "java"]
    one, two, _ = suite.variants
    assert (one.run is two.run, one.checks is two.checks) == (True, True), "what they leave out is one record for all"


def test_all_that_is_wrong_is_told_at_once_by_line_and_each_once(tmp_path):
    one = "  one:\n    bilder: ko\n    health: {within_secnds: 3}\n"
    two = "  two: {builder: ko,\n    port: 70000,\n    checks: {budget: {size_bytes: {hard: [1]}}}}\n"
    file = write(tmp_path, f"name: shop\ndefaults: {{port: none}}\nvariants:\n{one}{two}scan: {{databases: 1}}\n")
    with pytest.raises(ConfigError) as caught:
        load_suite(file)
    errors = [caught.value, *caught.value.more]
    assert [error.line for error in errors] == [2, 5, 6, 8, 9, 10]
    assert [str(caught.value).count(f"\n{file}:{error.line}: {error.key}: ") for error in errors] == [0, 1, 1, 1, 1, 1]
    port, builder = ((error.key, error.code, error.fields.get("near")) for error in errors[:2])
    assert port == ("defaults.port", "suite.whole_number", None)
    assert builder == ("variants.one.bilder", "suite.misspelt_key", "builder")


def test_very_many_problems_are_cut_short(tmp_path):
    lines = "".join(f"  v{number}: {{builder: ko, prt: 1}}\n" for number in range(30))
    with pytest.raises(ConfigError) as caught:
        load_suite(write(tmp_path, f"name: shop\nvariants:\n{lines}"))
    *shown, last = [line for line in str(caught.value).splitlines() if "hint:" not in line]
    assert [f"variants.v{number}.prt: " in line for number, line in enumerate(shown)] == [True] * 20
    assert (last[:2], " 10 " in last, last.endswith(f" {tmp_path / 'deadweight.yaml'}")) == ("… ", True, True)


def test_an_unknown_builder_is_told_beside_other_errors_and_alone_by_who_needs_it(tmp_path: Path) -> None:
    """It may be a plug-in's that is not installed here: the rest of such a suite can be read."""
    odd = "name: x\nvariants:\n  one: {builder: koo}\n  two: {builder: ko, port: 0}\n"
    with pytest.raises(ConfigError) as caught:
        load_suite(write(tmp_path, odd))
    builder, port = ((error.line, error.key, error.code) for error in (caught.value, *caught.value.more))
    assert builder == (3, "variants.one.builder", "suite.misspelt")
    assert port == (4, "variants.two.port", "suite.number_between")
    assert caught.value.fields == {"kind": "builder", "name": "koo", "near": "ko"}
    assert load_suite(write(tmp_path, odd.replace("port: 0", "port: 1"))).names() == ("one", "two")


def test_what_only_the_floors_above_know_is_told_at_once_too(tmp_path):
    checks = "{api: [{name: a, request: {body_file: absent}}], other: {nobodys: {}}}"
    variants = f"variants: {{one: {{builder: kko}}, two: {{builder: ko, checks: {checks}}}}}"
    with pytest.raises(ConfigError) as caught:
        check_suite(write_suite(tmp_path, f"name: shop\n{variants}\n"))
    errors = {(error.code, error.fields.get("name")) for error in (caught.value, *caught.value.more)}
    assert errors >= {("suite.misspelt", "kko"), ("project.no_such_file", "absent"), ("suite.unknown", "nobodys")}


@pytest.mark.parametrize(("defaults", "lacks"), [
    ("{}", True), ("{port: 3000}", False), ("{health: {kind: tcp}}", True), ("{health: {kind: grpc}}", True),
    ("{health: {kind: exit}}", False), ("{health: {kind: exec, command: [up]}}", False),
    ("{health: {kind: exec, command: [up]}, checks: {api: [{name: a, request: {path: /}}]}}", True),
    ("{health: {kind: exec, command: [up]}, checks: {api: [{name: a, request: {path: /, port: 81}}]}}", False),
    ("{runnable: false}", False),
])  # fmt: skip
def test_the_port_is_nobodys_guess(tmp_path, defaults, lacks):
    variants = "variants:\n  one: {builder: ko, base: x}\n  two: {builder: ko, base: x}\n"
    suite = load_suite(write(tmp_path, f"name: shop\ndefaults: {defaults}\n{variants}"))
    assert [variant.port for variant in suite.variants] in ([None, None], [3000, 3000])
    if not lacks:
        check_suite(suite)
        return
    place = {"line": 4, "key": "variants.one.port"}
    with raises(ConfigError, "project.port_missing", variants="one, two", exit_code=2, **place):
        check_suite(suite)


@pytest.mark.parametrize(("content", "code"), [
    (b"# only a comment\n", "suite.empty_file"),
    (b"name: caf\xe9\n", "suite.not_utf8"), (b"just text", "suite.mapping"),
    (b"name: x\nvariants: {}\n", "suite.no_variants"), (b"name: x\nservices: {}\n", "suite.no_service"),
    (b"a: &a [*a]\n", "suite.too_deep"), (b"[" * 5000, "suite.not_yaml"),
    (b"a: " + b"[" * 90 + b"]" * 90, "suite.too_deep"), (b"name: x\n" * 3, "suite.duplicate"),
])  # fmt: skip
def test_what_is_no_suite_at_all(tmp_path, content, code):
    with raises(ConfigError, code):
        load_suite(write(tmp_path, content))


def test_an_empty_file_leads_to_the_page_that_shows_one(tmp_path):
    with raises(ConfigError, "suite.empty_file") as caught:
        load_suite(write(tmp_path, b""))
    assert "docs/tutorial.md" in (caught.value.hint or "").lower()
    assert "\nvariants:\n" in (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_aliases_cannot_blow_up(tmp_path):
    levels = "".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]\n" for n in range(1, 9))
    with raises(ConfigError, "suite.too_many_values"):
        load_suite(write(tmp_path, "l0: &l0 [x]\n" + levels))


def test_a_missing_file_says_what_to_do_and_one_is_found_from_a_folder_below(tmp_path):
    with raises(ConfigError, "suite.missing_file"):
        load_suite(tmp_path / "deadweight.yaml")
    (below := tmp_path / "a" / "b").mkdir(parents=True)
    with raises(ConfigError, "suite.no_suite"):
        find_suite_file(below)
    file = write(tmp_path, TWO)
    assert find_suite_file(below) == file


def test_a_later_error_still_finds_its_line_also_in_a_service(tmp_path):
    suite = write_suite(tmp_path, "name: demo\ndefaults: {port: 1}\nvariants:\n  v:\n    builder: dockerfile\n")
    assert [suite.error(suite.variants[0], key, "x").line for key in ("builder", "port", "target")] == [5, 2, 4]
    suite = write_suite(tmp_path, TWO)
    assert ":6: services.cart" in str(suite.error(suite.variants[0], "port", "is taken")).replace("variants.today.", "")


def test_merge_replaces_lists_and_takes_null():
    merged = merge({"a": [1], "b": {"c": 1, "d": 2}}, {"a": [2], "b": {"c": None}})
    assert merged == {"a": [2], "b": {"c": None, "d": 2}}


@pytest.mark.parametrize(("text", "size"), [
    ("15MB", 15_000_000), ("15MiB", 15 * 2**20), ("1.5 kb", 1500), (12, 12), ("12", 12), ("2GiB", 2 * 2**30),
])  # fmt: skip
def test_sizes(text, size):
    assert parse_bytes(text) == size


@pytest.mark.parametrize("text", ["", "MB", "-1", "1TB", "1 2", "nan", -1, float("inf"), float("nan"), True, [1]])
def test_what_is_no_size(text):
    with pytest.raises(ValueError) as caught:
        parse_bytes(text)
    assert caught.value.args[0].code == "suite.size"


def test_sizes_for_people():
    sizes = (0, 999, 12_345, 999_999, 12_700_000, 1_010_000_000)
    assert [format_bytes(size) for size in sizes] == ["0 B", "999 B", "12.3 kB", "1 MB", "12.7 MB", "1.01 GB"]


def test_the_packaged_schema_is_the_records_and_our_own_suite_meets_it():
    """Made anew by: python docs/suite.py > src/deadweight/suite/suite.schema.json"""
    schema = json.loads((files("deadweight.suite") / "suite.schema.json").read_text())
    assert schema == runpy.run_path(str(ROOT / "docs" / "suite.py"))["make_schema"]()
    document = yaml.safe_load((ROOT / "deadweight.yaml").read_text())
    assert refusal(schema, document) == ""
    assert "misspelt" in refusal(schema, {**document, "misspelt": 1})


SMALL = "name: shop\nvariants:\n  one:\n    builder: dockerfile\n    port: 80\n"
FILES = {
    "run.files": "    run: {files: {/secret: PATH}}\n",
    "run.seccomp": "    run: {seccomp: PATH}\n",
    "run.needs": "    run: {needs: {db: {image: redis, port: 1, files: {/secret: PATH}}}}\n",
    "dockerfile": "    dockerfile: PATH\n",
    "files of ko": "    files: {/etc/secret: PATH}\n",
    "files of jib": "    files: {/etc/secret: PATH}\n",
    "checks.api": "    checks: {api: [{name: a, request: {method: POST, body_file: PATH}}]}\n",
    "checks.attacks.payload_files": "    checks: {attacks: {payload_files: [PATH]}}\n",
    "checks.vulnerabilities.baseline": "    checks: {vulnerabilities: {baseline: PATH}}\n",
    "checks.vulnerabilities.vex": "    checks: {vulnerabilities: {vex: [PATH]}}\n",
}


@pytest.mark.parametrize("path", ["../outside", "/etc/shadow", "link", "folder/link/shadow", "zero", "pipe"])
@pytest.mark.parametrize(("key", "text"), FILES.items(), ids=FILES)
def test_a_file_that_a_suite_names_stays_in_the_project(tmp_path, key, text, path):
    """``/etc/shadow`` was mounted and its first line shown, by ``../``, an absolute path, or a link."""
    project = tmp_path / "project"
    (project / "folder").mkdir(parents=True)
    (tmp_path / "outside").write_text("secret")
    for link, target in {"link": "../outside", "folder/link": "/etc", "zero": "/dev/zero"}.items():
        (project / link).symlink_to(target)
    os.mkfifo(project / "pipe")
    key, _, builder = key.partition(" of ")
    with pytest.raises(ConfigError) as caught:
        load_suite(write(project, SMALL.replace("dockerfile", builder or "dockerfile") + text.replace("PATH", path)))
    assert (caught.value.line, caught.value.more) == (6, ())
    assert (caught.value.key or "").startswith(f"variants.one.{key}")


@pytest.mark.parametrize("path", ["folder/../inside", "link", "./inside", "absent", "folder"])
@pytest.mark.parametrize("project", ["real", "way"])
def test_what_stays_in_the_project_is_taken_whatever_way_leads_there(tmp_path, project, path):
    """Also through a link to the project."""
    written(tmp_path / "real", {"folder/x": "x", "inside": "x"})
    (tmp_path / "real" / "link").symlink_to("inside")
    (tmp_path / "way").symlink_to("real")
    suite = load_suite(write(tmp_path / project, SMALL + FILES["run.files"].replace("PATH", path)))
    assert suite.variants[0].run.files == {"/secret": path}


def test_the_folder_that_is_built_and_a_user_s_own_secrets_may_lie_anywhere(tmp_path):
    suite = load_suite(write(tmp_path, f"{SMALL}    source: ..\n    secrets: {{netrc: ~/.netrc, x: /etc/hostname}}\n"))
    assert suite.variants[0].source == ".."


@pytest.mark.parametrize("what", ["a link to a device", "a pipe"])
def test_a_suite_file_that_is_no_file_is_refused_and_not_read(tmp_path, what):
    """A link to /dev/zero was called broken; a pipe would be waited for."""
    file = tmp_path / "deadweight.yaml"
    file.symlink_to("/dev/zero") if "link" in what else os.mkfifo(file)
    for refuse in (lambda: find_suite_file(tmp_path), lambda: load_suite(file)):
        with raises(ConfigError, "suite.not_a_file"):
            refuse()


# Several services in one suite file, and how variants are selected.
TWO = """
name: shop
defaults: {builder: ko, port: 1000, run: {env: {A: suite, B: suite}}, checks: {budget: {layers: {hard: 5}}}}
services:
  cart:
    defaults: {port: 2000, run: {env: {B: cart}}}
    variants:
      today: {tags: [daily], run: {env: {C: own}}}
      small: {port: 3000}
  mail:
    variants:
      today: {tags: [daily, slow], checks: {budget: {smaller_than: cart.small}}}
"""


def test_a_variant_has_its_services_defaults_over_those_of_the_suite_which_may_have_its_own(tmp_path):
    suite = write_suite(tmp_path, TWO)
    assert suite.names() == ("cart.today", "cart.small", "mail.today")
    today, small, mail = suite.variants
    assert (today.port, small.port, mail.port) == (2000, 3000, 1000)
    assert today.run.env == {"A": "suite", "B": "cart", "C": "own"}
    assert mail.run.env == {"A": "suite", "B": "suite"}
    limits = [variant.checks.budget for variant in suite.variants]
    assert [(limit.layers.hard, limit.smaller_than) for limit in limits] == [(5, None), (5, None), (5, "cart.small")]
    assert [variant.ladder for variant in suite.variants] == ["cart", "cart", "mail"]
    own = write_suite(tmp_path, f"{TWO}variants:\n  all: {{}}\n")
    assert (own.names(), own.variants[0].ladder) == (("all", *suite.names()), "shop")


@pytest.mark.parametrize(("words", "names"), [
    ((), ["cart.today", "cart.small", "mail.today"]), (("cart",), ["cart.today", "cart.small"]),
    (("mail.today", "cart.small"), ["cart.small", "mail.today"]), (("*.today",), ["cart.today", "mail.today"]),
    (("tag:slow",), ["mail.today"]), (("tag:daily", "cart"), ["cart.today", "cart.small", "mail.today"]),
])  # fmt: skip
def test_variants_are_selected_by_name_service_tag_and_pattern(tmp_path, words, names):
    assert [variant.name for variant in select(write_suite(tmp_path, TWO), words)] == names


@pytest.mark.parametrize("word", ["cartt", "", "*.x", "tag:dayly", "today"])
def test_a_word_that_means_nothing_is_refused_with_what_there_is(tmp_path, word):
    near = {"cartt": "cart", "tag:dayly": "tag:daily", "today": "mail.today"}.get(word)
    with raises(UsageError, "suite.misspelt" if near else "suite.unknown") as caught:
        select(write_suite(tmp_path, TWO), (word,))
    assert caught.value.fields == {"kind": "variant", "name": word, **({"near": near} if near else {})}
    some = {"cartt": "cart, cart.today", "tag:dayly": "tag:daily", "today": "mail.today, cart.today"}
    assert str(caught.value.hint).startswith(f"choose one: {some.get(word, 'cart.today, ')}")


def test_what_works_on_one_variant_refuses_several_and_takes_the_only_one(tmp_path):
    suite = write_suite(tmp_path, TWO)
    assert select_one(suite, "cart.small").name == "cart.small"
    with raises(UsageError, "suite.several_variants", name="cart", count=2):
        select_one(suite, "cart")
    with raises(UsageError, "suite.variant_missing"):
        select_one(suite, None)
    suite = write_suite(tmp_path, "name: p\nvariants: {today: {builder: ko}}\n")
    assert select_one(suite, None).name == "today"
    with raises(UsageError, "suite.unknown", kind="variant", name=""):  # as of a variable that is not set
        select_one(suite, "")


@pytest.mark.parametrize(("change", "line", "key", "code", "fields"), [
    (("port: 3000", "prt: 3000"), 9, "cart.variants.small.prt", "misspelt_key", {"near": "port"}),
    (("port: 2000", "port: x"), 6, "cart.defaults.port", "whole_number", {"found": "x"}),
    (("variants:\n      today: {tags: [daily,", "varians:\n      today: {tags: [daily,"), 11, "mail.varians", "misspelt_key",
     {"near": "variants"}),
    (("  mail:", "  ma.il:"), 10, "ma.il", "service_name", {"name": "ma.il"}),
    (("cart.small}", "cart.smal}"), 12, "mail.variants.today.checks.budget.smaller_than", "misspelt",
     {"kind": "variant", "name": "cart.smal", "near": "cart.small"}),
    (("port: 3000", '"[key]": 1'), 9, "cart.variants.small.[key]", "unknown_key", {}),
    (("port: 3000", "service: x"), 9, "cart.variants.small.service", "name_key", {}),
])  # fmt: skip
def test_what_is_wrong_in_a_service_is_told_with_its_line(tmp_path, change, line, key, code, fields):
    with raises(ConfigError, f"suite.{code}", line=line, key=f"services.{key}", **fields):
        write_suite(tmp_path, TWO.replace(*change))
