"""Detect a Java or Kotlin project (Maven, Gradle) that makes a jar to run, and write what builds it: a Dockerfile, and Jib."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from deadweight_init.languages import common
from deadweight_init.languages.protocol import Facts, Language
from deadweight_init.languages.sources import scan
from deadweight_init.records import ImageWords, Known, Ladder, Project, Rung, Service, wording
from deadweight_init.tree import Tree, folder_of, joined, line_of

_VERSION = re.compile(
    r"<(?:java\.version|maven\.compiler\.(?:release|source|target)|release|jdk\.version)>\s*(?:1\.)?(\d+)\s*<"
    r"|JavaLanguageVersion\.of\((\d+)\)|sourceCompatibility\s*=\s*[\"']?(?:JavaVersion\.VERSION_)?(?:1[._])?(\d+)"
    r"|jvmToolchain\s*\(?\s*(\d+)|jvmTarget\s*=\s*[\"'](?:1\.)?(\d+)"
)
_OLD_BOOT = re.compile(
    r"<artifactId>spring-boot-(?:starter-parent|dependencies)</artifactId>\s*<version>\s*[12]\."
    r"|org\.springframework\.boot[\"')]+\s*version\s*[\"'(]+[12]\."
    r"|spring-?[bB]oot(?:Version|\.version)?[\"']?\s*[=>:]\s*[\"']?[12]\.|spring-boot-gradle-plugin:[12]\."
)
"""Spring Boot that is compiled for Java 8 if nothing says otherwise."""
KEPT_UP = (8, 11, 17, 21, 25)
_NEWER = 17
"""The first that all bases have."""


def _version(tree: Tree, files: Sequence[str], whole: str) -> Known[str]:
    """The Java that build files ask for, or the next that is kept up."""
    named = (known for file in files for known in tree.values(file, _VERSION))
    asked = next(named, Known("8" if _OLD_BOOT.search(whole) else str(_NEWER)))
    return replace(asked, value=str(next((major for major in KEPT_UP if major >= int(asked.value)), KEPT_UP[-1])))


_MODULE = re.compile(r"<module>\s*([^<$\s]+)\s*</module>")
_PARENT = re.compile(r"<parent>(.*?)</parent>", re.DOTALL)
_ARTIFACT = re.compile(r"<artifactId>\s*([\w.-]+)\s*<")
_RELATIVE = re.compile(r"<relativePath>\s*([^<\s]+)\s*<")
_INCLUDE = re.compile(r"^\s*include(?!Build)\b([^\n]*(?:,\s*\n[^\n]*)*)", re.MULTILINE)
_SETTINGS = ("settings.gradle", "settings.gradle.kts")
_DEPTH = 6


def build_folder(tree: Tree, folder: str, kind: str) -> str:
    """The folder that a project is built from: its own, or one above it that it is a module of, or has its parent."""
    above = _maven_above if kind == "maven" else _gradle_above
    top = folder
    for _ in range(_DEPTH):
        upper = above(tree, top)
        if upper is None:
            break
        top = upper
    return top


def lists(tree: Tree, top: str, folder: str) -> bool:
    """Whether Maven builds a module together with those that it needs when it is called in ``top``."""
    below = {top}
    for _ in range(_DEPTH):
        below |= {module for one in below for module in _modules(tree, one)}
    return folder in below


def is_aggregator(tree: Tree, folder: str, kind: str) -> bool:
    """Whether a project only holds modules together, and has no code of its own."""
    if any(tree.below(joined(folder, "src/main"), "")):
        return False
    if kind == "maven":
        return bool(_modules(tree, folder))
    return any(_INCLUDE.search(tree.texts[joined(folder, name)]) for name in _SETTINGS)


def files_above(tree: Tree, folder: str, top: str, names: tuple[str, ...]) -> Iterator[str]:
    """The build files of the folders from a module's upper one to the top."""
    while folder not in (top, "."):
        folder = folder_of(folder)
        yield from (path for name in names if (path := joined(folder, name)) in tree.files)


def artifact(pom: str) -> str:
    """The name of a pom's own artifact."""
    match = _ARTIFACT.search(_PARENT.sub("", pom))
    return match[1] if match else ""


def _modules(tree: Tree, folder: str) -> list[str]:
    text = tree.texts[joined(folder, "pom.xml")]
    return [joined(folder, module.removesuffix("/pom.xml")) for module in _MODULE.findall(text)]


def _maven_above(tree: Tree, folder: str) -> str | None:
    """The folder above whose pom lists this one, or is its parent."""
    home = folder
    while home != ".":
        home = folder_of(home)
        if folder in _modules(tree, home):
            return home
    parent = _PARENT.search(tree.texts[joined(folder, "pom.xml")])
    if parent is None or folder == ".":
        return None
    relative, name = _RELATIVE.search(parent[1]), _ARTIFACT.search(parent[1])
    file = joined(folder, relative[1] if relative else "../pom.xml")
    file = file if file.endswith(".xml") else posixpath.join(file, "pom.xml")
    upper = folder_of(file)
    is_above = upper == "." or folder.startswith(f"{upper}/")
    return upper if name and is_above and artifact(tree.texts[file]) == name[1] else None


def _gradle_above(tree: Tree, folder: str) -> str | None:
    """The folder above whose settings include this one; a folder with settings of its own is its own build."""
    home = folder
    while home != "." and not any(joined(home, name) in tree.files for name in _SETTINGS):
        home = folder_of(home)
        texts = (tree.texts[joined(home, name)] for name in _SETTINGS)
        included = "\n".join(names for text in texts for names in _INCLUDE.findall(text))
        path = posixpath.relpath(folder, home)
        if re.search(rf"[\"':](?:{re.escape(path)}|{re.escape(path.replace('/', ':'))})[\"']", included):
            return home
    return None


@dataclass(frozen=True)
class JavaProject(Project):
    """``top`` is the folder that it is built from. ``wrapper``: it brings Maven or Gradle itself. ``listed``:
    Maven builds it with the modules that it needs. ``main`` is its main class if its jar does not say it, with its libraries
    beside it.
    """

    top: str = "."
    wrapper: bool = False
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


def _environment(own: ImageWords) -> dict[str, str]:
    """The own image's variables as a JVM without a start script takes them."""
    env = common.plain_env(own, _OF_SCRIPTS)
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
    # Maven's image sets MAVEN_CONFIG to a folder, which older wrappers take for words of the command line.
    start = f"{'env -u MAVEN_CONFIG ' if wrapper == 'mvnw' else ''}sh ./{wrapper}"
    return f"$({start} --version >/dev/null 2>&1 && echo {start} || echo {usual})" if project.wrapper else usual


def _run_stage(service: Service, project: JavaProject, env: dict[str, str], port: int) -> Iterator[str]:
    options = env.get("JAVA_TOOL_OPTIONS", "")
    if not re.search(r"-Xmx|MaxRAMPercentage", options):  # the heap follows the container's memory limit
        env = {**env, "JAVA_TOOL_OPTIONS": f"{_HEAP} {options}".strip()}
    copies = [f"--from=build {_LIBRARIES} /app/lib"] if project.main else []
    by_main = ("-cp", "/app/app.jar:/app/lib/*", project.main)
    entry = ("java", *(by_main if project.main else ("-jar", "/app/app.jar")))
    copies.append("--from=build /app.jar /app/app.jar")
    return common.run_stage(project, port, entry, copies, env=env, stop=common.image_words(service).stop)


def _jib(project: JavaProject, env: dict[str, str], bases: dict[str, str]) -> Iterator[Rung]:
    """Jib on these bases, of the module that becomes the image."""
    inside = _inside(project)
    module: dict[str, Any] = {}
    if inside != "." and project.kind == "maven" and not project.listed:
        module = {"pom": f"{inside}/pom.xml"}
    elif inside != ".":
        name = project.name if project.kind == "maven" else inside.replace("/", ":")
        module = {"args": {"jib.containerize": f":{name}"}}
    for name, base in bases.items():
        keys = {"source": project.top, "base": base, **module, **({"env": env} if env else {})}
        yield Rung(name, "jib", wording("rung.jib"), keys)


_KINDS = {"pom.xml": "maven", "build.gradle": "gradle", "build.gradle.kts": "gradle"}
_CONFIG = ("application.properties", "application.yml", "application.yaml")
_SERVES = re.compile(
    r"spring-boot|springframework\.boot|quarkus|micronaut|\bktor\b|helidon|javalin|dropwizard|vertx|http4k|armeria|sparkjava"
)
_USUAL = re.compile(r"spring-?boot|springframework\.boot|quarkus|micronaut")
"""Frameworks that listen on 8080 if nothing says otherwise."""

_EXECUTABLE = re.compile(
    r"spring-boot-maven-plugin|quarkus|maven-shade-plugin|maven-assembly-plugin|micronaut-(?:maven-plugin|parent)"
)
_LISTENS = re.compile(
    r"Https?Server\.create\(|new ServerSocket\(|ServerSocketChannel\.open\(|ServerBuilder\.forPort\(|ServerBootstrap\("
)
"""How code of the JDK alone, of gRPC and of Netty opens a port."""
_WAR = re.compile(r"<packaging>\s*war\s*<")
_MAIN = re.compile(
    r"\bSpringApplication\b|@SpringBootApplication|\bMicronaut\.(?:run|build)|\bstatic\s+void\s+main\s*\(|^fun main\(|@QuarkusMain"
    r"|io\.ktor\.server\.\w+\.EngineMain",
    re.MULTILINE,
)
_CONTEXT = re.compile(
    r"^[ \t]*(?:(?:server\.(?:servlet\.)?|micronaut\.server\.)?context-?path|spring\.webflux\.base-path"
    r"|(?:quarkus\.http\.)?root-path)[ \t]*[=:][ \t]*[\"']?(/[\w/.-]*)",
    re.MULTILINE | re.IGNORECASE,
)
"""How Spring, Quarkus and Micronaut are told a path before all others."""

_FILE_DATABASE = re.compile(r"jdbc:(?:h2:(?:file:)?|hsqldb:file:|derby:|sqlite:)(?:\./)?(?!mem:|tcp:|file:|ssl:)[\w-]")
"""A database in the folder in which the service is started."""


_JIB = re.compile(
    r"<artifactId>\s*jib-maven-plugin\s*</artifactId>.*?<from>\s*<image>\s*([^<$\s]+)"
    r"|\bjib\s*\{.*?\bfrom\s*\{[^}]*?image\s*=?\s*[\"']([^\"'$]+)[\"']",
    re.DOTALL,
)
"""The base image that a pom.xml or a build.gradle gives Jib."""
_JIB_PORT = re.compile(r"jib-maven-plugin.*?<port>\s*(\d{2,5})|\bjib\s*\{.*?\bports\s*=[^\n\d]*(\d{2,5})", re.DOTALL)


class Java:
    """The languages of the JVM."""

    facts = Facts(
        (r"pom\.xml", r"build\.gradle(?:\.kts)?"),
        (".java", ".kt", ".properties", "application.yml"),
        "temurin|maven|gradle|openjdk|jdk",
    )

    def find(self, tree: Tree, folder: str, words: ImageWords | None, main: str | None) -> JavaProject | None:
        """The project of a folder. Maven goes first if both build files are there; what only holds modules together is none."""
        file = next((joined(folder, name) for name in _KINDS if joined(folder, name) in tree.files), None)
        kind = _KINDS[file.rpartition("/")[2]] if file else ""
        if file is None or is_aggregator(tree, folder, kind):
            return None
        top, text = build_folder(tree, folder, kind), tree.texts[file]
        files = (file, *files_above(tree, folder, top, tuple(_KINDS)))
        whole = "\n".join(tree.texts[path] for path in files)
        config = [path for path in tree.below(folder, *_CONFIG) if "/main/" in path]
        code = sorted(tree.below(folder, ".java", ".kt"))
        of_config, (of_code, health) = scan(tree, config)[0], scan(tree, code)
        jib = tuple(Known(int(port.value), port.origin) for port in tree.values(file, _JIB_PORT))
        listens = bool(of_code or jib or (words and words.ports))
        listens = listens or any(_LISTENS.search(tree.texts[path]) for path in code)
        return JavaProject(
            language="java",
            kind=kind,
            folder=folder,
            name=artifact(text) or tree.root.name,
            version=_version(tree, files, whole),
            ports=jib or of_config or ((Known(8080),) if _USUAL.search(whole) else of_code),
            health=_health(tree, file, whole, config, health),
            owned=any(_FILE_DATABASE.search(tree.texts[path]) for path in config),
            top=top,
            wrapper=joined(top, "mvnw" if kind == "maven" else "gradlew") in tree.files,
            listed=kind == "maven" and lists(tree, top, folder),
            options=tuple(_options(whole, kind)),
            main="" if kind == "gradle" or _EXECUTABLE.search(whole) else _main_class(tree, folder, text),
            jib_base=next((known.value for known in tree.values(file, _JIB)), ""),
            problem=_problem(tree, folder, text, whole, listens, top),
        )

    def ladder(self, service: Service, project: JavaProject, place: str, port: int) -> Ladder:
        """Ubuntu, Alpine, Chainguard and distroless, and Jib on the first and the last."""
        version, is_maven = project.version.value, project.kind == "maven"
        build = f"maven:3-eclipse-temurin-{version}" if is_maven else f"gradle:8-jdk{version}"
        bases = common.bases_of("java", build=build, version=version)
        env = _environment(common.image_words(service))
        lines = [*common.arguments(bases), *_build_stage(project), "", *_run_stage(service, project, env, port)]
        ignored = ("target", "build", ".gradle", "src/test")
        made = common.one_dockerfile(bases, wording("rung.jar"), place, project.top, lines, ignored)
        jib = {"jib": project.jib_base or bases["debian"][1], "jib-distroless": bases["distroless"][1]}
        rungs = [*made.rungs, *_jib(project, env, jib)]
        if int(version) < _NEWER:
            why = wording("refused.older_java", version=version)
            newer = ("chainguard", "distroless", "jib-distroless")
            rungs = [replace(rung, refused=why) if rung.name in newer else rung for rung in rungs]
        return Ladder(tuple(rungs), made.files)


def _options(whole: str, kind: str) -> Iterator[str]:
    """What the build is told: one jar of Quarkus, and no plug-ins that read git's metadata, which is not in the context."""
    if "quarkus" in whole:
        yield "-Dquarkus.package.jar.type=uber-jar -Dquarkus.package.type=uber-jar"  # its name before 3.9
    if kind == "maven" and "git-commit-id" in whole:
        yield "-Dmaven.gitcommitid.skip=true"
    if kind == "gradle" and "gradle-git-properties" in whole:
        yield "-x generateGitProperties"


def _health(
    tree: Tree, file: str, whole: str, config: Sequence[str], written: tuple[Known[str], ...]
) -> tuple[Known[str], ...]:
    """The paths of its framework before those that its code names (``written``), all below the path of its settings."""
    usual = (path for name, path in (("quarkus", "/q/health"), ("actuator", "/actuator/health")) if name in whole)
    health = (*(Known(path, f"guessed from {file}") for path in usual), *written)
    for path in config:
        text = tree.texts[path]
        match = _CONTEXT.search(text)
        if match and (inside := match[1].strip("/")):
            origin = f"from {path}:{line_of(text, match.start())}"
            below = (Known(f"/{inside}{known.value}", origin) for known in health)
            return (*below, *health, Known(f"/{inside}/", origin))
    return health


def _problem(tree: Tree, folder: str, text: str, whole: str, listens: bool, top: str) -> str:
    if not (_SERVES.search(whole) or listens):
        return wording("problem.no_server")
    if _WAR.search(text) and not _EXECUTABLE.search(whole):
        return wording("problem.war")
    code = tree.below(joined(folder, "src/main"), ".java", ".kt", ".groovy")
    if top != folder and "quarkus" not in text and not any(_MAIN.search(tree.texts[path]) for path in code):
        return wording("problem.library")
    return ""


def _main_class(tree: Tree, folder: str, pom: str) -> str:
    """The main class that the pom names, else the only one; empty if there are several, or none."""
    if named := re.search(r"<mainClass>\s*([\w.]+)\s*<", pom):
        return named[1]
    classes = []
    for path in tree.below(joined(folder, "src/main/java"), ".java"):
        text = tree.texts[path]
        if re.search(r"\bstatic\s+void\s+main\s*\(", text):
            package = re.search(r"^package\s+([\w.]+)\s*;", text, re.MULTILINE)
            name = path.rpartition("/")[2].removesuffix(".java")
            classes.append(f"{package[1]}.{name}" if package else name)
    return classes[0] if len(classes) == 1 else ""


LANGUAGE: Language[JavaProject] = Java()
