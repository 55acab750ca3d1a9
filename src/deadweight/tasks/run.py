"""Define ``run``, ``shell`` and ``logs`` for containers, and ``harden`` (tighten how they run)."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

from invoke.context import Context
from invoke.exceptions import Exit

from deadweight._errors import DeadweightError, MissingError, UsageError, wording
from deadweight.tasks import lazy
from deadweight.tasks._progress import build_variants, print_json, report_progress, say
from deadweight.tasks._task import one_of, parse_port, task
from deadweight.tasks._words import Names, Value, meant, meant_one

TOOLS_IMAGE = "cgr.dev/chainguard/busybox:latest"
"""A small image with a shell and tools: the source's busybox."""
DOCKER_FAILED = 125
"""The exit code of ``docker run`` where the container did not start; all others are the shell's own."""


@task()
def run(c: Context, variant: Value = None, port: Value = None, watch: bool = False) -> None:
    """Run a variant in its hardened container, on a loopback port, until Ctrl-C.

    Example: invoke run apko --watch
    """
    with lazy.Workspace.open(say) as workspace, contextlib.ExitStack() as stack:
        chosen = meant_one(workspace, variant)
        if watch:
            lazy.build.raise_if_failed(build_variants(workspace, (chosen,)))
        image, options = _prepared(workspace, chosen, stack, parse_port(port))
        stopped = list[object]()

        def started(container: lazy.Container) -> None:
            if watch:
                from deadweight.tasks._watch import endings

                endings.append(lambda: stopped.append(container.stop(2.0)))
                stack.callback(endings.clear)
            _tell_where(chosen.name, container)

        code = lazy.foreground.run_in_foreground(
            workspace.engine(),
            image,
            options,
            variant=chosen.name,
            on_line=lambda line: print(line, flush=True),  # a pipe gets it at once too
            on_start=started,
        )
        if code and lazy._signals.received() is None and not stopped:
            say(f"{chosen.name}: ended with exit code {code}")
            if why := lazy.refused_calls.explained(workspace.engine(), image, options, chosen.health, chosen.port):
                say(f"{chosen.name}: {why}")
    if code:
        raise Exit(code=code)


@task()
def record(c: Context, variant: Value = None, to: str = "traffic.har", port: Value = None) -> None:
    """Run a variant, record the requests that you send to it until Ctrl-C, and write them to a HAR file, secrets masked.

    Example: invoke record --variant apko --to traffic.har
    """
    with lazy.Workspace.open(say) as workspace, contextlib.ExitStack() as stack:
        chosen = meant_one(workspace, variant)
        image, options = _prepared(workspace, chosen, stack)
        lazy.workload.record_traffic(workspace.engine(), image, options, chosen, Path(to), parse_port(port), say)


@task()
def shell(c: Context, variant: Value = None) -> None:
    """Open a shell in a running variant (started if necessary); if the image has no shell, open one alongside it, with tools.

    Example: invoke shell --variant apko
    """
    with lazy.Workspace.open(say) as workspace, contextlib.ExitStack() as stack:
        container = _joined_or_started(workspace, variant, stack)
        inside = lazy.foreground.shell_in(container)
        if inside is not None:
            words = lazy.foreground.words_inside(container, inside)
        else:
            say(wording("tasks.shell_beside", variant=variant or "the variant"))
            with lazy.locked(workspace.state, say):
                workspace.source.prepare((TOOLS_IMAGE,), apk=False, say=say)
            tools = workspace.source.base(TOOLS_IMAGE).resolved
            words = lazy.foreground.words_beside(workspace.engine(), container, tools)
        cli = lazy.daemon.docker_cli(workspace.endpoint)
        code = subprocess.run(cli.command(*words), env=os.environ | dict(cli.env), check=False).returncode
    if code == DOCKER_FAILED:
        raise DeadweightError(wording("tasks.no_shell"))


@task()
def logs(c: Context, variant: Names = None, follow: bool = False) -> None:
    """Show what running containers have written so far; if none is running, show each variant's last build log.

    Example: invoke logs --variant apko
    """
    with lazy.Workspace.open(say) as workspace:
        chosen = meant(workspace, variant)
        wanted = tuple(one.name for one in chosen) if variant else ()
        if follow or (_engine_runs() and lazy.foreground.running(workspace.engine(), wanted)):
            count = 200 if follow else None
            for line in lazy.foreground.log_lines(workspace.engine(), wanted, follow=follow, lines=count):
                print(line, flush=True)
            return
        files = {variant.name: file for variant in chosen if (file := workspace.state.log(variant.name)).exists()}
        if not files:
            raise MissingError(wording("tasks.no_logs"))
        for name, file in files.items():
            print(f"==> {name}: {file} <==")
            print(file.read_text(encoding="utf-8", errors="replace"), end="")


def _tell_where(name: str, container: lazy.Container) -> None:
    with contextlib.suppress(lazy.Ended):  # at once: its last words come next, and tell more
        url = container.base_url
        others = (container.http(port) for port in container.options.ports)
        more = "".join(f", port {other.port}: {other.base_url}" for other in others if other.way != "engine")
        say(f"{name}: {url}{more} (press Ctrl-C to stop)")


def _prepared(
    workspace: lazy.Workspace, chosen: lazy.Variant, stack: contextlib.ExitStack, port: int | None = None
) -> tuple[str, lazy.RunOptions]:
    """What to run: the image in the engine (loaded under the project's lock), and how."""
    with lazy.locked(workspace.state, say):
        reference = workspace.engine_image(chosen)
    image = workspace.engine().images.need(reference)
    options = lazy.hardened_for(chosen, image.user)
    lazy.refused_calls.check(workspace.engine(), options)
    options = options.but(hosts=stack.enter_context(workspace.started_needs(chosen)))
    return reference, options.but(host_port=port) if port else options


def _joined_or_started(workspace: lazy.Workspace, name: str | None, stack: contextlib.ExitStack) -> lazy.Container:
    """The container that ``invoke run`` holds in another terminal; else one of our own, which ends with the workspace."""
    chosen = meant_one(workspace, name)
    there = lazy.foreground.started_by_run(workspace.engine(), chosen.name)
    if there is not None:
        say(f"{chosen.name}: using the container {there.name}, which is already running")
        return there
    image, options = _prepared(workspace, chosen, stack)
    container = workspace.engine().start(image, options, purpose="shell", variant=chosen.name)
    readiness = container.wait_healthy(chosen.health, chosen.port)
    if not readiness.healthy and not container.state().running:
        problem = lazy.service.with_last_lines(readiness.reason, container)
        raise DeadweightError(wording("tasks.not_started", variant=chosen.name, problem=problem))
    if not readiness.healthy:
        say(f"{chosen.name}: {readiness.reason}")
    return container


def _engine_runs() -> bool:
    with contextlib.suppress(MissingError):  # the one that is asked for does not answer, so nothing runs in it
        return lazy.daemon.find_running() is not None
    return False


# ``harden``.
@task()
def harden(
    c: Context,
    variant: Value = None,
    format: str = "run",
    to: Value = None,
    image: Value = None,
    seccomp: bool = True,
    budget: bool = False,
    audit: bool = False,
    explain: Value = None,
    log: str = "-",
    force: bool = False,
    json: bool = False,
) -> None:
    """Find the strictest settings under which a variant still passes its checks, and print them.

    The result is stored, so you can print it in another format without searching again.

    Example: invoke harden --variant apko --format compose --to deploy
    Example: invoke harden --explain deploy/compose.yaml service.log
    Example: journalctl -k | invoke harden --explain deploy/compose.yaml
    """
    if explain is not None:
        _explain(explain, variant or log, json=json)
        return
    one_of(format, "--format", lazy.attacks.HARDEN_FORMATS)
    with lazy.Workspace.open(say) as workspace:
        chosen = meant_one(workspace, variant)
        with lazy.locked(workspace.state, say, [chosen.name], whole=False), report_progress("harden"):
            result = lazy.attacks.find_posture(workspace.subject(chosen), say, again=force, seccomp=seccomp)
        named, root = chosen.run.seccomp if result.seccomp is None else None, workspace.suite.root
        profile = root / named if named else workspace.state.seccomp(chosen.name)
        if audit and result.profiled:
            profile = _logging(result, profile, workspace.state.seccomp(f"{chosen.name}.audit"))
    for line in (*result.warnings(), *(lazy.attacks.seccomp_lines(result.seccomp) if result.seccomp else ())):
        say(f"{chosen.name}: {line}")
    if json:
        print_json(result.document())
        return
    seccomp_file, files = _named(result, profile, root, to)
    _put(result, format, profile, lazy.attacks.HardenRequest(image or "", seccomp_file, budget, files, audit), to)


def _named(result: lazy.attacks.Hardened, profile: Path, root: Path, to: Value) -> tuple[str, str]:
    """The profile and the project's folder as the text is to name them."""
    if to is None:
        return os.path.relpath(profile), os.path.relpath(root)
    return f"./{result.suite}.seccomp.json", _way(to, root)


def _logging(result: lazy.attacks.Hardened, profile: Path, file: Path) -> Path:
    """Write the profile so that it logs instead of refusing."""
    refusing = result.seccomp.profile() if result.seccomp else lazy.profile.read_profile(profile)
    return lazy.profile.write(file, lazy.profile.logging(refusing))


def _explain(file: str, log: str, *, json: bool) -> None:
    """Print what the lines of a log tell of the walls in a file that harden wrote."""
    try:
        lines = sys.stdin.readlines() if log == "-" else Path(log).read_text(errors="replace").splitlines()
        findings = lazy.attacks.explain(Path(file).read_text(encoding="utf-8"), lines)
    except (OSError, ValueError) as error:
        raise UsageError(wording("project.explain_unreadable", problem=error)) from error
    if json:
        print_json([asdict(finding) for finding in findings])
        return
    for finding in findings:
        print(finding)
    if not findings:
        say(wording("project.explain_nothing", lines=len(lines)))


def _way(folder: str, root: Path) -> str:
    """From one folder to another as the kernel goes: a folder may be a link, from which ``..`` leads elsewhere."""
    return os.path.relpath(os.path.realpath(root), os.path.realpath(folder))


def _put(result: lazy.attacks.Hardened, format: str, profile: Path, how: lazy.attacks.HardenRequest, to: Value) -> None:
    """Print the text, or write it and its profile to a folder."""
    for line in lazy.attacks.harden_notes(result, format, how):
        say(f"{result.variant.name}: {line}")
    if to is None:
        print(lazy.attacks.harden_text(result, format, how), end="")
        return
    folder = Path(to)
    for name, text in lazy.attacks.harden_files(result, format, how).items():
        lazy.store.write_atomically(folder / name, text)
        say(f"written: {folder / name}")
    if not result.profiled or format == "ecs":
        return
    beside_it = folder / Path(how.profile).name
    if result.seccomp and not how.audit:
        lazy.profile.write(beside_it, result.seccomp.profile())
    else:
        lazy.store.write_atomically(beside_it, profile.read_bytes())
    say(f"written: {beside_it}")
