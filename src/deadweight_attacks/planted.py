"""Words that nobody can guess: the secrets that are planted for one run, and the halves of each attack's word."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

LETTERS, LENGTH = "bcdfghjkmnpqrstvwxz", 8


def random_name() -> str:
    """Eight letters: no shell, AWK or JSON reads them as anything else."""
    return "".join(secrets.choice(LETTERS) for _ in range(LENGTH))


@dataclass(frozen=True)
class Planted:
    """The secrets of one run, by where each lies: in the service's environment, in the host's folder, at the stand-in for the
    cloud's metadata, and in the neighbour."""

    environment: str = field(default_factory=random_name)
    host: str = field(default_factory=random_name)
    metadata: str = field(default_factory=random_name)
    neighbour: str = field(default_factory=random_name)

    def at(self, where: str | None) -> str:
        """The one that lies there."""
        known = {
            "environment": self.environment,
            "host": self.host,
            "metadata": self.metadata,
            "neighbour": self.neighbour,
        }
        return known[where or ""]
