"""Turn a suite into pytest collectors and items: suite file, variants, checks, requests of ``api``."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from deadweight._errors import DeadweightError, MissingError, UsageError, wording

if TYPE_CHECKING:
    from deadweight._packages import workload
    from deadweight.checks.protocol import Subject
    from deadweight.checks.service import ServiceDown
    from deadweight.project.workspace import Workspace
    from deadweight.records.evidence import Evidence
    from deadweight.suite.checks import ApiCheck
    from deadweight.suite.model import Variant


class CheckFailure(Exception):
    """A check whose outcome is not the expected one; shown as its reason, without a traceback."""


Node = TypeVar("Node", bound=pytest.Collector)


def _above(node: pytest.Item | pytest.Collector, kind: type[Node]) -> Node:
    parent = node.getparent(kind)
    assert parent is not None
    return parent


class SuiteFile(pytest.File):
    """A suite file."""

    workspace: Workspace

    def collect(self) -> Iterable[pytest.Collector]:
        from deadweight.project.workspace import Workspace
        from deadweight.suite.load import select

        try:
            self.workspace = Workspace.open(lambda _line: None, self.path)
            chosen = select(self.workspace.suite, list(self.config.getoption("--variant")))
        except DeadweightError as error:
            raise self.CollectError(str(error)) from error
        for variant in chosen:
            yield VariantNode.from_parent(self, name=variant.name, variant=variant)

    def teardown(self) -> None:
        """Let go of the engine, and remove what was started in it."""
        self.workspace.close()


class VariantNode(pytest.Collector):
    """One variant; its items share one container."""

    def __init__(self, *, variant: Variant, **named: Any) -> None:
        super().__init__(**named)
        self.variant = variant
        self._subject: Subject | None = None
        if self.config.pluginmanager.hasplugin("xdist"):
            self.add_marker(pytest.mark.xdist_group(variant.name))

    def collect(self) -> Iterable[pytest.Item | pytest.Collector]:
        from deadweight.checks import table

        try:
            names = [check.name for check in table.checks_of(self.variant)]
        except DeadweightError as error:
            raise self.CollectError(str(error)) from error
        for name in names:
            # A check that is to fail is one item: it does not say which of its requests fails.
            if name == "api" and self.variant.expect.get("api") != "fail":
                yield ApiNode.from_parent(self, name=name)
            else:
                yield CheckItem.from_parent(self, name=name)

    @property
    def workspace(self) -> Workspace:
        return _above(self, SuiteFile).workspace

    def subject(self) -> Subject:
        """What is checked; raises MissingError where the variant is not built."""
        if self._subject is None:
            self._subject = self.workspace.subject(self.variant)
        return self._subject

    def teardown(self) -> None:
        """Remove the shared container."""
        if self._subject is not None:
            self._subject.service.close()
            self._subject = None


class _Item(pytest.Item):
    def reportinfo(self) -> tuple[Path, int | None, str]:
        return self.path, None, self.nodeid.split("::", 1)[1]

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Our own errors as their message; everything else as pytest shows it."""
        if isinstance(excinfo.value, (CheckFailure, DeadweightError)):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)


class CheckItem(_Item):
    """One check of one variant."""

    def runtest(self) -> None:
        from deadweight.checks import table
        from deadweight.checks.runner import run_check

        subject = _above(self, VariantNode).subject()
        evidence = run_check(table.check(self.name), subject)
        for figure in ("startup_seconds", "stop_seconds"):
            if figure in evidence.data:
                self.user_properties.append((figure, evidence.data[figure]))
        self.user_properties.append(("image_digest", evidence.provenance.image_digest))
        self.user_properties.append(("stand_in", str(subject.built.stand_in).lower()))
        conclude(evidence)


def conclude(evidence: Evidence) -> None:
    """Evidence as a test's outcome: pass (also with a warning), xfail where failure was expected, failure for all else.

    What was not measured is a failure too: nobody knows whether it holds.
    """
    if evidence.status == "not_measured":
        reason = _with_hint(evidence.reason, evidence.data.get("hint"))
        raise CheckFailure(wording("pytest.not_measured" if evidence.ok else "pytest.fail_not_measured", reason=reason))
    if evidence.status == "fail" and evidence.ok:
        pytest.xfail(evidence.reason)
    if not evidence.ok:
        passed = evidence.status != "fail"
        raise CheckFailure(wording("pytest.passed", reason=evidence.reason) if passed else evidence.reason)


class ApiNode(pytest.Collector):
    """The ``api`` check: each request is an item. Evidence is kept once all have run, or the service does not come up."""

    results: list[workload.ItemResult]
    down: ServiceDown | None
    missing: MissingError | None
    began: float

    def collect(self) -> Iterable[pytest.Item]:
        for item in _above(self, VariantNode).variant.checks.api:
            yield ApiItem.from_parent(self, name=item.name, check=item)

    def setup(self) -> None:
        self.results, self.down, self.missing, self.began = [], None, None, time.monotonic()

    def teardown(self) -> None:
        """Save the evidence; some items alone (``-k``) are no evidence of the whole check."""
        variant_node = _above(self, VariantNode)
        whole = len(self.results) == len(variant_node.variant.checks.api)
        built = variant_node.workspace.built(variant_node.variant.name) is not None
        if not built or not (whole or self.down or self.missing):
            return
        from deadweight._packages import workload
        from deadweight.checks.runner import keep, unmeasured

        subject = variant_node.subject()
        missing = self.missing and unmeasured(subject, self.name, self.missing)
        down = self.down and workload.came_down(subject, self.down, self.began)
        keep(subject, missing or down or workload.summed_up(subject, self.results, self.began))


class ApiItem(_Item):
    """One request of the ``api`` check."""

    def __init__(self, *, check: ApiCheck, **named: Any) -> None:
        super().__init__(**named)
        self.check = check

    def runtest(self) -> None:
        from deadweight._packages import workload
        from deadweight.checks.service import ServiceDown

        node = _above(self, ApiNode)
        earlier = node.missing or node.down
        if earlier is not None:
            raise _as_test_error(earlier)  # it would be waited for again, to the same end
        subject = _above(self, VariantNode).subject()
        try:
            result = workload.run_item(subject, self.check)
        except UsageError:
            raise
        except MissingError as error:
            node.missing = error
            raise _as_test_error(error) from error
        except DeadweightError as error:
            self._blame(node, subject)
            node.down = error if isinstance(error, ServiceDown) else None
            raise
        if result.status == "fail":
            self._blame(node, subject)
        node.results.append(result)
        self.user_properties.append(("http_status", result.http_status))
        if result.status == "fail":
            raise CheckFailure(f"{result.request}: {result.reason}")

    def _blame(self, node: ApiNode, subject: Subject) -> None:
        """Raises CheckFailure where it is the engine that is lost: then nothing was measured, and the service is not to blame."""
        from deadweight.engine.broken_engine import lost_engine

        node.missing = lost_engine(subject.engine)
        if node.missing is not None:
            raise _as_test_error(node.missing)


def _as_test_error(error: DeadweightError) -> Exception:
    """What is missing is told as "not measured", as in ``conclude``; all else as it is."""
    if isinstance(error, MissingError):
        return CheckFailure(wording("pytest.not_measured", reason=_with_hint(error.message, error.hint)))
    return error


def _with_hint(reason: str, hint: str | None) -> str:
    return f"{reason} ({hint})" if hint else reason
