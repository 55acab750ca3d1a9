"""Define ``setup`` (install tools), ``doctor``, ``clean`` and ``completion`` (in shells)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import NamedTuple

from invoke.context import Context

from deadweight._errors import ConfigError, MissingError, quoting, wording
from deadweight.tasks import lazy
from deadweight.tasks._progress import Watcher, folded, print_json, read_answer, report_progress, say
from deadweight.tasks._task import MADE, dry, one, one_of, parse_days, task
from deadweight.tasks._words import RECALLED, Names, Value, meant


@task()
def setup(
    c: Context,
    source: Value = None,
    mirror: Value = None,
    ca_bundle: Value = None,
    variant: Names = None,
    yes: bool = False,
    tests: bool = False,
    bench: bool = False,
    json: bool = False,
    plan: bool = False,
) -> None:
    """Install what is missing, and only that: tools, an engine if none is running, base images if no registry answers.

    Shows the list first and, on a terminal, asks once. Anything already installed is used.
    Example: invoke setup --source local --yes
    """
    looking = plan or dry(c)
    with lazy.Workspace.open(say) as workspace, nullcontext() if looking else lazy.locked(workspace.state, say):
        chosen = meant(workspace, variant, note=False)
        _take(workspace, source, mirror, ca_bundle, keep=not looking)
        findings, lacking = prepare(workspace, chosen, yes=yes, tests=tests, bench=bench, plan=looking)
        unmade = lazy.needs.to_make(workspace, chosen) if looking else ()
        if all(finding.present for finding in findings) and not unmade and lacking is None:
            say(wording("tasks.ready", programs=len(findings), source=workspace.source.name))
        if json:
            tools, making = [asdict(finding) for finding in findings], [asdict(item) for item in unmade]
            state = {"source": workspace.source.name, "tools": tools, "to_make": making, "lacking": _problems(lacking)}
            print_json(state)
        if not looking:
            _check_buildable(workspace, chosen, findings)
        if lacking is not None:
            raise lacking


@task(reads_only=True)
def doctor(c: Context, json: bool = False, tests: bool = False) -> None:
    """Show what is installed, what is missing, and the command that installs it; exit 3 if something is missing.

    Example: invoke doctor --json
    """
    with report_progress("doctor"):
        asked, report = _examined(tests)
    if json:
        there = {"source": asked.source, **asdict(report)}
        print_json({**there, "to_make": [asdict(item) for item in asked.unmade], "lacking": _problems(asked.lacking)})
    else:
        waiting = [f"{made.name}: not made yet" for made in asked.unmade]
        waiting += [f"source: {asked.source}"] if asked.source else []
        shown = "\n".join([*report.lines(), *waiting])
        print(folded(shown.replace(f"{asked.root}/", "").replace(str(Path.home()), "~")))
    missing = [tool.name for tool in report.tools if not tool.present] + [item.name for item in asked.unmade]
    yours, parts = lazy.install.hopeless(report.tools), [part for part in report.parts if part.used]
    how = (["invoke setup"] if missing and len(missing) > len(yours) else []) + [finding.how for finding in yours]
    missing, how = missing + [part.name for part in parts], how + [part.how for part in parts]
    if report.unwritable:
        missing += [f"a folder that can be written to ({folder})" for folder in report.unwritable]
        how.append("make it writable, or set DEADWEIGHT_CACHE_DIR to another place for tools, stand-ins and the engine")
    lines: list[str] = [wording("tasks.missing", names=", ".join(missing))] if missing else []
    if asked.lacking is not None:
        lines.append(asked.lacking.message)
        how += [asked.lacking.hint] if asked.lacking.hint else []
    if lines:
        raise MissingError(quoting(lines[0], "\n".join(lines)), hint="; ".join(dict.fromkeys(how)))
    if asked.source:
        say(wording("tasks.ready", programs=len(report.tools), source=asked.source))


class _Asked(NamedTuple):
    """What a suite asks of this machine: nothing if there is no suite."""

    root: Path
    source: str | None = None
    unmade: Sequence[lazy.ToMake] = ()
    lacking: lazy.NoBase | None = None


def _examined(tests: bool) -> tuple[_Asked, lazy.doctor.Doctor]:
    try:
        workspace = lazy.Workspace.open(say)
    except ConfigError as error:
        if error.code != "suite.no_suite":
            raise
        say(wording("tasks.no_suite"))
        return _Asked(Path.cwd()), lazy.doctor.examine(())
    with workspace:
        variants, root = workspace.suite.variants, workspace.suite.root
        report = lazy.doctor.examine(lazy.needs.tools_of(workspace, variants, tests=tests), variants, root=root)
        unmade, lacking = lazy.needs.to_make(workspace, variants), lazy.needs.known_bases(workspace, variants).error
        return _Asked(root, workspace.source.name, unmade, lacking), report


def prepare(
    workspace: lazy.Workspace, chosen: Sequence[lazy.Variant], *, yes: bool = False, plan: bool = False, **groups: bool
) -> tuple[tuple[lazy.Finding, ...], lazy.NoBase | None]:
    """Install what these variants miss, then prepare their bases and packages. Gives the programs, and which bases are missing.

    Where no engine can be had, that is told, and what needs one is left out.
    """
    findings, missing, chosen = _survey_and_confirm(workspace, chosen, yes=yes, plan=plan, **groups)
    lacking = lazy.needs.known_bases(workspace, chosen)
    if plan:
        return findings, lacking.error
    outcomes = _install(workspace, chosen, missing)
    unmade = [outcome.error for outcome in outcomes if isinstance(outcome.error, lazy.NoBase)]
    lazy.raise_if_missing(outcome for outcome in outcomes if outcome.error not in unmade)
    for error in unmade:
        lacking = lacking.and_then(lazy.needs.split_by_base(lacking.able, workspace.needs(lacking.able), error))
    with report_progress("set-up"):
        lacking = lazy.needs.prepare_bases(workspace, lacking)
    return lazy.survey([finding.name for finding in findings]) if missing else findings, lacking.error


def get_tools(workspace: lazy.Workspace, *names: str) -> None:
    """Install those of these tools that are missing, which are needed beside the suite's."""
    if missing := [finding for finding in lazy.survey(names) if not finding.present]:
        _show(missing, ())
        _ask(yes=False)
        lazy.raise_if_missing(_install(workspace, (), missing))


def _install(
    workspace: lazy.Workspace, chosen: Sequence[lazy.Variant], missing: Sequence[lazy.Finding]
) -> Sequence[lazy.Outcome]:
    with Watcher().showing() as shown:
        work = lazy.install.preparations(workspace, chosen, missing)
        return lazy.run_plan(work.plan, workspace.state, shown, jobs=os.cpu_count() or 2)


def to_prepare(
    workspace: lazy.Workspace, chosen: Sequence[lazy.Variant], *, yes: bool, database: Callable[[], object] | None
) -> lazy.install.Preparations:
    """What is missing for these variants, shown and asked for, to be got while the first are being built."""
    _, missing, able = _survey_and_confirm(workspace, chosen, yes=yes)
    work = lazy.install.preparations(workspace, able, missing, start_engine=True, database=database)
    return replace(work, needs={**dict.fromkeys((variant.name for variant in chosen), frozenset()), **work.needs})


def _survey_and_confirm(
    workspace: lazy.Workspace, chosen: Sequence[lazy.Variant], *, yes: bool = False, plan: bool = False, **groups: bool
) -> tuple[tuple[lazy.Finding, ...], list[lazy.Finding], Sequence[lazy.Variant]]:
    """Every program that is needed, those to install, and the variants that can be had: all, or those without an engine.

    What is missing is shown, and got only if the user wants it.
    """
    with report_progress("set-up: looking for what is there"):
        findings = lazy.survey(lazy.needs.tools_of(workspace, chosen, **groups))
        missing = [finding for finding in findings if not finding.present]
        if engineless := lazy.install.no_engine(findings):
            say(f"no container engine available ({engineless}); skipping the variants that need one")
            chosen = lazy.needs.without_engine(workspace, chosen)
            others = set(lazy.needs.tools_of(workspace, chosen, **groups)) - set(lazy.needs.ENGINE_TOOLS)
            engine, rest = _engine_tools(findings), lazy.survey(sorted(others))
            findings, missing = (*engine, *rest), [finding for finding in rest if not finding.present]
        unmade = lazy.needs.to_make(workspace, chosen)
    if missing or unmade:
        _show(missing, unmade)
        if not plan:
            _ask(yes)
    return findings, missing, chosen


def _engine_tools(findings: Sequence[lazy.Finding]) -> list[lazy.Finding]:
    return [finding for finding in findings if finding.name in lazy.needs.ENGINE_TOOLS]


def _check_buildable(workspace: lazy.Workspace, chosen: Sequence[lazy.Variant], tools: Sequence[lazy.Finding]) -> None:
    engineless = lazy.install.no_engine(tools)
    able = lazy.needs.without_engine(workspace, chosen) if engineless else chosen
    if left := [variant.name for variant in chosen if variant not in able]:
        how = dict.fromkeys(finding.how for finding in lazy.install.hopeless(_engine_tools(tools)))
        message = wording("tasks.not_buildable", variants=", ".join(left), problem=engineless)
        raise MissingError(message, hint="; ".join(how))


def _take(workspace: lazy.Workspace, source: Value, mirror: Value, ca_bundle: Value, *, keep: bool) -> None:
    """Use the source that is asked for, from now on or (``keep`` is False) for this look only; a wrong one is told either way."""
    if source is mirror is ca_bundle is None:
        return
    wanted = lazy.remote.changes(workspace.suite, workspace.state, source, mirror, ca_bundle)
    if keep:
        lazy.settings.record(workspace.state, **wanted, rebase=False)
    else:
        workspace.source = lazy.remote.choose(workspace.suite, workspace.state, say, wanted)


def _show(missing: Sequence[lazy.Finding], unmade: Sequence[lazy.ToMake]) -> None:
    if missing:
        size = sum(finding.size_bytes for finding in missing) / 1e6
        what = ", ".join(f"{finding.name} ({finding.how})" for finding in missing)
        say(f"to install, about {sum(finding.seconds for finding in missing)} s and {size:.0f} MB: {what}")
    if unmade:
        seconds = max(made.seconds for made in unmade)
        say(f"to make from OS packages, about {seconds} s: {', '.join(made.name for made in unmade)}")


def _ask(yes: bool) -> None:
    answer = None if yes else read_answer("install these? [Y/n] ")
    if answer == "":  # Ctrl-D, which leaves the cursor behind the question
        say("")
    if answer is not None and answer.strip().lower() not in ("y", "yes") and answer != "\n":
        raise MissingError(wording("tasks.not_installed"))


def _problems(lacking: lazy.NoBase | None) -> list[str]:
    return [text for _, text in lacking.problems] if lacking is not None else []


# ``clean``.
@task()
def clean(c: Context, project: bool = False, all: bool = False, older_than: Value = None) -> None:
    """Remove logs, leftovers of interrupted runs, and archives that can be recreated; with --project, all data of this project.

    Example: invoke clean --project
    """
    days = parse_days(older_than)
    with (
        lazy.Workspace.open(say) as workspace,
        lazy.locked(workspace.state, say, workspace.suite.names()),
        report_progress("clean"),
    ):
        done = lazy.clean.clean(workspace, project=project or all, end_shared=all, older_than_days=days)
    freed = lazy.format_bytes(done.size_bytes)
    first = "1 container or network" if done.containers == 1 else f"{done.containers} containers and networks"
    plural = lazy.figures.plural
    say(f"removed {first}, {plural(done.images, 'image')}, {plural(done.files, 'file')} ({freed})")
    if done.left is not None:
        raise MissingError(wording("tasks.engine_not_cleaned", problem=done.left.message), hint=done.left.hint)


# ``completion``.
SHELLS = ("bash", "zsh", "fish")
"""Their scripts ask us for the values of a flag, invoke itself (``--complete``) for tasks and flags, a project's own among them."""


@task(reads_only=True)
def completion(c: Context, shell: Value = None, words: Value = None) -> None:
    """Print a shell completion script (bash, zsh or fish) for tasks, options, variants, checks and postures.

    Example: source <(invoke completion --shell bash)
    Example: source <(invoke completion --shell zsh)
    Example: invoke completion --shell fish | source
    """
    if words is not None:
        print("".join(f"{word}\n" for word in following(words)), end="")
        return
    print(script(one_of(one(shell, "--shell"), "--shell", SHELLS)), end="")


def script(shell: str) -> str:
    """What makes this shell ask."""
    return Path(__file__).with_name(f"completion.{shell}").read_text(encoding="utf-8")


def following(line: str) -> list[str]:
    """The values that may stand in the place of the last word of ``line``, or after it where a blank ends it.

    Empty where no value of ours is due. A word with commas keeps what stands before the last one. Nothing is said of a suite
    that cannot be read.
    """
    parts = line.split()
    last = "" if not parts or line[-1:].isspace() else parts.pop()
    if last.startswith("--") and "=" in last:
        flag, _, last = last.partition("=")
        parts.append(flag)
    head, comma, start = last.rpartition(",")
    with suppress(Exception):  # a completion that explains itself would stand in the command line
        values = VALUES[parts[-1]]() if parts and parts[-1] in VALUES else _behind_task(parts, start)
        return [f"{head}{comma}{value}" for value in values if value.startswith(start)]
    return []


def _behind_task(words: Sequence[str], start: str) -> Iterable[str]:
    """What may stand behind a task where no flag waits for its value: variants, and those of ``verify`` with a check."""
    task = next((word for word in reversed(words[1:]) if word in MADE), None)
    arguments = MADE[task].get_arguments() if task else []
    if all(argument.name != "variant" for argument in arguments):
        return ()
    if any(words[-1] == f"--{argument.name}" and argument.takes_value for argument in arguments):
        return ()
    variant, slash, _ = start.partition("/")
    return [f"{variant}/{check}" for check in _checks()] if slash and task == "verify" else _variants()


def _variants() -> list[str]:
    """All words that ``--variant`` takes, patterns apart."""
    return [*lazy.words(_suite()), *RECALLED]


def _suite() -> lazy.Suite:
    return lazy.load_suite.load_suite(lazy.find_suite_file())


def _checks() -> list[str]:
    checks = list(lazy.table.names())
    with suppress(Exception):  # our own are known without a suite
        checks += dict.fromkeys(name for variant in _suite().variants for name in variant.checks.other)
    return checks


VALUES: dict[str, Callable[[], Iterable[str]]] = {
    "--variant": _variants,
    "-v": _variants,
    "--check": _checks,
    "--posture": lambda: [*lazy.attacks.posture_names(), "all"],
    "--format": lambda: lazy.attacks.HARDEN_FORMATS,
    "--provider": lambda: lazy.pipelines.PROVIDERS,
    "--shell": lambda: SHELLS,
    "--sbom": "spdx cyclonedx both".split,
    "--source": "auto registry mirror local".split,
    "--scan": "deep plain hidden no".split,
    "--post": "github gitlab".split,
}
"""What a flag's value may be, by the flag."""
