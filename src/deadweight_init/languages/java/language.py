"""Detect a Java or Kotlin project (Maven, Gradle) that makes an executable jar, or a jar with its libraries beside it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from deadweight_init import declared
from deadweight_init.languages.java import modules, recipe, versions
from deadweight_init.languages.java.recipe import JavaProject
from deadweight_init.languages.protocol import Facts, Language
from deadweight_init.languages.sources import scan
from deadweight_init.records import ImageWords, Known, Ladder, Service
from deadweight_init.tree import Tree, joined, line_of

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


class Java:
    """The languages of the JVM."""

    facts = Facts(
        (r"pom\.xml", r"build\.gradle(?:\.kts)?"),
        (".java", ".kt", ".properties", "application.yml"),
        "temurin|maven|gradle|openjdk|jdk",
    )

    def find(self, tree: Tree, folder: str, words: ImageWords | None, main: str | None) -> JavaProject | None:
        """The project of a folder. Maven goes first if both build files are there; what only holds modules together is none."""
        file = next((joined(folder, name) for name in _KINDS if tree.has(joined(folder, name))), None)
        kind = _KINDS[file.rpartition("/")[2]] if file else ""
        if file is None or modules.holds_together(tree, folder, kind):
            return None
        top, text = modules.top_of(tree, folder, kind), tree.text(file)
        whole = "\n".join((text, modules.texts_above(tree, folder, top, tuple(_KINDS))))
        asked, at = versions.asked(whole)
        config = [path for path in tree.below(folder, *_CONFIG) if "/main/" in path]
        settings = "\n".join((whole, *(tree.text(joined(each, "gradle.properties")) for each in (folder, top))))
        code = sorted(tree.below(folder, ".java", ".kt"))
        of_config, (of_code, health) = scan(tree, config)[0], scan(tree, code)
        jib = tuple(
            Known(int(port[1]), f"from {file}:{line_of(text, port.start(1))}") for port in declared.jib_ports(text)
        )
        listens = bool(of_code or jib or (words and words.ports)) or any(
            _LISTENS.search(tree.text(path)) for path in code
        )
        runtime = versions.runs_on(asked, whole)
        wrapper = tree.text(joined(top, "gradle/wrapper/gradle-wrapper.properties")) if kind == "gradle" else ""
        return JavaProject(
            language="java",
            kind=kind,
            folder=folder,
            name=modules.artifact(text) or tree.root.name,
            version=Known(str(runtime), _origin(file, text, at)),
            ports=jib or of_config or ((Known(8080),) if _USUAL.search(whole) else of_code),
            health=_health(tree, file, whole, config, health),
            owned=any(_FILE_DATABASE.search(tree.text(path)) for path in config),
            top=top,
            wrapper=tree.has(joined(top, "mvnw" if kind == "maven" else "gradlew")),
            jdk=str(versions.built_with(runtime, wrapper)),
            listed=kind == "maven" and modules.lists(tree, top, folder),
            options=tuple(_options(whole, settings, kind)),
            main="" if kind == "gradle" or _EXECUTABLE.search(whole) else _main_class(tree, folder, text),
            jib_base=declared.jib_base(text),
            problem=_problem(tree, folder, text, whole, listens, top),
        )

    def ladder(self, service: Service, project: JavaProject, place: str, port: int, health: str | None) -> Ladder:
        """Ubuntu, Alpine, Chainguard and distroless, and Jib."""
        return recipe.ladder(service, project, place, port)


def _options(whole: str, settings: str, kind: str) -> Iterator[str]:
    """What the build is told: one jar of Quarkus, and no plug-ins that read git's metadata, which is not in the context."""
    if "quarkus" in whole:
        yield f"-D{versions.quarkus_package(settings)}=uber-jar"
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
        text = tree.text(path)
        match = _CONTEXT.search(text)
        if match and (inside := match[1].strip("/")):
            origin = f"from {path}:{line_of(text, match.start())}"
            return (
                *(Known(f"/{inside}{known.value}", origin) for known in health),
                *health,
                Known(f"/{inside}/", origin),
            )
    return health


def _problem(tree: Tree, folder: str, text: str, whole: str, listens: bool, top: str) -> str:
    if not (_SERVES.search(whole) or listens):
        return "it does not look like a server"
    if _WAR.search(text) and not _EXECUTABLE.search(whole):
        return "its package is a war: it needs a Dockerfile on the image of a servlet container"
    code = tree.below(joined(folder, "src/main"), ".java", ".kt", ".groovy")
    if top != folder and "quarkus" not in text and not any(_MAIN.search(tree.text(path)) for path in code):
        return "it is a library: it has no main class"
    return ""


def _origin(file: str, text: str, at: int | None) -> str:
    if at is None:
        return "guessed"
    return f"from {file}:{line_of(text, at)}" if at < len(text) else f"from {file}'s parent"


def _main_class(tree: Tree, folder: str, pom: str) -> str:
    """The main class that the pom names, else the only one; empty if there are several, or none."""
    if named := re.search(r"<mainClass>\s*([\w.]+)\s*<", pom):
        return named[1]
    classes = []
    for path in tree.below(joined(folder, "src/main/java"), ".java"):
        text = tree.text(path)
        if re.search(r"\bstatic\s+void\s+main\s*\(", text):
            package = re.search(r"^package\s+([\w.]+)\s*;", text, re.MULTILINE)
            name = path.rpartition("/")[2].removesuffix(".java")
            classes.append(f"{package[1]}.{name}" if package else name)
    return classes[0] if len(classes) == 1 else ""


LANGUAGE: Language[JavaProject] = Java()
