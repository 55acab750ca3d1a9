"""Prove a draft: build its first rung, watch it run, then build and verify the ladder; what does not pass is left out.

Each rung is prepared, built and verified by itself: what one of them lacks does not keep the others from being there.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from deadweight._errors import DeadweightError, Interrupted, MissingError
from deadweight.project.init import gates, posture
from deadweight.project.init.alongside import refuse_server_that_ends, started_beside, with_what_can_be_had
from deadweight.project.init.draft import Draft, health_hints, port_hints
from deadweight.project.init.folders import in_memory, with_folder_it_lacks
from deadweight.project.init.lacking import with_what_it_lacks
from deadweight.project.init.languages.common import flow
from deadweight.project.init.languages.trimmed import COMPILED, TRIMMED
from deadweight.project.init.learned import with_seen
from deadweight.project.init.observe import (
    NotUp,
    observe,
    told_of,
    watch_with,
)
from deadweight.project.init.older import with_compiler, with_examples, with_help, with_older_language
from deadweight.project.init.recording import recorded
from deadweight.project.init.records import Known, Rung
from deadweight.project.init.suitefile import suite_text
from deadweight.project.init.tree import look
from deadweight.project.workspace import Workspace
from deadweight.suite.load import SUITE_FILE
from deadweight.suite.model import RunSettings

if TYPE_CHECKING:
    from deadweight.project.init.files import Written
    from deadweight.records.evidence import Evidence
    from deadweight.suite.model import Variant

Say = Callable[[str], None]

ENOUGH = 2
"""So many rungs are built before a proof may end for lack of time: fewer compare nothing."""


@dataclass(frozen=True)
class Tools:
    """What a proof needs of whoever calls it: ``build`` prepares and builds one variant, and raises why it cannot.

    After ``minutes`` no further rung is begun where two are built; 0 is no bound.
    """

    say: Say
    build: Callable[[Workspace, Variant], None]
    minutes: float = 0.0


class _Proof:
    """A draft that gets better: every step replaces it by one that knows more, and writes that down."""

    def __init__(self, draft: Draft, written: Written, tools: Tools) -> None:
        self.draft, self.written, self.tools = draft, written, tools
        self._said: set[str] = set()
        self.built: set[str] = set()
        self._engine_ran = False

    def say(self, line: str) -> None:
        """Tell a line once: every rung is a project opened anew."""
        if line not in self._said:
            self._said.add(line)
            self.tools.say(line)

    def workspace(self) -> Workspace:
        """The project as it is written now."""
        self.written.write({SUITE_FILE: suite_text(self.draft), **self.draft.ladder.files})
        return Workspace.open(self.say, self.written.root / SUITE_FILE)

    def variant(self, workspace: Workspace, name: str) -> Variant:
        """A rung as a variant of the suite."""
        return next(each for each in workspace.suite.variants if each.name == self.draft.full(name))

    def leave_out(self, name: str, reason: str) -> None:
        short = first_sentence(reason)
        self.say(f"{name}: left out: {short}")
        self.draft = replace(self.draft, left_out={**self.draft.left_out, name: short})

    def build(self, rung: Rung) -> bool:
        """Build one rung; one that does not build is left out."""
        try:
            with self.workspace() as workspace:
                variant = self.variant(workspace, rung.name)
                self._engine_ran = self._engine_ran or _engine_runs()
                self.tools.build(workspace, variant)
        except Interrupted:
            raise
        except DeadweightError as error:
            if (lost := self._lost_engine()) is not None:  # that is no fault of the rung's
                raise lost from error
            self.leave_out(rung.name, str(error))
            return False
        self.built.add(rung.name)
        return True

    def _lost_engine(self) -> MissingError | None:
        """What is wrong with an engine that ran, and runs nothing any more; None where it does, or where none is there."""
        from deadweight.engine.daemon import find_running
        from deadweight.engine.lost import lost_at

        if not self._engine_ran:
            return None
        try:
            endpoint = find_running()
        except MissingError as error:
            return error
        return lost_at(endpoint) if endpoint else MissingError("the container engine has ended", hint="invoke doctor")


def prove(draft: Draft, written: Written, tools: Tools) -> Draft:
    """A draft that holds only what was seen. Raises DeadweightError where no rung builds, Interrupted."""
    proof, until = _Proof(draft, written, tools), time.monotonic() + tools.minutes * 60
    reference = _reference(proof)
    for rung in proof.draft.rungs:
        if rung.name == reference or _is_spare(proof, rung):
            continue
        if tools.minutes and len(proof.built) >= ENOUGH and time.monotonic() > until:
            proof.leave_out(
                rung.name, f"not tried within {tools.minutes:g} minutes (deadweight init --minutes 0 tries all)"
            )
        else:
            proof.build(rung)
    _gate(proof)
    if not proof.draft.rungs:
        raise _nothing_left("no image that was built here runs as it should", proof.draft)
    return replace(proof.draft, proven=True)


def _is_spare(proof: _Proof, rung: Rung) -> bool:
    """Whether this is the own build on a minimal base, where another rung has compiled the same."""
    project = proof.draft.service.project
    made = any(each.files and each.name in proof.built for each in proof.draft.rungs)
    if rung.name != TRIMMED or project is None or project.language not in COMPILED or not made:
        return False
    proof.leave_out(rung.name, "the others hold the same program; it is for a build that does more than compile")
    return True


def _engine_runs() -> bool:
    from deadweight.engine.daemon import find_running

    try:
        return find_running() is not None
    except MissingError:
        return False


def _nothing_left(what: str, draft: Draft) -> DeadweightError:
    reasons = "\n".join(f"{name}: {why}" for name, why in draft.left_out.items())
    return DeadweightError(
        f"{what}\n{reasons}",
        hint="write the suite without trying it: deadweight init --no-prove; then invoke build and invoke verify show more",
    )


def _reference(proof: _Proof) -> str:
    """Build rungs until one comes up, and learn from it. Where one builds and none comes up, nothing is run in the suite."""
    problem, first_built = "", ""
    for rung in proof.draft.rungs:
        if not _built_somehow(proof, rung):
            continue
        first_built = first_built or rung.name
        if why := _why_not_up(proof, rung):
            problem = problem or why
            if rung.name != first_built:
                break
            continue
        if rung.files:  # what was seen goes into the files too: EXPOSE, HEALTHCHECK
            proof.build(rung)
        return rung.name
    if not first_built:
        raise _nothing_left("no way to build this service works here", proof.draft)
    proof.draft = replace(proof.draft, not_runnable=f"seen: {first_sentence(problem)}")
    return first_built


def _built_somehow(proof: _Proof, rung: Rung) -> bool:
    """Build a rung, with a compiler or an older language where its packages cannot be installed without."""
    while not proof.build(rung):
        other = with_compiler(proof.draft, rung.name) if rung.files else None
        other = other or with_older_language(proof.draft, rung.name)
        if other is None:
            return False
        proof.draft = other
    return True


def _why_not_up(proof: _Proof, rung: Rung) -> str:
    """Learn from a rung that is built, with an older language, or with what it lacks, where it dies. Empty where it comes up."""
    before, why = proof.draft, ""
    while True:
        try:
            _learn(proof, rung)
            return ""
        except NotUp as error:
            proof.say(f"{rung.name}: {error.message}")
            why = why or error.message
            again = with_older_language(proof.draft, rung.name, error.message) if rung.files else None
            again = again or with_folder_it_lacks(proof.draft, error.message)
            again = again or with_what_it_lacks(proof.draft, look(proof.written.root))
            again = (
                again or (with_examples(proof.draft) if rung.files else None) or with_help(proof.draft, error.message)
            )
            proof.draft = again or before
            if again is None or not _built_somehow(proof, rung):
                return why


def _learn(proof: _Proof, rung: Rung) -> None:
    """Watch one rung in a plain container, find its posture, record its answers. Raises NotUp."""
    with proof.workspace() as workspace:
        proof.draft = draft = with_what_can_be_had(
            proof.draft, workspace, proof.variant(workspace, rung.name), proof.say
        )
    ports = tuple(each.value for each in port_hints(draft.service)) or (draft.port.value,)
    if draft.port.origin == "given":
        ports = (draft.port.value, *ports)
    paths = tuple(each.value for each in health_hints(draft.service))
    env = {name: known.value for name, known in draft.service.around.env.items()}
    with proof.workspace() as workspace:
        variant = proof.variant(workspace, rung.name)
        image, engine = workspace.engine_image(variant), workspace.engine()
        env = {**env, **variant.run.env}
        plainly = variant.run.model_copy(update={"tmpfs": in_memory(draft.service)})
        with started_beside(workspace, variant) as hosts:
            seen, more = watch_with(
                draft.service.spare,
                env,
                lambda given: observe(engine, image, ports, paths, given, rung.name, hosts, plainly),
            )
            env = {**env, **more.value}
            base = RunSettings(env=env, files=variant.run.files, args=variant.run.args)
            refuse_server_that_ends(seen.health.kind, draft.port)
            proof.say(f"{rung.name}: {told_of(seen)}")
            found = posture.tightest(engine, image, seen, base, rung.name, hosts, tuple(draft.service.volumes))
            if found.problem:
                raise NotUp(f"the service starts in a plain container, but not in a hardened one: {found.problem}")
            told = {"env": Known(flow(env), more.origin)} if more.value else {}
            plain = {key: value for key, value in draft.run.items() if key != "tmpfs"}
            learned = with_seen(replace(draft, run=plain), seen, {**told, **found.told})
            from deadweight.engine.options import hardened

            options = hardened(found.settings, port=seen.health.port, image_user=engine.images.need(image).user)
            options = options.but(hosts=hosts, tls=seen.health.tls)
            proof.draft = recorded(learned, look(proof.written.root), engine, image, seen, options, rung.name)


def _gate(proof: _Proof) -> None:
    """Verify what is built. What passes gets the size that it has as its budget, and its secrets as they are; what does not
    come up, or answers otherwise, is left out."""
    from deadweight.checks import table
    from deadweight.checks.budget import weigh
    from deadweight.checks.runner import verify

    def told(each: Evidence) -> None:
        proof.say(f"{each.variant}: {each.check}: {each.status}: {each.reason}")

    own: dict[str, dict[str, Known[str]]] = {}
    accepted: dict[str, tuple[str, ...]] = {}
    with proof.workspace() as workspace:
        names = [rung.name for rung in proof.draft.rungs if rung.name in proof.built]
        subjects = [workspace.subject(proof.variant(workspace, name)) for name in names]
        asked = dict.fromkeys(check.name for each in subjects for check in table.asked(each.variant))
        found = verify(subjects, [name for name in asked if name != gates.ATTACKS], on_evidence=told)
        unattacked = gates.attacked(subjects, told)
        sizes = [weigh(each).size_bytes for each in subjects]
    for name, size in zip(names, sizes, strict=True):
        full = proof.draft.full(name)
        wrong = {each.check: each for each in found if each.variant == full and not each.ok}
        running = next((each for each in wrong.values() if each.check != "layers" and not _killed(each)), None)
        if running is not None:
            proof.leave_out(name, f"{running.check}: {running.reason}")
            continue
        own[name] = {"checks": gates.measured(size, wrong.get("layers"), killed="runs" in wrong)}
        accepted[name] = gates.accepted(wrong.get("layers"), killed="runs" in wrong)
    why = first_sentence(unattacked) if unattacked else ""
    proof.draft = replace(proof.draft, own=own, accepted=accepted, unattacked=why)


def _killed(found: Evidence) -> bool:
    """Whether all that is wrong is that it does not end on SIGTERM: true of many services, and no reason to leave one out."""
    return found.check == "runs" and "startup_seconds" in found.data and "did not end within" in found.reason


def first_sentence(text: str) -> str:
    """The part of an error that tells what is wrong, for a comment."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    kept = [
        line for line in lines if not re.match(r"(log|hint):|\d+ of \d+ variants? w(?:as|ere) not built", line)
    ] or [text.strip()]
    # "NAME: docker build NAME: what went wrong": the rung's name stands before it already
    said = re.sub(r"^([\w.-]+): (?:\w+ build [\w./-]+: )?", "", kept[0]) if len(lines) > 1 else kept[0]
    said = re.sub(r"; it can stand in for .*", "", said)
    causes = [line.removeprefix("| ") for line in kept[1:] if line.startswith("| ")]
    return " ".join([said, *([f"({causes[-1]})"] if causes and len(said) < 120 else [])])[:300]
