"""Keep a Maven process running between builds, so that a small change costs compile time but no start-up time.

Half of a small build is starting the JVM and Maven in it. So a project's builds share one Maven that stays for some minutes, like
Gradle's daemon. It is used only if the result must be the same: same project, JVM, Maven, properties and environment, and
no file that only Maven's own start script reads. Otherwise the call is left unchanged.

Home-made, because Maven's own daemon (mvnd) is distributed on a web site and not on Maven Central, our only source of Maven:
it would not be available behind a mirror.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from deadweight import _run
from deadweight._errors import DeadweightError
from deadweight.records.paths import content, user_cache
from deadweight.toolchain.find import find

VARIABLE = "DEADWEIGHT_MAVEN_RESIDENT"
"""``0`` starts a Maven for each build, ``1`` keeps one also where CI is set; without it, one is kept where CI is not set."""

IDLE_SECONDS = 600
START_SECONDS = 10.0
MAX_RESIDENTS = 2
_SOURCE = Path(__file__).with_name("ResidentMaven.java")
_CLIENT = Path(__file__).with_name("resident_maven_client.py")
_SCRIPT_ONLY = ("/etc/mavenrc", "/usr/local/etc/mavenrc", "~/.mavenrc")
_SCRIPT_VARIABLES = ("MAVEN_ARGS", "MAVEN_BASEDIR", "MAVEN_DEBUG_OPTS")
# What differs from one terminal to the next and means nothing to a build.
_NOISE = frozenset(
    ("_", "COLUMNS", "INVOCATION_ID", "LINES", "OLDPWD", "PWD", "PYTEST_CURRENT_TEST", "SHLVL", "TERM", "WINDOWID")
)


def resident_call(
    call: Sequence[str | Path], source: Path, environment: Mapping[str, str], pom: str | None = None
) -> list[str | Path]:
    """The call of Maven in ``source``, through a resident one if that may be.

    ``environment`` is added to ours, as for ``run``; ``pom`` is the file that the call names with ``-f``.
    """
    given = os.environ.get(VARIABLE, "")
    wanted = given not in ("0", "no", "false") if given else not os.environ.get("CI")
    try:
        home = _home(Path(call[0]))
        top = multi_module((source / (pom or "pom.xml")).resolve().parent)
        if not wanted or sys.platform != "linux" or home is None or _script_reads(top):
            return list(call)
        place = _folder() / f"{_key(source, top, home, environment, [str(word) for word in call])}.sock"
        if not _answers(place):
            _start(place, source, top, home, environment)
    except (OSError, DeadweightError):
        return list(call)  # it only saves time: a build never fails for it
    return [sys.executable, "-I", "-S", _CLIENT, place, top, *call]


def end_all() -> int:
    """Let every resident Maven of this user end, of all projects, once the build it is at has ended; how many there were."""
    ended = 0
    with contextlib.suppress(OSError, DeadweightError):
        for place in _folder().glob("*.sock"):
            ended += _answers(place)
            place.unlink(missing_ok=True)  # it looks every second, and ends without one
    return ended


def _home(program: Path) -> Path | None:
    """Maven's home, where the program is the script of a Maven 3; None for any other."""
    home = program.resolve().parent.parent
    if next((home / "lib").glob("maven-core-3.*.jar"), None) is None:
        return None
    whole = (home / "bin" / "m2.conf").is_file() and next((home / "boot").glob("plexus-classworlds*.jar"), None)
    return home if whole else None


def _script_reads(top: Path) -> bool:
    """Whether there is something that Maven's script reads and Maven itself does not."""
    files = [Path(name).expanduser() for name in _SCRIPT_ONLY] + [top / ".mvn" / "jvm.config"]
    return any(file.exists() for file in files) or any(name in os.environ for name in _SCRIPT_VARIABLES)


def multi_module(folder: Path) -> Path:
    """Maven's multi-module folder: the nearest one upwards with a ``.mvn`` (as its script says), else the pom.xml's own."""
    return next((path for path in (folder, *folder.parents) if (path / ".mvn").is_dir()), folder)


def _key(source: Path, top: Path, home: Path, environment: Mapping[str, str], words: Sequence[str]) -> str:
    """What must be the same for two builds to share a JVM.

    Properties count, for Java reads some only once (a trust store's file too); Jib's do not: it reads them anew in every build.
    """
    java, maven = find("java"), find("mvn")
    whole = {name: value for name, value in {**os.environ, **environment}.items() if name not in _NOISE}
    folder = source.stat()
    properties = [word for word in words if word.startswith("-D") and not word.startswith("-Djib.")]
    files = [Path(word.partition("=")[2]) for word in properties if word.startswith("-Djavax.net.ssl.trustStore=")]
    files += [_SOURCE, *(top / ".mvn" / name for name in ("maven.config", "extensions.xml"))]
    parts = [
        *(source.resolve(), folder.st_dev, folder.st_ino, top, home, maven.version, java.path.resolve(), java.version),
        *(*_inherited(), *properties, *map(_digest, files), *sorted(whole.items())),
    ]
    return hashlib.sha256("\0".join(map(str, parts)).encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _inherited() -> list[str]:
    """What a process has of the one that started it, beside variables: what a build may do, and how its files come to lie."""
    fields = ("Umask:", "Groups:", "CapEff:", "NoNewPrivs:", "Seccomp:")
    own = Path("/proc/self")
    status = [line for line in (own / "status").read_text().splitlines() if line.startswith(fields)]
    spaces = [str((own / "ns" / name).readlink()) for name in ("mnt", "net", "pid", "user")]
    return [*status, (own / "limits").read_text(), *spaces]


def _digest(file: Path) -> str:
    return hashlib.sha256(content(file)).hexdigest()[:16]


def _folder() -> Path:
    """The folder of the sockets: short, since a socket's path may have 107 bytes, and nobody else's. Raises OSError."""
    cache = hashlib.sha256(str(user_cache()).encode()).hexdigest()[:8]
    base = Path(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir())
    folder = base / f"deadweight-maven-{os.getuid()}-{cache}"
    folder.mkdir(mode=0o700, exist_ok=True)
    facts = folder.lstat()
    if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.getuid() or facts.st_mode & 0o077:
        raise PermissionError(folder)
    return folder


def _answers(place: Path) -> bool:
    try:
        with socket.socket(socket.AF_UNIX) as stream:
            stream.settimeout(1.0)
            stream.connect(str(place))
    except OSError:
        return False
    return True


def _start(place: Path, source: Path, top: Path, home: Path, environment: Mapping[str, str]) -> None:
    """Start one, and wait until it answers; those that were used longest ago make room. Raises OSError."""
    place.unlink(missing_ok=True)
    others = sorted(place.parent.glob("*.sock"), key=lambda path: path.stat().st_mtime, reverse=True)
    for old in others[MAX_RESIDENTS - 1 :]:
        old.unlink(missing_ok=True)
    java = find("java").path.resolve()  # of the JDK itself: another folder may hold the javac of another one
    path = os.pathsep.join([str(next((home / "boot").glob("plexus-classworlds*.jar"))), str(_classes(java))])
    for old in place.parent.glob("*.log"):
        if not old.with_suffix(".sock").exists():
            old.unlink(missing_ok=True)
    log = place.with_suffix(".log")
    whole = {**os.environ, **environment, "MAVEN_PROJECTBASEDIR": str(top)}
    options = whole.get("MAVEN_OPTS", "").split()
    words = [java, *options, "-classpath", path, "ResidentMaven", place, home, IDLE_SECONDS]
    with log.open("wb") as output:
        # Not by `run`: it is meant to outlive us, so it has no place among those that Ctrl-C ends.
        process = subprocess.Popen(
            list(map(str, words)),
            cwd=source,
            env=whole,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    deadline = time.monotonic() + START_SECONDS
    while not _answers(place):
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            process.wait()
            raise ChildProcessError(log)
        time.sleep(0.02)
    process.returncode = 0  # nobody will wait for it, of which Python would warn


def _classes(java: Path) -> Path:
    """The folder of the compiled class; compiled once for each version of it and of Java."""
    folder = user_cache() / "maven-resident" / f"{find('java').version}-{_digest(_SOURCE)}"
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(dir=folder.parent))
        try:
            _run.run([java.with_name("javac"), "-nowarn", "-d", made, _SOURCE], timeout=60)
            with contextlib.suppress(OSError):
                made.rename(folder)  # whole or not at all; somebody else may have been quicker
        finally:
            shutil.rmtree(made, ignore_errors=True)
    return folder
