"""Sizes as people write them: ``15MB`` is 10^6, ``15MiB`` is 2^20 (IEC 80000-13), a bare number is bytes."""

from __future__ import annotations

import re

from deadweight._packages import images

format_bytes = images.format_bytes

_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}
_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,6})?)\s*([KMG]?I?B?)", re.IGNORECASE)


def parse_bytes(value: float | str) -> int:
    """Bytes of a size such as ``12.5MB``. Raises ValueError for anything else."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if not 0 <= value < 2**60:
            raise ValueError(f"{value!r} is not a size in bytes")
        return int(value)
    match = _SIZE.fullmatch(str(value).strip())
    unit = _UNITS.get(match.group(2).upper()) if match else None
    if match is None or unit is None:
        raise ValueError(f"{value!r} is not a size; write bytes, or a number with KB, MB, GB, KiB, MiB or GiB")
    return int(float(match.group(1)) * unit)
