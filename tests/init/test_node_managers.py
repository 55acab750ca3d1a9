"""Modules are installed by the program, and the version of it, that a package's lock file is of."""

from __future__ import annotations

import json

import pytest

from deadweight_init.services import find_services
from deadweight_init.tree import look
from tests.support.recipes import recipe
from tests.support.trees import written

BERRY = "# This file is generated\n__metadata:\n  version: 8\n"
CASES = {
    "npm": ({}, "", "COPY package.json ./", "npm install --no-audit --no-fund --omit=dev"),
    "npm with a lock": ({"package-lock.json": "{}"}, "", "package-lock.json ./", "npm ci --no-audit --no-fund --omit=dev"),
    "pnpm as it is named": (
        *({"pnpm-lock.yaml": "lockfileVersion: '9.0'\n"}, "pnpm@10.14.0+sha512.ad27a79641"),
        *("COPY package.json pnpm-lock.yaml ./", "npm install --global pnpm@10.14.0 && pnpm install --frozen-lockfile --prod"),
    ),
    "pnpm by its lock": (
        *({"pnpm-lock.yaml": "lockfileVersion: '6.0'\n"}, ""),
        *("COPY package.json pnpm-lock.yaml ./", "npm install --global pnpm@8 && pnpm install --frozen-lockfile --prod"),
    ),
    "yarn 1": ({"yarn.lock": "# yarn lockfile v1\n"}, "", "yarn.lock ./", "yarn install --frozen-lockfile --production"),
    "yarn 4": (
        *({"yarn.lock": BERRY, ".yarnrc.yml": "enableTelemetry: false\n"}, "yarn@4.9.1"),
        *("COPY . .", "npm install --global --force @yarnpkg/cli-dist@4.9.1 && YARN_NODE_LINKER=node-modules"),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("files", "named", "copied", "installed"), CASES.values(), ids=CASES)
def test_modules_are_installed_as_the_package_says(tmp_path, files, named, copied, installed):
    package = {"name": "shop", "dependencies": {"express": "5"}, "main": "server.js", "packageManager": named}
    root = written(tmp_path / "shop", {"package.json": json.dumps(package), "server.js": "listen(80)\n", **files})
    (service,) = find_services(look(root))
    text = recipe(service, "build").ladder.files["build/Dockerfile"]
    assert copied in text
    assert installed in text
    assert text.count("COPY . .") == 1


def test_what_pnpm_installs_can_be_run_by_node(tmp_path):
    scripts = {"build": "next build", "start": "next start"}
    package = {"name": "shop", "dependencies": {"next": "15"}, "scripts": scripts}
    root = written(
        tmp_path / "shop", {"package.json": json.dumps(package), "pnpm-lock.yaml": "lockfileVersion: '9.0'\n"}
    )
    (service,) = find_services(look(root))
    text = recipe(service, "build").ladder.files["build/Dockerfile"]
    assert '["node", "node_modules/.bin/next", "start"]' in text
    assert text.count("--config.prefer-symlinked-executables=true") == 2


EXACT = [
    ("node:23.11.1-slim", "23.11.1", ("22", "22")),
    ("node:22.3.0", "22.3.0", ("22.3.0", "22")),
    ("node:20-alpine", "20", ("20", "20")),
    ("node:lts", "22", ("22", "22")),
]


@pytest.mark.parametrize(("base", "version", "distroless"), EXACT)
def test_the_own_images_node_is_taken_as_exactly_as_it_is_named(tmp_path, base, version, distroless):
    package = {"name": "shop", "dependencies": {"express": "5"}, "main": "server.js"}
    own = f'FROM {base}\nWORKDIR /app\nCOPY . .\nCMD ["node", "server.js"]\n'
    files = {"package.json": json.dumps(package), "server.js": "listen(80)\n", "Dockerfile": own}
    (service,) = find_services(look(written(tmp_path / "shop", files)))
    rungs = {each.name: each for each in recipe(service, "build").rungs}
    assert f'BASE: "node:{version}-slim"' in rungs["debian"].keys["bases"]
    assert f'BUILD: "node:{distroless[0]}-slim"' in rungs["distroless"].keys["bases"]
    assert f"nodejs{distroless[1]}-debian12" in rungs["distroless"].keys["bases"]


def test_what_was_fetched_is_kept_where_each_program_looks_for_it(tmp_path):
    package = {"name": "shop", "dependencies": {"express": "5"}, "main": "server.js", "scripts": {"build": "tsc"}}
    files = {"package.json": json.dumps(package), "server.js": "listen(80)\n", "yarn.lock": "# yarn lockfile v1\n"}
    (service,) = find_services(look(written(tmp_path / "shop", files)))
    text = recipe(service, "build").ladder.files["build/Dockerfile"]
    cache = "RUN --mount=type=cache,target=/usr/local/share/.cache/yarn,sharing=locked \\\n"
    assert f"{cache}    yarn install --frozen-lockfile\n" in text
    assert f"{cache}    npm run build && yarn install --frozen-lockfile --production" in text


def test_what_a_build_makes_before_is_started_where_the_build_leaves_it(tmp_path):
    package = {"name": "shop", "dependencies": {"express": "5"}, "scripts": {"start": "nx serve", "build": "nx build"}}
    own = 'FROM node:22\nWORKDIR /app\nCOPY package*.json ./\nCOPY dist/api api\nCMD ["node", "api"]\n'
    (service,) = find_services(
        look(written(tmp_path / "shop", {"package.json": json.dumps(package), "Dockerfile": own}))
    )
    assert service.dockerfiles[0].refused
    assert service.project.start == ("dist/api",)
    assert recipe(service, "build").ladder.files["build/Dockerfile"].endswith('ENTRYPOINT ["node", "dist/api"]\n')


def test_a_service_does_not_listen_where_its_database_does(tmp_path):
    code = {
        "cache.js": "const at = process.env.CACHE || '127.0.0.1:6379';\n",
        "server.js": "let DEFAULT_PORT = 4000;\n",
    }
    package = {"name": "shop", "dependencies": {"express": "5"}, "main": "server.js"}
    (service,) = find_services(look(written(tmp_path / "shop", {"package.json": json.dumps(package), **code})))
    assert [each.value for each in service.project.ports] == [4000, 6379]
