"""What a service needs beside it, while it is watched: what can be had of it, started."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from deadweight._errors import DeadweightError, Interrupted
from deadweight.sources.protocol import NoBase
from deadweight_init.coming_up import Down, NotUp
from deadweight_init.draft import Draft
from deadweight_init.records import Beside, Known
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
            missing[name] = error.message.splitlines()[0].partition("; it can stand in for")[0]
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
