"""The plan and its scheduler: shared work once, reasons, failure policy, up-to-date logic, Ctrl-C."""

import subprocess
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from unittest.mock import Mock

import pytest

from deadweight import _run
from deadweight._errors import BuildFailed, CommandError, DeadweightError, Interrupted, wording
from deadweight.builders.protocol import Inputs, Job, Needs, Site, Step
from deadweight.plan import graph
from deadweight.plan.graph import Fingerprint, Plan, Task, load_built, load_failed, make_plan, preparation, prepare_plan
from deadweight.plan.scheduler import first_line, run_plan
from deadweight.project.build import VariantOutcome, _of_variant, raise_if_failed
from deadweight.records.built_image import BuiltImage
from deadweight.records.paths import State
from deadweight.suite.model import Suite, Variant
from tests.support.builder_site import Silent
from tests.support.codes import parts, raises
from tests.support.processes import MARK, alive
from tests.support.trees import written


def step(key, work, variant="v", *, title="", there=lambda: True, **more) -> Step:
    return Step(key, variant, title or key, Inputs(), there, work, **more)


class ScriptVariant(Variant):
    """``script`` is for ``/bin/sh``."""

    script: str = "true"


@dataclass
class ScriptBuilder:
    """Builds by running ``/bin/sh`` on a variant's ``script``: a real program, real files, no image.

    ``shared`` is what the step does that all variants share; it alone reads their source where ``shared_reads``. ``took`` is what
    the other says it took from earlier builds.
    """

    name: str = "script"
    record: type[ScriptVariant] = ScriptVariant
    ran: list[str] = field(default_factory=list)
    shared: Callable[[Job], object] | None = None
    shared_reads: bool = False
    took: str | None = None

    def needs(self, variant, root):
        return Needs()

    def steps(self, variant, site):
        output = site.state.image(variant.name) / "out"

        def work(job):
            self.ran.append(variant.name)
            _run.run(["sh", "-c", variant.script], log=job.log, cwd=site.root)
            if self.took:
                job.took(self.took)
            output.parent.mkdir(parents=True, exist_ok=True)
            output.write_text("made")
            return BuiltImage(variant.name, "script", "r", "sha256:0", False, None, 0, False, "", "sh", "now")

        source, nothing = Inputs((site.root / variant.source,)), Inputs()
        read = (source, nothing) if self.shared_reads else (nothing, source)
        first = step("shared", self.shared or (lambda job: self.ran.append("shared")), variant.name)
        more = {"title": variant.name, "there": output.exists, "after": ("shared",)}
        image = step(f"image:{variant.name}", work, variant.name, **more)
        return tuple(replace(step, inputs=inputs) for step, inputs in zip((first, image), read, strict=True))

    def archive(self, variant, built, site):
        raise AssertionError("no test asks for it")


@pytest.fixture
def site(tmp_path):
    return make_site(written(tmp_path, {"src/a.txt": "a"}))


def make_site(root: Path, **scripts: str) -> Site:
    variants = (ScriptVariant(name=name, builder="script", source="src", script=text) for name, text in scripts.items())
    suite = Suite(file=root / "deadweight.yaml", root=root, name="demo", variants=tuple(variants))
    return Site(suite, State(root), source=None, engine=None)


def go(site, builder, *, jobs=2, fail_fast=False):
    plan = make_plan(site.suite.variants, site, lambda _: builder)
    outcomes = run_plan(plan, site.state, Silent(), jobs=jobs, fail_fast=fail_fast)
    return {
        name: _of_variant(name, [outcome for outcome in outcomes if name in outcome.task.variants])
        for name in site.suite.names()
    }


def results(site, builder, **options):
    return {name: outcome.result for name, outcome in go(site, builder, **options).items()}


def test_shared_work_is_done_once_and_nothing_twice(site):
    site, builder = make_site(site.root, one="true", two="true"), ScriptBuilder()
    assert results(site, builder) == {"one": "built", "two": "built"}
    assert sorted(builder.ran) == ["one", "shared", "two"]
    assert results(site, builder) == {"one": "cached", "two": "cached"}
    assert len(builder.ran) == 3
    assert (load_built(site.state, "one").cached, go(site, builder)["one"].image.cached) == (False, True)


@pytest.mark.parametrize(("shared", "image", "cache"), [
    ("cold", "cold", "cold"), ("cached", "cached", "cached"), ("warm", "cold", "warm"), ("cold", "cached", "warm"),
    ("cold", None, None), (None, "warm", "warm"),
])  # fmt: skip
def test_an_image_tells_what_its_steps_took_from_earlier_builds(site, shared, image, cache):
    site = make_site(site.root, one="true")
    builder = ScriptBuilder(shared=lambda job: shared and job.took(shared), took=image)
    assert go(site, builder)["one"].image.cache == cache
    (site.state.image("one") / "out").unlink()  # the step before it has nothing to do now: it is taken whole
    for _time in range(2):  # the second time it is not made again
        assert go(site, ScriptBuilder(took="cold"))["one"].image.cache == "warm"


def test_what_begins_the_longest_chain_goes_first(site):
    """By what steps took last time: with one place, the long one first, though it comes last in the suite."""
    site, builder = make_site(site.root, one="true", two="true", long="sleep 0.3"), ScriptBuilder()
    go(site, builder, jobs=1)
    assert builder.ran == ["shared", "one", "two", "long"], "nothing is known yet: the suite's order"
    (site.root / "src" / "a.txt").write_text("b")
    go(site, builder, jobs=1)
    assert builder.ran[4] == "long"


def test_a_chain_is_what_its_steps_take_together():
    def task(key: str, seconds: float) -> Task:
        return Task(step(key, print), Fingerprint("", {}), "why", ("v",), seconds)

    waits = {"a": frozenset[str](), "b": frozenset({"a"}), "c": frozenset({"a"}), "d": frozenset({"b"})}
    tasks = (task("a", 1.0), task("b", 2.0), task("c", 5.0), task("d", 4.0))
    assert Plan(tasks, waits).chains() == {"a": 7.0, "b": 6.0, "c": 5.0, "d": 4.0}


class Listening(Silent):
    """Knows what has ended, and tells it to who waits."""

    def __init__(self):
        self.results, self.built = {}, threading.Event()

    def ended(self, outcome):
        self.results[outcome.task.step.key] = outcome.result
        if outcome.task.step.key == "image:one":
            self.built.set()


def growing(site, builder, waits):
    """Plans each variant when the key that it waits for has ended well."""

    def grow(outcomes):
        ended = {key for key, outcome in outcomes.items() if outcome.result == "built"}
        ready = [variant for variant in site.suite.variants if waits[variant.name] in ended]
        return make_plan(ready, site, lambda _: builder)

    return grow


def test_a_variant_is_built_while_set_up_for_another_goes_on(site):
    site, builder, heard = make_site(site.root, one="true", two="true"), ScriptBuilder(), Listening()

    def until_one_is_built(_log):
        if not heard.built.wait(30):
            raise DeadweightError("one was not built meanwhile")

    long = preparation("long", "long", until_one_is_built, site.root / "log", 9.0)
    short = preparation("short", "short", lambda _log: None, site.root / "log", 1.0, lane="fetch")
    tasks, grow = [long, short], growing(site, builder, {"one": "short", "two": "long"})
    run_plan(prepare_plan(tasks), site.state, heard, jobs=1, grow=grow)
    assert set(heard.results.values()) == {"built"}
    assert builder.ran == ["shared", "one", "two"], "and what they share once"
    assert [load_built(site.state, name).alone for name in ("one", "two")] == [False, False], "sharing was meanwhile"
    (site.root / "src" / "a.txt").write_text("b")
    assert go(site, builder, jobs=1)["two"].image.alone is True


def test_what_the_soonest_variant_needs_goes_first(site):
    begun: list[str] = []
    tasks = [
        preparation(key, key, partial(lambda key, _log: begun.append(key), key), site.root / "log", seconds)
        for key, seconds in (("long", 9.0), ("short", 1.0), ("middle", 5.0))
    ]
    run_plan(replace(prepare_plan(tasks), first=frozenset({"short"})), site.state, Listening(), jobs=1)
    assert begun == ["short", "long", "middle"]


def test_what_waits_for_a_place_goes_behind_what_is_planned_meanwhile(site):
    ended: list[str] = []
    first, late = (
        preparation(key, key, lambda log: ended.append(log.name), site.root / key, seconds, behind=("slow",))
        for key, seconds in (("first", 9.0), ("late", 1.0))
    )
    slow = preparation("slow", "", lambda _: time.sleep(0.3) or ended.append("slow"), site.root, 1.0, lane="compile")
    run_plan(prepare_plan([first, late]), site.state, Listening(), jobs=1, grow=lambda _: prepare_plan([late, slow]))
    assert ended == ["first", "slow", "late"]


def test_what_compiles_has_a_place_also_before_it_can_begin(site):
    """It is the longest: two stand-ins took both places, and it began when they had ended."""
    making, compiled = set(), threading.Event()
    most = {True: 0, False: 0}

    def make(number, _log):
        making.add(number)
        most[compiled.is_set()] = max(most[compiled.is_set()], len(making))
        time.sleep(0.2)
        making.remove(number)

    def compile_it(_log):
        time.sleep(0.5)
        compiled.set()

    log = site.root / "log"
    tasks = [
        preparation("modules", "modules", lambda _log: time.sleep(0.3), log, 1.0, lane="fetch"),
        preparation("tool", "tool", compile_it, log, 9.0, behind=("modules",), lane="compile"),
        *(preparation(f"base {number}", "base", partial(make, number), log, 1.0) for number in range(9)),
    ]
    run_plan(prepare_plan(tasks), site.state, Listening(), jobs=2)
    assert most == {False: 1, True: 2}


def test_set_up_that_fails_skips_what_stands_on_it_and_nothing_else(site):
    site, builder, heard = make_site(site.root, one="true", two="true"), ScriptBuilder(), Listening()

    log = site.root / "log"
    tasks = [
        preparation("base", "base", lambda _log: None, log, 1.0, after=("tool", "there already")),
        preparation("tool", "tool", Mock(side_effect=DeadweightError("no such package")), log, 1.0),
        preparation("other", "other", lambda _log: None, log, 1.0, behind=("tool",)),
    ]
    grow = growing(site, builder, {"one": "other", "two": "base"})
    run_plan(prepare_plan(tasks), site.state, heard, jobs=2, grow=grow)
    built = dict.fromkeys(("other", "shared", "image:one"), "built")
    assert heard.results == {"tool": "failed", "base": "skipped", **built}
    assert not list((site.state.folder / "steps").glob("*tool*")), "set-up is looked for, not remembered"


def test_each_rebuild_has_its_reason(site):
    site, builder = make_site(site.root, one="true"), ScriptBuilder()

    def reason(**options):
        text = make_plan(site.suite.variants, site, lambda _: builder, **options).tasks[-1].reason
        return text and parts(text)

    assert reason() == ("plan.not_built", {})
    go(site, builder)
    assert (reason(), reason(force=True)) == (None, ("plan.forced", {}))
    (site.root / "src" / "a.txt").write_text("b")
    assert reason() == ("plan.input_differs", {"input": "src/a.txt", "how": "changed"})
    go(site, builder)
    (site.state.image("one") / "out").unlink()
    assert reason() == ("plan.output_gone", {})
    go(site, builder)
    site = replace(site, suite=site.suite.model_copy(update={"name": "renamed"}))
    assert reason() == ("plan.input_differs", {"input": "image name", "how": "changed"})


def test_who_waits_for_a_builder_to_look_at_its_source_is_told_where(site, monkeypatch):
    """With ``source: ../..`` a plan was silent for as long as it takes to walk a whole disk."""
    monkeypatch.setattr(graph, "SLOW_SECONDS", 0.1)
    lines: list[str] = []
    event = threading.Event()

    class Slow(ScriptBuilder):
        def steps(self, variant, site):
            assert event.wait(10)
            return super().steps(variant, site)

    def say(line: str) -> None:
        lines.append(line)
        event.set()

    make_plan(make_site(site.root, one="true").suite.variants, site, lambda _: Slow(), say=say)
    assert lines[0] == wording("plan.still_reading", folder=site.root / "src")


def test_a_shared_step_that_failed_counts_against_all_until_each_is_right(site):
    def work(job):
        _run.run(["grep", "a", "src/a.txt"], log=job.log, cwd=site.root)

    site, builder = make_site(site.root, one="true", two="true"), ScriptBuilder(shared=work, shared_reads=True)
    go(site, builder)
    (site.root / "src" / "a.txt").write_text("b")
    go(site, builder)
    assert {load_failed(site.state, name).how for name in ("one", "two")} == {"failed"}
    (site.root / "src" / "a.txt").write_text("a")
    assert go(make_site(site.root, one="true"), builder)["one"].result == "built"
    assert go(site, builder)["two"].result == "cached"
    assert [load_failed(site.state, name) for name in ("one", "two")] == [None, None]


def test_a_failure_names_tool_and_variant_once():
    """Builders say "small: …" and the program's name; the title of the step says both."""
    log = Path("small.log")
    words = {"reason": "small: the service does not compile", "tail": ["./main.go:9:2: undefined: x"], "log": log}
    error = CommandError(["/bin/melange"], exit_code_of_command=1, **words)
    step = "melange build melange.yaml"
    more = {"step": step, "error": error, "owner": "small"}
    failed = [VariantOutcome(name, "failed", 0.0, log, **more) for name in ("small", "tiny")]
    failures = f"small, tiny: {step}: the service does not compile\n  log: small.log\n  | ./main.go:9:2: undefined: x"
    with raises(BuildFailed, "project.not_built", failed=2, total=3, failures=failures):
        raise_if_failed((*failed, VariantOutcome("good", "built", 1.0, log)))


def test_a_build_begins_its_log_anew_and_only_once(site):
    """Two steps write to it; a build that does nothing leaves it, one that fails leaves its own."""

    def prepare(job):
        _run.run(["sh", "-c", "cat src/a.txt"], log=job.log, cwd=site.root)

    def build(script: str, text: str) -> list[str]:
        (site.root / "src" / "a.txt").write_text(f"{text}\n")
        ended = go(make_site(site.root, one=script), ScriptBuilder(shared=prepare, shared_reads=True))
        return [line for line in ended["one"].log.read_text().splitlines() if line[0] != "$"]

    assert build("cat src/a.txt; echo built", "first") == ["first", "first", "built"]
    assert build("echo broken; exit 1", "second") == ["second", "broken"]
    assert build("echo well", "third") == ["third", "well"]
    assert build("echo other", "third") == ["third", "well"], "nothing was to be built, so the last build's log stays"


def test_fail_fast_stops(site):
    site, builder = make_site(site.root, bad="exit 1", late="true", later="true"), ScriptBuilder()
    assert [outcome.result for outcome in go(site, builder, jobs=1, fail_fast=True).values()].count("failed") == 1
    assert "later" not in builder.ran


def test_a_failed_shared_step_skips_what_stands_on_it(site):
    no_disk = Mock(side_effect=DeadweightError("no disk"))
    ended = go(make_site(site.root, one="true", two="true"), ScriptBuilder(shared=no_disk))
    assert {outcome.result for outcome in ended.values()} == {"skipped"}
    with raises(BuildFailed, "project.not_built", failures="one, two: shared: no disk"):
        raise_if_failed(tuple(ended.values()))


def test_steps_that_wait_for_each_other_are_an_error(site):
    class Circle(ScriptBuilder):
        def steps(self, variant, site):
            return step("one", print, after=("two",)), step("two", print, behind=("one",))

    with raises(DeadweightError, "plan.cycle"):
        make_plan(make_site(site.root, x="true").suite.variants, site, lambda _: Circle())


def test_ctrl_c_ends_a_program_that_is_just_being_started(monkeypatch, cancelling):
    mark = uuid.uuid4().hex
    monkeypatch.setenv(MARK, mark)
    starting, started = threading.Event(), threading.Event()

    class Slow(subprocess.Popen):
        def __init__(self, words, **given):
            starting.set()
            started.wait(60)
            super().__init__(words, **given)

    monkeypatch.setattr(subprocess, "Popen", Slow)
    with ThreadPoolExecutor(1) as pool:
        run = pool.submit(_run.run, ["sleep", "63"])
        assert starting.wait(60)
        _run.cancel_all()
        started.set()
        assert type(run.exception(40)) is Interrupted
    assert alive(mark) == []


def test_secrets_are_never_written(tmp_path):
    log = tmp_path / "log"
    secret = "hunter2-" + "x" * 8
    with raises(CommandError, "run.failed", code=1) as caught:
        _run.run(["sh", "-c", f"echo {secret}; exit 1"], log=log, redact=[secret])
    assert secret not in log.read_text() + str(caught.value)
    assert "[redacted]" in log.read_text()


@pytest.mark.parametrize(("message", "line"), [
    ("docker build v: no way out (v.Dockerfile:11: RUN mvn package)\nlog: x", "no way out (v.Dockerfile:11)"),
    ("docker v: no way out (/root/p/Dockerfile:2: RUN a (b))", "no way out (Dockerfile:2)"),
    ("ko failed with exit code 1", "ko failed with exit code 1"),
    ("", ""),
    ("x" * 300, "x" * 199 + "\u2026"),
])  # fmt: skip
def test_a_report_tells_a_failed_build_in_a_line(message, line) -> None:
    assert first_line(message, "v", Path("/root/p")) == line
