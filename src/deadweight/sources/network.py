"""Configure and test network access: one CA bundle, the current proxies, the same for Java, and short probes."""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import re
import ssl
import struct
import threading
import time
from collections.abc import Mapping, Sequence
from http.client import HTTPException
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from deadweight._errors import ConfigError, wording
from deadweight.records import store
from deadweight.records.paths import State
from deadweight.sources.settings import BUNDLE_VARIABLES

SYSTEM_BUNDLES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")


class Answer(NamedTuple):
    """What a request met: an HTTP status, or a problem in one line. ``untrusted`` says that the TLS certificate was refused."""

    status: int | None
    problem: str = ""
    untrusted: bool = False

    @property
    def ok(self) -> bool:
        """Whether somebody answered whom we trust. 401 is an answer."""
        return self.status is not None and self.status < 500


def bundle(state: State, private: Path | None) -> Path | None:
    """One PEM file with the system's CAs and the private ones, in the state folder; None where there is no private one.

    A tool that is given a bundle uses nothing else, so the public CAs must be in it too. The bundle that the environment
    already gives to all programs is taken as it is, and nothing is written. Raises ConfigError.
    """
    if private is None:
        return None
    own = certificates(private)
    if private in {Path(os.environ[name]).absolute() for name in BUNDLE_VARIABLES if os.environ.get(name)}:
        return private
    given = os.environ.get("SSL_CERT_FILE")
    places = (Path(name) for name in (given, *SYSTEM_BUNDLES) if name)
    if public := next((place for place in places if place.is_file() and place != private), None):
        own = public.read_bytes().rstrip(b"\n") + b"\n" + own
    target = state.folder / "cache" / "ca-bundle.pem"
    if not target.is_file() or target.read_bytes() != own:
        store.write_atomically(target, own)
    return target


def certificates(private: Path) -> bytes:
    """The content of a file with private CAs. Raises ConfigError where it cannot be read or holds none."""
    try:
        own = private.read_bytes()
    except OSError as error:
        raise ConfigError(wording("sources.bundle_unreadable", problem=error.strerror), file=private) from error
    if b"-----BEGIN CERTIFICATE-----" not in own:
        raise ConfigError(wording("sources.no_certificate"), file=private)
    return own


def ask(url: str, *, ca: Path | None, variables: Mapping[str, str], timeout: float, method: str = "GET") -> Answer:
    """One request, through the proxies of ``variables``. ``timeout`` is in seconds for each wait on the network."""
    import urllib.error
    import urllib.request

    from deadweight.toolchain.registry import proxies

    request = urllib.request.Request(url, method=method, headers={"User-Agent": "deadweight"})  # noqa: S310 - http and https only
    login = _login(url)
    if login:
        request.add_unredirected_header("Authorization", login)
    try:
        context = ssl.create_default_context()
        if ca is not None:
            context.load_verify_locations(cafile=ca)
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler(proxies(url, variables)), urllib.request.HTTPSHandler(context=context)
        )
        with opener.open(request, timeout=timeout) as answer:
            return Answer(answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        return Answer(error.code)
    except (OSError, HTTPException, ValueError) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        if isinstance(reason, ssl.SSLError):
            words = getattr(reason, "verify_message", "") or reason.reason or reason
            return Answer(None, f"TLS: {words}", untrusted=True)
        # without the number that Python puts before the system's own words
        problem = reason.strerror if isinstance(reason, OSError) else None
        return Answer(None, problem or str(reason) or type(reason).__name__)


def ask_all(
    urls: Sequence[str], *, ca: Path | None, variables: Mapping[str, str], seconds: float, method: str = "GET"
) -> dict[str, Answer]:
    """All at the same time, and never longer than ``seconds`` in all: who has not answered by then did not answer.

    Name look-ups know no time limit of their own, so each probe has a thread that nobody waits for.
    """
    answers: dict[str, Answer] = {}

    def one(url: str) -> None:
        answers[url] = ask(url, ca=ca, variables=variables, timeout=seconds, method=method)

    threads = [threading.Thread(target=one, args=(url,), daemon=True) for url in dict.fromkeys(urls)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    late = Answer(None, f"no answer within {seconds:g} s")
    return {url: answers.get(url, late) for url in urls}


def http_auth(urls: Sequence[str]) -> dict[str, str]:
    """apko's and melange's ``HTTP_AUTH`` for these URLs from the user's netrc, unless it is set already. For an environment."""
    if os.environ.get("HTTP_AUTH"):
        return {}
    for url in urls:
        host = urlsplit(url).hostname
        entry = _netrc(host)
        if host and entry:
            return {"HTTP_AUTH": f"basic:{host}:{entry[0]}:{entry[1]}"}
    return {}


def _login(url: str) -> str | None:
    host = urlsplit(url).hostname
    given = os.environ.get("HTTP_AUTH", "").split(":", 3)
    entry = _netrc(host)
    if len(given) == 4 and given[0] == "basic" and given[1] == host:
        entry = (given[2], given[3])
    return "Basic " + base64.b64encode(f"{entry[0]}:{entry[1]}".encode()).decode() if entry else None


def _netrc(host: str | None) -> tuple[str, str] | None:
    import netrc

    try:
        login = netrc.netrc(os.environ.get("NETRC")).authenticators(host or "")
    except (OSError, netrc.NetrcParseError):
        return None
    return (login[0], login[2] or "") if login else None


# Configure Java's network access: a trust store made from a PEM bundle, Maven settings made from the proxies.
#
# Java reads neither PEM bundles nor proxy variables. The trust store uses the JKS format, which every Java reads
# without a password and which needs no keytool: a header, one entry per certificate, a keyed SHA-1 at the end
# (``sun.security.provider.JavaKeyStore``).
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
    certificates = dict.fromkeys(base64.b64decode(match, validate=False) for match in _PEM.findall(pem))
    parts = [struct.pack(">III", _MAGIC, _VERSION, len(certificates))]
    for number, certificate in enumerate(certificates):
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
    from xml.sax.saxutils import escape

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
