"""Attack a running image and report which protection ("wall") stops each attack.

Attacks are data, outcomes need evidence, and walls are added and removed one by one. ``harden`` finds the tightest way to run
an image. Public names load on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from deadweight_images import public

if TYPE_CHECKING:
    from deadweight_attacks.check import Attacks, attack_all
    from deadweight_attacks.harden.culprit import culprits
    from deadweight_attacks.harden.explain import explain
    from deadweight_attacks.harden.result import Hardened
    from deadweight_attacks.harden.search import find_posture
    from deadweight_attacks.harden.write import (
        FORMATS as HARDEN_FORMATS,
        files as harden_files,
        notes as harden_notes,
        render as harden_text,
    )
    from deadweight_attacks.harden.write.model import Request as HardenRequest
    from deadweight_attacks.helper import SOURCE as HELPER_SOURCE
    from deadweight_attacks.host import sweep_host_folders
    from deadweight_attacks.load import check_gates
    from deadweight_attacks.network import unfence
    from deadweight_attacks.run import plan_for
    from deadweight_attacks.seccomp.model import lines as seccomp_lines
    from deadweight_attacks.show import amiss, print_attacks
    from deadweight_attacks.summary import cells, holes, total, tried_now, unmeasured
    from deadweight_attacks.walls import names as posture_names

if not TYPE_CHECKING:
    __getattr__ = public(__name__)
