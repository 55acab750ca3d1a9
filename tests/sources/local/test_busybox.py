"""What is changed in busybox before it is compiled."""

from __future__ import annotations

import pytest

from deadweight._errors import DeadweightError
from deadweight.sources.local.busybox import be_patient_for


def test_wget_gives_up_sooner(tmp_path):
    source = tmp_path / "wget.c"
    source.write_text("#if ENABLE_FEATURE_WGET_TIMEOUT\n\tG.timeout_seconds = 900;\n#endif\n")
    be_patient_for(60, source)
    assert "\tG.timeout_seconds = 60;\n" in source.read_text()


def test_a_source_that_says_it_otherwise_is_not_guessed_at(tmp_path):
    source = tmp_path / "wget.c"
    source.write_text("G.timeout = 900;\n")
    with pytest.raises(DeadweightError, match="another way"):
        be_patient_for(60, source)
