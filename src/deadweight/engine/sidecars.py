"""Start programs of ours beside containers, in their networks, and put them into images made here: tunnels and recorders.

So a container's port is reached if its engine is on another machine or in another kernel: no port is opened anywhere. For each
connection the engine starts the program once more, and its input and output travel over the engine's own connection.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import select
import socket
import tarfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from deadweight._errors import DeadweightError, Interrupted, wording
from deadweight.engine.container import STDERR, STDOUT, Container, ContainerState, ExecStream, Host, frame
from deadweight.engine.faults import translated
from deadweight.engine.http import Route
from deadweight.engine.options import Mount, RunOptions
from deadweight.toolchain import golang

if TYPE_CHECKING:
    from deadweight.engine.images import EngineImage

SOURCE = Path(__file__).with_name("tunnel")
HERE = "127.0.0.1"
END_SECONDS = 20.0
RULES = ("NET_ADMIN", "NET_BIND_SERVICE")
LOOK_SECONDS = 1.0
"""How often it is looked whether who asked is still there."""
FRAME_SECONDS = 600.0
"""How long an engine may take for the rest of a frame, or to take what is sent: it does each at once."""
_CHUNK = 65536
CONFINED = RunOptions(cap_drop=("ALL",), memory_bytes=512 * 2**20, pids=128)
"""What a program of ours may do at most, unless it is told otherwise. Where the engine emulates its processor, each of eight
connections at once takes 17 MiB."""


class Sidecars:
    """Containers of one of our programs that stand beside other containers of an engine: each goes with its own.

    The program is made of the Go module in ``source``, and called like it; it is loaded as an image when it is first needed.
    """

    source: Path

    def __init__(self, engine: Host) -> None:
        self._engine, self._purpose, self._path = engine, self.source.name, f"/{self.source.name}"
        self._image = ""
        self._beside: dict[str, Container] = {}
        self._guard = threading.RLock()  # a start that fails tells of its end

    def ended(self, container_id: str) -> None:
        """Told when a container goes: what stands beside it goes too."""
        with self._guard:
            beside = self._beside.pop(container_id, None)
        if beside is not None:
            beside.remove()

    def loaded(self) -> str:
        """The program's image. Raises DeadweightError (MissingError without Go)."""
        if not self._image:
            architecture = golang.go_architecture(self._engine.info.architecture)
            program = golang.built(architecture, self.source).read_bytes()
            self._image = load_program(self._engine, self._purpose, program, architecture)
        return self._image

    def close(self) -> None:
        """Remove the image."""
        if self._image:
            with contextlib.suppress(DeadweightError):
                self._engine.images.remove(self._image, force=True)
            self._image = ""

    def _stand(self, container: Container, options: RunOptions) -> Container:
        """Start the program beside a container, where it waits."""
        options = options.but(
            read_only=True, no_new_privileges=True, network=f"container:{container.id}", args=("wait",)
        )
        with self._guard:
            beside = self._engine.start(self.loaded(), options, purpose=self._purpose)
            self._beside[container.id] = beside
        return beside

    def _exec_stream(self, beside: Container, words: Sequence[str]) -> ExecStream:
        """The program's own words carried out there: the stream of what it reads and says."""
        handle = self._engine.api.exec_create(beside.id, [self._path, *words], stdin=True)["Id"]
        return ExecStream(self._engine.api, handle)


class Tunnels(Sidecars):
    """The programs that stand beside containers of one engine, one each: they end with their container."""

    source = SOURCE

    def sidecar_of(self, container: Container, *, rules: bool = False) -> Container:
        """The one beside this container, started if there is none yet; with ``rules`` it may change how this network leads.
        Raises DeadweightError (MissingError without Go)."""
        with self._guard:
            if beside := self._beside.get(container.id):
                return beside
            rights = CONFINED.but(user="0:0", cap_add=RULES) if rules else CONFINED.but(user="65534:65534")
            return self._stand(container, rights)

    def route(self, container: Container, port: int) -> Route:
        """To 127.0.0.1 inside the container's network. Dialling raises OSError where nothing listens, as TCP does."""
        return Route("engine", HERE, port, lambda seconds: self.dial(container, HERE, port, seconds))

    def dial(self, container: Container, host: str, port: int, seconds: float) -> socket.socket:
        """A connection from inside its network to any address. Raises OSError, DeadweightError."""
        with translated(f"reach port {port}"):
            stream = self.started(container, ["dial", str(port), host])
        try:
            number, answer = frame(stream, seconds)
            if number != STDERR or answer.strip() != b"connected":
                raise ConnectionRefusedError(answer.decode(errors="replace").strip() or "nothing")
        except BaseException:
            stream.close()
            raise
        ours, theirs = socket.socketpair()
        threading.Thread(target=_pass_on, args=(stream, theirs), name="tunnel", daemon=True).start()
        return ours

    def started(self, container: Container, words: Sequence[str]) -> ExecStream:
        """The program's own words carried out in its network: the stream of what it reads and says."""
        return self._exec_stream(self.sidecar_of(container), words)

    def ruled(self, container: Container, words: Sequence[str]) -> None:
        """The program's own words carried out in its network, with the right to change how that leads. Raises DeadweightError with
        what it said where it fails."""
        try:
            done = self.sidecar_of(container, rules=True).exec([self._path, *words], seconds=END_SECONDS)
        except TimeoutError:
            raise DeadweightError(
                wording("engine.tunnel_timeout", command=" ".join(words), seconds=END_SECONDS)
            ) from None
        if done.exit_code:
            problem = done.errors.decode(errors="replace").strip() or f"exit code {done.exit_code}"
            raise DeadweightError(wording("engine.rules_failed", command=" ".join(words), problem=problem))

    def refused(self, mounts: tuple[Mount, ...]) -> str:
        """Why the engine starts no container with these mounts; empty where it does. Raises DeadweightError without the program."""
        options = CONFINED.but(network="none", mounts=mounts, args=("wait",))
        image = self.loaded()
        try:
            self._engine.start(image, options, purpose=self._purpose).remove()
        except Interrupted:
            raise
        except DeadweightError as error:
            return error.message
        return ""

    def by_bridges(self, words: Sequence[str]) -> None:
        """The same in the network where the engine's bridges are, with the right to change that network's settings. Raises
        DeadweightError with what it said where it fails."""
        info, image, problem = self._engine.info, self.loaded(), DeadweightError("")
        options = CONFINED.but(
            user="0:0", cap_add=("NET_ADMIN",), masked_paths=False, args=tuple(words),
            apparmor="unconfined" if info.apparmor else "default", userns_mode="host" if info.user_namespaces else None,
        )  # fmt: skip
        for network in self._engine.dialect.namespaces():
            there = options.but(network=network)
            try:
                with self._guard, self._engine.start(image, there, purpose=self._purpose) as container:
                    state = container.wait_ended(END_SECONDS)
                    if not state.running and not state.exit_code:
                        return
                    problem = DeadweightError(" ".join([*container.logs(3), state.outcome()]))
            except Interrupted:
                raise
            except DeadweightError as error:
                problem = error
        raise problem

    def listeners(self, container: Container) -> str:
        """What the kernel lists of its network (proc(5), ``/proc/net/tcp``)."""
        return self.sidecar_of(container).exec([self._path, "listeners"], seconds=10).output.decode(errors="replace")


def _pass_on(stream: ExecStream, theirs: socket.socket) -> None:
    """Until either side ends. One thread for both ways: a TLS connection is not to be read and written by two at once."""
    with theirs, stream, contextlib.suppress(OSError, ValueError):
        raw = stream.socket
        raw.settimeout(FRAME_SECONDS)
        watched = [raw, theirs]
        while True:
            ready = [raw] if stream.pending() else select.select(watched, [], [], LOOK_SECONDS)[0]
            if theirs not in watched and _gone(theirs):
                return
            if raw in ready:
                number, data = frame(stream, FRAME_SECONDS)
                if not number:
                    return
                if number == STDOUT:
                    theirs.sendall(data)
            if theirs in ready:
                if data := theirs.recv(_CHUNK):
                    raw.sendall(data)
                else:
                    watched = [raw]  # nothing more is asked, and the answer may still come


def _gone(other: socket.socket) -> bool:
    """Whether the other end of a pair is closed, and not only for writing."""
    poll = select.poll()
    poll.register(other, 0)
    return any(event & select.POLLHUP for _, event in poll.poll(0))


# Images of one program, made here, for engines of any kind.
def load_program(engine: Host, name: str, program: bytes, architecture: str) -> str:
    """Load an image with nothing but this program, which is started, and give its reference: one of our own, for who else has the
    program here removes its name. ``architecture`` as Go calls it. Raises DeadweightError."""
    reference = f"deadweight/{name}:{uuid.uuid4().hex[:12]}"
    layer = _tar({name: program}, mode=0o755)
    config = {
        "architecture": architecture,
        "os": "linux",
        "config": {"Entrypoint": [f"/{name}"], "Labels": engine.marks(name)},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
        "history": [{"created_by": f"deadweight {name}"}],
    }
    manifest = [{"Config": "config.json", "RepoTags": [reference], "Layers": ["layer.tar"]}]
    files = {"config.json": json.dumps(config).encode(), "layer.tar": layer}
    with translated(f"load our program {name}"):
        # An engine that fails after its first words has answered 200.
        for message in engine.api.load_image(_tar({**files, "manifest.json": json.dumps(manifest).encode()})):
            if "error" in message:
                raise DeadweightError(str(message["error"]))
    return reference


def _tar(files: dict[str, bytes], mode: int = 0o644) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for path, content in files.items():
            member = tarfile.TarInfo(path)
            member.size, member.mode = len(content), mode
            tar.addfile(member, io.BytesIO(content))
        # Podman's reader has gone at the end mark: what a tape's record is filled up with would meet a broken pipe.
        end = tar.offset + 2 * tarfile.BLOCKSIZE
    return out.getvalue()[:end]


# Programs of ours in an image made of another one, where files of this machine cannot be bound into a container: its paths mean
# nothing to an engine that runs elsewhere, and one without root may not read them.
class Packing:
    """Images that hold programs beside what another image holds: each is made once, and ``close`` removes them."""

    def __init__(self, engine: Host, name: str, purpose: str) -> None:
        self._engine, self._name, self._purpose = engine, name, purpose
        self._made: dict[tuple[str, tuple[tuple[str, bytes], ...]], str] = {}

    def packed(self, image: str, files: Mapping[str, bytes]) -> str:
        """An image like this one, with files at these absolute paths. Raises DeadweightError."""
        key = (image, tuple(sorted(files.items())))
        if key in self._made:
            return self._made[key]
        content, tag = _tar({path.strip("/"): files[path] for path in files}, mode=0o755), uuid.uuid4().hex[:12]
        with (
            self._engine.create(image, RunOptions(network="none"), purpose=self._purpose) as container,
            translated(f"put programs into an image like {image}"),
        ):
            self._engine.api.put_archive(container.id, "/", content)
            self._engine.api.commit(container.id, repository=self._name, tag=tag)
        return self._made.setdefault(key, f"{self._name}:{tag}")

    def close(self) -> None:
        for made in self._made.values():
            self._engine.images.remove(made, force=True)
        self._made.clear()


# Record a container's file or system call use from helper containers: no host process, host file or root.
#
# The recorder (``recorder/main.go``) is in an image made from the container's own. It starts first and waits at an abstract socket
# of the container's network until another container of ours connects. It hands over its filter's notifications
# (seccomp_unotify(2)) and then becomes the service. So it works in every engine whose kernel has such filters, even if this
# process sees nothing of its containers.
RECORDER = Path(__file__).with_name("recorder")
TARGET = "/.deadweight-recorder"
TALLY, WATCH = "tally", "watch"
FILES, LOOKS = "files", "looks"
"""What is told of in place of all calls (``recorder/main.go``): what opens a file, or also what looks whether there is one."""
JOIN_SECONDS, ANSWER_SECONDS = 90.0, 30.0
NOTED_SECONDS = 5.0
BEFORE_MEMORY_BYTES, BEFORE_PIDS = 32 * 2**20, 16
"""What the recorder may take before it becomes the service."""
UNTOLD = 98
"""With what the recorder ends where the kernel has no filter whose calls may go on (``recorder/main.go``)."""


class Gone(DeadweightError):
    """Who listened has gone, or does not answer: nothing was found out."""


class Recorders(Sidecars):
    """What stands beside recorded containers of one engine; each goes with its container."""

    source = RECORDER

    def __init__(self, engine: Host) -> None:
        super().__init__(engine)
        self._packing = Packing(engine, "deadweight/recorded", "recorder")

    def packed(self, image: str, also: Mapping[str, Path] | None = None) -> str:
        """An image like this one that holds the recorder at ``TARGET``, and other programs. Raises DeadweightError (MissingError
        without Go)."""
        with self._guard:
            architecture = golang.go_architecture(self._engine.info.architecture)
            files = {TARGET: golang.built(architecture, RECORDER), **(also or {})}
            return self._packing.packed(image, {path: file.read_bytes() for path, file in files.items()})

    @contextlib.contextmanager
    def listening(self, container: Container, name: str, does: str) -> Iterator[Heard]:
        """Listen to a container that was started with ``recording``; ``does`` is TALLY or WATCH. Its time to come up counts from
        then. Raises DeadweightError."""
        options = CONFINED.but(user="0:0")
        if does == WATCH:
            # it reads names in the memory of the container's processes, and follows links among its files
            options = options.but(pid_mode=f"container:{container.id}", cap_add=("SYS_PTRACE", "DAC_READ_SEARCH"))
        beside = self._stand(container, options)
        with translated("listen to the recorder"):
            stream = self._exec_stream(beside, [does, name])
        with stream:
            heard = Heard(stream)
            container.started = time.monotonic()
            yield heard

    def close(self) -> None:
        """Remove the images."""
        super().close()
        with contextlib.suppress(DeadweightError):
            self._packing.close()


class Heard:
    """What who listens has heard so far, from when it has joined. Raises Gone."""

    def __init__(self, stream: ExecStream) -> None:
        self._stream = stream
        self._said = b""
        self._next(JOIN_SECONDS, STDERR, b"joined")

    def content(self, count: int) -> bytes:
        """So many bytes of an answer. Raises Gone."""
        return self._answer(lambda: count if len(self._said) >= count else 0)

    def line(self) -> bytes:
        """An answer of one line. Raises Gone."""
        return self._answer(lambda: self._said.find(b"\n") + 1)

    def _answer(self, end: Callable[[], int]) -> bytes:
        """Ask for an answer, which ends where ``end`` finds its end in what came."""
        try:
            self._stream.socket.sendall(b"\n")
        except OSError as error:
            raise Gone(wording("engine.recorder_gone", problem=error)) from error
        while not (count := end()):
            self._said += self._next(ANSWER_SECONDS, STDOUT)
        answer, self._said = self._said[:count], self._said[count:]
        return answer

    def _next(self, seconds: float, kind: int, word: bytes | None = None) -> bytes:
        """What comes next, of this kind, and nothing but this word. Raises Gone."""
        try:
            number, data = frame(self._stream, seconds)
        except OSError as error:
            raise Gone(wording("engine.recorder_silent", problem=error)) from error
        if number != kind or (word is not None and data.strip() != word):
            raise Gone(wording("engine.recorder_refused", problem=data.decode(errors="replace").strip() or "nothing"))
        return data


def recording(options: RunOptions, argv: Sequence[str], setting: str = "") -> tuple[RunOptions, str]:
    """The options with which ``argv`` runs under the recorder, and the name by which it is listened to. ``setting``: as the
    recorder takes it."""
    name = f"@deadweight-{uuid.uuid4().hex}"
    return options.but(entrypoint=(TARGET, "record", name, setting, *argv), args=()), name


def roomier(options: RunOptions) -> RunOptions:
    """The options with room for the recorder before it becomes the service."""
    return options.but(
        memory_bytes=options.memory_bytes and options.memory_bytes + BEFORE_MEMORY_BYTES,
        pids=options.pids and options.pids + BEFORE_PIDS,
    )


def running_on(container: Container, error: DeadweightError) -> bool:
    """Whether the container runs although ``error`` came of listening to it. Who listens among its processes is ended with them, a
    moment before the engine notes the end. Raises DeadweightError."""
    return container.wait_ended(NOTED_SECONDS if isinstance(error, Gone) else 0).running


def kernel_error(state: ContainerState, lines: Sequence[str]) -> str:
    """The kernel's answer where the recorder ended for that, by the last line of its container; empty where it did not. A service
    may end with the same code."""
    ours = state.exit_code == UNTOLD and lines[-1:] and lines[-1].startswith("recorder: ")
    return lines[-1].rpartition(": ")[2] if ours else ""


def argv(facts: EngineImage, options: RunOptions) -> tuple[str, ...]:
    """What a container of an image is started with, as the engine puts it together (OCI image config: ``Entrypoint``, ``Cmd``)."""
    if options.entrypoint is not None:
        return (*options.entrypoint, *options.args)
    return (*facts.entrypoint, *(options.args or facts.command))
