"""The tasks of Deadweight, for ``invoke``."""

from deadweight.tasks import namespace

__all__ = ["namespace"]
