"""Databases that a Node service's code looks for on its own machine."""

from __future__ import annotations

import json
import shutil
import subprocess

import pytest

from deadweight.builders.shared.generated import generated
from deadweight.project.suite_file import load_suite
from deadweight_init import command, reference
from deadweight_init.coming_up import NotUp
from deadweight_init.draft import first_draft
from deadweight_init.localhost import FILE, with_open_sockets, with_what_is_at_localhost
from deadweight_init.services import find_services
from deadweight_init.suitefile import suite_text
from deadweight_init.tree import look
from tests.support.java_projects import free_port
from tests.support.reference_tries import why_not_up
from tests.support.trees import written


def drafted(root, package: str, died: str = "", **files: str):
    manifest = json.dumps({"dependencies": {"express": "4", package: "1"}, "scripts": {"start": "node app.js"}})
    tree = look(written(root, {"package.json": manifest, "app.js": "", **files}))
    (service,) = find_services(tree)
    return with_what_is_at_localhost(first_draft(service, "build"), died, tree), tree


SEQUELIZE = "const s = new Sequelize('shop', 'me', 'sesame', {\n  dialect: 'mysql',\n  host: 'localhost' })\n"
SETTINGS = 'module.exports = {\n  HOST: "localhost",\n  USER: "root",\n  PASSWORD: "123456",\n  DB: "shop" };\n'
TYPEORM = (
    '{"type": "postgres", "host": "127.0.0.1", "port": 5433, "username": "me", "password": "x", "database": "shop"}'
)


@pytest.mark.parametrize(
    ("package", "file", "code", "port", "need"),
    [
        ("mongoose", "db.js", "mongoose.connect('mongodb://localhost/shop')", 27017, 'mongo: {image: "mongo:7"'),
        ("redis", "db.ts", 'createClient({ url: "redis://127.0.0.1:6380" })', 6380, 'redis: {image: "redis:7"'),
        ("mysql2", "db.js", SEQUELIZE, 3306, "MYSQL_DATABASE: shop, MYSQL_ROOT_PASSWORD: sesame, MYSQL_USER: me"),
        ("mysql2", "config/db.config.js", SETTINGS, 3306, 'MYSQL_DATABASE: shop, MYSQL_ROOT_PASSWORD: "123456"}'),
        ("pg", "ormconfig.json", TYPEORM, 5433, "POSTGRES_USER: me, POSTGRES_PASSWORD: x, POSTGRES_DB: shop"),
        ("ioredis", "db.js", "new Redis({ host: 'localhost', port: 6379 })", 6379, 'redis: {image: "redis:7"'),
    ],
)
def test_what_code_names_at_localhost_is_started_beside_it(tmp_path, package, file, code, port, need):
    draft, tree = drafted(tmp_path, package, **{file: code})
    assert draft is not None
    assert need in draft.run["needs"].value
    assert draft.run["env"].value.startswith('{NODE_OPTIONS: "--require /localhost.cjs"')
    assert draft.service.around.env["NODE_OPTIONS"].origin.startswith(
        f"seen: it does not come up without (from {file}:"
    )
    assert draft.run["files"].value == "{/localhost.cjs: build/localhost.cjs}"
    assert f'"{port}": {{"host":' in draft.files["build/localhost.cjs"]
    assert with_what_is_at_localhost(draft, "", tree) is None


@pytest.mark.parametrize(
    ("package", "code"),
    [
        ("mongoose", "connect('mongodb://db.example/shop')"),
        ("mysql2", "connect('mongodb://localhost/shop')"),  # no library for it
        ("pg", "server.listen({ host: 'localhost', port: 3000 })"),
    ],
)
def test_what_is_no_database_on_its_machine_is_none(tmp_path, package, code):
    assert drafted(tmp_path, package, **{"db.js": code})[0] is None


def test_where_a_client_that_is_told_nothing_was_refused_is_enough(tmp_path):
    draft, _ = drafted(tmp_path, "redis", "Error: connect ECONNREFUSED 127.0.0.1:6379")
    assert draft is not None
    assert 'redis: {image: "redis:7"' in draft.run["needs"].value


def test_what_a_compose_file_starts_there_is_taken(tmp_path):
    compose = 'services:\n  store:\n    image: "mongo:6"\n    ports: ["27018:27017"]\n'
    code = {"db.js": "connect('mongodb://localhost:27018/shop')", "compose.yaml": compose}
    draft, _ = drafted(tmp_path, "mongoose", **code)
    assert draft is not None
    assert 'store: {image: "mongo:6"' in draft.run["needs"].value
    assert '{"27018": {"host": "store", "port": 27017}}' in draft.files["build/localhost.cjs"]


def test_the_suite_says_so_and_no_build_takes_the_file(tmp_path):
    draft, _ = drafted(tmp_path / "shop", "mongoose", **{"db.js": "connect('mongodb://localhost/shop')"})
    text = suite_text(draft)
    written(tmp_path / "shop", {"deadweight.yaml": text, **draft.files})
    suite = load_suite(tmp_path / "shop" / "deadweight.yaml")
    assert dict(suite.variants[0].run.files) == {"/localhost.cjs": "build/localhost.cjs"}
    assert "build/localhost.cjs" in set(generated(tmp_path / "shop", suite.variants))


TRIED = """
const net = require('net')
net.createServer(socket => socket.end('beside')).listen(PORT, '127.0.0.2', () => {
  const ways = [[{ port: 5 }], [{ port: '5', host: 'localhost' }], [5], [5, 'localhost'], [{ host: '127.0.0.2', port: PORT }]]
  const heard = ways.map(way => [way, way => net.connect(...way)])
    .concat(ways.map(way => [way, way => new net.Socket().connect(...way)]))
    .map(([way, open]) => new Promise(done => open(way).on('data', each => done(String(each))).on('error', done)))
  Promise.all(heard).then(all => { console.log(all.join(' ')); process.exit() })
})
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
def test_connections_go_beside_however_they_are_asked_for(tmp_path):
    port = free_port()
    draft, _ = drafted(tmp_path, "mongoose", **{"db.js": "connect('mongodb://localhost:5/shop')"})
    text = draft.files[f"build/{FILE}"].replace(
        '"host": "mongo", "port": 27017', f'"host": "127.0.0.2", "port": {port}'
    )
    written(tmp_path, {FILE: text, "tried.js": TRIED.replace("PORT", str(port))})
    words = ["node", "--require", f"./{FILE}", "tried.js"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=30, check=False)
    assert (done.stdout.split(), done.stderr) == (["beside"] * 10, "")


SHUT_IN = "it listens on 127.0.0.1:3000 only, which cannot be reached from outside the container: bind it to 0.0.0.0"


def test_a_service_that_listens_on_loopback_is_told_to_listen_everywhere(tmp_path):
    draft, _ = drafted(tmp_path, "mongoose", **{"db.js": "connect('mongodb://localhost/shop')"})
    opened = with_open_sockets(draft, SHUT_IN)
    assert opened is not None
    assert opened.run["env"].value.count("--require /localhost.cjs") == 1
    text = opened.files["build/localhost.cjs"]
    assert "'0.0.0.0' }" in text
    assert '{"27017": {"host": "mongo", "port": 27017}}' in text, "what was told before is kept"
    assert with_open_sockets(opened, SHUT_IN) is None
    assert with_open_sockets(draft, "it ended") is None
    alone, _ = drafted(tmp_path / "other", "fastify")
    assert alone is None, "it looks for nothing"
    plain = first_draft(find_services(look(tmp_path / "other"))[0], "build")
    assert "connect." not in with_open_sockets(plain, SHUT_IN).files["build/localhost.cjs"]


LISTENED = """
const net = require('net')
const ways = [[{ port: 0, host: 'localhost' }], [0, '127.0.0.1'], [{ port: 0, host: '127.0.0.2' }], [0]]
const told = ways.map(way => new Promise(done => {
  const server = net.createServer().listen(...way, () => { done(server.address().address); server.close() })
}))
Promise.all(told).then(all => console.log(all.join(' ')))
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
def test_sockets_are_opened_however_they_are_asked_for(tmp_path):
    written(tmp_path / "shop", {"package.json": '{"scripts": {"start": "node a.js"}}', "a.js": ""})
    draft = with_open_sockets(first_draft(find_services(look(tmp_path / "shop"))[0], "build"), SHUT_IN)
    written(tmp_path, {FILE: draft.files[f"build/{FILE}"], "listened.js": LISTENED})
    words = ["node", "--require", f"./{FILE}", "listened.js"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=30, check=False)
    assert (done.stdout.split()[:3], done.stderr) == (["0.0.0.0", "0.0.0.0", "127.0.0.2"], "")


def test_the_file_of_an_earlier_run_may_be_replaced_with_the_suite(tmp_path):
    draft, _ = drafted(tmp_path, "mongoose", **{"db.js": "connect('mongodb://localhost/shop')"})
    written(tmp_path, {"deadweight.yaml": "", **draft.files, "containers/localhost.cjs": "mine"})
    assert command._forced(tmp_path, ["deadweight.yaml"]) == ["deadweight.yaml", "build/localhost.cjs"]
    assert command._forced(tmp_path, ["app.js"]) == ["app.js"]


@pytest.mark.parametrize(
    ("answers", "asked", "why", "kept"),
    [
        ((None,), [("draft", True)], "", "draft"),
        ((reference.Unwell("500"), None), [("draft", True), ("more", False)], "", "more"),
        (
            (reference.Unwell("500"), NotUp("dead"), None),
            [("draft", True), ("more", False), ("draft", False)],
            "",
            "draft",
        ),
        ((NotUp("dead"),), [("draft", True)], "dead", "draft"),
    ],
)
def test_a_service_that_answers_with_an_error_is_tried_with_a_database_and_kept_without(
    monkeypatch, tmp_path, answers, asked, why, kept
):
    given = {"remedy_of_errors": "more", "next_remedy": None, "with_place": "dead"}
    assert why_not_up(monkeypatch, tmp_path, answers, **given) == (why, asked, kept)
