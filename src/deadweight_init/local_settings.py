"""Files of settings by which a Go or Rust service looks for its database on its own machine, or listens there alone.

In a container nothing is at ``localhost:5432``, and nobody reaches what listens on loopback. A copy of the file that says otherwise
is written beside the Dockerfile and mounted in its place; the repository's own file stays as it is.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import replace

from deadweight_init.addresses import published_near
from deadweight_init.databases import kind_of, libraries_of
from deadweight_init.draft import Draft, run_of
from deadweight_init.languages.common import HOME, home_of
from deadweight_init.reachable import ONLY_LOOPBACK
from deadweight_init.records import SEEN, Beside, Known, Project, Service
from deadweight_init.settings_text import IS_SETTINGS, REFUSED, Servers, opened, served_beside
from deadweight_init.tree import Tree, joined

FOLDER = "settings"
"""Where the copies lie, in the folder of generated files."""

MOST_BYTES = 64 * 1024


def with_databases_of_settings(draft: Draft, died: str, tree: Tree) -> Draft | None:
    """The draft with the databases for which its settings name this machine, where these find them now. None for another reason,
    where they name none, and for the same again."""
    service = draft.service
    if service.project is None or service.project.language not in ("go", "rust") or not REFUSED.search(died):
        return None
    there = {kind: each.value for each in service.around.needs if (kind := kind_of(each.value.image))}
    published = {port: need for need, _, port in published_near(tree, service)}
    servers = Servers(libraries_of(tree, service), there, published)
    copies, needs = dict[str, str](), dict[str, Known[Beside]]()
    for source in dict.fromkeys(_mounted(service, service.project, tree).values()):
        text, found = served_beside(_text(service, tree, source), servers)
        if found:
            copies[source] = text
            needs |= {each.name: Known(each, f"from {source}") for each in found if each.name not in needs}
    given = {each.value.name for each in service.around.needs}
    more = tuple(each for name, each in needs.items() if name not in given)
    return _told(draft, tree, copies, more, "it does not come up without") if copies else None


def with_open_settings(draft: Draft, died: str, tree: Tree) -> Draft | None:
    """The draft whose settings have it listen everywhere. None for another reason, and for the same again."""
    project = draft.service.project
    if project is None or project.language not in ("go", "rust") or ONLY_LOOPBACK not in died:
        return None
    sources = dict.fromkeys(_mounted(draft.service, project, tree).values())
    texts = {source: _text(draft.service, tree, source) for source in sources}
    copies = {source: other for source, text in texts.items() if (other := opened(text, died)) != text}
    return _told(draft, tree, copies, (), "else it listens on loopback alone") if copies else None


def _told(draft: Draft, tree: Tree, copies: Mapping[str, str], needs: tuple[Known[Beside], ...], why: str) -> Draft:
    """The draft with these copies mounted in the place of what they are of."""
    service, project = draft.service, draft.service.project
    if project is None:
        return draft
    files = dict(service.around.files)
    beside = dict(service.beside_files)
    for target, source in _mounted(service, project, tree).items():
        if source in copies:
            again = source in service.beside_files
            file = source if again else f"{draft.place}/{FOLDER}/{source.replace('/', '-')}"
            beside[file] = copies[source]
            if not again:
                files[target] = Known(file, f"{SEEN}: {why} ({source}, with other addresses)")
    around = replace(service.around, files=files, needs=(*service.around.needs, *needs))
    own = replace(project, details={**project.details, HOME: "1"})
    changed = replace(service, project=own, around=around, beside_files=beside)
    return replace(draft, service=changed, run={**draft.run, **run_of(changed, draft.port)})


def _mounted(service: Service, project: Project, tree: Tree) -> dict[str, str]:
    """Files of settings that its images have, or that are mounted: where they lie, and which of the repository each is."""
    workdir = posixpath.normpath(service.own.words.workdir) if service.own else "/"
    workdir = "/" if "$" in workdir else workdir
    made = home_of(project, workdir, filled=True)
    homes = dict.fromkeys((workdir, made) if service.own else (made,))
    found: dict[str, str] = {}
    for each in project.details["reads"].split():
        for home in homes:
            found |= _files(tree, joined(project.folder, each), posixpath.join(home, each))
    for own in service.dockerfiles[:1]:
        for source, target in own.words.copied:
            if posixpath.normpath(source) != ".":
                found |= _files(tree, joined(own.context, source), target)
    found |= {target: known.value for target, known in service.around.files.items()}
    small = {target: source for target, source in found.items() if IS_SETTINGS.search(source)}
    return {target: source for target, source in small.items() if 0 < len(_text(service, tree, source)) <= MOST_BYTES}


def _text(service: Service, tree: Tree, source: str) -> str:
    """A file's text; of a copy, as it will be."""
    return service.beside_files.get(source) or tree.text(source)


def _files(tree: Tree, source: str, target: str) -> dict[str, str]:
    """A file, or all below a folder, with where each lies in an image."""
    if tree.has(source):
        name = posixpath.basename(source)
        into = target.endswith("/") or posixpath.splitext(target)[1] != posixpath.splitext(name)[1]
        return {posixpath.normpath(posixpath.join(target, name) if into else target): source}
    return dict(_below(tree, source, target))


def _below(tree: Tree, source: str, target: str) -> Iterator[tuple[str, str]]:
    for path in tree.below(source, ""):
        yield posixpath.normpath(posixpath.join(target, posixpath.relpath(path, source))), path
