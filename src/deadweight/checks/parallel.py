"""Work on several variants side by side that ends as one: an error, or Ctrl-C, ends what has not begun and stops what has."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as done_in
from contextlib import contextmanager
from typing import TypeVar

from deadweight import _run

HEED_SECONDS = 0.2

T = TypeVar("T")
Item = TypeVar("Item")


def result_of(work: Future[T]) -> T:
    """What came of it. The main thread waits in short pieces: the kernel may hand a signal to any thread, Python runs its handler
    in the main one alone, and that would not wake up to do so before the work is over."""
    while not done_in([work], HEED_SECONDS).done:
        pass
    return work.result()


@contextmanager
def side_by_side(
    work: Callable[[Item], T],
    subjects: Sequence[Item],
    *,
    jobs: int | None = None,
    stop: Callable[[Item], None] = lambda _item: None,
) -> Iterator[list[tuple[Item, Future[T]]]]:
    """Each item (a subject, a variant) with what will come of it, ``jobs`` at a time (default: cores, four at most), in order.

    On Ctrl-C what runs is told (``_run.cancelled``), wherever it waits, and ``stop`` is called for each item; the block ends once
    everything has.
    """
    with ThreadPoolExecutor(jobs or min(4, os.cpu_count() or 1), thread_name_prefix="variant") as pool:
        try:
            yield [(subject, pool.submit(work, subject)) for subject in subjects]
        except BaseException as error:
            pool.shutdown(wait=False, cancel_futures=True)
            if isinstance(error, KeyboardInterrupt):
                _run.cancel_all()
                for subject in subjects:
                    stop(subject)
            raise
