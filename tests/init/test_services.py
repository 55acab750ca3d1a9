"""Services as people write them: brought in without one edit, two rungs or more built and verified.

One of them is in every run, with two rungs. ``nox -s services`` takes all, with all their rungs, and keeps their suites and a
table of what was found.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from deadweight._errors import DeadweightError
from deadweight.project.load_suite import load_suite
from deadweight_init.command import Wanted, init
from deadweight_init.draft import Draft
from deadweight_init.prove.proof import Failure, Tools
from tests.support.invoking import module
from tests.support.services import ALL, Kind

KEPT = os.environ.get("DEADWEIGHT_TEN_SERVICES", "")
"""The folder for the table and the suites."""
ENOUGH = "enough for the suite; nox -s services tries the others"
CASES = (
    pytest.param(ALL["chi"], 2, id="chi-two-rungs"),  # Go's: a Python or Node image takes longer to be read alone
    *(pytest.param(ALL[name], None, id=name, marks=pytest.mark.services) for name in ALL),
)


@pytest.fixture
def folder(engine, tmp_path, request):
    """An empty folder of a name of its own; the images that were built of it go at the end."""
    root = tmp_path / f"ten-{request.node.callspec.id}"
    root.mkdir()
    yield root
    for image in engine.api.images(filters={"reference": f"deadweight/{root.name}/*"}):
        for tag in image["RepoTags"] or ():
            engine.images.remove(tag, force=True)


def tools(said: list[str], rungs: int | None) -> Tools:
    """As the task has them, but that ``rungs`` are built at most."""
    from deadweight.tasks.init import _build, _prepare

    built: set[str] = set()

    def build(workspace, variants):
        fresh = [each for each in variants if each.name not in built]
        some = [each for each in variants if rungs is None or each not in fresh[max(0, rungs - len(built)) :]]
        failed = {each.name: Failure(DeadweightError(ENOUGH)) for each in variants if each not in some}
        failed |= _build(workspace, some) if some else {}
        built.update(each.name for each in some if each.name not in failed)
        return failed

    return Tools(said.append, build, prepare=lambda workspace, variants: _prepare(workspace, variants, yes=True))


@pytest.mark.parametrize(("kind", "rungs"), CASES)
def test_a_service_is_brought_in_and_verified_without_an_edit(folder, kind: Kind, rungs, monkeypatch):
    for words in kind.locked:
        if shutil.which(words[0]) is None:
            pytest.skip(f"{words[0]} is not on PATH")
    kind.write(folder)
    monkeypatch.chdir(folder)
    began = time.monotonic()
    asked: list[str] = []
    said: list[str] = []
    outcome = init(folder, Wanted(), lambda question, _: asked.append(question), said.append, tools(said, rungs))
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
