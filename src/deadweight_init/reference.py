"""The rung from which the others are judged: the first that comes up, and what is learned from it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from deadweight._errors import DeadweightError
from deadweight.suite.model import RunSettings
from deadweight_init import doubts, posture
from deadweight_init.allowed_hosts import REFUSES, with_all_hosts
from deadweight_init.alongside import refuse_server_that_ends, started_beside, with_what_can_be_had
from deadweight_init.coming_up import NotUp
from deadweight_init.commands import ENDS, serving_command
from deadweight_init.draft import Draft, health_hints, port_hints
from deadweight_init.folders import in_memory
from deadweight_init.lacking import variable_it_wants
from deadweight_init.languages.common import flow
from deadweight_init.languages.node_builds import OLD
from deadweight_init.languages.node_managers import APART
from deadweight_init.learned import with_seen
from deadweight_init.observe import Seen, kind_told, observe, told_of, watch_with
from deadweight_init.older import with_what_installs
from deadweight_init.open_flags import with_place
from deadweight_init.proof import Proof, first_sentence, nothing_left
from deadweight_init.reachable import ONLY_LOOPBACK
from deadweight_init.recording import Recorder
from deadweight_init.records import Known, Rung
from deadweight_init.remedies import next_remedy, remedy_of_errors
from deadweight_init.tree import Tree, look
from deadweight_init.variables import read

MOST_DOWN = 3
"""So many are tried that build and do not come up."""


def find_reference(proof: Proof) -> str:
    """Build rungs until one comes up, and learn from it: the repository's own first. Raises DeadweightError where none does."""
    problem, down = "", 0
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
    if not down:
        raise nothing_left("no way to build this service works here", proof)
    proof.draft = replace(proof.draft, not_up=first_sentence(problem))
    raise DeadweightError(
        f"{proof.draft.service.name}: built, but it does not come up: {problem}", hint=_advice(proof, problem)
    )


def _next(proof: Proof, down: int) -> Rung | None:
    """The next rung that was not tried. Where the own image does not come up, what is derived from it does not either."""
    left = (each for each in proof.draft.rungs if each.name not in proof.tried and not (down and each.changes))
    return next(left, None)


def _advice(proof: Proof, problem: str) -> str:
    """What helps a service that does not come up, in one sentence."""
    again = "then run invoke verify"
    if ONLY_LOOPBACK in problem:
        return f"let it listen on 0.0.0.0, {again}"
    variable = variable_it_wants(problem)
    if not variable:
        return f"set what it needs under run: in deadweight.yaml, {again}"
    places = (origin for name, origin, _ in read(look(proof.written.root), proof.draft.service) if name == variable)
    place = next((f" ({each.removeprefix('from ')})" for each in places), "")
    return f"set {variable}{place} under run.env in deadweight.yaml, {again}"


def built_somehow(proof: Proof, rung: Rung) -> bool:
    """Build a rung, with a compiler or an older language where its packages cannot be installed without."""
    while rung.name in proof.draft.left_out or not proof.build(rung):
        # what is the repository's own stays as it is
        other = with_what_installs(proof.draft, rung.name) if rung.files else None
        if other is None or not (_stands_elsewhere(other, rung) or _installs_otherwise(proof.draft, other)):
            return False
        proof.draft = other
    return True


def _stands_elsewhere(draft: Draft, rung: Rung) -> bool:
    """Whether the draft has other bases for a rung: some have one version alone, with which it would fail once more."""
    now = next((each for each in draft.ladder.rungs if each.name == rung.name), rung)
    return now.keys.get("bases") != rung.keys.get("bases")


_WAYS = {OLD, APART}


def _installs_otherwise(draft: Draft, other: Draft) -> bool:
    """Whether the modules, or what is made of them, come about in another way on the same bases."""
    now, then = draft.service.project, other.service.project
    if now is None or then is None:
        return False
    return (now.kind, now.details.keys() & _WAYS) != (then.kind, then.details.keys() & _WAYS)


class Unwell(NotUp):
    """The service came up and answers with an error of its own; something that it may lack is known."""


class Shut(NotUp):
    """The service came up and lets in only who asks by a name that it knows; how to let in all is known."""


def _why_not_up(proof: Proof, rung: Rung) -> str:
    """Learn from a rung that is built, with an older language, or with what it lacks, where it dies. Empty where it comes up."""
    before, why, unwell = proof.draft, "", None
    while True:
        try:
            _learn(proof, rung, demanding=unwell is None)
            return ""
        except NotUp as error:
            proof.say(f"{rung.name}: {error.message}")
            tree = look(proof.written.root)
            if isinstance(error, Shut):  # it is no word on what it lacks beside that
                again = with_all_hosts(proof.draft, tree)
            elif isinstance(error, Unwell):
                unwell, again = proof.draft, remedy_of_errors(proof.draft, rung, error.message, tree)
            else:
                why = why or with_place(proof.draft, error.message, tree)
                again = next_remedy(proof.draft, rung, error.message, tree)
            proof.draft = again or before
            if again is not None and not proof.bound.over() and built_somehow(proof, rung):
                continue
            if unwell is None:
                return why
            before = proof.draft = unwell  # it is as well as it was
            try:
                _learn(proof, rung, demanding=False)
            except NotUp:
                return why
            return ""


def _learn(proof: Proof, rung: Rung, *, demanding: bool = True) -> None:
    """Watch one rung in a plain container, find its posture, record its answers. Raises NotUp; Unwell only where ``demanding``."""
    with proof.workspace() as workspace:
        proof.draft = draft = with_what_can_be_had(
            proof.draft, workspace, proof.variant(workspace, rung.name), proof.say
        )
    ports, paths = _ports(draft), tuple(each.value for each in health_hints(draft.service))
    tree = look(proof.written.root)
    env = {name: known.value for name, known in draft.service.around.env.items()}
    with proof.workspace() as workspace:
        variant = proof.variant(workspace, rung.name)
        image, engine = workspace.engine_image(variant), workspace.engine()
        env = {**env, **variant.run.env}
        plainly = variant.run.model_copy(update={"tmpfs": in_memory(draft.service)})
        with started_beside(workspace, variant) as hosts:
            declared = _declared(draft)
            recorder = Recorder(tree, draft.service.described, paths, declared, draft.service.folder)
            seen, more = watch_with(
                draft.service.spare,
                env,
                lambda given: observe(
                    engine, image, ports, paths, given, rung.name, hosts, plainly, recorder.one, declared
                ),
            )
            env = {**env, **more.value}
            base = RunSettings(env=env, files=variant.run.files, args=variant.run.args)
            _refuse(draft, rung, seen, tree, demanding=demanding)
            proof.say(f"{rung.name}: {told_of(seen)}")
            found = posture.tightest(
                engine, image, seen, base, rung.name, hosts, tuple(draft.service.volumes), recorder.other
            )
            if found.problem:
                raise NotUp(f"the service starts in a plain container, but not in a hardened one: {found.problem}")
            told = {"env": Known(flow(env), more.origin)} if more.value else {}
            plain = {key: value for key, value in draft.run.items() if key != "tmpfs"}
            learned = recorder.recorded(with_seen(replace(draft, run=plain), seen, {**told, **found.told}), seen)
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


def _doubts(draft: Draft, seen: Seen, recorder: Recorder) -> Iterator[doubts.Doubt]:
    """Why what was seen proves little."""
    yield from doubts.of_log(recorder.lines)
    if seen.health.kind == "exit":
        return
    yield from doubts.of_port(seen.health.port, _declared(draft) or _ports(draft))
    if seen.health.kind == "http" or seen.health.status:
        yield from doubts.of_health(seen.health.status, seen.health.path)
        yield from doubts.of_operations(draft.works)


def _refuse(draft: Draft, rung: Rung, seen: Seen, tree: Tree, *, demanding: bool) -> None:
    """Raises NotUp for what ends although it is no job; where ``demanding``, also for what answers, but not as it could."""
    refuse_server_that_ends(seen.health.kind, draft.port, draft.service.port_variable)
    if seen.health.kind == "exit" and serving_command(draft, tree):
        raise NotUp(f"{ENDS}: {seen.printed}")
    if demanding and seen.health.status == REFUSES and with_all_hosts(draft, tree):
        raise Shut(f"{kind_told(seen.health)}, and it may not allow who asks by address")
    if demanding and seen.health.status >= 500 and remedy_of_errors(draft, rung, "", tree):
        raise Unwell(f"{kind_told(seen.health)}, and it may lack a database, or tables in it")
