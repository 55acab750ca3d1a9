"""What the stand-ins for Rust tell the compiler."""

from __future__ import annotations

import subprocess

import pytest

from deadweight_standins import languages

STATIC = ["-C", "target-feature=+crt-static"]


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (["--crate-type", "bin", "a b"], ["--crate-type", "bin", "a b", *STATIC]),
        (["--crate-type", "lib"], ["--crate-type", "lib"]),
        (["--crate-type", "bin", "--crate-type", "proc-macro", "--print=cfg"], None),
        (["--crate-type", "bin", "-C", "target-feature=-crt-static"], None),
        (["--target", "x86_64-unknown-linux-musl"], ["--target", "x86_64-unknown-linux-gnu"]),
        (["--target=aarch64-unknown-linux-musl"], ["--target=aarch64-unknown-linux-gnu"]),
    ],
)
def test_programs_are_linked_whole_and_the_target_of_musl_is_the_os_s(tmp_path, asked, told):
    wrapper = tmp_path / "rustc"
    wrapper.write_text(languages.wrapper(alpine=True))
    words = ["sh", wrapper, "printf", "%s\\n", *asked]
    said = subprocess.run(words, capture_output=True, text=True, check=True, timeout=10).stdout.splitlines()
    assert said == (asked if told is None else told)


@pytest.mark.parametrize("alpine", [True, False])
def test_cargo_can_tell_a_compiler_for_musl_from_the_other(tmp_path, alpine):
    (tmp_path / "rustc").write_text(languages.wrapper(alpine=alpine))
    (tmp_path / "compiler").write_text("#!/bin/sh\necho rustc 1.90.0\necho host: x86_64-unknown-linux-gnu\n")
    (tmp_path / "compiler").chmod(0o755)
    words = ["sh", tmp_path / "rustc", tmp_path / "compiler", "-vV"]
    said = subprocess.run(words, capture_output=True, text=True, check=True, timeout=10).stdout.splitlines()
    assert said[:2] == ["rustc 1.90.0", "host: x86_64-unknown-linux-gnu"]
    assert len(said) == (3 if alpine else 2)


@pytest.mark.parametrize(
    ("target", "whole"), [("x86_64-unknown-linux-musl", True), ("x86_64-unknown-linux-gnu", False)]
)
def test_elsewhere_only_programs_for_musl_are_linked_whole(tmp_path, target, whole):
    wrapper = tmp_path / "rustc"
    wrapper.write_text(languages.wrapper(alpine=False))
    words = ["sh", wrapper, "printf", "%s\\n", "--crate-type", "bin", "--target", target]
    said = subprocess.run(words, capture_output=True, text=True, check=True, timeout=10).stdout.splitlines()
    assert said == ["--crate-type", "bin", "--target", "x86_64-unknown-linux-gnu", *(STATIC if whole else [])]
