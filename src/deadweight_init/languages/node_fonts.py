"""Fonts of Google's that a Next.js build fetches (``next/font/google``). Where they are out of reach, the whole build fails.

Next.js takes answers from a file instead, as its own tests do (packages/font, ``NEXT_FONT_GOOGLE_MOCKED_RESPONSES``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from deadweight_init.tree import Tree

_SOURCES = (".js", ".jsx", ".ts", ".tsx", ".mjs")
_USES = re.compile(r"[\"']next/font/google[\"']")
_FACE = "@font-face { font-family: x; src: local(sans-serif) }"

LINES = (
    "# Google's fonts are fetched when it is built. Where they are out of reach, the browser's own stand in.",
    f"RUN echo \"module.exports = new Proxy({{}}, {{ get: () => '{_FACE}' }})\" > /fonts.cjs",
)


def fetched(tree: Tree, folder: str, needs: Mapping[str, Any]) -> bool:
    """Whether a build fetches fonts."""
    return "next" in needs and any(_USES.search(tree.text(path)) for path in tree.below(folder, *_SOURCES))


def with_stand_in(build: str, script: str, version: str) -> str:
    """A shell's words for a build with the fonts, else without. Turbopack reads that file otherwise, so it is left out then."""
    major = re.search(r"\d+", version)
    newest = not major or int(major[0]) >= 16
    plain = f"npx next build{' --webpack' if newest else ''}"
    again = plain if "turbo" in script or (newest and "--webpack" not in script and "next build" in script) else build
    return f"({build} || NEXT_FONT_GOOGLE_MOCKED_RESPONSES=/fonts.cjs {again})"
