"""Go code that a generator makes, and the repository does not hold."""

from __future__ import annotations

import pytest

from deadweight_init.services import find_services
from deadweight_init.tree import look
from tests.support.recipes import recipe
from tests.support.trees import written


def main(*imports: str) -> str:
    lines = "".join(f'\t"example.com/shop/{each}"\n' for each in imports)
    return (
        f'package main\n\nimport (\n\t"net/http"\n\n{lines})\n\nfunc main() {{ http.ListenAndServe(":8080", nil) }}\n'
    )


def drafted(folder, files, require=""):
    own = {"go.mod": f"module example.com/shop\n\ngo 1.24\n{require}", "Dockerfile": "FROM golang:1.24\nCOPY . .\n"}
    return recipe(find_services(look(written(folder, {**own, **files})))[0], "build")


SWAG = "\nrequire github.com/swaggo/swag v1.16.4\n"
TEMPL = "\nrequire (\n\tgithub.com/a-h/templ v0.3.900\n)\n"


RUN_TEMPL = "go run github.com/a-h/templ/cmd/templ@v0.3.900 generate"
MOCKED = 'package store\nimport "example.com/shop/mocks"\n'


@pytest.mark.parametrize(
    ("files", "require", "step"),
    [
        ({"main.go": main("docs")}, SWAG, "go run github.com/swaggo/swag/cmd/swag@v1.16.4 init -g main.go -o docs"),
        (
            {"cmd/api/main.go": "// @title Shop\n" + main("api/docs"), "cmd/api/z.go": "package main\n"},
            SWAG,
            "go run github.com/swaggo/swag/cmd/swag@v1.16.4 init -g cmd/api/main.go -o api/docs",
        ),
        (
            {"main.go": main("ent"), "ent/generate.go": "package ent\n\n//go:generate go run x/ent generate ./schema\n"},
            "",
            "",
        ),
        (
            {
                "main.go": main("db"),
                "db/db.go": 'package db\n\nimport _ "example.com/shop/db/gen"\n\n//go:generate go run x/y -o gen\n',
            },
            "",
            "go generate ./db",
        ),
        ({"main.go": main("web"), "web/w.go": "package web\n", "web/a.templ": ""}, TEMPL, RUN_TEMPL),
        ({"main.go": main("web"), "web/a_templ.go": "package web\n", "web/a.templ": ""}, TEMPL, ""),
        ({"main.go": main("store"), "store/s.go": "package store\n", "store/s_test.go": MOCKED}, "", ""),
        ({"main.go": main("third_party/x"), "third_party/x/x.go": "package x\n"}, "", ""),
        ({"main.go": main("a"), "a/w.go": '//go:build windows\n\npackage a\n\nimport "example.com/shop/b"\n'}, "", ""),
    ],
)  # fmt: skip
def test_code_that_go_alone_can_generate_is_made_first(tmp_path, files, require, step):
    made = drafted(tmp_path, files, require)
    text, rungs = made.ladder.files["build/Dockerfile"], {each.name: each for each in made.ladder.rungs}
    if step:
        assert text.index("COPY . .") < text.index(f"    {step}\n") < text.index("go build")
        assert step in rungs["ko"].refused
        assert step in rungs["apko"].refused
    else:
        assert "generat" not in text
        assert not rungs["ko"].refused


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"sqlc.yaml": ""}, "it imports db, which is not in the repository; sqlc may make it: generate it first"),
        ({}, "it imports db, which is not in the repository: generate it first"),
        (
            {"x.go": "package main\n\n//go:generate mockgen -o db\n"},
            "it imports db, which is not in the repository: generate it first",
        ),
    ],
)
def test_what_needs_another_program_is_told(tmp_path, more, told):
    made = drafted(tmp_path, {"main.go": main("db"), **more})
    assert made.service.project.problem == told
    assert "debian" not in [each.name for each in made.ladder.rungs]
