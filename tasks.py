"""The tasks of this project: those of Deadweight."""

from deadweight.tasks import namespace as ns

__all__ = ["ns"]
