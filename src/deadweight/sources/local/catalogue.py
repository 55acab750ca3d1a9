"""The table of recipes, and the edition of all of them: a stand-in of an older edition is made anew."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from deadweight.sources.local import java, recipes
from deadweight.sources.local.push import Settings
from deadweight.sources.local.recipes import Recipe

EDITION = 1

RECIPES: Mapping[str, Recipe] = {
    "golang": recipes.golang,
    "ubuntu": recipes.ubuntu,
    "alpine": recipes.alpine,
    "busybox": recipes.busybox,
    "static": recipes.static,
    "tools": recipes.tools,
    "jre": java.jre,
    "java17": java.java17,
    "maven": java.maven,
}


def labelled(settings: Settings, labels: Mapping[str, str]) -> Settings:
    """The same settings with these labels."""
    return replace(settings, labels={**settings.labels, **labels})
