"""An attack, ready to be sent: its word, and what stands for the places in its text."""

from __future__ import annotations

from dataclasses import dataclass

from deadweight._errors import DeadweightError
from deadweight_attacks import far
from deadweight_attacks.lab import Lab
from deadweight_attacks.limits import not_held
from deadweight_attacks.listeners import Word
from deadweight_attacks.model import Payload
from deadweight_attacks.planted import random_name


@dataclass(frozen=True)
class Filled:
    """An attack, ready to be sent: its word, and what stands for the places in its text."""

    payload: Payload
    word: Word
    places: dict[str, str]


def fill(lab: Lab, payload: Payload, port: int) -> Filled:
    """Choose a word and a file name for one attack.

    Raises DeadweightError for an attack on resources where the engine would not hold it within bounds, or where the bound hides
    what it takes: it is never sent.
    """
    if payload.resource and payload.evidence.takes != "disk" and lab.unenforced:  # what is written has its own bounds
        raise DeadweightError(not_held(lab.unenforced))
    if payload.evidence.of == "memory" and lab.ground.too_much:
        raise DeadweightError(lab.ground.too_much)
    if payload.evidence.where == "metadata" and lab.metadata is None:
        raise DeadweightError(lab.notes["metadata"])
    if lab.far and (why := far.untold(payload, lab.reach)):
        raise DeadweightError(why)
    word = Word(random_name(), random_name())
    places = {
        "a": word.a,
        "b": word.b,
        "host": lab.attacker.host,
        "port": str(port),
        "file": f"dw{random_name()}",
        "app": lab.app_folder,
        "hostfile": lab.host.file,
        "disk": str(lab.ground.disk_bytes),
        "memory": str(lab.ground.memory_bytes * 13 // 10 // 2**20),
    }
    return Filled(payload, word, places)
