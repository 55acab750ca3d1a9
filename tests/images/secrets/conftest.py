"""What finds secrets, for all tests here."""

import pytest

from deadweight_images.secrets.matcher import PlainMatcher
from deadweight_images.secrets.rules import load_rules
from deadweight_images.secrets.scanner import Scanner


@pytest.fixture(scope="package")
def scanner() -> Scanner:
    return Scanner.default()


@pytest.fixture(scope="package")
def plain() -> Scanner:
    """The one of machines without hyperscan."""
    return Scanner(PlainMatcher(load_rules()))
