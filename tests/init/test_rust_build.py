"""How a repository compiles its own Rust program: which one, with which features, with which linker."""

from __future__ import annotations

import pytest

from deadweight_init.services import find_services
from deadweight_init.tree import look
from tests.support.recipes import recipe
from tests.support.trees import written

MANIFEST = '[package]\nname = "shop"\nversion = "0.1.0"\n'
QUIET = "fn main() {}\n"
LISTENS = 'fn main() { TcpListener::bind("0.0.0.0:8080"); }\n'


def drafted(folder, files):
    return recipe(find_services(look(written(folder, files)))[0], "build")


def bins(*names):
    return "".join(f'[[bin]]\nname = "{name}"\npath = "src/{name}.rs"\n\n' for name in names)


@pytest.mark.parametrize(
    ("files", "binary"),
    [
        ({"Cargo.toml": MANIFEST + bins("shop-cli", "shop-server"), "src/shop-cli.rs": QUIET}, "shop-server"),
        ({"Cargo.toml": MANIFEST + bins("admin", "shop"), "src/admin.rs": LISTENS}, "shop"),
        ({"Cargo.toml": MANIFEST + bins("admin", "front"), "src/front.rs": LISTENS}, "front"),
        ({"Cargo.toml": MANIFEST + bins("admin", "shopd"), "src/admin.rs": LISTENS}, "shopd"),
        (
            {"Cargo.toml": MANIFEST + 'default-run = "admin"\n' + bins("admin", "server"), "src/admin.rs": QUIET},
            "admin",
        ),
        ({"Cargo.toml": MANIFEST, "src/bin/tool/main.rs": QUIET, "src/bin/tool/api.rs": QUIET}, "tool"),
        ({"Cargo.toml": MANIFEST, "src/bin/a.rs": QUIET, "src/bin/serve/main.rs": LISTENS}, "serve"),
    ],
)
def test_of_several_programs_the_server_is_the_service(tmp_path, files, binary):
    text = drafted(tmp_path, files).ladder.files["build/Dockerfile"]
    assert f'ENTRYPOINT ["/usr/local/bin/{binary}"]' in text


@pytest.mark.parametrize(
    ("line", "options"),
    [
        ("cargo build --release", ""),
        ("cargo build --release --features postgres", "--features postgres "),
        ("cargo build --release \\\n  --no-default-features --features 'a b'", "--no-default-features --features a,b "),
        ("cargo build --features=a,b --release && true", "--features a,b "),
        ("cargo build --features $FEATURES --release", ""),
        ("cargo build --all-features", "--all-features "),
        ("cargo test --features mock", ""),
    ],
)
def test_the_features_of_the_own_build_are_those_of_the_others(tmp_path, line, options):
    own = f"FROM rust:1.80 AS build\nCOPY . .\nRUN {line}\n"
    files = {"Cargo.toml": MANIFEST, "src/main.rs": LISTENS, "Dockerfile": own}
    assert f"cargo build --release {options}--bin shop" in drafted(tmp_path, files).ladder.files["build/Dockerfile"]


@pytest.mark.parametrize("file", [".sqlx/query-1.json", "sqlx-data.json"])
def test_sqlx_asks_no_database_where_its_answers_are_there(tmp_path, file):
    files = {"Cargo.toml": MANIFEST, "src/main.rs": LISTENS}
    assert "SQLX_OFFLINE" not in drafted(tmp_path, files).ladder.files["build/Dockerfile"]
    text = drafted(tmp_path, {**files, file: "{}"}).ladder.files["build/Dockerfile"]
    assert text.index("ENV SQLX_OFFLINE=true") < text.index("cargo build")


@pytest.mark.parametrize(
    ("settings", "installed"),
    [
        ('[target.x86_64-unknown-linux-gnu]\nrustflags = ["-C", "linker=clang", "-C", "link-arg=-fuse-ld=lld"]\n', "clang lld"),
        ('[build]\nrustflags = ["-Clink-arg=-fuse-ld=mold"]\n', "mold"),
        ('[target.x86_64-pc-windows-msvc]\nlinker = "clang"\n', ""),
        ('[target.aarch64-apple-darwin]\nrustflags = ["-C", "link-arg=-fuse-ld=lld"]\n', ""),
    ],
)  # fmt: skip
def test_the_linker_that_cargo_is_told_is_there(tmp_path, settings, installed):
    files = {"Cargo.toml": MANIFEST, "src/main.rs": LISTENS, ".cargo/config.toml": settings}
    ladder = drafted(tmp_path, files).ladder
    lines = [each for each in ladder.files["build/Dockerfile"].splitlines() if "apt-get install" in each]
    assert [each.rpartition("recommends ")[2] for each in lines] == ([installed] if installed else [])
