"""What a Go program compiles in and the repository lacks: the front end that npm makes, and what tags switch on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deadweight_init.draft import Draft
from deadweight_init.languages import golang
from deadweight_init.services import find_services
from deadweight_init.tree import look
from tests.support.recipes import recipe

MAIN = 'package main\n\nimport _ "net/http"\n\nfunc main() {}\n'
UI = "package ui\n\n//go:embed all:dist\nvar files embed.FS\n"
PACKAGE = json.dumps({"scripts": {"build": "vite build", "generate": "make-types"}, "devDependencies": {"vite": "7"}})
BASE = {"go.mod": "module example.com/shop\n\ngo 1.24\n", "main.go": MAIN}


def draft(folder: Path, files: dict[str, str]) -> Draft:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return recipe(find_services(look(folder))[0], "build")


def lines(made: Draft) -> list[str]:
    return made.ladder.files["build/Dockerfile"].splitlines()


def test_a_front_end_is_made_before_the_program_that_compiles_it_in(tmp_path):
    files = {**BASE, "ui/ui.go": UI, "ui/package.json": PACKAGE, "ui/package-lock.json": "{}"}
    made = draft(tmp_path, files)
    text = lines(made)
    assert made.service.project.problem == ""
    front, build = text.index("FROM ${FRONT} AS front"), text.index("FROM ${BUILD} AS build")
    assert text[front:build][-3:] == [
        "RUN --mount=type=cache,target=/root/.npm npm ci --no-audit --no-fund",
        "RUN npm run build",
        "",
    ]
    assert "WORKDIR /src/ui" in text[front:build]
    assert text.index("COPY --from=front /src/ui/dist ./ui/dist") > text.index("COPY . .", build)
    assert {each.name: each.refused for each in made.ladder.rungs} == {
        **dict.fromkeys(("debian", "alpine", "chainguard", "distroless"), ""),
        **dict.fromkeys(("ko", "apko"), "it compiles in a front end, which npm makes first"),
    }
    assert all('FRONT: "node:22"' in each.keys["bases"] for each in made.rungs)


def test_a_folder_that_is_only_kept_for_the_front_end_is_filled(tmp_path):
    made = draft(tmp_path, {**BASE, "ui/ui.go": UI, "ui/dist/.gitkeep": "", "ui/package.json": PACKAGE})
    assert "COPY --from=front /src/ui/dist ./ui/dist" in lines(made)
    (tmp_path / "ui/package.json").unlink()
    made = draft(tmp_path, {})  # it compiles all the same
    assert made.service.project.problem == ""
    assert "front" not in "\n".join(lines(made))


def test_what_git_ignores_in_a_folder_that_is_compiled_in_is_made_too(tmp_path):
    code = "package ui\n\n//go:embed all:pages\nvar files embed.FS\n"
    files = {**BASE, "ui/ui.go": code, "ui/pages/index.html": "", "package.json": PACKAGE}
    files[".gitignore"] = "/ui/pages/dist\n/ui/pages/notes\n/bin\ndist\n"
    made = draft(tmp_path, files)
    assert [each for each in lines(made) if "--from=front" in each] == [
        "COPY --from=front /src/ui/pages/dist ./ui/pages/dist"
    ]
    assert "RUN mkdir -p /src/ui/pages/dist" in lines(made)  # whatever npm makes, it compiles
    (tmp_path / ".gitignore").write_text("!/ui/pages/dist\n# /ui/pages/js\n")
    assert "front" not in draft(tmp_path, {}).service.project.details


@pytest.mark.parametrize(
    ("file", "text", "found"),
    [
        ("web/vite.config.ts", "export default {build: {outDir: '../ui/dist'}}", True),
        ("web/package.json", PACKAGE.replace("vite build", "vite build --outDir ../ui/dist"), True),
        ("web/vite.config.ts", "export default {build: {outDir: '../dist'}}", False),
        ("web/src/app.ts", "import '../../ui/dist'", False),
    ],
)
def test_a_front_end_elsewhere_is_told_by_its_settings(tmp_path, file, text, found):
    made = draft(tmp_path, {**BASE, "ui/ui.go": UI, "web/package.json": PACKAGE, file: text})
    project = golang.find(look(tmp_path), ".", None, None)
    assert ("must be built first" in project.problem) is not found
    assert project.details.get("front") == ("web" if found else None)
    if found:
        assert "WORKDIR /src/web" in lines(made)


def test_one_package_must_make_all_that_is_absent(tmp_path):
    more = "package mail\n\n//go:embed made/*.html\nvar files embed.FS\n"
    draft(tmp_path, {**BASE, "ui/ui.go": UI, "ui/package.json": PACKAGE, "mail/mail.go": more})
    assert "it compiles in mail/made" in golang.find(look(tmp_path), ".", None, None).problem


def test_the_scripts_of_the_own_build_are_run(tmp_path):
    own = "FROM node:24-alpine AS web\nWORKDIR /src\nCOPY . .\n"
    own += "RUN npm ci && npm run lint \\\n  && npm run generate && npm --prefix ui run build\n"
    own += 'FROM golang:1.24\nCOPY . .\nRUN go build -o /shop .\nCMD ["/shop"]\n'
    text = lines(draft(tmp_path, {**BASE, "ui/ui.go": UI, "ui/package.json": PACKAGE, "Dockerfile": own}))
    assert [each for each in text if each.startswith("RUN npm run")] == ["RUN npm run generate", "RUN npm run build"]
    assert "ARG FRONT=node:24" in text


@pytest.mark.parametrize(
    ("said", "tags"),
    [
        ("go build -tags migrate -o /x .", "migrate"),
        ('CGO_ENABLED=0 go build -trimpath -tags="embed,netgo" .', "embed,netgo"),
        ("go build \\\n  -tags 'embed netgo' \\\n  .", "embed,netgo"),
        ("go install --tags=embed ./...", "embed"),
        ("go test -tags embed ./...", ""),
        ("go build -tags integration_test .", ""),
        ("go build -tags $TAGS .", ""),
        ("go build -o tags .", ""),
    ],
)
def test_build_tags_are_those_of_the_own_dockerfile(tmp_path, said, tags):
    own = f'FROM golang:1.24\nCOPY . .\nRUN {said}\nCMD ["/x"]\n'
    made = draft(tmp_path, {**BASE, "Dockerfile": own})
    (built,) = [each for each in lines(made) if " go build " in each]
    assert (f" -tags {tags} " in built) is bool(tags)
    assert (" -tags " in built) is bool(tags)
    assert (f"tags: {tags}" in made.ladder.files["build/melange.yaml"].replace('"', "")) is bool(tags)


def test_what_a_tag_compiles_in_must_be_there_with_the_tag_alone(tmp_path):
    code = "//go:build embed\n\n" + UI
    made = draft(tmp_path, {**BASE, "ui/ui.go": code})
    assert made.service.project.problem == ""
    own = 'FROM golang:1.24\nCOPY . .\nRUN go build -tags embed -o /x .\nCMD ["/x"]\n'
    made = draft(tmp_path, {"Dockerfile": own})
    assert "it compiles in ui/dist" in made.service.project.problem


@pytest.mark.parametrize(
    ("said", "start"),
    [
        ('ENTRYPOINT ["go", "run", "main.go"]\nCMD ["serve", "-v"]', ["serve", "-v"]),
        ('CMD ["go", "run", ".", "serve"]', ["serve"]),
        ('CMD ["go", "run", "-race", "./cmd/shop"]', []),
        ('CMD ["/wait-for.sh", "db:5432", "--", "/app/start.sh", "/app/shop", "serve"]', ["serve"]),
        ('CMD ["./wait-for-it.sh", "db:5432", "-t", "60", "--", "./shop"]', []),
        ('ENTRYPOINT ["/entry.sh"]\nCMD ["serve"]', ["serve"]),
        ('ENTRYPOINT ["/entry.sh"]\nCMD ["shop", "serve"]', ["serve"]),
        ('ENTRYPOINT ["/app/start.sh"]\nCMD ["/usr/bin/s6-svscan", "/app/s6/"]', []),
        ('CMD ["air", "-c", ".air.toml"]', []),
        ('CMD ["dockerize", "-wait", "tcp://db:5432", "--", "/shop", "-x"]', ["-x"]),
    ],
)
def test_what_waits_or_prepares_is_no_argument_of_the_program(tmp_path, said, start):
    own = f"FROM golang:1.24\nWORKDIR /app\nCOPY . .\n{said}\n"
    entry = json.loads(lines(draft(tmp_path, {**BASE, "Dockerfile": own}))[-1].removeprefix("ENTRYPOINT "))
    assert entry == ["/usr/local/bin/shop", *start]


def test_what_the_own_image_has_in_its_root_is_found_from_there(tmp_path):
    own = "FROM golang:1.24 AS b\nCOPY . .\nRUN go build -o /shop .\nFROM scratch\nCOPY --from=b /shop /shop\n"
    own += 'COPY shop.yml ./conf/shop.yml\nCMD ["/shop"]\n'
    code = MAIN.replace("{}", '{\n\tos.ReadFile("words.txt")\n}')
    text = lines(draft(tmp_path, {**BASE, "main.go": code, "words.txt": "", "shop.yml": "", "Dockerfile": own}))
    assert {"COPY shop.yml /conf/shop.yml", "COPY words.txt /words.txt"} <= set(text)
    assert not any(each.startswith("WORKDIR /") and each != "WORKDIR /src" for each in text)


@pytest.mark.parametrize(
    ("said", "main"),
    [
        ("go build -o /x ./cmd/shopd", "./cmd/shopd"),
        ('CGO_ENABLED=0 go install "./cmd/other/"', "./cmd/other"),
        ("go build -o /x .", "."),
        ("go build -o /x ./cmd/$NAME", "."),
        ("go build ./...", "."),
    ],
)
def test_the_program_is_the_one_that_the_own_dockerfile_compiles(tmp_path, said, main):
    own = f'FROM golang:1.24 AS b\nCOPY . .\nRUN {said}\nFROM alpine\nCOPY --from=b /x /x\nCMD ["/init.sh"]\n'
    made = draft(tmp_path, {**BASE, "cmd/shopd/main.go": MAIN, "cmd/other/main.go": MAIN, "Dockerfile": own})
    assert next(each for each in lines(made) if " go build " in each).endswith(f" {main}")
