"""Merge the reports of one run's shards into one. A mixture of runs is refused, with the reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from deadweight._errors import UsageError, wording
from deadweight.records.runs import Scope
from deadweight.report.attacks import with_splits
from deadweight.report.model import Report, VariantRecord


def merged(given: Mapping[str, Report]) -> Report:
    """The reports (by where they come from) as one: of each variant, what its own shard found.

    Variants that the run was not for are left out. Raises UsageError for reports that are not the shards of one run, all of
    them, each once.
    """
    scopes = {name: _scope(name, each) for name, each in given.items()}
    _same_run(given, scopes)
    _complete(scopes)
    reports = list(given.values())
    first, scope = reports[0], next(iter(scopes.values()))
    owners = {variant: given[name] for name, each in scopes.items() for variant in each.mine}
    variants: dict[str, VariantRecord] = {
        name: owners[name].variants[name] for name in first.variants if name in owners
    }
    payloads = {key: value for each in reports for key, value in each.payloads.items()}
    whole = set(scope.chosen) == set(first.variants)
    return replace(
        first,
        generated_at=max(each.generated_at for each in reports),
        variants=with_splits(variants),
        payloads=payloads,
        scope=replace(scope, index=1, total=1, mine=scope.chosen) if not whole or scope.commit else None,
    )


def _scope(name: str, report: Report) -> Scope:
    if report.scope is None:
        raise UsageError(wording("report.no_shard", file=name))
    missing = [each for each in report.scope.mine if each not in report.variants]
    if missing:
        raise UsageError(wording("report.shard_incomplete", file=name, variants=", ".join(missing)))
    return report.scope


def _same_run(given: Mapping[str, Report], scopes: Mapping[str, Scope]) -> None:
    facts = {
        "suite": [report.suite for report in given.values()],
        "version of Deadweight": [report.tool_version for report in given.values()],
        "commit": [scope.commit or "no commit" for scope in scopes.values()],
        "number of shards": [str(scope.total) for scope in scopes.values()],
        "choice of variants": [scope.why for scope in scopes.values()],
        "variants": [f"{len(scope.chosen)}: {', '.join(scope.chosen)}" for scope in scopes.values()],
    }
    for difference, values in facts.items():
        if len(set(values)) > 1:
            reports = "\n".join(f"  {name}: {value}" for name, value in zip(given, values, strict=True))
            raise UsageError(wording("report.different_runs", difference=difference, reports=reports))


def _complete(scopes: Mapping[str, Scope]) -> None:
    """Each shard once, and each variant with one of them."""
    total = next(iter(scopes.values())).total
    for index, count in Counter(scope.index for scope in scopes.values()).items():
        if count > 1:
            files = ", ".join(name for name, scope in scopes.items() if scope.index == index)
            raise UsageError(wording("report.shard_twice", shard=f"{index}/{total}", count=count, files=files))
    there = {scope.index for scope in scopes.values()}
    missing = [f"{index}/{total}" for index in range(1, total + 1) if index not in there]
    if missing:
        raise UsageError(wording("report.shards_missing", shards=", ".join(missing)))
    taken = Counter(variant for each in scopes.values() for variant in each.mine)
    chosen = next(iter(scopes.values())).chosen
    wrong = [name for name in chosen if taken[name] != 1]
    if wrong:
        raise UsageError(wording("report.shards_divided_differently", variants=", ".join(wrong), count=taken[wrong[0]]))
