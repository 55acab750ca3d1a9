"""Podman's own build: what it lacks, whose words it says, and a real build where Podman is installed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from deadweight._errors import ConfigError, DeadweightError
from deadweight.builders.dockerfile import podman
from deadweight.builders.dockerfile.podman import Store, Translated, refuse_what_it_cannot
from deadweight.engine.client import Engine
from deadweight.engine.daemon import Endpoint
from tests.support.engine_tour import podman as podman_service

ENDPOINT = Endpoint("unix:///nowhere.sock", ours=False)


def refused(tmp_path, monkeypatch, text: str, buildah: str = "1.28.2") -> str:
    monkeypatch.setattr(podman, "store_of", lambda _endpoint: Store("", (), buildah, here=True))
    file = tmp_path / "Dockerfile"
    file.write_text(f"FROM scratch\n{text}\n")
    try:
        refuse_what_it_cannot(file, ENDPOINT)
    except ConfigError as error:
        return f"{error.line}: {error.problem}"
    return ""


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("RUN <<EOF\necho\nEOF", "heredocs"),
        ("COPY <<'EOF' /x\ny\nEOF", "heredocs"),
        ("COPY --link a /a", "COPY --link"),
        ("COPY --chown=1:1 --exclude=b a /a", "COPY --exclude"),
        ("ADD --checksum=sha256:0 a /a", "ADD --checksum"),
        ("RUN --mount=type=cache,target=/c --network=none true", "RUN --network"),
    ],
)
def test_what_an_old_podman_cannot_do_is_told_with_its_line_before_the_build(tmp_path, monkeypatch, text, what):
    assert refused(tmp_path, monkeypatch, text).startswith(f"2: this Podman (Buildah 1.28.2) does not support {what}")
    assert refused(tmp_path, monkeypatch, text, buildah="1.39.0") == ""


@pytest.mark.parametrize(
    "text",
    [
        "RUN --mount=type=secret,id=a --mount=type=cache,target=/c true",
        "COPY --chmod=755 a /a",
        "RUN echo --network 1 << 2",
    ],
)
def test_what_it_can_do_is_not_refused(tmp_path, monkeypatch, text):
    assert refused(tmp_path, monkeypatch, text) == ""


def test_its_lines_are_told_as_buildkit_tells_them():
    told: list[str] = []
    translated = Translated(told.append)
    for line in (
        "[1/2] STEP 1/3: FROM docker.io/library/x",
        "[1/2] STEP 2/3: RUN make",
        "--> Using cache 0123",
        "--> 0123",
        "[1/2] STEP 3/3: RUN false",
        "oh no",
        'Error: building at STEP "RUN false": while running runtime: exit status 7',
    ):
        translated(line)
    assert told == [
        "#1 [1/3] FROM docker.io/library/x",
        "#2 [2/3] RUN make",
        "#2 CACHED",
        "#3 [3/3] RUN false",
        "#3 0.0 oh no",
        '#3 ERROR: building at STEP "RUN false": while running runtime: exit code: 7',
    ]


def test_secrets_are_not_given_to_a_podman_that_keeps_its_images_elsewhere(tmp_path, monkeypatch):
    monkeypatch.setattr(podman, "store_of", lambda _endpoint: Store("", (), "1.28.2", here=False))
    monkeypatch.setattr(podman, "find", lambda name: type("Tool", (), {"path": Path(shutil.which("true") or "true")}))
    asked = {"ignore": tmp_path, "cwd": tmp_path, "env": {}, "log": tmp_path / "log", "on_line": print, "redact": ()}
    with pytest.raises(DeadweightError, match="would send its secrets with the context"):
        podman.build(ENDPOINT, ["--secret", "id=a,src=b", "."], **asked)
    podman.build(ENDPOINT, ["."], **asked)


@pytest.mark.system
@pytest.mark.parametrize("named", [(), ("--storage-driver", "overlay")])
def test_a_build_works_in_the_store_of_a_service_whether_its_driver_was_named_or_not(tmp_path, named):
    """The store remembers it, and refuses whoever says otherwise."""
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\n")
    ignore = tmp_path / "ignore"
    ignore.write_text("")
    with podman_service(tmp_path, {}, named) as host:
        endpoint = Endpoint(host, ours=False)
        lines: list[str] = []
        podman.build(
            endpoint, ["--file", tmp_path / "Dockerfile", "--tag", "deadweight-tests/podman:1", tmp_path],
            ignore=ignore, cwd=tmp_path, env={}, log=tmp_path / "log", on_line=lines.append, redact=(),
        )  # fmt: skip
        with Engine.connect(endpoint) as engine:
            assert engine.has("deadweight-tests/podman:1")
    assert "#1 [1/2] FROM scratch" in lines
