"""Offer to the tasks all that they use, imported on first use: ``invoke --list`` imports none of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deadweight._packages import images

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from deadweight import _disk, _run, _signals
    from deadweight._log_excerpt import coloured, plain
    from deadweight._packages import attacks, init, workload
    from deadweight.builders.variants import DockerfileVariant
    from deadweight.checks import layers, runner, service, table
    from deadweight.checks.scan import database, sbom
    from deadweight.engine import daemon, foreground
    from deadweight.engine.client import Engine
    from deadweight.engine.container import Container
    from deadweight.engine.faults import Ended
    from deadweight.engine.options import RunOptions, hardened_for
    from deadweight.engine.seccomp import profile, refused_calls
    from deadweight.plan.graph import Plan, Preparation, Task
    from deadweight.plan.scheduler import Outcome, run_plan
    from deadweight.project import build, changed, clean, doctor, git, install, load_suite, needs, pipelines, scan
    from deadweight.project.install import Finding, raise_if_missing, survey
    from deadweight.project.workspace import Workspace
    from deadweight.publish import comment, push
    from deadweight.records import built_image, paths, reference, runs, store
    from deadweight.records.evidence import Evidence
    from deadweight.records.runs import holder, locked
    from deadweight.report import collect, figures, history, markdown, pull_request, sarif
    from deadweight.report.compare import Comparison, compare
    from deadweight.report.console import Head, print_comparison, print_grid, print_verdict
    from deadweight.report.model import REPORT_FILE, HistoryEntry, HistoryPoint, Report
    from deadweight.report.verdict import View, shared_notes, stand_ins_note
    from deadweight.sources import remote, settings
    from deadweight.sources.protocol import NoBase, ToMake
    from deadweight.suite.load import find_suite_file, select, select_one, words
    from deadweight.suite.model import Suite, Variant
    from deadweight.suite.values import format_bytes, plain_url_path
    from deadweight.toolchain import registry

if not TYPE_CHECKING:
    __getattr__ = images.public(__name__)
