"""Work on several variants side by side that ends as one: an error, or Ctrl-C, ends what has not begun and stops what has."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from deadweight import _run
from deadweight.checks.protocol import Subject

T = TypeVar("T")


@contextmanager
def side_by_side(
    work: Callable[[Subject], T],
    subjects: Sequence[Subject],
    *,
    jobs: int | None = None,
    stop: Callable[[Subject], None] = lambda _subject: None,
) -> Iterator[list[tuple[Subject, Future[T]]]]:
    """Each subject with what will come of it, ``jobs`` at a time (default: cores, four at most), in the order given.

    On Ctrl-C what runs is told (``_run.cancelled``), wherever it waits, and ``stop`` is called for each subject; the block ends
    once everything has.
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
