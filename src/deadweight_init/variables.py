"""The variables of the environment that a service's code reads, and the values that it, or an example file, shows for them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from deadweight_init.records import Service
from deadweight_init.tree import Tree, aside, line_of
from deadweight_init.values import cargo_environment, dotenv, example_file

_CODE = (".py", ".js", ".mjs", ".cjs", ".ts", "bin/www", ".go", ".java", ".kt", ".rs", ".properties", ".yml", ".yaml")
"""``bin/www`` is the start file of Express' generator."""

_NAME = r"[\"']([A-Z][A-Z0-9_]+)[\"']"
_READ = re.compile(
    r"(?:environ(?:\.get\(|\[)|LookupEnv\(|process\.env\[|env::var\(|viper\.\w+\("
    r"|\b[cC]onfig(?:Service)?(?:\.get(?:OrThrow)?(?:<\w+>)?)?\(|\b(?i:\w*(?:get|must|read|load|require)_?env\w*"
    rf"|env(?:_?(?:var|str|string|or\w*|default))?(?:\.\w+)?)\()\s*{_NAME}"
    r"|process\.env\.([A-Z][A-Z0-9_]+)\b|\$\{([A-Z][A-Z0-9_]+)\}|(dj_database_url\.config\()"
    rf"|\b(?:env|envconfig|mapstructure):{_NAME}"
    r"|^[ \t]+([A-Z][A-Z0-9_]+)[!?]?[ \t]*:[ \t]*(?:(?:str|int|string|number|SecretStr|\w+Dsn|\w+Url)\b|(?:z|Joi|joi|yup|Yup)\.)",
    re.MULTILINE,
)
"""How code reads a variable: by a call (also by a helper of its own), a field's tag, a class of settings, or a schema of them."""

_OF_CLAP = re.compile(
    rf"#\[(?:arg|clap|structopt)\((?:[^\[\]]*[,(]\s*)?env(?:\s*=\s*{_NAME}|\({_NAME}\))?\s*(?:,[^\[\]]*)?\)\]"
    r"\s*(?:(?:///|#\[)[^\n]*\s*)*(?:pub(?:\([^)]*\))?\s+)?(?P<field>\w+)\s*:"
)
_OF_FLAGS = re.compile(rf"(?:\.Envar\(|EnvVars?:\s*(?:\[\]string\{{)?|\bEnvVars\()\s*{_NAME}")
"""The variable that stands for a flag: clap's is called as its field is where nothing else is said; kingpin and urfave/cli."""

_PYDANTIC = re.compile(
    r"^[ \t]+([a-z][a-z0-9_]*)[ \t]*:[ \t]*(?:Optional\[)?(?:str|int|SecretStr|\w+Dsn|\w+Url)\b", re.MULTILINE
)
_PREFIX = re.compile(r"env_prefix[\"']?\s*[=:]\s*[\"'](\w+)[\"']")
"""Fields of a class of pydantic's settings in small letters, and what stands before them in the environment."""

_TAKEN_APART = re.compile(r"\{([^{}]*)\}\s*=\s*process\.env\b(?!\.)")
_OF_THESE = re.compile(r"(?:^|,)\s*([A-Z][A-Z0-9_]+)\b")
_ELSE = re.compile(r"[\"'\])]*\s*(?:\|\||\?\?|,)\s*[\"'`]([^\"'`\n]+)[\"'`]")
"""What the code takes where a variable is not set."""


def shown(tree: Tree, service: Service) -> dict[str, tuple[str, str]]:
    """The variables that an example file shows, each with its value and the file: the code may read them in a way that is not
    known here."""
    folders = (service.folder, service.project.folder if service.project else ".", ".")
    file = next((found for each in dict.fromkeys(folders) if (found := example_file(tree, each))), None)
    if file is not None:
        return {name: (value, file) for name, value in dotenv(tree.text(file)).items()}
    cargo = next((said for each in dict.fromkeys(folders) if (said := cargo_environment(tree, each))), None)
    return {} if cargo is None else {name: (value, cargo.origin) for name, value in cargo.value.items()}


def read(tree: Tree, service: Service) -> Iterator[tuple[str, str, str]]:
    """The variables that its code reads, each with where, and with what it takes instead; that is empty where it does not say."""
    folder = service.project.folder if service.project else service.folder
    seen: set[str] = set()
    for path in sorted(tree.below(folder, *_CODE), key=lambda path: (path.count("/"), path)):
        if aside(path):
            continue
        text = tree.text(path)
        for name, at, end in sorted(_names(text), key=lambda each: each[1]):
            if name not in seen:
                seen.add(name)
                instead = _ELSE.match(text, end)
                yield name, f"from {path}:{line_of(text, at)}", instead[1] if instead else ""


_CONNECTS = {
    "mongo": r"mongoose\.(?:connect|createConnection)\(|\bMongoClient(?:\.connect)?\(",
    "postgres": r"\bconnectionString\s*:|\bnew (?:pg\.)?(?:Pool|Client)\(|\bpostgres\(",
    "mysql": r"\bmysql2?\.create(?:Connection|Pool)\(",
    "redis": r"\bnew (?:Io)?Redis\(|\bcreateClient\(\s*\{\s*url\s*:",
}
"""What begins a call of Node's clients that is given an address first."""

_GIVEN = (
    r"\s*(?:String\()?[\"'`]?(?:\$\{)?(?:process\.env\.(?P<direct>[A-Z][A-Z0-9_]*)|(?P<named>[A-Za-z_]\w*))\b(?!\.|\()"
)


def used_as(tree: Tree, service: Service) -> dict[str, str]:
    """The variables whose value is the address that a client of Node's is given, whatever they are called, each with the kind of
    database: ``mongoose.connect(process.env.DB)``, also by way of a constant."""
    folder, found = service.project.folder if service.project else service.folder, dict[str, str]()
    for path in sorted(tree.below(folder, *_CODE), key=lambda path: (path.count("/"), path)):
        text = "" if aside(path) else tree.text(path)
        for kind, begins in _CONNECTS.items():
            for call in re.finditer(rf"(?:{begins}){_GIVEN}", text):
                name = call["direct"] or _constant(text, call["named"])
                if name:
                    found.setdefault(name, kind)
    return found


def _constant(text: str, name: str) -> str:
    """The variable of the environment that a constant of the same file has; empty where it has none."""
    said = re.search(rf"\b{re.escape(name)}\s*=\s*process\.env\.([A-Z][A-Z0-9_]*)\b", text)
    return said[1] if said else ""


def _names(text: str) -> Iterator[tuple[str, int, int]]:
    """Each name with where it begins and ends."""
    for found in _READ.finditer(text):
        name = "DATABASE_URL" if found[4] else found[1] or found[2] or found[3] or found[5] or found[6]
        yield name, found.start(), found.end()
    if "BaseSettings" in text:
        prefix = _PREFIX.search(text)
        for found in _PYDANTIC.finditer(text):
            yield f"{prefix[1] if prefix else ''}{found[1]}".upper(), found.start(1), found.end()
    for found in _OF_CLAP.finditer(text) if "env" in text and "#[" in text else ():
        yield found[1] or found[2] or found["field"].upper(), found.start(), found.end()
    for found in _OF_FLAGS.finditer(text):
        yield found[1], found.start(), found.end()
    for found in _TAKEN_APART.finditer(text):
        for each in _OF_THESE.finditer(found[1]):
            yield each[1], found.start(1) + each.start(1), found.end()
