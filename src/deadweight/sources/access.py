"""How a registry is reached outside of a build: with the private CA, the proxies and the mirror of the sources' settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from deadweight._errors import ConfigError
from deadweight.sources.settings import Settings


@dataclass(frozen=True)
class Access:
    """``insecure`` allows plain HTTP; ``environment`` is for the program that asks the registry."""

    insecure: bool
    environment: Mapping[str, str]


def access(reference: str, settings: Settings) -> Access:
    """For the registry of a reference. Plain HTTP is for the mirror's own hosts alone. Raises ConfigError: no such CA file."""
    values = dict(settings.variables)
    private = settings.private_ca
    if private is not None:
        if not private.is_file():
            raise ConfigError(
                "the CA bundle cannot be read",
                file=private,
                hint="invoke setup --ca-bundle FILE sets it",
            )
        values["SSL_CERT_FILE"] = str(private)  # Go programs read the system's certificate folders beside it
    mirror = settings.mirror
    hosts = {place.partition("/")[0] for place in mirror.registries.values()} if mirror else set()
    return Access(mirror is not None and mirror.insecure and reference.partition("/")[0] in hosts, values)
