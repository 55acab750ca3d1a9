"""Programs that end because they want a flag."""

from __future__ import annotations

import pytest

from deadweight_init.draft import first_draft
from deadweight_init.required_flags import required, with_required_flags
from deadweight_init.services import find_services
from deadweight_init.tree import look
from deadweight_init.values import MADE_UP
from deadweight_init.variables import read
from tests.support.trees import written

MAIN = 'package main\n\nimport "net/http"\n\nfunc main() { http.ListenAndServe(":8080", nil) }\n'
GO = {"go.mod": "module x.org/shop\n\ngo 1.24\n\nrequire github.com/lib/pq v1.10.9\n", "main.go": MAIN}
CARGO = '[package]\nname = "shop"\nversion = "0.1.0"\n'


@pytest.mark.parametrize(
    ("died", "names"),
    [
        ("error: required flag --target not provided, try --help", ["target"]),
        ('Error: required flag(s) "db-url", "token" not set', ["db-url", "token"]),
        ('Required flag "listen" not set', ["listen"]),
        ("the required flags `--a-url' and `--b' were not specified", ["a-url", "b"]),
        ("error: The following required arguments were not provided: |   --hmac-key <KEY> |   --url <URL>", ["hmac-key", "url"]),
        ("fatal: flag -config is required", ["config"]),
        ("--upstream must be set", ["upstream"]),
        ("missing required flag: --id", ["id"]),
        ("the 'dir' flag/key is required", ["dir"]),
        ("it ended with exit code 1: connection refused", []),
        ("unknown flag: --foo", []),
    ],
)  # fmt: skip
def test_the_flags_that_a_program_wants_are_told_by_its_parser(died, names):
    assert required(died) == names


def test_a_flag_has_a_value_of_its_kind_and_the_database_to_which_it_leads(tmp_path):
    own = 'FROM golang\nCOPY . .\nCMD ["/shop"]\n'
    tree = look(written(tmp_path, {**GO, "Dockerfile": own}))
    draft = first_draft(find_services(tree)[0], "build")
    died = 'Error: required flag(s) "db-url", "port", "api-url", "token" not set'
    again = with_required_flags(draft, died, tree)
    values = [
        "--db-url=postgresql://app:app@postgres:5432/app?sslmode=disable",
        "--port=8080",
        "--api-url=http://localhost:9",
        f"--token={MADE_UP}",
    ]
    assert again.service.dockerfiles[0].args == ("/shop", *values)
    assert [each.value.name for each in again.service.around.needs] == ["postgres"]
    assert values[0] in again.run["args"].value
    assert "needs" in again.run
    assert with_required_flags(again, died, tree) is None
    more = with_required_flags(again, "required flag --data-dir not provided", tree)
    assert more.run["args"].value.endswith(', "--data-dir=/tmp"]')
    assert with_required_flags(draft, "it ended with exit code 1", tree) is None


@pytest.mark.parametrize(
    ("files", "names"),
    [
        (
            {
                "Cargo.toml": CARGO,
                "src/main.rs": "struct A {\n    /// Where.\n    #[clap(long, env)]\n    pub database_url: String,\n\n"
                '    #[arg(short, env = "KEY", long)]\n    key: String,\n    #[arg(long)]\n    other: String,\n}\n',
            },
            {"DATABASE_URL", "KEY"},
        ),
        ({**GO, "flags.go": 'package main\n\nvar a = app.Flag("x", "").Envar("SHOP_X").String()\n'}, {"SHOP_X"}),
        ({**GO, "flags.go": 'package main\n\nvar a = cli.StringFlag{EnvVars: []string{"SHOP_Y"}}\n'}, {"SHOP_Y"}),
        ({**GO, "flags.go": 'package main\n\nvar a = cli.StringFlag{Sources: cli.EnvVars("SHOP_Z")}\n'}, {"SHOP_Z"}),
    ],
)
def test_a_variable_may_stand_for_a_flag(tmp_path, files, names):
    tree = look(written(tmp_path, files))
    assert {name for name, _, _ in read(tree, find_services(tree)[0])} == names
