"""How a Node package is started, where no framework and no start script tells it, and what its start script sets."""

from __future__ import annotations

import json

import pytest

from deadweight_init.draft import first_draft
from deadweight_init.services import find_services
from deadweight_init.tree import look
from tests.support.trees import written

LISTENS = "require('http').createServer(answer).listen(8000)\n"


def projects(root, package: dict, **files: str):
    tree = look(written(root, {"package.json": json.dumps({"name": "shop", **package}), **files}))
    return [each.project for each in find_services(tree) if each.project is not None]


def dockerfile(root, package: dict, **files: str) -> str:
    tree = look(written(root, {"package.json": json.dumps({"name": "shop", **package}), **files}))
    (service,) = find_services(tree)
    return first_draft(service, "build").files["build/Dockerfile"]


@pytest.mark.parametrize(
    ("package", "files", "start"),
    [
        ({"main": "lib/a.js"}, {"lib/a.js": "", "server.js": "", "Procfile": "web: node server.js"}, ("server.js",)),
        ({"main": "lib/a.js"}, {"lib/a.js": "exports.a = 1", "server.js": LISTENS}, ("server.js",)),
        ({}, {"app.js": "", "bin/www": LISTENS}, ("bin/www",)),
        (
            {"scripts": {"start": "nodemon --exec ts-node a.ts"}},
            {"a.ts": "", "Procfile": "release: x\nweb: NODE_ENV=production node dist/a.js --port $PORT"},
            ("dist/a.js", "--port", "8080"),
        ),
        # what a platform was told long ago
        (
            {"scripts": {"start": "node b.js"}},
            {"b.js": "", "Procfile": "web: node gone.js"},
            ("b.js",),
        ),
    ],
)
def test_what_starts_a_package_is_found(tmp_path, package, files, start):
    (project,) = projects(tmp_path, package, **files)
    assert start == project.start


@pytest.mark.parametrize(
    "files",
    [
        {"Procfile": "web: gunicorn shop.wsgi", "index.js": "build()"},
        {"index.js": "emitter.listen('x')"},
        {"lib/server.js": LISTENS},
    ],
)
def test_a_package_that_serves_nothing_is_no_service(tmp_path, files):
    assert projects(tmp_path, {"dependencies": {"sass": "*"}}, **files) == []


def test_what_the_start_script_sets_is_set_in_generated_images(tmp_path):
    scripts = {
        "start": "npm run serve",
        "serve": "cross-env NODE_PATH=./src NODE_OPTIONS='--max-http-header-size=9000' PORT=1 node a",
    }
    text = dockerfile(tmp_path, {"scripts": scripts}, **{"a.js": ""})
    assert "ENV NODE_PATH=./src" in text
    assert "--max-http-header-size=9000" in text
    assert "PORT=1" not in text


@pytest.mark.parametrize(
    ("scripts", "run"),
    [
        ({"heroku-postbuild": "npm install --prefix web && npm run build --prefix web"}, "npm run heroku-postbuild"),
        ({"heroku-postbuild": "vite build", "build": "webpack"}, "npm run heroku-postbuild"),
        ({"heroku-postbuild": "echo nothing", "build": "webpack"}, "npm run build"),
    ],
)
def test_the_front_end_that_heroku_has_built_is_built(tmp_path, scripts, run):
    text = dockerfile(tmp_path, {"scripts": {"start": "node a.js", **scripts}}, **{"a.js": ""})
    assert f"    {run} && npm prune" in text.replace("RUN ", "    ")
    assert (text.count("--mount=type=cache,target=/root/.npm") == 2) == ("heroku-postbuild" in run)


@pytest.mark.parametrize(
    ("needs", "gone"), [('{"devDependencies": {"vite": "5"}}', True), ('{"dependencies": {"next": "15"}}', False)]
)
def test_the_modules_of_a_front_end_that_is_bundled_stay_behind(tmp_path, needs, gone):
    scripts = {"start": "node a.js", "heroku-postbuild": "npm install --prefix web && npm run build --prefix web"}
    text = dockerfile(tmp_path, {"scripts": scripts}, **{"a.js": "", "web/package.json": needs})
    assert ("npm run heroku-postbuild && rm -rf web/node_modules && npm prune" in text) == gone
