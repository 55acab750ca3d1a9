"""Push an image to the local registry over plain HTTP (OCI distribution spec, "Pushing blobs" and "Pushing manifests").

Only our own registry is used this way; real tools talk to every other. crane is not used here: it pushes archives and folders,
so each stand-in's layers would have to be laid out again, and each question would start a program.
"""

from __future__ import annotations

import hashlib
import http.client
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import IO
from urllib.parse import urlsplit

from deadweight._errors import DeadweightError
from deadweight_images.archive.pack import Layer
from deadweight_standins.build_cache import Settings
from deadweight_standins.machine import wording
from deadweight_standins.stand_in import images

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
CONFIG = "application/vnd.docker.container.image.v1+json"
LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
EPOCH = "1970-01-01T00:00:00Z"


@dataclass(frozen=True)
class Answer:
    """What the registry answered; the headers' names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Client:
    """One registry, for one repository at a time. ``address`` is host:port. Raises DeadweightError where it refuses."""

    def __init__(self, address: str, *, timeout: float = 60.0) -> None:
        self.address, self._timeout = address, timeout

    def digest(self, repository: str, tag: str) -> str | None:
        """The manifest's digest behind a tag, None where there is none."""
        answer = self._ask("HEAD", f"/v2/{repository}/manifests/{tag}", headers={"Accept": MANIFEST})
        return answer.headers.get("docker-content-digest") if answer.status == 200 else None

    def push(self, repository: str, tag: str, layers: Sequence[Layer], settings: Settings, architecture: str) -> str:
        """Upload layers, config and manifest; the manifest's digest comes back."""
        config = _encoded(_config(layers, settings, architecture))
        config_digest = f"sha256:{hashlib.sha256(config).hexdigest()}"
        for layer in layers:
            there = self._ask("HEAD", f"/v2/{repository}/blobs/{layer.digest}")
            if there.status != 200 or int(there.headers.get("content-length", "0")) != layer.size:
                with layer.path.open("rb") as file:
                    self._upload(repository, layer.digest, file, layer.size)
        self._upload(repository, config_digest, config, len(config))
        manifest = _encoded(
            {
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "config": {"mediaType": CONFIG, "size": len(config), "digest": config_digest},
                "layers": [{"mediaType": LAYER, "size": layer.size, "digest": layer.digest} for layer in layers],
            }
        )
        path = f"/v2/{repository}/manifests/{tag}"
        self._expect(201, self._ask("PUT", path, body=manifest, headers={"Content-Type": MANIFEST}), path)
        return f"sha256:{hashlib.sha256(manifest).hexdigest()}"

    def _upload(self, repository: str, digest: str, body: IO[bytes] | bytes, size: int) -> None:
        path = f"/v2/{repository}/blobs/uploads/"
        answer = self._ask("POST", path)
        self._expect(202, answer, path)
        place = urlsplit(answer.headers["location"])
        query = f"{place.query}&digest={digest}" if place.query else f"digest={digest}"
        target = f"{place.path}?{query}"
        sent = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
        self._expect(201, self._ask("PUT", target, body=body, headers=sent), place.path)

    def _expect(self, wanted: int, answer: Answer, path: str) -> None:
        if answer.status != wanted:
            text = answer.body[:300].decode(errors="replace").strip() or "nothing more"
            where = {"address": self.address, "path": path}
            raise DeadweightError(wording("registry.answer", status=answer.status, answer=text, **where))

    def _ask(
        self, method: str, path: str, *, body: IO[bytes] | bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        connection = http.client.HTTPConnection(self.address, timeout=self._timeout)
        try:
            connection.request(method, path, body=body, headers=dict(headers or {}))
            answer = connection.getresponse()
            return Answer(answer.status, {key.lower(): value for key, value in answer.getheaders()}, answer.read())
        except (OSError, http.client.HTTPException) as error:
            raise DeadweightError(wording("registry.silent", address=self.address, error=str(error))) from error
        finally:
            connection.close()


def _config(layers: Sequence[Layer], settings: Settings, architecture: str) -> dict[str, object]:
    runtime: dict[str, object] = {
        # each variable once, as every engine writes it: of two, runc takes the first and a shell the last
        "Env": list({entry.partition("=")[0]: entry for entry in settings.env}.values()),
        "WorkingDir": settings.workdir,
        "Labels": dict(settings.labels),
    }
    more: dict[str, object] = {"Cmd": list(settings.cmd), "Entrypoint": list(settings.entrypoint)}
    more |= {"User": settings.user, "ExposedPorts": {port: {} for port in settings.ports}}
    runtime |= {key: value for key, value in more.items() if value}
    made = {"created": EPOCH, "created_by": images().texts["history"]}
    return {
        "architecture": architecture,
        "os": "linux",
        "created": EPOCH,
        "config": runtime,
        "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]},
        "history": [made for _ in layers],
    }


def _encoded(document: object) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
