"""Merge source and network settings: the suite's ``sources:``, the user's file, what setup recorded, environment.

``deadweight.yaml`` (``sources:``) and the user's ``sources.yaml`` have the same shape::

    mirror:
      registries: {docker.io: mirror.example.com/hub, "*": mirror.example.com}
      apk: {wolfi: [https://mirror.example.com/wolfi/os]}
      apk_keys: [https://mirror.example.com/wolfi-signing.rsa.pub]
      insecure: false
    ca_bundle: certificates/private-ca.pem
    environment: {GOPROXY: https://mirror.example.com/go}
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, cast, get_args

from pydantic import AfterValidator, BeforeValidator, Field

from deadweight._errors import ConfigError, UsageError, wording
from deadweight.records import store
from deadweight.records.paths import State
from deadweight.records.reference import parse
from deadweight.sources.protocol import ApkFlavour
from deadweight.suite.explain import validated
from deadweight.suite.model import Suite
from deadweight.suite.values import STRICT, AnyPath, EnvName, Record, Text, check_text
from deadweight.suite.yaml_nodes import Document, read

SourceName = Literal["auto", "registry", "mirror", "local"]
DECIDED = ("registry", "mirror", "local")
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")
NETWORK: dict[str, Any] = tomllib.loads(Path(__file__).with_name("network.toml").read_text(encoding="utf-8"))
"""What the programs of a build read of this machine's network settings."""
BUNDLE_VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
"""Variables by which OpenSSL and Go, and Python's requests, are told of a CA bundle: a build in a container needs it too."""
SOURCE_VARIABLE, MIRROR_VARIABLE, CA_VARIABLE = "DEADWEIGHT_SOURCE", "DEADWEIGHT_MIRROR", "DEADWEIGHT_CA_BUNDLE"


def _none_is_empty(value: Any) -> Any:
    return {} if value is None else value


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else _none_is_empty(value) or []


def _is_place(text: str) -> bool:
    """Whether images can lie behind this ``HOST[/PREFIX]``."""
    try:
        parse(f"{text}/any/image")
    except UsageError:
        return False
    return bool(text)


def _prefix(text: str) -> str:
    if not _is_place(text.rstrip("/")):
        raise ValueError(wording("sources.host"))
    return text


Prefix = Annotated[Text, AfterValidator(_prefix)]
Places = Annotated[tuple[Text, ...], BeforeValidator(_listed)]


class Mirror(Record):
    """Where a mirror keeps things.

    ``registries`` maps a public host to ``host/prefix``; for the host ``*`` the public host is put behind the prefix.
    ``apk`` maps a flavour to repository URLs or folders; ``apk_keys`` are URLs or files. ``insecure`` allows plain HTTP.
    """

    registries: Annotated[dict[Text, Prefix], BeforeValidator(_none_is_empty)] = Field(default_factory=dict)
    apk: Annotated[dict[ApkFlavour, Places], BeforeValidator(_none_is_empty)] = Field(default_factory=dict)
    apk_keys: Places = ()
    insecure: Annotated[bool, STRICT] = False


@dataclass(frozen=True)
class Settings:
    """All of it, merged. ``decided`` is what ``auto`` chose; ``ca_bundle`` is a PEM file's path.

    ``rebase``: a base that the local source has no stand-in for is replaced by the nearest that it has.
    """

    source: SourceName = "auto"
    decided: str | None = None
    mirror: Mirror | None = None
    ca_bundle: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    rebase: bool = False

    @property
    def variables(self) -> dict[str, str]:
        """Proxies, and where Go, Python and npm take packages from, for builds: the configured ones, over our own environment's."""
        names = (*PROXIES, *(name for row in NETWORK["program"] for name in row["variables"]))
        inherited = {name: os.environ[name] for name in names if os.environ.get(name)}
        return {**inherited, **self.environment}

    @property
    def private_ca(self) -> Path | None:
        """The file with private CAs, if there is one: the configured one, else the one that this environment's programs use."""
        if self.ca_bundle:
            return Path(self.ca_bundle).absolute()
        named = (os.environ.get(name) for name in BUNDLE_VARIABLES)
        return next((Path(name).absolute() for name in named if name and Path(name).is_file()), None)


def load(state: State, suite: Suite | None = None, asked: Mapping[str, Any] | None = None) -> Settings:
    """Merge, the last one winning: the suite's section, the user's file, what setup recorded, environment variables.

    ``asked`` stands over what is recorded, as if it were.

    Raises ConfigError with file, line and key, UsageError for a wrong environment variable.
    """
    merged = of_suite(suite) if suite is not None and suite.sources else Settings()
    own = user_file()
    if own.exists():
        document = read(own, may_be_empty=True)
        section = validated(document, _Section, _none_is_empty(document.value), lambda key: key)
        merged = _merge(merged, section.settings(own.parent))
    merged = _merge(merged, replace(store.load(Settings, state.settings) or Settings(), **(asked or {})))
    source, mirror, bundle = (os.environ.get(name) for name in (SOURCE_VARIABLE, MIRROR_VARIABLE, CA_VARIABLE))
    given = Settings(source_name(source or "auto"), mirror=mirror_at(mirror) if mirror else None, ca_bundle=bundle)
    return _merge(merged, given)


def record(state: State, **changes: Any) -> None:
    """Change what setup recorded, and only that."""
    before = store.load(Settings, state.settings) or Settings()
    after = replace(before, **changes)
    if after != before or not state.settings.exists():
        store.save(after, state.settings)


def decided(state: State, settings: Settings, name: str) -> None:
    """Record what ``auto`` chose, once it was really used; a source that was asked for by name leaves no such record."""
    if settings.source == "auto" and settings.decided == name:
        record(state, decided=name)


def source_name(text: str) -> SourceName:
    """Raises UsageError that names the choices."""
    if text not in get_args(SourceName):
        hint = f"choose one of {', '.join(get_args(SourceName))}"
        raise UsageError(wording("suite.unknown", kind="source", name=text), hint=hint)
    return cast(SourceName, text)


def mirror_at(prefix: str) -> Mirror:
    """A mirror of every registry behind one ``HOST[/PREFIX]`` (``https://`` may stand before it, ``http://`` makes it insecure)."""
    scheme, mark, rest = prefix.rpartition("://")
    place = rest.strip("/")
    if not _is_place(place) or (mark and scheme not in ("http", "https")):
        raise UsageError(wording("sources.not_a_mirror", text=prefix))
    return Mirror(registries={"*": place}, insecure=scheme == "http")


def user_file() -> Path:
    """The user's own settings for all projects: ``sources.yaml`` in the platform's configuration folder."""
    from platformdirs import user_config_path

    return user_config_path("deadweight", appauthor=False) / "sources.yaml"


def _whole_mirror(value: Any) -> Any:
    """``mirror: HOST/PREFIX`` says it for all registries."""
    if not isinstance(value, str):
        return value
    try:
        return mirror_at(check_text(value))
    except UsageError:
        raise ValueError(wording("sources.host")) from None


class _Section(Record):
    """The shape above; ``source`` is that of ``--source``."""

    source: SourceName = "auto"
    mirror: Annotated[Mirror | None, BeforeValidator(_whole_mirror)] = None
    ca_bundle: AnyPath | None = None
    environment: Annotated[dict[EnvName, Text], BeforeValidator(_none_is_empty), Field(default_factory=dict)]

    def settings(self, root: Path) -> Settings:
        """Relative files are relative to ``root``."""

        def resolved(places: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(place if "://" in place else str(root / place) for place in places)

        mirror = self.mirror
        if mirror is not None:
            apk = {name: resolved(places) for name, places in mirror.apk.items()}
            mirror = mirror.model_copy(update={"apk": apk, "apk_keys": resolved(mirror.apk_keys)})
        bundle = str(root / self.ca_bundle) if self.ca_bundle is not None else None
        return Settings(self.source, mirror=mirror, ca_bundle=bundle, environment=self.environment)


def of_suite(suite: Suite) -> Settings:
    """The suite's own section. Raises ConfigError with file, line and key."""
    document = Document(suite.file, None, dict(suite.places))
    return validated(document, _Section, suite.sources, lambda key: ("sources", *key)).settings(suite.root)


def _merge(below: Settings, above: Settings) -> Settings:
    source = above.source if above.source != "auto" else below.source
    names = ("decided", "mirror", "ca_bundle", "rebase")
    others = {name: getattr(above, name) or getattr(below, name) for name in names}
    return Settings(source, environment={**below.environment, **above.environment}, **others)


# How a registry is reached outside of a build: with the private CA, the proxies and the mirror of the sources' settings.


class Access(NamedTuple):
    """``insecure`` allows plain HTTP; ``environment`` is for the program that asks the registry."""

    insecure: bool
    environment: Mapping[str, str]


def registry_access(reference: str, settings: Settings) -> Access:
    """For the registry of a reference. Plain HTTP is for the mirror's own hosts alone. Raises ConfigError: no such CA file."""
    values = dict(settings.variables)
    private = settings.private_ca
    if private is not None:
        if not private.is_file():
            message = wording("sources.bundle_unreadable", problem="no such file")
            raise ConfigError(message, file=private, hint="invoke setup --ca-bundle FILE sets it")
        values["SSL_CERT_FILE"] = str(private)  # Go programs read the system's certificate folders beside it
    mirror = settings.mirror
    hosts = {place.partition("/")[0] for place in mirror.registries.values()} if mirror else set()
    return Access(mirror is not None and mirror.insecure and reference.partition("/")[0] in hosts, values)
