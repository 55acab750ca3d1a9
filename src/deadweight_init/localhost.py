"""A Node service whose code names its own machine, where it looks for its database or listens, and takes no variable for it.

In a container no database is there, and nobody reaches it there. The database is started beside it, and node is told to go there
instead, or to listen everywhere: by a file that it reads first (``NODE_OPTIONS``, https://nodejs.org/api/cli.html), mounted when it
runs. The image stays as it is.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from deadweight.builders.shared.generated import LOCALHOST
from deadweight_init.addresses import published_near
from deadweight_init.databases import SCHEMES, SERVERS, kind_of, libraries_of, need_of, server_for
from deadweight_init.draft import Draft, run_of
from deadweight_init.reachable import ONLY_LOOPBACK
from deadweight_init.records import SEEN, Beside, Known, Service
from deadweight_init.tree import Tree, aside, line_of

FILE = "localhost.cjs"
MOUNTED = f"/{FILE}"
_OPTION = f"--require {MOUNTED}"
_DETAIL = "localhost"

_CODE = (".js", ".mjs", ".cjs", ".ts", ".json", "bin/www")
_MANIFESTS = re.compile(r"(?:package|package-lock|npm-shrinkwrap|tsconfig[\w.]*)\.json")
_HERE = r"(?:localhost|127\.0\.0\.1|0\.0\.0\.0|\[?::1\]?)"
_ADDRESS = re.compile(
    r"\b(?P<scheme>mongodb|mysql|mariadb|postgres(?:ql)?|rediss?)://"
    rf"(?:(?P<user>[^:@/\s\"'`]*)(?::(?P<password>[^@/\s\"'`]*))?@)?{_HERE}(?::(?P<port>\d+))?(?:/(?P<name>[\w-]*))?"
)
_HOST = re.compile(rf"\bhost(?:name)?[\"']?\s*[:=]\s*[\"'`]{_HERE}[\"'`]", re.IGNORECASE)
_NEAR = 400
_VALUE = r"[\"']?\s*[:=]\s*[\"'`]([^\"'`\n]*)[\"'`]"
_KIND = re.compile(rf"\b(?:type|dialect|client|driver){_VALUE}", re.IGNORECASE)
_USER = re.compile(rf"\buser(?:name)?{_VALUE}", re.IGNORECASE)
_PASSWORD = re.compile(rf"\bpass(?:word|wd)?{_VALUE}", re.IGNORECASE)
_NAME = re.compile(rf"\b(?:database|db|db_?name){_VALUE}", re.IGNORECASE)
_PORT = re.compile(r"\bport[\"']?\s*[:=]\s*[\"'`]?(\d{2,5})\b", re.IGNORECASE)
_IN_TURN = re.compile(r"new Sequelize\(\s*[\"'`](\w+)[\"'`],\s*[\"'`](\w+)[\"'`],\s*[\"'`]([^\"'`]*)[\"'`]")
_REFUSED = re.compile(rf"ECONNREFUSED (?:{_HERE}):(\d+)")
_DEFAULT_USER = {"postgres": "postgres", "mysql": "root"}


def with_what_is_at_localhost(draft: Draft, died: str, tree: Tree) -> Draft | None:
    """The draft with the databases that the code looks for at ``localhost``, where it finds them now. None for a service that is
    no Node's, that looks for none, and for the same again."""
    service, project = draft.service, draft.service.project
    if project is None or project.language != "node" or _settings_of(service)["beside"]:
        return None
    found = _looked_for(tree, service, died)
    if not found:
        return None
    there = {each.value.name for each in service.around.needs}
    needs = tuple(each for each in found.values() if each.value.name not in there)
    table = {str(port): {"host": each.value.name, "port": each.value.port} for port, each in found.items()}
    origin = f"{SEEN}: it does not come up without ({next(iter(found.values())).origin})"
    return _told(draft, needs, {**_settings_of(service), "beside": table}, origin)


def with_open_sockets(draft: Draft, died: str) -> Draft | None:
    """The draft of a Node service that listens on loopback alone, and is told to listen everywhere. None for another reason, and
    for the same again."""
    project = draft.service.project
    if project is None or project.language != "node" or ONLY_LOOPBACK not in died:
        return None
    settings = _settings_of(draft.service)
    if settings["open"]:
        return None
    return _told(draft, (), {**settings, "open": True}, f"{SEEN}: else it listens on loopback alone")


def _told(draft: Draft, needs: tuple[Known[Beside], ...], settings: Mapping[str, Any], origin: str) -> Draft:
    """The draft whose service reads our file first."""
    service, project, file = draft.service, draft.service.project, f"{draft.place}/{FILE}"
    around, env = service.around, dict(service.around.env)
    if MOUNTED not in around.files:
        env["NODE_OPTIONS"] = Known(f"{_given_options(service)} {_OPTION}".strip(), origin)
    changed = replace(
        around,
        env=env,
        needs=(*around.needs, *needs),
        files={**around.files, MOUNTED: Known(file, f"{SEEN}: what its code does at localhost goes elsewhere")},
    )
    kept = None if project is None else replace(project, details={**project.details, _DETAIL: json.dumps(settings)})
    beside = {**service.beside_files, file: _javascript(settings)}
    new = replace(service, project=kept, around=changed, beside_files=beside)
    return replace(draft, service=new, run={**draft.run, **run_of(new, draft.port)})


def _settings_of(service: Service) -> dict[str, Any]:
    """What our file does already: ``beside`` leads ports elsewhere, ``open`` says that it listens everywhere."""
    said = service.project.details.get(_DETAIL) if service.project else None
    return json.loads(said) if said else {"beside": {}, "open": False}


def _given_options(service: Service) -> str:
    said = service.around.env.get("NODE_OPTIONS")
    own = service.own.words.env.get("NODE_OPTIONS", "") if service.own else ""
    return said.value if said else own


def _looked_for(tree: Tree, service: Service, died: str) -> dict[int, Known[Beside]]:
    """The databases that it looks for on its own machine, by port: what a Compose file starts there, else one of the kind."""
    kinds, found = libraries_of(tree, service), dict[int, Known[Beside]]()
    there = {kind: each for each in service.around.needs if (kind := kind_of(each.value.image))}
    outer = {port: Known(need, origin) for need, origin, port in published_near(tree, service)}
    for kind, port, need, origin in (*_named(tree, service, kinds), *_refused(died, kinds)):
        given = outer.get(port) or there.get(kind)
        if port not in found and not any(kind_of(each.value.image) == kind for each in found.values()):
            found[port] = given or Known(need, origin)
    return found


def _refused(died: str, kinds: list[str]) -> Iterator[tuple[str, int, Beside, str]]:
    """Where it was refused, at the usual ports: a client that is told nothing goes there."""
    for port in (int(each[1]) for each in _REFUSED.finditer(died)):
        for kind in (each for each in kinds if SERVERS[each].port == port):
            need = server_for(kind, "test", _DEFAULT_USER[kind], "") if kind in _DEFAULT_USER else need_of(kind)
            yield kind, port, need, f"it was refused at localhost:{port}"


def _named(tree: Tree, service: Service, kinds: list[str]) -> Iterator[tuple[str, int, Beside, str]]:
    """What its code names, the upper folders first: addresses, and settings with a host."""
    folder = service.project.folder if service.project else service.folder
    for path in sorted(tree.below(folder, *_CODE), key=lambda path: (path.count("/"), path)):
        if aside(path) or _MANIFESTS.fullmatch(posixpath.basename(path)):
            continue
        text = tree.text(path)
        for found in _ADDRESS.finditer(text):
            kind = SCHEMES.get(found["scheme"], found["scheme"])
            if kind in kinds:
                origin = f"from {path}:{line_of(text, found.start())}"
                port = int(found["port"] or SERVERS[kind].port)
                yield kind, port, _server(kind, found["name"], found["user"], found["password"]), origin
        for found in _HOST.finditer(text):
            near = text[max(0, found.start() - _NEAR) : found.end() + _NEAR]
            told, stated = _KIND.search(near), _PORT.search(near)
            by_port = next((each for each in kinds if stated and SERVERS[each].port == int(stated[1])), "")
            sql = [each for each in kinds if each in _DEFAULT_USER]
            said = (
                SCHEMES.get(told[1].lower(), told[1].lower().replace("mysql2", "mysql").replace("pg", "postgres"))
                if told
                else ""
            )
            kind = said if said in kinds else by_port or (sql[0] if len(sql) == 1 and not stated else "")
            if kind:
                port = int(stated[1]) if stated else SERVERS[kind].port
                yield kind, port, _settings(kind, near), f"from {path}:{line_of(text, found.start())}"


def _settings(kind: str, near: str) -> Beside:
    """A server for the settings around a host."""
    if turn := _IN_TURN.search(near):
        return _server(kind, turn[1], turn[2], turn[3])
    name, user, password = (each.search(near) for each in (_NAME, _USER, _PASSWORD))
    return _server(kind, name and name[1], user and user[1], password and password[1])


def _server(kind: str, name: str | None, user: str | None, password: str | None) -> Beside:
    plain = [each if each and not re.search(r"[${<>]", each) else "" for each in (name, user, password)]
    if kind not in _DEFAULT_USER:
        return need_of(kind)
    return server_for(kind, plain[0] or "test", plain[1] or _DEFAULT_USER[kind], plain[2])


def _javascript(settings: Mapping[str, Any]) -> str:
    """What node reads before the service."""
    connecting = _CONNECTING.replace("TABLE", json.dumps(settings["beside"])) if settings["beside"] else ""
    return f"{LOCALHOST}\nconst net = require('net')\n{connecting}{_LISTENING if settings['open'] else ''}"


_CONNECTING = """
// What it looks for on its own machine is beside it.
const beside = TABLE
const here = [undefined, null, '', 'localhost', '127.0.0.1', '0.0.0.0', '::1', '::']
const { connect } = net.Socket.prototype

net.Socket.prototype.connect = function (...given) {
  const [first] = given
  const options = Array.isArray(first) ? first[0] : first // net.connect() hands on a list
  if (options && typeof options === 'object') {
    const other = options.path ? undefined : beside[options.port]
    const changed = other && here.includes(options.host) ? { ...options, ...other } : options
    if (Array.isArray(first)) first[0] = changed
    else given[0] = changed
  } else {
    const host = typeof given[1] === 'string' ? given[1] : undefined
    const other = beside[options]
    if (other && here.includes(host)) given.splice(0, host === undefined ? 1 : 2, other.port, other.host)
  }
  return connect.apply(this, given)
}
"""

_LISTENING = """
// Nothing outside of a container reaches what listens on loopback.
const loopback = ['localhost', '127.0.0.1']
const { listen } = net.Server.prototype

net.Server.prototype.listen = function (...given) {
  if (given[0] && loopback.includes(given[0].host)) given[0] = { ...given[0], host: '0.0.0.0' }
  if (loopback.includes(given[1])) given[1] = '0.0.0.0'
  return listen.apply(this, given)
}
"""
