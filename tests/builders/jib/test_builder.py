"""Jib, for real: Maven, no engine, a base from the local source. The first run on a machine fills Maven's local repository."""

import base64
import contextlib
import os
import pwd
import re
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from deadweight import _run
from deadweight._errors import ArchiveError, CommandError, ConfigError, DeadweightError
from deadweight.builders.jib import resident_maven
from deadweight.builders.jib.projects import OPENED, SHORT_LIVED, Maven
from deadweight.builders.table import builder
from deadweight.records.built_image import Base
from deadweight.records.paths import State
from deadweight.sources.network import maven_settings, trust_store
from deadweight.sources.protocol import BuildEnvironment
from deadweight.sources.settings import load
from deadweight.toolchain.find import find
from deadweight_images.archive.model import Image
from deadweight_images.contents import entrypoint as _main_class
from deadweight_images.contents.entrypoint import missing_main_class
from tests.support import ROOT, TESTS, image_samples as samples
from tests.support.builder_site import DONOR, HINTS, STATIC, Project
from tests.support.certificates import on_loopback
from tests.support.codes import details, raises
from tests.support.docker_registry import registry
from tests.support.http_servers import Answering, files, served
from tests.support.invoking import TASKS
from tests.support.java_projects import JUNIT, PROJECT, SUITE, dependency, emptied, family, main_class, plugin, pom
from tests.support.trees import shell_script, written, zipped

pytestmark = pytest.mark.tools

DEMO = f"""{SUITE}    files: {{/usr/bin/awk: "{DONOR}#/bin/busybox", /etc/app: conf}}
    env: {{LC_ALL: C.UTF-8, LIST: "a,b=c d"}}
"""


@pytest.fixture(scope="module")
def demo(static_base, tmp_path_factory):
    """The demo service, built, and once more after a change of one class: the project, the last build, the image before."""
    project = Project(tmp_path_factory.mktemp("jib-demo"), static_base).suite(DEMO)
    source = ROOT / "src" / "vulnerable-awk-playground-java"
    shutil.copytree(source, project.root / "app", ignore=shutil.ignore_patterns("target"))
    project.write({"conf/run.sh": "#!/bin/sh\n", "conf/plain.txt": "x\n"})
    (project.root / "conf" / "run.sh").chmod(0o755)
    before = project.image(project.build("v"))
    failure = project.root / "app/src/main/java/deadweight/playground/Failure.java"
    failure.write_text(failure.read_text().rstrip().removesuffix("}") + "    static final int ONE_MORE = 1;\n}\n")
    return project, project.build("v"), before


def layers(image: Image) -> dict[str, str]:
    """Diff ids by what Jib says that they hold."""
    named = zip([step for step in image.config.history if not step.empty], image.layers, strict=True)
    return {step.comment or f"base {layer.index}": layer.diff_id for step, layer in named}


def test_layers_are_split_by_what_changes_together(demo):
    """A change of one class changes the layer of classes alone."""
    project, built, image = demo
    before, after = layers(image), layers(project.image(built))
    assert [*before] == ["base 0", "dependencies", "resources", "classes", "jvm arg files", "extra files"]
    assert {kind for kind in before if before[kind] != after[kind]} == {"classes"}


@pytest.mark.slow
def test_a_clean_build_gives_the_same_image(demo):
    project, built, before = demo
    shutil.rmtree(project.root / "app" / "target")
    shutil.rmtree(project.site.state.cache)
    assert project.build("v").config_digest == built.config_digest != before.config_digest


@pytest.mark.slow
def test_a_maven_that_stays_makes_the_same_image(demo, monkeypatch):
    """Twice through one process: clean, and with every class there already."""
    project, built, _ = demo
    with tempfile.TemporaryDirectory(prefix="dw") as run:  # short: a socket lies in it
        monkeypatch.setenv("XDG_RUNTIME_DIR", run)
        monkeypatch.setenv(resident_maven.VARIABLE, "1")
        shutil.rmtree(project.root / "app" / "target")
        again = [project.build("v").config_digest, project.build("v").config_digest]
        assert (again, resident_maven.end_all()) == ([built.config_digest] * 2, 1)


def test_what_the_image_says_and_holds(demo):
    project, built, _ = demo
    config = project.image(built).config
    assert (config.user, config.exposed_ports) == OURS
    assert (config.entrypoint[-1], "LIST=a,b=c d" in config.env) == ("deadweight.playground.Main", True)
    assert built.tool.startswith("jib 3.5.2 (Maven ")
    assert (built.base.stand_in, project.steps("v")[0].there()) == (True, True)
    assert any(line.startswith("Compiling ") for line in project.lines)
    awk, mode = project.read(built, "/usr/bin/awk")  # out of another image
    assert (awk[:4], mode & 0o777) == (b"\x7fELF", 0o755)
    conf = [project.read(built, f"/etc/app/{name}") for name in ("run.sh", "plain.txt")]
    assert [(content, mode & 0o7777) for content, mode in conf] == [(b"#!/bin/sh\n", 0o755), (b"x\n", 0o644)]


def test_inputs_are_what_maven_reads(project):
    before = project.inputs().digest
    project.write({"app/target/classes/a/X.class": "x", "app/src/test/java/a/MainTest.java": "x"})
    assert project.inputs().digest == before
    project.write({"app/src/main/java/a/target/Y.java": "package a.target;\n"})
    assert project.inputs().digest != before


@pytest.mark.slow
def test_a_pom_that_names_jib_keeps_what_it_says(project):
    """Its version too, which is then the one that the result tells of."""
    project.write({"app/pom.xml": pom(plugins=jib_plugin("1234", "3.4.4", "<labels><a>b</a></labels>"))})
    built = project.build("v")
    config = project.image(built).config
    assert built.tool.startswith("jib 3.4.4 (Maven ")
    assert (config.user, ("a", "b") in config.labels) == ("1234", True)


def jib_plugin(user: str, version: str = "3.5.2", more: str = "<ports><port>9999</port></ports>") -> str:
    configuration = f"<container><user>{user}</user>{more}</container>"
    return plugin("jib-maven-plugin", version, group="com.google.cloud.tools", configuration=configuration)


OURS, THEIRS = ("65532:65532", ("8080/tcp",)), ("1234", ("9999/tcp",))


def user_and_ports(project) -> tuple[str, tuple[str, ...]]:
    """What the built image has."""
    config = project.image(project.build("v")).config
    return config.user, config.exposed_ports


@pytest.mark.slow
def test_one_module_of_several(project):
    emptied(project.root / "app")
    project.write(family()).fails(ConfigError, "jib.several_modules", 2, modules="lib, service")
    built = project.suite(SUITE + '    args: {jib.containerize: ":service"}\n').build("v")
    image = project.image(built)
    assert [*layers(image)][1:] == ["project dependencies", "resources", "classes", "jvm arg files"]
    assert (image.config.user, image.config.exposed_ports) == OURS
    assert project.read(built, "/app/classes/a/Main.class")


@pytest.mark.slow
@pytest.mark.parametrize("place", ["root", "service"])
@pytest.mark.parametrize("module", [":service", "example:service", "service"])
def test_a_module_keeps_what_its_poms_say_of_jib(project, place, module):
    """Named by the module itself, or by the parent that it has as ``../pom.xml``."""
    emptied(project.root / "app")
    project.write(family(**{place: jib_plugin("1234")}))
    project.suite(SUITE + f'    args: {{jib.containerize: "{module}"}}\n')
    assert user_and_ports(project) == THEIRS


PARENT = (
    "<project><modelVersion>4.0.0</modelVersion><groupId>example</groupId><artifactId>above</artifactId>"
    "<version>1</version><packaging>pom</packaging><build><pluginManagement><plugins>"
    f"{jib_plugin('1234')}</plugins></pluginManagement></build></project>"
)


def with_parent(path: str = "") -> str:
    own = "<groupId>example</groupId>"
    parent = f"<parent>{own}<artifactId>above</artifactId><version>1</version>{path}</parent>"
    return pom().replace(f"{own}<artifactId>app<", f"{parent}<artifactId>app<")


@pytest.mark.parametrize("file", ["pom.xml", "shared/above.xml"])
def test_a_parent_beside_the_project_is_read_and_is_an_input(project, file):
    path = "" if file == "pom.xml" else f"<relativePath>../{file}</relativePath>"
    project.write({file: PARENT, "app/pom.xml": with_parent(path)})
    (before,) = project.steps("v")
    assert project.root / file in before.inputs.files
    assert user_and_ports(project) == THEIRS


def test_what_lies_where_a_parent_would_is_not_always_the_parent(project):
    """Maven looks at the name too. A parent that only a repository has is not read: it does not keep our defaults out. A dependency
    of the plug-in's name is no plug-in, and one of a profile is none of the project, whether or not the profile is active."""
    named = dependency("com.google.cloud.tools", "jib-maven-plugin", "3.5.2", "provided")
    profile = f"<profile><id>p</id><build><plugins>{jib_plugin('1234')}</plugins></build></profile>"
    for poms in (
        {"pom.xml": PARENT.replace(">above<", ">other<"), "app/pom.xml": with_parent()},
        {"pom.xml": PARENT, "app/pom.xml": with_parent("<relativePath/>")},
        {"app/pom.xml": pom(dependencies=named)},
        {"app/pom.xml": pom().replace("</project>", f"<profiles>{profile}</profiles></project>")},
    ):
        assert not Maven(project.write(poms).variant("v"), project.root).names_jib


SERVICE, TEST = "app/src/main/java/a/Main.java", "app/src/test/java/a/MainTest.java"
FAILING_TEST = (
    "package a;\n\nclass MainTest {\n    @org.junit.jupiter.api.Test void adds() {\n"
    "        org.junit.jupiter.api.Assertions.assertEquals(3, 1 + 1);\n    }\n}\n"
)
MISSPELT = jib_plugin("1", more="<mainClass>a.Nope</mainClass>")
BOTH = "a.Main, a.Other"
VERSIONLESS = dependency("example", "x", "1").replace("<version>1</version>", "")


@pytest.mark.parametrize(("files", "suite", "kind", "code", "words"), [
    pytest.param(
        {"app/pom.xml": pom(dependencies=JUNIT), TEST: FAILING_TEST}, "tests: true", CommandError, "builders.tests_fail",
        ["| MainTest.adds:5 expected: <3> but was: <2>", ".deadweight/logs/v.log"],
        id="a test of the service fails", marks=pytest.mark.slow,
    ),
    pytest.param({SERVICE: "package a;\n\nclass Main {}\n"}, "", CommandError, "",
                 ["Main class was not found", HINTS["no_main_class"]], id="no main class"),
    pytest.param({}, "main: a.Nope", DeadweightError, "jib.no_main_class", ["a.Nope"], id="a class that is not there"),
    pytest.param({"app/pom.xml": pom(plugins=MISSPELT)}, "", DeadweightError, "jib.no_main_class", ["a.Nope"],
                 id="a class that the pom misspells"),
    pytest.param({"app/pom.xml": pom().replace(">17<", ">99<")}, "", CommandError, "",
                 ["release version 99 not supported", HINTS["jdk_too_old"]], id="a JDK that is too old"),
    pytest.param({"app/pom.xml": pom(dependencies=VERSIONLESS)}, "", CommandError, "", ["pom.xml:9:"],
                 id="a version that the pom forgot"),
    pytest.param({}, f'files: {{/x: "{DONOR}#/no/such"}}', ConfigError, "", ["/no/such"], id="a file of another image"),
    pytest.param({"app/src/main/java/a/Other.java": main_class("Other")}, "", CommandError, "",
                 ["Multiple valid main classes were found: a.Main, a.Other", HINTS["several_main_classes"].format(BOTH)],
                 id="two main classes", marks=pytest.mark.slow),
])  # fmt: skip
def test_a_build_that_fails_is_told_by_its_cause(project, files, suite, kind, code, words):
    message = project.write(files).suite(f"{SUITE}    {suite}\n").fails(kind, code, kind.exit_code)
    assert [word for word in words if word not in message] == []
    assert not project.site.state.image("v").joinpath("image.tar").exists()


@pytest.mark.slow
def test_a_service_for_an_older_java_and_a_main_class_in_a_dependency(project):
    """Jib then writes the class path into the entry point: Java 8 reads no argument files."""
    older = pom(dependencies=JUNIT.replace("<scope>test</scope>", "")).replace(">17<", ">8<")
    project.write({"app/pom.xml": older}).suite(SUITE + "    main: org.junit.jupiter.api.Test\n")
    entrypoint = ("/app/resources:/app/classes:/app/libs/*", "org.junit.jupiter.api.Test")
    assert project.image(project.build("v")).config.entrypoint[-2:] == entrypoint
    project.suite(SUITE + "    main: org.junit.jupiter.api.Nope\n")
    assert "org.junit.jupiter.api.Nope" in project.fails(DeadweightError, "jib.no_main_class")


def test_a_class_path_that_leads_into_the_base_is_left_alone(project):
    project.suite(SUITE + "    main: a.Nope\n    args: {jib.container.extraClasspath: /opt/framework.jar}\n")
    assert project.build("v").variant == "v"


@contextlib.contextmanager
def offered(folder: Path, group: str, jar: bytes) -> Iterator[Path]:
    """A Maven repository below ``folder`` that has ``example.GROUP:thing:1``; gives where Maven then keeps that itself.

    Java's home is the account's, whatever HOME says.
    """
    named = f"<groupId>example.{group}</groupId><artifactId>thing</artifactId><version>1</version>"
    thing = {"thing-1.pom": f"<project><modelVersion>4.0.0</modelVersion>{named}</project>", "thing-1.jar": jar}
    written(folder / "repository/example" / group / "thing/1", thing)
    local = Path(pwd.getpwuid(os.getuid()).pw_dir) / ".m2/repository/example" / group
    shutil.rmtree(local, ignore_errors=True)
    try:
        yield local
    finally:
        shutil.rmtree(local, ignore_errors=True)


@pytest.mark.slow
def test_a_dependency_that_is_no_jar(project, tmp_path):
    """At run time only, so that no compiler sees it first; Jib copies it as it is."""
    thing, at = dependency("example.damaged", "thing", "1", "runtime"), (tmp_path / "repository").as_uri()
    project.write({"app/pom.xml": pom(dependencies=thing, repository=at)}).suite(SUITE + "    main: a.Nope\n")
    damaged = raises(ArchiveError, "archive.jar_damaged", what="app/libs/thing-1.jar", error="File is not a zip file")
    with offered(tmp_path, "damaged", b"PK\x03\x04 half of a jar"), damaged as caught:
        project.build("v")
    assert caught.value.hint == details(caught.value.message).hint


PLACES = ("a/Main.class", "META-INF/versions/17/a/Main.class", "BOOT-INF/classes/a/Main.class")
JAR, VERSIONED, BOOT = (zipped({name: "x"}) for name in PLACES)
HALF = JAR[:20]
JIB = "jib-maven-plugin:3.5.2"


def jib_image(place: Path, main: str, files: dict[str, bytes], *, path: str = "/app/classes", words=(), by=JIB) -> Path:
    """An image as Jib writes it: files in one layer, the class path in a later one, the main class in the entry point."""
    layers = [samples.honest_layer(layer) for layer in (files, {"app/jib-classpath-file": path.encode()})]
    entry = [*(words or ("java", "-cp", "@/app/jib-classpath-file")), main]
    history = [{"created_by": tool} for tool in (by, JIB)]
    made = samples.build(*layers, compression="gzip", history=history, config={"Entrypoint": entry})
    return samples.docker_save(place / "x.tar", made)


CLASSES = ("a.Main", "a.b.Main", "a.MainKt", "a.Main$Inner", "Main")


@pytest.mark.parametrize(("main", "files", "how", "there"), [
    *((main, {f"app/classes/{main.replace('.', '/')}.class": b"x"}, {}, True) for main in CLASSES),
    ("Main", {"app/classes/a/Main.class": b"x"}, {}, False),  # its package is missing: Java would not start it
    ("b.Main", {"app/classes/a/b/Main.class": b"x"}, {}, False), ("a.Main", {"app/resources/a/Main.class": b"x"}, {}, False),
    ("a.Main", {"app/libs/x.jar": JAR}, {}, True), ("Main", {"app/libs/x.jar": JAR}, {}, False),
    ("a.Main", {"app/libs/x.jar": VERSIONED}, {}, True), ("a.Main", {"app/libs/x.jar": BOOT}, {}, False),
    ("a.Main", {"app/resources/data.jar": HALF}, {}, False),
    # only what Jib made is looked at
    ("a.Main", {"app/classes/a/Main.class": b"x"}, {"by": "RUN make"}, False),
    ("a.Main", {"opt/libs/x.jar": HALF}, {"by": "RUN make"}, False), ("a.Main", {"opt/libs/x.jar": JAR}, {"by": "RUN make"}, False),
    # nobody can tell: the class path leads into the base; the project has an entry point of its own; no class path is there
    ("a.Main", {}, {"path": "/app/classes:/opt/framework.jar"}, True), ("a.Main", {}, {"words": ("java", "-jar")}, True),
    ("a.Main", {}, {"path": ""}, True),
])  # fmt: skip
def test_the_main_class_is_looked_for_on_the_class_path(tmp_path, main, files, how, there):
    assert missing_main_class(jib_image(tmp_path, main, files, **how)) == (None if there else main)


def test_a_jar_that_is_too_large_is_not_read(tmp_path, monkeypatch):
    archive = jib_image(tmp_path, "a.Main", {"app/libs/x.jar": HALF})
    with raises(ArchiveError, "archive.jar_damaged", what="app/libs/x.jar"):
        missing_main_class(archive)
    monkeypatch.setattr(_main_class, "MAX_JAR_BYTES", 0)
    assert missing_main_class(archive) is None


LIES = {
    "from.image": "base_argument", "to.image": "name_argument", "outputPaths.tar": "reserved_argument",
    "baseImageCache": "reserved_argument",
}  # fmt: skip
"""Arguments with which the record of the build would be a lie."""


@pytest.mark.parametrize(("files", "line", "code", "place"), [
    ({"app/pom.xml": "<project>\n  <a>\n</project>\n"}, "", "jib.pom_not_xml", "pom.xml:3: "),
    ({"app/pom.xml": "<html/>"}, "", "jib.not_a_pom", "pom.xml:1: "),
    ({"app/pom.xml": '<!DOCTYPE p [\n<!ENTITY a "b">\n]>\n<project>&a;</project>'}, "", "jib.pom_entities", "pom.xml:2: "),
    ({}, "pom: other.xml", "builders.no_such_file", "other.xml"), ({}, "", "jib.no_base", "(variants.v.base)"),
    ({}, "files: {/etc/x: nowhere}", "builders.no_such_file", "(variants.v.files./etc/x)"),
    ({}, "files: {etc/x: conf}", "jib.wrong_target", ""), ({}, "files: {/etc/../x: conf}", "jib.wrong_target", ""),
    ({}, "files: {//etc/x: app}", "jib.wrong_target", ""),
    ({}, "files: {/x/y: app, /x: app/pom.xml}", "jib.below_a_file", "(variants.v.files./x/y)"),
    ({}, f'files: {{/x: "{DONOR}#/a", /x/y: app}}', "jib.below_a_file", "(variants.v.files./x/y)"),
    ({}, f'files: {{/x: "{DONOR}#awk"}}', "jib.wrong_source", f"{DONOR}#awk"),
    ({}, 'env: {A: "x\\\\"}', "jib.env_unsupported", "deadweight.yaml:8: variants.v.env: A: "),
    ({}, 'env: {A: "x\\ny"}', "jib.env_unsupported", "variants.v.env: A: "),
    ({}, 'env: {A: "\\u2028"}', "jib.env_unsupported", "variants.v.env: A: "),
    *(({}, f"args: {{jib.{name}: x}}", f"jib.{code}", f"(variants.v.args.jib.{name})") for name, code in LIES.items()),
])  # fmt: skip
def test_wrong_files_are_refused_before_the_build(project, files, line, code, place):
    suite = SUITE.replace(f"    base: {STATIC}\n", "") if code == "jib.no_base" else SUITE
    assert place in project.write(files).suite(f"{suite}    {line}\n").fails(ConfigError, code, 2)


WAYS_OUT = [pytest.param("1", "not_in_maven_repository", marks=pytest.mark.slow), ("", "artifact_missing")]


@pytest.mark.parametrize(("offline", "cause"), WAYS_OUT)
def test_a_dependency_that_nobody_has_and_the_way_out_are_named_once(project, monkeypatch, offline, cause):
    gone, at = dependency("example.nowhere", "gone", "9"), "" if offline else "http://127.0.0.1:9/"
    project.write({"app/pom.xml": pom(dependencies=gone, repository=at, named="central")})
    monkeypatch.setenv("DEADWEIGHT_MAVEN_OFFLINE", offline)
    assert project.fails(key="builders.tool_failed", hint=HINTS[cause]).count("example.nowhere:gone") == 1


@pytest.mark.slow
def test_offline_builds_from_what_is_there(project, monkeypatch):
    monkeypatch.setenv("DEADWEIGHT_MAVEN_OFFLINE", "1")
    project.fails(key="builders.tool_failed", hint=HINTS["base_not_cached"])
    monkeypatch.delenv("DEADWEIGHT_MAVEN_OFFLINE")
    project.build("v")
    monkeypatch.setenv("DEADWEIGHT_MAVEN_OFFLINE", "1")
    project.write({"app/src/main/java/a/Main.java": main_class(says="more")}).build("v")
    assert " --offline " in project.log("v")


@pytest.mark.slow
@pytest.mark.parametrize(("secure", "hint"), [(True, "registry_credentials"), (False, "registry_credentials_need_tls")])
def test_a_registry_that_wants_credentials(project, tmp_path, secure, hint):
    on_loopback(tmp_path)
    program = find("docker-registry").path
    with registry(program, tmp_path / "registry", locked=True, tls=tmp_path if secure else None) as host:
        project.source.bases = {STATIC: Base(STATIC, f"{host}/private/base:1", None, stand_in=False)}
        project.source.build_environment = BuildEnvironment({}, tmp_path / "ca.pem" if secure else None)
        message = project.fails(key="builders.tool_failed", cause="credentials", hint=HINTS[hint])
    assert f"{host}/private/base" in message


@pytest.mark.slow
def test_a_base_without_our_platform(project, tmp_path):
    """In an index Jib itself finds none."""
    crane, source = find("crane").path, project.source.bases[STATIC].resolved

    def base(name: str) -> None:
        project.source.bases = {STATIC: Base(STATIC, f"{host}/many:{name}", None, stand_in=False)}

    with registry(find("docker-registry").path, tmp_path / "registry") as host:
        for name in ("s390x", "ppc64le"):
            words = ["mutate", "--insecure", source, "--set-platform", f"linux/{name}", "--tag", f"{host}/many:{name}"]
            _run.run([crane, *words])
        base("s390x")
        project.fails(DeadweightError, "jib.other_architecture", found="s390x")
        parts = [word for name in ("s390x", "ppc64le") for word in ("-m", f"{host}/many:{name}")]
        _run.run([crane, "index", "append", "--insecure", *parts, "-t", f"{host}/many:1"])
        base("1")
        message = project.fails(key="builders.tool_failed", hint=HINTS["no_such_architecture"])
    assert f"{host}/many:1 is a manifest list, but the list does not contain an image for architecture=" in message
    assert "If your intention" not in message


WANTS_PASSWORD = {"Proxy-Authenticate": 'Basic realm="test"', "WWW-Authenticate": 'Basic realm="test"'}


@pytest.mark.slow
def test_proxies_reach_maven_with_their_password_and_without_a_trace(project, tmp_path):
    """The proxy asks for a password, and then leads nowhere."""
    asked: list[tuple[str, str]] = []

    class Proxy(Answering):
        def do_CONNECT(self) -> None:
            credentials = self.headers.get("Proxy-Authorization", "")
            asked.append((self.path, base64.b64decode(credentials.removeprefix("Basic ")).decode()))
            self.answer(502 if credentials else 407, headers=WANTS_PASSWORD)

        do_GET = do_CONNECT

    project.suite(SUITE + f"    args: {{maven.repo.local: {tmp_path}/empty}}\n")
    with served(Proxy) as server:
        at = f"http://me:pass-word-77@127.0.0.1:{server.server_port}"
        project.source.build_environment = BuildEnvironment({"HTTPS_PROXY": at})
        message = project.fails(key="builders.tool_failed", hint=HINTS["artifact_missing"])
    assert ("repo.maven.apache.org:443", "me:pass-word-77") in asked
    assert b"pass-word-77" not in project.everything() + message.encode()


@pytest.mark.slow
def test_a_private_ca_is_trusted_where_it_is_named(project, tmp_path):
    on_loopback(tmp_path)
    certificate, thing = (tmp_path / "server.pem", tmp_path / "server.key"), dependency("example.private", "thing", "1")
    with (
        offered(tmp_path, "private", zipped({"thing.txt": "x"})) as local,
        served(files(tmp_path / "repository"), certificate=certificate) as server,
    ):
        at = f"https://127.0.0.1:{server.server_port}/"
        project.write({"app/pom.xml": pom(dependencies=thing, repository=at)})
        project.fails(key="builders.tool_failed", what="v", cause="certificate", hint=HINTS["java_untrusted"])
        shutil.rmtree(local, ignore_errors=True)
        project.source.build_environment = BuildEnvironment({}, tmp_path / "ca.pem")
        assert "dependencies" in layers(project.image(project.build("v")))


def test_a_dockerfile_mounts_trust_store_and_settings_and_keeps_neither(project, engine, tmp_path):
    on_loopback(tmp_path)
    secrets = "--mount=type=secret,id=java_trust_store --mount=type=secret,id=maven_settings"
    command = "grep -q '<username>me<' maven_settings && head -c 4 java_trust_store > /told"
    project.write({"Dockerfile": f"ARG BASE\nFROM ${{BASE}}\nUSER 0\nRUN {secrets} cd /run/secrets && {command}\n"})
    project.suite(f"  v: {{builder: dockerfile, dockerfile: Dockerfile, source: app, bases: {{BASE: '{DONOR}'}}}}\n")
    project.engine = lambda: engine
    proxy = {"HTTPS_PROXY": "http://me:pass-word-78@127.0.0.1:9"}
    project.source.build_environment = BuildEnvironment(proxy, tmp_path / "ca.pem")
    assert project.read(project.build("v"), "/told")[0] == b"\xfe\xed\xfe\xed"
    assert b"pass-word-78" not in project.everything()


def test_the_bundle_of_the_environment_is_taken_where_none_is_configured(tmp_path, monkeypatch):
    on_loopback(tmp_path)
    monkeypatch.delenv("DEADWEIGHT_CA_BUNDLE", raising=False)
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))
    assert load(State(tmp_path)).private_ca == tmp_path / "ca.pem"
    for name, taken in (("server.pem", "server.pem"), ("gone.pem", "ca.pem")):
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / name))
        assert load(State(tmp_path)).private_ca == tmp_path / taken


def test_java_reads_the_trust_store(tmp_path):
    on_loopback(tmp_path)
    bundle = tmp_path / "bundle.pem"
    bundle.write_text((tmp_path / "ca.pem").read_text() * 2 + (tmp_path / "server.pem").read_text())
    words = ["-list", "-keystore", trust_store(State(tmp_path), bundle), "-storepass", "changeit"]
    listing = _run.run([find("java").path.parent / "keytool", *words]).output
    assert ("contains 2 entries" in listing, listing.count("trustedCertEntry")) == (True, 2)
    bundle.write_text("-----BEGIN CERTIFICATE-----\nA\n-----END CERTIFICATE-----\n")
    with raises(ConfigError, "sources.certificate_damaged"):
        trust_store(State(tmp_path), bundle)


def test_proxy_variables_in_mavens_words():
    assert maven_settings({"NO_PROXY": "a"}) is None
    url = "http://u%40x:p%3C@proxy.example.com:3128"
    settings = maven_settings({"https_proxy": url, "no_proxy": ".corp, 10.0.0.0/8"})
    parts = (
        "<username>u@x</username><password>p&lt;</password>", "<host>proxy.example.com</host><port>3128</port>",
        "<nonProxyHosts>localhost|127.*|corp|*.corp</nonProxyHosts>", "<aether.connector.basic.threads>1<",
    )  # fmt: skip
    assert [part for part in parts if part not in settings] == []
    assert "aether" not in (maven_settings({"https_proxy": "http://proxy.example.com:3128"}) or "")


@pytest.mark.parametrize("script", ["cp -RL {home} $MAVEN_USER_HOME/wrapper/dists/apache-maven-3.0.77/x", "exit 1"])
def test_the_projects_own_wrapper_brings_maven_if_it_can(project, tmp_path, monkeypatch, script):
    monkeypatch.setenv("MAVEN_USER_HOME", str(tmp_path))
    (tmp_path / "wrapper/dists/apache-maven-3.0.77").mkdir(parents=True)
    home = find("mvn").path.resolve().parent.parent
    url = "https\\://maven.example.com/apache-maven/3.0.77/apache-maven-3.0.77-bin.zip"
    wrapper = {"app/.mvn/wrapper/maven-wrapper.properties": f"distributionUrl={url}\n"}
    project.write({**wrapper, "app/mvnw": f"echo fetched >> $MAVEN_USER_HOME/log; {script.format(home=home)}\n"})
    planned = project.inputs().digest
    version = find("mvn").version if script == "exit 1" else "3.0.77"
    assert f"(Maven {version}, Java " in project.build("v").tool
    assert ("-ntp" in project.log("v").split()) == (version != "3.0.77"), "Maven before 3.6.1 does not know it"
    assert project.inputs().digest == planned, "what it was built with makes no other variant of it"
    project.build("v")
    assert (tmp_path / "log").read_text() == "fetched\n" * (2 if script == "exit 1" else 1)


def test_variants_of_one_project_go_one_after_another(project):
    project.suite(SUITE + SUITE.replace("  v:", "  w:"))
    assert builder("jib").needs(project.variant("v"), project.root).tools == ("java", "mvn")
    assert [project.steps(name)[0].behind for name in "vw"] == [(), ("image:v",)]


HIDDEN = """set -e
mount --bind "$1" "$(readlink -f /usr/bin/mvn)"
mount --bind "$1" "$(readlink -f /usr/bin/java)"
cd "$2"
"$3" -m invoke setup --variant v --plan
"$3" -m invoke setup --variant w --plan 2>&1 | sed "s/^/other: /"
exec "$3" -m invoke build --variant v
"""


@pytest.mark.slow
@pytest.mark.parametrize("java", [None, "11.0.2"])
def test_set_up_names_a_jdk_where_java_is_asked_for_and_there_is_none(project, tmp_path, java):
    project.suite(f"{SUITE}  w:\n    builder: ko\n    source: go\n    base: {STATIC}\n    port: 8080\n")
    project.write({"go/go.mod": "module example.invalid/x\n\ngo 1.21\n", "tasks.py": TASKS})
    program = shell_script(tmp_path / "java", f"echo 'openjdk version \"{java}\"' >&2") if java else Path("/dev/null")
    apart = ["unshare", "--mount", "--propagation", "private"]
    script = [*apart, "sh", "-c", HIDDEN, "sh", program, project.root, sys.executable]
    environment = {name: value for name, value in os.environ.items() if name != "JAVA_HOME"}
    done = subprocess.run(script, capture_output=True, text=True, env=environment | {"DEADWEIGHT_SOURCE": "local"})
    assert re.search(r"^to install, .*\bjava \(apt-get install ", done.stdout + done.stderr, re.MULTILINE)
    assert not re.search("^other: .*(java|mvn)", done.stdout, re.MULTILINE)
    assert (done.returncode, "invoke setup" in done.stderr) == (3, True)
    assert not java or java in done.stderr


@pytest.mark.slow
def test_the_file_of_an_error_is_the_one_that_has_it(project):
    """A pom of another name, and a module: each problem once, with its own file."""
    emptied(project.root / "app")
    files = family()
    lib = files["app/lib/pom.xml"].replace("<dependencies>", f"<dependencies>\n{VERSIONLESS}")
    files["app/lib/pom.xml"] = lib.replace("</parent>", "<relativePath>../other.xml</relativePath></parent>")
    files["app/other.xml"] = files.pop("app/pom.xml").replace("<module>service</module>", "")
    message = project.write(files).suite(SUITE + '    pom: other.xml\n    args: {jib.containerize: ":lib"}\n').fails()
    assert ("| lib/pom.xml:2:" in message, " @" in message) == (True, False)
    assert message.count("'dependencies.dependency.version' for example:x:jar is missing") == 1


def test_a_compile_error_below_a_folder_with_a_space(static_base, tmp_path):
    project = Project(tmp_path / "my work", static_base).write(PROJECT).suite(SUITE)
    project.write({"app/src/main/java/a/Main.java": "package a;\n\nclass Main {\n    int x = nope;\n}\n"})
    message = project.fails(key="builders.not_compiled")
    assert str(project.site.state.log("v")) in message
    assert "| src/main/java/a/Main.java:4:13: cannot find symbol" in message
    assert message.count("cannot find symbol") == 1


@pytest.mark.slow
@pytest.mark.parametrize("status", [401, 403, 407])
def test_a_maven_repository_or_a_proxy_that_wants_credentials(project, status):
    class Refusing(Answering):
        def do_GET(self) -> None:
            self.answer(status, headers=WANTS_PASSWORD)

    with served(Refusing) as server:
        here = f"http://127.0.0.1:{server.server_port}"
        if status == 407:
            project.source.build_environment = BuildEnvironment({"HTTP_PROXY": here})
        at = "http://ours.invalid" if status == 407 else here
        thing = dependency("example.refused", f"thing{status}", "1")
        project.write({"app/pom.xml": pom(dependencies=thing, repository=f"{at}/")})
        hint = HINTS["proxy_credentials" if status == 407 else "maven_credentials"]
        message = project.fails(key="builders.tool_failed", cause="credentials", hint=hint)
    assert f"example.refused:thing{status}" in message


@pytest.mark.slow
def test_a_download_that_failed_is_tried_again_by_the_next_build(project, tmp_path):
    """Maven itself keeps such a failure for a day."""
    version = uuid.uuid4().hex
    with served(files(tmp_path)) as server:
        late, at = dependency("example", "late", version), f"http://127.0.0.1:{server.server_port}/"
        project.write({"app/pom.xml": pom(dependencies=late, repository=at)})
        try:
            assert project.fails().count("example:late:jar") == 1
            written(tmp_path / "example/late" / version, {f"late-{version}.jar": zipped({"late.txt": "here"})})
            project.build("v")
        finally:
            shutil.rmtree(Path.home() / ".m2/repository/example/late", ignore_errors=True)
    assert "trying again" in "\n".join(project.lines)


@pytest.mark.parametrize(("opened", "reached"), [(OPENED, True), ("", False)])
def test_what_old_plug_ins_reach_into_is_open(opened, reached):
    words = [find("java").path, *SHORT_LIVED.split(), *opened.split(), TESTS / "services/java/Reaches.java"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode == 0) == reached, done.stderr
    assert "WARNING" not in done.stderr
