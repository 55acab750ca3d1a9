"""Images that only this machine can reach, for a build on another: they go along as OCI layouts, once to each endpoint."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from deadweight.builders.protocol import Site
from deadweight.records.built import Base

_LOOPBACK = re.compile(r"(?:127\.\d+\.\d+\.\d+|localhost|\[::1\])(?::\d+)?/[\w./-]+@sha256:[0-9a-f]{64}")


def contexts(dockerfile: str, bases: Mapping[str, Base], site: Site) -> dict[str, Path]:
    """The folder of each such image, by its reference: those that the Dockerfile names, and those of its build arguments."""
    named = _LOOPBACK.findall(" ".join([dockerfile, *(base.resolved for base in bases.values())]))
    return {reference: site.source.layout(reference) for reference in dict.fromkeys(named)}
