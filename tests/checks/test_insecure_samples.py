"""The four layer samples of this project's own suite, built for real: two leak as they are expected to, two do not."""

import base64
import gzip
import json
import os
import tarfile
from pathlib import Path

import pytest

from deadweight.builders.dockerfile.copy import secret_paths, ssh_paths
from deadweight.checks import runner
from deadweight.checks.layers import CHECK
from deadweight_images.inspect.extract import read_file
from tests.support.builder_site import Project, demo
from tests.support.small_images import forget_images
from tests.support.small_project import subject_of

pytestmark = pytest.mark.tools

DELETED, HISTORY = "insecure-layer-sample", "insecure-layer-sample-history"
FIXED, SSH = "insecure-layer-sample-fixed", "insecure-layer-sample-ssh"
PASSWORD, TOKEN = "kT9vQ2mX7pL4wZ8rNc3B", "tok_q7Xv2LmZ9pRk4TwY8nBd"  # as they stand in the Dockerfiles, made up


@pytest.fixture(scope="module")
def project(engine, local_source, tmp_path_factory):
    """A checkout of the samples alone; its images have a name of their own."""
    local_source.prepare(["alpine:3.18"], apk=False, say=print)
    name = f"samples-{os.getpid()}"
    yield Project(demo(tmp_path_factory.mktemp("samples"), name, ["build"]), local_source, lambda: engine)
    forget_images(engine, f"deadweight/{name}/")


@pytest.fixture(scope="module")
def outcomes(project, engine):
    """Evidence of the layers check, judged as the suite expects it, and the archive, by variant."""
    results = {}
    for name in (DELETED, HISTORY, FIXED, SSH):
        built = project.build(name)
        archive = project.archive(name, built)
        results[name] = (runner.run_check(CHECK, subject_of(project.site.suite, name, built, archive, engine)), archive)
    return results


@pytest.mark.slow
def test_a_deleted_file_fails_as_expected_and_names_both_instructions(outcomes):
    evidence, _ = outcomes[DELETED]
    assert (evidence.status, evidence.expected, len(evidence.data["layers"])) == ("fail", True, 4)
    assert [gate["name"] for gate in evidence.data["gates"] if not gate["held"]] == ["secrets"]
    (hidden,) = [file for file in evidence.data["hidden"] if file["secrets"]]
    assert (hidden["path"], hidden["how"], len(hidden["secrets"])) == ("/etc/secret.txt", "removed", 1)
    assert 'echo "db_password = ' in hidden["added_by"]
    assert "rm /etc/secret.txt" in hidden["hidden_by"]
    assert [secret["where"].partition("[")[0] for secret in evidence.data["secrets"]] == ["history"]


def test_an_argument_and_a_variable_fail_as_expected_and_are_found_where_they_stand(outcomes):
    evidence, _ = outcomes[HISTORY]
    assert (evidence.status, evidence.expected) == ("fail", True)
    assert {secret["where"].partition("[")[:2] for secret in evidence.data["secrets"]} == {
        ("config.Env", "["),
        ("history", "["),
    }
    assert not [file for file in evidence.data["hidden"] if file["secrets"]]
    assert len({secret["fingerprint"] for secret in evidence.data["secrets"]}) == 2


@pytest.mark.parametrize("name", [FIXED, SSH])
def test_the_fixed_ones_are_clean(outcomes, name):
    evidence, _ = outcomes[name]
    assert (evidence.status, evidence.expected) == ("pass", True), evidence.reason
    assert not evidence.data["secrets"]
    assert not [file for file in evidence.data["hidden"] if file["secrets"]]


def test_the_password_was_there_and_is_in_no_byte_of_the_image(project, outcomes):
    (path,) = secret_paths(project.variant(FIXED), project.root).values()
    password = path.read_bytes().strip()
    length, _ = read_file(outcomes[FIXED][1], "/etc/secret-length.txt")
    assert int(length) == len(path.read_bytes())
    assert [_holds(outcomes[FIXED][1], mark) for mark in (password, base64.b64encode(password))] == [[], []]


def test_the_agent_answered_and_the_key_is_in_no_byte_of_the_image(project, outcomes):
    (path,) = ssh_paths(project.variant(SSH), project.root).values()
    line = path.read_text().splitlines()[1]
    content, _ = read_file(outcomes[SSH][1], "/etc/clone.txt")
    assert content == b"an agent answered at build time\n"
    assert _holds(outcomes[SSH][1], line.encode()) == []
    assert _holds(outcomes[SSH][1], base64.b64decode(line)[-32:]) == []  # the key itself


@pytest.mark.parametrize(("name", "secret"), [(DELETED, PASSWORD), (HISTORY, PASSWORD), (HISTORY, TOKEN)])
def test_the_search_finds_what_is_there_and_the_evidence_repeats_no_secret(outcomes, name, secret):
    evidence, archive = outcomes[name]
    assert _holds(archive, secret.encode())
    assert secret not in json.dumps(evidence.data)


def _holds(archive: Path, mark: bytes) -> list[str]:
    """Members of an image archive with these bytes in them, as they stand or unpacked."""
    places, layers = [], 0
    with tarfile.open(archive) as tar:
        for entry in tar:
            if entry.isreg():
                content = tar.extractfile(entry).read()
                plain = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
                layers += plain[257:262] == b"ustar"
                places += [entry.name] if mark in content or mark in plain else []
    assert layers >= 2, "the layers were not looked through"
    return places
