"""Small real Maven projects for tests of the jib builder, and servers that they meet: registries, a proxy, a repository."""

import base64
import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from deadweight._errors import CommandError, DeadweightError
from tests.support.builder_site import Project
from tests.support.http_servers import Answering, served

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
WANTS_PASSWORD = {"Proxy-Authenticate": 'Basic realm="test"', "WWW-Authenticate": 'Basic realm="test"'}
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
def proxy() -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """HOST:PORT of a proxy that asks for a password and then leads nowhere, and whom it was asked for with which."""
    asked: list[tuple[str, str]] = []

    class Proxy(Answering):
        def do_CONNECT(self) -> None:
            credentials = self.headers.get("Proxy-Authorization", "")
            asked.append((self.path, base64.b64decode(credentials.removeprefix("Basic ")).decode()))
            self.answer(502 if credentials else 407, headers=WANTS_PASSWORD)

        do_GET = do_CONNECT

    with served(Proxy) as server:
        yield f"127.0.0.1:{server.server_port}", asked


@contextlib.contextmanager
def refusing_repository(status: int) -> Iterator[int]:
    """A Maven repository, or a proxy, that answers this to whatever it is asked; gives the port."""

    class Refusing(Answering):
        def do_GET(self) -> None:
            self.answer(status, headers=WANTS_PASSWORD)

    with served(Refusing) as server:
        yield server.server_port
