"""Detect a PHP project and write its Dockerfile: Composer packages, Apache or PHP's own server."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from deadweight_init.languages import common
from deadweight_init.languages.protocol import Facts, Language
from deadweight_init.languages.sources import by_depth, scan
from deadweight_init.records import ImageWords, Known, Ladder, Project, Rung, Service, wording
from deadweight_init.tree import TABLES, Tree, as_mapping, as_mappings, folder_of, joined

_DEFAULT = "8.4"
_HOME = "/var/www/html"
"""What Apache's settings in the official image allow to be handed out."""
_ROOTS = ("public", "web", "htdocs", "www", "html", ".")
_BUILT_IN = frozenset(TABLES["php"]["built_in"])
"""Extensions that the official image has."""
_HEADERS: Mapping[str, str] = TABLES["php"]["headers"]
"""Debian's packages of what extensions are compiled against."""
_OF_PECL = frozenset(("redis", "apcu", "mongodb", "imagick", "xdebug", "memcached", "amqp", "grpc"))
_BY_NAME = {
    "mysqli": re.compile(r"\bmysqli_|new mysqli\b"),
    "pdo_mysql": re.compile(r"mysql:host|['\"]pdo_mysql"),
    "pdo_pgsql": re.compile(r"pgsql:host"),
}
"""Extensions that code without a list uses."""


@dataclass(frozen=True)
class PhpProject(Project):
    """``root`` is the folder that is handed out. ``composed``: Composer installs packages. ``extensions`` are those that the
    official image lacks."""

    root: str = "."
    composed: bool = False
    extensions: tuple[str, ...] = ()


class Php:
    """The language PHP."""

    facts = Facts((r"composer\.json", r"index\.php"), (".php",), "php")

    def find(self, tree: Tree, folder: str, words: ImageWords | None, main: str | None) -> PhpProject | None:
        """The service of a folder: one with a page that is handed out; None for a library. What is handed out is a part of it."""
        folder = folder_of(folder) if posixpath.basename(folder) in _ROOTS else folder
        root = next((name for name in _ROOTS if joined(folder, f"{name}/index.php") in tree.files), None)
        if root is None:
            return None
        manifest, lock = (tree.data[joined(folder, f"composer.{end}")] for end in ("json", "lock"))
        packages = (manifest, *as_mappings(lock.get("packages")))
        needs = [name for package in packages for name in as_mapping(package.get("require"))]
        code = by_depth(path for path in tree.below(folder, ".php") if "/vendor/" not in f"/{path}")
        used = (name for name, pattern in _BY_NAME.items() if any(pattern.search(tree.texts[path]) for path in code))
        asked = [name.removeprefix("ext-") for name in needs if name.startswith("ext-")]
        lacking = dict.fromkeys(name for name in (*asked, *used) if name.lower() not in _BUILT_IN)
        _, health = scan(tree, code)
        return PhpProject(
            language="php",
            kind="composer" if manifest else "files",
            folder=folder,
            name=posixpath.basename(folder) if folder != "." else tree.root.name,
            version=_version(manifest, joined(folder, "composer.json"), words),
            ports=(Known(8080, wording("origin.apache")),),
            health=health,
            owned=any(joined(folder, name) in tree.files for name in ("artisan", "bin/console")),
            root=root,
            composed=any("/" in name for name in needs) or bool(manifest.get("autoload")),
            extensions=tuple(lacking),
        )

    def ladder(self, service: Service, project: PhpProject, place: str, port: int) -> Ladder:
        """Apache, and PHP's own server, both on Debian: extensions are compiled against its packages."""
        version = project.version.value
        root = posixpath.normpath(posixpath.join(_HOME, project.root))
        env = common.plain_env(common.image_words(service), "PATH|PHP\\w*|APACHE_\\w+")
        copies = [f". {_HOME}", *([f"--from=packages /app/vendor {_HOME}/vendor"] if project.composed else [])]
        server = ("php", "-S", f"{common.EVERYWHERE}:{port}", "-t", root)
        ways = {
            "apache": ("Dockerfile", env, ("apache2-foreground",), "", tuple(_apache(root, port))),
            "cli": ("cli.Dockerfile", {"PHP_CLI_SERVER_WORKERS": "4", **env}, server, "SIGINT", ()),
        }
        rungs, files = list[Rung](), dict[str, str]()
        for name, (file, variables, entry, stop, settings) in ways.items():
            bases = {name: ("composer:2" if project.composed else "", f"php:{version}-{name}")}
            first, *rest = common.run_stage(project, port, entry, copies, env=variables, workdir=_HOME, stop=stop)
            lines = [*common.arguments(bases), *_packages(project), first, *_extensions(project), *settings, *rest]
            ignored = ("vendor", "node_modules")
            made = common.one_dockerfile(bases, "the pages", place, project.folder, lines, ignored, name=file)
            rungs += made.rungs
            files |= made.files
        return Ladder(tuple(rungs), files)


def _version(manifest: Mapping[str, Any], file: str, words: ImageWords | None) -> Known[str]:
    """Of its own image; else the newest of the major version that the project asks for, or the one that it pins."""
    if base := common.of_base(words, r"php:(\d\.\d+)"):
        return base
    asked = str(as_mapping(manifest.get("require")).get("php") or "")
    pinned = re.fullmatch(r"\s*(?:~\s*(\d\.\d+)\.\d+|=?\s*(\d\.\d+)(?:\.[\d*]+)?)\s*", asked)
    if pinned:
        return Known(pinned[1] or pinned[2], f"from {file}: php")
    return Known("7.4", f"from {file}: php") if re.fullmatch(r"\s*\^7[\d.]*\s*", asked) else Known(_DEFAULT)


def _packages(project: PhpProject) -> Iterator[str]:
    """The stage that fetches packages. Composer's image has other extensions than the one that runs them."""
    if project.composed:
        yield "FROM ${BUILD} AS packages"
        yield "WORKDIR /app"
        yield "COPY . ."
        yield "RUN --mount=type=cache,target=/tmp/cache composer install --no-dev --no-scripts --no-interaction \\"
        yield "    --optimize-autoloader --ignore-platform-reqs"
        yield ""


def _extensions(project: PhpProject) -> Iterator[str]:
    """The instructions that compile extensions."""
    headers = sorted({word for extension in project.extensions for word in _HEADERS.get(extension, "").split()})
    pecl = [extension for extension in project.extensions if extension in _OF_PECL]
    core = [extension for extension in project.extensions if extension not in _OF_PECL]
    if headers:
        yield f"RUN apt-get update && apt-get install -y --no-install-recommends {' '.join(headers)}"
    if core:
        yield f"RUN docker-php-ext-install {' '.join(core)}"
    if pecl:
        yield f"RUN pecl install {' '.join(pecl)} && docker-php-ext-enable {' '.join(pecl)}"


def _apache(root: str, port: int) -> Iterator[str]:
    """Apache's settings: a port for which it needs no rights, and the folder that it hands out."""
    yield f"RUN sed -ri 's!^Listen 80$!Listen {port}!' /etc/apache2/ports.conf \\"
    yield f"    && sed -ri 's!:80>!:{port}>!; s!{_HOME}!{root}!' /etc/apache2/sites-available/000-default.conf \\"
    yield "    && a2enmod rewrite"


LANGUAGE: Language[PhpProject] = Php()
