"""Find the first variant that starts, with the containers it needs, and learn port, health and settings from it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from deadweight._errors import DeadweightError, Interrupted
from deadweight.sources.protocol import NoBase
from deadweight.suite.model import RunSettings
from deadweight_init.draft import Doubt, Draft, health_hints, port_hints
from deadweight_init.prove.observe import Down, NotUp, Seen, observe, told_of
from deadweight_init.prove.posture import tightest, with_seen
from deadweight_init.prove.proof import Proof, first_line, nothing_left
from deadweight_init.prove.recording import Recorder, of_health, of_log, of_operations, of_port
from deadweight_init.records import Beside, Known, Rung
from deadweight_init.remedies import Case, advice, next_remedy
from deadweight_init.repository.compose import as_data, as_plain_server

if TYPE_CHECKING:
    from deadweight.project.workspace import Workspace
    from deadweight.suite.model import Variant


def with_what_can_be_had(draft: Draft, workspace: Workspace, variant: Variant, say: Callable[[str], None]) -> Draft:
    """The draft with the plain server in the place of an image that the source does not have, and without those of which nothing
    is known: many come up so."""
    missing: dict[str, str] = {}
    for name in variant.run.needs:
        try:
            workspace.need_image(variant, name)
        except NoBase as error:
            missing[name] = error.message.splitlines()[0]
            say(f"{name}: not started beside the service: {missing[name]}")
    plain = {each.value.name: other for each in draft.service.around.needs if (other := as_plain_server(each.value))}
    instead = {name: plain[name] for name in missing if name in plain}
    for name, other in instead.items():
        say(f"{name}: {other.image} is started in its place")
    draft = instead_of(draft, instead) if instead else draft
    absent = {name: reason for name, reason in missing.items() if name not in instead}
    return without(draft, absent) if absent else draft


def instead_of(draft: Draft, others: Mapping[str, Beside]) -> Draft:
    """The draft with other containers in the place of some of its needs; a comment says which."""
    around = draft.service.around
    needs = tuple(replace(each, value=others.get(each.value.name, each.value)) for each in around.needs)
    run = dict(draft.run)
    told = as_data(needs)
    if told is not None:
        images = {each.value.name: each.value.image for each in around.needs}
        why = "; ".join(f"{other.image} takes the place of {images[name]}" for name, other in others.items())
        run["needs"] = replace(told, origin=f"{told.origin}; {why}")
    return replace(draft, service=replace(draft.service, around=replace(around, needs=needs)), run=run)


def without(draft: Draft, missing: Mapping[str, str]) -> Draft:
    """The draft without some of its needs; a comment says why."""
    around = draft.service.around
    kept = tuple(each for each in around.needs if each.value.name not in missing)
    run = {key: value for key, value in draft.run.items() if key != "needs"}
    why = "; ".join(f"{name} is left out: {reason}" for name, reason in missing.items())
    needs = as_data(kept)
    if needs is not None:
        run["needs"] = replace(needs, origin=f"{needs.origin}; {why}")
    elif "env" in run:
        run["env"] = replace(run["env"], origin=f"{run['env'].origin}; {why}")
    return replace(draft, service=replace(draft.service, around=replace(around, needs=kept)), run=run)


def refuse_server_that_ends(kind: str, port: Known[int], variable: Known[str] | None) -> None:
    """Raises NotUp for what ends with 0 although the repository says that it listens, or takes its port from a variable: that is no
    job."""
    told = next((each for each in (port, variable) if each is not None and each.origin.startswith("from ")), None)
    if kind == "exit" and told is not None:
        does = "listens on" if told is port else "takes its port from"
        said = told.origin.removeprefix("from ")
        raise NotUp(
            Down.ENDED_WITH_0,
            f"it ended with exit code 0, but {does} {told.value} by {said}: its command may lack an argument (run.args), or it "
            "ends where nobody types to it (its standard input is closed)",
        )


@contextlib.contextmanager
def started_beside(workspace: Workspace, variant: Variant) -> Iterator[Mapping[str, str]]:
    """What the service needs, started. Raises NotUp where it cannot be had or does not come up."""
    with contextlib.ExitStack() as stack:
        try:
            hosts = stack.enter_context(workspace.beside(variant))
        except Interrupted:
            raise
        except DeadweightError as error:
            raise NotUp(Down.NEED_FAILED, error.message) from error
        yield hosts


MOST_DOWN = 3
"""So many are tried that build and do not come up."""


def find_reference(proof: Proof) -> str:
    """Build rungs until one comes up, and learn from it: the repository's own first. Raises DeadweightError where none does."""
    problem, down = None, 0
    while down < MOST_DOWN and (rung := _next(proof, down)) is not None:
        if not built_somehow(proof, rung):
            own = proof.draft.derived_from
            if own is not None and rung.keys.get("dockerfile") == own.path:
                proof.draft = replace(proof.draft, own_fails=True)
            continue
        if why := _why_not_up(proof, rung):
            problem, down = problem or why, down + 1
            continue
        if rung.files:  # what was seen goes into the files too: EXPOSE, HEALTHCHECK
            proof.build(rung)
        return rung.name
    if problem is None:
        raise nothing_left("no way to build this service works here", proof)
    proof.draft = replace(proof.draft, not_up=first_line(problem.message))
    raise DeadweightError(
        f"{proof.draft.service.name}: built, but it does not come up: {problem.message}",
        hint=advice(problem, proof.draft, proof.tree),
    )


def _next(proof: Proof, down: int) -> Rung | None:
    """The next rung that was not tried. Where the own image does not come up, what is derived from it does not either."""
    left = (each for each in proof.draft.rungs if each.name not in proof.tried and not (down and each.changes))
    return next(left, None)


def built_somehow(proof: Proof, rung: Rung) -> bool:
    """Build a rung, a recipe also in another way if its packages cannot be installed in this one."""
    while rung.name in proof.draft.left_out or not proof.build(rung):
        failure = proof.failures.get(rung.name)
        # what is the repository's own stays as it is
        other = next_remedy(Case.of_build(proof.draft, rung, failure, proof.tree)) if failure and rung.files else None
        if other is None:
            return False
        proof.draft = _recorded(proof, rung, other)
    return True


def _recorded(proof: Proof, rung: Rung, remedy: tuple[str, Draft]) -> Draft:
    proof.say(f"{rung.name}: remedy: {remedy[0]}")
    return remedy[1]


def _why_not_up(proof: Proof, rung: Rung) -> NotUp | None:
    """Learn from a rung that is built, with one remedy more each time that it dies. None if it comes up."""
    before, first = proof.draft, None
    while True:
        try:
            _learn(proof, rung)
            return None
        except NotUp as error:
            proof.say(f"{rung.name}: {error.message}")
            first = first or error
            again = next_remedy(Case.of_start(proof.draft, rung, error, proof.tree))
        if again is None or proof.bound.over():
            break
        proof.draft = _recorded(proof, rung, again)
        if not built_somehow(proof, rung):
            break
    proof.draft = replace(before, remedies=proof.draft.remedies)
    return first


def _learn(proof: Proof, rung: Rung) -> None:
    """Watch one rung in a plain container, find its posture, record its answers. Raises NotUp."""
    with proof.workspace() as workspace:
        proof.draft = draft = with_what_can_be_had(
            proof.draft, workspace, proof.variant(workspace, rung.name), proof.say
        )
    ports, paths = _ports(draft), tuple(each.value for each in health_hints(draft.service))
    with proof.workspace() as workspace:
        variant = proof.variant(workspace, rung.name)
        image, engine = workspace.engine_image(variant), workspace.engine()
        env = {**{name: known.value for name, known in draft.service.around.env.items()}, **variant.run.env}
        plainly = variant.run.model_copy(update={"tmpfs": ()})
        with started_beside(workspace, variant) as hosts:
            declared = _declared(draft)
            recorder = Recorder(proof.tree, draft.service.described, paths, declared, draft.service.folder)
            seen = observe(engine, image, ports, paths, env, rung.name, hosts, plainly, recorder.one, declared)
            refuse_server_that_ends(seen.health.kind, draft.port, draft.service.port_variable)
            proof.say(f"{rung.name}: {told_of(seen)}")
            base = RunSettings(env=env, files=variant.run.files, args=variant.run.args)
            found = tightest(engine, image, seen, base, rung.name, hosts, tuple(draft.service.volumes), recorder.other)
            if found.problem:
                reason = f"the service starts in a plain container, but not in a hardened one: {found.problem}"
                raise NotUp(Down.NOT_HARDENED, reason)
            plain = {key: value for key, value in draft.run.items() if key != "tmpfs"}
            learned = recorder.recorded(with_seen(replace(draft, run=plain), seen, found.told), seen)
            proof.draft = replace(learned, doubts=tuple(_doubts(learned, seen, recorder)))


def _ports(draft: Draft) -> tuple[int, ...]:
    """Where it may listen, the user's word first."""
    hints = tuple(each.value for each in port_hints(draft.service)) or (draft.port.value,)
    return (draft.port.value, *hints) if draft.port.origin == "given" else hints


def _declared(draft: Draft) -> tuple[int, ...]:
    """The ports that the user, the image or its surroundings name; what code may listen on is a guess."""
    own = [each.value for image in draft.service.dockerfiles[:1] for each in image.words.ports]
    given = [draft.port.value] if draft.port.origin == "given" else []
    return tuple(dict.fromkeys((*given, *own, *(each.value for each in draft.service.around.ports))))


def _doubts(draft: Draft, seen: Seen, recorder: Recorder) -> Iterator[Doubt]:
    """Why what was seen proves little."""
    yield from of_log(recorder.lines)
    if seen.health.kind == "exit":
        return
    yield from of_port(seen.health.port, _declared(draft) or _ports(draft))
    if seen.health.kind == "http" or seen.health.status:
        yield from of_health(seen.health.status, seen.health.path)
        yield from of_operations(draft.works)
