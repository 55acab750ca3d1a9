"""The tests: a folder for each of ``src/deadweight`` and for each other package, and ``support`` with what several share."""

import pytest

pytest.register_assert_rewrite("tests.support")
