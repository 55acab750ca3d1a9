"""Load the table of databases, queues and other well-known servers (``servers.toml``)."""

from __future__ import annotations

import posixpath
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources

from deadweight.records.reference import split


@dataclass(frozen=True)
class Server:
    """``port`` is where it listens, ``open`` the variable that lets everybody in, ``plain`` the image to take if another one of it
    cannot be had. ``reads`` is a pattern for the variables that it reads."""

    port: int
    open: Mapping[str, str] = field(default_factory=dict)
    plain: str = ""
    reads: str = ""


def _table() -> dict[str, Server]:
    text = resources.files(__package__).joinpath("servers.toml").read_text(encoding="utf-8")
    return {name: Server(**entry) for entry in tomllib.loads(text)["server"] for name in entry.pop("images")}


SERVERS = _table()
"""By the last part of their images' names."""


def server_of(reference: str) -> Server | None:
    """The server of an image; None for an image of which nothing is known."""
    return SERVERS.get(posixpath.basename(split(reference)[0]))
