"""Podman's own build: what it lacks, whose words it says, and a real build where Podman is installed."""

import contextlib
import os
from pathlib import Path

import pytest

from deadweight._errors import ConfigError
from deadweight._run import run
from deadweight.builders.dockerfile import buildkit
from deadweight.builders.dockerfile.buildkit import Store, translated
from deadweight.engine import api
from deadweight.engine.api import Endpoint
from deadweight.engine.client import Engine
from deadweight.engine.options import ceilings
from deadweight.sources.adapt_dockerfile import read_dockerfile
from tests.support.builder_site import GivenSource, Project
from tests.support.codes import raises
from tests.support.engine_tour import podman as podman_service
from tests.support.small_images import placed, program
from tests.support.trees import written

ENDPOINT = Endpoint("unix:///nowhere.sock", ours=False)


LACKED = {
    "COPY a <<'EOF' /x/\ny\nEOF": "heredocs", "COPY --link --parents a /a": "COPY --parents",
    "COPY --chown=1:1 --exclude=b a /a": "COPY --exclude", "ADD --checksum=sha256:0 a /a": "ADD --checksum",
    "RUN --mount=type=cache,target=/c --network=none true": "RUN --network",
}  # fmt: skip
KNOWN = (
    "RUN --mount=type=secret,id=a --mount=type=cache,target=/c true", "COPY --chmod=755 a /a", "COPY --link a /a",
    "RUN <<EOF\necho\nEOF", "COPY <<'EOF' /x\ny\nEOF", "RUN echo --network 1 << 2",
)  # fmt: skip


@pytest.mark.parametrize(("text", "what"), {**LACKED, **dict.fromkeys(KNOWN)}.items())
def test_what_an_old_podman_cannot_do_is_told_with_its_line_before_the_build(tmp_path, monkeypatch, text, what):
    (tmp_path / "Dockerfile").write_text(f"FROM scratch\n{text}\n")
    dockerfile = read_dockerfile(tmp_path / "Dockerfile")
    monkeypatch.setattr(buildkit, "store_of", lambda _: Store("", (), "1.28.2", here=True))
    refused = raises(ConfigError, "dockerfile.podman_too_old", version="1.28.2", feature=what, line=2)
    with refused if what else contextlib.nullcontext():
        buildkit.refuse_what_it_cannot(dockerfile, ENDPOINT)
    monkeypatch.setattr(buildkit, "store_of", lambda _: Store("", (), "1.39.0", here=True))
    buildkit.refuse_what_it_cannot(dockerfile, ENDPOINT)


def test_its_lines_are_told_as_buildkit_tells_them():
    lines = {
        "[1/2] STEP 1/3: FROM docker.io/library/x": "#1 [1/3] FROM docker.io/library/x",
        "[1/2] STEP 2/3: RUN make": "#2 [2/3] RUN make",
        "--> Using cache 0123": "#2 CACHED",
        "--> 0123": None,
        "[1/2] STEP 3/3: RUN false": "#3 [3/3] RUN false",
        "oh no": "#3 0.0 oh no",
        'Error: building at STEP "RUN false": while running runtime: exit status 7': (
            '#3 ERROR: building at STEP "RUN false": while running runtime: exit code: 7'
        ),
    }
    output: list[str] = []
    hear = translated(output.append)
    for line in lines:
        hear(line)
    assert output == list(filter(None, lines.values()))


def test_dockerfiles_are_refused_where_podman_keeps_its_images_elsewhere(tmp_path, monkeypatch):
    monkeypatch.setattr(buildkit, "store_of", lambda _endpoint: Store("", (), "1.39.0", here=False))
    monkeypatch.setattr(buildkit, "running_podman", lambda: ENDPOINT)
    project = Project(tmp_path, GivenSource()).write({"Dockerfile": "FROM scratch\nCOPY . /\n"})
    with raises(ConfigError, "dockerfile.podman_elsewhere"):
        project.suite("  v: {builder: dockerfile, dockerfile: Dockerfile, source: .}").steps("v")


def test_the_store_of_another_user_is_left_alone(tmp_path, monkeypatch):
    """Root may write there, and its files then kept that user's Podman from answering at all."""
    host = {"cgroupManager": "cgroupfs", "buildahVersion": "1.28.0"}
    info = {"host": host, "store": {"graphRoot": str(tmp_path), "runRoot": "/run/x", "graphDriverName": "overlay"}}
    monkeypatch.setattr(api, "document_once", lambda *_: info)
    assert buildkit.store_of(ENDPOINT).here
    assert not buildkit.store_of(Endpoint("tcp://127.0.0.1:1", ours=False)).here, "it may be another machine's"
    monkeypatch.setattr(os, "geteuid", lambda: tmp_path.stat().st_uid + 1)
    assert not buildkit.store_of(ENDPOINT).here


@pytest.mark.slow
@pytest.mark.system
@pytest.mark.parametrize("named", [(), ("--storage-driver", "overlay")])
def test_a_build_works_in_the_store_of_a_service_whether_its_driver_was_named_or_not(tmp_path, named):
    """The store remembers it, and refuses whoever says otherwise."""
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\n")
    with podman_service(tmp_path, {}, named) as host:
        lines = build(Endpoint(host, ours=False), tmp_path, "deadweight-tests/podman:1")
        with Engine.connect(Endpoint(host, ours=False)) as engine:
            assert engine.images.get("deadweight-tests/podman:1") is not None
    assert "#1 [1/2] FROM scratch" in lines


def build(endpoint: Endpoint, folder: Path, name: str) -> list[str]:
    """What a real build of a folder tells, as BuildKit tells it."""
    lines: list[str] = []
    (folder / "Dockerfile.dockerignore").write_text("")
    words = ["--file", folder / "Dockerfile", "--tag", name, folder]
    run(buildkit.podman_call(endpoint, words), on_line=translated(lines.append))
    return lines


@pytest.mark.slow
@pytest.mark.system
def test_a_step_has_no_higher_limit_than_the_service_can_set(tmp_path):
    """Podman 5 asks for more than a machine without CAP_SYS_RESOURCE grants, and no RUN starts there."""
    files = placed(tmp_path / "files", {**program("dash"), "/bin/sh": "/usr/bin/dash"})
    limits = 'RUN echo "files $(ulimit -Hn), processes $(ulimit -Hp)"\n'
    written(files, {"Dockerfile": f"FROM scratch\nCOPY . /\n{limits}"})
    with podman_service(tmp_path, {}) as host:
        most = ceilings(host)
        lines = build(Endpoint(host, ours=False), files, "deadweight-tests/limits:1")
    assert f"#3 0.0 files {most['nofile']}, processes {most['nproc']}" in lines
