"""Write the recipes that build a JVM program: a Dockerfile that runs its jar on a Java-only base, and Jib."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from deadweight_init.languages.common import arguments, flow, one_dockerfile, own_words, plain_env, run_stage
from deadweight_init.languages.java import versions
from deadweight_init.records import ImageWords, Ladder, Project, Rung, Service


@dataclass(frozen=True)
class JavaProject(Project):
    """``top`` is the folder that it is built from. ``wrapper``: it brings Maven or Gradle itself. ``jdk`` builds it. ``listed``:
    Maven builds it with the modules that it needs. ``main`` is its main class if its jar does not say it, with its libraries
    beside it.
    """

    top: str = "."
    wrapper: bool = False
    jdk: str = "21"
    listed: bool = False
    options: tuple[str, ...] = ()
    main: str = ""
    jib_base: str = ""


_OF_SCRIPTS = "PATH|JAVA_HOME|JAVA_APP_JAR|JAVA_APP_DIR|JAVA_MAIN_CLASS|AB_ENABLED|AB_OFF"
"""What is for a base's start script, which is not used here, or for the base itself."""
_OPTIONS = ("JAVA_OPTS", "JAVA_OPTIONS", "JAVA_OPTS_APPEND", "JAVA_TOOL_OPTIONS")
"""What start scripts hand to the JVM; the JVM itself reads the last."""
_HEAP = "-XX:MaxRAMPercentage=75.0"  # Java 8 takes no whole number
_LIBRARIES = "/libraries"
"""Where the build puts the jars that lie beside the program's: ``/lib`` is the OS's own."""


def ladder(service: Service, project: JavaProject, place: str, port: int) -> Ladder:
    """Ubuntu, Alpine, Chainguard and distroless, and Jib on the first and the last."""
    version, build = project.version.value, _build_image(project)
    jre, distroless = f"eclipse-temurin:{version}-jre", f"gcr.io/distroless/java{version}-debian12:nonroot"
    bases = {
        "debian": (build, jre),
        "alpine": (build, f"{jre}-alpine"),
        "chainguard": (build, "cgr.dev/chainguard/jre:latest"),
        "distroless": (build, distroless),
    }
    env = _environment(own_words(service))
    lines = [*arguments(bases), *_build_stage(project), "", *_run_stage(service, project, env, port)]
    made = one_dockerfile(
        bases, "the executable jar", place, project.top, lines, ("target", "build", ".gradle", "src/test")
    )
    rungs = [*made.rungs, *_jib(project, env, {"jib": project.jib_base or jre, "jib-distroless": distroless})]
    if int(version) not in versions.SUPPORTED:
        why = f"it needs Java {version}, and this base has newer ones alone"
        newer = ("chainguard", "distroless", "jib-distroless")
        rungs = [replace(rung, refused=why) if rung.name in newer else rung for rung in rungs]
    return Ladder(tuple(rungs), made.files)


def _build_image(project: JavaProject) -> str:
    return f"maven:3-eclipse-temurin-{project.jdk}" if project.kind == "maven" else f"gradle:8-jdk{project.jdk}"


def _environment(own: ImageWords) -> dict[str, str]:
    """The own image's variables as a JVM without a start script takes them."""
    env = plain_env(own, _OF_SCRIPTS)
    options = [value for name in _OPTIONS if (value := env.pop(name, ""))]
    return {**env, **({"JAVA_TOOL_OPTIONS": " ".join(options)} if options else {})}


def _inside(project: JavaProject) -> str:
    """The module's folder, seen from the one that is built."""
    return posixpath.relpath(project.folder, project.top)


def _build_stage(project: JavaProject) -> Iterator[str]:
    maven = project.kind == "maven"
    output = posixpath.normpath(posixpath.join(_inside(project), "target" if maven else "build/libs"))
    yield "FROM ${BUILD} AS build"
    yield "USER root"
    yield "WORKDIR /src"
    yield "COPY . ."
    if project.wrapper:
        yield "# The repository's own wrapper, if its distribution can be fetched; else what the image brings."
    yield "# What is executable is the one jar that is neither sources nor what a plug-in put aside."
    yield f"RUN --mount=type=cache,target={'/root/.m2' if maven else '/root/.gradle'} \\"
    yield f"    {_command(project)} \\"
    jar = f"$(ls -S {output}/*.[jw]ar | grep -vE 'sources|javadoc|plain|original' | head -n 1)"
    yield f'    && cp "{jar}" /app.jar{f" && cp -r {output}/dependency {_LIBRARIES}" if project.main else ""}'


def _command(project: JavaProject) -> str:
    """What makes the jar; of a build with several modules, this one alone and those that it needs."""
    inside, options = _inside(project), "".join(f" {option}" for option in project.options)
    if project.kind == "maven":
        module = "" if inside == "." else f" -pl {inside} -am" if project.listed else f" -f {inside}/pom.xml"
        libraries = " dependency:copy-dependencies -DincludeScope=runtime" if project.main else ""
        return f"{_program(project, 'mvn', 'mvnw')} --batch-mode -DskipTests{options}{module} package{libraries}"
    task = "build" if inside == "." else f":{inside.replace('/', ':')}:build"
    return f"{_program(project, 'gradle', 'gradlew')} --no-daemon {task} -x test{options}"


def _program(project: JavaProject, usual: str, wrapper: str) -> str:
    return (
        f"$(sh ./{wrapper} --version >/dev/null 2>&1 && echo sh ./{wrapper} || echo {usual})"
        if project.wrapper
        else usual
    )


def _run_stage(service: Service, project: JavaProject, env: dict[str, str], port: int) -> Iterator[str]:
    options = env.get("JAVA_TOOL_OPTIONS", "")
    if not re.search(r"-Xmx|MaxRAMPercentage", options):  # the heap follows the container's memory limit
        env = {**env, "JAVA_TOOL_OPTIONS": f"{_HEAP} {options}".strip()}
    copies = [f"--from=build {_LIBRARIES} /app/lib"] if project.main else []
    entry = (
        ("java", "-cp", "/app/app.jar:/app/lib/*", project.main) if project.main else ("java", "-jar", "/app/app.jar")
    )
    copies.append("--from=build /app.jar /app/app.jar")
    return run_stage(project, port, entry, copies, env=env, stop=own_words(service).stop)


def _jib(project: JavaProject, env: dict[str, str], bases: dict[str, str]) -> Iterator[Rung]:
    """Jib on these bases, of the module that becomes the image."""
    inside = _inside(project)
    module = {}
    if inside != "." and project.kind == "maven" and not project.listed:
        module = {"pom": f"{inside}/pom.xml"}
    elif inside != ".":
        name = project.name if project.kind == "maven" else inside.replace("/", ":")
        module = {"args": flow({"jib.containerize": f":{name}"})}
    what = "no Dockerfile and no engine: dependencies, resources and classes in layers of their own"
    for name, base in bases.items():
        keys = {"source": project.top, "base": base, **module, **({"env": flow(env)} if env else {})}
        yield Rung(name, "jib", what, keys)
