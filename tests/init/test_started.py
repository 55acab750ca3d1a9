"""What the own image gives a compiled program when it starts it, whatever stands around it."""

from __future__ import annotations

import pytest

from deadweight_init.services import find_services
from deadweight_init.tree import look
from tests.support.recipes import recipe
from tests.support.trees import written

MANIFEST = '[package]\nname = "shop"\nversion = "0.1.0"\n'
LISTENS = 'fn main() { TcpListener::bind("0.0.0.0:8080"); }\n'
GO = 'package main\n\nimport "net/http"\n\nfunc main() { http.ListenAndServe(":8080", nil) }\n'


def drafted(folder, files):
    return recipe(find_services(look(written(folder, files)))[0], "build")


@pytest.mark.parametrize(
    ("command", "entrypoint"),
    [
        ('["cargo", "run", "--release"]', '["/usr/local/bin/shop"]'),
        ('["cargo", "run", "--", "serve"]', '["/usr/local/bin/shop", "serve"]'),
        ("cargo-watch -x 'run --bin shop'", '["/usr/local/bin/shop"]'),
        ('["./shop", "serve"]', '["/usr/local/bin/shop", "serve"]'),
    ],
)
def test_what_a_program_for_developers_is_told_is_not_for_the_service(tmp_path, command, entrypoint):
    own = f"FROM rust:1.80\nCOPY . .\nCMD {command}\n"
    files = {"Cargo.toml": MANIFEST, "src/main.rs": LISTENS, "Dockerfile": own}
    assert f"ENTRYPOINT {entrypoint}" in drafted(tmp_path, files).ladder.files["build/Dockerfile"]


def test_words_in_quotes_of_a_shell_s_command_stay_together(tmp_path):
    own = 'FROM golang:1.24\nCOPY . .\nENTRYPOINT CompileDaemon --build="go build cmd/api/main.go" --command=./main\n'
    made = drafted(tmp_path, {"go.mod": "module x.org/shop\n", "main.go": GO, "Dockerfile": own})
    assert made.service.own.words.program[1] == "--build=go build cmd/api/main.go"
    assert all("args" not in each.keys.get("run", "") for each in made.ladder.rungs)


@pytest.mark.parametrize(
    ("build", "command", "entrypoint"),
    [
        ("go build -o /out/shopping ./cmd/cli", '["shopping"]', '["/usr/local/bin/cli"]'),
        (
            "go build -ldflags '-s' -o=bin/shopping ./cmd/cli",
            '["./shopping", "serve"]',
            '["/usr/local/bin/cli", "serve"]',
        ),
        ("go build -o ${OUT}/x ./cmd/cli", '["shop"]', '["/usr/local/bin/cli"]'),
        ("go build ./cmd/cli", '["serve"]', '["/usr/local/bin/cli", "serve"]'),
    ],
)
def test_a_program_goes_by_the_name_that_its_own_build_gives_it(tmp_path, build, command, entrypoint):
    own = f'FROM golang:1.24 AS b\nCOPY . .\nRUN {build}\nFROM alpine\nENTRYPOINT ["/entrypoint.sh"]\nCMD {command}\n'
    made = drafted(tmp_path, {"go.mod": "module x.org/shop\n", "cmd/cli/main.go": GO, "Dockerfile": own})
    assert f"ENTRYPOINT {entrypoint}" in made.ladder.files["build/Dockerfile"]


@pytest.mark.parametrize(
    ("dockerfile", "refused"),
    [
        (
            'FROM alpine:3\nWORKDIR /app\nCOPY . .\nENTRYPOINT ["bin/shop"]\n',
            "it starts bin/shop, which is not in the repository",
        ),
        ('FROM scratch\nCOPY . /srv\nCMD ["/srv/shop", "serve"]\n', "it starts shop, which is not in the repository"),
        ('FROM alpine:3\nCOPY . /srv\nCMD ["/srv/start"]\n', ""),
        ('FROM alpine:3\nWORKDIR /app\nCOPY . .\nRUN make\nENTRYPOINT ["bin/shop"]\n', ""),
        ('FROM golang\nWORKDIR /app\nCOPY . .\nENTRYPOINT ["bin/shop"]\n', ""),
        ('FROM alpine:3\nCOPY . .\nENTRYPOINT ["httpd"]\n', ""),
    ],
)
def test_an_image_whose_program_an_earlier_build_makes_is_known(tmp_path, dockerfile, refused):
    made = drafted(tmp_path, {"go.mod": "module x.org/shop\n", "main.go": GO, "start": "", "Dockerfile": dockerfile})
    assert made.service.dockerfiles[0].refused.startswith(refused)
    assert bool(made.service.dockerfiles[0].refused) is bool(refused)
