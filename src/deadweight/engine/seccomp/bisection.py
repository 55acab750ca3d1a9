"""Find a minimal subset of a list that still works, by bisection."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


def find_fewest(
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


# Which of many things have to be added for something to work: by halving, for nearly all of them do not matter.
def find_missing(
    candidates: Sequence[str], works: Callable[[tuple[str, ...]], bool], most: int
) -> tuple[tuple[str, ...], bool]:
    """Those without which it does not work, all others given, and whether it works with them alone. With all candidates it does.

    Of the candidates in order, the fewest first ones that do end with one that is needed; so do those before it, with that one; and
    so on, until ``most`` are found.
    """
    needed: tuple[str, ...] = ()
    pool = tuple(candidates)
    while not (done := works(needed)) and len(needed) < most and pool:
        fewest, enough = 0, len(pool)  # with ``fewest`` of them it does not work, with ``enough`` it does
        while enough - fewest > 1:
            middle = (fewest + enough) // 2
            if works((*pool[:middle], *needed)):
                enough = middle
            else:
                fewest = middle
        needed, pool = (pool[enough - 1], *needed), pool[: enough - 1]
    return needed, done
