"""The tests: a folder for each of ``src/deadweight``, and ``support`` with what several of them share."""

import pytest

pytest.register_assert_rewrite("tests.support")
