"""Collect a service's requests from the suite, its documents and the service itself."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from deadweight_workload.model import Step, Workload, operation_of

if TYPE_CHECKING:
    from deadweight.checks.protocol import Subject
    from deadweight.engine.container import Container
    from deadweight.suite.model import Variant


def suite_steps(variant: Variant, templates: tuple[str, ...] = ()) -> tuple[Step, ...]:
    """The requests under ``checks.api``."""
    return tuple(
        Step(item.name, operation_of(item.request.method, item.request.path, templates), item.request, item.expect)
        for item in variant.checks.api
    )


def suite_workload(subject: Subject) -> Workload:
    """The requests of the ``api`` check, with all operations that the suite's documents name."""
    whole = workload_of(subject)
    return replace(whole, steps=tuple(step for step in whole.steps if step.source == "suite"))


def workload_of(subject: Subject, container: Container | None = None) -> Workload:  # noqa: ARG001
    """All requests that are known for this variant. ``container`` is the service, up and in the suite's own posture: None leaves
    out what only it can tell."""
    steps = suite_steps(subject.variant)
    return Workload(steps, tuple(dict.fromkeys(step.operation for step in steps)), subject.variant.checks.holdout)
