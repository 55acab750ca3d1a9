"""The sessions of this project: those of Deadweight."""

from deadweight.nox_sessions import *  # noqa: F403
