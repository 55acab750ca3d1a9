"""The tasks of this trial."""

from deadweight.tasks import namespace as ns

__all__ = ["ns"]
