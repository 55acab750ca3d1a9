"""Small real Maven projects for tests of the jib builder."""

import shutil
from pathlib import Path

from tests.support.builder_site import STATIC

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


def element(tag: str, **children: str) -> str:
    return f"<{tag}>{''.join(f'<{name}>{text}</{name}>' for name, text in children.items())}</{tag}>"


def plugin(name: str, version: str, *, group: str = "org.apache.maven.plugins", configuration: str = "") -> str:
    return element("plugin", groupId=group, artifactId=name, version=version, configuration=configuration)


def dependency(group: str, name: str, version: str, scope: str = "compile") -> str:
    return element("dependency", groupId=group, artifactId=name, version=version, scope=scope)


# The versions are those of the demo service, so that one local repository serves all.
PLUGINS = "".join(
    plugin(f"maven-{name}-plugin", version)
    for name, version in (("resources", "3.3.1"), ("compiler", "3.14.1"), ("surefire", "3.5.4"), ("jar", "3.4.2"))
)
JUNIT = dependency("org.junit.jupiter", "junit-jupiter", "5.13.4", "test")


def pom(*, dependencies: str = "", plugins: str = "", repository: str = "", named: str = "ours") -> str:
    """``repository``: the URL of one beside Maven's own, or in its place if it is named as that is."""
    at = element("repository", id=named, url=repository) if repository else ""
    return _POM.format(dependencies=dependencies, plugins=PLUGINS + plugins, repositories=at)


def main_class(name: str = "Main", says: str = "hello") -> str:
    return (
        f"package a;\n\npublic class {name} {{\n"
        f'    public static void main(String[] words) {{\n        System.out.println("{says}");\n    }}\n}}\n'
    )


PROJECT = {"app/pom.xml": pom(), "app/src/main/java/a/Main.java": main_class()}
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
        if path.is_symlink() or not path.is_dir():
            path.unlink()
        else:
            emptied(path) if path.name == kept else shutil.rmtree(path)
    return folder
