"""Java: a Maven or Gradle project whose package is an executable jar (Spring Boot, Quarkus' uber-jar, a shaded one)."""

from __future__ import annotations

import re

from deadweight.project.init import declared
from deadweight.project.init.languages.common import (
    HEADER,
    copied,
    dockerignore,
    env_lines,
    exec_form,
    flow,
    placed,
    rungs_on,
)
from deadweight.project.init.languages.sources import scan
from deadweight.project.init.records import ImageWords, Known, Ladder, Project, Rung, Service
from deadweight.project.init.tree import Tree, joined, line_of

_VERSION = re.compile(
    r"<(?:java\.version|maven\.compiler\.(?:release|source)|release)>\s*(?:1\.)?(\d+)\s*<"
    r"|JavaLanguageVersion\.of\((\d+)\)|sourceCompatibility\s*=\s*[\"']?(?:JavaVersion\.VERSION_)?(?:1[._])?(\d+)"
)
_SUPPORTED = (17, 21, 25)
_CONFIG = ("application.properties", "application.yml", "application.yaml")


def find(tree: Tree, folder: str, words: ImageWords | None) -> Project | None:
    """The project of a folder. Maven goes first where both build files are there."""
    kinds = {"pom.xml": "maven", "build.gradle": "gradle", "build.gradle.kts": "gradle"}
    file = next((joined(folder, name) for name in kinds if tree.has(joined(folder, name))), None)
    if file is None:
        return None
    text, kind = tree.text(file), kinds[file.rpartition("/")[2]]
    found = _VERSION.search(text)
    asked = int(next(group for group in found.groups() if group)) if found else 17
    version = next((each for each in _SUPPORTED if each >= asked), _SUPPORTED[-1])
    spring, quarkus = "spring-boot" in text or "springframework.boot" in text, "quarkus" in text
    config = [path for path in tree.below(folder, *_CONFIG) if "/main/" in path]
    ports, _ = scan(tree, config)
    sources = sorted(tree.below(folder, ".java", ".kt"))
    more_ports, health = scan(tree, sources)
    if "actuator" in text:
        health = (Known("/actuator/health", f"guessed from {file}"), *health)
    if quarkus:
        health = (Known("/q/health", f"guessed from {file}"), *health)
    server = spring or quarkus or bool(more_ports) or bool(words and words.ports)
    return Project(
        language="java",
        kind=kind,
        folder=folder,
        name=_name(text) or tree.root.name,
        version=Known(str(version), f"from {file}:{line_of(text, found.start())}" if found else "guessed"),
        ports=ports or ((Known(8080),) if spring or quarkus else more_ports),
        health=health,
        details={
            "quarkus": "1" if quarkus else "",
            "wrapper": _wrapper(tree, folder, kind),
            "jib_base": declared.jib_base(text),
            "beside": _beside(text),
        },
        problem="" if server else "it does not look like a server",
    )


def _name(text: str) -> str:
    without_parent = re.sub(r"<parent>.*?</parent>", "", text, flags=re.DOTALL)
    found = re.search(r"<artifactId>\s*([\w.-]+)\s*<", without_parent)
    return found[1] if found else ""


def _beside(pom: str) -> str:
    """The folder of libraries in which the jar's manifest looks for them, beside the jar; empty where they are in the jar."""
    found = re.search(r"<addClasspath>\s*true\s*<.*?<classpathPrefix>\s*([\w.-]+)/?\s*<", pom, re.DOTALL)
    return found[1] if found else ""


def _wrapper(tree: Tree, folder: str, kind: str) -> str:
    name = {"maven": "mvnw", "gradle": "gradlew"}[kind]
    return name if tree.has(joined(folder, name)) else ""


def ladder(service: Service, project: Project, place: str, port: int) -> Ladder:
    """Multi-stage on Ubuntu, Alpine, Chainguard and distroless, and Jib."""
    version = project.version.value
    build = f"maven:3-eclipse-temurin-{version}" if project.kind == "maven" else f"eclipse-temurin:{version}-jdk"
    distroless = f"gcr.io/distroless/java{version}-debian12:nonroot"
    bases = {
        "debian": (build, f"eclipse-temurin:{version}-jre"),
        "alpine": (build, f"eclipse-temurin:{version}-jre-alpine"),
        "chainguard": (build, "cgr.dev/chainguard/jre:latest"),
        "distroless": (build, distroless),
    }
    files = {
        f"{place}/Dockerfile": _dockerfile(service, project, port),
        f"{place}/Dockerfile.dockerignore": dockerignore("java", place),
    }
    rungs = list(rungs_on(bases, "the executable jar", f"{place}/Dockerfile", project.folder))
    own = service.own.words.env if service.own else {}
    for name, base in (
        ("jib", project.details["jib_base"] or f"eclipse-temurin:{version}-jre"),
        ("jib-distroless", distroless),
    ):
        keys = {"source": project.folder, "base": base}
        if env := {key: value for key, value in own.items() if key != "PATH"}:
            keys["env"] = flow(env)
        what = "no Dockerfile and no engine: dependencies, resources and classes in layers of their own"
        rungs.append(Rung(name, "jib", what, keys))
    return Ladder(tuple(rungs), files)


_HEAP = (
    "# The heap follows the container's memory limit.",
    'ENV JAVA_TOOL_OPTIONS="-XX:MaxRAMPercentage=75"',
)


def _dockerfile(service: Service, project: Project, port: int) -> str:
    own = service.own.words if service.own else ImageWords()
    env = {name: value for name, value in own.env.items() if name not in ("PATH", "JAVA_HOME") and "$" not in value}
    maven = project.kind == "maven"
    version = project.version.value
    uber = " -Dquarkus.package.jar.type=uber-jar" if project.details["quarkus"] else ""
    command = (
        f"mvn --batch-mode -DskipTests{uber} package" if maven else f"sh ./gradlew --no-daemon build -x test{uber}"
    )
    cache, output = ("/root/.m2", "target") if maven else ("/root/.gradle", "build/libs")
    libraries = project.details["beside"]
    beside = f" && cp -r {output}/{libraries} /{libraries}" if libraries else ""
    copies = [
        *([copied(project, f"--from=build /{libraries}", f"/app/{libraries}")] if libraries else []),
        copied(project, "--from=build /app.jar", "/app/app.jar"),
    ]
    lines = [
        HEADER,
        f"ARG BUILD={'maven:3-eclipse-temurin-' + version if maven else f'eclipse-temurin:{version}-jdk'}",
        f"ARG BASE=eclipse-temurin:{version}-jre",
        "",
        "FROM ${BUILD} AS build",
        "WORKDIR /src",
        "COPY . .",
        "# What is executable is the one jar that is neither sources nor what a plug-in put aside.",
        f"RUN --mount=type=cache,target={cache} \\",
        f"    {command} \\",
        f"    && cp \"$(ls -S {output}/*.jar | grep -vE 'sources|javadoc|plain|original' | head -n 1)\" /app.jar{beside}",
        "",
        "FROM ${BASE}",
        *placed(project, "/app", (*_HEAP, *env_lines(env)), copies),
        "# By number: no base needs to know the user, and Kubernetes can see that it is not root.",
        "USER 65532:65532",
        f"EXPOSE {port}",
        "# Exec form: the JVM is process 1 and gets SIGTERM. No HEALTHCHECK: it would need a program in the image.",
        f"ENTRYPOINT {exec_form(('java', '-jar', '/app/app.jar'))}",
    ]
    return "\n".join(lines) + "\n"
