"""Generate a suite from an unknown repository (``deadweight init``), and test what it says.

tree, repository/ → services → draft (derive/, languages/)     what is read, and the ways to build it
prove/ (build, watch, remedies, verify) → write/               what was seen, and what is written

Public names are imported on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from deadweight_images import public

if TYPE_CHECKING:
    from deadweight_init.command import Options, Outcome, init as bring_in
    from deadweight_init.drift import drift as drifted
    from deadweight_init.introduction import look
    from deadweight_init.prove.proof import Tools
    from deadweight_init.services import find_services
    from deadweight_init.tree import read_tree

if not TYPE_CHECKING:
    __getattr__ = public(__name__)
