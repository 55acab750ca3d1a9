"""What is tried where a generated image does not build or come up: a compiler, an older language, example configuration.

Packages that were pinned years ago have no ready-made files for the newest language.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from deadweight.builders.dockerfile.causes import LOCK, OLD_HASHES, PEERS, UNCOMPILED
from deadweight_init.draft import Draft
from deadweight_init.languages.node_builds import OLD
from deadweight_init.languages.node_managers import APART, OPEN
from deadweight_init.languages.node_start import ENVIRONMENT, OWN_ENVIRONMENT
from deadweight_init.languages.python_versions import OF_ITS_TIME
from deadweight_init.records import GUESSED, SEEN, Known

OLDER: Mapping[str, tuple[str, ...]] = {"python": ("3.12", "3.10", "3.9"), "node": ("22", "20", "18", "16")}
_COMPILING = ("18", "16")
"""Those of Node for a module that does not compile: what does not with 22 rarely does with 20, and each trial takes minutes."""
_OLDEST = {"3.9": "3.7"}
"""For packages that were pinned before 2020, of which many have no ready-made files for a later one."""

_INSTALLS = re.compile(r"\b(?:pip|npm|yarn|pnpm) (?:install|ci|wheel)\b|npm_config_nodedir=")


_DIES = re.compile(
    r"\b(?:ImportError|AttributeError|SyntaxError|TypeError"
    r"|No module named '(?:distutils|imp|asyncore|pkg_resources|collections)"
    r"|RuntimeError: __class__ not set|generator raised StopIteration"
    r"|primordials is not defined|ERR_OSSL_EVP_UNSUPPORTED|SlowBuffer)"
)


def with_examples(draft: Draft) -> Draft | None:
    """The draft with the repository's example files under the names that the code reads; None where there are none, or no more."""
    project = draft.service.project
    if project is None or not project.details.get("examples") or "with_examples" in project.details:
        return None
    details = {**project.details, "with_examples": "1"}
    return replace(draft, service=replace(draft.service, project=replace(project, details=details)))


def with_own_environment(draft: Draft) -> Draft | None:
    """The draft of a Node service with the ``NODE_ENV`` that its start script sets: some have settings for no other one. None where
    that is ``production``, as generated images say, and for the same again."""
    project = draft.service.project
    own = project.details.get(OWN_ENVIRONMENT, "") if project else ""
    if project is None or own in ("", "production") or ENVIRONMENT in project.details:
        return None
    details = {**project.details, ENVIRONMENT: own}
    return replace(draft, service=replace(draft.service, project=replace(project, details=details)))


WANTS_ARGUMENTS = re.compile(
    r"\busage\b|\bUSAGE\b|[Uu]sage:|[Rr]equired (?:arguments?|flags?|options?)\b|missing argument|requires at least|--help"
)


GIVEN_COMMAND = f"{SEEN}: without a command it tells how it is used"
"""The origin of a command that was given because it may be the one that serves."""


def with_compiler(draft: Draft, rung: str) -> Draft | None:
    """The draft with a complete base to build on, where packages of npm's or PyPI's could not be installed: some compile what they
    cannot fetch ready-made. None where that is not why, or was tried."""
    project = draft.service.project
    installs = _INSTALLS.search(draft.left_out.get(rung, ""))
    if project is None or project.language not in OLDER or not installs or "compiler" in project.details:
        return None
    details = {**project.details, "compiler": "1"}
    rest = {name: reason for name, reason in draft.left_out.items() if name != rung}
    return replace(draft, service=replace(draft.service, project=replace(project, details=details)), left_out=rest)


def with_what_installs(draft: Draft, rung: str) -> Draft | None:
    """The draft with the next that is tried where a rung's packages could not be installed. Node has compilers at hand first, as
    npm's modules are compiled with any version; Python's, pinned years ago, are ready-made for an older one."""
    project = draft.service.project
    if project is not None and project.language == "node":
        again = with_open_lock(draft, rung) or with_other_build(draft, rung)
        return again or with_compiler(draft, rung) or with_older_language(draft, rung)
    return with_older_language(draft, rung) or with_compiler(draft, rung)


def with_open_lock(draft: Draft, rung: str) -> Draft | None:
    """The draft of a Node service that takes its lock file as no more than a wish, where that does not fit ``package.json``; None
    for another reason, or the same again."""
    project = draft.service.project
    if project is None or LOCK not in draft.left_out.get(rung, "") or project.kind.endswith(OPEN):
        return None
    rest = {name: reason for name, reason in draft.left_out.items() if name != rung}
    service = replace(draft.service, project=replace(project, kind=f"{project.kind}{OPEN}"))
    return replace(draft, service=service, left_out=rest)


_BUILT_OTHERWISE = {OLD_HASHES: OLD, PEERS: APART}


def with_other_build(draft: Draft, rung: str) -> Draft | None:
    """The draft of a Node service that is built with an option for what it failed of: the hashes that older bundlers ask for,
    packages that do not go together. None for another reason, or the same again."""
    project, why = draft.service.project, draft.left_out.get(rung, "")
    way = next((way for told, way in _BUILT_OTHERWISE.items() if told in why), "")
    if project is None or not way or way in project.details:
        return None
    rest = {name: reason for name, reason in draft.left_out.items() if name != rung}
    service = replace(draft.service, project=replace(project, details={**project.details, way: "1"}))
    return replace(draft, service=service, left_out=rest)


def with_older_language(draft: Draft, rung: str, died: str = "") -> Draft | None:
    """The draft with the next older version, where the packages of a rung could not be installed with one that was guessed.

    ``died`` is why it did not come up, where it could be built. None where the repository names a version, where the reason is
    another one, and at the end of the line.
    """
    project = draft.service.project
    why = draft.left_out.get(rung, "")
    of_age = _DIES.search(died) or (not died and _INSTALLS.search(why) and "cannot reach the network" not in why)
    if project is None or not of_age or not project.version.origin.startswith((GUESSED, SEEN)):
        return None
    now = project.version.value
    versions = _COMPILING if UNCOMPILED in why else OLDER.get(project.language, ())
    older = next((each for each in versions if _number(each) < _number(now)), None)
    if older is None and OF_ITS_TIME in project.version.origin:
        older = _OLDEST.get(now)
    if older is None:
        return None
    known = Known(older, f"{SEEN}: its packages do not work with {now}")
    service = replace(draft.service, project=replace(project, version=known))
    rest = {name: reason for name, reason in draft.left_out.items() if name != rung}
    return replace(draft, service=service, left_out=rest)


def _number(version: str) -> tuple[int, ...]:
    """A version to compare by; that of a language whose version is no number is lower than all."""
    return tuple(int(each) for each in version.split(".") if each.isdigit())
