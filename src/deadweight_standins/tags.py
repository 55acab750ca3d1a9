"""What a tag's parts mean to a recipe: its parameter, from the groups that a row's pattern of tags found."""

from __future__ import annotations

from collections.abc import Callable, Mapping


def flavoured(groups: tuple[str, ...]) -> str:
    """``VERSION``, ``VERSION-slim`` or ``VERSION-alpine``."""
    version, flavour = groups[0], next((group for group in groups[1:] if group), "")
    kind = "alpine" if flavour.startswith("alpine") else "slim" if "slim" in flavour else ""
    return "-".join(part for part in (version, kind) if part) if version or not kind else f"-{kind}"


def release(groups: tuple[str, ...]) -> str:
    from deadweight_standins import suites
    from deadweight_standins.machine import codename

    own = codename()
    found = suites.of_tag(groups[0], own)
    return "" if found == own else found


def golang(groups: tuple[str, ...]) -> str:
    """``VERSION`` or ``VERSION-alpine``; Go 1 is the newest, as no version is."""
    version = "" if groups[0] == "1" else groups[0]
    return f"{version}-alpine" if (groups[1] or "").startswith("alpine") else version


def java(groups: tuple[str, ...]) -> str:
    """``MAJOR``, ``MAJOR-alpine``, or nothing for the one meant."""
    alpine = "alpine" in (groups[-1] or "")
    major = groups[0] or ("17" if alpine else "")
    return f"{major}-alpine" if alpine else "" if major == "17" else major


def php(groups: tuple[str, ...]) -> str:
    """``[VERSION]-(cli|fpm|apache)[-alpine]``."""
    version, kind, flavour = groups
    own = kind if kind in ("apache", "fpm") else "cli"
    return "-".join((short(version), own, *(("alpine",) if flavour.startswith("alpine") else ())))


def kind(kind: str, groups: tuple[str, ...]) -> str:
    flavour = next((group for group in groups if group), "")
    return f"{kind}-{flavour}" if flavour else kind


def short(version: str | None) -> str:
    """``3.12`` of ``3.12.4``: patches of a language are not told apart."""
    return ".".join((version or "").split(".")[:2])


RULES: Mapping[str, Callable[[tuple[str, ...], str], str]] = {
    "golang": lambda groups, _: golang(groups),
    "release": lambda groups, _: release(groups),
    "java": lambda groups, _: java(groups),
    "php": lambda groups, _: php(groups),
    "kind": lambda groups, name: kind(name, groups),
    "alpine": lambda groups, name: f"{name}-alpine" if groups[0] else name,
    "flavoured": lambda groups, _: flavoured(groups),
    "minor": lambda groups, _: flavoured((short(groups[0]), *groups[1:])),
    "no_version": lambda groups, _: flavoured(("", *groups)),
    "version_last": lambda groups, _: flavoured((groups[1], groups[0])),
}
"""By the names that ``images.toml`` has for them: a parameter from a tag's groups and the row's own ``parameter``."""
