"""Records and report lines of the settings that harden found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any

from deadweight.checks.service import posture
from deadweight.engine.options import RunOptions
from deadweight.engine.seccomp import refused_calls
from deadweight.suite.model import Variant
from deadweight_attacks.harden.judge import Broken
from deadweight_attacks.harden.trial import OUTGOING
from deadweight_attacks.machine import MEMORY, PROCESSES, listed
from deadweight_attacks.seccomp.model import Seccomp
from deadweight_attacks.walls import wording
from deadweight_workload.asking import CROWD
from deadweight_workload.model import Ledger, wording as asking_more

if TYPE_CHECKING:
    from deadweight.checks.protocol import Subject
    from deadweight.engine.client import Engine


@dataclass(frozen=True)
class Tightest:
    """The tightest options found: those of the last trial, with ``headroom`` times the least memory and processes that worked.

    ``options.user`` is uid:gid, and ``options.network`` is ``bridge`` where the service needs a way out; else it ran on an internal
    network with the options ``cut_off``.
    ``seccomp`` is the profile of its own, if one was searched for and found; ``no_seccomp`` why there can be none.
    ``asks`` are a program of the image's and its words, which tell inside the container whether the service is healthy.
    ``own_check``: whether the image has a health check of its own, which an engine runs where it is not told otherwise.
    ``need_asks`` are the same of each container that it needs, by its name; empty where nothing in it tells. ``need_stand_ins``
    are those of them that are of local stand-ins.
    ``at_once`` are the requests that it also withstood eight at a time, of ``requests`` in all; ``brief`` are some of them, for
    what is tried many times.
    ``ledger`` counts the operations that it was learned from and judged on, ``broken`` are those that broke when it was judged,
    each with what was given back for it.
    ``unheld`` are the limits that the engine takes and discards: of those, the suite's own are granted, and none was tried.
    """

    options: RunOptions
    cut_off: Mapping[str, str]
    headroom: int
    tried: tuple[tuple[str, str], ...]
    seccomp: Seccomp | None = None
    no_seccomp: str = ""
    asks: tuple[str, ...] = ()
    unheld: tuple[str, ...] = ()
    own_check: bool = False
    need_asks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    need_stand_ins: tuple[str, ...] = ()
    at_once: tuple[str, ...] = ()
    brief: tuple[str, ...] = ()
    requests: int = 0
    ledger: Ledger = field(default_factory=lambda: Ledger(0, 0))
    broken: tuple[Broken, ...] = ()

    def fields(self) -> dict[str, Any]:
        """These fields alone, whatever a subclass adds."""
        return {entry.name: getattr(self, entry.name) for entry in fields(Tightest)}


@dataclass(frozen=True, kw_only=True)
class Hardened(Tightest):
    """What was found for a variant. ``suite`` is the suite's name, ``image`` the reference that ran; ``need_images`` are those of
    the other variants that it needs, by the names of the needs. ``in_podman`` are the names that Podman gives these references,
    where it is the engine."""

    variant: Variant
    suite: str
    image: str
    need_images: Mapping[str, str] = field(default_factory=dict)
    in_podman: Mapping[str, str] = field(default_factory=dict)

    @property
    def profiled(self) -> bool:
        """Whether a seccomp profile stands beside what is written: the one that was found, or the suite's own."""
        return self.seccomp is not None or refused_calls.is_file(self.options.seccomp)

    @property
    def health_command(self) -> tuple[str, ...]:
        """What tells inside the container, under the profile that stands beside what is written, whether the service is healthy."""
        return self.seccomp.asks if self.seccomp else self.asks

    @property
    def refuses_own_check(self) -> bool:
        """Whether the image's own health check would call every container unhealthy, and no other can stand in for it."""
        return self.own_check and not self.health_command

    @property
    def outgoing(self) -> bool:
        """Whether it needs a network that leads further than to those who ask it."""
        return self.options.network == OUTGOING

    @classmethod
    def of(cls, known: Tightest, subject: Subject) -> Hardened:
        """Raises MissingError where another variant that it needs is not built."""
        variant, image = subject.variant, subject.engine_image()
        others = {name: subject.need_image(name) for name, need in variant.run.needs.items() if need.variant}
        ours = (image, *others.values()) if subject.engine().info.podman else ()
        return cls(
            **known.fields(), variant=variant, suite=subject.suite.name, image=image, need_images=others,
            in_podman={reference: _in_podman(subject.engine(), reference) for reference in ours},
        )  # fmt: skip

    def notes(self) -> list[str]:
        """What a reader must know, whatever the format."""
        variant, count = self.variant, self.requests
        requests = f"{count} request{'' if count == 1 else 's'}"
        asked = f"its start, its end and {requests}" if count else "its start and its stop, no requests"
        lines = [
            f"{variant.name}: the tightest posture under which {asked} still work, found by {len(self.tried)} trials.",
            *_limits(self),
            *_seccomp(self),
            *self.warnings(),
        ]
        if variant.run.needs:
            needs = ", ".join(f"{name} ({need.image or need.variant})" for name, need in variant.run.needs.items())
            lines.append(f"It needs these services, reachable by these names: {needs}.")
        if variant.run.files:
            paths = ", ".join(f"{target} ({path})" for target, path in variant.run.files.items())
            lines.append(f"It reads files that are not in the image, but in your repository: {paths}.")
        if variant.checks.runs.if_killed == "warn":
            lines.append(
                "The suite accepts that it has to be killed (runs.if_killed: warn). Where only the first process ignores SIGTERM, "
                "docker run --init, or init: true in Compose, lets it end at once."
            )
        if variant.checks.other:
            lines.append(f"Not tried: checks of plug-ins ({', '.join(variant.checks.other)}).")
        return lines

    def warnings(self) -> list[str]:
        """How much was asked, what broke when it was judged, and what was not tried at once."""
        apart = [item.name for item in self.variant.checks.api if item.name not in self.at_once]
        lines = [str(self.ledger) if self.ledger.judged else f"{self.ledger}; {asking_more('ledger.add')}"]
        if self.broken:
            broken, added = len({entry.operation for entry in self.broken}), "; ".join(map(str, self.broken))
            lines.append(wording("harden.broke", broken=broken, judged=self.ledger.judged, added=added))
        if apart:
            lines.append(f"Not sent {CROWD} at once, as they change data or fail so anyway: {', '.join(apart)}.")
        return lines

    def document(self) -> dict[str, Any]:
        """For ``--json``: the posture, and each trial with what came of it."""
        walls = {**posture(self.options), "user": self.options.user, "network": "any" if self.outgoing else "internal"}
        walls["seccomp"] = "found" if self.seccomp else walls["seccomp"]
        walls["published_on"] = walls["published_on"] if self.outgoing else None
        walls["memory_headroom"] = None if MEMORY in self.unheld else self.headroom
        walls["pids_headroom"] = None if PROCESSES in self.unheld else self.headroom
        tried = [{"tried": what, "problem": problem or None} for what, problem in self.tried]
        return {
            "variant": self.variant.name,
            "image": self.image,
            "posture": walls,
            "requests": self.requests,
            "ledger": self.ledger.document(),
            "broken": [asdict(entry) for entry in self.broken],
            "sent_at_once": list(self.at_once),
            "notes": self.notes(),
            "checks_not_tried": list(self.variant.checks.other),
            "limits_not_tried": list(self.unheld),
            "tried": tried,
            "seccomp": self.seccomp.document() if self.seccomp else None,
            "no_seccomp": self.no_seccomp or None,
        }


def _in_podman(engine: Engine, reference: str) -> str:
    """Podman puts a registry before a name that has none: which one depends on how it got the image."""
    tags = engine.images.need(reference).tags
    return next((tag for tag in tags if tag.endswith(f"/{reference}")), reference)


def _limits(result: Hardened) -> list[str]:
    """How memory and processes were found, and what was not tried of limits."""
    tried = [limit for limit in (MEMORY, PROCESSES) if limit not in result.unheld]
    least = f"{result.headroom} times the least that worked, and room for eight requests at once, up to what the suite allows."
    lines = [f"{' and '.join(tried).capitalize()}: {least}"] if tried else []
    if result.unheld:
        lines.append(wording("harden.limits_not_tried", limits=listed(result.unheld)))
    return lines


def _seccomp(result: Hardened) -> list[str]:
    got = result.seccomp
    if got is None:
        return [f"The engine's own seccomp profile is used: {result.no_seccomp}."] if result.no_seccomp else []
    theirs = f"; the engine's own profile allows {got.engine_allows}" if got.engine_allows else ""
    has = f" of the kernel's {got.kernel_has}" if got.kernel_has else ""
    where = f"{got.architecture}, Linux {got.kernel}, {got.runtime}, libc: {got.libc}"
    return [
        f"Its seccomp profile allows {len(got.calls)}{has} system calls{theirs}.",
        f"It was found by {got.trials} trials, the last {got.proofs} with exactly this profile, for {where}.",
        "Search again on another kernel, runtime or libc.",
    ]
