"""Offer to the tasks all that they use, imported on first use: ``invoke --list`` imports none of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deadweight._packages import images

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live
    from rich.table import Table
    from rich.text import Text

    from deadweight import _disk, _run, _signals
    from deadweight._log_excerpt import coloured, plain
    from deadweight._packages import attacks, init
    from deadweight.builders.variants import DockerfileVariant
    from deadweight.checks import table
    from deadweight.checks.layers import allow_list
    from deadweight.checks.runner import verify as run_checks
    from deadweight.checks.scan import database
    from deadweight.checks.scan.sbom import forms as sbom_forms
    from deadweight.checks.scan.sbom import write_sboms
    from deadweight.checks.service import with_last_lines
    from deadweight.checks.table import names as check_names
    from deadweight.checks.table import refuse_unasked
    from deadweight.engine import foreground
    from deadweight.engine.client import Engine
    from deadweight.engine.container import Container
    from deadweight.engine.daemon import docker_cli, find_or_start, find_running
    from deadweight.engine.faults import Ended
    from deadweight.engine.options import RunOptions, hardened_for
    from deadweight.engine.seccomp import refused_calls
    from deadweight.engine.seccomp.profile import write as write_profile
    from deadweight.plan.graph import Plan, Preparation, Task
    from deadweight.plan.scheduler import Outcome, run_plan
    from deadweight.project import build, changed, install, needs, pipelines, scan
    from deadweight.project.changed import Selection, choose
    from deadweight.project.clean import clean as clean_up
    from deadweight.project.clean import remove_what_was_left
    from deadweight.project.doctor import Doctor, examine
    from deadweight.project.git import commit_of
    from deadweight.project.install import Finding, raise_if_missing, survey
    from deadweight.project.load_suite import load_suite
    from deadweight.project.workspace import Workspace
    from deadweight.publish import comment, push
    from deadweight.publish.push import earlier
    from deadweight.publish.push import publish as publish_report
    from deadweight.records import runs
    from deadweight.records.built_image import BuiltImage
    from deadweight.records.evidence import Evidence
    from deadweight.records.lock import holder, locked
    from deadweight.records.paths import State, user_cache
    from deadweight.records.reference import names_registry
    from deadweight.records.store import write_atomically, write_where_told
    from deadweight.report import figures, history, pull_request, sarif
    from deadweight.report.collect import attack_notes, collect
    from deadweight.report.compare import Comparison, compare
    from deadweight.report.console import fitting, print_comparison
    from deadweight.report.markdown import comparison_markdown
    from deadweight.report.merge import merged as merged_reports
    from deadweight.report.model import REPORT_FILE, HistoryEntry, HistoryPoint, Report
    from deadweight.report.verdict import shared_notes, stand_ins_said
    from deadweight.report.write import Written, write_report
    from deadweight.sources import settings
    from deadweight.sources.choose import changes as source_changes
    from deadweight.sources.choose import choose as choose_source
    from deadweight.sources.protocol import NoBase, ToMake
    from deadweight.suite.load import find_suite_file, select, select_one
    from deadweight.suite.load import words as variant_words
    from deadweight.suite.model import Suite, Variant
    from deadweight.suite.values import format_bytes, plain_url_path
    from deadweight.toolchain import crane
    from deadweight_init.command import Outcome as InitOutcome
    from deadweight_init.prove.proof import Failure

if not TYPE_CHECKING:
    __getattr__ = images.public(__name__)
