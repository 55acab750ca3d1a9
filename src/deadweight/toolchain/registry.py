"""Read from a registry: manifests, configs, tags and blobs (OCI distribution specification 1.1, "Pull"; Docker's token protocol).

Credentials come from Docker's configuration (or Podman's) and its helpers. They go to the registry and to the token server that it
names, and to no host that either redirects to. Every document has a limit on its size and time; what has a digest is verified.
"""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import json
import os
import re
import ssl
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, cast
from urllib.parse import urlsplit
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]

from requests import PreparedRequest, RequestException, Response, Session, Timeout, exceptions
from requests.adapters import HTTPAdapter
from requests.utils import address_in_network, is_ipv4_address, is_valid_cidr
from urllib3 import Retry
from urllib3.exceptions import HTTPError

from deadweight._errors import ArchiveError, DeadweightError, wording
from deadweight._packages import images
from deadweight.records.reference import DOCKER_HUB, in_registry, parse

documents = images.documents
INDEX_TYPES, MANIFEST_TYPES, MAX_DOCUMENT = documents.INDEX_TYPES, documents.MANIFEST_TYPES, documents.MAX_DOCUMENT
_PAGES = 20
_HUB = "registry-1.docker.io"
_NO_TLS = ("WRONG_VERSION_NUMBER", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE")
"""OpenSSL's names for an answer that is no TLS."""
_AGAIN = Retry(
    2, connect=0, read=False, other=0, status_forcelist=(500, 502, 503, 504), backoff_factor=0.2,
    raise_on_status=False, respect_retry_after_header=False,
)  # fmt: skip


class RegistryError(DeadweightError):
    """A registry gave no answer, or another than was asked for: ``code`` is one of ``registry`` in messages.toml."""

    @property
    def absent(self) -> bool:
        """Whether it answered that there is no such image."""
        return self.code in ("registry.no_image", "registry.no_platform")


def proxies(url: str, variables: Mapping[str, str]) -> dict[str, str]:
    """The proxies that these variables (in upper or lower case) name for a URL, by scheme; none for this machine itself."""
    words = {name.upper(): value for name, value in variables.items()}
    host, direct = urlsplit(url).hostname or "", words.get("NO_PROXY", "").replace("*.", ".")
    ranges = [part.strip() for part in direct.split(",") if is_ipv4_address(host) and is_valid_cidr(part.strip())]
    bypassed = proxy_bypass_environment(host, {"no": direct}) or any(address_in_network(host, part) for part in ranges)
    names = () if bypassed or host in ("localhost", "127.0.0.1", "::1") else ("http", "https")
    return {name: value for name in names if (value := words.get(f"{name.upper()}_PROXY"))}


class _Adapter(HTTPAdapter):
    """Trusts what this system trusts, and a CA bundle; knows the proxies of each host, also of one that is redirected to."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables, self._context = variables, ssl.create_default_context()
        if bundle := variables.get("SSL_CERT_FILE"):
            with suppress(OSError):  # a file that is none adds nothing, as with Go
                self._context.load_verify_locations(cafile=bundle)
        super().__init__(max_retries=_AGAIN)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs, ssl_context=self._context)

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        return super().proxy_manager_for(*args, **kwargs, ssl_context=self._context)

    def cert_verify(self, *args: Any) -> None:
        """The context does it, without requests' own list of CAs."""

    def send(self, request: PreparedRequest, *args: Any, **kwargs: Any) -> Response:
        given = {**kwargs, "proxies": proxies(str(request.url), self._variables)}
        return super().send(request, *args, **given)


def login_for(host: str) -> tuple[str, str, str]:
    """User, password and identity token that Docker's configuration, or else Podman's, has for a registry; empty for nobody.

    Raises whatever docker-py meets in the file, or a helper in its answer.
    """
    from docker import auth
    from docker.utils.config import find_config_file

    podman = os.environ.get("REGISTRY_AUTH_FILE", f"{os.environ.get('XDG_RUNTIME_DIR')}/containers/auth.json")
    known = auth.load_config(find_config_file() or podman).resolve_authconfig(host) or {}
    entry = {name.lower(): value or "" for name, value in known.items()}
    return entry.get("username", ""), entry.get("password", ""), entry.get("identitytoken", "")


def descriptor(manifest: bytes) -> dict[str, Any]:
    """Media type, digest and size in bytes of a manifest or an index, as an OCI layout or an artifact's subject names it."""
    document = documents.parsed(manifest, "manifest")
    kind = document.get("mediaType") or (INDEX_TYPES if "manifests" in document else MANIFEST_TYPES)[0]
    return {"mediaType": kind, "digest": documents.of(manifest), "size": len(manifest)}


class Remote:
    """One image reference in a registry. ``env`` has proxies, and SSL_CERT_FILE for a private CA, beside our own environment.

    ``insecure`` allows plain HTTP, which this machine and private addresses may speak anyhow. ``name`` is what errors call the
    image. ``seconds`` limits each wait, and the time for a whole document. Raises UsageError for what is no reference; all methods
    RegistryError, and ArchiveError for content that is none or has another digest.
    """

    def __init__(
        self,
        reference: str,
        *,
        insecure: bool = False,
        env: Mapping[str, str] | None = None,
        name: str = "",
        seconds: float = 60.0,
    ) -> None:
        self._place = place = parse(str(in_registry(reference)))
        self._what, self._seconds, self._authorization = name or reference, seconds, ""
        self._about = {"image": self._what, "host": place.host, "seconds": seconds}
        self._schemes = ["https", "http"] if insecure or _is_near(place.host) else ["https"]
        self._session, adapter = Session(), _Adapter({**os.environ, **(env or {})})
        self._session.trust_env, self._session.max_redirects = False, 5
        for scheme in ("https://", "http://"):
            self._session.mount(scheme, adapter)

    def manifest(self, digest: str | None = None) -> bytes:
        """What the reference names, or the manifest of that digest in its repository."""
        wanted = digest or self._place.digest
        answer = self._get(
            "manifests", wanted or self._place.tag or "", Accept=", ".join((*INDEX_TYPES, *MANIFEST_TYPES))
        )
        promised, content = wanted or str(answer.headers.get("Docker-Content-Digest", "")), self._whole(answer)
        if promised.startswith("sha256:"):
            documents.check(content, promised, self._what)
        self.parsed(content)
        return content

    def parsed(self, content: bytes) -> dict[str, Any]:
        """A JSON document that the registry sent."""
        with suppress(ArchiveError):
            document = documents.parsed(content, self._what)
            if isinstance(document, dict):
                return document
        raise RegistryError(wording("registry.other_document", **self._about))

    def platforms(self) -> tuple[str, ...]:
        """Those of a multi-platform image (``linux/arm64/v8``), attestations left out; empty for an image of one platform."""
        return tuple(name for name, _digest in self._by_platform(self.manifest()))

    def digest(self, platform: str) -> str:
        """The digest of the image for this platform, of an image of one platform its own."""
        content = self.manifest()
        return self._for_platform(content, platform) or documents.of(content)

    def config(self, platform: str) -> dict[str, Any]:
        """The config of the image for this platform."""
        content = self._image(platform)
        manifest = documents.manifest(content, self._what, descriptor(content)["mediaType"])
        return self.parsed(self.content(manifest.config.digest))

    def tags(self) -> list[str]:
        """The repository's tags, as far as its first pages tell them."""
        query, tags = "", []
        for _page in range(_PAGES):
            answer = self._get("tags", f"list{query}")
            tags += [str(tag) for tag in self.parsed(self._whole(answer)).get("tags") or ()]
            query = f"?{urlsplit(answer.links.get('next', {}).get('url', '')).query}"
            if query == "?":
                break
        return tags

    def content(self, digest: str, *, most: int = MAX_DOCUMENT) -> bytes:
        """A blob of at most that many bytes."""
        content = self._whole(self._get("blobs", digest), most)
        documents.check(content, digest, self._what)
        return content

    @contextmanager
    def blob(self, digest: str) -> Iterator[IO[bytes]]:
        """A blob as it comes, verified by nobody yet: a transfer that breaks off is one that ends."""
        with self._get("blobs", digest) as answer:
            yield cast(IO[bytes], _Body(answer))

    @contextmanager
    def rest(self, digest: str, offset: int) -> Iterator[IO[bytes]]:
        """A blob from that offset on, after a broken transfer (RFC 9110, 14.2). Raises OSError where it cannot be had."""
        try:
            answer = self._get("blobs", digest, Range=f"bytes={offset}-")
        except RegistryError as error:
            raise OSError(error.message) from error
        with answer:
            if answer.status_code != 206 or not answer.headers.get("Content-Range", "").startswith(f"bytes {offset}-"):
                raise OSError(f"{self._place.host} gives no part of a blob")
            yield cast(IO[bytes], _Body(answer))

    @contextmanager
    def pulled(self, platform: str | None = None) -> Iterator[Path]:
        """What ``lay_out`` writes, gone afterwards."""
        with tempfile.TemporaryDirectory(prefix="deadweight-pull-") as folder:
            self.lay_out(Path(folder, "layout"), platform)
            yield Path(folder, "layout")

    def lay_out(self, folder: Path, platform: str | None = None) -> None:
        """Write the image as an OCI image layout into a new folder: that for one platform, or all."""
        blobs, content = folder / "blobs" / "sha256", self._image(platform)
        blobs.mkdir(parents=True)
        self._copy(content, blobs)
        (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
        (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [descriptor(content)]}))

    def _copy(self, content: bytes, blobs: Path) -> None:
        """A manifest with all that it names."""
        top = descriptor(content)
        (blobs / top["digest"].removeprefix("sha256:")).write_bytes(content)
        if top["mediaType"] in INDEX_TYPES:
            for child in documents.index(content, self._what):
                self._copy(self.manifest(child.digest), blobs)
            return
        manifest = documents.manifest(content, self._what, top["mediaType"])
        for item in (manifest.config, *manifest.layers):
            running, size = hashlib.sha256(), 0
            with self.blob(item.digest) as source, (blobs / item.digest.removeprefix("sha256:")).open("wb") as target:
                while size <= item.size and (piece := source.read(1 << 20)):
                    running.update(piece)
                    size += target.write(piece)
            if f"sha256:{running.hexdigest()}" != item.digest:
                raise RegistryError(wording("registry.other_digest", **self._about, digest=item.digest))

    def _image(self, platform: str | None) -> bytes:
        content = self.manifest()
        child = self._for_platform(content, platform) if platform else None
        return self.manifest(child) if child else content

    def _by_platform(self, content: bytes) -> list[tuple[str, str]]:
        """The platforms of an index, each with its image's digest."""
        items = documents.index(content, self._what) if descriptor(content)["mediaType"] in INDEX_TYPES else ()
        return [(item.platform, item.digest) for item in items if item.platform and not item.attestation]

    def _for_platform(self, content: bytes, platform: str) -> str | None:
        """The digest of what an index has for it, the very platform before a variant of it; None where nobody says."""
        there = self._by_platform(content)
        fitting = [(name != platform, digest) for name, digest in there if images.fits(name, platform)]
        if there and not fitting:
            raise RegistryError(wording("registry.no_platform", **self._about, platform=platform))
        return min(fitting, key=lambda pair: pair[0])[1] if fitting else None

    def _whole(self, answer: Response, most: int = MAX_DOCUMENT) -> bytes:
        stop, content, read = (
            time.monotonic() + self._seconds,
            bytearray(),
            getattr(answer.raw, "read1", answer.raw.read),
        )
        with answer:
            while piece := _read(read, 1 << 16):
                content += piece
                if len(content) > most:
                    raise self._other(f"more than {most} bytes")
                if time.monotonic() > stop:
                    raise RegistryError(wording("registry.late_answer", **self._about))
        return bytes(content)

    # Requests.
    def _get(self, kind: str, name: str, **headers: str) -> Response:
        """A good answer, whose body is still to be read. A host that the registry redirects to is told no credentials."""
        if kind != "tags" and name != self._place.tag:
            documents.valid(name, self._what)
        path = f"{self._place.repository}/{kind}/{name}"
        answer = self._request(path, headers)
        if answer.status_code == 401 and not answer.history:
            answer.close()
            if header := self._authorized(answer.headers.get("WWW-Authenticate", "")):
                self._authorization = header
                answer = self._request(path, headers)
        return self._good(answer)

    def _good(self, answer: Response) -> Response:
        if answer.status_code in (200, 206):
            return answer
        answer.close()
        if answer.status_code == 404:
            raise RegistryError(wording("registry.no_image", **self._about))
        if answer.status_code in (401, 403):
            raise RegistryError(wording("registry.denied", **self._about))
        raise self._other(f"HTTP status {answer.status_code}")

    def _other(self, answer: str) -> RegistryError:
        return RegistryError(wording("registry.other_answer", **self._about, answer=answer))

    def _request(self, path: str, headers: Mapping[str, str]) -> Response:
        """Over TLS, or else in plain HTTP where that is allowed: what was spoken first is spoken from then on."""
        host = _HUB if self._place.host == DOCKER_HUB else self._place.host
        known = {"Authorization": self._authorization} if self._authorization else {}
        try:
            answer = self._ask("GET", f"{self._schemes[0]}://{host}/v2/{path}", {**headers, **known})
        except RegistryError as error:
            if len(self._schemes) == 1 or error.code not in ("registry.plain_http", "registry.no_answer"):
                raise
            self._schemes = self._schemes[1:]
            return self._request(path, headers)
        self._schemes = self._schemes[:1]
        return answer

    def _ask(self, method: str, url: str, headers: Mapping[str, str], **more: Any) -> Response:
        sent = {"Accept-Encoding": "identity", "User-Agent": "deadweight", **headers}
        try:
            return self._session.request(method, url, headers=sent, stream=True, timeout=self._seconds, **more)
        except (RequestException, HTTPError) as error:
            raise self._explained(error) from error

    def _explained(self, error: Exception) -> RegistryError:
        """By the kinds of what was raised: never by words."""
        tls: BaseException | None = error
        while tls is not None and not isinstance(tls, ssl.SSLError):
            tls = tls.__cause__ or tls.__context__
        if isinstance(error, Timeout):
            return RegistryError(wording("registry.late_answer", **self._about))
        if tls is not None and tls.reason in _NO_TLS:
            return RegistryError(wording("registry.plain_http", **self._about))
        if tls is not None and not isinstance(tls, ssl.SSLEOFError):
            return RegistryError(wording("registry.untrusted", **self._about))
        if isinstance(error, exceptions.ConnectionError):
            return RegistryError(wording("registry.no_answer", **self._about))
        return self._other(type(error).__name__)

    def _authorized(self, challenge: str) -> str:
        """The header that meets a registry's challenge (RFC 7235); empty without credentials for it."""
        try:
            user, password, identity = login_for(self._place.host)
        except Exception as error:
            raise RegistryError(wording("registry.no_login", **self._about, problem=error)) from error
        basic = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode() if user else ""
        if "bearer" not in challenge.lower():
            return basic
        asked = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
        realm = asked.get("realm", "")
        if (basic or identity) and self._schemes == ["https"] and not realm.startswith("https://"):
            raise self._other(realm)
        scope = asked.get("scope") or f"repository:{self._place.repository}:pull"
        wanted = {"service": asked.get("service", ""), "scope": scope}
        if identity:
            wanted |= {"grant_type": "refresh_token", "refresh_token": identity, "client_id": "deadweight"}
            answer = self._ask("POST", realm, {}, data=wanted, allow_redirects=False)
        else:
            answer = self._ask("GET", realm, {"Authorization": basic} if basic else {}, params=wanted)
        document = self.parsed(self._whole(self._good(answer)))
        return f"Bearer {document.get('token') or document.get('access_token')}"


class _Body:
    """What an answer brings, as a stream. Where it breaks off it ends: whoever reads it knows its size or its digest."""

    def __init__(self, answer: Response) -> None:
        self._raw = answer.raw

    def read(self, size: int | None = None) -> bytes:
        return _read(self._raw.read, size)


def _read(read: Callable[..., bytes], size: int | None) -> bytes:
    try:
        return read(size)
    except (HTTPError, OSError):
        return b""


def _is_near(host: str) -> bool:
    name = urlsplit(f"//{host}").hostname or ""
    try:
        return ipaddress.ip_address(name).is_private
    except ValueError:
        return f".{name}".endswith((".localhost", ".local"))
