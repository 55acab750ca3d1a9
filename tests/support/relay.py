"""Servers in a thread of their own, and what passes on between two ends: for tests that put something in front of a daemon."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine, Iterator


@contextlib.contextmanager
def serving(
    serve: Callable[[], Coroutine[None, None, asyncio.Server]],
) -> Iterator[tuple[asyncio.Server, Callable[[], None]]]:
    """The server that ``serve`` starts, and what ends it with every connection to it; it ends at the end anyway."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    server = asyncio.run_coroutine_threadsafe(serve(), loop).result(10)

    stopping = threading.Lock()  # each of two would break off the other

    def cut() -> None:
        with stopping:
            asyncio.run_coroutine_threadsafe(_stop(server), loop).result(10)

    try:
        yield server, cut
    finally:
        cut()
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


def port_of(server: asyncio.Server) -> int:
    """The port that it has."""
    return int(server.sockets[0].getsockname()[1])


async def copied(source: asyncio.StreamReader, target: asyncio.StreamWriter, delay: float = 0.0) -> None:
    """Pass on what comes, ``delay`` seconds later, until there is no more."""
    loop = asyncio.get_running_loop()
    with contextlib.suppress(OSError):
        while data := await source.read(65536):
            if delay:
                loop.call_later(delay, target.write, data)
            else:
                target.write(data)
                await target.drain()
        loop.call_later(delay, target.close)


async def _stop(server: asyncio.Server) -> None:
    server.close()
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for each in left:
        each.cancel()
    await asyncio.gather(*left, return_exceptions=True)
    await asyncio.sleep(0.1)  # connections that were broken off are let go of in the loop's next rounds
