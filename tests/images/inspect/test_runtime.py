"""What runs the service of an image, however its entry point is written and however large the program is."""

import subprocess
from pathlib import Path

import pytest

from deadweight_images.inspect.analyse import analyse
from deadweight_images.inspect.runtime import Runtime, listing, runtime
from tests.support import image_samples as samples
from tests.support.small_images import go_program
from tests.support.trees import written

pytestmark = pytest.mark.system

BIG = 30 << 20
EMBED = 'package main\n\nimport _ "embed"\n\n//go:embed ballast\nvar ballast string\n\n'
GO_MAIN = EMBED + "func main() { println(len(ballast)) }\n"


def compiled(folder: Path, main: str, **files: bytes) -> bytes:
    """A program of the module ``example.org/NAME``, by its folder's name."""
    name = folder.name.rstrip("0")
    source = written(folder / name, {"go.mod": f"module example.org/{name}\n\ngo 1.21\n", "main.go": main, **files})
    return go_program(source, folder / "program").read_bytes()


@pytest.fixture(scope="session")
def big_go(tmp_path_factory) -> bytes:
    """A stripped Go program of 31 MB: what it embeds stands before its build information."""
    return compiled(tmp_path_factory.mktemp("big"), GO_MAIN, ballast=b"\1" * BIG)


@pytest.fixture(scope="session")
def small_go(tmp_path_factory) -> bytes:
    return compiled(tmp_path_factory.mktemp("small"), "package main\n\nfunc main() {}\n")


@pytest.fixture(scope="session")
def go_version() -> str:
    return subprocess.check_output(["go", "env", "GOVERSION"], text=True, timeout=60).strip().removeprefix("go")


def layer(files: dict[str, bytes | str]) -> bytes:
    """Executable files, and (text that begins with ``->``) symbolic links."""
    members: dict[str, bytes | str | None] = {}
    for path, content in files.items():
        text = content if isinstance(content, str) else ""
        members[path] = text[2:] if text.startswith("->") else text.encode() or content
    return samples.honest_layer(members, all_modes=(0o755, 0o755))


def image(folder: Path, files: dict[str, bytes | str], compression: str = "none", **config: object) -> Path:
    return samples.saved(folder, layer(files), compression=compression, config=dict(config), name="image.tar")


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_a_go_program_of_any_size_tells_its_go(tmp_path, big_go, go_version, compression) -> None:
    """In a compressed layer (ko, apko) the end of a large file was never looked at; the column then said ``none``."""
    archive = image(tmp_path, {"ko-app/big": big_go, "zz": b"x" * 100}, compression, Entrypoint=["/ko-app/big"])
    assert len(big_go) > BIG
    assert runtime(archive) == Runtime("Go", go_version, "/ko-app/big")
    (program,) = analyse(archive, scan="no").packages
    assert (program.kind, program.name, program.go_version) == ("go", "example.org/big", f"go{go_version}")


SCRIPT = '#!/bin/sh\nset -e\nif [ -n "$X" ]; then\n  echo x\nfi\nexec /srv/s "$@"\n'


@pytest.mark.slow
@pytest.mark.parametrize("config", [
    {"Cmd": ["/srv/s"]}, {"Entrypoint": ["/srv/s"], "Cmd": ["--port=1"]}, {"Cmd": ["./s"], "WorkingDir": "/srv"},
    {"Entrypoint": ["s"], "Env": ["PATH=/bin:/srv"]}, {"Cmd": ["/bin/sh", "-c", "/srv/s --port $PORT"]},
    {"Cmd": ["/bin/sh", "-c", "cd /srv && X=1 exec ./s"]}, {"Entrypoint": ["/sbin/tini", "-g", "--"], "Cmd": ["/srv/s"]},
    {"Entrypoint": ["/entry.sh"], "Cmd": ["--port=1"]}, {"Cmd": ["sh", "entry.sh"]}, {"Cmd": ["/usr/local/bin/linked"]},
    {"Entrypoint": ["/given.sh"], "Cmd": ["s"], "Env": ["PATH=/bin:/srv"]},
], ids=lambda config: str(config.get("Entrypoint", config.get("Cmd"))))  # fmt: skip
def test_the_program_is_found_however_the_entry_point_names_it(tmp_path, small_go, go_version, config) -> None:
    files: dict[str, bytes | str] = {
        "srv/s": small_go, "bin/busybox": b"\x7fELF busybox", "bin/sh": "->busybox", "sbin/tini": b"\x7fELF tini",
        "entry.sh": SCRIPT, "given.sh": '#!/usr/bin/env bash\nexec "$@"\n', "usr/local/bin/linked": "->/srv/s",
    }  # fmt: skip
    assert runtime(image(tmp_path, files, **config)) == Runtime("Go", go_version, "/srv/s")


ELF = b"\x7fELF"
DPKG = "Package: {}\nStatus: install ok installed\nArchitecture: amd64\nVersion: {}\n"


RUNTIMES: dict[str, tuple[dict[str, bytes | str], dict[str, object], Runtime | None]] = {
    "jre": (
        {"opt/j/bin/java": ELF, "opt/j/release": 'JAVA_VERSION="17.0.9"\n', "usr/bin/java": "->/opt/j/bin/java"},
        {"Entrypoint": ["java", "-cp", "@/app/x", "Main"]}, Runtime("JRE", "17.0.9", "/opt/j/bin/java"),
    ),
    "jdk behind a shell and a variable": (
        {"opt/jdk/bin/java": ELF, "opt/jdk/bin/javac": ELF, "opt/jdk/release": 'JAVA_VERSION="21.0.1"\n', "bin/sh": ELF},
        {"Entrypoint": ["sh", "-c", "$JAVA_HOME/bin/java ${JAVA_OPTS} -jar /app.jar"], "Env": ["JAVA_HOME=/opt/jdk"]},
        Runtime("JDK", "21.0.1", "/opt/jdk/bin/java"),
    ),
    "node behind its own entry point": (
        {"usr/local/bin/node": ELF, "usr/local/bin/e.sh": '#!/bin/sh\nexec "$@"\n'},
        {"Entrypoint": ["e.sh"], "Cmd": ["node", "x.js"], "Env": ["NODE_VERSION=22.1.0"]},
        Runtime("Node", "22.1.0", "/usr/local/bin/node"),
    ),
    "a name that is not there": (
        {"usr/bin/node": ELF, "var/lib/dpkg/status": DPKG.format("nodejs", "1:18.19.0+dfsg-6")},
        {"Cmd": ["nodejs", "x.js"], "Env": ["PATH=/usr/bin"]}, None,
    ),
    "node of a package with an epoch": (
        {"usr/bin/node": ELF, "var/lib/dpkg/status": DPKG.format("nodejs", "1:18.19.0+dfsg-6")},
        {"Cmd": ["node", "x.js"]}, Runtime("Node", "18.19.0", "/usr/bin/node"),
    ),
    "python behind a script of a virtual environment": (
        {"usr/bin/python3.11": ELF, "v/bin/python": "->/usr/bin/python3.11", "v/bin/gunicorn": "#!/v/bin/python\n"},
        {"Cmd": ["gunicorn", "x:app"], "Env": ["PATH=/v/bin:/usr/bin"]}, Runtime("Python", "3.11", "/usr/bin/python3.11"),
    ),
    "rust": (
        {"bin/svc": ELF + b"\0" * 2000 + b"\0rustc version 1.75.0 (82e1608df 2023-12-21)\0"},
        {"Cmd": ["svc"]}, Runtime("Rust", "1.75.0", "/bin/svc"),
    ),
    "another compiled one": ({"bin/svc": ELF}, {"Cmd": ["svc"]}, Runtime("native", "", "/bin/svc")),
    "shell": ({"b": ELF, "bin/sh": "->/b"}, {"Cmd": ["sh"]}, Runtime("shell", "", "/b")),
    "no entry point": ({"data": b"x"}, {}, Runtime("none")),
    "a loop of links": ({"bin/busybox": ELF, "bin/loop": "->loop"}, {"Cmd": ["loop"]}, Runtime("none")),
    "scripts that start each other": (
        {"a.sh": "#!/bin/sh\nexec /b.sh\n", "b.sh": "#!/bin/sh\nexec /a.sh\n"},
        {"Cmd": ["/a.sh"]}, Runtime("shell", "", "/b.sh"),
    ),
    "a script that cannot be followed beside the only runtime": (
        {"app/bin/app": '#!/bin/sh\nexec "$JAVACMD" "$@"\n', "opt/jre-11/bin/java": ELF},
        {"Cmd": ["/app/bin/app"], "Env": ["PATH=/opt/jre-11/bin"]}, Runtime("JRE", "11", "/opt/jre-11/bin/java"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", RUNTIMES)
def test_runtimes_tell_name_and_version(tmp_path, case) -> None:
    files, config, expected = RUNTIMES[case]
    assert runtime(image(tmp_path, files, **config)) == (expected or Runtime("none"))


def test_what_an_image_holds_is_listed(tmp_path, small_go, go_version) -> None:
    files = {"usr/bin/go": small_go, "usr/bin/again": "->go", "usr/bin/lost": "->nothing", "opt/tool": b"x"}
    made = listing(image(tmp_path, files, Entrypoint=["go"]))
    assert (made.programs, made.runtime.version, made.size_bytes) == (
        frozenset({"go", "again"}),
        go_version,
        len(small_go),
    )
    seen = [made.files[path] for path in ("/opt/tool", "/usr/bin/again", "/usr/bin/lost", "/opt")]
    assert seen == ["0755 0:0", "link 0:0", "broken link 0:0", ""]


def test_it_is_kept_until_the_archive_is_another(tmp_path, small_go, go_version) -> None:
    cache = tmp_path / "cache"
    archive = image(tmp_path, {"s": small_go}, Cmd=["/s"])
    kept = []
    for _ in range(2):
        assert runtime(archive, cache) == Runtime("Go", go_version, "/s")
        kept.append({file: file.read_bytes() for file in (cache / "notes").iterdir()})
    assert kept[0] == kept[1] != {}
    image(tmp_path, {"s": b"\x7fELF"}, Cmd=["/s"])
    assert runtime(archive, cache) == Runtime("native", "", "/s")
