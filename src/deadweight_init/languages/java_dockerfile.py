"""A Dockerfile that builds an executable jar with Maven or Gradle, and runs it on a base that brings Java alone."""

from __future__ import annotations

import posixpath
import re

from deadweight_init.languages import java_dropwizard
from deadweight_init.languages.common import (
    HEADER,
    copied,
    env_lines,
    exec_form,
    placed,
    stop_line,
    unprivileged,
)
from deadweight_init.records import ImageWords, Project, Service

_HEAP = "-XX:MaxRAMPercentage=75.0"  # Java 8 takes no whole number
_OPTIONS = ("JAVA_OPTS", "JAVA_OPTIONS", "JAVA_OPTS_APPEND")
"""What start scripts hand to the JVM; the JVM itself reads JAVA_TOOL_OPTIONS."""

_OF_SCRIPTS = ("PATH", "JAVA_HOME", "JAVA_APP_JAR", "JAVA_APP_DIR", "JAVA_MAIN_CLASS", "AB_ENABLED", "AB_OFF")
"""What is for a base's start script, which is not used here, or for the base itself."""


_COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy"
_JETTY = {"javax": "9.4.58.v20250814", "jakarta": "11.0.18"}
"""The newest jetty-runner for each name of the servlet API: it is Jetty as one jar, which serves a war."""


_LIBRARIES = "/libraries"
"""Where the build puts the jars that lie beside the program's: ``/lib`` is the OS's own."""


def container_for(poms: str) -> str:
    """The version of Jetty that serves a war of these poms."""
    return _JETTY["jakarta" if re.search(r"jakarta\.(?:servlet|platform|ws|jakartaee)", poms) else "javax"]


def build_image(project: Project) -> str:
    """The image that builds it: Maven's, a JDK for a project that brings Gradle, or Gradle's."""
    jdk = project.details["jdk"]
    if project.kind == "maven":
        return f"maven:3-eclipse-temurin-{jdk}"
    return f"eclipse-temurin:{jdk}-jdk" if project.details["wrapper"] else f"gradle:8-jdk{jdk}"


def environment(own: ImageWords) -> dict[str, str]:
    """The own image's variables as a JVM without a start script takes them."""
    env = {name: value for name, value in own.env.items() if name not in _OF_SCRIPTS and "$" not in value}
    options = [env.pop(name) for name in _OPTIONS if env.get(name)]
    options += [env.pop("JAVA_TOOL_OPTIONS")] if env.get("JAVA_TOOL_OPTIONS") else []
    return {**env, **({"JAVA_TOOL_OPTIONS": " ".join(options)} if options else {})}


def _with_heap(env: dict[str, str]) -> tuple[str, ...]:
    """ENV instructions, with a heap that follows the container's memory limit unless the own image says another."""
    options = env.get("JAVA_TOOL_OPTIONS", "")
    if re.search(r"-Xmx|MaxRAMPercentage", options):
        return tuple(env_lines(env))
    told = {"JAVA_TOOL_OPTIONS": f"{_HEAP} {options}".strip()}
    rest = {name: value for name, value in env.items() if name not in told}
    return ("# The heap follows the container's memory limit.", *env_lines(told), *env_lines(rest))


def dockerfile(service: Service, project: Project, port: int) -> str:
    own, details = service.own.words if service.own else ImageWords(), project.details
    version, libraries = project.version.value, "lib" if details["main"] else details["beside"]
    copies = [
        *([copied(project, f"--from=build {_LIBRARIES}", f"/app/{libraries}")] if libraries else []),
        *([copied(project, "--from=build /jetty-runner.jar", "/app/jetty-runner.jar")] if details["container"] else []),
        copied(project, f"--from=build {_package(project)}", f"/app{_package(project)}"),
    ]
    if details["settings"]:
        inside = posixpath.relpath(details["settings"], details["top"])
        copies.append(copied(project, f"--from=build /src/{inside}", java_dropwizard.placed(project)))
    cache = "/root/.m2" if project.kind == "maven" else "/root/.gradle"
    lines = [
        HEADER,
        f"ARG BUILD={build_image(project)}",
        f"ARG BASE=eclipse-temurin:{version}-jre",
        "",
        "FROM ${BUILD} AS build",
        "WORKDIR /src",
        "COPY . .",
        "# Jetty comes as one jar that serves a war."
        if details["container"]
        else "# What is executable is the one jar that is neither sources nor what a plug-in put aside.",
        f"RUN --mount=type=cache,target={cache} \\",
        f"    {_command(project)} \\",
        f"    && {_taken(project, libraries)}",
        "",
        "FROM ${BASE}",
        *placed(project, "/app", _with_heap(environment(own)), copies),
        *unprivileged(port),
        *stop_line(own.stop),
        "# Exec form: the JVM is process 1 and gets SIGTERM. No HEALTHCHECK: it would need a program in the image.",
        f"ENTRYPOINT {exec_form((*_start(project, port), *java_dropwizard.words(project)))}",
    ]
    return "\n".join(lines) + "\n"


def _package(project: Project) -> str:
    return "/app.war" if project.details["container"] else "/app.jar"


def _start(project: Project, port: int) -> tuple[str, ...]:
    if project.details["container"]:
        return ("java", "-jar", "/app/jetty-runner.jar", "--port", str(port), "/app/app.war")
    if main := project.details["main"]:  # the jar does not say where its libraries are
        return ("java", "-cp", "/app/app.jar:/app/lib/*", main)
    return ("java", "-jar", "/app/app.jar")


def _inside(project: Project) -> str:
    """The module's folder, seen from the one that is built."""
    return posixpath.relpath(project.folder, project.details["top"])


def _command(project: Project) -> str:
    """What makes the jar; of a build with several modules, this one alone and those that it needs."""
    details, inside = project.details, _inside(project)
    uber = f" -D{details['quarkus']}=uber-jar" if details["quarkus"] else ""
    if project.kind == "maven":
        module = "" if inside == "." else f" -pl {inside} -am" if details["listed"] else f" -f {inside}/pom.xml"
        copied = " dependency:copy-dependencies -DincludeScope=runtime" if details["main"] else ""
        return f"mvn --batch-mode -DskipTests{uber}{details['without']}{module} package{copied}"
    program = "sh ./gradlew" if details["wrapper"] else "gradle"
    task = "build" if inside == "." else f":{inside.replace('/', ':')}:build"
    return f"{program} --no-daemon {task} -x test{uber}{details['without']}"


def _taken(project: Project, libraries: str) -> str:
    """Put the jar, and what has to lie beside it, where the next stage finds them."""
    details, maven = project.details, project.kind == "maven"
    output = posixpath.normpath(posixpath.join(_inside(project), "target" if maven else "build/libs"))
    jars = f"{output}/*.{'war' if details['war'] else 'jar'}"
    command = f"cp \"$(ls -S {jars} | grep -vE 'sources|javadoc|plain|original' | head -n 1)\" {_package(project)}"
    if version := details["container"]:
        jetty = f"-Dartifact=org.eclipse.jetty:jetty-runner:{version} -Dmdep.stripVersion=true -DoutputDirectory=/"
        return f"{command} \\\n    && mvn --batch-mode --non-recursive {_COPY} {jetty}"
    beside = f"{output}/dependency" if details["main"] else f"{output}/{libraries}"
    return f"{command} && cp -r {beside} {_LIBRARIES}" if libraries else command
