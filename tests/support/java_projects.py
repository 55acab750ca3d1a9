"""Small real Maven projects for tests of the jib builder, and servers that they meet: registries, a proxy, a repository."""

from __future__ import annotations

import base64
import contextlib
import functools
import http.server
import shutil
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deadweight._errors import CommandError, DeadweightError
from tests.support.builder_site import Project
from tests.support.listening import port_of
from tests.support.public_world import HTPASSWD

_POM = """<?xml version="1.0" encoding="UTF-8"?>
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>example</groupId><artifactId>app</artifactId><version>1</version>
  <properties>
    <maven.compiler.release>17</maven.compiler.release>
    <project.build.sourceEncoding>UTF-8</project.build.sourceEncoding>
  </properties>
  <dependencies>{dependencies}</dependencies>
  <repositories>{repositories}</repositories>
  <build><plugins>{plugins}</plugins></build>
</project>
"""


def plugin(name: str, version: str, *, group: str = "org.apache.maven.plugins", configuration: str = "") -> str:
    return (
        f"<plugin><groupId>{group}</groupId><artifactId>{name}</artifactId><version>{version}</version>"
        f"<configuration>{configuration}</configuration></plugin>"
    )


def dependency(group: str, name: str, version: str, scope: str = "compile") -> str:
    return (
        f"<dependency><groupId>{group}</groupId><artifactId>{name}</artifactId><version>{version}</version>"
        f"<scope>{scope}</scope></dependency>"
    )


# The versions are those of the demo service, so that one local repository serves all.
PLUGINS = "".join(
    plugin(f"maven-{name}-plugin", version)
    for name, version in (("resources", "3.3.1"), ("compiler", "3.14.1"), ("surefire", "3.5.4"), ("jar", "3.4.2"))
)
JUNIT = dependency("org.junit.jupiter", "junit-jupiter", "5.13.4", "test")


def pom(*, dependencies: str = "", plugins: str = "", repositories: str = "") -> str:
    return _POM.format(dependencies=dependencies, plugins=PLUGINS + plugins, repositories=repositories)


def main_class(name: str = "Main", says: str = "hello") -> str:
    return (
        f"package a;\n\npublic class {name} {{\n"
        f'    public static void main(String[] words) {{\n        System.out.println("{says}");\n    }}\n}}\n'
    )


PROJECT = {"app/pom.xml": pom(), "app/src/main/java/a/Main.java": main_class()}
STATIC, DONOR = "gcr.io/distroless/static-debian12:nonroot", "busybox:1.36.1-musl"
SUITE = f"  v:\n    builder: jib\n    source: app\n    base: {STATIC}\n    port: 8080\n"


def family(*, root: str = "", service: str = "") -> dict[str, str]:
    """A project of two modules below ``app``; the words are plug-ins of its root and of its service."""
    parent = (
        "<project><modelVersion>4.0.0</modelVersion><groupId>example</groupId><artifactId>all</artifactId>"
        "<version>1</version><packaging>pom</packaging><properties><maven.compiler.release>17</maven.compiler.release>"
        "<project.build.sourceEncoding>UTF-8</project.build.sourceEncoding></properties><modules><module>lib</module>"
        f"<module>service</module></modules><build><plugins>{PLUGINS}{root}</plugins></build></project>"
    )
    child = (
        "<project><modelVersion>4.0.0</modelVersion><parent><groupId>example</groupId><artifactId>all</artifactId>"
        "<version>1</version></parent><artifactId>{0}</artifactId><dependencies>{1}</dependencies>"
        "<build><plugins>{2}</plugins></build></project>"
    )
    return {
        "app/pom.xml": parent,
        "app/lib/pom.xml": child.format("lib", "", ""),
        "app/lib/src/main/java/b/Word.java": 'package b;\n\npublic class Word { public static String X = "x"; }\n',
        "app/service/pom.xml": child.format("service", dependency("example", "lib", "1"), service),
        "app/service/src/main/java/a/Main.java": main_class().replace('"hello"', "b.Word.X"),
    }


def emptied(folder: Path, kept: str = "") -> Path:
    """Remove all that is in a folder; of the folder ``kept`` in it, only its content. A Maven that stays is one folder's."""
    for path in folder.iterdir():
        if path.name == kept and path.is_dir() and not path.is_symlink():
            emptied(path)
        elif path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    return folder


def fails(project: Project, kind: type[DeadweightError] = CommandError, code: int = 1, *, told: str = "") -> str:
    """The one message of a build that must fail. ``told``: its code in the catalogue."""
    with pytest.raises(kind) as caught:
        project.build("v")
    assert caught.value.exit_code == code
    assert told in ("", caught.value.code), str(caught.value)
    return str(caught.value)


@contextlib.contextmanager
def registry(program: Path, folder: Path, *, locked: bool = False, tls: Path | None = None) -> Iterator[str]:
    """A real registry on loopback; ``locked`` asks for a password, ``tls`` has the certificate. Gives HOST:PORT."""
    folder.mkdir(parents=True)
    auth = secure = ""
    if tls:
        secure = f", tls: {{certificate: '{tls}/server.pem', key: '{tls}/server.key'}}"
    if locked:
        (folder / "htpasswd").write_text(HTPASSWD)
        auth = f"auth: {{htpasswd: {{realm: test, path: '{folder}/htpasswd'}}}}\n"
    config = f"version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: '{folder}/data'}}}}\n"
    (folder / "config.yml").write_text(f"{config}{auth}http: {{addr: '127.0.0.1:0'{secure}}}\n")
    with (folder / "log").open("wb") as log:
        environment = {"PATH": "/usr/bin:/bin", "OTEL_TRACES_EXPORTER": "none"}
        process = subprocess.Popen([program, "serve", folder / "config.yml"], stdout=log, stderr=log, env=environment)
    try:
        yield f"127.0.0.1:{port_of(process, folder / 'log')}"
    finally:
        process.terminate()
        process.wait(10)


def certificates(folder: Path) -> None:
    """A private CA (``ca.pem``) and a certificate of 127.0.0.1 (``server.pem``, ``server.key``)."""
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1\n")
    for words in (
        ("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=test CA"),
        ("req", "-new", *key[:-2], "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=test server"),
        (
            *("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"),
            *("-days", "2", "-extfile", "names", "-out", "server.pem"),
        ),
    ):
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)


class Proxy(http.server.BaseHTTPRequestHandler):
    """A proxy that asks for a password and then leads nowhere; remembers who wanted what."""

    seen: list[tuple[str, str]] = []  # noqa: RUF012 - reset by the fixture

    def do_CONNECT(self) -> None:
        given = self.headers.get("Proxy-Authorization", "")
        self.seen.append((self.path, base64.b64decode(given.removeprefix("Basic ")).decode()))
        if given:
            self.send_error(502)
        else:
            self.send_response(407)
            self.send_header("Proxy-Authenticate", 'Basic realm="test"')
            self.send_header("Content-Length", "0")
            self.end_headers()

    do_GET = do_CONNECT

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def proxy() -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """HOST:PORT of such a proxy, and its memory."""
    Proxy.seen = []
    with _serving(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Proxy)) as port:
        yield f"127.0.0.1:{port}", Proxy.seen


@contextlib.contextmanager
def refusing_repository(status: int) -> Iterator[int]:
    """A Maven repository, or a proxy, that answers this to whatever it is asked; gives the port."""

    class Refusing(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Proxy-Authenticate" if status == 407 else "WWW-Authenticate", 'Basic realm="test"')
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with _serving(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refusing)) as port:
        yield port


class _Quiet(http.server.SimpleHTTPRequestHandler):
    @classmethod
    def of(cls, folder: Path) -> Callable[..., _Quiet]:
        return functools.partial(cls, directory=str(folder))

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def repository(folder: Path) -> Iterator[int]:
    """A folder as a Maven repository; gives the port."""
    with _serving(http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Quiet.of(folder))) as port:
        yield port


@contextlib.contextmanager
def https_repository(folder: Path, certificate: Path, key: Path) -> Iterator[int]:
    """A folder over TLS with this certificate; gives the port."""

    class Server(http.server.ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            """A client that does not trust us ends the handshake."""

    server = Server(("127.0.0.1", 0), _Quiet.of(folder))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    with _serving(server) as port:
        yield port


@contextlib.contextmanager
def _serving(server: http.server.HTTPServer) -> Iterator[int]:
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
