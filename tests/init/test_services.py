"""Services as people write them: brought in without one edit, two rungs or more built and verified.

``nox -s services`` runs them, and keeps their suites and a table of what was found.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from deadweight.project.load_suite import load_suite
from deadweight_init.command import Wanted, init
from deadweight_init.draft import Draft
from deadweight_init.prove.proof import Tools
from tests.support.invoking import module
from tests.support.services import ALL, Kind

KEPT = os.environ.get("DEADWEIGHT_TEN_SERVICES", "")
"""The folder for the table and the suites."""

pytestmark = pytest.mark.services


@pytest.fixture
def folder(engine, tmp_path, request):
    """An empty folder of a name of its own; the images that were built of it go at the end."""
    root = tmp_path / f"ten-{request.node.callspec.id}"
    root.mkdir()
    yield root
    for image in engine.api.images(filters={"reference": f"deadweight/{root.name}/*"}):
        for tag in image["RepoTags"] or ():
            engine.images.remove(tag, force=True)


def tools(said: list[str]) -> Tools:
    """As the task has them."""
    from deadweight.tasks.init import _build, _prepare

    return Tools(said.append, _build, prepare=lambda workspace, variants: _prepare(workspace, variants, yes=True))


@pytest.mark.parametrize("kind", ALL.values(), ids=ALL)
def test_a_service_is_brought_in_and_verified_without_an_edit(folder, kind: Kind, monkeypatch):
    for words in kind.locked:
        if shutil.which(words[0]) is None:
            pytest.skip(f"{words[0]} is not on PATH")
    kind.write(folder)
    monkeypatch.chdir(folder)
    began = time.monotonic()
    asked: list[str] = []
    said: list[str] = []
    outcome = init(folder, Wanted(), lambda question, _: asked.append(question), said.append, tools(said))
    brought_in = time.monotonic()
    (draft,) = outcome.drafts
    told = "\n".join([*said, (folder / "deadweight.yaml").read_text()])
    assert draft.not_up == "", told
    assert len(draft.rungs) >= kind.rungs, told
    suite = load_suite(folder / "deadweight.yaml")
    variant = suite.variants[0]
    assert variant.port == kind.port, told
    assert kind.health in (variant.health.path, variant.health.kind), told
    assert tuple(variant.run.needs) == kind.needs, told
    for words in (("init", "--check"), ("build",), ("verify",)):
        done = module("deadweight", folder, *words, env=os.environ, timeout=900)
        assert done.returncode == 0, done.stdout + done.stderr + told
    if KEPT:
        keep(Path(KEPT), folder, draft, asked, (brought_in - began, time.monotonic() - brought_in))


COLUMNS = (
    "service",
    "found",
    "asked",
    "guessed",
    "seen",
    "verified",
    "left out",
    "init, s",
    "build and verify again, s",
)


def keep(kept: Path, folder: Path, draft: Draft, asked: Sequence[str], seconds: tuple[float, float]) -> None:
    """Keep a suite, and its line of the table."""
    kept.mkdir(parents=True, exist_ok=True)
    name = folder.name.removeprefix("ten-")
    suite = (folder / "deadweight.yaml").read_text()
    (kept / f"{name}.yaml").write_text(suite)
    found = {
        "service": name,
        "found": f"port {draft.port.value}, {draft.health.value}"
        + "".join(f", {each}" for each in load_suite(folder / "deadweight.yaml").variants[0].run.needs),
        "asked": str(len(asked)),
        "guessed": str(len(re.findall(r"# guessed", suite))),
        "seen": str(len(re.findall(r"# seen", suite))),
        "verified": ", ".join(each.name for each in draft.rungs),
        "left out": "; ".join(f"{rung}: {why}" for rung, why in draft.left_out.items()) or "none",
        "init, s": f"{seconds[0]:.0f}",
        "build and verify again, s": f"{seconds[1]:.0f}",
    }
    table = kept / "table.md"
    head = "" if table.exists() else f"| {' | '.join(COLUMNS)} |\n{'|---' * len(COLUMNS)}|\n"
    with table.open("a") as file:
        file.write(f"{head}| {' | '.join(found[each].replace('|', '/') for each in COLUMNS)} |\n")
