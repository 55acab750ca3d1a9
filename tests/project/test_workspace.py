"""A workspace asks for nothing before it is needed."""

from types import SimpleNamespace
from unittest.mock import Mock

import pytest

from deadweight._errors import ConfigError
from deadweight.project.needs import ENGINE, known_bases, preflight, to_make, tools_of, without_engine
from deadweight.project.workspace import Workspace
from deadweight.sources import remote
from deadweight.toolchain import catalogue
from tests.support.caches import fresh_cache
from tests.support.small_project import put_built, write_suite

SUITE = """\
    name: lazy
    variants:
      v: {builder: ko, source: ., base: "cgr.dev/chainguard/static:latest"}
"""


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    decided = Mock(side_effect=AssertionError("the source was decided, which asks the network"))
    monkeypatch.setattr(remote, "choose", decided)
    (tmp_path / "go.mod").write_text("module example.invalid/lazy\n")
    return Workspace(write_suite(tmp_path, SUITE), print)


def test_reading_what_was_built_decides_no_source(workspace, misbehaving_archive):
    (variant,) = workspace.suite.variants
    put_built(workspace.suite, "v", misbehaving_archive, "deadweight/lazy/v:latest")
    assert workspace.archive(variant).is_file()
    assert workspace.subject(variant).archive().is_file()


def test_a_plan_does(workspace):
    (variant,) = workspace.suite.variants
    with pytest.raises(AssertionError, match="was decided"):
        workspace.builder(variant).steps(variant, workspace.site)


def test_all_that_builders_lack_is_told_at_once_by_line(tmp_path):
    lines = "  a: {builder: dockerfile}\n  b: {builder: apko, config: no.yaml}\n  c: {builder: apko}\n"
    workspace = Workspace(write_suite(tmp_path, f"name: s\nvariants:\n{lines}"), print)
    with pytest.raises(ConfigError) as caught:
        workspace.needs(workspace.suite.variants)
    keys = [(error.line, error.key) for error in (caught.value, *caught.value.more)]
    assert keys == [(3, "variants.a.dockerfile"), (4, "variants.b.config"), (5, "variants.c.config")]


@pytest.mark.tools
def test_dockerfiles_at_a_registry_need_nothing_compiled(tmp_path, monkeypatch):
    monkeypatch.setenv("DEADWEIGHT_SOURCE", "registry")
    monkeypatch.setattr("deadweight.project.needs.daemon.find_running", lambda: None)
    monkeypatch.setattr("deadweight.builders.dockerfile.buildkit.running_podman", lambda: None)
    (tmp_path / "Dockerfile").write_text("FROM alpine:3.18\nUSER 65534\n")
    workspace = Workspace(
        write_suite(tmp_path, "name: s\nvariants:\n  v: {builder: dockerfile, dockerfile: Dockerfile}\n"), print
    )
    variants = workspace.suite.variants
    cache = fresh_cache(tmp_path / "cache", programs=True)
    monkeypatch.setenv("DEADWEIGHT_CACHE_DIR", str(tmp_path / "empty"))
    assert tools_of(workspace, variants) == ("docker-cli", ENGINE, "go")  # for our programs, which containers need
    monkeypatch.setenv("DEADWEIGHT_CACHE_DIR", str(cache))
    assert tools_of(workspace, variants) == ("docker-cli", ENGINE)
    assert "go" not in {catalogue.program(name).kind for name in ("docker-cli", "go")}


@pytest.mark.tools
def test_each_builder_is_asked_once_in_a_run(tmp_path, monkeypatch):
    from deadweight.builders.ko import KoBuilder

    (tmp_path / "go.mod").write_text("module example.invalid/lazy\n")
    names = [f"v{number}" for number in range(5)]
    lines = "".join(f"  {name}: {{builder: ko, base: alpine}}\n" for name in names)
    workspace = Workspace(write_suite(tmp_path, f"name: s\nvariants:\n{lines}"), print)
    nothing = dict.fromkeys(("prepare", "tools", "to_make"), lambda _bases, **_: ())
    vars(workspace)["source"] = SimpleNamespace(missing_bases=lambda _bases: None, **nothing)
    asked, needs = [], KoBuilder.needs
    monkeypatch.setattr(KoBuilder, "needs", lambda *args: asked.append(args[1].name) or needs(*args))
    variants = workspace.suite.variants
    for ask in (tools_of, to_make, without_engine, preflight, known_bases):
        ask(workspace, variants)
    assert asked == names
