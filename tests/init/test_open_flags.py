"""Flags by which Go and Rust programs are told to listen everywhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from deadweight_init.draft import Draft, first_draft
from deadweight_init.open_flags import with_open_flag, with_place
from deadweight_init.reachable import ONLY_LOOPBACK
from deadweight_init.records import Known
from deadweight_init.services import find_services
from deadweight_init.tree import look

DIED = f"it listens on 127.0.0.1:8080 only, {ONLY_LOOPBACK}: bind it to 0.0.0.0"
GO = {"go.mod": "module example.com/shop\n\ngo 1.24\n"}
RUST = {"Cargo.toml": '[package]\nname = "shop"\nversion = "0.1.0"\n'}


def draft(folder: Path, files: dict[str, str]) -> Draft:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return first_draft(find_services(look(folder))[0], "build")


def go(line: str) -> dict[str, str]:
    return {**GO, "main.go": f"package main\n\nfunc main() {{\n\t{line}\n}}\n"}


def rust(line: str) -> dict[str, str]:
    return {**RUST, "src/main.rs": f"#[derive(Parser)]\nstruct Args {{\n    {line}\n}}\n\nfn main() {{}}\n"}


@pytest.mark.parametrize(
    ("files", "args"),
    [
        (go('host := flag.String("host", "127.0.0.1", "where")'), '["--host=0.0.0.0"]'),
        (go('flag.StringVar(&addr, "addr", "localhost:8080", "")'), '["--addr=0.0.0.0:8080"]'),
        (go('cmd.Flags().StringP("address", "a", "127.0.0.1", "")'), '["--address=0.0.0.0"]'),
        (go('cmd.Flags().StringVarP(&a, "bind", "", "127.0.0.1:80", "")'), '["--bind=0.0.0.0:80"]'),
        (go('l := app.Flag("listen", "Where.").Short(\'l\').Default("127.0.0.1:9").String()'), '["--listen=0.0.0.0:9"]'),
        (go('&cli.StringFlag{\n\tName: "listen",\n\tValue: "127.0.0.1:3000",\n}'), '["--listen=0.0.0.0:3000"]'),
        (go('L string `long:"listen" env:"L" default:"127.0.0.1:8080" description:"x"`'), '["--listen=0.0.0.0:8080"]'),
        (rust('#[arg(long, short = \'H\', default_value = "127.0.0.1")]\n    host: String,'), '["--host=0.0.0.0"]'),
        (rust('#[clap(long = "bind-to", env("B"), default_value = "127.0.0.1:80")]\n pub b: String,'), '["--bind-to=0.0.0.0:80"]'),
        (rust('#[arg(short, long, default_value_t = S::from("127.0.0.1"))]\n listen_on: String,'), '["--listen-on=0.0.0.0"]'),
        (rust('#[arg(default_value = "127.0.0.1")]\n    host: String,'), None),
        (go('db := flag.String("name", "shop", "127.0.0.1")'), None),
        (go('http.ListenAndServe("127.0.0.1:8080", nil)'), None),
    ],
)  # fmt: skip
def test_a_flag_opens_what_listens_on_loopback(tmp_path, files, args):
    before = draft(tmp_path, files)
    after = with_open_flag(before, DIED, look(tmp_path))
    assert (after.run["args"].value if after else None) == args
    assert with_open_flag(before, "it ended with exit code 1", look(tmp_path)) is None
    if after is not None:
        assert with_open_flag(after, DIED, look(tmp_path)) is None
        assert "main." in after.run["args"].origin


def test_the_flag_goes_after_what_is_given_already(tmp_path):
    own = 'FROM golang\nCOPY . .\nCMD ["/shop", "serve"]\n'
    files = {**go('flag.String("host", "localhost", "")'), "Dockerfile": own}
    made = draft(tmp_path, files)
    after = with_open_flag(made, DIED, look(tmp_path))
    assert after.service.dockerfiles[0].args == ("/shop", "serve", "--host=0.0.0.0")
    given = {**made.run, "args": Known("[serve]", "seen")}
    assert with_open_flag(type(made)(**{**vars(made), "run": given}), DIED, look(tmp_path)).run["args"].value == (
        '[serve, "--host=0.0.0.0"]'
    )


@pytest.mark.parametrize(
    ("files", "place"),
    [
        (go('http.ListenAndServe("127.0.0.1:8080", nil)'), "main.go:4"),
        (go('db := open("127.0.0.1:5432")'), ""),
        (go('http.ListenAndServe(":8080", nil)'), ""),
        (rust('TcpListener::bind(&format!("127.0.0.1:{port}"))'), "src/main.rs:3"),
        (rust("let addr = SocketAddr::from(([127, 0, 0, 1], 8000));"), "src/main.rs:3"),
    ],
)
def test_the_place_of_an_address_that_is_fixed_in_code_is_told(tmp_path, files, place):
    made = draft(tmp_path, files)
    assert with_place(made, DIED, look(tmp_path)) == DIED + (f" (that address is in {place})" if place else "")
    assert with_place(made, "it ended", look(tmp_path)) == "it ended"
