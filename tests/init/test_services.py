"""Services as people write them: brought in without one edit, two rungs or more built and verified (``nox -s services``)."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from functools import partial

import pytest

from deadweight.project.load_suite import load_suite
from deadweight.tasks.setup import prepare
from deadweight_init.command import Options, init
from deadweight_init.prove.proof import Tools
from deadweight_init.task import _build
from tests.support import TESTS
from tests.support.invoking import module
from tests.support.small_images import forget_images

TIDY = (("go", "mod", "tidy"),)
NPM_LOCK = ("npm", "install", "--package-lock-only", "--ignore-scripts", "--no-audit", "--no-fund")


@dataclass(frozen=True)
class Kind:
    """A service with real dependencies, as people write one (``tests/services/apps``). ``locked`` are the commands that lock them.
    ``port``, ``health`` and ``needs`` are what init has to find out; ``rungs`` are built at least."""

    port: int
    health: str
    locked: tuple[tuple[str, ...], ...] = ()
    needs: tuple[str, ...] = ()
    rungs: int = 2


KINDS = {
    "chi": Kind(8081, "/health", TIDY),
    "gin": Kind(8080, "/ping", TIDY),
    "grpc": Kind(9000, "grpc", TIDY),
    "replaced": Kind(7000, "/readyz", (("go", "-C", "ids", "mod", "tidy"), *TIDY)),
    "vendored": Kind(6060, "/livez", (*TIDY, ("go", "mod", "vendor"))),
    "spring": Kind(8080, "/actuator/health", needs=("db",)),
    "fastapi": Kind(8000, "/openapi.json"),
    "flask": Kind(5000, "/health", needs=("cache",)),
    "express": Kind(3000, "/healthz", (NPM_LOCK,)),
    "axum": Kind(4000, "/healthz", (("cargo", "generate-lockfile"),)),
    "ruby": Kind(4567, "/health", rungs=1),  # no stand-in has Ruby on Alpine
    "php": Kind(8080, "/"),
}
pytestmark = pytest.mark.services


@pytest.fixture
def folder(engine, tmp_path, request):
    """An empty folder of a name of its own; the images that were built of it go at the end."""
    root = tmp_path / f"ten-{request.node.callspec.id}"
    root.mkdir()
    yield root
    forget_images(engine, f"deadweight/{root.name}/")


@pytest.mark.parametrize("name", KINDS)
def test_a_service_is_brought_in_and_verified_without_an_edit(folder, name, monkeypatch):
    kind = KINDS[name]
    shutil.copytree(TESTS / "services" / "apps" / name, folder, dirs_exist_ok=True)
    for words in kind.locked:
        if shutil.which(words[0]) is None:
            pytest.skip(f"{words[0]} is not on PATH")
        env = {**os.environ, **({"GOFLAGS": "-mod=mod"} if words[:2] == ("go", "mod") else {})}
        subprocess.run(words, cwd=folder, env=env, check=True, capture_output=True, timeout=300)
    monkeypatch.chdir(folder)
    lines: list[str] = []
    tools = Tools(lines.append, _build, prepare=partial(prepare, yes=True))  # as the task has them
    (draft,) = init(folder, Options(), lambda *_: None, lines.append, tools).drafts
    text = "\n".join([*lines, (folder / "deadweight.yaml").read_text()])
    assert draft.down == {}, text
    assert len(draft.rungs) >= kind.rungs, text
    variant = load_suite(folder / "deadweight.yaml").variants[0]
    assert variant.port == kind.port, text
    assert kind.health in (variant.health.path, variant.health.kind), text
    assert tuple(variant.run.needs) == kind.needs, text
    for words in (("init", "--check"), ("build",), ("verify",)):
        done = module("deadweight", folder, *words, env=os.environ, timeout=900)
        assert done.returncode == 0, done.stdout + done.stderr + text
