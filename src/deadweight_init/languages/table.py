"""List all languages that ``init`` supports. To add one, add a folder here and its name to the table."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from deadweight_init.languages.protocol import Facts, Language
from deadweight_init.records import Project

NAMES = ("go", "rust", "java", "python", "ruby", "php", "node", "static")
"""The folders, each with a module ``language`` that has a ``LANGUAGE``. Of several in one place the first wins."""

LANGUAGES: Mapping[str, Language[Any]] = {
    name: import_module(f"deadweight_init.languages.{name}.language").LANGUAGE for name in NAMES
}
MANIFESTS = "|".join(pattern for language in LANGUAGES.values() for pattern in language.facts.manifests)
CODE = tuple(ending for language in LANGUAGES.values() for ending in language.facts.code)


def facts_of(project: Project) -> Facts:
    """What holds for a program's language."""
    return LANGUAGES[project.language].facts


def code_of(project: Project | None) -> tuple[str, ...]:
    """The endings of a program's sources; of all languages if there is none."""
    return CODE if project is None else facts_of(project).code


def is_compiled(project: Project | None) -> bool:
    """Whether what runs is one binary."""
    return project is not None and facts_of(project).compiled


def is_pages(project: Project | None) -> bool:
    """Whether a web server hands out what is there, and nothing of the repository runs."""
    return project is not None and facts_of(project).pages
