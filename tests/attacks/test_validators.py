"""What independent validators say of harden's output at their default settings: nothing, or what a comment in it answers.

trivy is among our own tools. kube-score, dclint and checkov are too heavy for every run (checkov alone takes 400 MB and ten seconds
a file): ``validators.py`` asks them, in ``nox -s validators``.
"""

from pathlib import Path

import pytest

from deadweight_attacks.harden.write import written
from deadweight_attacks.harden.write.model import Request
from tests.support.forms import PUSHED, a_found
from tests.support.trivy_config import misconfigured


def file_of(folder: Path, form: str, kind: str, *, budget: bool = False) -> Path:
    given = Request("" if kind == "bare" else PUSHED, "./shop.seccomp.json", budget)
    file = folder / f"{form}.yaml"
    file.write_text(written(a_found(kind), form, given), encoding="utf-8")
    return file


def told(file: Path) -> str:
    """The comments in it."""
    return "\n".join(line for line in file.read_text(encoding="utf-8").splitlines() if line.startswith("#"))


KINDS = [("plain", False), ("plain", True), ("needy", False), ("bare", False)]


@pytest.mark.slow
@pytest.mark.tools
@pytest.mark.parametrize(("kind", "budget"), KINDS)
def test_trivy_finds_nothing_that_no_comment_answers(tmp_path, kind, budget):
    file = file_of(tmp_path, "kubernetes", kind, budget=budget)
    found = misconfigured(file, tmp_path / "cache")
    assert found == {each for each in found if each in told(file)}
    assert kind != "plain" or found == {"KSV-0125"}
