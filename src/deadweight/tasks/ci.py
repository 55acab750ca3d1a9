"""``ci``: a whole pipeline, printed."""

from __future__ import annotations

from invoke.context import Context

from deadweight.tasks._options import one
from deadweight.tasks._progress import say
from deadweight.tasks._task import task


@task(
    help={
        "provider": "github, gitlab or kubernetes",
        "shards": "how many machines divide the suite (default: 4)",
        "install": "the requirement that pip installs there (default: a placeholder; put in where your team keeps Deadweight)",
        "image": "the image of the pods (kubernetes): the project with its .git at /project, and deadweight",
        "scan": "look up vulnerabilities too",
    },
    reads_only=True,
)
def ci(
    c: Context,
    provider: str | None = None,
    shards: str = "4",
    install: str | None = None,
    image: str | None = None,
    scan: bool = False,
) -> None:
    """Print a pipeline: shards with their caches, one joined report, one verdict on each pull request, the least permissions.

    Example: invoke ci --provider github --shards 6 > .github/workflows/images.yml
    """
    from dataclasses import replace

    from deadweight.project.pipelines.render import PLACEHOLDER, Pipeline, parse_shards, render

    asked = Pipeline(one(provider, "--provider"), parse_shards(shards), install or PLACEHOLDER, scan=scan)
    print(render(asked if image is None else replace(asked, image=image)), end="")
    if install is None and asked.provider != "kubernetes":
        say(f"replace {PLACEHOLDER!r} with where your team keeps Deadweight, or use --install")
