"""Java and Kotlin: a Maven or Gradle project whose package is an executable jar (Spring Boot, Quarkus' uber-jar, a shaded one), or
a war."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from deadweight_init import declared
from deadweight_init.languages import java_dropwizard, java_modules, java_versions
from deadweight_init.languages.common import OWNED, dockerignore, flow, rungs_on
from deadweight_init.languages.java_dockerfile import build_image, container_for, dockerfile, environment
from deadweight_init.languages.sources import scan
from deadweight_init.records import ImageWords, Known, Ladder, Project, Rung, Service
from deadweight_init.tree import Tree, joined, line_of

_KINDS = {"pom.xml": "maven", "build.gradle": "gradle", "build.gradle.kts": "gradle"}
_CONFIG = ("application.properties", "application.yml", "application.yaml")
_SERVES = re.compile(
    r"spring-boot|springframework\.boot|quarkus|micronaut|\bktor\b|helidon|javalin|dropwizard|vertx|http4k|armeria|sparkjava"
)
_EXECUTABLE = re.compile(
    r"spring-boot-maven-plugin|quarkus|maven-shade-plugin|maven-assembly-plugin|addClasspath|micronaut-(?:maven-plugin|parent)"
)
_LISTENS = re.compile(
    r"Https?Server\.create\(|new ServerSocket\(|ServerSocketChannel\.open\(|ServerBuilder\.forPort\(|ServerBootstrap\("
)
"""How code of the JDK alone, of gRPC and of Netty opens a port."""
_WAR = re.compile(r"<packaging>\s*war\s*<")
_USUAL = re.compile(r"spring-?boot|springframework\.boot|quarkus|micronaut")
"""Frameworks that listen on 8080 where nothing says otherwise."""

_MAIN = re.compile(r"\bstatic\s+void\s+main\s*\(")


_CONTEXT = re.compile(
    r"^[ \t]*(?:(?:server\.(?:servlet\.)?|micronaut\.server\.)?context-?path|spring\.webflux\.base-path"
    r"|(?:quarkus\.http\.)?root-path)[ \t]*[=:][ \t]*[\"']?(/[\w/.-]*)",
    re.MULTILINE | re.IGNORECASE,
)
"""How Spring, Quarkus and Micronaut are told a path before all others."""

_FILE_DATABASE = re.compile(r"jdbc:(?:h2:(?:file:)?|hsqldb:file:|derby:|sqlite:)(?:\./)?(?!mem:|tcp:|file:|ssl:)[\w-]")
"""A database in the folder in which the service is started."""


def find(tree: Tree, folder: str, words: ImageWords | None) -> Project | None:
    """The project of a folder. Maven goes first where both build files are there; what only holds modules together is none."""
    file = next((joined(folder, name) for name in _KINDS if tree.has(joined(folder, name))), None)
    kind = _KINDS[file.rpartition("/")[2]] if file else ""
    if file is None or java_modules.holds_together(tree, folder, kind):
        return None
    top = java_modules.top_of(tree, folder, kind)
    text = tree.text(file)
    whole = "\n".join((text, java_modules.texts_above(tree, folder, top, tuple(_KINDS))))
    asked, at = java_versions.asked(whole)
    runtime = java_versions.runs_on(asked, whole)
    config = [path for path in tree.below(folder, *_CONFIG) if "/main/" in path]
    code = sorted(tree.below(folder, ".java", ".kt"))
    of_config, (of_code, health) = scan(tree, config)[0], scan(tree, code)
    jib = tuple(Known(int(each[1]), f"from {file}:{line_of(text, each.start(1))}") for each in declared.jib_ports(text))
    is_war, usual = _is_war(text, kind), bool(_USUAL.search(whole))
    listens = bool(of_code or jib) or any(_LISTENS.search(tree.text(path)) for path in code)
    return Project(
        language="java",
        kind=kind,
        folder=folder,
        name=_name(text) or tree.root.name,
        version=Known(str(runtime), _origin(file, text, at)),
        ports=jib or of_config or ((Known(8080),) if usual or is_war else of_code),
        health=_health(tree, file, whole, config, health),
        details={
            **_of_build(tree, folder, top, kind, runtime, whole),
            **_of_package(tree, folder, kind, text, whole),
            "jib_base": declared.jib_base(text),
            **({OWNED: "1"} if any(_FILE_DATABASE.search(tree.text(path)) for path in config) else {}),
            "settings": java_dropwizard.settings(tree, folder, whole),
        },
        problem=_problem(tree, folder, text, whole, listens or is_war or bool(words and words.ports), top),
    )


def _is_war(text: str, kind: str) -> bool:
    return kind == "maven" and bool(_WAR.search(text))


def _of_build(tree: Tree, folder: str, top: str, kind: str, runtime: int, whole: str) -> dict[str, str]:
    """With what it is built, and in which folder."""
    wrapper = _wrapper(tree, folder, top, kind)
    properties = tree.text(joined(top, "gradle/wrapper/gradle-wrapper.properties")) if kind == "gradle" else ""
    settings = "\n".join((whole, *(tree.text(joined(each, "gradle.properties")) for each in (folder, top))))
    return {
        "quarkus": java_versions.quarkus_package(settings) if "quarkus" in whole else "",
        "wrapper": wrapper,
        "jdk": str(java_versions.built_with(runtime, properties if wrapper else "")),
        "top": top,
        "listed": "1" if kind == "maven" and java_modules.lists(tree, top, folder) else "",
        "without": _without(whole, kind),
    }


def _of_package(tree: Tree, folder: str, kind: str, text: str, whole: str) -> dict[str, str]:
    """What the build makes, and what has to lie beside it when it runs."""
    executable = _EXECUTABLE.search(whole)
    is_war = _is_war(text, kind)
    return {
        "beside": _beside(text),
        "war": "1" if is_war else "",
        "container": container_for(whole) if is_war and not executable else "",
        "main": "" if kind == "gradle" or executable else _main_class(tree, folder),
    }


def _health(
    tree: Tree, file: str, whole: str, config: Sequence[str], written: tuple[Known[str], ...]
) -> tuple[Known[str], ...]:
    """The paths of its framework before those that its code names (``written``), all below the path of its settings."""
    usual = (path for name, path in (("quarkus", "/q/health"), ("actuator", "/actuator/health")) if name in whole)
    health = (*(Known(path, f"guessed from {file}") for path in usual), *written)
    if context := _context(tree, config):
        below = (Known(f"{context.value}{each.value}", context.origin) for each in health)
        return (*below, *health, Known(f"{context.value}/", context.origin))
    return health


def _context(tree: Tree, config: Sequence[str]) -> Known[str] | None:
    """The path below which everything is served, as the settings say; None without one."""
    for path in config:
        text = tree.text(path)
        found = _CONTEXT.search(text)
        if found and (inside := found[1].strip("/")):
            return Known(f"/{inside}", f"from {path}:{line_of(text, found.start())}")
    return None


def _problem(tree: Tree, folder: str, text: str, whole: str, listens: bool, top: str) -> str:
    if not (_SERVES.search(whole) or listens):
        return "it does not look like a server"
    if top != folder and not _WAR.search(text) and not java_modules.is_program(tree, folder, text):
        return "it is a library: it has no main class"
    return ""


def _origin(file: str, text: str, at: int | None) -> str:
    if at is None:
        return "guessed"
    return f"from {file}:{line_of(text, at)}" if at < len(text) else f"from {file}'s parent"


def _name(text: str) -> str:
    without_parent = re.sub(r"<parent>.*?</parent>", "", text, flags=re.DOTALL)
    found = re.search(r"<artifactId>\s*([\w.-]+)\s*<", without_parent)
    return found[1] if found else ""


def _beside(pom: str) -> str:
    """The folder of libraries in which the jar's manifest looks for them, beside the jar; empty where they are in the jar."""
    found = re.search(r"<addClasspath>\s*true\s*<.*?<classpathPrefix>\s*([\w.-]+)/?\s*<", pom, re.DOTALL)
    return found[1] if found else ""


def _wrapper(tree: Tree, folder: str, top: str, kind: str) -> str:
    name = {"maven": "mvnw", "gradle": "gradlew"}[kind]
    return name if tree.has(joined(top, name)) or tree.has(joined(folder, name)) else ""


def _main_class(tree: Tree, folder: str) -> str:
    """The only main class; empty where there are several, or none."""
    found = []
    for path in tree.below(joined(folder, "src/main/java"), ".java"):
        text = tree.text(path)
        package = re.search(r"^package\s+([\w.]+)\s*;", text, re.MULTILINE)
        if _MAIN.search(text):
            name = path.rpartition("/")[2].removesuffix(".java")
            found.append(f"{package[1]}.{name}" if package else name)
    return found[0] if len(found) == 1 else ""


def _without(text: str, kind: str) -> str:
    """What a build here does without: plug-ins that read git's metadata, which is not in the context."""
    if kind == "maven":
        return " -Dmaven.gitcommitid.skip=true" if "git-commit-id" in text else ""
    return " -x generateGitProperties" if "gradle-git-properties" in text else ""


def ladder(service: Service, project: Project, place: str, port: int) -> Ladder:
    """Multi-stage on Ubuntu, Alpine, Chainguard and distroless, and Jib."""
    version, details = project.version.value, project.details
    build = build_image(project)
    distroless = f"gcr.io/distroless/java{version}-debian12:nonroot"
    bases = {
        "debian": (build, f"eclipse-temurin:{version}-jre"),
        "alpine": (build, f"eclipse-temurin:{version}-jre-alpine"),
        "chainguard": (build, "cgr.dev/chainguard/jre:latest"),
        "distroless": (build, distroless),
    }
    files = {
        f"{place}/Dockerfile": dockerfile(service, project, port),
        f"{place}/Dockerfile.dockerignore": dockerignore("java", place),
    }
    what = "the war in Jetty" if details["container"] else "the executable jar"
    rungs = list(rungs_on(bases, what, f"{place}/Dockerfile", details["top"]))
    env = environment(service.own.words) if service.own else {}
    for name, base in (
        ("jib", details["jib_base"] or f"eclipse-temurin:{version}-jre"),
        ("jib-distroless", distroless),
    ):
        keys = {"source": details["top"], "base": base, **_keys_for_jib(project)}
        if env:
            keys["env"] = flow(env)
        what = "no Dockerfile and no engine: dependencies, resources and classes in layers of their own"
        why = "its package is a war, which Jib puts on the image of a servlet container" if details["container"] else ""
        rungs.append(Rung(name, "jib", what, keys, refused=why))
    return Ladder(tuple(_without_newer(rungs, version)), files)


def _without_newer(rungs: list[Rung], version: str) -> list[Rung]:
    """The rungs, where those are left out whose bases have a newer Java alone than an old framework runs on."""
    if int(version) in java_versions.SUPPORTED:
        return rungs
    why = f"it needs Java {version}, and this base has newer ones alone"
    newer = ("chainguard", "distroless", "jib-distroless")
    return [replace(each, refused=why) if each.name in newer else each for each in rungs]


def _keys_for_jib(project: Project) -> dict[str, str]:
    """Which module becomes the image; what its program is given, and the file that is for it."""
    module, given = _module_for_jib(project), java_dropwizard.words(project)
    args = {**module.pop("args", {}), **({"jib.container.args": ",".join(given)} if given else {})}
    files = {"files": flow({java_dropwizard.placed(project): project.details["settings"]})} if given else {}
    return {**module, **files, **({"args": flow(args)} if args else {})}


def _module_for_jib(project: Project) -> dict[str, Any]:
    """Which of several modules becomes the image."""
    details = project.details
    if details["top"] == project.folder:
        return {}
    if project.kind == "gradle":
        inside = project.folder if details["top"] == "." else project.folder.removeprefix(f"{details['top']}/")
        return {"args": {"jib.containerize": f":{inside.replace('/', ':')}"}}
    if details["listed"]:
        return {"args": {"jib.containerize": f":{project.name}"}}
    inside = project.folder if details["top"] == "." else project.folder.removeprefix(f"{details['top']}/")
    return {"pom": f"{inside}/pom.xml"}
