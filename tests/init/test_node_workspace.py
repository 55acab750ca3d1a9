"""A Node service that is a member of a workspace: its modules and the packages that it uses come from the folder above."""

from __future__ import annotations

import json

import pytest

from deadweight_init.services import find_services
from deadweight_init.tree import look
from tests.support.recipes import recipe
from tests.support.trees import written

API = {
    "name": "@shop/api",
    "scripts": {"build": "tsc", "start": "node dist/index.js"},
    "dependencies": {"express": "5", "@shop/money": "*"},
}
MONEY = {"name": "@shop/money", "scripts": {"build": "tsc"}, "dependencies": {"@shop/words": "*"}}
WORDS = {"name": "@shop/words", "scripts": {"build": "tsc"}, "devDependencies": {"@shop/money": "*"}}
PLAIN = {"name": "@shop/plain", "main": "index.js"}


def drafted(root, above: dict, more: dict[str, str], api: dict = API):
    packages = {"apps/api": api, "packages/money": MONEY, "packages/words": WORDS, "packages/plain": PLAIN}
    files = {f"{folder}/package.json": json.dumps(each) for folder, each in packages.items()}
    files |= {
        "package.json": json.dumps({"name": "shop", "private": True, **above}),
        "apps/api/src/index.ts": "",
        **more,
    }
    services = find_services(look(written(root, files)))
    service = next(each for each in services if each.project and each.project.folder == "apps/api")
    return recipe(service, "build")


def text_of(draft) -> str:
    return draft.ladder.files["build/Dockerfile"]


PNPM = {
    "pnpm-workspace.yaml": "packages:\n  - apps/*\n  - 'packages/**'\n",
    "pnpm-lock.yaml": "lockfileVersion: '9.0'\n",
}


@pytest.mark.parametrize(
    ("above", "more", "installs", "prunes"),
    [
        (
            {},
            PNPM,
            "pnpm install --frozen-lockfile --filter '{.}' --filter '@shop/api...'\n",
            "--filter '@shop/api...' --prod --offline",
        ),
        (
            {"workspaces": ["apps/*", "packages/*"]},
            {"package-lock.json": "{}"},
            "npm ci --no-audit --no-fund\n",
            "npm prune --omit=dev",
        ),
        (
            {"workspaces": {"packages": ["apps/*", "./packages/*"]}},
            {"yarn.lock": "# yarn lockfile v1\n"},
            "yarn install --frozen-lockfile\n",
            "yarn install --frozen-lockfile --production",
        ),
        (
            {"workspaces": ["apps/*", "packages/*"]},
            {"yarn.lock": "__metadata:\n  version: 8\n"},
            "yarn install --immutable\n",
            "yarn workspaces focus @shop/api --production",
        ),
    ],
)
def test_a_member_is_installed_and_built_in_its_workspace(tmp_path, above, more, installs, prunes):
    draft = drafted(tmp_path, {**above, "scripts": {"prepare": "husky"}}, more)
    text = text_of(draft)
    assert {each.keys["source"] for each in draft.ladder.rungs} == {"."}
    assert installs in text
    assert "npm pkg delete scripts.prepare" in text
    turns = [
        "COPY . .",
        installs,
        "npm run build --prefix packages/words",
        "npm run build --prefix packages/money",
        "(cd apps/api && npm run build)",
        prunes,
        "WORKDIR /app/apps/api",
        'ENTRYPOINT ["node", "dist/index.js"]',
    ]
    places = [text.index(each) for each in turns]
    assert places == sorted(places)
    assert "packages/plain" not in text


def test_a_program_that_npm_puts_above_its_members_is_found_there(tmp_path):
    next_app = {
        "name": "web",
        "scripts": {"build": "next build", "start": "next start"},
        "dependencies": {"next": "15"},
    }
    above = {"workspaces": ["apps/*"]}
    text = text_of(drafted(tmp_path / "a", above, {"package-lock.json": "{}"}, next_app))
    assert 'ENTRYPOINT ["node", "../../node_modules/.bin/next", "start"]' in text
    text = text_of(drafted(tmp_path / "b", above, PNPM, next_app))
    assert 'ENTRYPOINT ["node", "node_modules/.bin/next", "start"]' in text


def test_a_package_with_a_lock_file_of_its_own_stands_alone(tmp_path):
    more = {"apps/api/package-lock.json": "{}", "package-lock.json": "{}"}
    draft = drafted(tmp_path, {"workspaces": ["apps/*", "packages/*"]}, more)
    assert {each.keys["source"] for each in draft.ladder.rungs} == {"apps/api"}
    assert "WORKDIR /app/apps" not in text_of(draft)


def test_the_member_whose_file_the_own_image_starts_is_the_service(tmp_path):
    api = {"name": "@shop/api", "dependencies": {"express": "5"}}
    own = 'FROM node:22 AS build\nCOPY . .\nFROM node:22\nWORKDIR /app\nCOPY --from=build /out /app\nCMD ["node", "src/shop"]\n'
    draft = drafted(tmp_path, {}, {**PNPM, "Dockerfile": own, "apps/api/src/shop.js": ""}, api)
    assert 'ENTRYPOINT ["node", "src/shop"]' in text_of(draft)
    assert "WORKDIR /app/apps/api" in text_of(draft)
