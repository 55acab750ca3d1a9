"""The table of recipes, and the edition of all of them: a stand-in of an older edition is made anew."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from deadweight_standins import (
    alpine,
    brokers,
    busybox,
    cross,
    databases,
    java,
    languages,
    php,
    pythons,
    recipes,
    rusts,
    sboms,
    scripting,
    servers,
)
from deadweight_standins.push import Settings
from deadweight_standins.recipes import Recipe
from deadweight_standins.stand_in import StandIn

EDITION = f"2; busybox {busybox.EDITION}"

EDITIONS: Mapping[str, int] = {
    "feeds": 4,
    "static": 2,
    "java17": 4,
    "java21": 3,
    "apk": 4,
    "python": 2,
    "python3": 2,
    "uvpython": 2,
    "jre": 3,
    "postgres": 2,
    "jdk": 2,
    "maven": 3,
    "node": 4,
    "nginx": 2,
    "php": 3,
    "ruby": 2,
    "rust": 2,
    "rustalpine": 2,
    "ubuntu": 2,
    "bun": 4,
    "deno": 4,
}
"""Recipes that changed alone, on top."""

RECIPES: Mapping[str, Recipe] = {
    "golang": languages.golang,
    "ubuntu": recipes.ubuntu,
    "buildpack": recipes.buildpack,
    "feeds": recipes.feeds,
    "alpine": alpine.alpine,
    "wolfi": alpine.wolfi,
    "apk": alpine.apk_image,
    "busybox": recipes.busybox,
    "static": recipes.static,
    "distroless": recipes.distroless_base,
    "tools": recipes.tools,
    "jre": java.jre,
    "java17": java.java17,
    "java21": java.java21,
    "jdk": java.jdk,
    "maven": java.maven,
    "python": pythons.python,
    "python3": pythons.python3,
    "node": languages.node,
    "nodejs": languages.nodejs,
    "rust": rusts.rust,
    "rustalpine": rusts.rust_alpine,
    "uv": languages.uv,
    "uvpython": languages.uvpython,
    "bun": scripting.bun,
    "deno": scripting.deno,
    "ruby": scripting.ruby,
    "php": php.php,
    "httpd": servers.httpd,
    "xx": cross.xx,
    "nginx": servers.nginx,
    "caddy": servers.caddy,
    "redis": servers.redis,
    "postgres": servers.postgres,
    "mariadb": databases.mariadb,
    "memcached": databases.memcached,
    "mongo": databases.mongo,
    "rabbitmq": brokers.rabbitmq,
    "nats": brokers.nats,
    "scanner": sboms.generator,
}

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
    own = EDITIONS.get(item.recipe)
    full = item.recipe in _FULL and not item.parameter.endswith(("slim", "alpine"))
    old = item.recipe in ("python", "uvpython") and _OLD_PYTHON.fullmatch(item.parameter)
    zones = item.recipe in ("python", "uvpython") and item.parameter.endswith("alpine")
    parts = (f".{own}" if own else "", f" headers {_HEADERS}" if full else "", f" old {_OLD_PYTHONS}" if old else "")
    return EDITION + "".join(parts) + (f" zones {_ZONES}" if zones else "")


BUSYBOX_TOOLS = ("musl-gcc", "make", "bzip2", "dpkg-source")
ROOTFS = ("mmdebstrap",)
TOOLS: Mapping[str, tuple[str, ...]] = {
    "golang": ("mmdebstrap", "go"),
    "alpine": BUSYBOX_TOOLS,
    "wolfi": BUSYBOX_TOOLS,
    "apk": ("go",),
    "mongo": ("mmdebstrap", "go"),
    "scanner": ("go", "trivy"),
    "busybox": BUSYBOX_TOOLS,
    "tools": BUSYBOX_TOOLS,
    "static": (),
    "distroless": (),
    "feeds": (),
    "jre": ("mmdebstrap", "java"),
    "java17": ("java",),
    "java21": (),
    "nodejs": (),
    "xx": (),
    "uv": (),
    "python3": (),
}
"""What making each stand-in takes, by the names of ``deadweight.toolchain``; those that are not here take ``ROOTFS``."""

SECONDS: Mapping[str, int] = {
    "golang": 60,
    "ubuntu": 20,
    "alpine": 80,
    "wolfi": 80,
    "busybox": 80,
    "tools": 80,
    "static": 10,
    "distroless": 10,
    "jre": 40,
    "java17": 50,
    "jdk": 50,
    "maven": 60,
    "xx": 2,
    "python": 40,
    "python3": 30,
    "uvpython": 45,
    "rust": 60,
    "rustalpine": 60,
    "apk": 30,
    "mongo": 120,
    "scanner": 15,
}
USUAL_SECONDS = 40
APK_SECONDS = 90
"""How long making each takes, roughly, where nothing is kept; they are made at the same time."""


def tools_of(recipe: str, parameter: str = "") -> tuple[str, ...]:
    """The programs that making a stand-in takes."""
    own = TOOLS.get(recipe, ROOTFS)
    return tuple(dict.fromkeys((*own, *(BUSYBOX_TOOLS if parameter.endswith("alpine") else ()))))


def suite_of(item: StandIn) -> str:
    """The release of the OS that a stand-in is made of, whose packages an ``apt-get`` in it takes; empty for this machine's own."""
    if item.recipe in ("ubuntu", "buildpack"):
        return item.parameter
    if item.recipe == "php":
        return php.PHPS[php.php_release(item.parameter.partition("-")[0])]
    if item.recipe == "ruby":
        return scripting.RUBIES[scripting.ruby_release(item.parameter.partition("-")[0])]
    if item.recipe in ("rust", "rustalpine"):
        return rusts.rust_suite()
    return java.suite_of(item)


def machine_part(recipe: str) -> str:
    """What a stand-in is made of beside packages, for its fingerprint: on this machine alone, a JDK that is not the one meant."""
    if recipe == "scanner":
        return f" {sboms.edition()}"
    jdk = java.other_jdk() if "java" in TOOLS.get(recipe, ()) else ""
    return f" jdk {jdk}" if jdk else ""


def labelled(settings: Settings, labels: Mapping[str, str]) -> Settings:
    """The same settings with these labels."""
    return replace(settings, labels={**settings.labels, **labels})
