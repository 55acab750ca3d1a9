"""Image references, and which stand-in each public one gets."""

from __future__ import annotations

import pytest

from deadweight._errors import MissingError, UsageError
from deadweight.sources.local.table import TOOLS_REFERENCE, StandIn, stand_in
from deadweight.sources.public import front_door, mirrored
from deadweight.sources.reference import NoBase, parse
from deadweight.sources.settings import Mirror

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "full"),
    [
        ("ubuntu", "docker.io/library/ubuntu:latest"),
        ("ubuntu:23.10", "docker.io/library/ubuntu:23.10"),
        ("index.docker.io/library/ubuntu:1", "docker.io/library/ubuntu:1"),
        ("team/app:1", "docker.io/team/app:1"),
        ("localhost/app:1", "localhost/app:1"),
        ("127.0.0.1:5000/a/b:c", "127.0.0.1:5000/a/b:c"),
        ("cgr.dev/chainguard/busybox", "cgr.dev/chainguard/busybox:latest"),
        (f"gcr.io/a/b@{DIGEST}", f"gcr.io/a/b@{DIGEST}"),
        (f"gcr.io/a/b:c@{DIGEST}", f"gcr.io/a/b:c@{DIGEST}"),
    ],
)
def test_references_are_read_as_the_engine_reads_them(text, full):
    assert str(parse(text)) == full


@pytest.mark.parametrize(
    "text", ["", "Ubuntu", "a b", "ubuntu:", "x@sha256:12", "ubuntu@", "a//b", "-a", "a:b:c/d", "a/../b"]
)
def test_what_is_no_reference_is_refused(text):
    with pytest.raises(UsageError, match="is no image reference"):
        parse(text)


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("golang:1.21.3-bookworm", StandIn("golang", "1.21.3")),
        ("docker.io/library/golang:1.22.0", StandIn("golang", "1.22.0")),
        ("ubuntu:23.10", StandIn("ubuntu")),
        ("debian:bookworm-slim", StandIn("ubuntu")),
        ("alpine", StandIn("alpine")),
        ("cgr.dev/chainguard/busybox:latest", StandIn("busybox")),
        ("busybox:1.36.1-musl", StandIn("busybox")),
        ("gcr.io/distroless/static-debian12:nonroot", StandIn("static", "nonroot")),
        ("gcr.io/distroless/static", StandIn("static")),
        ("gcr.io/distroless/static-debian12:debug-nonroot", StandIn("static", "debug-nonroot")),
        ("gcr.io/distroless/java17-debian12:nonroot", StandIn("java17", "nonroot")),
        ("gcr.io/distroless/java17-debian12", StandIn("java17")),
        ("eclipse-temurin:17-jre", StandIn("jre")),
        ("maven:3-eclipse-temurin-17", StandIn("maven")),
        (TOOLS_REFERENCE, StandIn("tools")),
        (f"alpine:3.18@{DIGEST}", StandIn("alpine")),
    ],
)
def test_stand_ins(reference, expected):
    assert stand_in(reference) == expected


def test_bases_that_cannot_be_had_are_told_with_their_places():
    error = NoBase(("a:1", "a:1: there is none"), (None, "https://x: silent"), ("b", "b: no answer"), hint="look")
    placed = error.placed({"a:1": "v, w: Dockerfile:3", "c": "v: base"})
    assert placed.message == "v, w: Dockerfile:3: a:1: there is none\nhttps://x: silent\nb: no answer"
    assert placed.hint == "look"


@pytest.mark.parametrize("reference", ["golang:1.21.3-alpine", "golang:latest", "golang:1.20.1", "node:20"])
def test_no_stand_in_is_an_error_that_lists_all_there_are(reference):
    with pytest.raises(MissingError) as error:
        stand_in(reference)

    assert reference in str(error.value)
    for name in (
        "golang:1.X.Y",
        "ubuntu",
        "alpine",
        "cgr.dev/chainguard/busybox",
        "distroless/static",
        "temurin",
        "maven",
    ):
        assert name in str(error.value)


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("ubuntu:23.10", "hub.example.com/x/library/ubuntu:23.10"),
        ("cgr.dev/chainguard/busybox:latest", "all.example.com/p/cgr.dev/chainguard/busybox:latest"),
        (f"gcr.io/a/b@{DIGEST}", f"all.example.com/p/gcr.io/a/b@{DIGEST}"),
    ],
)
def test_a_mirror_renames(reference, expected):
    mirror = Mirror(registries={"docker.io": "hub.example.com/x", "*": "all.example.com/p/"})

    assert mirrored(mirror, reference) == expected


def test_a_host_without_a_rule_keeps_its_name():
    assert mirrored(Mirror(registries={"docker.io": "m/x"}), "gcr.io/a/b:1") == "gcr.io/a/b:1"


def test_docker_hub_answers_under_another_name():
    assert front_door("docker.io") == "https://registry-1.docker.io/v2/"
