"""What people read of each package, as a person judged it once; every other test asserts codes and values.

``pytest tests/test_wording.py --snapshot-update`` writes ``__snapshots__`` anew, a file for each package: read what changed there.
"""

import pytest
from rich.console import Console
from syrupy.extensions.single_file import SingleFileSnapshotExtension, WriteMode

from deadweight._errors import DeadweightError
from deadweight.report.attacks import outcome_words
from deadweight.report.markdown import render_markdown
from deadweight.report.model import AttackRecord
from deadweight_images.show import print_layers
from deadweight_init.write.suite import suite_text
from deadweight_standins.stand_in import stand_in
from tests.attacks import test_written
from tests.init.test_found import GREETER, drafted
from tests.pool import test_settings
from tests.standins.test_table import IMAGES
from tests.support import report_demo, report_samples
from tests.support.small_project import write_suite


class Text(SingleFileSnapshotExtension):
    """A file of plain text."""

    _write_mode = WriteMode.TEXT
    file_extension = "txt"


@pytest.fixture
def judged(snapshot):
    return snapshot.use_extension(Text)


def refusals(*calls) -> str:
    """The errors of calls that must fail."""
    errors = []
    for call, *words in calls:
        with pytest.raises(DeadweightError) as error:
            call(*words)
        errors.append(f"{error.value}\n")
    return "".join(errors)


OUTCOMES = (
    AttackRecord("succeeded"), AttackRecord("blocked", ("seccomp",), 1), AttackRecord("blocked", ("seccomp", "non-root"), 2),
    AttackRecord("blocked", (), 1), AttackRecord("blocked"), AttackRecord("crashed"),
)  # fmt: skip


def test_core(judged):
    reports = report_samples.full_report(), report_demo.failing()
    texts = [
        text for report in reports for text in (report_samples.printed(report, width=200), render_markdown(report))
    ]
    assert "\n".join((*texts, *map(outcome_words, OUTCOMES))) == judged


def test_images(judged):
    out = Console(width=120, record=True)
    for number in range(2):
        print_layers(report_samples.layers(number), "image", out)
    assert out.export_text() == judged


def test_attacks(judged):
    assert "".join(test_written.texts()) == judged


def test_init(judged, tmp_path):
    assert suite_text(drafted(tmp_path / "greeter", GREETER)) == judged


def test_standins(judged):
    assert refusals(*((stand_in, reference) for reference in IMAGES["near"])) == judged


def test_pool(judged, tmp_path):
    suites = [text.format(wrong) for text, wrong, *_ in test_settings.WRONG]
    assert refusals(*((write_suite, tmp_path, suite) for suite in suites)).replace(f"{tmp_path}/", "") == judged
