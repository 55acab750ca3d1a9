"""Pairs of images of one service (``tests/services/twin``), the second of which lacks something."""

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deadweight.checks.protocol import Subject
from deadweight.engine.client import Engine
from tests.support import ROOT
from tests.support.small_images import Content, docker_archive, go_program, program, reference
from tests.support.small_project import built_subject, write_suite

SUITE = """
name: twins
defaults:
  port: 8080
  builder: ko
  health: {{path: /healthz}}
  run: {{read_only: false, tmpfs: []}}
  checks:
    runs: {{stops_within_seconds: 2}}
    api: [{requests}]
variants: {{a: {{}}, b: {{checks: {{twin: {{of: a, allow: [{allow}]}}}}}}}}
"""
PASSWD = b"root:x:0:0::/:/bin/false\napp:x:1001:1001::/:/bin/false\n"
USER = "1001:1001"
LOADER = "/lib64/ld-linux-x86-64.so.2"
LIBRARIES = "/lib/x86_64-linux-gnu/"
"""Of Debian's C library, as the program that asks it is built here."""


def complete(folder: Path) -> dict[str, Content]:
    """The files of the image that lacks nothing."""
    sources = ROOT / "tests" / "services" / "twin"
    subprocess.run(["gcc", "-O1", "-o", folder / "real", sources / "real" / "real.c"], check=True)
    loaded_late = (f"{LIBRARIES}{name}" for name in ("libnss_compat.so.2", "libm.so.6", "libwebp.so.7"))
    return {
        **program(str(folder / "real"), "/opt/real"),
        **{path: Path(path).resolve() for path in loaded_late},
        **{str(path): path for path in Path("/usr/lib/locale/C.utf8").rglob("*") if path.is_file()},
        "/app": go_program(sources, folder / "app"),
        "/etc/passwd": PASSWD,
        "/etc/nsswitch.conf": b"passwd: compat\nhosts: files dns\n",
        "/usr/share/zoneinfo/Europe/Berlin": Path("/usr/share/zoneinfo/Europe/Berlin").read_bytes(),
        "/etc/ssl/certs/ca-certificates.crt": Path("/etc/ssl/certs/ca-certificates.crt").read_bytes(),
        "/etc/mime.types": b"text/x-plan plan\n",
        "/srv/templates/404.html": b"<html><h1>We looked everywhere</h1></html>",
        "/data/": "1001",
        "/tmp/": b"",
    }


def image(
    folder: Path,
    engine: Engine,
    name: str,
    changes: Mapping[str, Content | None],
    env: tuple[str, ...] = (),
    user: str = USER,
) -> str:
    """Put an image into the engine: the complete one with changes (None: without this file). Gives its name."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {path: content for path, content in {**complete(folder), **changes}.items() if content is not None}
    variables = {"LANG": "C.UTF-8", **dict(entry.split("=") for entry in env)}
    config: dict[str, Any] = {"Entrypoint": ["/app"], "User": user, "ExposedPorts": {"8080/tcp": {}}}
    config["Env"] = [f"{key}={value}" for key, value in variables.items() if value]
    docker_archive(folder / "image.tar", reference(name), [files], config)
    engine.images.load(folder / "image.tar")
    return reference(name)


def subjects(
    root: Path, engine: Engine, a: Path, b: Path, names: tuple[str, str], paths: str, allow: str = ""
) -> tuple[Subject, Subject]:
    """Both as variants of one suite; ``paths`` are what is asked of them."""
    requests = ", ".join(f"{{name: {path}, request: {{path: {path}}}}}" for path in paths.split())
    suite = write_suite(root, SUITE.format(requests=requests, allow=allow))
    first = built_subject(suite, "a", a / "image.tar", names[0], engine)
    return first, built_subject(suite, "b", b / "image.tar", names[1], engine, a=first)
