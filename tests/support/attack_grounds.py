"""A project with one service to attack, attacks of ours for it, and what an attack run left behind."""

import contextlib
import json
import os
import select
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from yaml import safe_dump

from deadweight.checks.protocol import Subject
from deadweight.engine import labels
from deadweight.engine.client import Engine
from deadweight.records.paths import State
from deadweight.sources.settings import record
from deadweight_attacks import lab
from deadweight_attacks.host import PREFIX, PURPOSE
from deadweight_attacks.load import PACKS, Catalogue, load_payloads
from deadweight_attacks.matrix import Runner
from deadweight_attacks.model import Payload
from deadweight_attacks.outcomes import Matrix, Plan
from deadweight_attacks.walls import Posture
from tests.support.small_images import in_engine, reference as image_name, service_archive
from tests.support.small_project import own_leftovers, put_built, subject_of, write_suite

AWK = "{path: /api/v1/awk, args: args, input: input}"
ADDS = "{name: adds, request: {method: POST, path: /api/v1/awk, json: {script: 'BEGIN { print 6 * 7 }'}}}"


def castle(
    root: Path, engine: Engine, archive: Path, yaml: str = "", reference: str = "", awk: bool = True, **files: str
) -> Subject:
    """A subject of the demo service (or of ``reference``) with this YAML; ``files`` are further ones of the project.

    ``awk``: whether the suite says how an AWK script reaches it.
    """
    for name, text in files.items():
        (root / f"{name}.yaml").write_text(text, encoding="utf-8")
    checks = f", checks: {{attacks: {{awk: {AWK}}}}}" if awk else ""
    head = f"name: p\ndefaults: {{port: 8080, health: {{path: /healthz}}{checks}}}\n"
    suite = write_suite(root, f"{head}variants:\n  castle:\n    builder: ko\n    {yaml}\n")
    record(State(root), source="local")
    built = put_built(suite, "castle", archive, reference or image_name("playground"))
    return subject_of(suite, "castle", built, archive, engine)


@contextlib.contextmanager
def service_image(engine: Engine, *words: Any, **more: Any) -> Iterator[tuple[Path, str]]:
    """A ``service_archive`` in the engine, and what it is called there. Gone afterwards, and with it all that attacks made."""
    archive = service_archive(*words, **more)
    with in_engine(engine, archive, image_name(words[1])) as reference:
        yield archive, reference
    assert left(engine) == []


def payload(name: str) -> Payload:
    """One of our attacks."""
    return next(payload for payload in load_payloads().payloads if payload.id == name)


def own_attacks(attacks: Mapping[str, Mapping[str, Any]], **more: Any) -> str:
    """A payload file with these, which prove themselves by their output where they do not say otherwise."""
    usual = {"title": "one of our own", "attack": "T1059", "evidence": {"kind": "output"}}
    payloads = [{"id": name, **usual, **attack} for name, attack in attacks.items()]
    return safe_dump({"payloads": payloads, **more}, sort_keys=False)


def only(*names: str, packs: Sequence[str] = tuple(PACKS)) -> Catalogue:
    """These of our attacks."""
    ours = load_payloads(packs=packs)
    return replace(ours, payloads=tuple(payload for payload in ours.payloads if payload.id in names))


def matrix(subject: Subject, attacks: Catalogue, *postures: Posture) -> Matrix:
    """What comes of attacks in a laboratory of their own; no wall is tried alone."""
    with lab.Lab(subject) as built:
        return Runner(built, attacks).run(Plan(postures, alone=False))


def left(engine: Engine, pid: int | None = None) -> list[str]:
    """What attacks of this process (or that one) left behind; others may be attacking on the same machine."""
    pid = pid or os.getpid()
    things = [leftover.name for leftover in own_leftovers(engine, pid) if leftover.labels[labels.PURPOSE] == PURPOSE]
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            if json.loads((folder / "owner.json").read_text())[labels.OWNER].startswith(f"{pid}:"):
                things.append(str(folder))
    return things


Entered = Callable[[Callable[[], socket.socket]], socket.socket]


@contextlib.contextmanager
def listening(entered: Entered = lambda made: made()) -> Iterator[tuple[list[str], list[int]]]:
    """All that comes to a port of TCP and one of UDP, version 4 or 6, at any address of the network that ``entered`` makes sockets
    in; and the ports."""
    heard: list[str] = []

    def datagrams() -> socket.socket:
        made = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        made.bind(("::", 0))
        return made

    tcp = entered(lambda: socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True))
    udp, closing = entered(datagrams), threading.Event()

    def serve() -> None:
        while not closing.is_set():
            for ready in select.select([tcp, udp], [], [], 0.05)[0]:
                caller, address = tcp.accept() if ready is tcp else (None, udp.recvfrom(100)[1])
                with caller or contextlib.nullcontext():
                    heard.append(str(address))

    with tcp, udp, ThreadPoolExecutor(1) as pool:
        serving = pool.submit(serve)
        try:
            yield heard, [sock.getsockname()[1] for sock in (tcp, udp)]
        finally:
            closing.set()
        serving.result()


@contextlib.contextmanager
def quiet_lab(subject: Subject) -> Iterator[lab.Lab]:
    """A laboratory without a shell to bind in, which is half of what one costs. Gone afterwards, which is looked at."""
    with contextlib.ExitStack() as stack:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(lab, "static_shell", lambda _subject: ())
            built = stack.enter_context(lab.Lab(subject))
        yield built
    assert left(subject.engine()) == []
