"""Static sites: files that a web server hands out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deadweight_init.draft import Draft
from deadweight_init.services import find_services
from deadweight_init.tree import look
from deadweight_init.write.suite import suite_text
from tests.support.recipes import recipe
from tests.support.trees import written

PAGE = {"index.html": "<h1>Hello</h1>"}
BUILT = json.dumps({"scripts": {"build": "vite build", "start": "vite"}, "devDependencies": {"vite": "6"}})


def brought_in(root: Path, files: dict[str, str]) -> Draft:
    (service,) = find_services(look(written(root, files)))
    return recipe(service, "build")


def dockerfile(draft: Draft) -> list[str]:
    return draft.ladder.files["build/Dockerfile"].splitlines()


@pytest.mark.parametrize("place", [".", "public"])
def test_plain_pages_are_handed_out_by_a_web_server(tmp_path, place):
    draft = brought_in(tmp_path, {f"{place}/{name}": text for name, text in PAGE.items()})
    assert [rung.name for rung in draft.rungs] == ["debian", "alpine", "chainguard"]
    assert draft.port.value == 8080
    assert f"COPY {place} /usr/share/nginx/html" in dockerfile(draft)
    assert "deadweight.yaml" in draft.ladder.files["build/Dockerfile.dockerignore"]


def test_an_own_image_of_a_web_server_is_put_on_bases_without_rights(tmp_path):
    own = "FROM httpd:2.4\nCOPY . /usr/local/apache2/htdocs/\nEXPOSE 80\nCMD httpd-foreground\n"
    draft = brought_in(tmp_path, {"Dockerfile": own, **PAGE})
    assert [rung.name for rung in draft.rungs] == ["today", "debian", "alpine", "chainguard"]
    lines = dockerfile(draft)
    assert lines[lines.index("FROM ${BASE}") :] == [
        "FROM ${BASE}",
        "# What its own instructions do is root's; the server is not.",
        "USER root",
        "COPY . /usr/share/nginx/html/",
        "USER 65532:65532",
        "EXPOSE 8080",
        'ENTRYPOINT ["nginx", "-g", "daemon off;"]',
    ]
    assert (draft.port.value, suite_text(draft).count("port: 8080  # the base's own")) == (80, 3)


def test_the_stages_and_settings_of_an_own_image_stay(tmp_path):
    own = "FROM node AS made\nRUN npm run build\nFROM nginx:1 AS end\nCOPY nginx.conf /etc/nginx/conf.d/default.conf\n"
    own += "COPY --from=made /dist /usr/share/nginx/html\nEXPOSE 3000\n"
    draft = brought_in(tmp_path, {"Dockerfile": own, "nginx.conf": "", "package.json": BUILT})
    lines = dockerfile(draft)
    assert lines[lines.index("FROM node AS made") + 3] == "FROM ${BASE} AS end"
    assert "EXPOSE 3000" in lines
    assert "port: 8080" not in suite_text(draft)


def test_settings_of_another_server_are_not_put_into_nginx(tmp_path):
    own = "FROM caddy:2\nCOPY Caddyfile /etc/caddy/Caddyfile\nCOPY . /srv\n"
    assert [rung.name for rung in brought_in(tmp_path, {"Dockerfile": own, "Caddyfile": ""}).rungs] == ["today"]


@pytest.mark.parametrize(("files", "output"), [({}, "dist"), ({"vite.config.js": "build: { outDir: './out' }"}, "out")])
def test_what_npm_builds_is_handed_out_and_no_developers_server(tmp_path, files, output):
    draft = brought_in(tmp_path, {"package.json": BUILT, **PAGE, **files})
    lines = dockerfile(draft)
    assert "RUN npm run build" in lines
    assert f"COPY --from=build /app/{output} /usr/share/nginx/html" in lines


def test_a_server_that_is_built_with_a_bundler_is_no_site(tmp_path):
    package = {"scripts": {"build": "vite build", "start": "node server.js"}, "dependencies": {"express": "4"}}
    package["devDependencies"] = {"vite": "6"}
    draft = brought_in(tmp_path, {"package.json": json.dumps(package), "server.js": ""})
    assert draft.service.project.language == "node"


@pytest.mark.parametrize(
    ("library", "answers"), [("react-router-dom", True), ("@tanstack/react-router", True), ("react", False)]
)
def test_a_page_with_routes_of_its_own_answers_them(tmp_path, library, answers):
    package = {**json.loads(BUILT), "dependencies": {library: "6"}}
    lines = dockerfile(brought_in(tmp_path, {"package.json": json.dumps(package), **PAGE}))
    assert any("try_files $uri $uri/ /index.html;" in line for line in lines) is answers
    assert ("COPY --from=build /site.conf /etc/nginx/conf.d/default.conf" in lines) is answers


@pytest.mark.parametrize(("more", "output"), [("", "out"), (', distDir: "./_static"', "_static")])
def test_a_site_that_next_exports_is_handed_out_by_a_web_server(tmp_path, more, output):
    start = "node banner.js; serve -s _static"
    package = {"scripts": {"build": "next build", "start": start}, "dependencies": {"next": "14", "serve": "14"}}
    config = f'module.exports = {{ output: "export"{more} }}'
    draft = brought_in(tmp_path, {"package.json": json.dumps(package), "next.config.js": config})
    assert f"COPY --from=build /app/{output} /usr/share/nginx/html" in dockerfile(draft)
