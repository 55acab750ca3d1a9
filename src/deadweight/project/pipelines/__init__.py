"""Render a CI pipeline for GitHub, GitLab or Kubernetes from the templates in this folder.

GitHub's actions are pinned in its template.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from deadweight._errors import UsageError, wording

PROVIDERS = {"github": "github.yml.j2", "gitlab": "gitlab.yml.j2", "kubernetes": "kubernetes.yaml.j2"}

PLACEHOLDER = "deadweight[all] @ git+https://YOUR.HOST/deadweight"


@dataclass(frozen=True)
class Pipeline:
    """``install`` is what pip is given. ``image`` (Kubernetes) has the project, git and deadweight in it, at /project."""

    provider: str
    shards: int
    install: str = PLACEHOLDER
    image: str = "registry.example.com/team/project-ci:latest"
    scan: bool = False


def parse_shards(text: str) -> int:
    """Raises UsageError."""
    if not re.fullmatch(r"[0-9]{1,4}", text) or not 1 <= int(text) <= 200:
        raise UsageError(wording("project.shards", text=text))
    return int(text)


def render(asked: Pipeline) -> str:
    """The pipeline's text. Raises UsageError for an unknown provider or a value that would break out of its place."""
    if asked.provider not in PROVIDERS:
        raise UsageError(wording("tasks.choice", flag="--provider", choices=", ".join(PROVIDERS), value=asked.provider))
    for flag, value in (("--install", asked.install), ("--image", asked.image)):
        if not value or not re.fullmatch(r"[\w .,@:/+=~\[\]-]+", value):
            raise UsageError(wording("project.pipeline_value", flag=flag, value=value))
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        variable_start_string="[[",
        variable_end_string="]]",
        block_start_string="[%",
        block_end_string="%]",
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - YAML for a file; the values are checked above
    )
    template = environment.get_template(PROVIDERS[asked.provider])
    return template.render(
        shards=asked.shards,
        numbers=list(range(1, asked.shards + 1)),
        install=asked.install,
        image=asked.image,
        scan=asked.scan,
    )
