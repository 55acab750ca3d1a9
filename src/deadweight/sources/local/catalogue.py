"""The table of recipes, and the edition of all of them: a stand-in of an older edition is made anew."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from deadweight.sources.local import busybox, java, recipes
from deadweight.sources.local.push import Settings
from deadweight.sources.local.recipes import Recipe

EDITION = f"2; busybox {busybox.EDITION}"

EDITIONS: Mapping[str, int] = {"static": 2, "java17": 3}
"""Recipes that changed alone, on top."""

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

BUSYBOX_TOOLS = ("musl-gcc", "make", "bzip2", "dpkg-source")
TOOLS: Mapping[str, tuple[str, ...]] = {
    "golang": ("mmdebstrap", "go"),
    "ubuntu": ("mmdebstrap",),
    "alpine": BUSYBOX_TOOLS,
    "busybox": BUSYBOX_TOOLS,
    "tools": BUSYBOX_TOOLS,
    "static": (),
    "jre": ("mmdebstrap", "java"),
    "java17": ("java",),
    "maven": ("mmdebstrap",),
}
"""What making each stand-in takes, by the names of ``deadweight.toolchain``; apt and dpkg come with the OS."""

SECONDS: Mapping[str, int] = {
    "golang": 60,
    "ubuntu": 20,
    "alpine": 80,
    "busybox": 80,
    "tools": 80,
    "static": 10,
    "jre": 40,
    "java17": 50,
    "maven": 60,
}
APK_SECONDS = 90
"""How long making each takes, roughly, where nothing is kept; they are made at the same time."""


def machine_part(recipe: str) -> str:
    """What a stand-in is made of on this machine alone, for its fingerprint: a JDK that is not the one meant."""
    jdk = java.other_jdk() if "java" in TOOLS[recipe] else ""
    return f" jdk {jdk}" if jdk else ""


def labelled(settings: Settings, labels: Mapping[str, str]) -> Settings:
    """The same settings with these labels."""
    return replace(settings, labels={**settings.labels, **labels})
