"""Processes of invoke that need not read their modules again.

A run of invoke spends most of its processor time on imports, and tests start more than a thousand runs. So each test process keeps
one Python that has imported invoke and all our modules, and done nothing else; a run is a fork of it, with its own arguments,
folder, environment, streams, exit code and end of the interpreter. Where the environment decides how an interpreter starts,
a new one is started (``started_otherwise``). What a start costs, and what it imports, is tested with new ones.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import importlib
import importlib.util
import json
import os
import pkgutil
import runpy
import signal
import socket
import subprocess
import sys
import threading
import time
import types
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.support import ROOT

MODULES = (
    *("invoke.main", "jinja2", "filelock", "platformdirs", "pydantic.dataclasses", "pydantic.type_adapter"),
    *("rich.console", "rich.table", "rich._emoji_codes"),
)
"""What a run imports of others, beside all of ours, but for those that other programs load."""
OTHERS = {"nox_sessions", "pytest_plugin", "__main__"}
DECIDING = ("PYTHON", "LC_", "LANG", "LD_", "TZ", "MALLOC_")
"""Beginnings of the names of variables that an interpreter reads when it starts."""
PATHS = "PYTHONPATH"
"""The one of them that a fork can take over."""
Request = list[object]
"""Arguments, folder, environment, and the file of the program; without one it is ``python -m invoke``."""
MOST_BYTES = 1 << 20
ANSWER_BYTES = 64


def started_otherwise(env: Mapping[str, str]) -> bool:
    """Whether an interpreter would start otherwise in this environment than the one that is kept."""
    return _deciding(env) != _deciding(_kept().env)


def run(
    words: Sequence[str], folder: Path, env: Mapping[str, str], stdin: bytes, timeout: float
) -> subprocess.CompletedProcess[bytes]:
    """``python -m invoke WORDS``, as ``subprocess.run`` would run it, with its output captured; ``timeout`` in seconds."""
    with contextlib.ExitStack() as open_ones:
        (in_read, in_write), (out_read, out_write), (errors_read, errors_write) = (os.pipe() for _ in range(3))
        ours, theirs = socket.socketpair()
        open_ones.enter_context(ours)
        with theirs:
            ask([list(words), str(folder), dict(env), ""], [in_read, out_write, errors_write, theirs.fileno()])
        for each in (in_read, out_write, errors_write):
            os.close(each)
        said: dict[int, bytes] = {}
        threads = [
            threading.Thread(target=_read, args=(out_read, said), daemon=True),
            threading.Thread(target=_read, args=(errors_read, said), daemon=True),
            threading.Thread(target=_write, args=(in_write, stdin), daemon=True),
        ]
        for thread in threads:
            thread.start()
        ends = time.monotonic() + timeout
        pid = int(ours.recv(ANSWER_BYTES))
        try:
            for thread in threads[:2]:
                thread.join(max(0.0, ends - time.monotonic()))
            ours.settimeout(max(0.01, ends - time.monotonic()))
            code = int(ours.recv(ANSWER_BYTES))
        except BaseException as error:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            if isinstance(error, TimeoutError):
                raise subprocess.TimeoutExpired(["invoke", *words], timeout) from None
            raise
    return subprocess.CompletedProcess(["invoke", *words], code, said.get(out_read, b""), said.get(errors_read, b""))


def ask(request: Request, files: list[int]) -> None:
    """Start a run. ``files``: its standard streams, and where its process's number is told, then its exit code."""
    _kept().ask(json.dumps([*request, os.umask(os.umask(0o22))]).encode(), files)


class _Kept:
    """The Python that is forked. It ends with the test process, whose end of the connection closes then."""

    def __init__(self) -> None:
        self.env = dict(os.environ)
        self._lock = threading.Lock()
        self._ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            argv = [sys.executable, "-m", "tests.support.forked", str(theirs.fileno())]
            self._process = subprocess.Popen(
                argv,
                cwd=ROOT,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,  # a pipe, as those of runs are
                pass_fds=[theirs.fileno()],
            )
        atexit.register(self._close, os.getpid())

    def _close(self, owner: int) -> None:
        if os.getpid() == owner:
            self._ours.close()
            with self._process:
                pass

    def ask(self, request: bytes, files: list[int]) -> None:
        self._ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, MOST_BYTES)
        with self._lock:
            socket.send_fds(self._ours, [request], files)


@functools.cache
def _kept_by(_pid: int) -> _Kept:
    return _Kept()


def _kept() -> _Kept:
    return _kept_by(os.getpid())  # a fork of the test process needs one of its own


def _deciding(env: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in env.items() if name.startswith(DECIDING) and name != PATHS}


def _read(file: int, said: dict[int, bytes]) -> None:
    with open(file, "rb") as stream:
        said[file] = stream.read()


def _write(file: int, content: bytes) -> None:
    with contextlib.suppress(BrokenPipeError), open(file, "wb") as stream:
        stream.write(content)


def _requests(connection: socket.socket) -> Iterator[tuple[bytes, list[int]]]:
    while True:
        request, files, _flags, _address = socket.recv_fds(connection, MOST_BYTES, 4)
        if not files:
            return
        yield request, files


def serve(connection: socket.socket) -> str:
    """Fork for each request; returns only in a fork: the program that it is to run."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the forks that wait
    for request, (*streams, answer) in _requests(connection):
        if os.fork() == 0:
            connection.close()
            return _run_and_wait(request, streams, answer)
        for each in (*streams, answer):
            os.close(each)
    os._exit(0)


def _run_and_wait(request: bytes, streams: list[int], answer: int) -> str:
    """Returns in the process that is to run; the one in between waits for it, and tells how it ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    pid = os.fork()
    if pid == 0:
        os.close(answer)
        return _become(request, streams)
    for each in streams:
        os.close(each)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.write(answer, str(pid).encode().ljust(ANSWER_BYTES))
    _, status = os.waitpid(pid, 0)
    with contextlib.suppress(BrokenPipeError):
        os.write(answer, str(os.waitstatus_to_exitcode(status)).encode().ljust(ANSWER_BYTES))
    os._exit(0)


def _paths(env: Mapping[str, str]) -> list[str]:
    return [path for path in env.get(PATHS, "").split(os.pathsep) if path]


def _become(request: bytes, streams: list[int]) -> str:
    """Take over what a new process would have been given; the program to run."""
    words, folder, env, script, mask = json.loads(request)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.umask(mask)
    os.chdir(folder)
    before, after = _paths(os.environ), _paths(env)
    os.environ.clear()
    os.environ.update(env)
    spec = importlib.util.find_spec("invoke.__main__")
    assert spec is not None
    assert spec.origin is not None
    sys.argv[:] = [script or spec.origin, *words]
    first = str(Path(script).parent) if script else folder
    sys.path[:] = [first, *after, *(path for path in sys.path[1:] if path not in before)]
    for name in [name for name in sys.modules if name.partition(".")[0] == "tests"]:
        del sys.modules[name]
    main = types.ModuleType("__main__")
    main.__spec__, main.__file__ = spec, spec.origin
    sys.modules["__main__"] = main
    return str(script)


def _load() -> None:
    import deadweight

    ours = [each.name for each in pkgutil.walk_packages(deadweight.__path__, "deadweight.")]
    for name in (*MODULES, *(name for name in ours if name.rpartition(".")[2] not in OTHERS)):
        importlib.import_module(name)
    from deadweight.records.built import BuiltImage
    from deadweight.records.evidence import Evidence
    from deadweight.records.store import adapter

    for kind in (BuiltImage, Evidence):
        adapter(kind)


if __name__ == "__main__":
    _load()
    gc.freeze()
    script = serve(socket.socket(fileno=int(sys.argv[1])))
    if script:
        runpy.run_path(script, run_name="__main__")
    else:
        from invoke.main import program

        program.run()
