"""Wrap the Docker SDK in one engine object, for Docker 20.10 and later and Podman's compatible socket.

Everything it makes is labelled with its project and the process that made it, and is removed when the ``with`` block ends.
If this process is killed, the project's next process that starts a container removes it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import re
import tempfile
import threading
import time
import uuid
import weakref
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from deadweight import _run, _sudo
from deadweight._errors import CommandError, DeadweightError, Interrupted, MissingError, UsageError, wording
from deadweight.engine import api as wire, http, labels, netns
from deadweight.engine.api import EngineInfo, parse_info
from deadweight.engine.container import Container, read_file
from deadweight.engine.faults import Ended, PortInUse, Unreachable, refused_start, stop_if_cancelled, translated
from deadweight.engine.images import Images
from deadweight.engine.labels import Leftover
from deadweight.engine.options import Docker, Mount, RunOptions, dialect_of, is_root, socket_peer
from deadweight.engine.sidecars import Packing, Recorders, Tunnels
from deadweight.records import runs
from deadweight.records.paths import State

if TYPE_CHECKING:
    from docker.api.client import APIClient
    from requests.adapters import BaseAdapter

    from deadweight.engine.api import Endpoint


START_ATTEMPTS = 5
PASSWD_BYTES = 2**20
EVERY_SECONDS = 20.0
"""How often it is asked whether an engine still answers while one of its clients waits for it."""
API_TIMEOUT_SECONDS = 120
"""How long an engine may be silent while it sends or takes an image."""
ANSWER_SECONDS = 60
"""How long it may take for any other answer, on a busy machine too."""
CONNECTIONS = 10
"""How many are kept open over SSH."""
LOOK_SECONDS = 0.5
"""How often somebody who waits for an answer asks whether the run is to end."""
PAUSED_SECONDS = 10
"""How long one that gave no answer in time is waited for from then on, until it answers again."""
FORWARD_SECONDS = 10.0
"""How long a port that an engine elsewhere published may take to be passed on to loopback, where there is no other way."""
ENDING_SECONDS = 1
"""The same once the run is to end (Ctrl-C): what cannot be removed by then is removed by the next command."""
_paused: weakref.WeakSet[APIClient] = weakref.WeakSet()
_connected: weakref.WeakSet[Engine] = weakref.WeakSet()


def end_all() -> None:
    """Remove every container that this process made, on every engine. Used after Ctrl-C."""
    for engine in list(_connected):
        engine.end_all()


class Engine:
    """A container engine. ``project`` and its folder ``root`` stand in labels. Use it as a context manager, or call ``close``."""

    def __init__(
        self, api: APIClient, host: str, project: str, root: str = "", certificates: str | None = None
    ) -> None:
        self.api, self.host, self.project, self.root, self.certificates = api, host, project, root, certificates
        self.images = Images(api, lambda: self.dialect)
        self._mine: dict[str, Container] = {}
        self._networks: set[str] = set()
        self._asked_for: set[str] = set()
        self._users: dict[tuple[str, str], int | None] = {}
        self._copies = contextlib.ExitStack()
        self._carried = Packing(self, "deadweight/with-files", "files")
        self.tunnels = Tunnels(self)
        self.recorders = Recorders(self)
        self._guard = threading.Lock()
        self._swept = False
        self._note: Path | None = None
        _connected.add(self)

    @classmethod
    def connect(cls, endpoint: Endpoint | str, project: str = "-", root: str = "") -> Engine:
        """Connect and ask for the version. Raises MissingError where nothing answers."""
        host, certificates = (endpoint, None) if isinstance(endpoint, str) else (endpoint.host, endpoint.certificates)
        return cls(connected(host, certificates), host, project, root, certificates)

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove every container and network that this object made, then let go of the engine."""
        self.end_all()
        self.tunnels.close()
        self.recorders.close()
        with contextlib.suppress(DeadweightError):
            self._carried.close()
        self._copies.close()
        labels.remove_when_there(self.api, self._asked_for)
        for network in list(self._networks):
            with contextlib.suppress(DeadweightError):
                self.remove_network(network)
        if self._note is not None and not self._networks:
            runs.end(self._note)
        self.api.close()

    def end_all(self) -> None:
        """Remove every container that this object made, in parallel. Threads that wait for one of them stop waiting."""
        if mine := list(self._mine.values()):
            mark_if_paused(self.api)
            with ThreadPoolExecutor(len(mine)) as pool:
                list(pool.map(Container.remove, mine))

    @functools.cached_property
    def documents(self) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        """What it tells of itself (``/version``, ``/info``); asked once, for Podman takes 0.3 s to answer.

        Raises MissingError if it does not answer as an engine does."""
        with translated("info"):
            version, info = self.api.version(), self.api.info()
        if not isinstance(version, Mapping) or not isinstance(info, Mapping):
            raise MissingError(wording("engine.not_an_engine", host=self.host))
        return version, info

    @functools.cached_property
    def info(self) -> EngineInfo:
        """What engine this is."""
        return parse_info(*self.documents)

    def ask(self) -> None:
        """Raises MissingError where the engine does not answer."""
        with translated("ask the engine"):
            self.api.ping()

    @functools.cached_property
    def dialect(self) -> Docker:
        """Its words for what Docker's API and Podman's take differently."""
        return dialect_of(self.info, self.host, self.certificates)

    @functools.cached_property
    def user(self) -> int | None:
        """The number of the user that it runs as; None where it is not on this machine, or none of the processes that we see."""
        pid, user = socket_peer(self.host)
        return user if pid else None

    @property
    def is_remote(self) -> bool:
        """Whether this process cannot enter its containers' networks: it is not root, or not of the engine's machine."""
        return not _sudo.is_root() or self.user is None or self.info.rootless

    # containers

    def start(self, image: str, options: RunOptions, *, purpose: str = "check", variant: str = "") -> Container:
        """Create and start a container. ``purpose`` and ``variant`` become labels.

        A free port that somebody takes between the engine's choice and its use is tried again, a port that the caller chose is
        not. Raises PortInUse, CannotStart (the machine or the engine refuses these options) or another DeadweightError.
        """
        attempts, attempt = START_ATTEMPTS if options.host_port is None else 1, 0
        while True:
            container, attempt = self.create(image, options, purpose=purpose, variant=variant), attempt + 1
            try:
                self.begin(container)
                return container
            except BaseException as error:
                container.remove()
                if attempt == attempts or not isinstance(error, PortInUse):
                    raise
            time.sleep(0.05 * attempt)

    def create(self, image: str, options: RunOptions, *, purpose: str = "check", variant: str = "") -> Container:
        """Create a container that does not run yet. Raises Interrupted once the run is to end, wherever that is asked for: whoever
        removes what there is would not meet what is made after it."""
        self._before_the_first()
        options = self.owned(image, mounted(self.root, options))
        if self.user is None:
            image, options = self._with_files(image, options)
        if options.seccomp not in ("default", "unconfined"):
            file = self.profile(options.seccomp)
            others = self.info.podman and self.info.rootless and _sudo.is_root()
            options = options.but(seccomp=str(self._copied(file) if others else file))
        marks = {**self.marks(purpose, variant), **options.labels}
        body = self.dialect.create_body(image, options.but(labels=marks))
        name = f"deadweight-{purpose}-{uuid.uuid4().hex[:12]}"
        from docker.errors import APIError

        stop_if_cancelled()
        # Who is interrupted in this call, or gets no answer in time, does not learn what came of it.
        self._asked_for.add(name)
        with translated(f"create a container of {image}"):
            try:
                made = self.api.create_container_from_config(body, name)["Id"]
            except APIError:
                self._asked_for.discard(name)
                raise
        container = Container(self, made, image, options)
        with self._guard:
            self._mine[made] = container
        self._asked_for.discard(name)
        return container

    def marks(self, purpose: str, variant: str = "") -> dict[str, str]:
        """The labels of what this process makes in the engine."""
        return {**labels.labels(self.project, purpose, variant), labels.ROOT: self.root}

    def profile(self, seccomp: str) -> Path:
        """The file of a seccomp profile; the suite's are relative to the project."""
        return Path(self.root) / seccomp

    def _with_files(self, image: str, options: RunOptions) -> tuple[str, RunOptions]:
        """An image with what is only read of this machine's files, and the options without: by its path, an engine elsewhere finds
        nothing, or another file."""
        read = [mount for mount in options.mounts if mount.read_only]
        files = {
            str(PurePosixPath(mount.target, path.relative_to(mount.source))): path.read_bytes()
            for mount in read
            for path in ([mount.source] if mount.source.is_file() else sorted(mount.source.rglob("*")))
            if path.is_file() and path.resolve().is_relative_to(mount.source.resolve())
        }
        if not files:
            return image, options
        left = tuple(mount for mount in options.mounts if not mount.read_only)
        return self._carried.packed(image, files), options.but(mounts=left)

    def _copied(self, file: Path) -> Path:
        """A profile as it is now, for a Podman of another user: it is told a file's name, and a caller's folders are his alone."""
        folder = Path(self._copies.enter_context(tempfile.TemporaryDirectory(prefix="deadweight-profile-")))
        folder.chmod(0o755)
        copy = folder / "profile.json"
        copy.write_bytes(file.read_bytes())
        copy.chmod(0o644)
        return copy

    def owned(self, image: str, options: RunOptions) -> RunOptions:
        """The same options with the owner of each folder in memory: the container's user, so that a service can write where the
        suite says that it does. Podman's runtimes keep the mode that is asked for, and Podman knows no owner.

        runc 1.1.5, which Debian 12 has, mounts it as root's, with the mode of the folder that the image has there, whatever
        ``mode=`` says. A folder that the image gave to its user alone is then writable by root alone."""
        if not options.tmpfs or self.dialect.keeps_tmpfs_modes or (known := self.images.get(image)) is None:
            return options
        return with_tmpfs_owners(options, known.user, lambda name: self._number_of(name, known.id))

    def _number_of(self, name: str, image_id: str) -> int | None:
        """A user's number, read out of an image once."""
        if (image_id, name) not in self._users:
            passwd = b""
            options = RunOptions(entrypoint=("none",), network="none")
            with self.create(image_id, options) as container, contextlib.suppress(DeadweightError):  # it has none
                passwd = read_file(self.api, container.id, "/etc/passwd", PASSWD_BYTES)
            self._users[image_id, name] = number_of(name, passwd)
        return self._users[image_id, name]

    def begin(self, container: Container) -> None:
        """Start a created container; its start-up time counts from here. Raises PortInUse, CannotStart."""
        from docker.errors import APIError

        container.started = time.monotonic()
        with translated(f"start a container of {container.image}"):
            try:
                self.api.start(container.id)
            except APIError as error:
                raise refused_start(container.image, container.options.host_port, error) from error

    def forget(self, container: Container) -> None:
        """Called by a container that removes itself."""
        with self._guard:
            self._mine.pop(container.id, None)
        self.tunnels.ended(container.id)
        self.recorders.ended(container.id)

    def route(self, container: Container, port: int | None = None) -> http.Route:
        """The way to a container's port: published, network namespace (for root), address, through the engine. What an engine
        elsewhere publishes is reached once somebody there passes it on to loopback, which may come later or not at all.

        Raises Ended if it does not run any more, Unreachable if no way leads there.
        """
        inside = port or container.options.publish
        if inside is None:
            raise DeadweightError(wording("engine.no_published_port"))
        document = container.settled()
        if not container.kernel_says_running() and not (document := container.inspect())["State"].get("Running"):
            raise Ended(wording("engine.container_ended", name=container.name))
        # Nothing leads into a network of ours: no port that is published all the same (Podman says that one is, Docker does not),
        # and no address, since it has none of the engine's machine.
        open_network = container.options.network not in self._networks
        local = self.host.startswith("unix://")
        bindings = (document["NetworkSettings"].get("Ports") or {}).get(f"{inside}/tcp")
        published = int(bindings[0]["HostPort"]) if bindings and local and open_network else 0
        if published and (self.user is not None or http.listens(published)):
            return http.direct("published", "127.0.0.1", published)
        pid = int(document["State"].get("Pid") or 0)
        if local and http.can_enter_namespace(pid, container.id):
            return http.namespace_route(pid, inside)
        address = container.address()
        # Those of an engine elsewhere live in another machine, those of a rootless one in a network namespace of its own.
        if address and open_network and self.user is not None and not self.info.rootless:
            return http.direct("address", address, inside)
        try:
            self.tunnels.sidecar_of(container)
        except DeadweightError as error:
            if not container.state().running:
                raise Ended(wording("engine.container_ended", name=container.name)) from error
            if published and http.listens(published, FORWARD_SECONDS):
                return http.direct("published", "127.0.0.1", published)
            raise Unreachable(
                wording("engine.unreachable", port=inside, name=container.name, problem=error.message),
                hint=error.hint,
            ) from error
        return self.tunnels.route(container, inside)

    def listening(self, container: Container) -> str:
        """The kernel's tables of what listens in a container, read by a program beside it."""
        return self.tunnels.listeners(container)

    # networks

    @contextlib.contextmanager
    def network(self, purpose: str) -> Iterator[str]:
        """A bridge network of our own, removed at the end; gives its name.

        Nothing leads out. The bridge has no address of the engine's machine either, so that not even services listening on all its
        addresses can be reached from inside (and containers only by their namespace).
        """
        name = f"deadweight-{purpose}-{uuid.uuid4().hex[:12]}"
        self._before_the_first()
        self._networks.add(name)
        try:
            with translated(f"create network {name}"):
                self.dialect.create_network(self.api, name, self.marks(purpose))
            yield name
        finally:
            self.remove_network(name)

    def remove_network(self, name: str) -> None:
        """Remove a network, and before it the containers of ours on it; where it cannot go yet, ``close`` tries again."""
        for container in list(self._mine.values()):
            if container.options.network == name:
                container.remove()
        with contextlib.suppress(MissingError), translated(f"remove network {name}"):
            self.api.remove_network(name)
        self._networks.discard(name)

    # leftovers

    def leftovers(self) -> list[Leftover]:
        """Everything in the engine that carries our labels, of every project."""
        return labels.find_leftovers(self.api)

    def cleanup_stale(self, root: str | None = None) -> list[Leftover]:
        """Remove the containers, networks and images of dead processes (kill -9), of the project in this folder or (None) of every
        one; gives what was removed."""
        stale = (left for left in self.leftovers() if left.stale and (root is None or left.ours_to_remove(root)))
        return [left for left in stale if labels.remove_leftover(self.api, left)]

    def _before_the_first(self) -> None:
        """Leave a note for whoever comes after us, should we be killed; and remove what those left who were."""
        with self._guard:
            first, self._swept = not self._swept, True
            if first and self.root:
                marks = labels.labels(self.project, "run")
                self._note = runs.begin(State(Path(self.root)), marks, self.host, self.certificates)
        if first:
            self.cleanup_stale(self.root)


def mounted(root: str, options: RunOptions) -> RunOptions:
    """The same options with the project's files as mounts. Raises UsageError for one that is not there."""
    if not options.files:
        return options
    absent = next((path for path in options.files.values() if not (Path(root) / path).exists()), None)
    if absent is not None:
        raise UsageError(wording("engine.no_such_mount", path=absent, root=root))
    mounts = (Mount(Path(root) / path, target) for target, path in options.files.items())
    return options.but(mounts=(*options.mounts, *mounts), files={})


FOR_ALL = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108 - names of folders in images
"""Folders that every image lets everybody write to (FHS 3.0; sticky, mode 1777)."""


def with_tmpfs_owners(options: RunOptions, image_user: str, look: Callable[[str], int | None]) -> RunOptions:
    """The same options, with ``uid`` set if a folder in memory stands for one of the image's. Nothing changes for root. ``look``
    gives a user's number by name, as the image's /etc/passwd has it."""
    user = image_user if options.user is None else options.user
    theirs = {folder for folder in options.tmpfs if folder.path.rstrip("/") not in FOR_ALL and folder.uid is None}
    if is_root(user) or not theirs:
        return options
    name = user.split(":", 1)[0].strip()
    uid = int(name) if name.isdecimal() else look(name)
    folders = (dataclasses.replace(folder, uid=uid) if folder in theirs else folder for folder in options.tmpfs)
    return options.but(tmpfs=tuple(folders))


def number_of(name: str, passwd: bytes) -> int | None:
    """A user's number by a file in the form of passwd(5); None where it has no such user."""
    line = re.search(rf"(?m)^{re.escape(name)}:[^:\n]*:(\d+)(?::|\r?$)", passwd.decode(errors="replace"))
    return int(line[1]) if line else None


# The Docker SDK's client of an engine, and how long it waits for answers.
def connected(host: str, certificates: str | None) -> APIClient:
    """The SDK's client of the engine at this address. Raises MissingError if nothing answers, or nothing that can be spoken to.

    The engine is asked first, without the SDK, which tells of one that does not answer in a dozen nested errors, leaves its socket
    open, and would ask for the version through an adapter of its own."""
    from docker.errors import DockerException
    from docker.tls import TLSConfig

    over_ssh = host.startswith(wire.SSH)
    if problem := wire.trouble(host, certificates):
        hint = wire.ssh_hint(host) if over_ssh else ""
        raise MissingError(wording("engine.no_answer_at", host=host, problem=problem), hint=hint)
    seconds = wire.SSH_PING_SECONDS if over_ssh else ANSWER_SECONDS
    version = wire.document(host, "/version", certificates, timeout=seconds).get("ApiVersion")
    if not isinstance(version, str):
        raise MissingError(wording("engine.api_unusable", host=host, problem=wording("engine.no_version")))
    pair = (f"{certificates}/cert.pem", f"{certificates}/key.pem")  # DOCKER_CERT_PATH, as Docker's own client reads it
    try:
        client = _sdk_client()(
            base_url="unix:///over-ssh" if over_ssh else host,
            version=version,
            timeout=API_TIMEOUT_SECONDS,
            tls=bool(certificates) and TLSConfig(client_cert=pair, ca_cert=f"{certificates}/ca.pem", verify=True),
        )
    except (DockerException, ValueError) as error:
        raise MissingError(wording("engine.api_unusable", host=host, problem=error)) from error
    if over_ssh:
        client.mount("http+docker://", _ssh_adapter(host))
    return client


def _ssh_adapter(host: str) -> BaseAdapter:
    """What the SDK's session is to speak through (its own one wants a second implementation of SSH)."""
    from docker.transport import unixconn
    from urllib3.connection import HTTPConnection
    from urllib3.connectionpool import HTTPConnectionPool

    class Connection(HTTPConnection):
        def connect(self) -> None:
            self.sock = wire.dial_ssh(host, API_TIMEOUT_SECONDS)

    class Adapter(unixconn.UnixHTTPAdapter):
        def get_connection(self, url: Any, proxies: Any = None) -> Any:  # noqa: ARG002 - the SDK gives it by name
            return pool

        def close(self) -> None:
            pool.close()

    pool = HTTPConnectionPool("localhost", timeout=API_TIMEOUT_SECONDS, maxsize=CONNECTIONS)
    pool.ConnectionCls = Connection
    return Adapter("http+unix://over-ssh", API_TIMEOUT_SECONDS)


def mark_if_paused(api: APIClient) -> None:
    """Ask whether the engine answers, so that nothing waits long for one that does not: one that is paused takes requests, and is
    silent."""
    import requests

    try:
        api.get(f"{api.base_url}/_ping", timeout=PAUSED_SECONDS)
    except requests.exceptions.Timeout:
        _paused.add(api)
    except requests.exceptions.RequestException:
        pass  # who asks for more is told


@functools.cache
def _sdk_client() -> type[APIClient]:
    """The SDK's client, which waits for a paused engine once, and trusts what it is told to.

    For a request without ``verify``, requests takes REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE before what its session has: the engine's
    own certificate is in neither.
    """
    from docker.api.client import APIClient
    from requests.exceptions import Timeout

    class Client(APIClient):
        def send(self, request: Any, **settings: Any) -> Any:
            usual = settings.get("timeout") == self.timeout
            if usual:
                longest = API_TIMEOUT_SECONDS if settings.get("stream") else ANSWER_SECONDS
                silent = ENDING_SECONDS if _run.cancelled() else PAUSED_SECONDS
                settings["timeout"] = silent if self in _paused else longest
            try:
                answer = _unless_ending(lambda: super(Client, self).send(request, **settings))
            except Timeout as error:
                # else it was the caller who did not want to wait longer, or Ctrl-C
                if usual and not isinstance(error.__cause__, Interrupted):
                    _paused.add(self)
                raise
            _paused.discard(self)
            return answer

        def merge_environment_settings(self, url: Any, proxies: Any, stream: Any, verify: Any, cert: Any) -> Any:
            trusted = self.verify if verify is None else verify
            return super().merge_environment_settings(url, proxies, stream, trusted, cert)

    return Client


def _unless_ending(send: Callable[[], Any]) -> Any:
    """What a request gives. Nothing wakes a worker that waits for a silent engine; so a thread of its own waits, and the worker
    goes its way soon after Ctrl-C. The main thread is woken by that itself. Raises Timeout then, and what ``send`` raises."""
    from requests.exceptions import Timeout

    if threading.current_thread() is threading.main_thread():
        return send()
    answer, left = netns.in_thread(send), float(PAUSED_SECONDS)
    while not wait([answer], LOOK_SECONDS).done:
        left -= LOOK_SECONDS if _run.cancelled() else 0
        if left <= 0:
            raise Timeout(wording("engine.no_answer_before_end")) from Interrupted("interrupted")
    return answer.result()


@contextlib.contextmanager
def watch_engine(endpoint: Endpoint) -> Iterator[_run.Stop]:
    """Gives what a client is run with (``run(stop=…)``): it is ended where the engine falls silent, as a paused one (SIGSTOP, a
    machine that sleeps), else it would wait for as long as it is let. Raises MissingError then.

    Not over SSH, where each question is a connection of its own, and ssh itself notices.
    """
    stop, over = _run.Stop(), threading.Event()
    silent: list[str] = []
    trouble = functools.partial(wire.trouble, endpoint.host, endpoint.certificates)

    def watch() -> None:
        while not over.wait(EVERY_SECONDS):
            if trouble(timeout=ANSWER_SECONDS) and (problem := trouble(timeout=PAUSED_SECONDS)):
                silent.append(problem)
                stop.now()
                return

    if not endpoint.host.startswith(wire.SSH):
        threading.Thread(target=watch, daemon=True, name="watchdog").start()
    try:
        yield stop
    except CommandError as error:
        if not silent:
            raise
        raise MissingError(wording("engine.fell_silent", host=endpoint.host, problem=silent[0])) from error
    finally:
        over.set()
