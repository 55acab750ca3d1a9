"""Layouts and build files of public repositories as init reads them: workspaces, modules, versions, stages, build arguments."""

from __future__ import annotations

from pathlib import Path

from deadweight.builders.dockerfile.variant import DockerfileVariant
from deadweight.project.load_suite import load_suite
from deadweight_init.command import Wanted, init
from deadweight_init.services import find_services
from deadweight_init.tree import look
from tests.support.recipes import recipe
from tests.support.trees import written


def found(root: Path, files: dict[str, str]):
    return find_services(look(written(root, files)))


def only(root: Path, files: dict[str, str]):
    (service,) = found(root, files)
    return service


def refused(root: Path, files: dict[str, str]) -> dict[str, str]:
    return {each.name: each.refused for each in recipe(only(root, files), "build").ladder.rungs}


# Node


# Python


# Java


# Rust


# Go


# Dockerfiles


def test_the_stage_and_arguments_of_a_compose_file_are_taken(tmp_path):
    files = {
        "Dockerfile": 'ARG TAG\nFROM alpine:${TAG} AS prod\nARG PORT=1\nCMD ["/x"]\nFROM prod AS dev\nCMD ["/dev"]\n',
        "compose.yaml": "services:\n  x: {build: {context: ., target: prod, args: {TAG: '3.20', PORT: 2}}}\n",
    }
    init(written(tmp_path, files), Wanted(), lambda *_: None, lambda _: None, None)
    today = load_suite(tmp_path / "deadweight.yaml").variants[0]
    assert isinstance(today, DockerfileVariant)
    assert (today.target, today.args) == ("prod", {"TAG": "3.20"})


def test_a_base_that_nothing_gives_leaves_a_dockerfile_out(tmp_path):
    files = {"Dockerfile": "ARG BASE\nFROM $BASE\nCMD x\n", "build.sh": "docker build --build-arg BASE=alpine:3 .\n"}
    assert only(tmp_path, files).own.words.base == "alpine:3"
    (tmp_path / "build.sh").unlink()
    assert only(tmp_path, {}).own.refused == "it is built on $BASE, for which nothing here gives a build argument"


# Compose and manifests
