"""Wrong files of a variant are one clear error before anything runs."""

from __future__ import annotations

import pytest

from deadweight._errors import ConfigError
from deadweight.builders import table
from deadweight.builders.shared.common import image_name, pinned
from deadweight.records.built_image import Base
from tests.support.builder_site import MAIN, GivenSource, Project

GO_FILES = {"app/go.mod": "module example.invalid/app\n\ngo 1.21\n", "app/main.go": MAIN}
APKO = "contents:\n  packages:\n    - busybox\n"
MELANGE = "package:\n  name: app\n"


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path, GivenSource()).write(
        {
            **GO_FILES,
            "Dockerfile": "ARG BASE\nFROM ${BASE} AS last\n",
            "apko.yaml": APKO,
            "melange.yaml": MELANGE,
            "empty": " \n",
            "token": "x",
            "ko.yaml": "builds: []\n",
        }
    )


def refused(project, fields):
    project.suite("  v:\n" + "".join(f"    {line}\n" for line in fields))
    variant = project.variant("v")
    with pytest.raises(ConfigError) as caught:
        table.builder(variant.builder).needs(variant, project.root)
    assert caught.value.exit_code == 2
    return str(caught.value)


DOCKERFILE = ["builder: dockerfile", "source: app"]
APKO_FIELDS = ["builder: apko", "source: app"]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ([*DOCKERFILE], "the builder dockerfile needs a Dockerfile"),
        ([*DOCKERFILE, "dockerfile: build/None"], "build/None: no such file"),
        ([*DOCKERFILE, "dockerfile: app"], "app: is a folder"),
        ([*DOCKERFILE, "dockerfile: empty"], "empty: is empty"),
        ([*DOCKERFILE, "dockerfile: binary"], "binary: is binary"),
        (["builder: dockerfile", "source: nowhere", "dockerfile: Dockerfile"], "nowhere: no such source folder"),
        (["builder: dockerfile", "source: token", "dockerfile: Dockerfile"], "token: is a file, not a folder"),
        (["builder: dockerfile", "source: void", "dockerfile: Dockerfile"], "void: the source folder is empty"),
        ([*DOCKERFILE, "dockerfile: Dockerfile", "bases: {BSE: x}"], "no ARG BSE before the first FROM"),
        ([*DOCKERFILE, "dockerfile: Dockerfile", "target: lst"], "no stage 'lst'"),
        ([*DOCKERFILE, "dockerfile: Dockerfile", "secrets: {t: nope.txt}"], "nope.txt: no such file"),
        ([*DOCKERFILE, "dockerfile: Dockerfile", "ssh: {default: nope}"], "nope: no such file"),
        (["builder: ko", "source: app"], "the builder ko needs a base image"),
        (["builder: ko", "source: .", "base: x"], "has no go.mod"),
        (["builder: ko", "source: app", "base: x", "config: nope.yaml"], "nope.yaml: no such file"),
        ([*APKO_FIELDS], "the builder apko needs an apko.yaml"),
        ([*APKO_FIELDS, "config: nope.yaml"], "nope.yaml: no such file"),
        ([*APKO_FIELDS, "config: apko.yaml", "packages: [nope.yaml]"], "nope.yaml: no such file"),
        ([*APKO_FIELDS, "config: apko.yaml", "packages: [apko.yaml]"], "apko.yaml:1: is not a melange file"),
        (["builder: apko", "source: absent", "config: apko.yaml", "packages: [melange.yaml]"], "no such source folder"),
    ],
)
def test_refused(project, fields, words):
    (project.root / "binary").write_bytes(b"FROM x\x00\x01")
    (project.root / "void").mkdir()
    assert words in refused(project, fields)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("builds:\n  - id: a\n    flag: [-x]\n", "ko.yaml:3: builds[0].flag: unknown key, did you mean flags?"),
        ("buids: []\n", "ko.yaml:1: buids: unknown key, did you mean builds?"),
        ("builds: {a: b}\n", "ko.yaml:1: builds: expected a list"),
        ("builds:\n  - [a]\n", "ko.yaml:2: builds[0]: expected a mapping"),
        ("builds:\n  - env: {A: b}\n", "ko.yaml:2: builds[0].env: expected a list"),
        ("baseImageOverrides:\n  a: b\n", "bases come from the suite"),
        ("builds: [\n", "is not YAML"),
    ],
)
def test_a_wrong_ko_file(project, text, words):
    project.write({"ko.yaml": text})
    assert words in refused(project, ["builder: ko", "source: app", "base: x", "config: ko.yaml"])


@pytest.mark.parametrize(
    ("accounts", "words"),
    [
        (
            "{users: [{username: nobody, uid: 65534}], run-as: nobdy}",
            "no user 'nobdy' under accounts.users, did you mean",
        ),
        ("{users: [{username: nobody, uid: 65534}], run-as: 'nobody:wheel'}", "no group 'wheel' under accounts.groups"),
        ("{run-as: nobody}", "no user 'nobody' under accounts.users"),
    ],
)
def test_apko_would_take_an_unknown_user_without_a_word(project, accounts, words):
    project.write({"apko.yaml": f"{APKO}\naccounts: {accounts}\n"})
    said = refused(project, [*APKO_FIELDS, "config: apko.yaml"])
    assert "apko.yaml:5: accounts.run-as: " + words in said


@pytest.mark.parametrize("others", ["[riscv64]", "[ppc64le, s390x]", "riscv64"])
def test_files_for_other_machines_alone_do_not_become_images_for_this_one(project, others):
    fields = [*APKO_FIELDS, "config: apko.yaml", "packages: [melange.yaml]"]
    project.write({"apko.yaml": f"{APKO}archs: {others}\n"})
    assert "apko.yaml:4: archs: names " in refused(project, fields)
    project.write({"apko.yaml": APKO, "melange.yaml": f"{MELANGE}  target-architecture: {others}\n"})
    assert "melange.yaml:3: package.target-architecture: names " in refused(project, fields)


@pytest.mark.parametrize("ours", ["[amd64, arm64]", "[riscv64, x86_64, aarch64]", "[all]", "[]"])
def test_files_for_this_machine_too_pass(project, ours):
    project.write({"apko.yaml": f"{APKO}archs: {ours}\n", "melange.yaml": f"{MELANGE}  target-architecture: {ours}\n"})
    project.suite("  v: {builder: apko, source: app, config: apko.yaml, packages: [melange.yaml]}\n")
    assert table.builder("apko").needs(project.variant("v"), project.root).apk


@pytest.mark.parametrize("run_as", ["65534", "'0'", "root", "nobody", "nobody:nobody", "65534:65534"])
def test_known_users_and_numbers_pass(project, run_as):
    users = "users: [{username: nobody, uid: 65534}], groups: [{groupname: nobody, gid: 65534}]"
    project.write({"apko.yaml": f"{APKO}\naccounts: {{{users}, run-as: {run_as}}}\n"})
    project.suite("  v:\n    builder: apko\n    source: app\n    config: apko.yaml\n")
    assert table.builder("apko").needs(project.variant("v"), project.root).apk


@pytest.mark.parametrize("text", ["[]\n", "contents: {}\n", "contents:\n  packages: []\n"])
def test_an_apko_file_without_packages(project, text):
    project.write({"apko.yaml": text})
    assert "apko.yaml:1: " in refused(project, [*APKO_FIELDS, "config: apko.yaml"])


@pytest.mark.parametrize(
    ("resolved", "expected"),
    [
        ("127.0.0.1:5000/a/b:1", "127.0.0.1:5000/a/b@sha256:d"),
        ("127.0.0.1:5000/a/b", "127.0.0.1:5000/a/b@sha256:d"),
        ("busybox:1", "busybox@sha256:d"),
        ("x/y@sha256:e", "x/y@sha256:e"),
    ],
)
def test_bases_are_pinned_by_digest(resolved, expected):
    assert pinned(Base("r", resolved, "sha256:d", False)) == expected
    assert pinned(Base("r", resolved, None, False)) == resolved


def test_an_image_name_is_always_a_valid_reference(project):
    from deadweight.records.reference import parse

    project.suite("  a._-b__c:\n    builder: ko\n    base: x\n")
    name = image_name(project.site.suite, project.variant("a._-b__c"))
    assert name == "deadweight/small/a-b-c:latest"
    parse(name)
