"""The lists of each builder's keys on the page about the suite file, made from the records.

``python -m deadweight.builders.reference docs/reference/suite.md`` writes them into the page; a test holds the page against them.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from deadweight.builders import table
from deadweight.suite.model import Variant


def keys_list(record: type[Variant]) -> str:
    """An item for each key that the builder added, with the description of its record."""
    return "".join(f"- `{key}`: {record.model_fields[key].description or ''}\n" for key in record.own_keys())


def written(page: str) -> str:
    """The page with today's lists. Raises LookupError for a builder that it has no heading and list of."""
    for name in table.names():
        record = table.record(name) or Variant
        place = re.compile(rf"(### Builder `{name}`\n\n)(?:- `[^\n]*(?:\n|\Z))+")
        if not place.search(page):
            raise LookupError(name)
        made = keys_list(record)
        page = place.sub(lambda found, made=made: f"{found[1]}{made}", page)  # type: ignore[misc]
    return page


if __name__ == "__main__":
    file = Path(sys.argv[1])
    file.write_text(written(file.read_text(encoding="utf-8")), encoding="utf-8")
