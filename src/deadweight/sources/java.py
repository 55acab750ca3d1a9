"""Configure Java's network access: a trust store made from a PEM bundle, Maven settings made from the proxies.

Java reads neither PEM bundles nor proxy variables. The trust store uses the JKS format, which every Java reads
without a password and which needs no keytool: a header, one entry per certificate, a keyed SHA-1 at the end
(``sun.security.provider.JavaKeyStore``).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import struct
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit
from xml.sax.saxutils import escape

from deadweight._errors import ConfigError, wording
from deadweight.records import store
from deadweight.records.paths import State

_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----(.+?)-----END CERTIFICATE-----", re.DOTALL)
_MAGIC, _VERSION, _TRUSTED = 0xFEEDFEED, 2, 2
_PASSWORD = "changeit"  # noqa: S105 - Java's own word for trust stores, which hold nothing secret


def trust_store(state: State, bundle: Path) -> Path:
    """The bundle's certificates as a JKS file in the state folder, for ``javax.net.ssl.trustStore``. Raises ConfigError."""
    try:
        data = jks(bundle.read_bytes())
    except OSError as error:
        raise ConfigError(wording("sources.bundle_unreadable", problem=error.strerror), file=bundle) from error
    except binascii.Error as error:
        raise ConfigError(wording("sources.certificate_damaged", problem=error), file=bundle) from error
    target = state.cache / "trust-store.jks"
    if not target.is_file() or target.read_bytes() != data:
        store.write_atomically(target, data)
    return target


def jks(pem: bytes) -> bytes:
    """The certificates of a PEM bundle as a JKS file. Raises binascii.Error for a damaged one."""
    found = dict.fromkeys(base64.b64decode(match, validate=False) for match in _PEM.findall(pem))
    parts = [struct.pack(">III", _MAGIC, _VERSION, len(found))]
    for number, certificate in enumerate(found):
        parts.append(struct.pack(">I", _TRUSTED) + _text(f"ca-{number}") + struct.pack(">q", 0))
        parts.append(_text("X.509") + struct.pack(">I", len(certificate)) + certificate)
    data = b"".join(parts)
    # the format's own salt; the digest guards against damage, not against anybody
    seal = hashlib.sha1(_PASSWORD.encode("utf-16-be") + b"Mighty Aphrodite" + data, usedforsecurity=False)
    return data + seal.digest()


def _text(text: str) -> bytes:
    return struct.pack(">H", len(text)) + text.encode("ascii")


ONE_BY_ONE = (
    "<profiles><profile><id>environment-proxy</id><properties>"
    "<aether.connector.basic.threads>1</aether.connector.basic.threads>"
    "</properties></profile></profiles>"
    "<activeProfiles><activeProfile>environment-proxy</activeProfile></activeProfiles>"
)
"""Maven 3.9 (tried: 3.9.12) answers a proxy that asks for a password only once, and of downloads side by side the others fail with
407. One after another they get through."""


def maven_settings(variables: Mapping[str, str]) -> str | None:
    """A Maven settings file with the proxies of these variables, passwords included; None where there are none.

    Meant for ``-gs``: what the user's own settings say of the same goes first.
    """
    words = {name.upper(): value for name, value in variables.items()}
    direct = _non_proxy_hosts(words.get("NO_PROXY", ""))
    proxies = [_proxy(scheme, words.get(f"{scheme.upper()}_PROXY", ""), direct) for scheme in ("http", "https")]
    given = "".join(proxies)
    profile = ONE_BY_ONE if "<password>" in given else ""
    return f"<settings><proxies>{given}</proxies>{profile}</settings>\n" if given else None


def _proxy(scheme: str, url: str, direct: str) -> str:
    parts = urlsplit(url if "://" in url else f"http://{url}")
    if not parts.hostname:
        return ""
    login = ""
    if parts.username:
        user, password = (escape(unquote(word or "")) for word in (parts.username, parts.password))
        login = f"<username>{user}</username><password>{password}</password>"
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return (
        f"<proxy><id>environment-{scheme}</id><active>true</active><protocol>{scheme}</protocol>"
        f"<host>{escape(parts.hostname)}</host><port>{port}</port>{login}"
        f"<nonProxyHosts>{escape(direct)}</nonProxyHosts></proxy>"
    )


def _non_proxy_hosts(no_proxy: str) -> str:
    """NO_PROXY in Java's words: ``.example.com`` covers the name and what is below; address ranges cannot be said."""
    hosts = ["localhost", "127.*"]
    for word in (entry.strip() for entry in no_proxy.split(",")):
        name = word.lstrip("*").lstrip(".")
        if word == "*":
            hosts.append("*")
        elif name and "/" not in name:
            hosts += [name, f"*.{name}"]
    return "|".join(dict.fromkeys(hosts))
