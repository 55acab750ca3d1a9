"""Prove a draft: build and watch variants until one comes up, derive the others, then build and verify each in turn.

A variant that fails is left out. One that time did not allow stays in the suite as not tried.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from deadweight._errors import DeadweightError, Interrupted
from deadweight.builders.shared.diagnosis import Code
from deadweight.checks import table
from deadweight.checks.budget import size_of
from deadweight.checks.layers import base_image
from deadweight.checks.runner import run_checks
from deadweight.checks.scan.reachability import CannotWatch, watched
from deadweight.sources.protocol import NoBase
from deadweight.suite.model import RunSettings
from deadweight_init.derive.dockerfile import MINIMAL, changed_settings
from deadweight_init.derive.runtime import RuntimeFiles, config_of, runtime_files
from deadweight_init.draft import Draft, declared_ports, health_hints, port_hints
from deadweight_init.prove.gates import accepted_findings, by_owner, measured_gates
from deadweight_init.prove.observe import MOST_SECONDS, START_SECONDS, Down, NotUp, observe, summary_of
from deadweight_init.prove.posture import LEAST_SECONDS, tightest, with_seen, within
from deadweight_init.prove.proof import ENOUGH, Proof, first_line, nothing_left
from deadweight_init.prove.recording import Recorder, doubts_of
from deadweight_init.prove.twins import lost
from deadweight_init.records import Dependency, Known, Rung, wording
from deadweight_init.remedies import Case, advice, next_remedy
from deadweight_init.repository.compose import as_plain_server, needs_data
from deadweight_workload.sources import suite_workload

if TYPE_CHECKING:
    from deadweight.checks.protocol import Subject
    from deadweight.project.workspace import Workspace
    from deadweight.records.evidence import Evidence
    from deadweight.suite.model import Variant


def with_available_needs(draft: Draft, workspace: Workspace, variant: Variant, say: Callable[[str], None]) -> Draft:
    """The draft with the plain server in the place of an image that the source does not have, and without those of which nothing
    is known: many services come up so. A comment says which."""
    around, needs, why = draft.service.around, list[Known[Dependency]](), list[str]()
    for known in around.needs:
        need = known.value
        try:
            workspace.need_image(variant, need.name)
        except NoBase as error:
            reason = error.message.splitlines()[0]
            say(wording("progress.need_not_started", name=need.name, reason=reason))
            plain = as_plain_server(need)
            if plain is None:
                why.append(wording("suite.left_out", name=need.name, reason=reason))
                continue
            say(wording("progress.need_replaced", name=need.name, image=plain.image))
            why.append(wording("suite.replaced", image=plain.image, other=need.image))
            known = replace(known, value=plain)
        needs.append(known)
    if not why:
        return draft
    run, data = dict(draft.run), needs_data(needs)
    run.pop("needs")
    if data is not None:
        run["needs"] = replace(data, origin="; ".join((data.origin, *why)))
    return replace(draft, service=replace(draft.service, around=replace(around, needs=tuple(needs))), run=run)


def refuse_server_that_ends(kind: str, port: Known[int], variable: Known[str] | None) -> None:
    """Raises NotUp for what ends with 0 although the repository says that it listens, or takes its port from a variable: that is no
    job."""
    known = next((known for known in (port, variable) if known is not None and known.place), None)
    if kind == "exit" and known is not None:
        raise NotUp(Down.ENDED_WITH_0, wording("down.ended_with_0", port=known.value, place=known.place))


@contextlib.contextmanager
def started_needs(workspace: Workspace, variant: Variant) -> Iterator[Mapping[str, str]]:
    """What the service needs, started. Raises NotUp where it cannot be had or does not come up."""
    with contextlib.ExitStack() as stack:
        try:
            hosts = stack.enter_context(workspace.started_needs(variant))
        except Interrupted:
            raise
        except DeadweightError as error:
            raise NotUp(Down.NEED_FAILED, error.message) from error
        yield hosts


MOST_DOWN = 3
"""So many are tried that build and do not come up."""


def find_reference(proof: Proof) -> str:
    """Build rungs until one comes up, and learn from it: the repository's own first. Raises DeadweightError where none does."""
    problem = None
    while len(proof.draft.down) < MOST_DOWN and (rung := _next(proof)) is not None:
        if not build_with_remedies(proof, rung):
            own = proof.draft.derived_from
            if own is not None and rung.keys.get("dockerfile") == own.path:
                proof.draft = replace(proof.draft, own_fails=True)
            continue
        if why := _why_not_up(proof, rung):
            reason = wording("suite.not_up", reason=first_line(why.message))
            problem, proof.draft = problem or why, replace(proof.draft, down={**proof.draft.down, rung.name: reason})
            continue
        if rung.files:  # what was seen goes into the files too: EXPOSE, HEALTHCHECK
            proof.build(rung)
        return rung.name
    if problem is None:
        raise nothing_left(proof)
    message = wording("proof.not_up", service=proof.draft.service.name, reason=problem.message)
    raise DeadweightError(message, hint=advice(problem, proof.draft, proof.tree, proof.written.program))


def _next(proof: Proof) -> Rung | None:
    """The next rung that was not tried. Where the own image does not come up, what is derived from it does not either; what ko
    builds may, if it differs in one thing: its base."""
    down, untried = proof.draft.down, (rung for rung in proof.draft.rungs if rung.name not in proof.tried)
    return next((rung for rung in untried if not down or len(rung.changes) <= (rung.builder != "dockerfile")), None)


def build_with_remedies(proof: Proof, rung: Rung) -> bool:
    """Build a rung, a recipe also in another way if its packages cannot be installed in this one."""
    while rung.name in proof.draft.left_out or not proof.build(rung):
        failure = proof.failures.get(rung.name)
        # what is the repository's own stays as it is
        if failure is None or not rung.files:
            return False
        other = next_remedy(Case(proof.draft, rung, Code(failure.cause), proof.tree, failure.step))
        if other is None:
            return False
        proof.take(rung, *other)
    return True


def _why_not_up(proof: Proof, rung: Rung) -> NotUp | None:
    """Learn from a rung that is built, with one remedy more each time that it dies. None if it comes up."""
    before, first = proof.draft, None
    while True:
        try:
            _observe_rung(proof, rung)
            return None
        except NotUp as error:
            proof.say(wording("progress.of", name=rung.name, what=error.message))
            first = first or error
            again = next_remedy(Case(proof.draft, rung, error.down, proof.tree, log=error.log))
        if again is None or proof.time_limit.over():
            break
        proof.take(rung, *again)
        if not build_with_remedies(proof, rung):
            break
    proof.draft = replace(before, remedies=proof.draft.remedies)
    return first


def _observe_rung(proof: Proof, rung: Rung) -> None:
    """Watch one rung in a plain container, find its posture, record its answers. Raises NotUp."""
    with proof.workspace() as workspace:
        variant = proof.variant(workspace, rung.name)
        proof.draft = draft = with_available_needs(proof.draft, workspace, variant, proof.say)
    declared, needed = declared_ports(draft)
    ports = (*dict.fromkeys((*declared, *(hint.value for hint in port_hints(draft.service)))),) or (draft.port.value,)
    paths = tuple(hint.value for hint in health_hints(draft.service))
    with proof.workspace() as workspace:
        variant = proof.variant(workspace, rung.name)
        image, engine = workspace.engine_image(variant), workspace.engine()
        env = {**{name: known.value for name, known in draft.service.around.env.items()}, **variant.run.env}
        plainly = variant.run.model_copy(update={"tmpfs": ()})
        if needs := variant.run.needs:
            seconds = max(need.health.within_seconds for need in needs.values())
            proof.tools.say(wording("progress.needs", name=rung.name, needs=", ".join(needs), seconds=seconds))
        with started_needs(workspace, variant) as hosts:
            proof.tools.say(wording("progress.start", name=rung.name, seconds=START_SECONDS, most=MOST_SECONDS))
            recorder = Recorder(proof.tree, draft.service.described, paths, declared, draft.service.folder)
            seen = observe(engine, image, ports, paths, env, rung.name, hosts, plainly, recorder.ask_first, declared)
            refuse_server_that_ends(seen.health.kind, draft.port, draft.service.port_variable)
            proof.say(wording("progress.of", name=rung.name, what=summary_of(seen)))
            proof.tools.say(wording("progress.harden", name=rung.name, seconds=within(seen, LEAST_SECONDS)))
            base = RunSettings(env=env, files=variant.run.files, args=variant.run.args)
            settings = tightest(
                engine, image, seen, base, rung.name, hosts, tuple(draft.service.volumes), recorder.ask_again
            )
            plain = {key: value for key, value in draft.run.items() if key != "tmpfs"}
            learned = recorder.recorded(with_seen(replace(draft, run=plain), seen, settings), seen)
            closed = [port for port in seen.closed if port in needed]
            doubts = doubts_of(seen.health, recorder.lines, declared or ports, closed, learned.works)
            proof.draft = replace(learned, doubts=tuple(doubts))


ATTACKS, LAYERS = "attacks", "layers"


def _fails(result: Evidence) -> bool:
    """Whether a check failed, but for one thing: many services do not end on SIGTERM, and that is no reason to leave one out."""
    return not result.ok and not (result.check == "runs" and result.data.get("killed"))


ATTACK_SECONDS = 300.0
"""Attacks on all rungs that would take longer are left to the first: who verifies a fresh suite waits for them."""


def prove(proof: Proof) -> Draft:
    """A draft that holds only what was seen, and what there was no time for. Raises DeadweightError where nothing comes up;
    what is known by then is in ``proof.draft``. Raises Interrupted."""
    reference = find_reference(proof)
    _gate(proof, reference)
    if reference not in proof.verified:
        raise nothing_left(proof, comes_up=True)
    _watch(proof, reference)
    rest = [rung for rung in proof.draft.rungs if rung.name != reference and rung.name not in proof.tried]
    # what is derived first, and of a Dockerfile before others
    for rung in sorted(rest, key=lambda rung: (not rung.changes, rung.builder != "dockerfile")):
        if proof.time_limit.over() and len(proof.verified) >= ENOUGH:  # what was begun may take as long as it takes
            reason = proof.time_limit.reason
            proof.say(wording("progress.put_off", name=rung.name, reason=reason))
            proof.draft = replace(proof.draft, untried={**proof.draft.untried, rung.name: reason})
        elif proof.build(rung):
            _gate(proof, rung.name)
    _attacked(proof)
    return replace(proof.draft, proven=True)


def _watch(proof: Proof, reference: str) -> None:
    """See how the first image is set; of an own one, also which files it opens, from which the other rungs are derived."""
    own = proof.draft.derived_from
    path = {rung.name: rung.keys.get("dockerfile") for rung in proof.draft.rungs}.get(reference)
    derives = own is not None and path == own.path and any(rung.name == MINIMAL for rung in proof.draft.ladder.rungs)
    with proof.workspace() as workspace:
        subject = workspace.subject(proof.variant(workspace, reference))
        proof.draft = replace(proof.draft, config=config_of(subject.archive()))
        if not derives:
            return
        proof.say(wording("progress.watch", name=reference, seconds=subject.variant.health.within_seconds))
        runtime = _runtime_of(subject)
    if isinstance(runtime, str):
        proof.say(wording("progress.left_out", name=MINIMAL, reason=runtime))
    proof.draft = replace(proof.draft, runtime=runtime)


def _runtime_of(subject: Subject) -> RuntimeFiles | str:
    """What the image runs on, or why that cannot be seen."""

    base = base_image(subject).layers
    if not base:
        return wording("refused.unknown_layers")
    try:
        (seen,) = watched(subject, suite_workload(subject).learn)
    except CannotWatch as reason:
        return str(reason)
    except Interrupted:
        raise
    except DeadweightError as error:
        return wording("refused.unwatchable", reason=first_line(error.message))
    finally:
        subject.service.close()
    return runtime_files(subject.archive(), base, seen.opened, seen.executed)


def _gate(proof: Proof, name: str) -> None:
    """Verify what is built. What passes gets the size that it has as its budget, and its secrets as they are; what does not
    come up, or answers otherwise, is left out."""

    with proof.workspace() as workspace:
        subject = workspace.subject(proof.variant(workspace, name))
        checks = [check.name for check in table.checks_of(subject.variant) if check.name != ATTACKS]
        # the layers come last: of what does not run they are not looked at, which takes long in a large image
        results = run_checks(subject, checks, proof.tell, _fails)
        size, config = size_of(subject), config_of(subject.archive())
        wrong = {result.check: result for result in results if not result.ok}
        if LAYERS in wrong:
            wrong[LAYERS] = by_owner(wrong[LAYERS], base_image(subject))
    running = next((result for result in wrong.values() if result.check != LAYERS and _fails(result)), None)
    if running is not None:
        proof.leave_out(name, wording("refused.check_fails", check=running.check, reason=running.reason))
        return
    if proof.verified and (why := lost(proof, name)):
        proof.leave_out(name, why)
        return
    layers, is_killed = wrong.get(LAYERS), "runs" in wrong
    gates = measured_gates(size, layers, killed=is_killed)
    own = {**proof.draft.own, name: {**proof.draft.own.get(name, {}), "checks": gates}}
    accepted = {**proof.draft.accepted, name: accepted_findings(layers, killed=is_killed)}
    proof.verified.append(name)
    otherwise = proof.draft.set_otherwise
    if proof.draft.config and any(rung.name == name and rung.is_made for rung in proof.draft.rungs):
        otherwise = {**otherwise, name: (*changed_settings(proof.draft.config, config), *otherwise.get(name, ()))}
    proof.draft = replace(proof.draft, own=own, accepted=accepted, set_otherwise=otherwise)
    with proof.workspace() as workspace:  # by the gates that it has now: the report asks for these
        run_checks(workspace.subject(proof.variant(workspace, name)), ("budget", *wrong), proof.tell)


def _attacked(proof: Proof) -> None:
    """Try the suite's attacks on the first rung; if they cannot be measured, or the time is over, the suite asks for none. If
    those on all rungs would take long, it asks for them on the first alone."""

    name, began, why = proof.verified[0], time.monotonic(), proof.time_limit.reason
    described = proof.draft.service.described
    if not proof.time_limit.over():
        if described is not None:
            proof.say(wording("progress.attacks", name=name))
        with proof.workspace() as workspace:
            results = run_checks(workspace.subject(proof.variant(workspace, name)), (ATTACKS,), proof.tell)
        why = next((result.reason for result in results if result.status != "pass"), "")
    seconds, own = time.monotonic() - began, proof.draft.own
    if not why and described is not None and name in own and seconds * len(proof.draft.rungs) > ATTACK_SECONDS:
        why = wording("refused.long_attacks", seconds=seconds, name=proof.draft.full(name))
        checks = own[name]["checks"]
        attacked = {**checks.value, "attacks": {"openapi": described.value}}
        own = {**own, name: {**own[name], "checks": replace(checks, value=attacked)}}
    proof.draft = replace(proof.draft, own=own, unattacked=first_line(why) if why else "")
