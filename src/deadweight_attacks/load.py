"""Load attack payloads from YAML: our own packs and the files that a suite names, checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from deadweight._errors import ConfigError
from deadweight.suite.checks import AttacksCheck
from deadweight.suite.explain import validated
from deadweight.suite.yaml_nodes import Document, read
from deadweight_attacks.model import Payload, PayloadFile, check_places, places_in
from deadweight_attacks.request import EXAMPLE, examples, holds

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
    payloads: dict[str, Payload] = {}
    features: dict[str, str] = {}
    origins: dict[str, tuple[Document, int]] = {}
    ours = {PACKS[name]: name for name in packs}
    pack_of: dict[str, str] = {}
    for file in (*ours, *files):
        document = read(file)
        found = validated(document, PayloadFile, document.value, lambda location: location)
        features |= found.features
        _check_features(document, found)
        _check_ids(document, found)
        for number, payload in enumerate(found.payloads):
            _check(document, number, payload, features)
            if payload.way == "script" and not awk:
                hint = (
                    "set checks.attacks.awk: {path: …} in deadweight.yaml; payloads with request or breach need no AWK"
                )
                raise document.error(
                    ("payloads", number), "the suite does not say how an AWK script reaches the service", hint=hint
                )
            payloads[payload.id], origins[payload.id] = payload, (document, number)
            pack_of[payload.id] = ours.get(file, "")
    return Catalogue(tuple(payloads.values()), features, origins, pack_of)


def pack_ids(pack: str) -> frozenset[str]:
    """The ids of the attacks of one of our packs."""
    return frozenset(entry["id"] for entry in read(PACKS[pack]).value["payloads"])


def suite_payloads(wanted: AttacksCheck, root: Path) -> Catalogue:
    """The attacks that a suite asks for; ``root`` is its folder. Raises ConfigError as ``load_payloads`` does."""
    return load_payloads([root / file for file in wanted.payload_files], wanted.chosen_packs, wanted.awk is not None)


def _check_features(document: Document, found: PayloadFile) -> None:
    for name, script in found.features.items():
        try:
            check_places(script, ("a", "b"))
        except ValueError as error:
            raise document.error(("features", name), f"expected {error}") from error
        if places_in(script) != {"a", "b"} or "@a@@b@" in script or "@b@@a@" in script:
            raise document.error(
                ("features", name),
                "expected @a@ and @b@ in it, separately: it prints @a@@b@ where this AWK has the feature, else @b@@a@",
            )


def _check_ids(document: Document, found: PayloadFile) -> None:
    seen: dict[str, int] = {}
    for number, payload in enumerate(found.payloads):
        if payload.id in seen:
            first = document.line(("payloads", seen[payload.id], "id"))
            raise document.error(("payloads", number, "id"), f"duplicate of line {first}")
        seen[payload.id] = number


def _check(document: Document, number: int, payload: Payload, features: Mapping[str, str]) -> None:
    """What no record tells by itself."""
    place = ("payloads", number)
    for key in payload.idle():
        message = "remove it: with request or breach it would never be sent"
        if key == "parallel":
            message = "allowed only with kind: resource, and not with breach"
        raise document.error((*place, key), message)
    if payload.lacks():
        lacking = " and ".join(payload.lacks())
        message = f"kind {payload.evidence.kind} is impossible: the payload does not contain {lacking}"
        hint = "@a@ and @b@ are the halves of the word that proves the attack; docs/reference/attacks.md lists the other places"
        raise document.error((*place, "evidence"), message, hint=hint)
    for index, name in enumerate(payload.needs):
        if name not in features:
            hint = f"features: {', '.join(features)}"
            raise document.error((*place, "needs", index), f"no feature {name!r}", hint=hint)
    if _echoes(payload):
        message = (
            "the payload contains @a@ next to @b@, so an echo of the request would look like success; separate them"
        )
        raise document.error(place, message)


def _echoes(payload: Payload) -> bool:
    """Whether a request holds the whole word once its places are filled, each value put in and repeated parts repeated."""
    request = payload.request
    if request is not None and request.body_file is not None:  # a file has no places
        payload = payload.model_copy(
            update={"request": request.model_copy(update={"body_file": None, "repeat_body": 1})}
        )
    return any(holds(sent, [EXAMPLE["a"] + EXAMPLE["b"]]) for sent in examples(payload, Path()))
