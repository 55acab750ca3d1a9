"""Records of a seccomp profile search: each system call, why it is allowed, and how sure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import Any, Literal

from deadweight.engine.seccomp.profile import FAMILIES, family
from deadweight_attacks import walls
from deadweight_attacks.seccomp.floor import document
from deadweight_attacks.walls import wording

# What a search for a seccomp profile found, in lines for a terminal.
SOCKET = "socket "


def lines(seccomp: Seccomp) -> list[str]:
    """The figures, how sure it is, and what it stops."""
    kernel = f" of the {seccomp.kernel_has} that the kernel has" if seccomp.kernel_has else ""
    engine = wording("seccomp.engine_allows", calls=seccomp.engine_allows) if seccomp.engine_allows else ""
    families = ", ".join(family(number) for number in seccomp.families) or "none"
    sure = ", ".join(f"{way}: {len(names)}" for way, names in seccomp.sure().items() if names)
    texts = [
        wording("seccomp.allowed", calls=len(seccomp.calls), kernel=kernel, engine=engine, families=families),
        f"seccomp: {seccomp.architecture}, Linux {seccomp.kernel}, {seccomp.runtime}, libc: {seccomp.libc}",
        f"seccomp: {sure} (of {seccomp.runs} recordings)",
    ]
    left_out = [f"recorded, but no check needs them: {', '.join(seccomp.left_out)}"] if seccomp.left_out else []
    return texts + [f"seccomp: {line}" for line in (*left_out, *stopped(seccomp.stopped))]


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


Reason = Literal["recorded", "everyday", "runtime", "unseen", "judged"]


@dataclass(frozen=True)
class Call:
    """One system call of a profile.

    ``why``: ``recorded``, ``everyday`` (no attack gains by it, so it is allowed whether or not it was recorded), ``runtime`` (what
    starts containers needs it, whether or not the service makes it), ``unseen`` (no recording has it, and yet it does not work
    without), ``judged`` (a held-out request needs it). ``seen`` is in how many recordings it was, ``phases`` are the parts of a
    trial in which it was made.
    """

    name: str
    why: Reason
    seen: int = 0
    phases: tuple[str, ...] = ()


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

    ``families`` are those of sockets, by number. ``left_out`` were seen, attacks are made of them, and nothing fails without them.
    ``kernel_has`` and
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

    def allowing(self, more: Iterable[str]) -> Seccomp:
        """With more calls; ``socket AF_UNIX`` is a family of sockets."""
        names = tuple(name for name in more if not name.startswith(SOCKET))
        families = {number for number in FAMILIES if f"{SOCKET}{family(number)}" in more}
        names = (*names, *(("socket",) if families and "socket" not in self.names else ()))
        calls = sorted((*self.calls, *(Call(name, "judged") for name in names)), key=lambda call: call.name)
        return replace(self, calls=tuple(calls), families=tuple(sorted({*self.families, *families})))

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

    def sure(self) -> dict[str, tuple[str, ...]]:
        """The names by how sure it is that they are needed: seen in every recording, in some, or never."""

        def named(some: Iterable[Call]) -> tuple[str, ...]:
            return tuple(call.name for call in some)

        return {
            "every run": named(call for call in self.calls if call.seen == self.runs),
            "some runs": named(call for call in self.calls if 0 < call.seen < self.runs),
            "everyday": named(call for call in self.calls if call.why == "everyday"),
            "judged": named(call for call in self.calls if call.why == "judged"),
            "runtime only": named(call for call in self.calls if call.why in ("runtime", "unseen") and not call.seen),
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
                {"name": call.name, "why": call.why, "seen_in_runs": call.seen, "phases": list(call.phases)}
                for call in self.calls
            ],
            "left_out": list(self.left_out),
            "confidence": {way: list(names) for way, names in self.sure().items()},
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
