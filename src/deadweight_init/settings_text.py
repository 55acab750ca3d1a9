"""Addresses of this machine in a file of settings, of whichever form: YAML, TOML, INI, JSON, ``.env``.

Lines are read, and no documents: what is changed is the address alone, and all else stays as it is written.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from deadweight_init.databases import KINDS, SCHEMES, SERVERS, need_of, server_for
from deadweight_init.records import Beside

IS_SETTINGS = re.compile(r"\.(?:ya?ml|toml|ini|json|conf|cfg|env|properties|ron)$|(?:^|/)\.env[\w.-]*$")
REFUSED = re.compile(
    r"(?i)refused|dial tcp|no such host|(?:connect|ping)\w*\b[^|]{0,60}(?:fail|error)|fail\w*[^|]{0,40}connect"
)
"""What services say that reach no server."""

_HERE = r"(?:localhost|127\.0\.0\.1|\[::1\])"
_LINE = re.compile(
    r"^(?P<indent>[ \t]*)[\"']?(?P<key>[A-Za-z_][\w.-]*)[\"']?[ \t]*[:=][ \t]*(?P<value>[^\n]*)$", re.MULTILINE
)
_HEADER = re.compile(r"^[ \t]*\[+(?P<name>[^\]\n]+)\]+", re.MULTILINE)
_PLAIN = re.compile(rf"(?P<host>{_HERE})(?::(?P<port>\d+))?")
_URL = re.compile(
    rf"(?P<scheme>[a-z][a-z0-9+]*)://(?:(?P<user>[^:@/\s]*)(?::(?P<password>[^@/\s]*))?@)?(?P<host>{_HERE})(?::(?P<port>\d+))?"
    r"(?:/(?P<name>[\w-]+))?(?:\?(?P<rest>[^\s\"']*))?"
)
_TCP = re.compile(
    rf"(?:(?P<user>\w+)(?::(?P<password>[^@\s]*))?@)?tcp\((?P<host>{_HERE})(?::(?P<port>\d+))?\)/(?P<name>[\w-]+)"
)
_WORDS = re.compile(rf"\bhost=(?P<host>{_HERE})\b")
_USER = re.compile(r"(?:^|[_.-]|[a-z](?=U))(?:user(?:_?name)?|User(?:[Nn]ame)?|USER(?:_?NAME)?)$")
_PASSWORD = re.compile(r"(?i)pass(?:word|wd)?$")
_NAME = re.compile(r"(?i)(?:^|[_.-])(?:name|database|db|db_?name|database_?name)$|dbname$")
_PORT = re.compile(r"(?i)port$")
_KIND = re.compile(r"(?i)(?:driver|dialect|type|kind|adapter|engine)$")
_CALLED = re.compile(r"(?i)(postgres|pg|mysql|maria|mongo|redis)")
_ANY = re.compile(r"(?i)db|database|sql|store|storage")
_DEFAULT_USER = {"postgres": "postgres", "mysql": "root"}


@dataclass(frozen=True)
class Servers:
    """What may be started: the kinds for which it has a library, those that are there already, and what is published at which
    port of this machine."""

    kinds: Sequence[str]
    there: Mapping[str, Beside]
    published: Mapping[int, Beside]

    def of(self, kind: str, port: int, name: str, user: str, password: str) -> Beside | None:
        """The server that a setting means; None where it is none of these."""
        if port in self.published:
            return self.published[port]
        if kind not in self.kinds:
            return None
        if kind in self.there:
            return self.there[kind]
        return (
            server_for(kind, name or "app", user or _DEFAULT_USER[kind], password)
            if kind in _DEFAULT_USER
            else need_of(kind)
        )


@dataclass(frozen=True)
class _Setting:
    """One line. ``section`` is what it lies under; ``start`` and ``end`` are those of its value in the text."""

    key: str
    value: str
    section: str
    start: int


@dataclass(frozen=True)
class _Change:
    start: int
    end: int
    text: str


def served_beside(text: str, servers: Servers) -> tuple[str, list[Beside]]:
    """The text with other hosts in the place of this machine, and the servers that they are."""
    lines = list(_settings(text))
    changes, found = list[_Change](), list[Beside]()
    for line in lines:
        siblings = [each for each in lines if each.section == line.section]
        for need, more in _meant(line, siblings, servers):
            found.append(need)
            changes += more
    return _changed(text, changes), found


def opened(text: str, died: str) -> str:
    """The text with every address in the place of loopback, where it names a port that was seen to be open there."""
    ports = set(re.findall(rf"{_HERE}:(\d+)", died))
    lines, changes = list(_settings(text)), list[_Change]()
    for line in lines:
        host = _PLAIN.fullmatch(line.value)
        beside = [each.value for each in lines if each.section == line.section and _PORT.search(each.key)]
        if host and (host["port"] in ports if host["port"] else not ports.isdisjoint(beside)):
            changes.append(_Change(line.start, line.start + len(host["host"]), "0.0.0.0"))  # noqa: S104 - in a container
    return _changed(text, changes)


def _meant(line: _Setting, siblings: Sequence[_Setting], servers: Servers) -> Iterator[tuple[Beside, list[_Change]]]:
    """The server that a line means, with what is changed for it."""
    for found in _URL.finditer(line.value):
        kind = found["scheme"].partition("+")[0]
        said = {**dict(re.findall(r"(\w+)=([^&]*)", found["rest"] or ""))}
        user, password = found["user"] or said.get("user", ""), found["password"] or said.get("password", "")
        yield from _at(line, found, SCHEMES.get(kind, kind), (found["name"] or "", user, password), servers)
    for found in _TCP.finditer(line.value):
        yield from _at(line, found, "mysql", (found["name"], found["user"] or "", found["password"] or ""), servers)
    for found in _WORDS.finditer(line.value):
        said = dict(re.findall(r"(\w+)=([^\s\"']*)", line.value))
        port = re.search(r"\bport=(\d+)", line.value)
        account = (said.get("dbname", ""), said.get("user", ""), said.get("password", ""))
        need = servers.of("postgres", int(port[1]) if port else 5432, *account)
        if need is not None:
            changes = [_replaced(line, found.start("host"), found.end("host"), need.name)]
            changes += [_replaced(line, port.start(1), port.end(1), str(need.port))] if port else []
            yield need, changes
    if (plain := _PLAIN.fullmatch(line.value)) is not None:
        yield from _of_section(line, plain, siblings, servers)


def _of_section(
    line: _Setting, plain: re.Match[str], siblings: Sequence[_Setting], servers: Servers
) -> Iterator[tuple[Beside, list[_Change]]]:
    """The server of which a line names the host, and lines beside it the rest."""
    stem = _stem(line.key)
    near = [each for each in siblings if not stem or _stem(each.key) == stem]

    def first(pattern: re.Pattern[str]) -> _Setting | None:
        return next((each for each in near if each is not line and pattern.search(each.key)), None)

    apart, told = first(_PORT), first(_KIND)
    beside = apart.value if apart and apart.value.isdigit() else ""
    port = int(plain["port"] or beside or 0)
    by_port = next((kind for kind, server in SERVERS.items() if server.port == port), "")
    called = _CALLED.search(told.value if told else "") or _CALLED.search(f"{line.section} {line.key}")
    sql = [kind for kind in servers.kinds if kind in _DEFAULT_USER]
    any_sql = sql[0] if len(sql) == 1 and not port and _ANY.search(f"{line.section} {line.key}") else ""
    kind = _kind(called[1]) if called else by_port or any_sql
    name, user, password = (found.value if (found := first(each)) else "" for each in (_NAME, _USER, _PASSWORD))
    need = servers.of(kind, port or (SERVERS[kind].port if kind in SERVERS else 0), name, user, password)
    if need is None:
        return
    changes = [_replaced(line, plain.start("host"), plain.end("host"), need.name)]
    if plain["port"]:
        changes.append(_replaced(line, plain.start("port"), plain.end("port"), str(need.port)))
    elif apart and beside:
        changes.append(_replaced(apart, 0, len(beside), str(need.port)))
    yield need, changes


def _at(
    line: _Setting, found: re.Match[str], kind: str, account: tuple[str, str, str], servers: Servers
) -> Iterator[tuple[Beside, list[_Change]]]:
    usual = SERVERS[kind].port if kind in SERVERS else 0
    need = servers.of(kind, int(found["port"] or usual), *account)
    if need is not None:
        end = found.end("port") if found["port"] else found.end("host")
        yield need, [_replaced(line, found.start("host"), end, f"{need.name}:{need.port}")]


def _stem(key: str) -> str:
    """What keys of one server have in common: ``db`` of ``db_host`` and ``db_port``, nothing of ``host``."""
    return re.sub(
        r"(?i)[_.-]?(?:host(?:name)?|addr(?:ess)?|server|port|user(?:_?name)?|pass(?:word|wd)?|(?:db)?name)$", "", key
    ).lower()


def _kind(word: str) -> str:
    plain = word.lower().replace("maria", "mariadb")
    return SCHEMES.get(plain, KINDS.get(plain.upper(), plain))


def _replaced(line: _Setting, start: int, end: int, text: str) -> _Change:
    return _Change(line.start + start, line.start + end, text)


def _changed(text: str, changes: Sequence[_Change]) -> str:
    for each in sorted(set(changes), key=lambda change: change.start, reverse=True):
        text = text[: each.start] + each.text + text[each.end :]
    return text


def _settings(text: str) -> Iterator[_Setting]:
    """The lines with a value, each with the names of what it lies under."""
    headers = [(found.start(), found["name"]) for found in _HEADER.finditer(text)]
    above: list[tuple[int, str]] = []
    for found in _LINE.finditer(text):
        indent, value = (
            len(found["indent"].expandtabs(4)),
            re.sub(r"(?:^|\s+)[#;].*$", "", found["value"]).rstrip(" \t\r,"),
        )
        above = [each for each in above if each[0] < indent]
        if value in ("", "{", "[", "|", ">"):
            above.append((indent, found["key"]))
            continue
        header = next((name for start, name in reversed(headers) if start < found.start()), "")
        quoted = value[:1] in ("'", '"') and value[-1:] == value[:1] and len(value) > 1
        start = found.start("value") + (1 if quoted else 0)
        yield _Setting(
            found["key"], value[1:-1] if quoted else value, " ".join((header, *(name for _, name in above))), start
        )
