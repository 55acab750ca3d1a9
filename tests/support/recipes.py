"""Recipes of a service that has a Dockerfile too: what is tried where that does not build."""

from dataclasses import replace

from deadweight_init.draft import Draft, first_draft
from deadweight_init.records import Service


def recipe(service: Service, place: str = "build") -> Draft:
    """A draft as it is where the own Dockerfile does not build here."""
    return replace(first_draft(service, place), own_fails=True)
