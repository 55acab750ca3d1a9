"""``invoke attack`` as people call it: what this machine could not start or build is told on the terminal and in every report."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from attack_grounds import castle

from deadweight.checks.attacks import walls
from deadweight.report.collect import collect
from deadweight.report.html import render_html
from deadweight.report.markdown import escape, render_markdown
from deadweight.report.model import to_json


@pytest.mark.tools
@pytest.mark.usefixtures("playground_image")
def test_the_notes_reach_whoever_reads_the_matrix(tmp_path, engine, playground_archive, local_source):
    local_source.prepare(("busybox:1.36.1-musl",), apk=False, say=print)
    subject = castle(tmp_path, engine, playground_archive)
    (tmp_path / "tasks.py").write_text("from deadweight.tasks import namespace as ns\n")
    done = subprocess.run(
        [sys.executable, "-m", "invoke", "attack", "--posture", "privileged"],
        cwd=tmp_path,
        env={**os.environ, "DOCKER_HOST": engine.host},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode in (0, 3), done.stderr
    report = collect(subject.suite, subject.state)
    notes = report.variants["castle"].attack_notes
    assert list(notes[: len(walls.absent(engine.info))]) == list(walls.absent(engine.info).values())
    page, text, document = render_html(report), render_markdown(report), to_json(report).decode()
    cells = report.variants["castle"].attacks["privileged"].values()
    if all(cell.outcome in ("not_measured", "not_applicable") for cell in cells):
        assert any(note.startswith("privileged: nothing could be measured: engine: ") for note in notes)
    for note in notes:
        assert f"note: castle: {note}" in done.stderr
        assert escape(note) in text
        assert note[:40] in page
        assert note[:40] in document
