"""``run``, ``shell`` and ``logs``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from invoke.context import Context

from deadweight.tasks._options import names, one
from deadweight.tasks._show import say
from deadweight.tasks._task import task

if TYPE_CHECKING:
    from deadweight.engine.options import RunOptions
    from deadweight.plan.workspace import Workspace
    from deadweight.suite.model import Variant

TOOLS_IMAGE = "cgr.dev/chainguard/busybox:latest"


@task(help={"variant": "the variant", "port": "the port on 127.0.0.1 (default: a free one)"})
def run(c: Context, variant: str | None = None, port: str | None = None) -> None:
    """Run a variant in its hardened container, on a loopback port, until Ctrl-C.

    Example: invoke run --variant apko
    """
    from invoke.exceptions import Exit

    from deadweight.engine.foreground import run_in_foreground
    from deadweight.plan.workspace import Workspace

    with Workspace.open(say) as workspace:
        chosen, options = _prepared(workspace, one(variant, "--variant"), _port(port))
        code = run_in_foreground(
            workspace.engine(),
            workspace.engine_image(chosen),
            options,
            variant=chosen.name,
            on_line=print,
            on_start=lambda container: say(f"{chosen.name}: {container.base_url} (Ctrl-C ends it)"),
        )
    if code:
        raise Exit(code=code)


@task(help={"variant": "the variant"})
def shell(c: Context, variant: str | None = None) -> None:
    """Open a shell in a running variant (started if need be); beside it, with tools, where the image has none.

    Example: invoke shell --variant apko
    """
    import subprocess

    from deadweight.engine.daemon import docker_cli
    from deadweight.engine.sidecar import shell_in, shell_words
    from deadweight.plan.workspace import Workspace

    with Workspace.open(say) as workspace:
        chosen, options = _prepared(workspace, one(variant, "--variant"), 0)
        engine = workspace.engine()
        with engine.start(workspace.engine_image(chosen), options, purpose="shell", variant=chosen.name) as container:
            container.wait_healthy(chosen.health, chosen.port)
            tools = None
            if shell_in(container) is None:
                say(f"{chosen.name} has no shell: this one runs beside it, in its processes, network and files")
                tools = _tools(workspace)
            cli = docker_cli()
            words = cli.command(*shell_words(engine, container, tools))
            subprocess.run(words, env=_environment(cli.env), check=False)


@task(
    help={
        "variant": "the variant; repeat it for more (default: all that have a log)",
        "follow": "follow a running container instead of showing build logs",
    },
    iterable=["variant"],
)
def logs(c: Context, variant: Sequence[str] | None = None, follow: bool = False) -> None:
    """Show what is running; where nothing is, the last build's log of each variant.

    Example: invoke logs --variant apko
    """
    from deadweight._errors import MissingError
    from deadweight.plan.workspace import Workspace
    from deadweight.suite.load import select

    with Workspace.open(say) as workspace:
        chosen = select(workspace.suite, names(variant))
        if follow:
            from deadweight.engine.foreground import log_lines

            for line in log_lines(workspace.engine(), chosen[0].name if variant else None, follow=True):
                print(line, flush=True)
            return
        found = [(each, workspace.state.log(each.name)) for each in chosen if workspace.state.log(each.name).exists()]
        if not found:
            raise MissingError("there is no log", hint="invoke build writes them")
        for each, file in found:
            print(f"==> {each.name}: {file} <==")
            print(file.read_text(encoding="utf-8", errors="replace"), end="")


def _prepared(workspace: Workspace, name: str, port: int) -> tuple[Variant, RunOptions]:
    from deadweight.engine.options import hardened_for
    from deadweight.suite.load import select

    (chosen,) = select(workspace.suite, (name,))
    image = workspace.engine().images.need(workspace.engine_image(chosen))
    options = hardened_for(chosen, image.user)
    return chosen, options.but(host_port=port) if port else options


def _tools(workspace: Workspace) -> str:
    """A small image with a shell and tools: the source's busybox."""
    workspace.source.prepare((TOOLS_IMAGE,), apk=False, say=say)
    return workspace.source.base(TOOLS_IMAGE).resolved


def _port(value: str | None) -> int:
    from deadweight._errors import UsageError

    if value is None:
        return 0
    if not value.isascii() or not value.isdigit() or not 1 <= int(value) <= 65535:
        raise UsageError(f"--port: expected a number from 1 to 65535, found {value!r}")
    return int(value)


def _environment(extra: Mapping[str, str]) -> dict[str, str]:
    import os

    return {**os.environ, **extra}
