"""The lists of attacks in ``docs/reference/attacks.md``, made from the packs: ``python docs/attacks.py`` writes them."""

from __future__ import annotations

from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "reference" / "attacks.md"
HEADING = "## The attacks\n"
PACKS = {"breach": "After a breach", "http": "Through any HTTP service"}
"""Those for everybody, and the headings of their sections."""


def written(page: str) -> str:
    """The page with the attacks of today below its last heading."""
    head, heading, _ = page.partition(HEADING)
    if not heading:
        raise LookupError(HEADING)
    return head + HEADING + "".join(_section(name, title) for name, title in PACKS.items())


def _section(name: str, title: str) -> str:
    """One pack: each attack with what it does and its ATT&CK technique."""
    text = (ROOT / "src" / "deadweight_attacks" / f"{name}.yaml").read_text(encoding="utf-8")
    payloads = yaml.safe_load(text)["payloads"]
    rows = "".join(f"- `{payload['id']}`: {payload['title']}{_technique(payload)}\n" for payload in payloads)
    return f"\n### {title} (`{name}`)\n\n{rows}"


def _technique(payload: dict[str, str]) -> str:
    return f" ({payload['attack']})" if "attack" in payload else ""


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
