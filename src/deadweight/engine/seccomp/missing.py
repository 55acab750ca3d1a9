"""Which of many things have to be added for something to work: by halving, for nearly all of them do not matter."""

from __future__ import annotations

from collections.abc import Callable, Sequence


def missing(
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
