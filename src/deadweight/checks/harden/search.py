"""The search: everything at its tightest first; where that does not do, wall by wall; then the least memory and processes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from deadweight import _run
from deadweight._errors import CheckFailed, Interrupted, UsageError
from deadweight.checks.harden.trial import PURPOSE, Trial, attempt
from deadweight.checks.service import posture
from deadweight.engine.options import TMPFS_BYTES, RunOptions, Tmpfs, hardened_for

if TYPE_CHECKING:
    from deadweight.checks.protocol import Subject

HEADROOM = 2
LEAST_MEMORY_BYTES, LEAST_PIDS = 8 * 2**20, 4

DEFAULT_CAPABILITIES = (
    "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "NET_RAW", "SETFCAP",
    "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
)  # fmt: skip
"""What Docker gives a container (moby, oci/caps)."""


@dataclass(frozen=True)
class Found:
    """The tightest options found. ``outgoing``: it needs a network beyond its own port. ``user`` is uid:gid, as it really ran."""

    variant: str
    image: str
    port: int
    health: str
    options: RunOptions
    user: str
    outgoing: bool
    requests: int
    tried: tuple[tuple[str, str], ...]

    def document(self) -> dict[str, Any]:
        """For ``--json``: the posture, and each trial with what came of it."""
        found = {**posture(self.options), "user": self.user, "network": "any" if self.outgoing else "internal"}
        found["memory_headroom"] = found["pids_headroom"] = HEADROOM
        tried = [{"tried": what, "problem": problem or None} for what, problem in self.tried]
        return {
            "variant": self.variant,
            "image": self.image,
            "posture": found,
            "requests": self.requests,
            "tried": tried,
        }


@dataclass
class _Search:
    subject: Subject
    told: Callable[[str], None]
    tried: list[tuple[str, str]] = field(default_factory=list)
    last: Trial = field(default_factory=lambda: Trial("nothing was tried"))
    user: str = ""
    written: tuple[str, ...] = ()

    def passes(self, what: str, options: RunOptions) -> bool:
        if _run.cancelled():
            raise Interrupted("interrupted")
        self.last = attempt(self.subject, options)
        self.tried.append((what, self.last.problem))
        self.told(
            f"{self.subject.variant.name}: {what}: {'works' if not self.last.problem else self.last.problem[:160]}"
        )
        if not self.last.problem:
            self.user, self.written = self.last.user, self.last.written
        return not self.last.problem


def tightest(subject: Subject, told: Callable[[str], None] = lambda _line: None) -> Found:
    """Find it. Raises CheckFailed where the checks do not even pass in a plain container, UsageError for what is no service."""
    variant = subject.variant
    if not variant.runnable:
        raise UsageError(f"{variant.name} is not a service: there is nothing to harden")
    engine = subject.engine()
    user = engine.images.need(subject.engine_image()).user
    with engine.network(PURPOSE, internal=True) as network:
        hard = hardened_for(variant, user)
        search = _Search(subject, told)
        relaxed = RunOptions(
            env=hard.env, args=hard.args, publish=hard.publish, memory_bytes=hard.memory_bytes, swap_bytes=0, cpus=hard.cpus,
            pids=hard.pids, ulimits=hard.ulimits, network=network,
        )  # fmt: skip
        tight = hard.but(tmpfs=(), network="none")
        easy = search.passes("everything at its tightest", tight)
        found = _limited(search, tight if easy else _wall_by_wall(search, relaxed, hard))
    return Found(
        variant=variant.name,
        image=subject.engine_image(),
        port=variant.port,
        health=variant.health.path,
        options=found,
        user=search.user,
        outgoing=found.network != "none",
        requests=len(variant.checks.api),
        tried=tuple(search.tried),
    )


def _wall_by_wall(search: _Search, relaxed: RunOptions, hard: RunOptions) -> RunOptions:
    """Put up one wall after another, each on top of those that held."""
    if not search.passes("no wall but the limits", relaxed):
        raise CheckFailed(
            f"{search.subject.variant.name}: the checks do not even pass in a plain container: {search.last.problem}",
            hint="invoke verify shows all of them",
        )
    # Read-only comes before the user: folders in memory may be written by anybody, those of the image often not.
    found = _first(search, relaxed, {"no new privileges": {"no_new_privileges": True}})
    found = _read_only(search, _capabilities(search, found), hard)
    return _first(search, found, {"not root": {"user": hard.user}, "no network": {"network": "none"}}, every=True)


def _first(
    search: _Search, found: RunOptions, changes: Mapping[str, Mapping[str, Any]], *, every: bool = False
) -> RunOptions:
    """Try changes in order; keep the first that holds, or each one that does."""
    for what, change in changes.items():
        candidate = found.but(**change)
        if search.passes(what, candidate):
            found = candidate
            if not every:
                break
    return found


def _capabilities(search: _Search, found: RunOptions) -> RunOptions:
    """None if that holds; else one after another is taken away."""
    none = found.but(cap_drop=("ALL",))
    if search.passes("no capabilities", none):
        return none
    kept = list(DEFAULT_CAPABILITIES)
    if not search.passes("the usual capabilities, named", none.but(cap_add=tuple(kept))):
        return found
    for name in DEFAULT_CAPABILITIES:
        fewer = [each for each in kept if each != name]
        if search.passes(f"without {name}", none.but(cap_add=tuple(fewer))):
            kept = fewer
    return none.but(cap_add=tuple(kept))


def _read_only(search: _Search, found: RunOptions, hard: RunOptions) -> RunOptions:
    """Read-only with nothing writable, with the folders that it was seen to write, with those that the suite names as well."""
    written = search.written
    size = min(TMPFS_BYTES, (hard.memory_bytes or TMPFS_BYTES * 4) // 4)
    seen = tuple(Tmpfs(folder, size) for folder in written)
    named = tuple(each for each in hard.tmpfs if each.path not in written)
    choices = {(): "read-only, nothing writable", seen: f"read-only, writable: {', '.join(written)}"}
    choices |= {(*seen, *named): f"read-only, writable: {', '.join(each.path for each in (*seen, *named))}"}
    return _first(search, found, {what: {"read_only": True, "tmpfs": tmpfs} for tmpfs, what in choices.items()})


def _limited(search: _Search, found: RunOptions) -> RunOptions:
    """Find the least memory, then the least processes; grant twice that, at most what the suite grants."""
    memory, pids = found.memory_bytes or TMPFS_BYTES * 4, found.pids or 64
    least_memory = _least(
        memory,
        LEAST_MEMORY_BYTES,
        lambda size: search.passes(f"memory {size // 2**20} MiB", found.but(memory_bytes=size)),
    )
    least_pids = _least(pids, LEAST_PIDS, lambda count: search.passes(f"{count} processes", found.but(pids=count)))
    for factor in (HEADROOM, HEADROOM * 2, HEADROOM * 4):
        final = found.but(memory_bytes=min(memory, least_memory * factor), pids=min(pids, least_pids * factor))
        if search.passes(f"{(final.memory_bytes or 0) // 2**20} MiB and {final.pids} processes, all together", final):
            return final
    raise CheckFailed(
        f"{search.subject.variant.name}: what passed one by one does not pass together: {search.last.problem}",
        hint="the checks may depend on time; run it again on a quiet machine",
    )


def _least(enough: int, floor: int, passes: Callable[[int], bool]) -> int:
    """The least that passes, to a quarter: halve until it fails, then try what lies between, twice. ``enough`` is known to pass."""
    while enough // 2 >= floor and passes(enough // 2):
        enough //= 2
    too_little = enough // 2
    for _ in range(2):
        between = (too_little + enough) // 2
        if not max(floor, too_little + 1) <= between < enough:
            break
        if passes(between):
            enough = between
        else:
            too_little = between
    return enough
