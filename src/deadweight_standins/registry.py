"""Start the local image registry on loopback when needed, and find it again by its process and id.

It outlives us on purpose, for later builds and other projects. It keeps everything on disk, so it survives a kill -9: the next
user restarts it. It binds its own port: last time's, which references hold, if that is free, else one from the kernel. We read
back which, so no other program can take it in between.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import secrets
import signal
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deadweight._errors import DeadweightError
from deadweight.records import store
from deadweight_standins.machine import wording

HEADER = "X-Deadweight-Registry"
START_SECONDS = 60.0
LOCK_SECONDS = 4 * START_SECONDS
INDEX, MANIFEST = (f"application/vnd.oci.image.{kind}.v1+json" for kind in ("index", "manifest"))
LISTENS = "0A"
"""In the kernel's table of sockets (proc(5))."""


@dataclass(frozen=True)
class Place:
    """What is remembered between runs: the port, and the id of the process that was started there."""

    port: int
    id: str


class LocalRegistry:
    """The registry in ``folder``. ``binary`` gives the program when it has to be started."""

    def __init__(self, folder: Path, binary: Callable[[], Path]) -> None:
        self.folder, self._binary = folder.resolve(), binary

    @property
    def data(self) -> Path:
        """Where it keeps its blobs."""
        return self.folder / "data"

    def address(self) -> str | None:
        """``127.0.0.1:PORT`` as it was last time, whether or not it runs."""
        place = store.load(Place, self.folder / "place.json")
        return _address(place) if place is not None else None

    def running(self) -> str | None:
        """``127.0.0.1:PORT`` if our registry answers now: the process and the id are ours (a copied home has the id)."""
        place = store.load(Place, self.folder / "place.json")
        ours = place is not None and self._pid() is not None and _answers(place) == place.id
        return _address(place) if place is not None and ours else None

    def ensure(self) -> str:
        """Start it unless it runs; ``127.0.0.1:PORT`` comes back. Raises DeadweightError where it cannot be started."""
        address = self.running()
        if address is not None:
            return address
        with self._alone():
            return self._answering() or self._started()

    def stop(self) -> bool:
        """End it; its images stay on disk. False where it did not run."""
        if self._pid() is None:
            return False
        with self._alone():
            return self._end_silent()

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Two runs that find none would start two on the same data."""
        from filelock import FileLock, Timeout

        self.folder.mkdir(parents=True, exist_ok=True)
        lock = self.folder / "lock"
        try:
            with FileLock(lock, timeout=LOCK_SECONDS):
                yield
        except Timeout as error:
            raise DeadweightError(wording("registry.locked", seconds=LOCK_SECONDS, lock=lock)) from error

    def _answering(self) -> str | None:
        """One that listens is waited for: on a busy machine its answer takes a while, and others may be using it."""
        deadline = time.monotonic() + START_SECONDS
        while (address := self.running()) is None and time.monotonic() < deadline:
            place, pid = store.load(Place, self.folder / "place.json"), self._pid()
            if place is None or pid is None or place.port not in listening(pid):
                break
            time.sleep(0.1)
        return address

    def _started(self) -> str:
        """On the port of last time; if another program has that now, on one that the kernel gives."""
        self._end_silent()
        last = store.load(Place, self.folder / "place.json")
        for port in ([last.port] if last else []) + [0]:
            place = self._start(Place(port, secrets.token_hex(16)))
            if place is not None:
                store.save(place, self.folder / "place.json")
                return _address(place)
            self._end_silent()
        raise DeadweightError(wording("registry.not_started", reason=self._last_words(), log=self.folder / "log"))

    def forget(self, digest: str) -> None:
        """Remove one blob's file, so that the next upload writes it anew (the registry keeps a damaged one otherwise)."""
        self.blob(digest).unlink(missing_ok=True)

    def complete(self, repository: str, digest: str) -> bool:
        """Whether the manifest and every blob it names are on disk, whole by their size, and known to be the repository's.

        Not asked over HTTP: before every build that would be dozens of requests.
        """
        place = self.data / "docker/registry/v2/repositories" / repository
        try:
            content = self.blob(digest).read_bytes()
            manifest = json.loads(content)
            blobs = [manifest["config"], *manifest["layers"]]
            links = [place / "_manifests/revisions" / digest.replace(":", "/") / "link"]
            links += [place / "_layers" / blob["digest"].replace(":", "/") / "link" for blob in blobs]
            whole = all(self.blob(blob["digest"]).stat().st_size == blob["size"] for blob in blobs)
        except (OSError, ValueError, LookupError, TypeError):
            return False
        right = f"sha256:{hashlib.sha256(content).hexdigest()}" == digest
        return right and whole and all(link.is_file() for link in links)

    def blob(self, digest: str) -> Path:
        """Where one blob's file is, whether or not it is there."""
        word = digest.removeprefix("sha256:")
        return self.data / "docker/registry/v2/blobs/sha256" / word[:2] / word / "data"

    def layout(self, digest: str) -> Path:
        """The OCI layout of the image whose manifest has this digest, made of links to the registry's own files.

        Raises DeadweightError where one of them is gone.
        """
        from deadweight.sources.remote import layout_folder

        folder = layout_folder(digest)
        for blob in self._blobs(digest):
            place = folder / "blobs" / blob.replace(":", "/")
            if not place.exists():
                place.parent.mkdir(parents=True, exist_ok=True)
                place.unlink(missing_ok=True)
                place.symlink_to(self.blob(blob))
        manifest = {"mediaType": MANIFEST, "digest": digest, "size": self.blob(digest).stat().st_size}
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [manifest]}
        (folder / "ingest").mkdir(exist_ok=True)
        store.write_atomically(folder / "oci-layout", json.dumps({"imageLayoutVersion": "1.0.0"}))
        store.write_atomically(folder / "index.json", json.dumps(index))
        return folder

    def _blobs(self, digest: str) -> list[str]:
        """The manifest and all that it names."""
        try:
            manifest: dict[str, Any] = json.loads(self.blob(digest).read_bytes())
            named = [manifest["config"], *manifest["layers"]] if "config" in manifest else manifest["manifests"]
            digests = [digest, *(str(entry["digest"]) for entry in named)]
            if "manifests" in manifest:
                digests += [inner for child in digests[1:] for inner in self._blobs(child)]
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise DeadweightError(wording("registry.image_damaged", digest=digest, problem=error)) from error
        return digests

    def _start(self, wanted: Place) -> Place | None:
        """Start it, and say where it listens once it answers there; None if it ended, or says nothing."""
        self._write_config(wanted)
        pid, deadline = self._spawned(), time.monotonic() + START_SECONDS
        while not _reaped(pid) and time.monotonic() < deadline:
            for place in (Place(port, wanted.id) for port in listening(pid)):
                if _answers(place) == place.id:
                    return place
            time.sleep(0.02)
        return None

    def _write_config(self, place: Place) -> None:
        self.data.mkdir(parents=True, exist_ok=True)
        store.write_atomically(
            self.folder / "config.yml",
            "version: 0.1\n"
            "log: {level: warn, accesslog: {disabled: true}}\n"
            f"storage: {{filesystem: {{rootdirectory: '{self.data}'}}, delete: {{enabled: true}}}}\n"
            f"http: {{addr: '{_address(place)}', headers: {{{HEADER}: ['{place.id}']}}}}\n",
        )

    def _spawned(self) -> int:
        """Start detached: its own session, no pipe of ours, so that neither our end nor Ctrl-C ends it. Its pid comes back.

        Spawned rather than run: a child that is meant to outlive us has no place among those that ``_run`` ends.
        """
        program = str(self._binary())
        null, log = os.devnull, str(self.folder / "log")
        pid = os.posix_spawn(
            program,
            [program, "serve", str(self.folder / "config.yml")],
            {"PATH": os.environ.get("PATH", os.defpath), "OTEL_TRACES_EXPORTER": "none"},
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, null, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsid=True,
        )
        store.write_atomically(self.folder / "pid", f"{pid}\n")
        return pid

    def _end_silent(self) -> bool:
        """End the process that the pid file names, if it is really ours (its command line holds our config file)."""
        pid = self._pid()
        if pid is None:
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
            for _ in range(100):
                _reaped(pid)
                if self._pid() is None:
                    break
                time.sleep(0.02)
            else:
                os.kill(pid, signal.SIGKILL)
        (self.folder / "pid").unlink(missing_ok=True)
        return True

    def _pid(self) -> int | None:
        try:
            pid = int((self.folder / "pid").read_text())
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except (OSError, ValueError):
            return None
        return pid if os.fsencode(self.folder / "config.yml") in words else None

    def _last_words(self) -> str:
        with contextlib.suppress(OSError, IndexError):
            return (self.folder / "log").read_text(errors="replace").strip().splitlines()[-1]
        return wording("registry.said_nothing")


def _reaped(pid: int) -> bool:
    """Whether a child of ours has ended; one of somebody else's has not, as far as we can tell."""
    with contextlib.suppress(ChildProcessError):
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    return False


def _address(place: Place) -> str:
    return f"127.0.0.1:{place.port}"


def _answers(place: Place) -> str | None:
    """The id of whatever registry answers there."""
    connection = http.client.HTTPConnection(_address(place))
    connection.sock = socket.socket()
    connection.sock.settimeout(2.0)
    try:  # connected here: http.client would look the address up, and load tables of scripts for that
        connection.sock.connect(("127.0.0.1", place.port))
        connection.request("GET", "/v2/")
        return connection.getresponse().getheader(HEADER)
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def listening(pid: int) -> list[int]:
    """The ports of 127.0.0.1 on which a process listens, as the kernel tells."""
    try:
        held = {str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir()}
        rows = [line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]
    except OSError:
        return []
    return [int(row[1].partition(":")[2], 16) for row in rows if row[3] == LISTENS and f"socket:[{row[9]}]" in held]
