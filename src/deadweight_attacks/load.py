"""Load attack payloads from YAML: our own packs and the files that a suite names, checked."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from deadweight._errors import ConfigError, UsageError
from deadweight.suite.checks import AttacksCheck
from deadweight.suite.explain import validated
from deadweight.suite.load import place_in
from deadweight.suite.yaml_nodes import Document, read
from deadweight_attacks import walls
from deadweight_attacks.awk import AwkRequest
from deadweight_attacks.walls import ALL, wording

if TYPE_CHECKING:
    from deadweight.suite.model import Suite, Variant
    from deadweight_attacks.model import Payload, PayloadFile

PACKS: dict[str, Path] = {name: Path(__file__).with_name(f"{name}.yaml") for name in ("awk", "http", "breach")}
"""Our own attacks, by pack."""


@dataclass(frozen=True)
class Catalogue:
    """The attacks in the order of their files, and the features that they may need. ``origins``: file and number of each."""

    payloads: tuple[Payload, ...]
    features: dict[str, str]
    origins: Mapping[str, tuple[Document, int]] = field(default_factory=dict)
    packs: Mapping[str, str] = field(default_factory=dict)
    """Of which of our packs each is; nothing where it is the suite's own."""

    def error(self, payload: Payload, message: str) -> ConfigError:
        """An error that names the payload's place."""
        document, number = self.origins[payload.id]
        return document.error(("payloads", number), message)


def load_payloads(files: Sequence[Path] = (), packs: Sequence[str] = tuple(PACKS), awk: bool = True) -> Catalogue:
    """Ours, then those of the given files. A payload of the same id replaces an earlier file's. ``awk``: whether the suite says how
    a script reaches the service.

    Raises ConfigError with file, line and key for anything that is not sound.
    """
    from deadweight_attacks.model import PayloadFile

    payloads: dict[str, Payload] = {}
    features: dict[str, str] = {}
    origins: dict[str, tuple[Document, int]] = {}
    ours = {PACKS[name]: name for name in packs}
    pack_of: dict[str, str] = {}
    for file in (*ours, *files):
        document = read(file)
        content = validated(document, PayloadFile, document.value, lambda location: location)
        features |= content.features
        _check_features(document, content)
        _check_ids(document, content)
        for number, payload in enumerate(content.payloads):
            _check(document, number, payload, features)
            if payload.way == "script" and not awk:
                raise document.error(("payloads", number), wording("payload.no_awk"))
            payloads[payload.id], origins[payload.id] = payload, (document, number)
            pack_of[payload.id] = ours.get(file, "")
    return Catalogue(tuple(payloads.values()), features, origins, pack_of)


@cache
def pack_ids(pack: str) -> frozenset[str]:
    """The ids of the attacks of one of our packs, a line each: to read the whole takes longer than all else of a suite."""
    return frozenset(re.findall(r"^  - id: (\S+)$", PACKS[pack].read_text(encoding="utf-8"), re.MULTILINE))


def suite_payloads(wanted: AttacksCheck, root: Path) -> Catalogue:
    """The attacks that a suite asks for; ``root`` is its folder. Raises ConfigError as ``load_payloads`` does."""
    return load_payloads([root / file for file in wanted.payload_files], wanted.chosen_packs, wanted.awk is not None)


def check_gates(suite: Suite, variant: Variant, asked: AttacksCheck) -> None:
    """Refuse, before anything is started, a gate that names no posture or no attack of ours, or a wrong ``awk``.

    Raises ConfigError.

    Every task asks this, so our own packs are read for their ids alone.
    """
    if asked.awk is not None:
        document = Document(suite.file, None, suite.places)
        place_of = place_in(document, variant.places)
        validated(document, AwkRequest, asked.awk, lambda inner: place_of(("checks", "attacks", "awk", *inner)))
    if asked.payload_files:
        known = {payload.id for payload in suite_payloads(asked, suite.root).payloads}
    else:
        known = {name for pack in asked.chosen_packs for name in pack_ids(pack)}
    for number, gate in enumerate(asked.gates):
        place = ("checks", "attacks", "gates", number)
        try:
            walls.posture(gate.posture)
        except UsageError as error:
            hint = f"postures: {', '.join(walls.names())}"
            raise suite.error(variant, (*place, "posture"), error.message, hint=hint) from error
        for index, name in enumerate(gate.blocked):
            if name != ALL and name not in known:
                unknown = wording("gate.no_attack", name=name)
                raise suite.error(variant, (*place, "blocked", index), unknown, hint=_gate_hint(name, known))


def _gate_hint(name: str, known: Set[str]) -> str:
    """What to do about a name that is of a pack which the suite does not ask for, or of none."""
    pack = next((pack for pack in PACKS if name in pack_ids(pack)), None)
    if pack == "awk":
        also = f"; after a breach it is {f'breach-{name}'!r}" if f"breach-{name}" in known else ""
        return f"it is of the pack awk: say how a script reaches the service (checks.attacks.awk: {{path: …}}){also}"
    if pack is not None:
        return f"it is of the pack {pack}: add that to checks.attacks.packs"
    return f"attacks: {', '.join(sorted(known))}"


def _check_features(document: Document, content: PayloadFile) -> None:
    from deadweight_attacks.model import check_places, places_in

    for name, script in content.features.items():
        try:
            check_places(script, ("a", "b"))
        except ValueError as error:
            raise document.error(("features", name), wording("payload.expected", expected=str(error))) from error
        if places_in(script) != {"a", "b"} or "@a@@b@" in script or "@b@@a@" in script:
            raise document.error(("features", name), wording("payload.feature"))


def _check_ids(document: Document, content: PayloadFile) -> None:
    seen: dict[str, int] = {}
    for number, payload in enumerate(content.payloads):
        if payload.id in seen:
            first = document.line(("payloads", seen[payload.id], "id"))
            raise document.error(("payloads", number, "id"), wording("payload.duplicate", line=first))
        seen[payload.id] = number


def _check(document: Document, number: int, payload: Payload, features: Mapping[str, str]) -> None:
    """What no record tells by itself."""
    place = ("payloads", number)
    for key in payload.idle():
        raise document.error((*place, key), wording("payload.parallel" if key == "parallel" else "payload.never_sent"))
    if payload.lacks():
        lacking = wording("payload.lacks", kind=payload.evidence.kind, places=" and ".join(payload.lacks()))
        raise document.error((*place, "evidence"), lacking)
    for index, name in enumerate(payload.needs):
        if name not in features:
            unknown = wording("payload.no_feature", name=name, known=", ".join(features))
            raise document.error((*place, "needs", index), unknown)
    if _echoes(payload):
        raise document.error(place, wording("payload.echo"))


def _echoes(payload: Payload) -> bool:
    """Whether a request holds the whole word once its places are filled, each value put in and repeated parts repeated."""
    request = payload.request
    if request is not None and request.body_file is not None:  # a file has no places
        payload = payload.model_copy(
            update={"request": request.model_copy(update={"body_file": None, "repeat_body": 1})}
        )
    from deadweight_attacks.request import EXAMPLE, examples, holds  # with the laboratory, which gates do not need

    return any(holds(sent, [EXAMPLE["a"] + EXAMPLE["b"]]) for sent in examples(payload, Path()))
