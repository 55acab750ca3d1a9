"""A small project that is built by whole processes (``python -m invoke …``), for tests that break things under them.

Its builder is a third party's, found through an entry point: it runs the shell commands that the variant names, through the same
runner as the real builders, and keeps what they leave in ``out``. Every process that comes of an invocation carries a mark in its
environment, so that a test can tell whether anything was left running.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from tests.support.invoking import SECONDS, TASKS, Started, ended, start
from tests.support.processes import MARK, alive, wait_for as wait_for
from tests.support.trees import plug_in, written

BUILDER = """
from deadweight import _run
from deadweight.builders.protocol import BuiltImage, Inputs, Needs, Step
from deadweight.suite.model import Variant


class ScriptVariant(Variant):
    run_script: str
    tools: str = ""
    timeout: float = 60


class Script:
    name = "script"
    record = ScriptVariant

    def needs(self, variant, root):
        return Needs(tools=tuple(variant.tools.split()))

    def steps(self, variant, site):
        place = site.state.image(variant.name)

        def work(job):
            place.mkdir(parents=True, exist_ok=True)
            made = place / ".out.new"
            try:
                _run.run(["sh", "-c", variant.run_script], log=job.log, cwd=site.root, timeout=variant.timeout,
                         env={"OUT": str(made)}, on_line=job.say)
                made.replace(place / "out")
            finally:
                made.unlink(missing_ok=True)
            return BuiltImage(variant.name, "script", "r", "sha256:0", False, None, 0, False, "", "sh", "now")

        source = (site.root / variant.source,)
        return (Step(f"image:{variant.name}", variant.name, variant.name, Inputs(source), (place / "out").exists, work),)

    def archive(self, variant, built, site):
        return site.state.image(variant.name) / "out"
"""


@dataclass(frozen=True)
class Done:
    """How an invocation ended."""

    code: int
    output: str
    errors: str


@dataclass
class FaultProject:
    """``runs`` maps a variant to its shell commands; they write ``$OUT``."""

    root: Path
    plugins: Path
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)
    more: dict[str, str] = field(default_factory=dict)

    @classmethod
    def make(cls, folder: Path, **runs: str) -> Self:
        project = cls(folder / "project", folder / "plugins")
        points = {"script": "script_builder:Script"}
        plug_in(project.plugins, "script-builder", "builders", points, script_builder=BUILDER)
        written(project.root, {"src/a.txt": "a\n", "tasks.py": TASKS})
        project.suite(**runs)
        return project

    @property
    def state(self) -> Path:
        return self.root / ".deadweight"

    def suite(self, options: str = "", **runs: str) -> None:
        """Write the suite; ``options`` is YAML beside ``run_script``."""
        lines = ["name: faulty", "defaults: {port: 8080}", "variants:"]
        for name, run in runs.items():
            lines += [f"  {name}:", "    builder: script", "    source: src"]
            lines += ["    run_script: |", *(f"      {line}" for line in run.splitlines())]
            lines += [f"    {line}" for line in options.splitlines()]
        (self.root / "deadweight.yaml").write_text("\n".join(lines) + "\n")

    def add(self, more: str) -> None:
        """Write this at the end of the suite."""
        file = self.root / "deadweight.yaml"
        file.write_text(file.read_text() + more)

    def document(self, *words: str, code: int | None = None) -> dict[str, Any]:
        """What a task prints with ``--json``."""
        return dict(json.loads(self.invoke(*words, "--json", code=code).output))

    def out(self, variant: str = "v") -> str:
        return (self.state / "images" / variant / "out").read_text()

    @property
    def environment(self) -> dict[str, str]:
        path = f"{self.plugins}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
        return {**os.environ, MARK: self.mark, "PYTHONPATH": path, **self.more}

    def start(self, *words: str) -> Started:
        return start(self.root, *words, env=self.environment, session=True)

    def begun(self, *words: str) -> Started:
        """One whose tool has touched ``started``."""
        process = self.start(*(words or ("build",)))
        wait_for((self.root / "started").exists)
        return process

    def row(self) -> dict[str, Any]:
        """What ``invoke variants`` tells of the only variant."""
        (row,) = self.document("variants")["variants"]
        return dict(row)

    def finish(self, process: Started) -> Done:
        try:
            output, errors = process.communicate(timeout=SECONDS)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            raise
        return Done(process.wait(), output, errors)

    def invoke(self, *words: str, code: int | None = None) -> Done:
        """``code`` is the exit code that it must have."""
        done = ended(self.root, *words, env=self.environment)
        assert code in (None, done.returncode), done.stderr
        return Done(done.returncode, done.stdout, done.stderr)

    def nox(self, *words: str) -> tuple[int, str]:
        """The exit code of one of our nox sessions, and all that it prints."""
        written(self.root, {"noxfile.py": "from deadweight.nox_sessions import *\n"})
        argv = [sys.executable, "-m", "nox", "-s", *words]
        done = subprocess.run(argv, cwd=self.root, env=self.environment, text=True, capture_output=True, timeout=120)
        return done.returncode, done.stdout + done.stderr

    def fails(self, code: int, words: str, *arguments: str, done: Done | None = None) -> Done:
        """One clear error: this exit code, these words in one message, no traceback, nothing half-written or left running.

        ``done``: how it ended, if it is not to be run now.
        """
        done = done or self.invoke(*(arguments or ("build",)))
        assert done.errors.count("error: ") == 1, done.errors
        assert words in done.errors
        self.ended(done, code)
        return done

    def ended(self, done: Done, code: int) -> None:
        """With this exit code, no traceback, nothing half-written or left running."""
        assert done.code == code, done.errors
        assert "Traceback" not in done.errors + done.output
        self.is_clean()

    def builds(self, *arguments: str) -> Done:
        """The next run is right: exit 0, the output is what the inputs say, and after it all is up to date."""
        done = self.invoke("build", *arguments, code=0)
        assert self.out() == (self.root / "src" / "a.txt").read_text()
        again = self.invoke("build", "--json", code=0)
        assert {row["result"] for row in json.loads(again.output)["variants"].values()} == {"cached"}
        assert "Built" not in again.errors
        self.is_clean()
        return done

    def is_clean(self) -> None:
        self.nothing_runs()
        hidden = set(self.state.rglob(".*")) - {self.state / ".gitignore"}  # that one hides the folder from git
        assert not hidden, "temporary files and folders that a finished run must not leave"

    def nothing_runs(self) -> None:
        wait_for(lambda: not alive(self.mark), 30)


@contextlib.contextmanager
def mounted(place: Path, *options: str) -> Iterator[None]:
    place.mkdir(exist_ok=True)
    subprocess.run(["mount", *options, str(place)], check=True, capture_output=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True, capture_output=True)


@contextlib.contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """A folder that nobody may write to, root neither."""
    with mounted(folder, "--bind", str(folder)):
        subprocess.run(["mount", "-o", "remount,ro,bind", str(folder)], check=True)
        yield


@contextlib.contextmanager
def meanwhile(again: Callable[[], object]) -> Iterator[None]:
    """Done again and again in another thread, until the end of the block."""
    ending = threading.Event()

    def go_on() -> None:
        while not ending.is_set():
            again()

    with ThreadPoolExecutor(1) as pool:
        going = pool.submit(go_on)
        try:
            yield
        finally:
            ending.set()
    going.result()
