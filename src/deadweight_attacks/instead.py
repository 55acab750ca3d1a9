"""What is read through a hole where an image has no ``/etc/passwd``: a file that the kernel puts into every container."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from deadweight_attacks.model import KERNELS, Payload

if TYPE_CHECKING:
    from deadweight_attacks.lab import Lab
    from deadweight_attacks.load import Catalogue

USUAL = "/etc/passwd"
NOTE = f"the image has no {USUAL} with a line to know it by: requests that look for a way to it looked for {KERNELS}"


def instead(lab: Lab, catalogue: Catalogue) -> Catalogue:
    """The same attacks; those that look for a hole to the one file go for the other where the image lacks it, which is noted."""
    looking = [each.id for each in catalogue.payloads if each.search and each.evidence.path == USUAL]
    if not looking or lab.files.telling_line(USUAL) is not None:
        return catalogue
    lab.notes["canary"] = NOTE
    payloads = tuple(_other(each) if each.id in looking else each for each in catalogue.payloads)
    return dataclasses.replace(catalogue, payloads=payloads)


def _other(payload: Payload) -> Payload:
    """The file's name stands in its values, as it is or percent-encoded."""
    values = tuple(each.replace(USUAL, KERNELS).replace("etc%2fpasswd", "proc%2fversion") for each in payload.each)
    evidence = payload.evidence.model_copy(update={"path": KERNELS})
    return payload.model_copy(update={"each": values, "evidence": evidence})
