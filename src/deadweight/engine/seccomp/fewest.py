"""The fewest of many things with which something still works, by trying."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


def fewest(
    items: Sequence[T],
    works: Callable[[tuple[T, ...]], bool],
    group: int = 0,
    needed: Callable[[T], None] = lambda _item: None,
) -> tuple[T, ...]:
    """Those that cannot be left out, in order. All together are known to work; so does what is given back.

    Groups of ``group`` (default: all at once) are left out; where that does not work, each half of the group, down to one.
    None of what is given back can be left out alone: each was tried, with what was kept then, and ``needed`` told right after it.
    """
    kept = list(items)

    def leave_out(some: Sequence[T]) -> None:
        rest = tuple(each for each in kept if each not in some)
        if works(rest):
            kept[:] = rest
        elif len(some) > 1:
            half = len(some) // 2
            leave_out(some[:half])
            leave_out(some[half:])
        else:
            needed(some[0])

    size = group or len(items)
    for start in range(0, len(items), max(1, size)):
        leave_out(items[start : start + size])
    return tuple(kept)
