"""Define ``run``, ``shell`` and ``logs`` for containers."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Sequence

from invoke.context import Context
from invoke.exceptions import Exit

from deadweight._errors import DeadweightError, MissingError, wording
from deadweight.tasks import lazy
from deadweight.tasks._options import names, parse_port
from deadweight.tasks._progress import say
from deadweight.tasks._task import task

TOOLS_IMAGE = "cgr.dev/chainguard/busybox:latest"
DOCKER_FAILED = 125
"""The exit code of ``docker run`` where the container did not start; all others are the shell's own."""


@task(
    help={
        "variant": "the variant (required if the suite has several)",
        "port": "the port on 127.0.0.1 (default: a free one)",
    }
)
def run(c: Context, variant: str | None = None, port: str | None = None) -> None:
    """Run a variant in its hardened container, on a loopback port, until Ctrl-C.

    Example: invoke run --variant apko
    """
    with lazy.Workspace.open(say) as workspace, contextlib.ExitStack() as stack:
        chosen, image, options = _prepared(workspace, variant, parse_port(port) or 0)
        options = options.but(hosts=stack.enter_context(workspace.beside(chosen)))
        code = lazy.foreground.run_in_foreground(
            workspace.engine(),
            image,
            options,
            variant=chosen.name,
            on_line=lambda line: print(line, flush=True),  # a pipe gets it at once too
            on_start=lambda container: _tell_where(chosen.name, container, stack),
        )
        if code and lazy._signals.received() is None:
            say(f"{chosen.name}: ended with exit code {code}")
            if why := lazy.refused_calls.explained(workspace.engine(), image, options, chosen.health, chosen.port):
                say(f"{chosen.name}: {why}")
    if code:
        raise Exit(code=code)


@task(help={"variant": "the variant (required if the suite has several)"})
def shell(c: Context, variant: str | None = None) -> None:
    """Open a shell in a running variant (started if necessary); if the image has no shell, open one alongside it, with tools.

    Example: invoke shell --variant apko
    """
    with lazy.Workspace.open(say) as workspace, contextlib.ExitStack() as stack:
        container = _joined_or_started(workspace, variant, stack)
        inside = lazy.foreground.shell_in(container)
        if inside is not None:
            words = lazy.foreground.words_inside(container, inside)
        else:
            say(f"{variant} has no shell: this shell runs beside it and shares its processes, network and files")
            words = lazy.foreground.words_beside(workspace.engine(), container, _tools(workspace))
        cli = lazy.docker_cli(workspace.endpoint)
        code = subprocess.run(cli.command(*words), env=os.environ | dict(cli.env), check=False).returncode
    if code == DOCKER_FAILED:
        raise DeadweightError(wording("tasks.no_shell"))


@task(
    help={
        "variant": "the variant; repeat it for more (default: all that run, else all that have a log)",
        "follow": "follow until the container ends; one must be running",
    },
    iterable=["variant"],
)
def logs(c: Context, variant: Sequence[str] | None = None, follow: bool = False) -> None:
    """Show what running containers have written so far; if none is running, show each variant's last build log.

    Example: invoke logs --variant apko
    """
    with lazy.Workspace.open(say) as workspace:
        chosen = lazy.select(workspace.suite, names(variant))
        wanted = names(variant)
        if follow or (_engine_runs() and lazy.foreground.running(workspace.engine(), wanted)):
            for line in lazy.foreground.log_lines(
                workspace.engine(), wanted, follow=follow, lines=200 if follow else None
            ):
                print(line, flush=True)
            return
        found = [
            (variant, workspace.state.log(variant.name))
            for variant in chosen
            if workspace.state.log(variant.name).exists()
        ]
        if not found:
            raise MissingError(wording("tasks.no_logs"))
        for each, file in found:
            print(f"==> {each.name}: {file} <==")
            print(file.read_text(encoding="utf-8", errors="replace"), end="")


def _tell_where(name: str, container: lazy.Container, stack: contextlib.ExitStack) -> None:
    """A port that is published by an engine elsewhere leads nowhere here: then one of this machine leads to it."""
    with contextlib.suppress(lazy.Ended):  # at once: its last words come next, and tell more
        route = container.http()
        url = route.base_url
        if route.way == "engine":
            url = (
                f"http://127.0.0.1:{stack.enter_context(lazy.foreground.forwarded(route, container.options.host_port))}"
            )
        others = (container.http(port) for port in container.options.ports)
        more = "".join(f", port {other.port}: {other.base_url}" for other in others if other.way != "engine")
        say(f"{name}: {url}{more} (Ctrl-C ends it)")


def _prepared(workspace: lazy.Workspace, name: str | None, port: int) -> tuple[lazy.Variant, str, lazy.RunOptions]:
    """What to run: the variant, its image in the engine (loaded under the project's lock), and how."""
    chosen = lazy.select_one(workspace.suite, name)
    with lazy.locked(workspace.state, say):
        reference = workspace.engine_image(chosen)
    image = workspace.engine().images.need(reference)
    options = lazy.hardened_for(chosen, image.user)
    lazy.refused_calls.check(workspace.engine(), options)
    return chosen, reference, options.but(host_port=port) if port else options


def _joined_or_started(workspace: lazy.Workspace, name: str | None, stack: contextlib.ExitStack) -> lazy.Container:
    """The container that ``invoke run`` holds in another terminal; else one of our own, which ends with the workspace."""
    chosen = lazy.select_one(workspace.suite, name)
    there = lazy.foreground.started_by_run(workspace.engine(), chosen.name)
    if there is not None:
        say(f"{chosen.name}: using the container {there.name}, which is already running")
        return there
    _, image, options = _prepared(workspace, chosen.name, 0)
    options = options.but(hosts=stack.enter_context(workspace.beside(chosen)))
    container = workspace.engine().start(image, options, purpose="shell", variant=chosen.name)
    readiness = container.wait_healthy(chosen.health, chosen.port)
    if not readiness.healthy and not container.state().running:
        problem = lazy.with_last_lines(readiness.reason, container)
        raise DeadweightError(wording("tasks.not_started", variant=chosen.name, problem=problem))
    if not readiness.healthy:
        say(f"{chosen.name}: {readiness.reason}")
    return container


def _engine_runs() -> bool:
    try:
        return lazy.find_running() is not None
    except MissingError:  # the one that is asked for does not answer, so nothing runs in it
        return False


def _tools(workspace: lazy.Workspace) -> str:
    """A small image with a shell and tools: the source's busybox."""
    with lazy.locked(workspace.state, say):
        workspace.source.prepare((TOOLS_IMAGE,), apk=False, say=say)
    return workspace.source.base(TOOLS_IMAGE).resolved
