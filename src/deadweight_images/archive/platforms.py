"""Platforms of images: this machine's, and whether one is the other."""

from __future__ import annotations

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}


def machine_platform() -> str:
    """The platform of images that this machine runs: which one of several is meant where nobody says so."""
    import platform  # which takes longer to import than an image with one platform needs for all its documents

    machine = platform.machine()
    return f"linux/{_ARCHITECTURES.get(machine, machine)}"


def fits(platform: str, wanted: str) -> bool:
    """Whether a platform is the wanted one, or a variant of it. ``linux/arm64`` and ``linux/arm64/v8`` are one platform."""
    platform, wanted = _one_name(platform), _one_name(wanted)
    return platform == wanted or platform.startswith(wanted + "/")


def _one_name(platform: str) -> str:
    return platform.removesuffix("/v8") if platform.endswith("/arm64/v8") else platform
