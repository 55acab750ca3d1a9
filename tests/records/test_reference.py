"""Image references: as an engine reads them, as a registry's client takes them, and their parts."""

import pytest

from deadweight._errors import UsageError
from deadweight.records.reference import in_registry, names_registry, parse, short, split, with_registry
from tests.support.codes import raises

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(("text", "full"), [
    ("ubuntu", "docker.io/library/ubuntu:latest"),
    ("index.docker.io/library/ubuntu:1", "docker.io/library/ubuntu:1"),
    ("team/app:1", "docker.io/team/app:1"),
    ("localhost/app:1", "localhost/app:1"),
    ("127.0.0.1:5000/a/b:c", "127.0.0.1:5000/a/b:c"),
    (f"gcr.io/a/b@{DIGEST}", f"gcr.io/a/b@{DIGEST}"),
    (f"gcr.io/a/b:c@{DIGEST}", f"gcr.io/a/b:c@{DIGEST}"),
])  # fmt: skip
def test_references_are_read_as_the_engine_reads_them(text, full):
    assert str(parse(text)) == full


@pytest.mark.parametrize(
    "text", ["", "Ubuntu", "a b", "ubuntu:", "x@sha256:12", "ubuntu@", "a//b", "-a", "a:b:c/d", "a/../b"]
)
def test_what_is_no_reference_is_refused(text):
    with raises(UsageError, "records.not_a_reference", text=text):
        parse(text)


@pytest.mark.parametrize(("reference", "whole"), [
    ("golang:1.21", "docker.io/library/golang:1.21"),
    ("me/app@sha256:0", "docker.io/me/app@sha256:0"),
    ("ghcr.io/me/app:1", "ghcr.io/me/app:1"),
])  # fmt: skip
def test_the_registry_that_goes_without_saying_is_said(reference, whole):
    assert with_registry(reference) == whole


@pytest.mark.parametrize(("reference", "name", "tag"), [
    ("h/a", "h/a", None), ("h:5000/a/b:1", "h:5000/a/b", "1"), (f"h.io/a@{DIGEST}", "h.io/a", None),
])  # fmt: skip
def test_a_registry_s_client_wants_the_registry(reference, name, tag):
    ref = in_registry(reference)
    assert (ref.name, ref.tag, str(ref)) == (name, tag, reference)


@pytest.mark.parametrize("reference", ["", "a", "a:1", "h/", "h/A", "h/a:", "h/a@", "h/a@sha256:1", "h/a b", "h/a:1:2"])
def test_what_names_no_registry_or_is_no_reference(reference):
    with raises(UsageError, "records.not_in_registry", text=reference):
        in_registry(reference)


def test_which_reference_names_its_registry_and_how_people_say_it():
    names = ("ghcr.io/a/b:1", "localhost/a", "h:1/a", "alpine", "a/b", "./x.tar")
    assert [name for name in names if names_registry(name)] == ["ghcr.io/a/b:1", "localhost/a", "h:1/a"]
    assert short(f"docker.io/library/alpine:3.18@{DIGEST}") == "alpine:3.18"
    assert short("ghcr.io/me/app:1") == "ghcr.io/me/app:1"
    parts = {f"h:5000/a:1@{DIGEST}": ("h:5000/a", "1", DIGEST), "h:5000/a": ("h:5000/a", "", "")}
    assert {reference: split(reference) for reference in parts} == parts
