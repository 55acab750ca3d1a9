"""What a search found: the tightest posture, and the seccomp profile."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from deadweight.checks.service import posture
from deadweight.engine.options import RunOptions
from deadweight.engine.seccomp import refused_calls
from deadweight.suite.model import Variant
from deadweight_attacks.harden.trial import OUTGOING
from deadweight_attacks.machine import MEMORY, PROCESSES
from deadweight_attacks.seccomp.model import Seccomp

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

    def fields(self) -> dict[str, Any]:
        """These fields alone, whatever a subclass adds."""
        return {each.name: getattr(self, each.name) for each in fields(Tightest)}


@dataclass(frozen=True, kw_only=True)
class Found(Tightest):
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
    def asked_inside(self) -> tuple[str, ...]:
        """What tells inside the container, under the profile that stands beside what is written, whether the service is healthy."""
        return self.seccomp.asks if self.seccomp else self.asks

    @property
    def refuses_own_check(self) -> bool:
        """Whether the image's own health check would call every container unhealthy, and no other can stand in for it."""
        return self.own_check and not self.asked_inside

    @property
    def outgoing(self) -> bool:
        """Whether it needs a network that leads further than to those who ask it."""
        return self.options.network == OUTGOING

    @classmethod
    def of(cls, known: Tightest, subject: Subject) -> Found:
        """Raises MissingError where another variant that it needs is not built."""
        variant, image = subject.variant, subject.engine_image()
        others = {name: subject.need_image(name) for name, need in variant.run.needs.items() if need.variant}
        ours = (image, *others.values()) if subject.engine().info.podman else ()
        return cls(
            **known.fields(), variant=variant, suite=subject.suite.name, image=image, need_images=others,
            in_podman={each: _in_podman(subject.engine(), each) for each in ours},
        )  # fmt: skip

    def document(self) -> dict[str, Any]:
        """For ``--json``: the posture, and each trial with what came of it."""
        found = {**posture(self.options), "user": self.options.user, "network": "any" if self.outgoing else "internal"}
        found["published_on"] = found["published_on"] if self.outgoing else None
        found["memory_headroom"] = None if MEMORY in self.unheld else self.headroom
        found["pids_headroom"] = None if PROCESSES in self.unheld else self.headroom
        tried = [{"tried": what, "problem": problem or None} for what, problem in self.tried]
        return {
            "variant": self.variant.name,
            "image": self.image,
            "posture": found,
            "requests": len(self.variant.checks.api),
            "checks_not_tried": list(self.variant.checks.other),
            "limits_not_tried": list(self.unheld),
            "tried": tried,
            "seccomp": self.seccomp.document() if self.seccomp else None,
            "no_seccomp": self.no_seccomp or None,
        }


def _in_podman(engine: Engine, reference: str) -> str:
    """Podman puts a registry before a name that has none: which one depends on how it got the image."""
    tags = engine.images.need(reference).tags
    return next((each for each in tags if each.endswith(f"/{reference}")), reference)
