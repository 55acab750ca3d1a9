"""Write an AppArmor profile in complain mode: it logs each write that a read-only file system would refuse, and lets it pass.

The grammar is that of apparmor.d(5). Everything else is allowed: other protections refuse for themselves.
"""

from __future__ import annotations

import re

from deadweight_attacks.harden.write.model import Model

_PROFILE = """\
profile {name} flags=(attach_disconnected,mediate_deleted,complain) {{
  capability,
  network,
  signal,
  ptrace,
  unix,
  / r,
  /** mrix,
{writable}
}}
"""
ALWAYS = ("/dev", "/proc")
"""Writable in a read-only container too."""


def text(model: Model) -> str:
    """The profile, with the folders that the settings keep writable."""
    folders = (*(folder.path for folder in model.options.tmpfs), *ALWAYS)
    writable = "\n".join(f'  "{_literal(folder)}/{{,**}}" rwkl,' for folder in folders)
    return _PROFILE.format(name=model.options.apparmor, writable=writable)


def _literal(path: str) -> str:
    return re.sub(r'([\\"*?\[\]{}^@])', r"\\\1", path.rstrip("/"))
