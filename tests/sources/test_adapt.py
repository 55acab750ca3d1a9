"""Users' files as they are in the wild, made fit for another source in a copy."""

from __future__ import annotations

import re

import pytest
import yaml

from deadweight._errors import ConfigError
from deadweight.sources import adapt, adapt_dockerfile
from tests.support.codes import raises

APKO = """\
# a comment
contents:
  keyring: [https://packages.wolfi.dev/os/wolfi-signing.rsa.pub]
  repositories:
    - https://packages.wolfi.dev/os
    - '@local ./packages'
  packages: [wolfi-baselayout, app@local, gawk=5.3.0-r1]
accounts: {run-as: 65532}
archs: [x86_64, aarch64]
annotations: {version: 1.10}
"""
MELANGE = """\
package:
  name: app
  version: 1.10
  epoch: 0
  target-architecture: [aarch64]
environment:
  contents:
    repositories: [https://packages.wolfi.dev/os]
    keyring: [https://packages.wolfi.dev/os/wolfi-signing.rsa.pub]
    packages: [busybox, go]
pipeline:
  - runs: |
      echo "repositories: $x"
"""


@pytest.fixture
def file(tmp_path):
    def made(text):
        (tmp_path / "file.yaml").write_text(text)
        return tmp_path / "file.yaml"

    return made


def test_an_apko_file_loses_its_repositories_keys_and_architectures(file):
    path = file(APKO)

    made = yaml.safe_load(adapt.derived(path))

    assert made["contents"] == {"packages": ["wolfi-baselayout", "app", "gawk=5.3.0-r1"]}
    assert "archs" not in made
    assert made["accounts"] == {"run-as": 65532}
    assert path.read_text() == APKO


def test_a_melange_file_keeps_its_scalars_as_they_are_written(file):
    text = adapt.derived(file(MELANGE))

    assert "version: 1.10\n" in text
    made = yaml.safe_load(text)
    assert made["environment"]["contents"] == {"packages": ["busybox", "go"]}
    assert made["package"] == {"name": "app", "version": 1.1, "epoch": 0}
    assert made["pipeline"] == [{"runs": 'echo "repositories: $x"\n'}]


def test_a_file_that_names_none_is_used_as_it_is(file):
    assert adapt.derived(file("contents: {packages: [gawk]}\n")) is None


@pytest.mark.parametrize(
    ("packages", "flavour"),
    [
        ("[wolfi-baselayout, gawk]", "wolfi"),
        ("[alpine-baselayout, busybox]", "alpine"),
        ("['musl=1.2.3-r0', busybox]", "alpine"),
        ("['alpine-base@edge']", "alpine"),
        ("[musl-dev-tools]", "wolfi"),
    ],
)
def test_the_flavour_is_told_by_package_names(file, packages, flavour):
    assert adapt.apk_flavour(file(f"contents: {{packages: {packages}}}\n")) == flavour


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "sources.no_mapping"),
        ("- a\n", "sources.no_mapping"),
        ("a: [\n", "suite.not_yaml"),
        ("\x00", "suite.not_yaml"),
    ],
)
def test_a_damaged_file_is_an_error_with_its_name(file, text, code):
    path = file(text)

    assert adapt.apk_flavour(path) == "wolfi"
    with raises(ConfigError, code) as caught:
        adapt.derived(path)
    assert caught.value.file == str(path)


DOCKERFILE = """\
# syntax=docker/dockerfile:1.7
# a note
ARG GO=1.21.3
ARG BASE
FROM --platform=$BUILDPLATFORM golang:${GO}-bookworm AS build
RUN --mount=type=bind,from=alpine:3.18,target=/x true
COPY --from=busybox:1.36 /bin/busybox /usr/bin/awk
FROM build AS test
FROM scratch AS nothing
FROM ${BASE:-ubuntu:23.10}
COPY --from=build /out /out
COPY --from=0 /out /out
"""


def test_images_of_a_dockerfile():
    expected = ("golang:1.21.3-bookworm", "alpine:3.18", "busybox:1.36", "ubuntu:23.10")

    assert adapt_dockerfile.images(DOCKERFILE) == expected
    assert adapt_dockerfile.images(DOCKERFILE, {"BASE": "debian:12"})[-1] == "debian:12"


def test_a_dockerfile_is_renamed_line_by_line():
    made = adapt_dockerfile.derived(DOCKERFILE, lambda reference: f"mirror.example.com/{reference}").splitlines()

    assert made[0] == "#"
    assert made[1] == "# a note"
    assert made[4] == "FROM --platform=$BUILDPLATFORM mirror.example.com/golang:1.21.3-bookworm AS build"
    assert made[5] == "RUN --mount=type=bind,from=mirror.example.com/alpine:3.18,target=/x true"
    assert made[6] == "COPY --from=mirror.example.com/busybox:1.36 /bin/busybox /usr/bin/awk"
    assert made[7:9] == ["FROM build AS test", "FROM scratch AS nothing"]
    assert made[9] == "FROM mirror.example.com/ubuntu:23.10"
    assert made[10:] == ["COPY --from=build /out /out", "COPY --from=0 /out /out"]


def test_a_base_without_a_value_is_left_to_the_builder():
    assert adapt_dockerfile.images("ARG BASE\nFROM ${BASE}\n") == ()


RUNS = """\
ARG BASE=alpine:3
FROM golang:1 AS build
RUN go build
RUN \\
  # a comment
  --network=none apt-get update
FROM ${BASE} AS last
run --mount=type=cache,target=/c,from=build apk add x
FROM last
RUN <<END
apk add y
END
FROM scratch
RUN apk add z
"""


def test_a_run_gets_the_flags_that_its_base_needs_and_no_other_run_does():
    asked = []

    def add(run):
        asked.append((run.stage, run.base, run.plain))
        wanted = re.search(r"\b(?:apk|apt-get)\b", run.command) and run.base
        return adapt_dockerfile.Added(("--mount=a", "--mount=b") if wanted else ())

    made = adapt_dockerfile.derived(RUNS, lambda reference: f"mirror.example.com/{reference}", add=add)

    assert made.splitlines() == [
        "ARG BASE=alpine:3",
        "FROM mirror.example.com/golang:1 AS build",
        "RUN go build",
        "RUN \\",
        "  # a comment",
        "  --mount=a --mount=b --network=none apt-get update",
        "FROM mirror.example.com/alpine:3 AS last",
        "run --mount=a --mount=b --mount=type=cache,target=/c,from=build apk add x",
        "FROM last",
        "RUN --mount=a --mount=b <<END",
        "apk add y",
        "END",
        "FROM scratch",
        "RUN apk add z",
    ]
    assert asked == [
        (0, "golang:1", True),
        (0, "golang:1", True),
        (1, "alpine:3", True),
        (2, "alpine:3", False),
        (3, "", True),
    ]


def test_words_stand_before_the_command_where_a_shell_reads_it():
    text = (
        'FROM a\nRUN x\nRUN --mount=type=cache,target=/c \\\n  y && z\nRUN ["x"]\nRUN <<E\nx\nE\n'
        'SHELL ["/bin/bash", "-c"]\nRUN b\nSHELL ["pwsh"]\nRUN p\nFROM c\nRUN again\n'
    )

    def add(run):
        return adapt_dockerfile.Added(("--f",), ". /e; ") if run.plain else adapt_dockerfile.Added(("--f",))

    assert adapt_dockerfile.derived(text, str, add=add) == (
        'FROM a\nRUN --f . /e; x\nRUN --f --mount=type=cache,target=/c \\\n  . /e; y && z\nRUN --f ["x"]\nRUN --f <<E\nx\nE\n'
        'SHELL ["/bin/bash", "-c"]\nRUN --f . /e; b\nSHELL ["pwsh"]\nRUN --f p\nFROM c\nRUN --f . /e; again\n'
    )


@pytest.mark.parametrize(
    ("arguments", "base"),
    [
        ("ARG ARCH=\nARG TAG=20-alpine", ["node:20-alpine"]),
        ('ARG ARCH=""\nARG TAG=20-alpine', ["node:20-alpine"]),
        ("ARG ARCH\nARG TAG=20-alpine", []),
        ("ARG ARCH=$ABSENT\nARG TAG=20-alpine", []),
    ],
)
def test_an_argument_that_is_empty_has_a_value(arguments, base):
    assert list(adapt_dockerfile.places(f"{arguments}\nFROM ${{ARCH}}node:$TAG\n")) == base
