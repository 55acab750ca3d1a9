"""Figures as people read them."""

from hypothesis import given
from hypothesis import strategies as st

from deadweight.report import figures

SIZES = {
    0: "0 B", 999: "999 B", 1000: "1 kB", 932_000: "932 kB", 999_600: "1 MB", 15_300_000: "15.3 MB", 101_000_000: "101 MB",
    1_010_000_000: "1.01 GB", None: "not measured",
}  # fmt: skip
"""Three digits, in decimal units."""
SECONDS = {0.004: "4 ms", 0.21: "0.21 s", 12.34: "12.3 s", 640.2: "640 s", None: "not measured"}
LISTS = {"a": "a", "ab": "a and b", "abcde": "a, b, c, d and e", "abcdefg": "a, b, c, d and 3 more"}


def test_figures_are_written_as_people_read_them() -> None:
    assert {count: figures.size(count) for count in SIZES} == SIZES
    assert {value: figures.seconds(value) for value in SECONDS} == SECONDS
    assert {names: figures.listed(names) for names in LISTS} == LISTS
    assert figures.ratio(1_010_000_000, 14_500_000) == "69.7 : 1"
    assert {figures.ratio(*pair) for pair in ((None, 1), (1, None), (0, 0), (5, 0))} == {figures.NOT_MEASURED}
    assert (figures.digest("sha256:" + "ab" * 32), figures.digest(None)) == ("sha256:abababababab", "none")


@given(st.integers(1, 10**14))
def test_a_shown_size_is_within_half_a_percent(count: int) -> None:
    number, unit = figures.size(count).split(" ")
    shown = float(number) * 1000 ** ["B", "kB", "MB", "GB", "TB"].index(unit)
    assert abs(shown - count) <= count * 0.00501
