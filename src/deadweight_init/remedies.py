"""What is tried next where a variant does not come up: one thing that a service may lack after the other."""

from __future__ import annotations

import json
import posixpath
import re
from dataclasses import replace

from deadweight_init.commands import with_serving_command
from deadweight_init.dated import with_packages_first, with_packages_of_their_time
from deadweight_init.draft import Draft, run_of
from deadweight_init.folders import (
    with_folder_it_lacks,
    with_own_files,
)
from deadweight_init.lacking import with_its_example, with_what_it_lacks
from deadweight_init.languages.common import HOME, ZONES
from deadweight_init.languages.node_workspace import home_in_image
from deadweight_init.languages.python_bare import PACKAGES, WELL_KNOWN
from deadweight_init.local_settings import with_databases_of_settings, with_open_settings
from deadweight_init.migrated import with_migrations
from deadweight_init.older import with_examples, with_older_language, with_own_environment
from deadweight_init.open_flags import with_open_flag
from deadweight_init.reachable import with_open_address, with_open_command
from deadweight_init.readme import with_what_the_readme_gives
from deadweight_init.records import SEEN, Known, Rung, Service
from deadweight_init.settings_files import with_example_of_settings, with_settings_of_repository
from deadweight_init.tree import Tree, joined
from deadweight_init.values import example_file


def next_remedy(draft: Draft, rung: Rung, died: str, tree: Tree) -> Draft | None:
    """The draft with the next thing that is tried for a variant that ended with ``died``; None where there is nothing left.

    What is the repository's own stays as it is: only generated files change.
    """
    made = rung.is_made
    again = with_packages_first(draft, died, tree) or with_older_language(draft, rung.name, died) if made else None
    again = again or (with_open_address if made else with_open_command)(draft, died, tree)
    again = again or with_open_flag(draft, died, tree)
    again = again or with_open_settings(draft, died, tree)
    again = again or (with_developers_modules(draft, died, tree) if made else None)
    again = again or (with_packages_of_their_time(draft, died, tree) if made else None)
    again = again or (with_missing_package(draft, died, tree) if made else None)
    again = again or with_time_zones(draft, died) or with_settings_file(draft, died, tree)
    again = again or with_example_of_settings(draft, died, tree) or with_settings_of_repository(draft, died, tree)
    again = again or with_folder_it_lacks(draft, died)
    again = again or (with_own_files(draft, died) if made else None)
    again = again or with_serving_command(draft, died, tree)
    again = again or with_own_settings(draft) or with_database_it_lacks(draft, died, tree)
    again = again or with_its_example(draft, died, tree)
    again = again or (with_own_environment(draft) if made else None)
    again = again or with_what_the_readme_gives(draft, tree)
    return again or (with_examples(draft) if made else None)


def with_database_it_lacks(draft: Draft, died: str, tree: Tree) -> Draft | None:
    """The draft with what its code takes from its environment, or looks for on its own machine."""
    return with_what_it_lacks(draft, tree) or with_databases_of_settings(draft, died, tree)


def remedy_of_errors(draft: Draft, rung: Rung, died: str, tree: Tree) -> Draft | None:
    """The draft with what a service may lack that comes up and answers with errors: a database, and its tables."""
    found = with_database_it_lacks(draft, died, tree)
    return (with_migrations(found or draft, tree) if rung.is_made else None) or found


def with_own_settings(draft: Draft) -> Draft | None:
    """The draft without variables by which a Compose file overrides what the image itself sets: that is often for developers.
    What leads to another container stays."""
    service = draft.service
    own = service.own.words.env if service.own else {}
    port = service.port_variable.value if service.port_variable else ""
    env = service.around.env
    beside = {each.value.name for each in service.around.needs}
    over = [
        name
        for name, known in env.items()
        if name != port
        and own.get(name, known.value) != known.value
        and not any(each in known.value for each in beside)
    ]
    if not over:
        return None
    kept = {name: known for name, known in env.items() if name not in over}
    changed = replace(service, around=replace(service.around, env=kept))
    run = {key: value for key, value in draft.run.items() if key != "env"}
    said = run_of(changed, draft.port)
    return replace(draft, service=changed, run={**run, **({"env": said["env"]} if "env" in said else {})})


def with_time_zones(draft: Draft, died: str) -> Draft | None:
    """The draft of a Go program that has the time zones in it; None for another reason, or the same again."""
    project = draft.service.project
    if project is None or project.language != "go" or ZONES in project.details or "unknown time zone" not in died:
        return None
    details = {**project.details, ZONES: "1"}
    return replace(draft, service=replace(draft.service, project=replace(project, details=details)))


_NO_MODULE = re.compile(r"Cannot find (?:module|package) '((?:@[\w.-]+/)?[\w.-]+)")


def with_developers_modules(draft: Draft, died: str, tree: Tree) -> Draft | None:
    """The draft of a Node service whose code needs what its package lists for development alone; None for another reason, or the
    same again."""
    project = draft.service.project
    found = _NO_MODULE.search(died)
    if project is None or project.language != "node" or found is None or project.details.get("all"):
        return None
    try:
        listed = json.loads(tree.text(joined(project.folder, "package.json")))["devDependencies"]
    except (ValueError, KeyError, TypeError):
        return None
    if not isinstance(listed, dict) or found[1] not in listed:
        return None
    return replace(
        draft, service=replace(draft.service, project=replace(project, details={**project.details, "all": "1"}))
    )


_NO_PACKAGE = re.compile(
    r"No module named '?([A-Za-z_]\w*)|requires \"(python-multipart)\"|(email-validator) is not installed"
    r"|\bpip3? install [\"'`]?([A-Za-z][\w.-]*(?:\[[\w,]+\])?)"
)
_LISTS = (
    r"[\w.-]*requirements[\w.-]*\.txt|(?:base|common|dev|development|local|prod|production|test)\.txt|pyproject\.toml|Pipfile"
    r"|setup\.(?:py|cfg)|uv\.lock|poetry\.lock|(?:Dockerfile|Containerfile)[\w.-]*"
)


def with_missing_package(draft: Draft, died: str, tree: Tree) -> Draft | None:
    """The draft of a Python service with a package that it imports and that its list lacks: another list has it, its own image
    installs it, an older version of another package brought it, or it is one that many use. None for one that nobody names, or
    the same again."""
    project = draft.service.project
    found = _NO_PACKAGE.search(died)
    if project is None or project.language != "python" or found is None:
        return None
    module = next(each for each in found.groups() if each)
    package = PACKAGES.get(module, module)
    plain = re.escape(re.split(r"[<[]", package)[0]).replace("_", "[-_]")
    named = any(re.search(rf"(?i)(?<![\w-]){plain}(?![\w-])", tree.text(path)) for path in tree.named(_LISTS))
    extra = project.details["extra"].split()
    known = module in PACKAGES or module in WELL_KNOWN
    if package in extra or not (named or known or found[1] is None):
        return None
    details = {**project.details, "extra": " ".join((*extra, package))}
    return replace(draft, service=replace(draft.service, project=replace(project, details=details)))


_NO_SETTINGS = re.compile(
    r"ENOENT[^|]*\.env\b|\.env\b[^|]{0,60}(?:no such file|not found|does ?n.t exist|cannot find|could not)"
    r"|(?:load|open|read|find|pars)\w*[^|]{0,40}[ '\"/]\.env\b|(?:error|fail\w*|cannot|could not)[^|]{0,30}(?:dot)?env file",
    re.IGNORECASE,
)


def with_settings_file(draft: Draft, died: str, tree: Tree) -> Draft | None:
    """The draft with the example of a ``.env`` where the service looks for it: some end where there is none. None for another
    reason, without an example, and for the same again."""
    service = draft.service
    folders = (service.folder, service.project.folder if service.project else ".", ".")
    example = next((found for each in dict.fromkeys(folders) if (found := example_file(tree, each))), None)
    if example is None or not _NO_SETTINGS.search(died):
        return None
    known = Known(example, f"{SEEN}: it does not come up without a .env")
    files = {place: known for place in _looked_in(service) if place not in service.around.files}
    if not files:
        return None
    project = service.project
    if project is not None:
        project = replace(project, details={**project.details, HOME: "1"})
    around = replace(service.around, files={**service.around.files, **files})
    changed = replace(service, project=project, around=around)
    return replace(draft, service=changed, run={**draft.run, "files": run_of(changed, draft.port)["files"]})


def _looked_in(service: Service) -> list[str]:
    """Where a ``.env`` is looked for: in the folder in which the own image is started, and in that of generated ones."""
    own = [posixpath.normpath(service.own.words.workdir)] if service.own else []
    made = own if own and own != ["/"] else ["/app"]
    if service.project is not None and service.project.language not in ("go", "rust"):
        made = [home_in_image(service.project)]
    return [posixpath.join(each, ".env") for each in dict.fromkeys((*own, *made))]
