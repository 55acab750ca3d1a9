"""Records of a seccomp profile search: each system call, why it is allowed, and how sure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, Literal

from deadweight.engine.seccomp.profile import family
from deadweight_attacks import walls
from deadweight_attacks.seccomp.floor import document
from deadweight_attacks.walls import wording

# What a search for a seccomp profile found, in lines for a terminal.
MOST_NAMED = 12


def lines(seccomp: Seccomp) -> list[str]:
    """The figures, which check needs which call, how sure it is, and what it stops."""
    kernel = f" of the {seccomp.kernel_has} that the kernel has" if seccomp.kernel_has else ""
    engine = wording("seccomp.engine_allows", calls=seccomp.engine_allows) if seccomp.engine_allows else ""
    families = ", ".join(family(number) for number in seccomp.families) or "none"
    sure = ", ".join(f"{len(names)} {way}" for way, names in _ways(seccomp).items() if names)
    texts = [
        wording("seccomp.allowed", calls=len(seccomp.calls), kernel=kernel, engine=engine, families=families),
        f"seccomp: {seccomp.architecture}, Linux {seccomp.kernel}, {seccomp.runtime}, libc: {seccomp.libc}",
        f"seccomp: {sure} (of {seccomp.runs} recordings)",
    ]
    if seccomp.left_out:
        texts.append(f"seccomp: recorded, but no check needs them: {_named(seccomp.left_out)}")
    texts += [wording("seccomp.only_one", check=check, calls=_named(names)) for check, names in seccomp.alone().items()]
    return texts + [f"seccomp: {line}" for line in stopped(seccomp.stopped)]


def stopped(attacks: Stopped) -> list[str]:
    """Of attacks that were really made, under either profile."""
    if not attacks.tried:
        return [wording("seccomp.attacks_not_measured", reason=attacks.unmeasured)] if attacks.unmeasured else []

    def compared(tight: str, engines: str) -> dict[str, object]:
        ours, theirs = (len(attacks.by_posture.get(posture, ())) for posture in (tight, engines))
        more = ", ".join(attacks.more(tight, engines)) or "none"
        return {"ours": ours, "tried": attacks.tried, "theirs": theirs, "more": more}

    return [
        wording("seccomp.stops_alone", **compared(walls.only(walls.TIGHT).name, walls.only("seccomp").name)),
        wording("seccomp.stops_with_others", **compared(walls.TIGHT, walls.HARDENED.name)),
    ]


def _ways(seccomp: Seccomp) -> dict[str, tuple[str, ...]]:
    sure = seccomp.sure()
    return {"seen in every run": sure["every run"], "seen in some runs": sure["some runs"],
            "only for the runtime": sure["runtime only"]}  # fmt: skip


def _named(names: tuple[str, ...]) -> str:
    more = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


Reason = Literal["needed", "held", "runtime", "unseen"]


@dataclass(frozen=True)
class Call:
    """One system call of a profile.

    ``why``: ``needed`` (without it a check fails: ``without`` is what then went wrong), ``held`` (seen, and of those that a
    scheduler or allocator makes or not, as the load wants it: not tried away), ``runtime`` (what starts containers needs it,
    whether or not the service makes it), ``unseen`` (no recording has it, and yet it does not work without). ``seen`` is in how
    many recordings it was, ``phases`` are the parts of a trial in which it was made.
    """

    name: str
    why: Reason
    seen: int = 0
    phases: tuple[str, ...] = ()
    without: str = ""


@dataclass(frozen=True)
class Stopped:
    """What attacks came to, by posture: the ids of those that were stopped, of ``tried`` ones; as in the report, without those on
    what is only there if it is handed in. ``unmeasured`` says why not."""

    tried: int = 0
    by_posture: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    unmeasured: str = ""

    def more(self, tight: str, engines: str) -> tuple[str, ...]:
        """What the first posture stops and the second does not."""
        theirs = self.by_posture.get(engines, ())
        return tuple(attack for attack in self.by_posture.get(tight, ()) if attack not in theirs)


@dataclass(frozen=True)
class Seccomp:
    """A profile, and under which circumstances it was found: another architecture, libc, kernel or runtime may need other calls.

    ``families`` are those of sockets, by number. ``left_out`` were seen, and nothing fails without them. ``kernel_has`` and
    ``engine_allows`` count system calls; None where that could not be told. ``runs`` are recordings, ``trials`` containers that
    were started under a profile, the last ``proofs`` of them with this very one. ``attacker`` are calls that the attacker's own
    program cannot do without. ``asks`` are a program of the image's and its words, which tell inside the container under this
    profile whether the service is healthy.
    """

    architecture: str
    kernel: str
    linker: str
    runtime: str
    calls: tuple[Call, ...]
    families: tuple[int, ...]
    left_out: tuple[str, ...]
    runs: int
    trials: int
    proofs: int
    attacker: tuple[str, ...] = ()
    engine_allows: int | None = None
    kernel_has: int | None = None
    stopped: Stopped = field(default_factory=Stopped)
    asks: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(call.name for call in self.calls)

    @property
    def libc(self) -> str:
        """By the name of what links programs: there is no other mark that every image has."""
        name = PurePosixPath(self.linker).name
        if not name:
            return "none (a static program)"
        kind = "musl" if "musl" in name else "glibc" if name.startswith(("ld-linux", "ld64")) else "an unknown libc"
        return f"{kind} ({name})"

    def profile(self) -> dict[str, Any]:
        return document(self.names, self.families, self.architecture)

    def profile_to_attack(self) -> dict[str, Any]:
        """The same with what the attacker's own program needs to run at all: what gets through may owe it to these."""
        return document({*self.names, *self.attacker}, self.families, self.architecture)

    def alone(self) -> dict[str, tuple[str, ...]]:
        """Calls that only one check makes, by that check."""
        by_check: dict[str, tuple[str, ...]] = {}
        for call in self.calls:
            if len(call.phases) == 1:
                by_check[call.phases[0]] = (*by_check.get(call.phases[0], ()), call.name)
        return by_check

    def sure(self) -> dict[str, tuple[str, ...]]:
        """The names by how sure it is that they are needed: seen in every recording, in some, or only for the runtime."""

        def named(some: Iterable[Call]) -> tuple[str, ...]:
            return tuple(call.name for call in some)

        return {
            "every run": named(call for call in self.calls if call.seen == self.runs),
            "some runs": named(call for call in self.calls if 0 < call.seen < self.runs),
            "runtime only": named(call for call in self.calls if call.seen == 0),
        }

    def document(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "architecture": self.architecture,
            "kernel": self.kernel,
            "libc": self.libc,
            "runtime": self.runtime,
            "allowed": len(self.calls),
            "engine_allows": self.engine_allows,
            "kernel_has": self.kernel_has,
            "socket_families": [family(number) for number in self.families],
            "calls": [
                {"name": call.name, "why": call.why, "seen_in_runs": call.seen, "phases": list(call.phases),
                 "without_it": call.without or None}
                for call in self.calls
            ],
            "left_out": list(self.left_out),
            "confidence": {way: list(names) for way, names in self.sure().items()},
            "only_one_check": {check: list(names) for check, names in self.alone().items()},
            "runs": self.runs,
            "trials": self.trials,
            "proofs": self.proofs,
            "attacks": {
                "tried": self.stopped.tried,
                "stopped": {posture: list(ids) for posture, ids in self.stopped.by_posture.items()},
                "not_measured": self.stopped.unmeasured or None,
            },
            "profile": self.profile(),
        }  # fmt: skip
