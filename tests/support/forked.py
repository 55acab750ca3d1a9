"""Processes of invoke that need not read their modules again.

A run of invoke spends most of its processor time on imports, and tests start more than a thousand runs. So each test process keeps
one Python that has imported invoke and all our modules (``preloaded``), and done nothing else: ``multiprocessing``'s fork server. A
run is a fork of it, with its own arguments, folder, environment, streams, exit code and end of the interpreter. Where the
environment decides how an interpreter starts, a new one is started (``started_otherwise``). What a start costs, and what it
imports, is tested with new ones.
"""

import atexit
import contextlib
import fcntl
import functools
import os
import pickle
import runpy
import sys
import termios
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing import forkserver

from tests.support import ROOT

DECIDING = ("PYTHON", "LC_", "LANG", "LD_", "TZ", "MALLOC_")
"""Beginnings of the names of variables that an interpreter reads when it starts."""
PATHS = "PYTHONPATH"
"""The one of them that a fork can take over."""


@dataclass(frozen=True)
class Request:
    """``python -m MODULE WORDS``. ``session``: it leads one of its own; ``terminal``: of which its stdin is the terminal."""

    words: Sequence[str]
    folder: str
    env: Mapping[str, str]
    module: str = "invoke"
    session: bool = False
    terminal: bool = False
    umask: int = field(default_factory=lambda: os.umask(os.umask(0o22)))

    def _bootstrap(self, _parent: int) -> int:
        """What the fork server calls in the fork. Gives the exit code, with which it ends without freeing all that is left: that
        took longer than most runs."""
        self._take_over()
        try:
            runpy.run_module(self.module, run_name="__main__", alter_sys=True)
        except SystemExit as ended:
            if isinstance(ended.code, str):
                print(ended.code, file=sys.stderr)
            return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        except BaseException:
            sys.excepthook(*sys.exc_info())
            return 1
        finally:
            threading._shutdown()  # type: ignore[attr-defined]
            atexit._run_exitfuncs()
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
        return 0

    def _take_over(self) -> None:
        """What a new process would have been given."""
        for number, stream in enumerate(forkserver.get_inherited_fds() or ()):
            os.dup2(stream, number)
            os.close(stream)
        if self.session or self.terminal:
            os.setsid()
        if self.terminal:
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        sys.stdin, sys.stdout = os.fdopen(0, errors=sys.stdout.errors), os.fdopen(1, "w", errors=sys.stdout.errors)
        os.umask(self.umask)
        os.chdir(self.folder)
        before, after = _paths(os.environ), _paths(self.env)
        os.environ.clear()
        os.environ.update(self.env)
        sys.argv[:] = ["", *self.words]
        sys.path[:] = [self.folder, *after, *(path for path in sys.path[1:] if path not in before)]
        for name in [name for name in sys.modules if name.partition(".")[0] == "tests"]:
            del sys.modules[name]


def begin(request: Request, streams: list[int]) -> int:
    """Start a run with these standard streams. Gives where its process's number is told, then how it ended."""
    status, asks = forkserver.connect_to_new_process(streams)
    with os.fdopen(asks, "wb") as pipe:
        pickle.dump({}, pipe)  # nothing of this process is for it
        pickle.dump(request, pipe)
    return status


def started_otherwise(env: Mapping[str, str]) -> bool:
    """Whether an interpreter would start otherwise in this environment than the one that is kept."""
    return _deciding(env) != _kept()


@functools.cache
def _kept() -> dict[str, str]:
    """What decided, once the server runs."""
    forkserver.set_forkserver_preload(["tests.support.preloaded"])
    with contextlib.chdir(ROOT):
        forkserver.ensure_running()
    return _deciding(os.environ)


def _deciding(env: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in env.items() if name.startswith(DECIDING) and name != PATHS}


def _paths(env: Mapping[str, str]) -> list[str]:
    return [path for path in env.get(PATHS, "").split(os.pathsep) if path]
