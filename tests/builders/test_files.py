"""Wrong files of a variant are one clear error before anything runs."""

import pytest

from deadweight._errors import ConfigError
from deadweight.builders import table
from deadweight.builders.shared.common import image_name, pinned
from deadweight.records.built_image import Base
from deadweight.records.reference import parse
from tests.support.builder_site import GO_FILES, IMAGES, GivenSource, Project

APKO = "contents:\n  packages:\n    - busybox\n"
MELANGE = "package:\n  name: app\n"
USERS = "users: [{username: nobody, uid: 65534}], groups: [{groupname: nobody, gid: 65534}]"


@pytest.fixture
def project(tmp_path):
    files = {
        "Dockerfile": "ARG BASE\nFROM ${BASE} AS last\n", "apko.yaml": APKO, "melange.yaml": MELANGE, "empty": " \n",
        "token": "x", "ko.yaml": "builds: []\n", "binary": "FROM x\x00\x01",
    }  # fmt: skip
    (tmp_path / "void").mkdir()
    return Project(tmp_path, GivenSource()).write({**GO_FILES, **files})


def refused(project, fields: str) -> ConfigError:
    """Of a variant with these fields, one behind the other."""
    project.suite(f"  v: {{{fields}}}")
    variant = project.variant("v")
    with pytest.raises(ConfigError) as caught:
        table.builder(variant.builder).needs(variant, project.root)
    assert caught.value.exit_code == 2
    return caught.value


DOCKERFILE = "builder: dockerfile, source: app, dockerfile: "
FROM_APP = "builder: apko, source: app"
APKO_FIELDS = f"{FROM_APP}, config: apko.yaml"


@pytest.mark.parametrize(("fields", "code", "named"), [
    ("builder: dockerfile, source: app", "dockerfile.no_dockerfile", ""),
    (f"{DOCKERFILE}build/None", "builders.no_such_file", "build/None"), (f"{DOCKERFILE}app", "builders.is_a_folder", "app"),
    (f"{DOCKERFILE}empty", "builders.empty_file", "empty"), (f"{DOCKERFILE}binary", "builders.binary_file", "binary"),
    ("builder: dockerfile, source: nowhere, dockerfile: Dockerfile", "builders.no_such_source", "nowhere"),
    ("builder: dockerfile, source: token, dockerfile: Dockerfile", "builders.source_is_a_file", "token"),
    ("builder: dockerfile, source: void, dockerfile: Dockerfile", "builders.empty_source", "void"),
    (f"{DOCKERFILE}Dockerfile, bases: {{BSE: x}}", "dockerfile.no_such_arg", "BSE"),
    (f"{DOCKERFILE}Dockerfile, target: lst", "dockerfile.no_such_stage", "lst"),
    (f"{DOCKERFILE}Dockerfile, secrets: {{t: nope.txt}}", "builders.no_such_file", "nope.txt"),
    (f"{DOCKERFILE}Dockerfile, ssh: {{default: nope}}", "builders.no_such_file", "nope"),
    ("builder: ko, source: app", "ko.no_base", ""), ("builder: ko, source: ., base: x", "ko.no_go_mod", ""),
    ("builder: ko, source: app, base: x, config: nope.yaml", "builders.no_such_file", "nope.yaml"),
    ("builder: ko, source: app, base: x, files: {/x: app/none}", "ko.no_such_file", "app/none"),
    (FROM_APP, "apko.no_config", ""), (f"{FROM_APP}, config: nope.yaml", "builders.no_such_file", "nope.yaml"),
    (f"{APKO_FIELDS}, packages: [nope.yaml]", "builders.no_such_file", "nope.yaml"),
    (f"{APKO_FIELDS}, packages: [apko.yaml]", "apko.not_melange", "apko.yaml:1: "),
    ("builder: apko, source: x, config: apko.yaml, packages: [melange.yaml]", "builders.no_such_source", "x"),
])  # fmt: skip
def test_refused(project, fields, code, named):
    error = refused(project, fields)
    assert (error.code, named in str(error)) == (code, True)


@pytest.mark.parametrize(("text", "code", "line", "key"), [
    ("builds:\n  - id: a\n    flag: [-x]\n", "ko.unknown_key", 3, "builds[0].flag"),
    ("buids: []\n", "ko.unknown_key", 1, "buids"), ("builds: {a: b}\n", "ko.not_builds", 1, "builds"),
    ("builds:\n  - [a]\n", "ko.not_a_mapping", 2, "builds[0]"),
    ("builds:\n  - env: {A: b}\n", "ko.not_a_list", 2, "builds[0].env"),
    ("baseImageOverrides:\n  a: b\n", "ko.bases_from_suite", 1, "baseImageOverrides"),
    ("builds: [\n", "suite.not_yaml", 2, None),
])  # fmt: skip
def test_a_wrong_ko_file(project, text, code, line, key):
    project.write({"ko.yaml": text})
    error = refused(project, "builder: ko, source: app, base: x, config: ko.yaml")
    assert (error.code, error.line, error.key) == (code, line, key)
    assert error.fields.get("near") in (None, "flags", "builds")


@pytest.mark.parametrize("text", ["[]\n", "contents: {}\n", "contents:\n  packages: []\n"])
def test_an_apko_file_without_packages(project, text):
    project.write({"apko.yaml": text})
    assert refused(project, APKO_FIELDS).line == 1


UNKNOWN = [
    (f"{{{USERS}, run-as: nobdy}}", {"kind": "user", "name": "nobdy"}),
    (f"{{{USERS}, run-as: 'nobody:wheel'}}", {"kind": "group", "name": "wheel", "guess": ""}),
    ("{run-as: nobody}", {"kind": "user", "name": "nobody", "guess": ""}),
]


@pytest.mark.parametrize(("accounts", "fields"), UNKNOWN)
def test_apko_would_take_an_unknown_user_without_a_word(project, accounts, fields):
    project.write({"apko.yaml": f"{APKO}\naccounts: {accounts}\n"})
    error = refused(project, APKO_FIELDS)
    assert (error.code, error.line, error.key) == ("apko.unknown_account", 5, "accounts.run-as")
    assert fields.items() <= error.fields.items()
    assert "guess" in fields or "nobody" in error.fields["guess"]


@pytest.mark.parametrize("others", ["[riscv64]", "[ppc64le, s390x]", "riscv64"])
def test_files_for_other_machines_alone_do_not_become_images_for_this_one(project, others):
    apko, melange = f"{APKO}archs: {others}\n", f"{MELANGE}  target-architecture: {others}\n"
    for files, line, key in (
        ({"apko.yaml": apko}, 4, "archs"),
        ({"apko.yaml": APKO, "melange.yaml": melange}, 3, "package.target-architecture"),
    ):
        error = refused(project.write(files), f"{APKO_FIELDS}, packages: [melange.yaml]")
        assert (error.code, error.line, error.key) == ("apko.other_architecture", line, key)


@pytest.mark.parametrize("ours", ["[amd64, arm64]", "[riscv64, x86_64, aarch64]", "[all]", "[]"])
@pytest.mark.parametrize("run_as", ["65534", "'0'", "root", "nobody", "nobody:nobody", "65534:65534"])
def test_files_for_this_machine_too_with_known_users_or_numbers_pass(project, ours, run_as):
    apko = f"{APKO}archs: {ours}\naccounts: {{{USERS}, run-as: {run_as}}}\n"
    project.write({"apko.yaml": apko, "melange.yaml": f"{MELANGE}  target-architecture: {ours}\n"})
    project.suite(f"  v: {{{APKO_FIELDS}, packages: [melange.yaml]}}\n")
    assert table.builder("apko").needs(project.variant("v"), project.root).apk


PINNED = {
    "127.0.0.1:5000/a/b:1": "127.0.0.1:5000/a/b@sha256:d", "127.0.0.1:5000/a/b": "127.0.0.1:5000/a/b@sha256:d",
    "busybox:1": "busybox@sha256:d", "x/y@sha256:e": "x/y@sha256:e",
}  # fmt: skip


def test_bases_are_pinned_by_digest():
    assert {at: pinned(Base("r", at, "sha256:d", False)) for at in PINNED} == PINNED
    assert [pinned(Base("r", at, None, False)) for at in PINNED] == [*PINNED]


def test_an_image_name_is_always_a_valid_reference(project):
    project.suite("  a._-b__c: {builder: ko, base: x}")
    name = image_name(project.site.suite, project.variant("a._-b__c"))
    assert name == f"{IMAGES}a-b-c:latest"
    parse(name)
