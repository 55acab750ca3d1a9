"""Detect a static site, plain pages or an npm build, and write a Dockerfile with a web server."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from deadweight_init.languages import common
from deadweight_init.languages.node.language import Manager, all_dependencies, manager_of, site_folder, version_of
from deadweight_init.languages.protocol import Facts, Language
from deadweight_init.records import ImageWords, Known, Ladder, Project, Service, wording
from deadweight_init.tree import TABLES, Tree, joined

PORT = 8080
"""Where the bases listen that run without rights."""

ROOT = "/usr/share/nginx/html"
_SERVERS = ("nginx", "nginx-unprivileged", "httpd", "caddy")
_PLACES = (".", "public", "site", "www", "html", "htdocs", "public_html", "public-html", "dist", "src", "static")
_SINGLE_PAGE: Sequence[str] = TABLES["node"]["routers"]
"""Libraries that give a single page routes of its own, for which no file is there."""
_FALLBACK = (
    "server {",
    f"    listen {PORT};",
    f"    root {ROOT};",
    "    location / { try_files $uri $uri/ /index.html; }",
    "}",
)
"""nginx's settings for such a page: it answers every path for which there is no file."""


@dataclass(frozen=True)
class StaticProject(Project):
    """``pages`` is the folder that is handed out. ``manager`` installs what builds it, if it is built; ``routed``: the page has
    routes of its own."""

    pages: str = "."
    manager: Manager | None = None
    routed: bool = False


class Static:
    """Sites without a program of their own."""

    facts = Facts((), (), "nginx|httpd|caddy", pages=True)

    def find(self, tree: Tree, folder: str, words: ImageWords | None, main: str | None) -> StaticProject | None:
        """The site of a folder: what its own image serves, what npm builds, or plain pages."""
        name = posixpath.basename(folder) if folder != "." else tree.root.name
        base = posixpath.basename(words.base).partition(":")[0].partition("@")[0] if words else ""
        if words is not None:
            ports = (Known(80, f"{base}'s own"),)
            return StaticProject("static", "server", folder, name, ports=ports) if base in _SERVERS else None
        package, ports = tree.data[joined(folder, "package.json")], (Known(PORT, "the base's own"),)
        if output := site_folder(tree, folder, package):
            needs = all_dependencies(package)
            version = version_of(tree, folder, None, package)
            manager, routed = manager_of(tree, folder, package)[1], any(name in needs for name in _SINGLE_PAGE)
            return StaticProject(
                "static", "npm", folder, name, version, ports=ports, pages=output, manager=manager, routed=routed
            )
        there = (place for place in _PLACES if joined(folder, posixpath.join(place, "index.html")) in tree.files)
        place = next(there, None)
        return None if place is None else StaticProject("static", "files", folder, name, ports=ports, pages=place)

    def ladder(self, service: Service, project: StaticProject, place: str, port: int) -> Ladder:
        """The same files in nginx on Debian, Alpine and Chainguard, as a user without rights."""
        if project.kind == "server":
            return Ladder(())
        bases = common.bases_of("static", build=f"node:{project.version.value}-slim" if project.manager else "")
        source = f"--from=build /app/{project.pages}" if project.manager else project.pages
        site = ["--from=build /site.conf /etc/nginx/conf.d/default.conf"] if project.routed else []
        copies = [*site, f"{source} {ROOT}"]
        last = common.run_stage(project, PORT, ("nginx", "-g", "daemon off;"), copies, workdir="/")
        lines = [*common.arguments(bases), *_build_stage(project), *last]
        ignored = ("tasks.py", "noxfile.py", ".github", ".gitignore", "README*")
        more = {} if port == PORT else {"port": Known(PORT, "the base's own")}
        return common.one_dockerfile(bases, wording("rung.site"), place, project.folder, lines, ignored, more)


def _build_stage(project: StaticProject) -> Iterator[str]:
    manager = project.manager
    if manager is None:
        return
    yield "FROM ${BUILD} AS build"
    yield from common.AS_ROOT
    yield "WORKDIR /app"
    yield "# Modules first: an edit of the pages does not fetch them again."
    yield f"COPY {manager.files}{'' if manager.files == '.' else ' .npmrc*'} ./"
    yield f"{manager.run}{manager.install}"
    yield "COPY . ."
    yield "RUN npm run build"
    if project.routed:
        yield "# Routes of the page itself are no files: the page answers them."
        lines = " ".join(f"'{line}'" for line in _FALLBACK)
        yield f"RUN printf '%s\\n' {lines} > /site.conf"
    yield ""


LANGUAGE: Language[StaticProject] = Static()
