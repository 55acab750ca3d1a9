"""The stand-in for BuildKit's generator of SBOMs: the pinned Trivy, with a program of ours that speaks BuildKit's protocol."""

from __future__ import annotations

from pathlib import Path

from deadweight.toolchain import catalogue, own_programs, trivy_cache
from deadweight_images.archive.pack import FAST
from deadweight_standins.push import Settings
from deadweight_standins.recipes import Made
from deadweight_standins.workshop import Workshop, put

SOURCE = Path(__file__).with_name("scanner")


def generator(shop: Workshop, _: str) -> Made:
    """Both programs are static, and what Trivy would download is empty: so there is nothing else in it."""

    def fill(root: Path) -> None:
        from deadweight.toolchain.find import find

        put(root, "scan", own_programs.built(shop.machine.oci, SOURCE), executable=True)
        put(root, "trivy", find("trivy").path, executable=True)
        trivy_cache.prepare(root / "cache", None)

    layer = shop.tree_layer("scanner", fill, level=FAST)
    return Made((layer,), Settings(entrypoint=("/scan",)))


def edition() -> str:
    """What it is made of."""
    return f"trivy {catalogue.program('trivy').pinned} {own_programs.source_digest(SOURCE)[:16]}"
