"""Divide variants among the machines of a CI run: each computes the same answer without communication.

Each variant ranks the shards by a hash of its name and theirs (rendezvous hashing), so adding or removing a variant moves
few others. Heaviest first, each variant takes the first shard in its ranking that stays within ``SLACK`` of an even share, else
the least loaded one (longest processing time first).
Source: Mirrokni, Thorup, Zadimoghaddam, "Consistent hashing with bounded loads".
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from deadweight._errors import UsageError, wording

MAX_SHARDS = 1000
SLACK = 1.1
"""How much more than an even share of the seconds a shard may get for the sake of staying where it was."""

INDEX_VARIABLE = "JOB_COMPLETION_INDEX"
TOTAL_VARIABLE = "DEADWEIGHT_SHARDS"
"""How many shards there are, for a Kubernetes Job: it tells its pods their index only."""


@dataclass(frozen=True)
class Shard:
    """Part ``index`` (from 1) of ``total``. ``origin`` is the flag or the environment variable that said so."""

    index: int
    total: int
    origin: str = "--shard"

    def __str__(self) -> str:
        return f"{self.index}/{self.total}"


def parse_shard(text: str, origin: str = "--shard") -> Shard:
    """``2/5``. Raises UsageError for anything else."""
    match = re.fullmatch(r"([0-9]{1,4})/([0-9]{1,4})", text.strip())
    if match is None or not 1 <= int(match[1]) <= int(match[2]) <= MAX_SHARDS:
        raise UsageError(wording("plan.shard", origin=origin, most=MAX_SHARDS, text=text))
    return Shard(int(match[1]), int(match[2]), origin)


def shard_of(given: str | None, environment: Mapping[str, str]) -> Shard | None:
    """What ``--shard`` says, else what the CI system does. None where there is but one machine.

    Read in this order: ``DEADWEIGHT_SHARD`` (``I/N``, for a GitHub matrix), ``CI_NODE_INDEX`` and ``CI_NODE_TOTAL`` (GitLab's
    ``parallel``, from 1), ``JOB_COMPLETION_INDEX`` (a Kubernetes Indexed Job, from 0) with ``DEADWEIGHT_SHARDS``.
    """
    if given is not None:
        return parse_shard(given)
    if said := environment.get("DEADWEIGHT_SHARD"):
        return parse_shard(said, "DEADWEIGHT_SHARD")
    node, nodes = environment.get("CI_NODE_INDEX"), environment.get("CI_NODE_TOTAL")
    if node and nodes:
        return parse_shard(f"{node}/{nodes}", "CI_NODE_INDEX/CI_NODE_TOTAL") if nodes != "1" else None
    pod, pods = environment.get(INDEX_VARIABLE), environment.get(TOTAL_VARIABLE)
    if not pods:
        return None
    if not pod:
        raise UsageError(wording("plan.no_index", total=TOTAL_VARIABLE, index=INDEX_VARIABLE))
    number = str(int(pod) + 1) if re.fullmatch(r"[0-9]{1,4}", pod) else pod
    return parse_shard(f"{number}/{pods}", f"{INDEX_VARIABLE}/{TOTAL_VARIABLE}")


def divide(names: Sequence[str], total: int, seconds: Mapping[str, float] | None = None) -> tuple[tuple[str, ...], ...]:
    """The names of each shard, in the order given. ``seconds`` is what each took before; an unknown one counts for the median."""
    known = {name: value for name, value in (seconds or {}).items() if name in set(names) and value > 0}
    usual = sorted(known.values())[len(known) // 2] if known else 1.0
    weights = {name: known.get(name, usual) for name in names}
    bound = SLACK * sum(weights.values()) / total
    loads = [0.0] * total
    taken: dict[str, int] = {}
    for name in sorted(weights, key=lambda each: (-weights[each], each)):
        ranked = sorted(range(total), key=lambda shard: _rank(name, shard), reverse=True)
        fits = (shard for shard in ranked if loads[shard] + weights[name] <= bound)
        chosen = next(fits, None)
        if chosen is None:
            chosen = min(ranked, key=lambda shard: loads[shard])
        loads[chosen] += weights[name]
        taken[name] = chosen
    return tuple(tuple(name for name in names if taken[name] == shard) for shard in range(total))


def _rank(name: str, shard: int) -> bytes:
    return hashlib.blake2b(f"{name}\0{shard}".encode(), digest_size=8).digest()
