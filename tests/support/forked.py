"""Processes of invoke that need not read their modules again.

A run of invoke spends most of its processor time on imports, and tests start more than a thousand runs. So each test process keeps
one Python that has imported invoke and all our modules, and done nothing else; a run is a fork of it, with its own arguments,
folder, environment, streams, exit code and end of the interpreter. Where the environment decides how an interpreter starts,
a new one is started (``started_otherwise``). What a start costs, and what it imports, is tested with new ones.
"""

import atexit
import contextlib
import dataclasses
import fcntl
import functools
import gc
import importlib
import io
import json
import os
import pkgutil
import runpy
import signal
import socket
import subprocess
import sys
import termios
import threading
from collections.abc import Mapping, Sequence

from tests.support import ROOT, guards

MODULES = (
    *("invoke.main", "jinja2", "filelock", "platformdirs", "pydantic.dataclasses", "pydantic.type_adapter"),
    *("rich.console", "rich.table", "rich._emoji_codes", "pytest"),
)
"""What a run imports of others, beside all of ours, but for those that other programs load."""
OTHERS = {"nox_sessions", "pytest_plugin", "__main__"}
DECIDING = ("PYTHON", "LC_", "LANG", "LD_", "TZ", "MALLOC_")
"""Beginnings of the names of variables that an interpreter reads when it starts."""
PATHS = "PYTHONPATH"
"""The one of them that a fork can take over."""
MOST_BYTES = 1 << 20
ANSWER_BYTES = 64


@dataclasses.dataclass(frozen=True)
class Request:
    """``python -m MODULE WORDS``. ``session``: it leads one of its own; ``terminal``: of which its stdin is the terminal."""

    words: Sequence[str]
    folder: str
    env: Mapping[str, str]
    module: str = "invoke"
    session: bool = False
    terminal: bool = False
    umask: int = 0


def started_otherwise(env: Mapping[str, str]) -> bool:
    """Whether an interpreter would start otherwise in this environment than the one that is kept."""
    return _deciding(env) != _deciding(_kept().env)


def ask(request: Request, files: list[int]) -> None:
    """Start a run. ``files``: its standard streams, and where its process's number is told, then how it ended."""
    mask = os.umask(os.umask(0o22))
    _kept().ask(json.dumps(dataclasses.asdict(dataclasses.replace(request, umask=mask))).encode(), files)


class _Kept:
    """The Python that is forked. It ends with the test process, whose end of the connection closes then."""

    def __init__(self) -> None:
        self.env = dict(os.environ)
        self._lock = threading.Lock()
        self._ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            argv = [sys.executable, "-m", "tests.support.forked", str(theirs.fileno())]
            nothing, pipe = subprocess.DEVNULL, subprocess.PIPE  # a pipe, as those of runs are
            self._process = subprocess.Popen(argv, cwd=ROOT, stdin=nothing, stdout=pipe, pass_fds=[theirs.fileno()])
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


def serve(connection: socket.socket) -> Request:
    """What the kept Python does: a fork for each request. Returns only in one: what it is to run."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C for the tests is not for us: we end with them
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        text, files, _flags, _address = socket.recv_fds(connection, MOST_BYTES, 4)
        if not files:
            os._exit(0)
        if os.fork() == 0:
            connection.close()
            _watch(*files)
            return _become(Request(**json.loads(text)), files)
        for each in files:
            os.close(each)


def _watch(stdin: int, stdout: int, stderr: int, answer: int) -> None:
    """Fork once more, and tell whoever asked for the run its number, and how it ended. Returns only in that run."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    pid = os.fork()
    if pid == 0:
        return
    for each in (stdin, stdout, stderr):
        os.close(each)
    _say(answer, pid)
    _say(answer, os.waitpid(pid, 0)[1])
    os._exit(0)


def _become(request: Request, files: list[int]) -> Request:
    """Take over what a new process would have been given."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    *streams, answer = files
    os.close(answer)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    if request.session or request.terminal:
        os.setsid()
    if request.terminal:
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    assert isinstance(sys.stdout, io.TextIOWrapper)
    sys.stdout.reconfigure(line_buffering=os.isatty(1))
    os.umask(request.umask)
    os.chdir(request.folder)
    return request


def _say(answer: int, number: int) -> None:
    with contextlib.suppress(BrokenPipeError):  # who asked is gone
        os.write(answer, str(number).encode().ljust(ANSWER_BYTES))


def _paths(env: Mapping[str, str]) -> list[str]:
    return [path for path in env.get(PATHS, "").split(os.pathsep) if path]


def _prepare(request: Request) -> None:
    """Make of this interpreter the one that the request is for."""
    before, after = _paths(os.environ), _paths(request.env)
    os.environ.clear()
    os.environ.update(request.env)
    sys.argv[:] = ["", *request.words]
    sys.path[:] = [request.folder, *after, *(path for path in sys.path[1:] if path not in before)]
    for name in [name for name in sys.modules if name.partition(".")[0] == "tests"]:
        del sys.modules[name]


def _load() -> None:
    import deadweight

    ours = [each.name for each in pkgutil.walk_packages(deadweight.__path__, "deadweight.")]
    for name in (*MODULES, *(name for name in ours if name.rpartition(".")[2] not in OTHERS)):
        importlib.import_module(name)
    from deadweight.records.built_image import BuiltImage
    from deadweight.records.evidence import Evidence
    from deadweight.records.store import adapter

    for kind in (BuiltImage, Evidence):
        adapter(kind)


def _end(code: int) -> None:
    """End as the interpreter does, but without freeing all that is left: that took longer than most runs."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)


def main(connection: socket.socket) -> None:
    guards.join()
    _load()
    gc.freeze()
    request = serve(connection)
    _prepare(request)
    code: object = None
    try:
        runpy.run_module(request.module, run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        code = ended.code
    if code is None or isinstance(code, int):
        with contextlib.suppress(OSError):  # what cannot be written is told at the interpreter's own end
            _end(code or 0)
    sys.exit(code)  # type: ignore[arg-type]


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])))
