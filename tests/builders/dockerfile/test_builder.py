"""Dockerfile builds on the real engine, on a small base with a shell."""

import os
import re
import time
import uuid
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from deadweight._errors import CommandError, MissingError
from deadweight.builders import protocol
from deadweight.builders.dockerfile import builder, buildkit
from deadweight.builders.protocol import Site
from deadweight.builders.shared import archive
from deadweight.engine.images import Identity
from deadweight.records.built_image import Base
from deadweight.records.paths import State
from deadweight.sources.protocol import BuildEnvironment
from tests.support import ROOT
from tests.support.builder_site import BROKEN, COMPILERS, GO_FILES, IMAGES, Project, on_tools
from tests.support.codes import codes, raises
from tests.support.small_images import forget_images
from tests.support.small_project import write_suite

GO_BASE = "golang:1.21.3-bookworm"
BASED = "ARG BASE\nFROM ${BASE}\n"
SIMPLE = f"{BASED}COPY hello /hello\nUSER 65532\n"
PLAIN = "  v:\n    builder: dockerfile\n    dockerfile: Dockerfile\n"


@pytest.fixture
def project(on_tools):
    return on_tools.write({"Dockerfile": SIMPLE})


def history(project, built):
    """What an image's history says."""
    return "\n".join(step.instruction for step in project.image(built).config.history)


def test_the_image_is_in_the_engine_and_is_told_true(project, engine, tools_image):
    built = project.build("v")
    image = engine.images.need(f"{IMAGES}v:latest")
    held = project.image(built)  # only its archive tells for sure what an image's digests are
    assert (built.config_digest, built.engine_id) == (held.config_digest, image.id)
    by_manifest = engine.info.containerd_store
    assert (built.manifest_digest, built.index_digest) == (held.manifest_digest if by_manifest else None, None)
    assert (image.id == built.config_digest) is not by_manifest
    assert built.reference == f"{IMAGES}v:{built.config_digest[7:19]}"
    assert (built.in_engine, image.user) == (True, "65532")
    assert built.base == Base("tools", tools_image, None, stand_in=True)
    assert built.tool == f"{engine.info.name.lower()} {engine.info.version}"
    assert any("COPY hello /hello" in line for line in project.lines), project.lines
    assert not list(project.site.state.image("v").glob(".work-*"))


MADE = "ARG BASE\nFROM $BASE\nCOPY hello /hello\nRUN cat hello > /again\n"


def test_what_buildkit_took_from_earlier_builds_is_told(project):
    """Nothing, all, all but the last step; and with a folder that outlives the build, nobody can say that nothing was taken."""
    project.write({"hello": str(time.time_ns()), "Dockerfile": MADE})
    for text in (MADE, MADE, MADE + "RUN cat hello > /more\n"):
        project.write({"Dockerfile": text}).build("v")
    assert project.took == ["cold", "cached", "warm"]
    project.write({"hello": str(time.time_ns()), "Dockerfile": MADE.replace("RUN", "RUN --mount=type=cache,target=/c")})
    project.build("v")
    assert project.took[-1] == "warm"


def test_what_is_copied_from_a_stand_in_rests_on_it_whatever_the_last_stage_is(project):
    project.write({"Dockerfile": f"{SIMPLE.replace('}', '} AS made')}FROM scratch\nCOPY --from=made /hello /hello\n"})
    built = project.build("v")
    assert (built.base, built.other_stand_ins, built.stand_in) == (None, ("tools",), True)
    assert project.write({"Dockerfile": SIMPLE}).build("v").other_stand_ins == ()


def test_it_is_there_until_the_engine_no_longer_has_it(project, engine, tools_image):
    (step,) = project.steps("v")
    assert not step.there()
    built = project.build("v")
    assert step.there()
    engine.images.tag(tools_image, f"{IMAGES}v:latest")
    assert step.there(), "another checkout of the same suite may take the common name"
    engine.images.remove(built.reference, force=True)
    assert not step.there()


def test_the_archive_is_made_when_first_asked_for(project, engine):
    built = project.build("v")
    place = project.site.state.image("v") / "image.tar"
    assert not place.exists()
    assert project.archive("v", built) == place
    first = place.stat().st_mtime_ns
    project.archive("v", built)
    assert place.stat().st_mtime_ns == first
    os.truncate(place, 1000)
    project.archive("v", built)
    assert place.stat().st_size > 1000
    engine.images.remove(built.reference, force=True)
    assert project.archive("v", built) == place  # the archive is enough
    place.unlink()
    with raises(MissingError, "dockerfile.image_gone", image=built.reference):
        project.archive("v", built)


def test_our_state_folder_is_never_in_the_context(project):
    paths = (".deadweight", "services/one/.deadweight", "deadweight.yaml")
    absent = " && ".join(f"test ! -e /c/{path}" for path in paths)
    files = {".deadweight/x": "large", "services/one/.deadweight/keys/x": "secret"}
    files |= {".dockerignore": "services\n!services/**\n!services/one/.deadweight\n"}
    project.write({**files, "Dockerfile": f"{BASED}COPY . /c\nRUN {absent}\n"}).build("v")
    assert (project.root / "Dockerfile").read_text().startswith("ARG BASE")
    assert not (project.root / "Dockerfile.dockerignore").exists()


def test_the_users_ignore_files_hold(project):
    project.write({"Dockerfile": f"{BASED}COPY . /c\nRUN test ! -e /c/hello && test -e /c/kept\n", "kept": "x"})
    project.write({".dockerignore": "kept\n", "Dockerfile.dockerignore": "# a comment\nhello\n"}).build("v")
    ignored = project.steps("v")[0].inputs.ignore
    assert (ignored[0], "kept" in ignored) == ("hello", False)


@pytest.mark.slow
def test_a_changed_secret_changes_the_image_and_is_stored_nowhere(project):
    run = "RUN --mount=type=secret,id=token read x < /run/secrets/token; echo ${#x} > /length\n"
    project.write({"token": "first-secret-value\n", ".dockerignore": "token\n", "Dockerfile": f"{BASED}{run}"})
    first = project.suite(f"{PLAIN}    bases: {{BASE: tools}}\n    secrets: {{token: token}}\n").build("v")
    assert project.read(first, "/length")[0] == b"18\n"
    assert project.build("v").config_digest == first.config_digest
    project.write({"token": "second-secret\n"})
    assert project.root / "token" in project.steps("v")[0].inputs.files
    assert project.read(project.build("v"), "/length")[0] == b"13\n"
    assert not re.search(b"first-secret-value|second-secret", project.everything())


@pytest.fixture
def machine(project, engine, monkeypatch):
    """A project on a machine that reaches the network in its own way."""
    monkeypatch.setenv("DOCKER_HOST", engine.host)
    project.write({"ca.pem": f"{BUNDLE}\n", ".dockerignore": "ca.pem\n"})
    variables = dict.fromkeys(("HTTP_PROXY", "GOPROXY"), PROXY)
    project.source.build_environment = BuildEnvironment(variables, project.root / "ca.pem")
    return project


PROXY, BUNDLE = "http://u:pass-word-78@127.0.0.1:9/it's", "-----the bundle-----"
READS = """RUN --mount=type=secret,id=GOPROXY --mount=type=secret,id=ca_bundle read x < /run/secrets/GOPROXY; \\
  read y < /run/secrets/ca_bundle; echo ${#HTTP_PROXY} ${#x} $y > /told
"""


def test_the_sources_variables_reach_the_build_and_stay_in_no_layer(machine):
    built = machine.write({"Dockerfile": BASED + READS}).build("v")
    assert machine.read(built, "/told")[0].decode() == f"{len(PROXY)} {len(PROXY)} {BUNDLE}\n"
    assert "pass-word-78" not in history(machine, built)
    assert b"pass-word-78" not in machine.everything()


UNCHANGED = """ARG BASE
FROM ${BASE} AS build
USER 65532
WORKDIR /tmp
RUN : go mod download; read y < "$SSL_CERT_FILE"; echo ${#GOPROXY} $y > told
RUN echo ${#GOPROXY} > nothing
FROM ${BASE}
COPY --from=build /tmp/told /tmp/nothing /
"""


def test_an_unchanged_dockerfile_reaches_what_this_machine_reaches_and_no_layer_tells(machine):
    """The tools' image knows no ``go``: what counts is which variables and files its instruction has."""
    built = machine.write({"Dockerfile": UNCHANGED}).build("v")
    files = [machine.read(built, f"/{name}")[0].decode() for name in ("told", "nothing")]
    assert files == [f"{len(PROXY)} {BUNDLE}\n", "0\n"]
    assert (machine.root / "Dockerfile").read_text() == UNCHANGED
    assert "secret" not in history(machine, built)
    assert b"pass-word-78" not in machine.everything()


def test_an_instruction_that_lacks_what_this_machine_has_is_told_with_its_line(project, monkeypatch):
    monkeypatch.setattr(buildkit, "gives_variables", lambda: False)
    project.source.build_environment = BuildEnvironment({"GOPROXY": "http://127.0.0.1:9"})
    run = "RUN : go build; echo 'dial tcp: lookup proxy.example.com: no such host' >&2; exit 1\n"
    project.write({"Dockerfile": BASED + run})
    with pytest.raises(CommandError) as caught:
        project.build("v")
    assert codes(caught.value.hint) == ["dockerfile.secrets_lacked"]
    words = ("(Dockerfile:3: RUN : go build", "RUN --mount=type=secret,id=GOPROXY")
    assert [word for word in words if word not in str(caught.value)] == []


def test_a_base_that_does_not_exist(project):
    project.source.bases = {"tools": Base("tools", "127.0.0.1:9/nothing/here:1", None, stand_in=False)}
    with pytest.raises(CommandError, match=r"127\.0\.0\.1:9/nothing/here:1") as caught:
        project.build("v")
    assert caught.value.hint is not None


SAMPLES = Path(__file__).with_name("samples")
WILD, NEWER = (SAMPLES.joinpath(f"{name}.Dockerfile").read_text() for name in ("wild", "newer"))


def test_a_dockerfile_of_all_shapes_means_what_it_says(project):
    """As BuildKit reads it: continued names, comments between, what only looks like a heredoc (engine 20.10 knows none)."""
    built = project.write({"Dockerfile": WILD}).suite(f"{PLAIN}    target: final\n").build("v")
    assert (built.base, project.read(built, "/four")[0]) == (project.source.bases["tools"], b"4\n")
    assert (project.root / "Dockerfile").read_text() == WILD


@pytest.mark.slow
def test_what_an_older_engine_does_not_know_is_said_in_words_that_it_knows(project):
    """The same files come of it with every engine; those before 23 know no heredocs."""
    built = project.write({"Dockerfile": NEWER}).suite(PLAIN).build("v")
    assert project.read(built, "/all")[0] == b"for you\nplain $WHO\nhello\nof you `x`\n"
    assert (project.root / "Dockerfile").read_text() == NEWER


def test_variants_of_one_source_follow_the_first_and_what_init_wrote_the_first_of_its_own(project):
    own = "{builder: dockerfile, dockerfile: Dockerfile, bases: {BASE: tools}}"
    made = own.replace("Dockerfile", "made")
    project.write({"made": f"{protocol.DOCKERFILE}\nARG BASE=tools\nFROM ${{BASE}}\n"})
    project.suite(f"  v: {own}\n  w: {made}\n  x: {made}\n  y: {own}")
    behind = {name: project.steps(name)[0].behind for name in "vwxy"}
    assert behind == {"v": (), "w": (), "x": ("image:w",), "y": ("image:v",)}


BUILD_FILES = {file.name: file.read_text() for file in (ROOT / "build").glob("*.Dockerfile")}


def test_our_dockerfiles_share_their_compile_instructions():
    """From WORKDIR to the end of the compile."""
    names = ["all-in-one", *(f"multi-stage-{name}" for name in ("alpine", "chainguard", "distroless", "ubuntu"))]
    texts = [BUILD_FILES[f"{name}.Dockerfile"] for name in names]
    assert len({re.findall(r"(?s)WORKDIR.*?vulnerable-awk-playground \.\n", text)[0] for text in texts}) == 1
    for text in texts:
        parts = ("USER 65532:65532\n", 'ENTRYPOINT ["/', "EXPOSE 8080\n", "syntax=")
        assert [part for part in parts if part not in text] == ["syntax="]


@pytest.mark.slow
@pytest.mark.tools
def test_a_compile_error_is_the_compilers_own_line(project, local_source):
    """With the local source's golang."""
    project.source.bases = {**project.source.bases, GO_BASE: local_source.base(GO_BASE)}
    line = "  v: {{builder: dockerfile, source: app, dockerfile: Dockerfile, bases: {{GO_BASE: '{}', BASE: tools}}}}\n"
    files = {**GO_FILES, "app/main.go": BROKEN, "Dockerfile": BUILD_FILES["multi-stage-alpine.Dockerfile"]}
    project.write(files).suite(line.format(GO_BASE))
    assert COMPILERS in project.fails(key="builders.not_compiled", what="v")


@pytest.mark.parametrize(("engine_id", "index"), [("sha256:i", "sha256:i"), ("sha256:m", None)])
def test_where_the_engine_does_not_say_what_its_id_is_of_the_archive_tells(tmp_path, monkeypatch, engine_id, index):
    """As Docker 26 with containerd's store: of an image with attestations its id is that of the index."""
    held = SimpleNamespace(config_digest="sha256:c", manifest_digest="sha256:m")
    monkeypatch.setattr(buildkit, "identity", lambda *_: Identity(engine_id, None))
    monkeypatch.setattr(archive, "image_in", lambda _: held)
    suite = write_suite(tmp_path, "name: demo\nvariants:\n  v: {builder: dockerfile, dockerfile: Dockerfile}\n")
    engine: Any = SimpleNamespace(images=SimpleNamespace(save=lambda *_: None))
    site = Site(suite, State(tmp_path), source=None, engine=lambda: engine)
    identity = builder.DockerfileBuilder()._identity(site, suite.variants[0], "demo/v:latest", engine_id)
    assert identity == Identity(engine_id, "sha256:c", "sha256:m", index)


VARIANTS = ("a", "b", "c")


@pytest.fixture
def counted(tmp_path, engine, tools_image):
    """Three variants with one compile stage that takes a moment and writes down that it ran, and one that tells the count."""
    mount = f"--mount=type=cache,id={uuid.uuid4().hex},target=/count"
    compiled = f"ARG BASE\nFROM ${{BASE}} AS build\nCOPY src /src\nRUN {mount} echo ran >> /count/runs; sleep 0.5\n"
    made = on_tools(tmp_path, engine, tools_image)
    files = {f"{name}.Dockerfile": f"{compiled}FROM ${{BASE}}\nCOPY --from=build /src /{name}\n" for name in VARIANTS}
    files |= {"count.Dockerfile": f"{BASED}RUN {mount} cat /count/runs && false\n"}
    made.write({**files, "app/src/main.go": f"// {uuid.uuid4().hex}\n"})
    line = "  {0}: {{builder: dockerfile, dockerfile: {0}.Dockerfile, source: app, bases: {{BASE: tools}}}}"
    made.suite("\n".join(line.format(name) for name in (*VARIANTS, "count")), name="once")
    yield made
    forget_images(engine, "deadweight/once/")


def build_all(counted: Project, *names: str) -> list[str]:
    """What came of each of these variants."""
    return [outcome.result for outcome in counted.run(*names, jobs=2)]


def runs(counted: Project) -> int:
    """How often the shared stage ran: the build that tells it fails on purpose, so that its answer is never cached.

    Only lines with a step's number count: buildx says the last ones of a failed step again, without it.
    """
    build_all(counted, "count")
    log = counted.log("count")
    return len(re.findall(r"^#\d+ [\d.]+ ran$", log[log.rindex("$ ") :], re.MULTILINE))


@pytest.mark.system
def test_the_shared_stage_runs_once_for_all_variants_and_once_more_after_a_change(counted):
    assert (build_all(counted, *VARIANTS), runs(counted)) == (["built"] * 3, 1)
    counted.write({"app/src/main.go": f"// {uuid.uuid4().hex}\n"})
    assert (build_all(counted, *VARIANTS), runs(counted)) == (["built"] * 3, 2)
    assert (build_all(counted, *VARIANTS), runs(counted)) == (["cached"] * 3, 2)
