"""Static sites: files that a web server hands out as they are, or that a build of npm's makes."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator

from deadweight_init.languages.common import HEADER, dockerignore, exec_form, flow, unprivileged
from deadweight_init.languages.node import SERVERS
from deadweight_init.languages.node_managers import commands, manager, pinned
from deadweight_init.languages.node_scripts import of_node
from deadweight_init.languages.node_start import part, read_package
from deadweight_init.languages.node_versions import version_of
from deadweight_init.records import ImageWords, Known, Ladder, OwnDockerfile, Project, Rung, Service
from deadweight_init.tree import Tree, joined

PORT = 8080
"""Where the bases listen that run without rights."""

ROOT = "/usr/share/nginx/html"
_ROOTS = {
    "nginx": ROOT,
    "nginx-unprivileged": ROOT,
    "httpd": "/usr/local/apache2/htdocs",
    "caddy": "/usr/share/caddy",
}
"""The folders that web servers' images hand out, by the last part of the image's name."""

_SETTINGS = ("/etc/nginx", "/etc/caddy", "/usr/local/apache2/conf")
_BASES = {
    "debian": ("nginxinc/nginx-unprivileged:stable", "nginx on a complete small distribution"),
    "alpine": ("nginxinc/nginx-unprivileged:stable-alpine", "nginx on musl and busybox"),
    "chainguard": ("cgr.dev/chainguard/nginx:latest", "nginx on Chainguard's minimal base, no shell"),
}
_MAKES = {
    "vite": "dist",
    "react-scripts": "build",
    "@vue/cli-service": "dist",
    "astro": "dist",
    "parcel": "dist",
    "gatsby": "public",
    "@11ty/eleventy": "_site",
    "@docusaurus/core": "build",
    "vitepress": ".vitepress/dist",
}
"""Builders of sites, and the folder that each fills unless it is told another one."""

_ROUTERS = re.compile(
    r"(?:preact-|@reach/|@solidjs/|@angular/|@tanstack/[\w-]+-)router|(?:react|vue)-router(?:-dom)?|wouter|navigo"
    r"|svelte-(?:spa-router|routing|navigator)|universal-router"
)
"""Libraries that give a single page routes of its own, for which no file is there."""

FALLBACK = (
    "server {",
    f"    listen {PORT};",
    f"    root {ROOT};",
    "    location / { try_files $uri $uri/ /index.html; }",
    "}",
)
"""nginx's settings for such a page: it answers every path for which there is no file."""

_OUTPUT = re.compile(r"\boutDir\s*:\s*[\"'](?:\./)?([\w./-]+)[\"']")
_HANDS_OUT = ("serve", "http-server", "live-server", "sirv", "nginx")
_PLACES = (".", "public", "site", "www", "html", "htdocs", "public_html", "public-html", "dist", "src", "static")


def find(tree: Tree, folder: str, words: ImageWords | None) -> Project | None:
    """The site of a folder: what its own Dockerfile puts into a web server's image, what npm builds, or plain pages."""
    server = _server(words.base) if words else ""
    if words is not None and server:
        return _of_server(tree, folder, words, server)
    handed_out = words is None or any(word in _HANDS_OUT for word in words.words)
    return (_of_node(tree, folder) if handed_out else None) or (_of_pages(tree, folder) if words is None else None)


def _server(base: str) -> str:
    """The web server of an image; empty for another one."""
    name = posixpath.basename(re.split(r"[:@]", base, maxsplit=1)[0])
    return name if name in _ROOTS else ""


def _of_server(tree: Tree, folder: str, words: ImageWords, server: str) -> Project | None:
    configured = any(path.startswith(_SETTINGS) for path in words.taken)
    foreign = server not in ("nginx", "nginx-unprivileged")
    problem = f"its own settings are {server}'s, and the bases here are nginx" if configured and foreign else ""
    details = {"server": server, "configured": "1" if configured else ""}
    return _project(tree, folder, "server", details, (Known(80, f"{server}'s own"),), problem)


def _of_node(tree: Tree, folder: str) -> Project | None:
    package = read_package(tree, folder)
    needs = {**part(package, "devDependencies"), **part(package, "dependencies")}
    exported = _exported(tree, folder) if "next" in needs else ""
    builder = "next" if exported else next((name for name in _MAKES if name in needs), "")
    scripts = part(package, "scripts")
    servers = (name for name in SERVERS if name in needs and name != builder)
    serves = any(servers) or of_node(tuple(str(scripts.get("start", "")).split()))
    if not builder or "build" not in scripts or serves:
        return None
    settings = (tree.text(path) for path in tree.below(folder, "vite.config.js", "vite.config.ts", "astro.config.mjs"))
    told = exported or next((found[1] for text in settings if (found := _OUTPUT.search(text))), _MAKES[builder])
    kind = manager(tree, folder)
    details = {"output": told, "manager": kind, "program": pinned(tree, folder, package, kind)}
    details["version"] = version_of(tree, folder, None, package).value
    details["npmrc"] = "1" if tree.has(joined(folder, ".npmrc")) else ""
    details["routes"] = "1" if any(_ROUTERS.fullmatch(name) for name in needs) else ""
    return _project(tree, folder, "npm", details, (Known(PORT, "the base's own"),))


def _exported(tree: Tree, folder: str) -> str:
    """The folder into which Next.js writes a site that needs no server; empty where it is to be served."""
    for path in tree.below(folder, "next.config.js", "next.config.mjs", "next.config.ts"):
        text = tree.text(path)
        if re.search(r"\boutput\s*:\s*[\"']export[\"']", text):
            told = re.search(r"\bdistDir\s*:\s*[\"'](?:\./)?([\w./-]+)[\"']", text)
            return told[1] if told else "out"
    return ""


def _of_pages(tree: Tree, folder: str) -> Project | None:
    place = next((each for each in _PLACES if tree.has(joined(folder, posixpath.join(each, "index.html")))), None)
    return (
        None if place is None else _project(tree, folder, "files", {"place": place}, (Known(PORT, "the base's own"),))
    )


def _project(
    tree: Tree, folder: str, kind: str, details: dict[str, str], ports: tuple[Known[int], ...], problem: str = ""
) -> Project:
    name = posixpath.basename(folder) if folder != "." else tree.root.name
    return Project("static", kind, folder, name, Known(""), (), ports, (), details, problem)


def ladder(service: Service, project: Project, place: str, port: int) -> Ladder:
    """The same files in nginx on Debian, Alpine and Chainguard, as a user without rights."""
    own = service.own
    dockerfile, build = f"{place}/Dockerfile", {}
    if project.kind == "server":
        if own is None or own.refused:
            return Ladder(())
        text, source, ignored = _on_another_base(own, project, port), own.context, {}
    else:
        if project.kind == "npm":
            build = {"BUILD": f"node:{project.details['version']}-slim"}
        text, source = _dockerfile(project), project.folder
        ignored = {f"{dockerfile}.dockerignore": dockerignore("node" if build else "static", place)}
    listens = "" if project.details.get("configured") or port == PORT else f"{PORT}  # the base's own"
    files = {dockerfile: text, **ignored}
    return Ladder(tuple(_rungs(dockerfile, source, build, listens, tuple(files))), files)


def _rungs(dockerfile: str, source: str, build: dict[str, str], listens: str, files: tuple[str, ...]) -> Iterator[Rung]:
    for name, (base, shown) in _BASES.items():
        keys = {"dockerfile": dockerfile, "source": source, "bases": flow({**build, "BASE": base})}
        if listens:
            keys["port"] = listens
        yield Rung(name, "dockerfile", f"the site in {shown}", keys, files)


_START = exec_form(("nginx", "-g", "daemon off;"))
_SAID_ANEW = re.compile(r"^[ \t]*(?:CMD|EXPOSE)\b(?:[^\n]*\\\n)*[^\n]*\n?", re.MULTILINE | re.IGNORECASE)
_LAST = re.compile(r"^[ \t]*FROM[ \t]+(?:--\S+[ \t]+)*(\S+)([^\n]*)$", re.MULTILINE | re.IGNORECASE)


def _on_another_base(own: OwnDockerfile, project: Project, port: int) -> str:
    """The own Dockerfile with another base below its last stage, and a user without rights above it."""
    found = list(_LAST.finditer(own.text))[-1]
    last = own.text[found.end() :].replace(_ROOTS[project.details["server"]], ROOT)
    scripted = own.words.entrypoint or any(each.startswith("/etc/nginx/templates") for each in own.words.taken)
    if not scripted:
        last = _SAID_ANEW.sub("", last)
    before = own.text[: found.start()].strip()
    lines = [
        HEADER,
        f"# It is {own.path}, with another base below its last stage.",
        f"ARG BASE={_BASES['debian'][0]}",
        "",
        *([before, ""] if before else []),
        f"FROM ${{BASE}}{found[2]}",
        "# What its own instructions do is root's; the server is not.",
        "USER root",
        last.strip(),
        "USER 65532:65532",
        *([] if scripted else [f"EXPOSE {port if project.details['configured'] else PORT}", f"ENTRYPOINT {_START}"]),
    ]
    return "\n".join(lines) + "\n"


def _dockerfile(project: Project) -> str:
    build, routes = project.kind == "npm", bool(project.details.get("routes"))
    taken = f"--from=build /app/{project.details['output']}" if build else project.details["place"]
    lines = [
        HEADER,
        *([f"ARG BUILD=node:{project.details['version']}-slim"] if build else []),
        f"ARG BASE={_BASES['debian'][0]}",
        "",
        *(_build_stage(project) if build else []),
        "FROM ${BASE}",
        *(["COPY --from=build /site.conf /etc/nginx/conf.d/default.conf"] if routes else []),
        f"COPY {taken} {ROOT}",
        *unprivileged(PORT),
        f"ENTRYPOINT {_START}",
    ]
    return "\n".join(lines) + "\n"


def _build_stage(project: Project) -> list[str]:
    modules = commands(project.details["manager"], project.details["program"])
    return [
        "FROM ${BUILD} AS build",
        "USER root",
        "WORKDIR /app",
        "# Modules first: an edit of the pages does not fetch them again.",
        *(
            ["COPY . ."]
            if modules.whole
            else [f"COPY {modules.files}{' .npmrc' if project.details['npmrc'] else ''} ./"]
        ),
        f"RUN {modules.cache} {modules.install}",
        *([] if modules.whole else ["COPY . ."]),
        "RUN npm run build",
        *(_settings() if project.details["routes"] else []),
        "",
    ]


def _settings() -> list[str]:
    lines = " ".join(f"'{line}'" for line in FALLBACK)
    return [
        "# Routes of the page itself are no files: the page answers them.",
        f"RUN printf '%s\\n' {lines} > /site.conf",
    ]
