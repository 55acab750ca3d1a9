"""Map each stand-in to the recipe that makes it, and to its edition: older editions are remade."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING

from deadweight_standins import busybox
from deadweight_standins.bases import bases
from deadweight_standins.machine import other_jdk
from deadweight_standins.stand_in import StandIn

if TYPE_CHECKING:
    from deadweight_standins.build_cache import BuildCache
    from deadweight_standins.recipes import Made, Recipe

EDITION = f"3; busybox {busybox.EDITION}"

COMPUTED: Mapping[str, str] = {
    "golang": "languages.golang",
    "ubuntu": "recipes.ubuntu",
    "buildpack": "recipes.buildpack",
    "feeds": "recipes.feeds",
    "alpine": "alpine.alpine",
    "wolfi": "alpine.wolfi",
    "apk": "alpine.apk_image",
    "busybox": "recipes.busybox",
    "static": "recipes.static",
    "distroless": "recipes.distroless_base",
    "tools": "recipes.tools",
    "jre": "java.jre",
    "java17": "java.java17",
    "java21": "java.java21",
    "jdk": "java.jdk",
    "maven": "java.maven",
    "python": "pythons.python",
    "python3": "pythons.python3",
    "node": "languages.node",
    "nodejs": "languages.nodejs",
    "rust": "languages.rust",
    "rustalpine": "languages.rust_alpine",
    "uv": "languages.uv",
    "uvpython": "languages.uvpython",
    "bun": "languages.bun",
    "deno": "languages.deno",
    "xx": "cross.xx",
    "postgres": "servers.postgres",
    "mongo": "servers.mongo",
    "scanner": "recipes.generator",
}
"""Stand-ins that take more than their entry in ``bases.toml``: module and function, imported once one is made."""


def make(cache: BuildCache, item: StandIn) -> Made:
    """Make one: by its own recipe, else of its entry alone."""
    module, _, function = COMPUTED.get(item.recipe, "").partition(".")
    if not module:
        from deadweight_standins import servers

        return servers.make(cache, item.recipe, item.parameter)
    recipe: Recipe = getattr(import_module(f"deadweight_standins.{module}"), function)
    return recipe(cache, item.parameter)


_FULL = ("python", "uvpython", "node", "rust", "ruby")
_HEADERS = 1
"""The edition of ``FULL_PACKAGES``."""

_OLD_PYTHON = re.compile(r"(?:2|3\.\d)(?!\d)(?:[.-].*)?")
_OLD_PYTHONS = 1
"""The edition of those before 3.10."""
_ZONES = 1
"""The edition of the time zones that Python's image for Alpine has beside Alpine."""


def edition_of(item: StandIn) -> str:
    """The edition of all recipes, and of its own; of a full image of a language, that of the packages below it too, and
    of an old Python that of those."""
    own, python = bases()[item.recipe].edition, item.recipe in ("python", "uvpython")
    parts = {
        f".{own}": own,
        f" headers {_HEADERS}": item.recipe in _FULL and not item.parameter.endswith(("slim", "alpine")),
        f" old {_OLD_PYTHONS}": python and _OLD_PYTHON.fullmatch(item.parameter),
        f" zones {_ZONES}": python and item.parameter.endswith("alpine"),
    }
    return EDITION + "".join(text for text, applies in parts.items() if applies)


APK_SECONDS = 90
"""How long making APKs takes, roughly, if nothing is kept."""


def tools_of(recipe: str, parameter: str = "") -> tuple[str, ...]:
    """The programs that making a stand-in takes."""
    return tuple(dict.fromkeys((*bases()[recipe].tools, *(busybox.NEEDS if parameter.endswith("alpine") else ()))))


def suite_of(item: StandIn) -> str:
    """The release of the OS that a stand-in is made of, whose packages an ``apt-get`` in it takes; empty for this machine's own."""
    if item.recipe in ("ubuntu", "buildpack"):
        return item.parameter
    base = bases()[item.recipe]
    if base.releases:
        return base.releases[base.release(item.parameter.partition("-")[0])]
    if item.recipe in ("rust", "rustalpine"):
        from deadweight_standins.languages import rust_suite

        return rust_suite()
    from deadweight_standins import java

    return java.suite_of(item)


def machine_part(recipe: str) -> str:
    """What a stand-in is made of beside packages, for its fingerprint: on this machine alone, a JDK that is not the one meant."""
    if recipe == "scanner":
        from deadweight_standins import recipes

        return f" {recipes.edition()}"
    if "java" not in bases()[recipe].tools:
        return ""
    jdk = other_jdk()
    return f" jdk {jdk}" if jdk else ""
