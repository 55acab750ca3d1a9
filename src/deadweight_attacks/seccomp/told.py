"""What a search for a seccomp profile found, in lines for a terminal."""

from __future__ import annotations

from deadweight.engine.seccomp.calls import family
from deadweight_attacks import walls
from deadweight_attacks.seccomp.model import Seccomp, Stopped

MOST_NAMED = 12


def lines(found: Seccomp) -> list[str]:
    """The figures, which check needs which call, how sure it is, and what it stops."""
    kernel = f" of the {found.kernel_has} that the kernel has" if found.kernel_has else ""
    engine = f"; the engine's own profile allows {found.engine_allows}" if found.engine_allows else ""
    families = ", ".join(family(each) for each in found.families) or "none"
    sure = ", ".join(f"{len(names)} {way}" for way, names in _ways(found).items() if names)
    said = [
        f"seccomp: {len(found.calls)} system calls allowed{kernel}{engine}; sockets: {families}",
        f"seccomp: {found.architecture}, Linux {found.kernel}, {found.runtime}, libc: {found.libc}",
        f"seccomp: {sure} (of {found.runs} recordings)",
    ]
    if found.left_out:
        said.append(f"seccomp: recorded, but no check needs them: {_named(found.left_out)}")
    said += [f"seccomp: only {check!r} needs {_named(names)}" for check, names in found.alone().items()]
    return said + [f"seccomp: {line}" for line in stopped(found.stopped)]


def stopped(found: Stopped) -> list[str]:
    """Of attacks that were really made, under either profile."""
    if not found.tried:
        return [f"attacks with this profile were not measured: {found.unmeasured}"] if found.unmeasured else []
    told = []
    for tight, engines, where in (
        (walls.only(walls.TIGHT).name, walls.only("seccomp").name, "as the only protection"),
        (walls.TIGHT, walls.HARDENED.name, "with all other protections"),
    ):
        ours, theirs = (len(found.by_posture.get(each, ())) for each in (tight, engines))
        more = found.more(tight, engines)
        beyond = f"; only this one stops {', '.join(more)}" if more else ""
        told.append(f"{where}, it stops {ours} of {found.tried} attacks, the engine's profile {theirs}{beyond}")
    return told


def _ways(found: Seccomp) -> dict[str, tuple[str, ...]]:
    sure = found.sure()
    return {"seen in every run": sure["every run"], "seen in some runs": sure["some runs"],
            "only for the runtime": sure["runtime only"]}  # fmt: skip


def _named(names: tuple[str, ...]) -> str:
    more = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
