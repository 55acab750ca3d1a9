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


NO_FACTS = Facts((), CODE, "")
"""Of a service without a program: its code may be in any language."""


def facts_of(project: Project | None) -> Facts:
    """What holds for a program's language."""
    return LANGUAGES[project.language].facts if project else NO_FACTS
