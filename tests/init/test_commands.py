"""Programs with several commands: the one that serves is given to those that end without a command."""

from __future__ import annotations

import pytest

from deadweight_init.commands import ENDS, serving_command, with_serving_command
from deadweight_init.draft import first_draft
from deadweight_init.services import find_services
from deadweight_init.tree import look
from tests.support.trees import written

MOD, CARGO = "module x.org/y\n", '[package]\nname = "y"\n[dependencies]\naxum = "0.8"\n'
MAIN = 'package main\n\nimport "net/http"\n\nfunc main() { http.ListenAndServe(":8080", nil) }\n'
USAGE = "it ended with exit code 2: Usage: y <COMMAND>"


def drafted(root, files):
    tree = look(written(root, files))
    return first_draft(find_services(tree)[0], "build"), tree


@pytest.mark.parametrize(
    ("files", "command"),
    [
        ({"go.mod": MOD, "main.go": MAIN, "cmd/serve.go": '&cobra.Command{\n\tUse: "serve [flags]",\n}'}, "serve"),
        ({"go.mod": MOD, "main.go": MAIN + '&cli.Command{Name: "start"}, &cli.Command{Name: "run"}'}, "start"),
        ({"go.mod": MOD, "main.go": MAIN, "x_test.go": 'Use: "serve"'}, ""),
        ({"go.mod": MOD, "main.go": MAIN + '&cli.Command{Name: "server-name"}'}, ""),
        (
            {"Cargo.toml": CARGO, "src/main.rs": "#[derive(Subcommand)]\nenum C {\n    Check,\n    Serve(Args),\n}\n"},
            "serve",
        ),
        ({"Cargo.toml": CARGO, "src/main.rs": "enum State {\n    Start,\n}\n"}, ""),
        ({"Cargo.toml": CARGO, "src/main.rs": 'fn main() { Command::new("server") }'}, "server"),
    ],
)
def test_the_command_that_serves_is_told_by_the_code(tmp_path, files, command):
    draft, tree = drafted(tmp_path, files)
    assert serving_command(draft, tree) == command
    again = with_serving_command(draft, USAGE, tree)
    assert (again.run["args"].value if again else "") == (f"[{command}]" if command else "")


def test_a_command_is_given_once_and_to_those_that_lack_one(tmp_path):
    files = {"go.mod": MOD, "main.go": MAIN, "serve.go": 'Use: "serve"'}
    draft, tree = drafted(tmp_path, files)
    assert with_serving_command(draft, "connection refused", tree) is None
    again = with_serving_command(draft, f"{ENDS}: y does a lot", tree)
    assert again is not None
    assert again.run["args"].origin.startswith("seen: ")
    assert with_serving_command(again, USAGE, tree) is None
    told, tree = drafted(
        tmp_path, {**files, "Dockerfile": 'FROM scratch\nCOPY main.go /\nENTRYPOINT ["/y", "serve"]\n'}
    )
    assert with_serving_command(told, USAGE, tree) is None
