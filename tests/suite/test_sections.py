"""Several services in one suite file, and how variants are selected."""

import pytest

from deadweight._errors import ConfigError, UsageError
from deadweight.suite.load import select, select_one
from tests.support.codes import raises
from tests.support.small_project import write_suite

TWO = """
name: shop
defaults: {builder: ko, port: 1000, run: {env: {A: suite, B: suite}}}
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


def test_a_variant_has_its_services_defaults_over_those_of_the_suite(tmp_path):
    suite = write_suite(tmp_path, TWO)
    assert suite.names() == ("cart.today", "cart.small", "mail.today")
    today, small, mail = suite.variants
    assert (today.port, small.port, mail.port) == (2000, 3000, 1000)
    assert today.run.env == {"A": "suite", "B": "cart", "C": "own"}
    assert mail.run.env == {"A": "suite", "B": "suite"}
    assert [each.ladder for each in suite.variants] == ["cart", "cart", "mail"]


def test_a_suite_may_have_variants_of_its_own_beside_services(tmp_path):
    suite = write_suite(tmp_path, f"{TWO}variants:\n  all: {{}}\n")
    assert suite.names() == ("all", "cart.today", "cart.small", "mail.today")
    assert suite.variants[0].ladder == "shop"


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ((), ["cart.today", "cart.small", "mail.today"]),
        (("cart",), ["cart.today", "cart.small"]),
        (("mail.today", "cart.small"), ["cart.small", "mail.today"]),
        (("*.today",), ["cart.today", "mail.today"]),
        (("tag:slow",), ["mail.today"]),
        (("tag:daily", "cart"), ["cart.today", "cart.small", "mail.today"]),
    ],
)
def test_variants_are_selected_by_name_service_tag_and_pattern(tmp_path, words, names):
    assert [each.name for each in select(write_suite(tmp_path, TWO), words)] == names


@pytest.mark.parametrize("word", ["cartt", "", "*.x", "tag:dayly", "today"])
def test_a_word_that_means_nothing_is_refused_with_what_there_is(tmp_path, word):
    suite = write_suite(tmp_path, TWO)
    with pytest.raises(UsageError) as found:
        select(suite, (word,))
    near = {"cartt": "cart", "tag:dayly": "tag:daily", "today": "mail.today"}.get(word)
    assert found.value.code == ("suite.misspelt" if near else "suite.unknown")
    assert found.value.fields == {"kind": "variant", "name": word, **({"near": near} if near else {})}
    assert (found.value.hint or "").endswith("services: cart, mail; tags: tag:daily, tag:slow")


def test_what_works_on_one_variant_refuses_several(tmp_path):
    suite = write_suite(tmp_path, TWO)
    assert select_one(suite, "cart.small").name == "cart.small"
    with raises(UsageError, "suite.several_variants", name="cart", count=2):
        select_one(suite, "cart")
    with raises(UsageError, "suite.variant_missing"):
        select_one(suite, None)


def test_the_only_variant_that_there_is_need_not_be_named(tmp_path):
    suite = write_suite(tmp_path, "name: p\nvariants: {today: {builder: ko}}\n")
    assert select_one(suite, None).name == "today"
    with raises(UsageError, "suite.unknown", kind="variant", name=""):  # as of a variable that is not set
        select_one(suite, "")


@pytest.mark.parametrize(
    ("change", "line", "key", "code", "fields"),
    [
        (("port: 3000", "prt: 3000"), 9, "cart.variants.small.prt", "misspelt_key", {"near": "port"}),
        (("port: 2000", "port: x"), 6, "cart.defaults.port", "whole_number", {"found": "x"}),
        (
            ("    variants:\n      today: {tags: [daily, slow]", "    varians:\n      today: {tags: [daily, slow]"),
            11, "mail.varians", "misspelt_key", {"near": "variants"},
        ),
        (("  mail:", "  ma.il:"), 10, "ma.il", "service_name", {"name": "ma.il"}),
        (
            ("cart.small}", "cart.smal}"), 12, "mail.variants.today.checks.budget.smaller_than",
            "misspelt", {"kind": "variant", "name": "cart.smal", "near": "cart.small"},
        ),
        (("port: 3000", '"[key]": 1'), 9, "cart.variants.small.[key]", "unknown_key", {}),
        (("port: 3000", "service: x"), 9, "cart.variants.small.service", "name_key", {}),
    ],
)  # fmt: skip
def test_what_is_wrong_in_a_service_is_told_with_its_line(tmp_path, change, line, key, code, fields):
    with raises(ConfigError, f"suite.{code}", **fields) as found:
        write_suite(tmp_path, TWO.replace(*change))
    assert (found.value.line, found.value.key) == (line, f"services.{key}")


def test_later_errors_stand_at_the_line_of_the_service(tmp_path):
    suite = write_suite(tmp_path, TWO)
    assert ":6: services.cart" in str(suite.error(suite.variants[0], "port", "is taken")).replace("variants.today.", "")
