"""What a Rust program's crates call when they are compiled, by its lock file."""

from __future__ import annotations

from pathlib import Path

import pytest

from deadweight_init.draft import first_draft
from deadweight_init.services import find_services
from deadweight_init.tree import look

MANIFEST = '[package]\nname = "shop"\nversion = "0.1.0"\n'


def lock(**needs: tuple[str, ...]) -> str:
    def entry(name: str, below: tuple[str, ...]) -> str:
        listed = "".join(f' "{each}",\n' for each in below)
        return f'[[package]]\nname = "{name}"\nversion = "1.0.0"\ndependencies = [\n{listed}]\n'

    return "\n".join(entry(name.replace("_", "-"), below) for name, below in needs.items())


@pytest.mark.parametrize(
    ("needs", "build", "install", "alpine"),
    [
        ({"shop": ("serde",), "serde": ()}, "rust:1-slim-bookworm", "", ""),
        ({"shop": ("openssl-src",), "openssl_src": ()}, "rust:1-bookworm", "", "it compiles C with make and Perl (openssl-src)"),
        ({"shop": ("libz-sys",), "libz_sys": ("cmake",), "cmake": ()}, "rust:1-slim-bookworm", "cmake", "apt-get here (cmake)"),
        ({"shop": ("aws-lc-sys",), "aws_lc_sys": ("cmake", "bindgen"), "cmake": (), "bindgen": ()}, "rust:1-slim-bookworm", "", ""),
        ({"shop": ("rocksdb",), "rocksdb": ("bindgen",), "bindgen": ()}, "rust:1-slim-bookworm", "libclang-dev", "libclang-dev"),
        ({"shop": ("libsqlite3-sys",), "libsqlite3_sys": ("pkg-config",)}, "rust:1-bookworm", "", "links a library of the OS"),
        ({"shop": ("libsqlite3-sys",), "libsqlite3_sys": ("cc", "pkg-config")}, "rust:1-slim-bookworm", "", ""),
        ({"other": ("openssl-src",), "openssl_src": (), "shop": ()}, "rust:1-slim-bookworm", "", ""),
    ],
)  # fmt: skip
def test_what_the_crates_are_compiled_with_is_there(
    tmp_path: Path, needs: dict[str, tuple[str, ...]], build: str, install: str, alpine: str
) -> None:
    files = {"Cargo.toml": MANIFEST, "Cargo.lock": lock(**needs), "src/main.rs": "fn main() {}\n"}
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    ladder = first_draft(find_services(look(tmp_path))[0], "build").ladder
    rungs = {each.name: each for each in ladder.rungs}
    assert f'BUILD: "{build}"' in rungs["debian"].keys["bases"]
    lines = [each for each in ladder.files["build/Dockerfile"].splitlines() if "apt-get install" in each]
    assert [each.rpartition("recommends ")[2] for each in lines] == ([install] if install else [])
    assert bool(rungs["alpine"].refused) is bool(alpine)
    assert alpine in rungs["alpine"].refused
