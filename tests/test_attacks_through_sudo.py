"""Attacks for a user who is not root but has sudo: a process of root's does them, and ends when we do."""

from __future__ import annotations

import dataclasses
import os
import threading
import time
from pathlib import Path

import pytest
from attack_grounds import castle, left

from deadweight import _run
from deadweight._errors import CommandError, Interrupted
from deadweight.checks.attacks import check
from deadweight.checks.attacks.host import PURPOSE
from deadweight.engine import owner
from deadweight.toolchain import sudo

pytestmark = [
    pytest.mark.engine,
    pytest.mark.tools,
    pytest.mark.usefixtures("playground_image"),
    pytest.mark.skipif(os.geteuid() != 0, reason="stands in for sudo, so it must be root"),
]


@pytest.fixture
def asked(tmp_path, monkeypatch) -> Path:
    """As if we were not root: sudo notes what it is asked, forgets our variables as the real one does, and obeys."""
    note = tmp_path / "asked"
    program = tmp_path / "bin" / "sudo"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "$*" >>{note}\nshift\nexec env -i PATH="$PATH" "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setattr(sudo, "is_root", lambda: False)
    return note


@pytest.fixture
def subject(tmp_path, engine, playground_archive, local_source):
    local_source.prepare(("busybox:1.36.1-musl",), apk=False, say=print)
    (tmp_path / "project").mkdir()
    return castle(
        tmp_path / "project",
        engine,
        playground_archive,
        "checks: {attacks: {gates: [{posture: hardened, blocked: [write-root]}]}}",
    )


def _outcomes(found) -> dict[str, dict[str, tuple[str, tuple[str, ...]]]]:
    return {
        posture: {name: (cell["outcome"], tuple(cell["walls"])) for name, cell in cells.items()}
        for posture, cells in found.data["postures"].items()
    }


def test_the_evidence_is_that_of_root(subject, asked, engine, monkeypatch):
    lines: list[str] = []
    found = check.attack(subject, brief=True, told=lines.append)
    assert asked.read_text().splitlines()[-1].startswith("-n ")
    assert "-I -B -m deadweight.checks.attacks.through_sudo" in asked.read_text()
    assert found.status == "pass"
    monkeypatch.setattr(sudo, "is_root", lambda: True)
    direct = check.attack(subject, brief=True)
    assert _outcomes(found) == _outcomes(direct)
    assert _outcomes(found)["open"]["system"][0] == "blocked", "it worked with the shell that was got here"
    assert any(line.startswith("castle: ") for line in lines)
    assert left(engine) == []


def test_what_is_wrong_is_told_as_by_root(subject, asked):
    lost = dataclasses.replace(subject, engine_image=lambda: "no/such:image")
    with pytest.raises(CommandError) as caught:
        check.attack(lost, brief=True)
    assert "no/such:image" in "\n".join(caught.value.tail)


def test_it_ends_and_leaves_nothing_when_we_are_interrupted(subject, asked, engine):
    before, begun = set(_ours(engine)), threading.Event()
    outcome: list[BaseException] = []

    def run() -> None:
        try:
            check.attack(subject, brief=True, told=lambda _line: begun.set())
        except BaseException as error:
            outcome.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert begun.wait(60)
        _run.cancel_all()
        thread.join(60)
    finally:
        _run.reset_cancel()
    assert [type(each) for each in outcome] == [Interrupted]
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and set(_ours(engine)) - before:
        time.sleep(0.2)
    assert set(_ours(engine)) <= before


def _ours(engine) -> list[str]:
    """Attack containers and networks whose owner is no live process any more."""
    return [
        each.name
        for each in engine.leftovers()
        if each.labels[owner.PURPOSE] == PURPOSE
        and not Path("/proc", each.labels[owner.OWNER].partition(":")[0]).exists()
    ]


def test_who_has_no_sudo_is_told_what_attacks_need(subject, tmp_path, monkeypatch):
    monkeypatch.setattr(sudo, "is_root", lambda: False)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("PATH", str(tmp_path))
    found = check.attack(subject, brief=True)
    assert found.status == "fail"
    assert "attacks need root, or sudo that asks for nothing" in found.reason
