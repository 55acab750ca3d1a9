"""What finds secrets, for all tests here."""

import pytest

from deadweight_images.secrets.scanner import Scanner


@pytest.fixture(scope="package")
def scanner() -> Scanner:
    return Scanner.default()
