"""Reads payload files: ours, which is part of the package, and those that a suite names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from deadweight.checks.attacks.model import Payload, PayloadFile, check_places, places_in
from deadweight.suite.load import validated
from deadweight.suite.yaml_nodes import Document, read

OURS = Path(__file__).with_name("attacks.yaml")


@dataclass(frozen=True)
class Catalogue:
    """The attacks in the order of their files, and the features that they may need."""

    payloads: tuple[Payload, ...]
    features: dict[str, str]


def load_payloads(files: Sequence[Path] = ()) -> Catalogue:
    """Ours, then those of the given files. A payload of the same id replaces an earlier file's.

    Raises ConfigError with file, line and key for anything that is not sound.
    """
    payloads: dict[str, Payload] = {}
    features: dict[str, str] = {}
    for file in (OURS, *files):
        document = read(file)
        found = validated(document, PayloadFile, document.value, lambda location: location)
        features |= found.features
        _check(document, found, features)
        payloads |= {payload.id: payload for payload in found.payloads}
    return Catalogue(tuple(payloads.values()), features)


def _check(document: Document, found: PayloadFile, features: dict[str, str]) -> None:
    for name, script in found.features.items():
        try:
            check_places(script, ("a", "b"))
        except ValueError as error:
            raise document.error(("features", name), f"expected {error}") from error
        if places_in(script) != {"a", "b"}:
            raise document.error(
                ("features", name), "expected @a@ and @b@ in it: it prints both where this AWK has the feature"
            )
    seen: dict[str, int] = {}
    for index, payload in enumerate(found.payloads):
        if payload.id in seen:
            first = document.line(("payloads", seen[payload.id], "id"))
            raise document.error(("payloads", index, "id"), f"duplicate of line {first}")
        seen[payload.id] = index
        if payload.lacks():
            lacking = " and ".join(payload.lacks())
            message = f"kind {payload.evidence.kind} can never come: what is sent has no {lacking}"
            hint = "@a@ and @b@ are the halves of the word that proves it; the head of our attacks.yaml tells of the others"
            raise document.error(("payloads", index, "evidence"), message, hint=hint)
        for number, name in enumerate(payload.needs):
            if name not in features:
                hint = f"features: {', '.join(features)}"
                raise document.error(("payloads", index, "needs", number), f"no feature {name!r}", hint=hint)
