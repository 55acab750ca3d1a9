"""What kinds of Maven projects the jib builder takes, and what it says of those that it cannot: poms read, and Maven for real."""

import locale
import os

import pytest

from deadweight._errors import ConfigError, DeadweightError
from deadweight.builders.jib.projects import Maven, read_pom
from deadweight.builders.table import builder
from deadweight.engine.options import LOOPBACK
from tests.support.builder_site import Project
from tests.support.codes import raises
from tests.support.java_projects import JUNIT, PROJECT, SUITE, emptied, family, main_class, plugin, pom

pytestmark = [pytest.mark.java, pytest.mark.tools]

GROUP = "com.google.cloud.tools"
WAR = plugin("maven-war-plugin", "3.4.0", configuration="<failOnMissingWebXml>false</failOnMissingWebXml>")
SERVICE = SUITE + '    args: {jib.containerize: ":service"}\n'
PACKAGED = "<containerizingMode>packaged</containerizingMode>"


def check(project) -> None:
    builder("jib").needs(project.variant("v"), project.root)


def test_a_war_is_packaged_and_keeps_no_class_whose_source_is_gone(project):
    war = pom(plugins=WAR).replace("<version>1</version>", "<version>1</version><packaging>war</packaging>", 1)
    project.write({"app/pom.xml": war, "app/src/main/webapp/x.txt": "x"})
    project.write({"app/src/main/java/a/Other.java": "package a;\n\nclass Other {}\n"})
    built, place = project.build("v"), "/var/lib/jetty/webapps/ROOT"
    assert project.read(built, f"{place}/x.txt")[0] == b"x"
    assert project.read(built, f"{place}/WEB-INF/classes/a/Other.class")
    (project.root / "app/src/main/java/a/Other.java").unlink()
    built = project.build("v")
    with pytest.raises(DeadweightError, match=r"no file .*Other\.class"):
        project.read(built, f"{place}/WEB-INF/classes/a/Other.class")


def test_a_project_that_wants_its_jar_in_the_image_is_packaged(project):
    jib = plugin("jib-maven-plugin", "3.5.2", group=GROUP, configuration=PACKAGED)
    project.write({"app/pom.xml": pom(plugins=jib)})
    jar, _ = project.read(project.build("v"), "/app/classpath/app-1.jar")
    assert jar.startswith(b"PK")


@pytest.mark.parametrize(("text", "args", "last"), [
    (pom(), "", "compile"), (pom(), "    args: {jib.containerizingMode: packaged}\n", "package"),
    (pom(), "    tests: true\n", "test"),
    (pom().replace("</properties>", "<jib.containerizingMode>packaged</jib.containerizingMode></properties>"), "", "package"),
    (pom(plugins=plugin("other", "1", configuration=PACKAGED)), "", "compile"),
    (pom(plugins=plugin("jib-maven-plugin", "1", group=GROUP, configuration=PACKAGED)), "    tests: true\n", "package"),
])  # fmt: skip
def test_how_far_maven_goes(project, text, args, last):
    project.write({"app/pom.xml": text}).suite(SUITE + args)
    assert Maven(project.variant("v"), project.root).phase == last


def bound(goal: str, to: str) -> str:
    """The Jib plugin with one of its goals bound to a phase."""
    execution = f"<execution><phase>{to}</phase>\n<goals><goal>{goal}</goal></goals></execution>"
    executions = f"<executions>\n{execution}</executions></plugin>"
    return plugin("jib-maven-plugin", "3.5.2", group=GROUP).replace("</plugin>", executions)


REFUSED = [("build", "package", "push"), ("dockerBuild", "prepare-package", "load")]


@pytest.mark.parametrize(("goal", "to", "refused"), REFUSED)
@pytest.mark.parametrize(("place", "file"), [("root", "app/pom.xml"), ("service", "app/service/pom.xml")])
def test_a_build_pushes_nothing_by_itself(project, place, file, goal, to, refused):
    """Which it would where a module is packaged and the pom has Jib push at that time."""
    emptied(project.root / "app")
    project.write(family(**{place: bound(goal, to)})).suite(SERVICE)
    at = {"file": str(project.root / file), "line": 3}
    with raises(ConfigError, "jib.bound_goal", goal=goal, phase=to, verb=refused, **at):
        check(project)
    for goal, to in (("build", "deploy"), ("buildTar", "package")):
        check(project.write(family(**{place: bound(goal, to)})))


def test_what_is_bound_to_a_later_phase_than_the_build_calls_stays(project):
    check(project.write({"app/pom.xml": pom(plugins=bound("build", "package"))}))
    project.write({"app/pom.xml": pom(plugins=bound("build", "compile"))})
    with raises(ConfigError, "jib.bound_goal", last="compile"):
        check(project)


def test_what_modules_write_is_no_input(project):
    """Wherever they lie, and wherever they write; a source package named target is one."""
    emptied(project.root / "app")
    moved = {name.replace("app/service", "app/src/service"): text for name, text in family().items()}
    moved["app/pom.xml"] = moved["app/pom.xml"].replace("<module>service", "<module>src/service")
    build = "<build><directory>${project.basedir}/out</directory><plugins>"
    moved["app/lib/pom.xml"] = moved["app/lib/pom.xml"].replace("<build><plugins>", build)
    project.write(moved).suite(SERVICE)
    before = set(project.inputs().parts)
    places = ("target", "src/service/target", "lib/out", "lib/target")
    project.write({f"app/{place}/classes/x": "x" for place in places})
    assert set(project.inputs().parts) == before
    project.write({"app/lib/src/main/java/target/X.java": "x"})
    assert set(project.inputs().parts) - before == {"app/lib/src/main/java/target/X.java"}


MAIN = "app/src/main/java/a/Main.java"


def built_class(project) -> bytes:
    return project.read(project.build("v"), "/app/classes/a/Main.class")[0]


@pytest.mark.parametrize("linked", [False, True])
def test_an_older_file_takes_the_place_of_a_source(project, linked):
    """As an unpacked release does, or a copy that keeps times: Maven would take what it compiled before. Behind a link, too."""
    if linked:
        outside = project.root / "shared" / "a"
        outside.parent.mkdir()
        (project.root / MAIN).parent.rename(outside)
        (project.root / MAIN).parent.symlink_to(outside)
    project.write({"app/src/main/resources/x.txt": "before"})
    assert b"hello" in built_class(project)
    project.write({MAIN: main_class(says="older"), "app/src/main/resources/x.txt": "after"})
    for name in (MAIN, "app/src/main/resources/x.txt"):
        os.utime(project.root / name, (10**9, 10**9))
    assert b"older" in built_class(project)
    assert project.read(project.build_record("v"), "/app/resources/x.txt")[0] == b"after"


@pytest.mark.parametrize("place", ["pom", "argument"])
def test_what_is_compiled_otherwise_is_compiled_anew(project, place):
    """A class file's eighth byte is the Java that it is for."""
    assert built_class(project)[7] == 61
    if place == "pom":
        project.write({"app/pom.xml": pom().replace("release>17<", "release>11<")})
    else:
        project.suite(SUITE + '    args: {maven.compiler.release: "11"}\n')
    assert built_class(project)[7] == 55


def test_mavens_configuration_above_the_source_is_input(project):
    """Maven looks for its ``.mvn`` upwards."""
    project.write({".mvn/maven.config": "-Dx=y\n"})
    assert built_class(project)[7] == 61
    before = project.inputs()
    project.write({".mvn/maven.config": "-Dmaven.compiler.release=11\n"})
    assert (project.inputs().difference(before), built_class(project)[7]) == (".mvn/maven.config changed", 55)


def test_modules_beside_the_source_are_input(project):
    """The flat way: the project that has the modules lies beside them."""
    emptied(project.root / "app")
    files = {name.replace("app/pom", "app/all/pom"): text for name, text in family().items()}
    files["app/all/pom.xml"] = files["app/all/pom.xml"].replace("<module>", "<module>../")
    above = "<relativePath>../all/pom.xml</relativePath></parent>"
    files = {name: text.replace("</parent>", above) for name, text in files.items()}
    suite = SUITE.replace("source: app", "source: app/all") + '    args: {jib.containerize: ":service"}\n'
    project.write(files).suite(suite)

    first, before = project.read(project.build("v"), "/app/libs/lib-1.jar"), project.inputs()
    word = project.root / "app/lib/src/main/java/b/Word.java"
    word.write_text(word.read_text().replace('"x"', '"y"'))
    os.utime(word, (10**9, 10**9))
    assert project.inputs().difference(before) == "app/lib/src/main/java/b/Word.java changed"
    assert project.read(project.build("v"), "/app/libs/lib-1.jar") != first


def test_variants_of_one_project_do_not_take_each_others_classes(project):
    project.suite(SUITE + SUITE.replace("  v:", "  w:") + '    args: {maven.compiler.release: "11"}\n')
    assert built_class(project)[7] == 61
    project.build("w")
    assert built_class(project)[7] == 61


def test_a_test_that_is_gone_runs_no_more(project):
    test = "app/src/test/java/a/MainTest.java"
    code = "package a;\n\nclass MainTest {\n    @org.junit.jupiter.api.Test\n    void no() { throw new Error(); }\n}\n"
    project.write({"app/pom.xml": pom(dependencies=JUNIT), test: code}).suite(SUITE + "    tests: true\n")
    project.fails(key="builders.tests_fail")
    (project.root / test).unlink()
    project.build("v")


def test_a_change_of_one_source_leaves_the_other_modules_classes(project):
    emptied(project.root / "app")
    project.write(family()).suite(SERVICE).build("v")
    other = project.root / "app/lib/target/classes/b/Word.class"
    before = other.stat().st_mtime_ns
    again = {"app/lib/pom.xml": family()["app/lib/pom.xml"], "app/.flattened-pom.xml": "x"}  # as plug-ins write them
    project.write({"app/service/src/main/java/a/Main.java": main_class(), **again}).build("v")
    assert other.stat().st_mtime_ns == before


@pytest.mark.parametrize("place", ["app/src/main/resources/x", "app/src/main/java/b", "conf/x"])
def test_what_a_link_leads_to_is_input(project, place):
    """Maven follows links below ``src``, and ``files`` takes what they lead to into the image."""
    project.write({"shared/b/x.txt": "before", "shared/unused": "x", "conf/y": "y"})
    project.suite(SUITE + "    files: {/etc/app: conf}\n")
    link = project.root / place
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(project.root / ("shared/b/x.txt" if place.endswith("x") else "shared/b"))
    (link.parent / "loop").symlink_to(project.root)
    before = project.inputs().parts
    project.write({"shared/b/x.txt": "after", "shared/unused": "y"})
    assert {name for name, state in project.inputs().parts.items() if before[name] != state} == {"shared/b/x.txt"}


def test_letters_survive_a_locale_without_any(static_base, tmp_path, monkeypatch):
    """As scripts and small machines have it: an image's variables, a project's folder, a name of a source."""
    monkeypatch.setattr(locale, "getencoding", lambda: "ANSI_X3.4-1968")  # what this process would see itself
    monkeypatch.setenv("LC_ALL", "C")
    project = Project(tmp_path / "\u00fc", static_base).write(PROJECT)
    project.write({"app/src/main/java/a/\u00c4.java": "package a;\n\nclass \u00c4 {}\n"})
    built = project.suite(SUITE + "    env: {A: \u6771}\n").build("v")
    assert "A=\u6771" in project.image(built).config.env
    assert project.read(built, "/app/classes/a/\u00c4.class")


def test_names_that_jibs_lists_would_part(static_base, tmp_path):
    """A project in a folder with a comma, and programs with a comma or = in their names."""
    project = Project(tmp_path / "my app, new", static_base).write(PROJECT)
    project.suite(SUITE + "    files: {/etc/app: conf}\n")
    project.write({"conf/a,b.sh": "#!/bin/sh\n", "conf/a=b.sh": "#!/bin/sh\n"})
    for file in (project.root / "conf").iterdir():
        file.chmod(0o755)
    built = project.build("v")
    assert [project.read(built, f"/etc/app/{name}")[1] & 0o777 for name in ("a,b.sh", "a=b.sh")] == [0o755] * 2


@pytest.mark.parametrize("directory", [".", "..", "${elsewhere}", "/"])
def test_a_build_that_writes_where_its_sources_are_hides_none_of_them(project, directory):
    build = f"<build><directory>{directory}</directory><plugins>"
    project.write({"app/pom.xml": pom().replace("<build><plugins>", build)})
    assert set(Maven(project.variant("v"), project.root).outputs) == {"target"}


@pytest.mark.parametrize("encoding", ["GBK", "Shift_JIS", "UTF-16", "ISO-8859-1", "UTF-8"])
def test_a_pom_in_any_encoding(project, encoding):
    word = "caf\u00e9" if encoding == "ISO-8859-1" else "\u4e2d\u6587"
    text = pom().replace('"UTF-8"', f'"{encoding}"').replace(">app<", f">{word}<", 1)
    (project.root / "app/pom.xml").write_bytes(text.encode(encoding))
    check(project)
    assert read_pom(project.root / "app/pom.xml").name == f"example:{word}"


ENCODINGS = [("nonsense", 1, "encoding_unknown"), ("base64", 1, "encoding_unknown"), ("GBK", 4, "not_text")]


@pytest.mark.parametrize(("encoding", "line", "code"), ENCODINGS)
def test_a_pom_in_an_encoding_that_is_none(project, encoding, line, code):
    data = pom().replace('"UTF-8"', f'"{encoding}"').encode().replace(b"<version>1<", b"<version>\xff\xff<", 1)
    (project.root / "app/pom.xml").write_bytes(data)
    with raises(ConfigError, f"jib.pom_{code}", encoding=encoding, line=line):
        check(project)


def test_jib_that_skips_makes_no_image(project):
    message = project.suite(SUITE + '    args: {jib.skip: "true"}\n').fails(DeadweightError, "jib.no_image")
    assert "Skipping containerization because jib-maven-plugin: skip = true" in message
    assert (str(project.site.state.log("v")) in message, "image.tar" in message) == (True, False)


def test_where_jib_may_do_without_tls():
    assert all(map(LOOPBACK.match, ("127.0.0.1:5000/x@sha256:00", "localhost:5000/x", "[::1]:5000/x")))
    assert not any(map(LOOPBACK.match, ("127.evil.example/x", "localhost.example:5000/x", "busybox:1.36", "[::1/x")))
