"""Set up the place to attack one variant: an isolated network, an attacker, planted secrets, a host folder.

Each run makes everything anew, with fresh secrets, and always removes it at the end. If a run is killed, the next one removes
what it left.
"""

from __future__ import annotations

import contextlib
import json
import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from deadweight._errors import DeadweightError, Interrupted
from deadweight.engine.container import read_file
from deadweight.engine.faults import CannotStart
from deadweight.engine.options import Mount, RunOptions, bridge_of, hardened_for
from deadweight.engine.sidecars import Packing
from deadweight.suite.checks import AttacksCheck
from deadweight_attacks import remote
from deadweight_attacks.attacker import Attacker, as_neighbour
from deadweight_attacks.awk import awk_of
from deadweight_attacks.guard import LAB, Guard, disks_of, free_bytes
from deadweight_attacks.helper import TARGET, Helper, Shell, own_helper, static_shell
from deadweight_attacks.host import PURPOSE, HostFolder, sweep_host_folders
from deadweight_attacks.listeners import Listener, Planted, Word
from deadweight_attacks.machine import can_start, not_held, unenforced
from deadweight_attacks.metadata import FarMetadata, Metadata
from deadweight_attacks.model import KERNELS
from deadweight_attacks.network import cut_off, fence, unfence
from deadweight_attacks.profile import profile_files
from deadweight_attacks.routes import Aim
from deadweight_attacks.run_options import NOWHERE, Ground, options
from deadweight_attacks.walls import LANDLOCK, Posture, wording

if TYPE_CHECKING:
    from deadweight.checks.protocol import Subject
    from deadweight.engine.client import Engine
    from deadweight.engine.container import Container

# Files as an image has them: an attack that reads one is proven by what stands in it.
MOST_BYTES = 2**20


class ImageFiles:
    """Read out of a container of the image, each once."""

    def __init__(self, engine: Engine, container_id: str) -> None:
        self._engine, self._container_id = engine, container_id
        self._read: dict[str, bytes | None] = {}

    def content(self, path: str) -> bytes | None:
        """A file as the image has it; None where it has none."""
        if path not in self._read:
            try:
                content: bytes | None = read_file(self._engine.api, self._container_id, path, MOST_BYTES)
            except DeadweightError:
                content = None
            self._read[path] = content
        return self._read[path]

    def telling_line(self, path: str) -> str | None:
        """The first line of a file that is long enough to be nothing else, and that JSON writes as it stands; what the kernel says
        of itself is known by the engine's word. None where there is none."""
        if path == KERNELS:
            return f"Linux version {self._engine.info.kernel} "
        lines = (self.content(path) or b"").decode("utf-8", errors="replace").splitlines()
        return next((line for line in lines if len(line) >= 10 and json.dumps(line) == f'"{line}"'), None)


# Where an image keeps its own application, told by the words that start it.
def app_folder(words: Sequence[str], working: str = "") -> str:
    """The folder of the image's own application, by the words that start it.

    That of the program; where that is an interpreter, or is found through PATH: the folder of the first path among its arguments
    (``-jar /app/x.jar``, ``-cp @/app/list`` or ``-cp /app/classes:…``), else the working directory. A base brings a working
    directory of its own (distroless: ``/home/nonroot``), so it comes last.
    """
    if words and words[0].startswith("/") and not _RUNS_OTHERS.fullmatch(PurePosixPath(words[0]).name):
        return str(PurePosixPath(words[0]).parent)
    for word in words[1:]:
        path = PurePosixPath(word.removeprefix("@").partition(":")[0])
        if path.is_absolute():
            return str(path if path.parent == PurePosixPath("/") and not path.suffix else path.parent)
    return str(PurePosixPath(working)) if working.startswith("/") else "/"


_RUNS_OTHERS = re.compile(r"(|ba|da|a|z)sh|env|tini|dumb-init|java|python[0-9.]*|node|ruby|perl|php|dotnet")


# Landlock (landlock(7)) put on a service before it starts, by a small program of ours in front of it.
HALVES, TRY_SECONDS = ("land", "locked"), 10.0


def putting_on(container: Container, hard: RunOptions, port: int | None, handed_in: Sequence[Mount]) -> tuple[str, ...]:
    """The program and the words that put it on, before those that it starts.

    Nothing but what ``hard`` grants may be written to, nothing that is ``handed_in`` from the host read, no port taken but the
    service's own. Tried once in ``container``, which has the program. Raises DeadweightError where this machine cannot do it.
    """
    words = [f"write={folder.path}" for folder in hard.tmpfs] + [f"deny={mount.target}" for mount in handed_in]
    words += [*([] if port is None else [f"port={port}"]), *(["connect"] if hard.hosts else [])]
    start = (TARGET, "landlock", *words, "--")
    try:
        tried = container.exec([*start, TARGET, "hello", *HALVES], seconds=TRY_SECONDS)
        output = tried.output.decode(errors="replace").strip()
    except (DeadweightError, OSError) as error:
        output = str(error)
    if output != "".join(HALVES):
        raise DeadweightError(wording("engine.no_landlock", reason=output))
    return start


# Starting containers of an attacked image, and what is believed of them: the guard may end those that are under attack.
class NoService(DeadweightError):
    """The service does not come up, or not in a way that attacks could be sent to it: nothing can be measured."""


class Starts:
    """Of one variant's image. ``far``: paths of this machine mean nothing to the engine. ``guard`` ends what is attacked where disk
    or time runs out; None before there is one."""

    def __init__(self, engine: Engine, image: str, variant: str) -> None:
        self._engine, self._image, self._variant = engine, image, variant
        self._packing = Packing(engine, remote.NAME, PURPOSE)
        self.far = False
        self.guard: Guard | None = None

    def close(self) -> None:
        self._packing.close()

    def start(self, options: RunOptions, labels: Mapping[str, str] | None = None) -> Container:
        """A container that is not attacked itself."""
        marked = options.but(labels={**options.labels, **(labels or {})})
        image, marked = remote.packed(self._packing, self._image, marked) if self.far else (self._image, marked)
        with self.believed():
            return self._engine.start(image, marked, purpose=PURPOSE, variant=self._variant)

    def guarded(self, options: RunOptions) -> Container:
        """A container to attack: ended by the guard where disk or time runs out. Raises NoService where that came already."""
        self.raise_if_ended()
        return self.start(options, self.guard.labels() if self.guard is not None else None)

    @contextlib.contextmanager
    def believed(self) -> Iterator[None]:
        """What fails within says nothing where the guard has ended the container it was about: then NoService with its reason."""
        try:
            yield
        except Interrupted:
            raise
        except DeadweightError as error:
            if self._ended:
                raise NoService(self._ended) from error
            raise

    def raise_if_ended(self) -> None:
        """Raises NoService where the guard has ended what was attacked: then nothing that is seen means anything."""
        if self._ended:
            raise NoService(self._ended)

    @property
    def _ended(self) -> str:
        """Why the guard has ended everything; empty where it has not."""
        return self.guard.reason if self.guard is not None else ""


BREACH = "breach"
"""The note on why nothing can be started beside the service."""
SECRET = "DEADWEIGHT_PLANTED"  # noqa: S105 - a variable's name
RESERVE_BYTES = 2 * 2**30


class Lab:
    """Use it as a context manager. ``ground`` is what all postures share; ``notes`` are things a reader must know.

    ``shell_from`` gets the static shell that is bound in where an image has none (default: from the source), or raises
    DeadweightError; ``helper_from`` the same for the attacker's own program (default: built here).
    """

    ground: Ground

    def __init__(self, subject: Subject, shell_from: Shell | None = None, helper_from: Helper | None = None) -> None:
        self.subject, self.variant, self._static_shell = subject, subject.variant, shell_from or static_shell
        self._own_helper = helper_from or own_helper
        self.awk = awk_of(subject.variant.checks.attacks or AttacksCheck())
        self.engine: Engine = subject.engine()
        self.image = subject.engine_image()
        self.planted = Planted()
        self._mark = uuid.uuid4().hex
        self.aims: tuple[Aim, ...] = ()  # and the routes, filled in when the service is there (aiming.py)
        self.routes: tuple[Aim, ...] = ()
        self.takes_nothing = False  # as a document of the service's says
        self.metadata: Metadata | None = None
        self.worked: dict[str, tuple[str, Aim | None]] = {}
        self.notes: dict[str, str] = {}
        self.has_shell = True
        self.far, self.reach = False, remote.Reach()
        self._last, self._stack = contextlib.ExitStack(), contextlib.ExitStack()
        self.starts = Starts(self.engine, self.image, self.variant.name)
        self._stack.callback(self.starts.close)

    def __enter__(self) -> Lab:
        try:
            with self.starts.believed():
                self._build()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        with self._last:  # what takes a moment to end meanwhile
            self._stack.close()

    def _build(self) -> None:
        self.far = self.starts.far = self.engine.is_remote
        self.reach = remote.reach(self.engine) if self.far else self.reach
        sweep_host_folders()
        unfence()
        facts = self.engine.images.need(self.image)
        self.image_user = facts.user
        self.app_folder = app_folder((*facts.entrypoint, *facts.command), facts.folder)
        self.named = hardened_for(self.variant, facts.user).but(publish=None)
        hard = self.named.but(seccomp="default")
        given = () if hard.entrypoint is not None and not hard.args else hard.args or facts.command
        self._command = (*(facts.entrypoint if hard.entrypoint is None else hard.entrypoint), *given)
        self.network = self._stack.enter_context(self.engine.network(PURPOSE))
        hard = hard.but(hosts=self._stack.enter_context(self.subject.service.dependencies(self.network)))
        self.named = self.named.but(hosts=hard.hosts, network=self.network)
        if hard.hosts:
            needed = ", ".join(hard.hosts)
            self.notes["no-network"] = f"the service needs {needed}, so in every posture its network leads there"
        self._brought = self._mounts_or_note(self._own_helper, BREACH)
        self._start_guards(self._place(hard))
        self._lay_out(hard)

    def _place(self, hard: RunOptions) -> str:
        """The attacker on the network. The name of its bridge, which is cut off from this machine."""
        container = self._stack.enter_context(self._start_attacker(hard.but(network=self.network, dns=NOWHERE)))
        try:
            self.attacker = Attacker(container, self.network, self.engine.tunnels if self.far else None)
        except Interrupted:
            raise
        except DeadweightError as error:
            raise NoService(error.message) from error
        self._stack.callback(self.attacker.close)
        self.files = ImageFiles(self.engine, container.id)
        bridge = bridge_of(self.network)
        try:
            if self.far:
                self.engine.tunnels.by_bridges(("cut-off", bridge))
            else:
                cut_off(bridge)
        except DeadweightError as error:
            raise NoService(wording("network.not_isolated", reason=error.message)) from error
        self.reach = replace(self.reach, processes=self.attacker.seen)
        try:
            self.metadata = self._stand_in()
            self._stack.callback(self.metadata.close)
        except Interrupted:
            raise
        except (OSError, DeadweightError) as error:
            self.drop_metadata(str(error))
        return bridge

    def _stand_in(self) -> Metadata:
        if not self.far:
            return Metadata(self.attacker, self.planted.metadata)
        attacker = self.attacker
        return FarMetadata(self.engine.tunnels, attacker.container, attacker.host, self.planted.metadata)

    def _start_attacker(self, hard: RunOptions) -> Container:
        """The attacker: our own program, where the image can start it, so that no port of its is taken; else the service."""
        mine = {LAB: self._mark}
        if self._brought:
            try:
                return self.starts.start(as_neighbour(hard, self._brought, self.planted.neighbour), mine)
            except CannotStart as error:
                self._brought = ()
                self.notes[BREACH] = wording("untried.breach_in_image", reason=error.message)
        return self.starts.start(hard, mine)

    def drop_metadata(self, why: str) -> None:
        """Nothing that goes for it is tried."""
        self.metadata = None
        self.notes["metadata"] = wording("untried.metadata", reason=why)

    def _start_guards(self, bridge: str) -> None:
        """The host folder, what is watched, the guard over it, and the firewall."""
        try:
            handed = not self.far or self.reach.user is not None
            self.host = HostFolder(self.planted.host, handed=handed, owner=self.reach.user)
        except OSError as error:
            raise NoService(wording("engine.no_tmpfs", error=str(error))) from error
        self._stack.callback(self.host.close)
        if self.reach.user is not None and (why := self.engine.tunnels.refused(self.host.mounts())):
            self.notes["host"] = wording("untried.host_folder", reason=why)
            self.reach = replace(self.reach, user=None)
        if self.far:
            self.notes["elsewhere"] = remote.note(self.reach, metadata=self.metadata is not None)
        self._disks = () if self.far and not self.reach.disks else disks_of(self.engine.info)
        if not self._disks:
            self.notes["disk"] = wording("untried.disk")
        if self.engine.info.podman:
            self.notes["read-only"] = (
                "Podman mounts /tmp, /run and /var/tmp in memory, writable and without a bound of their own, where the root "
                "file system is read-only; Docker does not"
            )
        self.unenforced = unenforced(self.engine)
        if self.unenforced:
            self.notes["limits"] = wording("untried.limits", reason=not_held(self.unenforced))
        guard = Guard(
            self.engine.host, self._mark, self.network, bridge, self.host, self._disks, self.engine.certificates
        )
        self._last.callback(guard.wait)
        self.starts.guard = self._stack.enter_context(guard)
        if self.far:
            return
        try:
            fence(bridge)  # after the guard's start: it takes the rules away
        except DeadweightError as error:
            self.notes["network"] = wording("untried.firewall", reason=error.message)

    def _lay_out(self, hard: RunOptions) -> None:
        """What postures are made of on this machine."""
        mounts = () if self.far and self.reach.user is None else self.host.mounts()
        unstartable, devices = self._probe(hard)
        try:
            self.has_shell = self.attacker.has_shell()
        except Interrupted:
            raise
        except DeadweightError as error:
            raise NoService(error.message) from error
        profile, named = self._stack.enter_context(profile_files(self.subject))
        self.ground = Ground(
            hard=hard,
            network=self.network,
            mounts=mounts,
            shell=() if self.has_shell else self._mounts_or_note(self._static_shell, "image"),
            helper=self._brought,
            unstartable=unstartable,
            env={SECRET: self.planted.environment},
            info=self.engine.info,
            devices=devices,
            profile=profile,
            named=named,
            neighbour=self.attacker.container.id if self._brought and (self.reach.processes or not self.far) else "",
            landlocked=self._landlocked(hard, mounts),
            command=self._command,
        )
        if self.ground.too_much:
            self.notes["memory"] = wording("untried.memory", reason=self.ground.too_much)

    def options(self, posture: Posture) -> RunOptions:
        return options(posture, self.ground)

    def unshare(self, why: str) -> None:
        """Have no posture share a neighbour's processes and memory: the service does not come up so."""
        self.ground = replace(self.ground, neighbour="")
        self.notes["neighbour"] = wording("untried.neighbour", reason=why)

    # what an attack needs

    def listen(self, word: Word, does: str) -> Listener:
        """Raises DeadweightError where the attacker has ended."""
        self.attacker.check()
        try:
            return self.attacker.listen(word, does)
        except OSError as error:
            raise DeadweightError(wording("network.closed", error=str(error))) from error

    def no_room_on_disk(self) -> str:
        """Why attacks that write have no room: the engine's disk cannot be watched, or is too full; empty where they have."""
        free = free_bytes(self._disks)
        if free is None:
            return self.notes["disk"]
        return "" if free > RESERVE_BYTES else wording("untried.disk_full")

    # what this machine can start

    def _landlocked(self, hard: RunOptions, mounts: Sequence[Mount]) -> tuple[str, ...]:
        """What puts Landlock on; nothing, with a note, where that cannot be done here."""
        if not self._brought:
            self.notes[LANDLOCK] = f"Landlock was not tried: {self.notes[BREACH]}"
            return ()
        try:
            return putting_on(self.attacker.container, hard, self.variant.port, mounts)
        except DeadweightError as error:
            self.notes[LANDLOCK] = error.message
            return ()

    def _mounts_or_note(self, made: Shell | Helper, note: str) -> tuple[Mount, ...]:
        """What brings a program in; nothing, with a note on what was not tried, if that cannot be had."""
        try:
            return made(self.subject)
        except Interrupted:
            raise
        except DeadweightError as error:
            self.notes[note] = wording("untried.breach" if note == BREACH else "untried.shell", reason=error.message)
            return ()

    def _probe(self, hard: RunOptions) -> tuple[tuple[str, ...], bool]:
        userns = "host" if self.engine.info.user_namespaces else None
        mine = {LAB: self._mark}
        refused, devices = can_start(lambda tried: self.starts.start(tried, mine), self.engine.host, hard.args, userns)
        if refused:
            self.notes["open"] = (
                f"this machine cannot start a container with {', '.join(refused)}; the posture open runs without it"
            )
        return refused, devices
