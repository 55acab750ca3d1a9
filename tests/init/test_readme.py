"""What a README tells its users to give the image."""

from __future__ import annotations

from dataclasses import replace

import pytest

from deadweight_init.draft import first_draft
from deadweight_init.readme import commands, with_what_the_readme_gives
from deadweight_init.services import find_services
from deadweight_init.tree import look
from tests.support.trees import written

MAIN = 'package main\n\nimport "net/http"\n\nfunc main() { http.ListenAndServe(":8080", nil) }\n'
GO = {"go.mod": "module x.org/shop\n", "main.go": MAIN, "conf/a.yml": ""}


def told(folder, line, **more):
    tree = look(written(folder, {**GO, "README.md": f"# Shop\n\n```\n{line}\n```\n", **more}))
    return tree, find_services(tree)[0]


@pytest.mark.parametrize(
    ("line", "env", "files", "args"),
    [
        ("docker run --publish 80:80 me/shop:latest --kind local --dir /tmp/", {}, {}, ("--kind", "local", "--dir", "/tmp/")),
        ("$ docker run -it --rm \\\n  -p 1:1 \\\n  -e KEY=secret -e A=<yours> -e B=$B me/shop", {"KEY": "secret"}, {}, ()),
        ("docker run -v $(pwd)/conf/a.yml:/etc/a.yml -v ./absent:/x ghcr.io/me/my-shop", {}, {"/etc/a.yml": "conf/a.yml"}, ()),
        ('sudo docker run --name=x -e "KEY=a b" shop', {"KEY": "a b"}, {}, ()),
        ("docker run -e POSTGRES_PASSWORD=x postgres", None, {}, ()),
        ("docker run -e KEY=x someone/else", None, {}, ()),
        ("docker run me/shop <flags>", None, {}, ()),
        ("docker run -p 80:80 me/shop", None, {}, ()),
        ("docker run --rm me/shop -v", None, {}, ()),
        ("docker run --entrypoint /cli me/shop get", None, {}, ()),
        ("docker run -v $(pwd):/c shop -c /c/conf/a.yml", {}, {"/c/conf/a.yml": "conf/a.yml"}, ("-c", "/c/conf/a.yml")),
        ("$ shop server --port $PORT --proxy http://example.com", {}, {}, ("server",)),
        ("./bin/shop serve", {}, {}, ("serve",)),
        ("shop client http://localhost", None, {}, ()),
        ("# shop server", None, {}, ()),
        ("shop server-side", None, {}, ()),
        ("other serve", None, {}, ()),
    ],
)  # fmt: skip
def test_a_command_that_runs_the_image_tells_what_it_is_given(tmp_path, line, env, files, args):
    found = list(commands(*told(tmp_path, line)))
    if env is None:
        assert found == []
    else:
        assert [(each.env, each.files, each.args) for each in found] == [(env, files, args)]
        assert found[0].origin == "from README.md:4"


def test_it_is_given_once_and_to_images_of_both_kinds(tmp_path):
    own = {"Dockerfile": 'FROM golang:1.24\nCOPY . .\nCMD ["/shop"]\n'}
    tree, service = told(tmp_path, "docker run -e KEY=x -v ./conf/a.yml:/a.yml shop /shop serve", **own)
    draft = first_draft(service, "build")
    again = with_what_the_readme_gives(draft, tree)
    assert again.run["args"].value == "[serve]"
    assert again.service.dockerfiles[0].args == ("/shop", "serve")
    assert (again.run["env"].value, again.run["files"].value) == ("{KEY: x}", "{/a.yml: conf/a.yml}")
    assert again.run["args"].origin == "seen: it does not come up without (from README.md:4)"
    assert with_what_the_readme_gives(again, tree) is None


@pytest.mark.parametrize(("args", "given"), [("python init_db.py", ()), ("--kind local", ("--kind", "local"))])
def test_what_prepares_once_is_not_how_a_service_is_run(tmp_path, args, given):
    files = {"requirements.txt": "flask\n", "app.py": "", "Dockerfile": 'FROM python:3.12\nCOPY . .\nCMD ["app.py"]\n'}
    tree = look(written(tmp_path, {**files, "README.md": f"    docker run -e A=b shop {args}\n"}))
    draft = first_draft(replace(find_services(tree)[0], name="shop"), "build")
    again = with_what_the_readme_gives(draft, tree)
    assert again.run["env"].value == "{A: b}"
    assert again.service.dockerfiles[0].args == given
